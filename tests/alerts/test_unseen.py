"""The line about alerts that began and ended before they could be posted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from alertbot.alerts.alert import Alert, Reason, State
from alertbot.alerts.unseen import Unseen, in_one_line
from alertbot.rules.rule import Level
from tests.store.build import firing

NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def over(name: str, minute: int = 0, *, title: str = "Longest wait in queue", lasts: int = 5, **more: object) -> Alert:
    """An alert that began that many minutes after nine, UTC."""
    began = NINE + timedelta(minutes=minute)
    values = {"fired_at": began, "ended_at": began + timedelta(minutes=lasts), "state": State.INACTIVE, **more}
    alert = replace(firing(name), entity_name=name, end_reason=Reason.RESOLVED, **values)  # type: ignore[arg-type]
    return replace(alert, about=replace(alert.about, title=title))


WAIT = "Longest wait in queue"


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        pytest.param(
            [over("Sales EU"), over("Sales US", 50)],
            f"2 alerts began and ended between 11:00 and 11:55 EET, before they could be posted. {WAIT}: Sales EU, "
            "Sales US.",
            id="two of a rule",
        ),
        pytest.param(
            [over("Anna", title="Long break", parent_name="North"), over("Sales EU", 1), over("Sales EU", 20)],
            "3 alerts began and ended between 11:00 and 11:25 EET, before they could be posted. Long break: Anna "
            f"(North); {WAIT}: Sales EU (2 times).",
            id="two rules, and one several times",
        ),
        pytest.param(
            [over("Sales EU"), over("Support", 1, highest=Level.CRITICAL)],
            f"2 alerts began and ended between 11:00 and 11:06 EET, before they could be posted. {WAIT}: Support, "
            "Sales EU.",
            id="the worst first",
        ),
        pytest.param(
            [over(f"Q{number:02}", number) for number in range(12)],
            f"12 alerts began and ended between 11:00 and 11:16 EET, before they could be posted. {WAIT}: Q00, Q01, "
            "Q02, Q03, Q04, Q05, Q06, Q07, Q08, Q09 and 2 more.",
            id="more than are named",
        ),
        pytest.param(
            [*(over(f"Q{number:02}", number) for number in range(10)), over("Anna", 20, title="Long break")],
            f"11 alerts began and ended between 11:00 and 11:25 EET, before they could be posted. {WAIT}: Q00, Q01, "
            "Q02, Q03, Q04, Q05, Q06, Q07, Q08, Q09; Long break: 1 alert.",
            id="a rule of which none is named",
        ),
        pytest.param(
            [over("Sales EU", -20 * 60), over("Sales US")],
            f"2 alerts began and ended between 2026-03-01 15:00 EET and 11:05 EET, before they could be posted. "
            f"{WAIT}: Sales EU, Sales US.",
            id="since yesterday",
        ),
        pytest.param(
            [over("Sales\nEU")],
            f"1 alert began and ended between 11:00 and 11:05 EET, before it could be posted. {WAIT}: Sales EU.",
            id="one, with a line end in its name",
        ),
    ],
)
def test_in_one_line(alerts: list[Alert], expected: str) -> None:
    found = in_one_line(Unseen("#cc-sales", tuple(alerts)), ZoneInfo("Europe/Helsinki"), NINE + timedelta(hours=2))
    assert found == expected


def test_two_tenants_have_queues_of_one_name() -> None:
    """Where cards name their tenant, so does the line: these are two queues, and not one that fired twice."""
    other = over("Sales EU", 1)
    other = replace(other, key=other.key._replace(tenant="beta"))
    unseen = Unseen("#cc-sales", (over("Sales EU"), other))
    found = in_one_line(unseen, ZoneInfo("Europe/Helsinki"), NINE + timedelta(hours=2), show_tenant=True)
    assert found.endswith(f"{WAIT}: acme: Sales EU, beta: Sales EU.")
