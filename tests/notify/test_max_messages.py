"""`max_messages`: at most N messages a minute in each channel, and one line that names what is held back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from alertbot.alerts.delivery import Claimed, HeldBack, in_one_line, last_turn
from alertbot.rules.rule import Level
from alertbot.store.sqlite.store import SqliteStore
from tests.notify.cases import NOW
from tests.notify.world import ME, World, world
from tests.store import build

MINUTE = timedelta(minutes=1)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        made.store.close()
        made.max_messages = 20
        made.start()
        yield made


def sent(there: World, channel: str = "cc-alerts") -> list[tuple[float, str]]:
    """When each message came, in seconds from the beginning, and its text."""
    return [(float(each["ts"]) - NOW.timestamp(), each["text"]) for each in there.slack.top(channel)]


def reports(there: World, channel: str = "cc-alerts") -> list[str]:
    return [text for _, text in sent(there, channel) if "held back" in text]


def worst_minute(there: World, channel: str = "cc-alerts") -> int:
    """The most messages in any minute."""
    times = [at for at, _ in sent(there, channel)]
    return max(sum(start <= at < start + 60 for at in times) for start in times)


def fire(there: World, *entities: int, level: Level = Level.WARNING) -> None:
    for entity in entities:
        there.fire(str(entity), level=level, highest=level)


def test_what_is_held_back_is_named_once_and_sent_later(there: World) -> None:
    """33 cards at a limit of 20: 19, the report, 14 a minute later, each once; the critical one first."""
    fire(there, *range(32))
    fire(there, 99, level=Level.CRITICAL)
    assert there.settle() == 73
    times = sent(there)
    assert len(times) == 34
    assert times[0][1].startswith("Critical: Queue 99")
    assert worst_minute(there) == 20
    assert reports(there) == [times[19][1]]
    names = ", ".join(f"Queue {number}" for number in range(18, 28))
    assert times[19][1] == (f"14 messages are held back until 11:02 EET (limit 20 per minute): {names} and 4 more.")
    assert [round(at) for at, _ in times[:19]] == list(range(19))
    assert [round(at) for at, _ in times[20:]] == list(range(60, 74))
    assert Counter(text for _, text in times).most_common(1)[0][1] == 1


def test_what_is_critical_comes_first_in_the_next_minute(there: World) -> None:
    """Fired while the channel is full: it gets the next place, before those that waited longer."""
    fire(there, *range(30))
    there.run(30)
    fire(there, 99, level=Level.CRITICAL)
    there.settle()
    after = [text for at, text in sent(there) if at >= 30]
    assert after[0].startswith("Critical: Queue 99")
    assert len(reports(there)) == 1


def test_it_holds_over_restarts(there: World) -> None:
    """Of the bot, and of `poll` runs: what was counted and reported is in the database."""
    fire(there, *range(45))
    for _ in range(12):
        there.run(12)
        there.restart()
    there.settle()
    assert worst_minute(there) == 20
    assert len(reports(there)) == 1
    assert len(sent(there)) == 46


def test_a_new_hold_is_reported_again(there: World) -> None:
    """The one before is over when nothing waits any more."""
    fire(there, *range(25))
    there.settle()
    there.later(20)
    fire(there, *range(100, 130))
    there.settle()
    assert len(reports(there)) == 2
    assert worst_minute(there) == 20
    assert len(sent(there)) == 57


def test_a_wait_of_seconds_is_not_reported(there: World) -> None:
    """Where the next place is free almost as soon as one a second would be."""
    for number in range(40):
        fire(there, number)
        there.run(2)  # 30 a minute: above the limit of 20, and then it is reported
    assert len(reports(there)) == 1
    there.settle()
    there.later(60)
    for number in range(100, 119):
        fire(there, number)
        there.run(3)
    fire(there, 119, 120)  # 57 s after the first: the 21st message waits for 3 s more
    there.settle()
    assert len(reports(there)) == 1


def test_each_channel_has_its_own_limit(there: World) -> None:
    """A full channel delays no other one."""
    fire(there, *range(30))
    there.run(25)
    there.fire("200", channel="#cc-sales")
    there.run(2)
    assert len(sent(there, "cc-sales")) == 1
    assert reports(there, "cc-sales") == []


def test_two_spellings_of_a_channel_share_its_limit(there: World) -> None:
    """Its name and its id, as soon as an answer named the id."""
    for number in range(40):
        there.fire(str(number), channel="#cc-alerts" if number % 2 else "C0ALERTS")
    there.settle()
    assert worst_minute(there) <= 21  # the id was not known when the first was sent
    assert len(reports(there)) == 1
    assert len(sent(there)) == 41


@pytest.mark.parametrize(("limit", "took"), [(60, 69), (600, 69)])
def test_from_sixty_on_there_is_no_other_limit_than_one_a_second(tmp_path: Path, limit: int, took: int) -> None:
    """As before there was a setting: nothing is counted and nothing reported."""
    with world(tmp_path) as there:
        there.store.close()
        there.max_messages = limit
        there.start()
        fire(there, *range(70))
        assert there.settle() == took
        assert reports(there) == []
        with there.store._db.read() as conn:
            assert conn.execute("SELECT count(*) FROM channel_posts").fetchone()[0] == 0


@pytest.mark.parametrize(("limit", "reported"), [(1, 0), (2, 1)])
def test_small_limits(tmp_path: Path, limit: int, reported: int) -> None:
    """One message a minute has no room for a report; all is sent in the end."""
    with world(tmp_path) as there:
        there.store.close()
        there.max_messages = limit
        there.start()
        fire(there, *range(5))
        there.settle(step=5)
        assert worst_minute(there) == limit
        assert len(reports(there)) == reported
        assert len(sent(there)) == 5 + reported


def test_time_held_back_is_not_overdue(there: World) -> None:
    """What waits for its channel's next minute is not late, and `status` says what it is."""
    fire(there, *range(100))
    for _ in range(20):
        there.run(10)
        since = there.store.overdue_since(there.now)
        assert since is None or there.now - since <= timedelta(seconds=61)
    (held,) = there.store.held_back(there.now)
    assert (held.channel, held.limit, held.messages) == ("#cc-alerts", 20, there.store.totals().waiting)
    assert len(held.names) == held.messages
    there.run(5)
    waits_until = there.store.next_due(there.now)
    assert waits_until is not None
    there.now = waits_until - timedelta(seconds=1)
    assert there.deliver().delivered == 0
    assert there.later(1).deliver().delivered == 1


