"""The courier over a real store and a Slack that does not answer: no lane waits for another."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from alertbot.alerts.alert import Reason
from alertbot.clock import wall_clock
from alertbot.rules.rule import Level
from alertbot.service.courier import Courier
from alertbot.service.signal import ThreadSignal
from alertbot.slack.client import Contact
from alertbot.slack.notifier import SlackNotifier
from tests.notify.world import ME, World, world
from tests.service.bot import until
from tests.slack import slack_server as fake
from tests.slack.slack_server import TOKEN


class Office(World):
    """A World with a courier instead of single calls of `deliver`."""

    def open(self) -> Courier:
        self.notifier = SlackNotifier(
            self.token,
            api_url=self.slack.api_url,
            post_timeout=2,
            read_timeout=2,
            contact=Contact(lambda: self.now, lambda: self.now.timestamp()),
        )
        return Courier(
            self.store,
            self.notifier,
            lambda: self.now,
            ThreadSignal(),
            threading.Event(),
            claimant=ME,
            fallback_channel="#cc-alerts",
            ops_channel="#cc-ops",
            timezone="UTC",
        )


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Office]:
    with world(tmp_path, Office) as made:
        assert isinstance(made, Office)
        yield made


@pytest.mark.parametrize("fault", [fake.DRIP_AFTER, fake.HANG_AFTER], ids=["drips", "hangs"])
def test_a_channel_that_does_not_answer_delays_no_other(fault: fake.Fault, there: Office) -> None:
    """It is in a call for its whole deadline; meanwhile the others are delivered."""
    there.slack.always["chat.postMessage", "C0SALES"] = fault
    there.fire("1", channel="#cc-sales", level=Level.CRITICAL)
    there.fire("2", channel="#cc-alerts", level=Level.WARNING)
    courier = there.open()
    courier.start()
    began = time.monotonic()
    until("the other channel has its card", lambda: there.slack.top("cc-alerts"), within=5)
    there.fire("3", channel="#cc-ops", level=Level.INFO)
    until("and a third one, decided meanwhile", lambda: there.slack.top("cc-ops"), within=5)
    assert time.monotonic() - began < 1.9  # before the deadline of the first
    assert courier.stop(5)


def test_a_new_critical_alert_waits_for_no_edit(there: Office) -> None:
    """Twelve cards that cannot be closed, and a new alert in the same channel."""
    there.slack.channels |= {f"c{number}": f"C{number:07}" for number in range(12)}
    courier = there.open()
    for number in range(12):
        there.fire(str(number), channel=f"#c{number}", level=Level.CRITICAL)
    courier.deliver_due()
    there.later(10)
    for number in range(12):
        there.slack.always["chat.update", f"C{number:07}"] = fake.HANG_AFTER
        there.resolve(str(number), channel=f"#c{number}")
    courier.start()
    until("edits are under way", lambda: there.slack.called("chat.update"))
    there.fire("new", channel="#cc-alerts", level=Level.CRITICAL)
    began = time.monotonic()
    until("the new alert is reported", lambda: there.slack.top("cc-alerts"), within=5)
    assert time.monotonic() - began < 1.9
    assert courier.stop(5)


def test_what_is_due_is_read_again_after_every_item(there: Office) -> None:
    """A critical alert that comes while others wait in its channel is the next one."""
    courier = there.open()
    for number in range(3):
        there.fire(f"warning {number}", level=Level.WARNING)
    assert courier.deliver_due().cards == 1
    there.later(1).fire("critical", level=Level.CRITICAL)
    assert courier.deliver_due().cards == 1
    assert "critical" in there.slack.top()[1]["text"]


def test_a_channel_without_answers_rests(there: Office) -> None:
    """After three calls in a row, whatever else waits in it; then one call shows whether it works again."""
    there.slack.always["chat.postMessage", "C0SALES"] = fake.DROP_BEFORE
    courier = there.open()
    for number in range(8):
        there.fire(str(number), channel="#cc-sales")
    for _ in range(20):
        courier.deliver_due()
        there.later(1)
    assert len(there.slack.called("chat.postMessage")) == 3
    there.fire("other", channel="#cc-alerts")
    assert courier.deliver_due().cards == 1
    there.slack.always.clear()
    for _ in range(60):
        courier.deliver_due()
        there.later(1)
    assert len(there.slack.top("cc-sales")) == 8


def test_edits_without_answers_rest_in_their_channel(there: Office) -> None:
    """Those of other channels go on."""
    courier = there.open()
    channels = ["#cc-sales", "#cc-alerts"]
    for number in range(8):
        there.fire(str(number), channel=channels[number % 2])
        courier.deliver_due()
        there.later(1)
    there.slack.always["chat.update", "C0SALES"] = fake.DROP_BEFORE
    for number in range(8):
        there.change(Reason.LEVEL_DOWN, str(number), channel=channels[number % 2], level=Level.WARNING)
    for _ in range(10):
        courier.deliver_due()
        there.later(1)
    places = [call["channel"] for call in there.slack.called("chat.update")]
    assert sorted(set(places)) == ["C0ALERTS", "C0SALES"]
    assert (places.count("C0SALES"), places.count("C0ALERTS")) == (3, 4)


def test_refused_credentials_stop_all_until_the_token_is_good(there: Office) -> None:
    """One try is enough; when auth.test accepts the token again, everything is delivered."""
    there.token = "xoxb-wrong"
    courier = there.open()
    for number, channel in enumerate(["#cc-alerts", "#cc-sales", "#cc-ops"]):
        there.fire(str(number), channel=channel)
    courier.deliver_all(5)
    assert "refuses" in courier.problem
    tries = len(there.slack.called("chat.postMessage"))
    assert 1 <= tries <= 3  # one a channel, side by side
    assert courier.deliver_due().delivered == 0
    assert len(there.slack.called("chat.postMessage")) == tries
    there.token = TOKEN
    courier = there.open()
    there.later(2)
    courier.check_slack()
    assert courier.problem == ""
    assert courier.deliver_due().cards == 3


def test_slack_that_cannot_be_reached_is_known_without_a_message(there: Office) -> None:
    """It is asked when nothing is due; one answer, of any kind, ends it."""
    courier = there.open()
    courier.check_slack()
    assert (courier.unreachable_since, courier.problem) == (None, "")
    there.slack.next("auth.test", fake.SERVER_ERROR, fake.DROP_BEFORE, fake.DROP_BEFORE)
    began = there.later(15).now
    for problem in ("", "", "Slack cannot be reached since"):
        courier.check_slack()
        assert courier.unreachable_since == began
        assert courier.problem.startswith(problem)
        assert bool(courier.problem) is bool(problem)
        there.later(15)
    courier.check_slack()
    assert (courier.unreachable_since, courier.problem) == (None, "")
    there.slack.next("chat.postMessage", fake.SERVER_ERROR)
    there.fire()
    courier.deliver_due()
    assert courier.unreachable_since == there.now
    there.slack.next("conversations.history", fake.refused("not_in_channel"))
    there.later(6)
    courier.deliver_due()
    assert courier.unreachable_since is None


@pytest.mark.parametrize(
    ("ahead", "words"),
    [(-70, "70 s ahead of Slack's"), (40, "40 s behind Slack's"), (20, "")],
    ids=["ours is ahead", "ours is behind", "close enough"],
)
def test_a_clock_that_differs_from_slack_is_reported_once(ahead: int, words: str, there: Office) -> None:
    """In the ops channel, since times on cards are wrong then."""
    there.slack_is_ahead = timedelta(seconds=ahead)
    courier = there.open()
    for _ in range(3):
        courier.check_slack()
        courier.deliver_all(0)
        there.later(1)
    reported = [message["text"] for message in there.slack.top("cc-ops")]
    assert len(reported) == bool(words)
    assert all(words in text for text in reported)


def test_the_wall_clock_is_not_reported(there: Office) -> None:
    """A Slack whose clock is right is as close as its answers are fast."""
    there.slack.date = time.time
    contact = Contact(wall_clock)
    SlackNotifier(TOKEN, api_url=there.slack.api_url, contact=contact).check()
    assert abs(contact.offset) < timedelta(seconds=3)
