"""What a reader sees after a Slack outage, through the real delivery against a stand-in Slack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from alertbot.alerts.alert import Reason
from alertbot.rules.rule import Level
from tests.notify.world import World, world
from tests.slack import slack_server as fake

METHODS = ("chat.postMessage", "chat.update", "conversations.history", "conversations.replies")


@pytest.fixture
def there(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def fire(there: World, entity: str, *, channel: str = "#cc-alerts", level: Level = Level.WARNING) -> None:
    there.fire(entity, channel=channel, level=level, highest=level, fired_at=there.now)


def come_and_go(there: World, *entities: str, channel: str = "#cc-alerts") -> None:
    for entity in entities:
        fire(there, entity, channel=channel)
        there.later(20).deliver()
        there.resolve(entity, channel=channel)
        there.later(200).deliver()


def texts(there: World, channel: str = "cc-alerts") -> list[str]:
    return [message["text"] for message in there.slack.top(channel)]


def no_answer(there: World, fault: fake.Fault) -> Callable[[], None]:
    places = there.slack.channels.values()
    there.slack.always.update({(method, place): fault for method in METHODS for place in places})
    return there.slack.always.clear


def revoked(there: World, _: fake.Fault) -> Callable[[], None]:
    there.token = "xoxb-revoked"
    there.restart()

    def replaced() -> None:
        there.token = fake.TOKEN
        there.restart()

    return replaced


AWAY = {
    "refused": (no_answer, fake.refused("service_unavailable")),
    "errors of the server": (no_answer, fake.SERVER_ERROR_AFTER),
    "dropped connections": (no_answer, fake.DROP_BEFORE),
    "a revoked token": (revoked, fake.DROP_BEFORE),
}


@pytest.mark.parametrize("how", [name for name in AWAY if name != "errors of the server"])
def test_what_came_and_went_is_one_message(how: str, there: World) -> None:
    """The alert that is open has its card, and says what is true now; the others are named."""
    leave, fault = AWAY[how]
    come_back = leave(there, fault)
    come_and_go(there, "1", "2", "3")
    fire(there, "4")
    there.later(60).rise("4")
    there.later(300)
    come_back()
    there.settle()
    summary, card = sorted(texts(there))
    assert summary.startswith("3 alerts began and ended between 11:00 and 11:07 EET, before they could be posted. ")
    assert "acme: Queue 1, acme: Queue 2, acme: Queue 3." in summary
    assert card.startswith("Critical: Queue 4")
    assert there.slack.thread(there.slack.top()[0]["ts"]) == there.slack.thread(there.slack.top()[1]["ts"]) == []


@pytest.mark.parametrize("how", [name for name in AWAY if name != "errors of the server"])
def test_more_than_a_day_without_slack(how: str, there: World) -> None:
    """What could not be posted because Slack was down is not given up for its age: it is summed up as ever."""
    leave, fault = AWAY[how]
    come_back = leave(there, fault)
    come_and_go(there, "1", "2")
    fire(there, "3", level=Level.CRITICAL)
    there.later(20).deliver()
    there.resolve("3")
    for _ in range(26):
        there.later(3600).deliver()
    come_back()
    there.settle()
    assert there.store.totals().given_up == 0
    card, summary = sorted(texts(there), reverse=True)
    assert "2 alerts began and ended between" in summary
    assert "acme: Queue 1, acme: Queue 2." in summary
    assert card.startswith("Resolved: Queue 3")


def test_what_landed_without_an_answer_is_not_summed_up(there: World) -> None:
    """It is found, and closed where it stands."""
    come_back = no_answer(there, fake.SERVER_ERROR_AFTER)
    come_and_go(there, "1", "2", "3")
    landed = len(texts(there))
    come_back()
    there.settle()
    assert landed >= 1
    assert len([text for text in texts(there) if "Resolved: " in text]) == max(landed, 1)
    names = " ".join(texts(there))
    assert [names.count(f"Queue {number}") for number in (1, 2, 3)] == [1, 1, 1]


def test_an_archived_channel(there: World) -> None:
    """What began and ended while the fallback did not work either is one message in the fallback channel."""
    there.slack.archived |= {"C0SALES", "C0ALERTS"}
    come_and_go(there, "1", "2", "3", channel="#cc-sales")
    there.slack.archived.discard("C0ALERTS")
    there.settle()
    assert texts(there, "cc-sales") == []
    (summary,) = texts(there)
    assert summary.startswith("3 alerts began and ended")


def test_a_line_waits_while_nothing_can_be_read(there: World) -> None:
    """Its outcome is unknown, and for ten minutes no search has an answer: it is posted when that is over."""
    fire(there, "1")
    there.settle()
    come_back = no_answer(there, fake.DROP_BEFORE)
    there.later(10).rise("1")
    for _ in range(60):
        there.later(10).deliver()
    assert there.store.totals().given_up == 0
    come_back()
    there.settle()
    (line,) = there.slack.thread(there.slack.top()[0]["ts"])
    assert "Now critical" in line["text"]


def test_a_card_is_posted_again_where_nothing_can_ever_be_read(there: World) -> None:
    """A duplicate beats a lost alert: after an hour of searches without an answer."""
    there.slack.next("chat.postMessage", fake.DROP_BEFORE)
    there.slack.always[("conversations.history", "C0ALERTS")] = fake.DROP_BEFORE
    fire(there, "1")
    there.deliver()
    for _ in range(59):
        there.later(60).deliver()
    assert texts(there) == []
    there.settle(timedelta(minutes=5), step=20)
    assert len(texts(there)) == 1


def test_a_report_of_what_is_held_back_that_is_late(there: World) -> None:
    """It would name a time that has passed: it is dropped, and what waits is posted."""
    there.store.close()
    there.max_messages = 3
    there.start()
    for number in range(6):
        fire(there, str(number))
    there.run(2)
    come_back = no_answer(there, fake.refused("service_unavailable"))
    there.run(10)
    there.later(1800)
    come_back()
    there.settle()
    assert len([text for text in texts(there) if "held back until 11:0" in text]) == 0
    assert len([text for text in texts(there) if "Warning: Queue" in text]) == 6


def test_an_old_card_gets_one_line(there: World) -> None:
    """It got worse, was reminded of, and ended: its thread says that it has ended, and mentions no one."""
    fire(there, "1")
    there.settle()
    come_back = no_answer(there, fake.DROP_BEFORE)
    there.later(60).rise("1")
    for _ in range(6):
        there.later(600).change(Reason.REMINDER, "1")
        there.deliver()
    there.resolve("1")
    there.later(300).deliver()
    come_back()
    there.settle()
    (card,) = there.slack.top()
    assert card["text"].startswith("Resolved: Queue 1")
    (line,) = there.slack.thread(card["ts"])
    assert "Resolved after" in line["text"]
    assert not line.get("reply_broadcast")