# The store alone


@pytest.mark.parametrize(("unknown", "counted"), [(False, 0), (True, 1)], ids=["a 429", "no answer"])
def test_what_was_certainly_not_posted_is_not_counted(tmp_path: Path, unknown: bool, counted: int) -> None:
    """What may have been posted is."""
    store = SqliteStore(tmp_path / "alertbot.db", max_messages=2)
    build.begin(store, build.firing())
    (due,) = build.posts(store, NOW)
    assert store.claim(due.notice.id, ME, NOW) is Claimed.DONE
    store.put_off(due.notice.id, NOW + MINUTE, "it failed", claimant=ME, unknown=unknown)
    with store._db.read() as conn:
        assert conn.execute("SELECT count(*) FROM channel_posts").fetchone()[0] == counted
    store.close()


def at(seconds: float) -> datetime:
    return datetime(2026, 3, 2, 10, 0, tzinfo=UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("posts", "waiting", "limit", "last"),
    [
        ([0], 1, 20, 1),
        (range(20), 1, 20, 60),
        (range(20), 12, 20, 71),
        (range(20), 21, 20, 120),
        ([0, 30], 1, 2, 60),
        ([0, 30], 2, 2, 90),
        ([0], 3, 1, 180),
    ],
)
def test_when_the_last_one_has_its_turn(posts: Sequence[int], waiting: int, limit: int, last: int) -> None:
    """A place is free a minute after the message that took it, and one second after the one before."""
    assert last_turn([at(each) for each in posts], waiting, limit) == at(last)


@pytest.mark.parametrize(
    ("held", "says"),
    [
        (
            HeldBack("#a", 12, tuple(f"Queue {each}" for each in range(12)), at(299), 20),
            "12 messages are held back until 12:05 EET (limit 20 per minute): Queue 0, Queue 1, Queue 2, Queue 3, "
            "Queue 4, Queue 5, Queue 6, Queue 7, Queue 8, Queue 9 and 2 more",
        ),
        (
            HeldBack("#a", 2, ("Sales\nEU", "Support"), at(300), 20),
            "2 messages are held back until 12:05 EET (limit 20 per minute): Sales EU and Support",
        ),
        (HeldBack("#a", 1, (), at(301), 5), "1 message is held back until 12:06 EET (limit 5 per minute)"),
    ],
    ids=["many", "two", "an operational one"],
)
def test_what_the_reader_sees(held: HeldBack, says: str) -> None:
    """How many, until which minute, why, and whom they are about."""
    assert in_one_line(held, ZoneInfo("Europe/Helsinki")) == says
