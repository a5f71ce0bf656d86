"""Times in answers are in the reader's time zone, where Slack says which that is."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from slack_bolt import BoltRequest
from slack_sdk import WebClient

from alertbot.slack.zones import NO_SCOPE, Zones
from tests.slack.slack_server import TOKEN, SlackServer, limited, refused, slack_server
from tests.web.kit import Desk, slash

ANNA, BOB, BOT = "U012ANNA", "U034BOB", "U0BOT"


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with slack_server() as server:
        server.zones = {ANNA: "Europe/Helsinki", BOB: "America/New_York", BOT: None, "U0ODD": "Mars/Olympus"}
        yield server


@contextmanager
def asked(slack: SlackServer, desk: Desk | None = None) -> Iterator[Callable[..., str]]:
    """A function (text, user) -> the text of the answer, with that Slack behind it."""
    app = (desk or Desk()).app(WebClient(token=TOKEN, base_url=slack.api_url))

    def ask(text: str, user: str = ANNA) -> str:
        headers = {"content-type": ["application/x-www-form-urlencoded"]}
        answer = app.dispatch(BoltRequest(body=slash(text, user=user).decode(), headers=headers))
        return str(json.loads(answer.body)["text"])

    yield ask
    app.close()


CASES = {
    "hers": ("alerts", ANNA, "since 10:48 EET"),
    "his": ("alerts", BOB, "since 03:48 EST"),
    "without a zone in Slack": ("alerts", BOT, "since 08:48 UTC"),
    "a zone that is not known here": ("alerts", "U0ODD", "since 08:48 UTC"),
    "a user that Slack does not know": ("alerts", "U0GONE", "since 08:48 UTC"),
    "shared with a channel": ("alerts public", ANNA, "since 08:48 UTC"),
    "of a change": ("ack 17", ANNA, "acknowledged by <@U012ANNA>"),
}


@pytest.mark.parametrize(("text", "user", "said"), CASES.values(), ids=CASES)
def test_times_are_the_readers(slack: SlackServer, text: str, user: str, said: str) -> None:
    """The zone of Slack's users.info; without one, and for many readers, the configured one."""
    with asked(slack) as ask:
        assert said in ask(text, user)


CALLED: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "the display name": (
        {"name": "anna", "real_name": "Anna K", "profile": {"display_name": "Anna 🌲", "real_name": "Anna K"}},
        [(ANNA, "Anna 🌲")],
    ),
    "without one, the real name": (
        {"name": "anna", "profile": {"display_name": "", "real_name": "Anna K"}},
        [(ANNA, "Anna K")],
    ),
    "without a profile": ({"name": "anna", "profile": None}, [(ANNA, "anna")]),
    "without any": ({}, []),
}


@pytest.mark.parametrize(("user", "wanted"), CALLED.values(), ids=CALLED)
def test_names_are_noted(slack: SlackServer, user: dict[str, Any], wanted: list[tuple[str, str]]) -> None:
    """How Slack shows a user who asks: of the answer that has the time zone."""
    slack.users[ANNA] = user
    noted: list[tuple[str, str]] = []
    app = Desk().app(WebClient(token=TOKEN, base_url=slack.api_url), called=lambda *each: noted.append(each))
    headers = {"content-type": ["application/x-www-form-urlencoded"]}
    app.dispatch(BoltRequest(body=slash("alerts", user=ANNA).decode(), headers=headers))
    app.close()
    assert noted == wanted


def test_a_zone_is_kept(slack: SlackServer) -> None:
    """Slack is asked once a user, and not at all for what shows no times."""
    with asked(slack) as ask:
        for text in ("help", "metrics wait", "alerts", "status", "alerts"):
            ask(text)
    assert slack.called("users.info") == [{"user": ANNA}]


def test_a_missing_scope_disables_only_this(slack: SlackServer) -> None:
    """An app installed before users:read: the configured zone, `status` names it, Slack is not asked again."""
    slack.next("users.info", refused("missing_scope"))
    with asked(slack) as ask:
        assert "since 08:48 UTC" in ask("alerts")
        assert f"Problem: {NO_SCOPE}" in ask("status", BOB)
        assert "acknowledged by" in ask("ack 17")
    assert len(slack.called("users.info")) == 1


@pytest.mark.parametrize("fault", [limited(), refused("fatal_error")], ids=["429", "an error"])
def test_slack_that_fails_costs_the_zone_only(slack: SlackServer, fault: object) -> None:
    slack.next("users.info", fault)  # type: ignore[arg-type]
    with asked(slack) as ask:
        assert "since 08:48 UTC" in ask("alerts")
        assert "Problem" not in ask("status")


class Workspace:
    def __init__(self) -> None:
        self.zone = "Europe/Helsinki"
        self.asked = 0
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.read = threading.Event()

    def fetch(self, user: str) -> str:
        self.asked += 1
        self.gate.wait(10)
        try:
            if self.error:
                raise self.error
            return self.zone
        finally:
            self.read.set()


def test_slack_that_does_not_answer_delays_no_answer() -> None:
    """The first read is waited for a little; who asks meanwhile starts no other one."""
    workspace = Workspace()
    zones = Zones(workspace.fetch, first_wait=0.0)
    assert [zones.of(ANNA), zones.of(ANNA)] == ["", ""]
    workspace.gate.set()
    zones.close()
    assert workspace.asked <= 1


def test_an_old_zone_is_better_than_none() -> None:
    """A read that fails later keeps what was known, and is retried."""
    workspace = Workspace()
    workspace.gate.set()
    zones = Zones(workspace.fetch, keep=0.0, retry_after=0.0, first_wait=5.0)
    assert zones.of(ANNA) == "Europe/Helsinki"
    workspace.error = OSError("gone")
    for _ in range(3):
        workspace.read.clear()
        assert zones.of(ANNA) == "Europe/Helsinki"
    zones.close()
