"""Ended alerts as CSV and JSON: the documented columns, as a spreadsheet and a program read them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from alertbot.alerts.alert import Alert, Reason, State
from alertbot.commands.history_table import BOM, Row, csv_lines, json_of, rows
from alertbot.evaluation.measure import Measure
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Level
from tests.commands.kit import alert

FIRED = datetime(2026, 3, 2, 7, 0, 5, tzinfo=UTC)
HELSINKI = ZoneInfo("Europe/Helsinki")
HEAD = "rule,entity,level,begun,ended,duration_s,worst,owner,acknowledged_after_s,reason,tenant,parent"


def ended(**other: Any) -> Alert:
    values: dict[str, Any] = {
        "state": State.INACTIVE,
        "level": Level.WARNING,
        "highest": Level.CRITICAL,
        "fired_at": FIRED,
        "ended_at": FIRED + timedelta(minutes=19, seconds=30, milliseconds=250),
        "end_reason": Reason.RESOLVED,
        "peak": 250_000.0,
        "acked_by": "U034BOB",
        "acked_at": FIRED + timedelta(seconds=95),
    }
    return replace(alert(), **(values | other))


def one(made: Alert, owner: Callable[[str], str] = str) -> Row:
    (row,) = rows([made], {"acme": HELSINKI}, UTC, owner)
    return row


def cells(made: Alert, owner: Callable[[str], str] = str) -> dict[str, str]:
    """The cells of the one alert, read back as a spreadsheet reads them."""
    text = "".join(csv_lines([one(made, owner)]))
    (read,) = csv.DictReader(io.StringIO(text.removeprefix(BOM), newline=""))
    return read


def test_the_file() -> None:
    """BOM, the columns of the contract in their order, CR LF, ISO times with the offset of the tenant's zone."""
    assert list(csv_lines(rows([ended()], {"acme": HELSINKI}, UTC))) == [
        f"\ufeff{HEAD}\r\n",
        "longest-wait,Sales EU,critical,2026-03-02T09:00:05+02:00,2026-03-02T09:19:35+02:00,1170.25,250,U034BOB,95,"
        "resolved,acme,\r\n",
    ]


def test_without_an_alert_the_head_stands_alone() -> None:
    assert list(csv_lines([])) == [f"\ufeff{HEAD}\r\n"]


def measured(kind: ValueType, peak: float | None, op: str = ">") -> Alert:
    return ended(measure=Measure("x", kind, op, peak, 1.0), peak=peak)


DURATION, RATIO, COUNT = ValueType.DURATION, ValueType.RATIO, ValueType.COUNT
CELLS = {
    "a duration in seconds": (measured(DURATION, 90_500.0), {"worst": "90.5"}),
    "a ratio from 0 to 1": (measured(RATIO, 0.8531), {"worst": "0.8531"}),
    "a count": (measured(COUNT, 12.0), {"worst": "12"}),
    "a large number without an exponent": (measured(COUNT, 1e17), {"worst": "100000000000000000"}),
    "a small one": (measured(RATIO, 0.00001), {"worst": "0.00001"}),
    "a negative number is no formula": (measured(COUNT, -5.0), {"worst": "-5"}),
    "a moment, in seconds since 1970": (measured(ValueType.TIMESTAMP, 1_772_434_800_000.0), {"worst": "1772434800"}),
    "nothing measured": (ended(measure=None, peak=None), {"worst": ""}),
    "nothing compared": (measured(COUNT, 3.0, ""), {"worst": ""}),
    "not a number": (measured(COUNT, float("inf")), {"worst": ""}),
    "not acknowledged": (ended(acked_by=None, acked_at=None), {"owner": "", "acknowledged_after_s": ""}),
    "acknowledged before it was fired, by clocks that differ": (
        ended(acked_at=FIRED - timedelta(seconds=1)),
        {"acknowledged_after_s": "0"},
    ),
    "another reason": (ended(end_reason=Reason.NO_LONGER_REPORTED), {"reason": "no_longer_reported"}),
    "a tenant that is no longer configured": (
        ended(key=ended().key._replace(tenant="gone")),
        {"tenant": "gone", "begun": "2026-03-02T07:00:05+00:00"},
    ),
    "a parent": (
        ended(key=ended().key._replace(scope=Scope.QUEUE_AGENT, parent_id="103"), parent_name="Sales EU"),
        {"parent": "Sales EU"},
    ),
    "a name that is hidden": (ended(shown_as="DW (A12)"), {"entity": "DW (A12)"}),
    "a comma and quotes": (ended(entity_name='Sales, "EU"'), {"entity": 'Sales, "EU"'}),
    "two lines": (ended(entity_name="Sales\nEU"), {"entity": "Sales\nEU"}),
} | {
    f"a formula that begins with {first!r}": (ended(entity_name=f"{first}SUM(A1)"), {"entity": f"'{first}SUM(A1)"})
    for first in "=+-@\t\r"
}


@pytest.mark.parametrize(("made", "wanted"), CELLS.values(), ids=CELLS)
def test_cells(made: Alert, wanted: dict[str, str]) -> None:
    """The value of one alert in one column."""
    read = cells(made)
    assert {name: read[name] for name in wanted} == wanted


def test_an_owner_has_the_display_name() -> None:
    """It is data too: a name may begin like a formula."""
    assert cells(ended(), {"U034BOB": "Bob K"}.__getitem__)["owner"] == "Bob K"
    assert cells(ended(), lambda user: "=Bob")["owner"] == "'=Bob"


LEFT_OUT = {
    "it never fired": ended(fired_at=None),
    "its rule is in shadow": ended(about=replace(ended().about, shadow=True)),
    "it has not ended": ended(ended_at=None),
}


@pytest.mark.parametrize("made", LEFT_OUT.values(), ids=LEFT_OUT)
def test_left_out(made: Alert) -> None:
    """As in the answer of `history`. An alert of a rule that was in shadow after it was reported stays."""
    assert list(rows([made], {}, UTC)) == []
    reported = replace(ended(about=replace(ended().about, shadow=True)), reported=Level.WARNING)
    assert len(list(rows([reported], {}, UTC))) == 1


def test_over_the_end_of_summer_time() -> None:
    """Each time has its own offset, so the two passes of a repeated hour differ."""
    before = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    read = cells(ended(fired_at=before, ended_at=before + timedelta(hours=1)))
    assert (read["begun"], read["ended"]) == ("2026-10-25T03:30:00+03:00", "2026-10-25T03:30:00+02:00")
    assert read["duration_s"] == "3600"


def test_json() -> None:
    """The same fields; numbers are numbers, and missing values are null."""
    assert json_of(one(ended())) == {
        "rule": "longest-wait",
        "entity": "Sales EU",
        "level": "critical",
        "begun": "2026-03-02T09:00:05+02:00",
        "ended": "2026-03-02T09:19:35+02:00",
        "duration_s": 1170.25,
        "worst": 250,
        "owner": "U034BOB",
        "acknowledged_after_s": 95,
        "reason": "resolved",
        "tenant": "acme",
        "parent": "",
    }
    bare = json_of(one(ended(peak=None, acked_by=None, acked_at=None)))
    assert (bare["worst"], bare["owner"], bare["acknowledged_after_s"]) == (None, "", None)
    assert list(bare) == HEAD.split(",")
