"""Whether two workers are configured alike."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from alertbot.config.settings import Settings
from alertbot.fleet.agreement import compared, difference
from alertbot.rules.hours import Calendar, TimeRange

SECRET = "a-very-secret-word"


def _settings(**more: Any) -> Settings:
    tenant = {"name": "acme", "region": "us", "api_key": "k", "api_secret": SECRET}
    plain: dict[str, Any] = {"tenants": [tenant], "slack": {"bot_token": f"xoxb-{SECRET}", "default_channel": "#a"}}
    return Settings.model_validate({**plain, **more})


def _tenant(**more: Any) -> list[dict[str, Any]]:
    return [{"name": "acme", "region": "us", "api_key": "k", "api_secret": SECRET, **more}]


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "the same": ({}, ""),
    "another address to listen on": ({"http": {"host": "127.0.0.1", "port": 9000}}, ""),
    "another way to the database": ({"storage": "postgresql://alertbot:pw@db.internal/alertbot"}, ""),
    "another secret": ({"slack": {"bot_token": "xoxb-new", "default_channel": "#a"}}, ""),
    "a setting": ({"history": "30d"}, "history is 90d here and 30d there"),
    "a setting within a section": (
        {"slack": {"bot_token": "xoxb-1", "default_channel": "#b"}},
        "slack.default_channel is #a here and #b there",
    ),
    "a tenant's pace": ({"tenants": _tenant(poll_every="30s")}, "tenants acme.poll_every is 15s here and 30s there"),
    "one tenant more": (
        {"tenants": [*_tenant(), {**_tenant()[0], "name": "zenith"}]},
        "tenants zenith is not set here and set there",
    ),
}


@pytest.mark.parametrize(("more", "expected"), CASES.values(), ids=CASES)
def test_differences(more: dict[str, Any], expected: str) -> None:
    assert difference(compared(_settings()), compared(_settings(**more))) == expected


def test_only_some_of_many_differences_are_told() -> None:
    other = _settings(history="30d", stale_after="5m", max_messages=30, nag_after="3h", timezone="Europe/Helsinki")
    assert difference(compared(_settings()), compared(other)).endswith("; and 2 more")


def test_no_secret_is_compared() -> None:
    """It is stored in the database for the other workers to read."""
    assert SECRET not in compared(_settings(storage=f"postgresql://alertbot:{SECRET}@db/alertbot"))


def test_a_calendar_of_the_same_name_that_opens_at_other_times() -> None:
    """Where it is written does not matter: the files of two machines may have other names."""

    def calendar(opens: int, where: str) -> dict[str, Any]:
        day = (TimeRange(60 * opens, 60 * 17),)
        holidays = frozenset({date(2026, 12, 24), date(2026, 12, 25)})
        return {
            "hours": {"office": Calendar("office", "Europe/Helsinki", (day,) * 5 + ((), ()), holidays, where=where)}
        }

    at_eight, elsewhere, at_nine = calendar(8, "a:1"), calendar(8, "b:7"), calendar(9, "a:1")
    assert difference(compared(_settings(**at_eight)), compared(_settings(**elsewhere))) == ""
    assert difference(compared(_settings(**at_eight)), compared(_settings(**at_nine))) == "hours.office.weekly differs"
