"""The Home tab: what it shows, within Slack's limits, and when it is published. See also test_local_slack."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from slack_bolt import BoltRequest
from slack_sdk import WebClient

from alertbot.alerts.alert import Mute, MuteKind, State
from alertbot.commands.command import Line, Reply
from alertbot.commands.home import READS, Home, home
from alertbot.commands.view import View
from alertbot.errors import StoreError
from alertbot.rules.rule import Level
from alertbot.slack.desk import SlackApp
from alertbot.slack.home import NOT_ENABLED, HomeTab, home_view, plain_view
from alertbot.slack.permissions import MayChange
from tests.commands.kit import ANNA, NOW, alert, only, silence, view
from tests.golden import check_golden
from tests.service.bot import until
from tests.slack.slack_server import (
    HTML,
    SERVER_ERROR,
    TOKEN,
    Fault,
    SlackServer,
    limited,
    problem_of_home,
    refused,
    slack_server,
)
from tests.web.kit import Desk, choose, press, submit

BUSY = view(
    alerts=[
        alert(17, entity=("103", "Sales <!channel> *EU* & @here"), acked_by="U034BOB", acked_at=NOW),
        alert(
            18,
            entity=("104", "Sales US"),
            level=Level.WARNING,
            muted=Mute(MuteKind.SILENCED, 22, NOW),
            for_=timedelta(hours=2),
        ),
        alert(19, entity=("105", "Support"), state=State.RECOVERING, recovering_since=NOW - timedelta(minutes=1)),
    ],
    silences=[silence(22, reason="new phones")],
    waiting=2,
    problems=("Slack refuses the bot token.",),
)
SAID = Reply((Line("#17 is already acknowledged, by someone.", level=Level.WARNING),), problem=True)


def drawn(seen: View, said: Reply | None = None) -> dict[str, Any]:
    return home_view(home(only(seen, READS), ANNA, NOW), said)


def test_the_view() -> None:
    """All of it, in Slack's form: an answer on top, alerts with buttons, data, silences, commands, its time."""
    check_golden("slack/home.json", json.dumps(drawn(BUSY, SAID), indent=1, ensure_ascii=False) + "\n")


def test_nothing_from_data_is_markup() -> None:
    """A queue called <!channel> mentions no one, and formats nothing."""
    shown = json.dumps(drawn(BUSY), ensure_ascii=False)
    assert "<!channel>" not in shown
    assert "&lt;!channel&gt;" in shown
    texts = [block["text"] for block in drawn(BUSY)["blocks"] if block["type"] == "section"]
    assert all(text["verbatim"] is True for text in texts)


LONG = "Every & <queue> " * 40
CROWDS = {
    "nothing": view(),
    "the usual": BUSY,
    "a storm": view(alerts=[alert(number, entity=(str(number), LONG)) for number in range(1, 301)]),
    "many silences": view(silences=[silence(number, (("name", "<x>" * 150),)) for number in range(1, 101)]),
    "many problems": view(problems=tuple(f"{number} {LONG}" for number in range(100))),
    "all of it": view(
        alerts=[alert(number, entity=(str(number), LONG), ack_note=LONG, acked_by="U1") for number in range(1, 301)],
        silences=[silence(number, (("name", "<x>" * 150),), reason=LONG) for number in range(1, 101)],
        problems=tuple(f"{number} {LONG}" for number in range(100)),
    ),
}
ANSWERS = {"no answer": None, "an answer": SAID, "a long one": Reply(tuple(Line(LONG * 3) for _ in range(200)))}


