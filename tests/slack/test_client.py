"""The client for Slack's Web API: one deadline for a whole call, no redirect, and what is known of Slack from it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from slack_sdk.errors import SlackApiError

import alertbot
from alertbot.clock import steady, wall_clock
from alertbot.slack.client import Contact, Deadline, SlackClient, _Connection
from tests.slack import slack_server as fake
from tests.slack.slack_server import TOKEN, SlackServer, slack_server


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with slack_server() as server:
        yield server


def client(slack: SlackServer, contact: Contact | None = None, timeout: int = 1) -> SlackClient:
    return SlackClient(TOKEN, contact=contact, base_url=slack.api_url, timeout=timeout, retry_handlers=[])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int, slack: SlackServer) -> None:
    """The other host is sent nothing, the token least of all."""
    with slack_server() as other:
        slack.next(
            "auth.test", fake.Fault(status=status, body="", headers=(("Location", other.api_url + "auth.test"),))
        )
        with pytest.raises(SlackApiError):
            client(slack).auth_test()
        assert other.calls == []


def test_every_client_is_this_one() -> None:
    """No other part makes a client of slack_sdk, which would follow redirects."""
    package = Path(alertbot.__file__).parent
    made = [path.name for path in package.rglob("*.py") if re.search(r"[^(]\bWebClient\(", path.read_text("utf-8"))]
    assert made == []


@pytest.mark.parametrize("fault", [fake.DRIP_AFTER, fake.HANG_AFTER], ids=["drips", "hangs"])
def test_a_call_ends_at_its_deadline(fault: fake.Fault, slack: SlackServer) -> None:
    """Whatever arrives meanwhile."""
    slack.next("auth.test", fault)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        client(slack).auth_test()
    assert 0.9 < time.monotonic() - began < 3


def test_an_answer_without_an_end_is_not_kept(slack: SlackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than any answer of Slack's: refused instead of held in memory."""
    monkeypatch.setattr("alertbot.slack.client.MAX_BYTES", 1000)
    slack.next("auth.test", fake.Fault(body=" " * 2000))
    with pytest.raises(ValueError, match="without an end"):
        client(slack, timeout=5).auth_test()


def test_contact_counts_from_the_first_failure(slack: SlackServer) -> None:
    """A refusal is an answer; a gateway's 503 and a broken connection are none."""
    now = [100.0]
    contact = Contact(monotonic=lambda: now[0])
    web = client(slack, contact)
    assert (contact.unreachable_for, contact.answered_ago) == (None, None)
    for fault in (fake.DROP_BEFORE, fake.SERVER_ERROR):
        slack.next("auth.test", fault)
        with pytest.raises((SlackApiError, OSError)):
            web.auth_test()
        now[0] += 10
    assert contact.unreachable_for == 20
    slack.next("auth.test", fake.refused("not_authed"))
    with pytest.raises(SlackApiError):
        web.auth_test()
    assert (contact.unreachable_for, contact.answered_ago) == (None, 0)


def test_the_clock_of_slack_is_known_from_its_answers(slack: SlackServer) -> None:
    """By the header `Date`, which has whole seconds."""
    contact = Contact(wall_clock)
    slack.date = lambda: time.time() - 70
    client(slack, contact).auth_test()
    assert timedelta(seconds=-72) < contact.offset < timedelta(seconds=-69)


def test_one_answer_with_an_old_date_is_not_the_clock(slack: SlackServer) -> None:
    """One that was made, or waited to be read, while a machine was paused. Two in a row are believed."""
    contact = Contact(wall_clock)
    web = client(slack, contact)
    slack.date = time.time
    web.auth_test()
    slack.date = lambda: time.time() - 118
    web.auth_test()
    assert abs(contact.offset) < timedelta(seconds=3)
    web.auth_test()
    assert timedelta(seconds=-120) < contact.offset < timedelta(seconds=-117)


@pytest.mark.parametrize(("seconds", "sent"), [(0.1, True), (60.0, False)], ids=["a moment", "a minute"])
def test_a_call_that_began_long_ago_sends_nothing(seconds: float, sent: bool, slack: SlackServer) -> None:
    """The process was stopped between its last check and the request: the time of the call was over meanwhile."""
    web = client(slack, timeout=8)
    with web.call_from(steady() - seconds):
        if sent:
            web.auth_test()
        else:
            with pytest.raises(URLError, match="took too long"):
                web.auth_test()
    assert [method for method, _ in slack.calls] == ["auth.test"] * sent
    web.auth_test()  # which begins now


class Paused(_Connection):
    """Of a process that is paused for a minute once `after` parts of the request were sent."""

    def __init__(self, *args: Any, after: int, **options: Any) -> None:
        self.now, self.left = 0.0, after
        super().__init__(*args, deadline=Deadline(8.0, lambda: self.now), **options)
        self.now += 60 * (after == 0)

    def send(self, data: Any) -> None:
        super().send(data)
        self.left -= 1
        self.now += 60 * (self.left == 0)


@pytest.mark.parametrize(("after", "sent"), [(0, False), (1, False), (2, True)], ids=["all", "its body", "none"])
def test_the_answer_to_a_request_that_was_sent_late(after: int, sent: bool, slack: SlackServer) -> None:
    """What was left to be sent when the process was paused, and is not. The answer to what was sent is read."""
    with closing(Paused("127.0.0.1", int(slack.url.rpartition(":")[2]), after=after)) as connection:
        args = ("POST", "/api/auth.test", b"x=1", {"Authorization": f"Bearer {TOKEN}"})
        if not sent:
            with pytest.raises(TimeoutError, match="took too long"):
                connection.request(*args)
            return
        connection.request(*args)
        assert json.loads(connection.getresponse().read())["user_id"] == fake.BOT_USER_ID
        connection.now += 4
        assert 0 < connection._deadline.remaining() <= 1


def test_an_answer_is_not_waited_for_longer(slack: SlackServer) -> None:
    """If the request was sent in time, the process was paused later: others find the message by then."""
    with closing(Paused("127.0.0.1", int(slack.url.rpartition(":")[2]), after=9)) as connection:
        connection.request("POST", "/api/auth.test", b"x=1", {})
        connection.now = 7.0
        answer = connection.getresponse()
        connection.now = 8.1
        with pytest.raises(TimeoutError, match="took too long"):
            connection._deadline.remaining()
        answer.close()