@pytest.mark.parametrize("said", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("seen", CROWDS.values(), ids=CROWDS)
def test_limits(seen: View, said: Reply | None) -> None:
    """100 blocks, 250 kB, and the limits of each block, with "and N more" for what is left out."""
    page = home(only(seen, READS), ANNA, NOW)
    assert problem_of_home(home_view(page, said)) == ""
    assert problem_of_home(plain_view(page, said)) == ""
    if len(seen.alerts) > 20:
        assert "and 280 more; /alertbot alerts RULE or NAME" in json.dumps(home_view(page, said))


# When it is published.

QUIET = logging.getLogger("tests.slack.home")
QUIET.setLevel(logging.CRITICAL)


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with slack_server() as server:
        yield server


@contextmanager
def running(slack: SlackServer, desk: Desk | None = None, may: MayChange | None = None) -> Iterator[SlackApp]:
    app = (desk or Desk()).app(WebClient(token=TOKEN, base_url=slack.api_url), may_change=may)
    yield app
    app.close(10)


def open_home(app: SlackApp, user: str = "U012ANNA", tab: str = "home") -> int:
    """As the Events API sends it; the status of the acknowledgement."""
    event = {"type": "app_home_opened", "user": user, "channel": "D1", "tab": tab, "event_ts": "1.2"}
    body = {"type": "event_callback", "team_id": "T0ACME", "api_app_id": "A0", "event_id": "Ev1", "event": event}
    return app.dispatch(BoltRequest(body=body, mode="socket_mode")).status


def push(app: SlackApp, value: str = "17", **other: Any) -> int:
    """Press a button in the Home tab: such a press has a view, and neither a channel nor a response_url."""
    home = {"container": {"type": "view", "view_id": "V1"}, "view": {"id": "V1", "type": "home"}, "channel": None}
    payload = json.loads(parse_qs(press(value, **home | other).decode())["payload"][0])
    payload.pop("channel")
    return app.dispatch(BoltRequest(body=payload, mode="socket_mode")).status


def page_of(user: str) -> Home:
    return home(only(BUSY, READS), ANNA, NOW)


def text_of(shown: dict[str, Any]) -> str:
    return json.dumps(shown, ensure_ascii=False)


def top_of(shown: dict[str, Any]) -> str:
    return str(shown["blocks"][0]["text"]["text"])


def test_it_is_published_when_it_is_opened(slack: SlackServer) -> None:
    """For its reader alone, with the reader's times; the tab with messages is another tab."""
    slack.zones = {"U012ANNA": "Europe/Helsinki"}
    with running(slack) as app:
        assert open_home(app, tab="messages") == 200
        assert open_home(app) == 200
        shown = slack.home("U012ANNA")
    assert list(slack.homes) == ["U012ANNA"]
    assert len(slack.homes["U012ANNA"]) == 1
    assert top_of(shown) == "🔴 *1 firing, critical.*"
    assert "since 10:48 EET" in text_of(shown)
    assert "As of <!date^1772442000^" in text_of(shown)


def test_a_button_of_the_tab(slack: SlackServer) -> None:
    """The change is made, and the tab is published again: the answer stands on top until it is opened again."""
    desk = Desk()
    with running(slack, desk) as app:
        assert push(app) == 200
        shown = slack.home("U012ANNA")
        assert desk.alert.acked_by == "U012ANNA"
        assert "acknowledged by <@U012ANNA>" in top_of(shown)
        assert push(app, user="U034BOB", trigger_id="2") == 200
        assert "is already acknowledged, by <@U012ANNA>" in top_of(slack.home("U034BOB"))
        assert push(app, actions=[{"type": "button", "action_id": "why", "value": "17"}], trigger_id="3") == 200
        assert "longest-wait" in top_of(slack.home("U012ANNA"))
        open_home(app)
        assert top_of(slack.home("U012ANNA")) == "🔴 *1 firing, critical, 1 acknowledged.*"
    assert slack.called("views.publish")[-1]["user_id"] == "U012ANNA"
    assert len(slack.called("views.publish")) == 4


def test_give_back_and_silence(slack: SlackServer) -> None:
    """Each button of the tab is answered in the tab."""
    desk = Desk(alert=alert(acked_by="U012ANNA"))
    with running(slack, desk) as app:
        push(app, actions=[{"type": "button", "action_id": "give_back", "value": "17"}], trigger_id="1")
        assert "given back by <@U012ANNA>" in top_of(slack.home("U012ANNA"))
        assert push(app, actions=choice("1h 17"), trigger_id="2") == 200
        assert "Silence #20 until 10:00 UTC" in top_of(slack.home("U012ANNA"))
        assert push(app, actions=choice("never 17"), trigger_id="3") == 200
        assert "This menu option does not exist" in top_of(slack.home("U012ANNA"))


def test_the_form_of_the_silence_menu(slack: SlackServer) -> None:
    """It is opened from the tab, and answers itself; the tab shows what it changed.

    The tab is published when it opens, too: Slack reports no second choice of an option until the menu is drawn again.
    """
    desk = Desk()
    with running(slack, desk) as app:
        open_home(app)
        slack.home("U012ANNA")
        assert push(app, actions=choice("other 17"), trigger_id="1") == 200
        until("the form is opened", lambda: bool(slack.views and slack.views[0]), within=10)
        assert top_of(slack.home("U012ANNA")) == "🔴 *1 firing, critical.*"  # nothing has changed yet
        payload = json.loads(parse_qs(submit(slack.views[0], "2h", "new phones").decode())["payload"][0])
        answer = app.dispatch(BoltRequest(body=payload, mode="socket_mode"))
        assert "Silence #20 until 11:00 UTC" in str(answer.body)
        slack.home("U012ANNA")
    assert len(slack.homes["U012ANNA"]) == 3
    assert [made.author for made in desk.silences] == ["U012ANNA"]


def choice(value: str) -> list[dict[str, Any]]:
    """The action of an option that was chosen in the Silence menu."""
    return list(json.loads(parse_qs(choose(value).decode())["payload"][0])["actions"])


def test_a_press_that_comes_twice(slack: SlackServer) -> None:
    """The same envelope twice is one press, and one answer."""
    desk = Desk()
    with running(slack, desk) as app:
        assert [push(app, trigger_id="7.1") for _ in range(3)] == [200] * 3
        slack.home("U012ANNA")
    assert len(desk.asked) == 1
    assert len(slack.called("views.publish")) == 1


def test_who_may_not_change_anything(slack: SlackServer) -> None:
    """The buttons are shown, as on cards; pressing one is refused, and the refusal says where that is set."""
    desk = Desk()
    with running(slack, desk, MayChange(channels=frozenset({"C01ALERTS"}))) as app:
        push(app)
        shown = slack.home("U012ANNA")
    assert "You are not allowed to change alerts from here." in top_of(shown)
    assert "acknowledge" in text_of(shown)
    assert desk.alert.acked_by is None


def test_a_button_that_belongs_to_nothing(slack: SlackServer) -> None:
    """A value that is no id is answered, not trusted."""
    with running(slack) as app:
        push(app, "17; drop")
        assert top_of(slack.home("U012ANNA")) == "*This button belongs to no alert.*"


def test_a_change_elsewhere(slack: SlackServer) -> None:
    """A change by its reader on a card publishes a tab that was opened a short time ago, and no other tab."""
    desk = Desk()
    with running(slack, desk) as app:
        open_home(app)
        slack.home("U012ANNA")
        payload = json.loads(parse_qs(press(trigger_id="1").decode())["payload"][0])
        app.dispatch(BoltRequest(body=payload, mode="socket_mode"))
        assert "acknowledged by <@U012ANNA>" in text_of(slack.home("U012ANNA"))
        unack = {"command": "/alertbot", "text": "unack 17", "user_id": "U034BOB", "channel_id": "C1", "team_id": "T1"}
        assert "given back" in str(app.dispatch(BoltRequest(body=unack, mode="socket_mode")).body)
    assert list(slack.homes) == ["U012ANNA"]


def test_opened_again_and_again(slack: SlackServer) -> None:
    """One call at a time for each user: what is asked for meanwhile becomes one more, and it shows the latest."""
    desk = Desk()
    holding = threading.Event()
    slack.pause = lambda: 0.0 if holding.is_set() else 20.0
    with running(slack, desk) as app:
        open_home(app)
        assert slack.published.acquire(timeout=10)  # the first call has reached Slack, which does not answer yet
        for _ in range(50):
            assert open_home(app) == 200
        push(app)
        assert desk.woken.wait(10)
        holding.set()
        slack.go_on.set()
        shown = slack.home("U012ANNA")
    assert len(slack.called("views.publish")) <= 3
    assert "acknowledged by <@U012ANNA>" in text_of(shown)


def test_slack_refuses_the_page(slack: SlackServer, caplog: pytest.LogCaptureFixture) -> None:
    """A page without alerts and buttons is better than none."""
    slack.next("views.publish", refused("invalid_arguments"))
    with running(slack) as app:
        open_home(app)
        shown = slack.home("U012ANNA")
    assert "Slack refused the full page" in text_of(shown)
    assert "invalid_arguments" in caplog.text


def test_a_rate_limit_is_waited_for(slack: SlackServer) -> None:
    """After a 429 it is published when Slack allows it."""
    slack.next("views.publish", limited("1"))
    with running(slack) as app:
        open_home(app)
        assert "1 firing" in text_of(slack.home("U012ANNA"))
    assert len(slack.called("views.publish")) == 2


@pytest.mark.parametrize(
    ("error", "says", "traceback"),
    [
        (RuntimeError("locked"), "unexpected error in alertbot", True),
        (StoreError("locked"), "the database cannot be used now", False),
    ],
    ids=["unexpected", "no database"],
)
def test_what_cannot_be_read(
    slack: SlackServer, caplog: pytest.LogCaptureFixture, error: Exception, says: str, traceback: bool
) -> None:
    """The page says that there is a problem. The log has the traceback of an unexpected error only."""
    desk = Desk(error=error)
    with running(slack, desk) as app:
        open_home(app)
        assert f"This page could not be drawn: {says}" in text_of(slack.home("U012ANNA"))
        push(app)
        assert f"Could not answer: {says}" in top_of(slack.home("U012ANNA"))
    assert "locked" in caplog.text
    assert ("Traceback" in caplog.text) is traceback


class _Slack:
    """Answers views.publish by a given function, and counts the calls."""

    def __init__(self, answer: Callable[[str], None]) -> None:
        self.answer = answer
        self.calls: list[str] = []
        self.done = threading.Semaphore(0)

    def views_publish(self, *, user_id: str, view: dict[str, Any]) -> None:
        self.calls.append(user_id)
        try:
            self.answer(user_id)
        finally:
            self.done.release()


FAULTS: dict[str, tuple[Fault, str, str]] = {
    "Slack is down": (SERVER_ERROR, "", "Could not publish a Home tab: no usable answer from Slack (HTTP 503)"),
    "a proxy answers": (HTML, "", "Could not publish a Home tab: no usable answer from Slack (HTTP 200)"),
    "a scope is missing": (
        refused("missing_scope"),
        "the Home tab cannot be shown: Could not publish a Home tab: Slack refuses the bot token (missing_scope, "
        "needed: )",
        "",
    ),
    "the Home tab is not enabled": (refused("not_enabled"), NOT_ENABLED, ""),
    "a user that is gone": (
        refused("user_not_found"),
        "",
        "Could not publish a Home tab: Slack refuses it (user_not_found)",
    ),
}


@pytest.mark.parametrize(("fault", "problem", "logged"), FAULTS.values(), ids=FAULTS)
def test_faults(slack: SlackServer, caplog: pytest.LogCaptureFixture, fault: Fault, problem: str, logged: str) -> None:
    """Logged once, however often it is opened; `status` reports what has to be done; then it works again."""
    slack.next("views.publish", *[fault] * 3)
    tab = HomeTab(WebClient(token=TOKEN, base_url=slack.api_url, retry_handlers=[], logger=QUIET), page_of)
    with caplog.at_level(logging.WARNING, logger="alertbot.slack.home"):
        for number in range(3):
            tab.opened(f"U{number}")
        until("three are published", lambda: len(slack.called("views.publish")) == 3 and not tab._busy, within=10)
        assert tab.problem == problem
        assert [record.getMessage() for record in caplog.records] == [problem or logged]
        tab.opened("U1")
        slack.home("U1")
    tab.close(wait=True)
    assert tab.problem == ""
    assert TOKEN not in caplog.text


def test_the_problem_is_in_status(slack: SlackServer) -> None:
    """As for other things that the app lacks."""
    slack.next("views.publish", refused("not_enabled"))
    with running(slack) as app:
        open_home(app)
        until("the problem is known", lambda: bool(app._home.problem), within=10)
        status = {"command": "/alertbot", "text": "status", "user_id": "U1", "channel_id": "C1", "team_id": "T1"}
        answer = app.dispatch(BoltRequest(body=status, mode="socket_mode"))
    assert "Problem: the Home tab cannot be shown: enable it in the Slack app" in str(answer.body)


def test_one_user_does_not_hold_up_the_others() -> None:
    """While the page of one user hangs, and that of another fails, a third is published."""
    hang, shown = threading.Event(), threading.Event()

    def answer(user: str) -> None:
        if user == "U0HANGS":
            assert hang.wait(20)
        elif user == "U0FAILS":
            raise RuntimeError("an unexpected answer")
        else:
            shown.set()

    slack: Any = _Slack(answer)
    tab = HomeTab(slack, page_of)
    for user in ("U0HANGS", "U0FAILS", "U012ANNA"):
        tab.opened(user)
    assert shown.wait(10)
    hang.set()
    tab.close(wait=True)
    tab.opened("U0LATE")
    assert "U0LATE" not in slack.calls


def test_answers_do_not_wait_for_it(slack: SlackServer) -> None:
    """While Slack hangs in views.publish, commands are answered."""
    slack.pause = lambda: 20.0
    with running(slack) as app:
        for number in range(20):
            open_home(app, f"U{number}")
        slack.published.acquire(timeout=10)
        asked = {"command": "/alertbot", "text": "help", "user_id": "U1", "channel_id": "C1", "team_id": "T1"}
        assert "/alertbot and one of" in str(app.dispatch(BoltRequest(body=asked, mode="socket_mode")).body)
        slack.go_on.set()
