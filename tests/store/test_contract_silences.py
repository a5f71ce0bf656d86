"""The contract of Store: silences, what they change, and what is announced about them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alertbot.alerts.alert import Alert, Change, Mute, MuteKind, Outcome
from alertbot.alerts.delivery import EditCard, PostOps
from alertbot.alerts.notice import PERSON
from alertbot.alerts.silence import Matcher, Silence
from alertbot.rules.rule import Level
from alertbot.store.roles import Store
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import SALES, T0, at, begins, edits, firing, notice, one, poll, post, posts

MATCHER = Matcher((("rule", "longest-wait"), ("name", "Queue 1")))
ANNA, BOB = "U012ANNA", "U034BOB"
HOUR = 3600.0


def silenced(store: Store, *, starts: float = 0, lasts: float = 2 * HOUR, matcher: Matcher = MATCHER) -> Silence:
    return store.silence(matcher, at(starts), at(starts + lasts), ANNA, "new phones", at(0))


def with_a_card(store: Store, entity: str = "1", *, channel: str = SALES, tenant: str = "acme") -> Alert:
    alert = firing(entity, tenant=tenant, reported=Level.WARNING)
    card = notice(alert, channel=channel)
    store.record(poll([begins(alert)], [card], tenant=tenant))
    due = next(each for each in posts(store, T0) if each.notice.id == card.id)
    post(store, due, T0)
    return one(store, alert)


def messages(store: Store, now: datetime, seconds: int = 5) -> list[tuple[str, str]]:
    """The announcements that are due, which are then posted: channel, and the text up to its first colon."""
    found = []
    for second in range(seconds):  # a channel takes one a second
        for due in posts(store, now + timedelta(seconds=second)):
            assert isinstance(due, PostOps)
            post(store, due, now + timedelta(seconds=second))
            text = due.notice.text.replace(PERSON, due.notice.by)
            found.append((due.notice.channel, text.partition(": ")[0]))
    return found


def test_silences_are_kept(store: Store) -> None:
    """All of it, active or to come, by id; alerts and silences share one sequence."""
    first = silenced(store)
    alert = with_a_card(store)
    later = silenced(store, starts=HOUR)
    assert [first.id, alert.id, later.id] == [1, 2, 3]
    assert store.silences() == (first, later)
    assert first == Silence(1, MATCHER, at(0), at(2 * HOUR), ANNA, "new phones", at(0), started=True)
    assert (later.started, later.starts_at) == (False, at(HOUR))
    store.record(poll([begins(firing("2"))]))
    assert one(store, firing("2")).id == 4


REPEATED = {
    # seconds later, what differs, whether it is the same silence
    "at once": (0.1, {}, True),
    "after a restart": (40, {}, True),
    "until a time of day": (40, {"ends": 2 * HOUR - 40}, True),
    "a minute later": (60, {}, False),
    "by another user": (40, {"author": BOB}, False),
    "of something else": (40, {"matcher": Matcher((("rule", "longest-wait"),))}, False),
    "for another reason": (40, {"reason": "old phones"}, False),
    "for longer": (40, {"ends": 3 * HOUR}, False),
    "for less": (40, {"ends": HOUR}, False),
    "from later": (40, {"starts": HOUR}, False),
}


@pytest.mark.parametrize(("later", "other", "same"), REPEATED.values(), ids=REPEATED)
def test_a_silence_that_is_asked_for_twice(store: Store, later: float, other: dict[str, Any], same: bool) -> None:
    """A command that comes twice makes one silence, announced once, also if another process made the first."""
    with_a_card(store)
    wish = {"matcher": MATCHER, "author": ANNA, "reason": "new phones", "starts": 0.0, "ends": 2 * HOUR} | other
    first = silenced(store)
    assert len(messages(store, at(0))) == 1
    revision = store.revision("acme")
    starts, ends = at(later + wish["starts"]), at(later + wish["ends"])
    second = store.silence(wish["matcher"], starts, ends, wish["author"], wish["reason"], at(later))
    assert (second == first) is same
    assert store.silences() == ((first,) if same else (first, second))
    assert (store.revision("acme") == revision) is same
    assert bool(messages(store, at(later))) is not (same or wish["starts"] > 0)


def test_a_silence_that_was_taken_off_is_not_repeated(store: Store) -> None:
    """A user who asks again right after that wants a new one."""
    first = silenced(store)
    store.unsilence(first.id, ANNA, at(0))
    second = silenced(store)
    assert (second.id, store.silences()) == (first.id + 1, (second,))


def test_a_silence_that_has_just_ended_is_not_repeated(store: Store) -> None:
    """Its end need not be announced yet."""
    first = silenced(store, lasts=30)
    second = store.silence(MATCHER, at(30), at(60), ANNA, "new phones", at(30))
    assert second.id == first.id + 1


def test_each_change_is_seen_by_every_tenant(store: Store) -> None:
    """The revision of all of them rises, also of one that was never polled; an announcement is a change too."""
    tenants = ("acme", "beta", "never polled")
    store.record(poll(tenant="acme"))
    store.record(poll(tenant="beta"))
    seen = {tenant: store.revision(tenant) for tenant in tenants}

    def rose() -> bool:
        now = {tenant: store.revision(tenant) for tenant in tenants}
        higher = all(now[tenant] > seen[tenant] for tenant in tenants)
        assert higher or now == seen
        seen.update(now)
        return higher

    made = silenced(store, starts=HOUR)
    assert rose()
    assert (store.announce_silences(at(0)), rose()) == (0, False)
    assert (store.announce_silences(at(HOUR)), rose()) == (1, True)
    assert (store.extend(made.id, at(9 * HOUR), BOB, at(HOUR))[0], rose()) == (Outcome.DONE, True)
    assert (store.extend(made.id, at(9 * HOUR), BOB, at(HOUR))[0], rose()) == (Outcome.ALREADY, False)
    assert (store.unsilence(made.id, BOB, at(HOUR))[0], rose()) == (Outcome.DONE, True)
    before = store.revision("acme")
    assert store.record(poll(tenant="acme", now=at(HOUR))).revision == before + 1


def test_a_life_is_announced_once(store: Store) -> None:
    """At the start, ten minutes before the end, at the end; each once, however often and late it is asked."""
    with_a_card(store)
    made = silenced(store, starts=60)
    spoken = {}
    for seconds in (0, 59, 60, 75, 6600, 6660, 6675, 7245, 7260, 7275, 99999):
        store.announce_silences(at(seconds))
        store.announce_silences(at(seconds))
        if said := messages(store, at(seconds)):
            spoken[seconds] = said
    assert spoken == {
        60: [(SALES, f"Silence #{made.id} by {ANNA} until 11:01 UTC")],
        6660: [(SALES, f"Silence #{made.id} by {ANNA} ends in 10m, at 11:01 UTC")],
        7260: [(SALES, f"Silence #{made.id} by {ANNA} has ended, at 11:01 UTC")],
    }
    assert store.silences() == ()


def test_it_is_announced_where_its_alerts_have_open_cards(store: Store) -> None:
    """Of any tenant; where there is none, to the author alone, unless they just did it themselves."""
    with_a_card(store, channel="#a")
    with_a_card(store, channel="#b", tenant="beta")
    with_a_card(store, "2", channel="#c")
    everywhere = silenced(store)
    assert {channel for channel, _ in messages(store, at(0))} == {"#a", "#b"}
    nowhere = silenced(store, matcher=Matcher((("name", "Support"),)))
    assert messages(store, at(10)) == []
    store.unsilence(nowhere.id, BOB, at(20))
    assert messages(store, at(20)) == [(ANNA, f"Silence #{nowhere.id} was ended by {BOB}")]
    store.unsilence(everywhere.id, BOB, at(30))
    assert messages(store, at(30)) == [
        ("#a", f"Silence #{everywhere.id} was ended by {BOB}"),
        ("#b", f"Silence #{everywhere.id} was ended by {BOB}"),
    ]


def test_several_processes_announce_it_once(path: Path) -> None:
    """Two that poll the same database, and one that was started again."""
    first, second = SqliteStore(path), SqliteStore(path, timezone="Europe/Helsinki")
    try:
        with_a_card(first)
        made = silenced(first, starts=60)
        assert [first.announce_silences(at(60)), second.announce_silences(at(60))] == [1, 0]
        assert [second.announce_silences(at(9999)), first.announce_silences(at(9999))] == [1, 0]
        said = messages(first, at(9999))
    finally:
        first.close()
        second.close()
    again = SqliteStore(path)
    assert again.announce_silences(at(99999)) == 0
    again.close()
    assert [text for _, text in said] == [
        f"Silence #{made.id} by {ANNA} until 11:01 UTC",
        f"Silence #{made.id} by {ANNA} has ended, at 13:01 EET",
    ]


def test_threads_and_processes_that_ask_at_the_same_moment(path: Path) -> None:
    """Each event is counted by exactly one of them, and its message is one."""
    stores = [SqliteStore(path) for _ in range(4)]
    with_a_card(stores[0])
    made = [silenced(stores[0], starts=60, lasts=2 * HOUR + 60 * number) for number in range(5)]
    with ThreadPoolExecutor(8) as pool:
        for seconds, event in ((60, "until"), (9999, "has ended")):
            counted = list(pool.map(lambda store, at: store.announce_silences(at), stores * 4, [at(seconds)] * 16))
            assert sum(counted) == len(made)
            said = [text for _, text in messages(stores[0], at(seconds), seconds=10)]
            assert sorted(said) == [text for text in sorted(said) if event in text]
            assert len(said) == len(made)
    for store in stores:
        store.close()


def test_a_longer_silence_ends_later_and_is_announced_again(store: Store) -> None:
    """Who extended it is named; ten minutes before the new end it is announced to end soon once more."""
    with_a_card(store)
    made = silenced(store)
    messages(store, at(0))
    store.announce_silences(at(2 * HOUR - 600))
    assert [text for _, text in messages(store, at(2 * HOUR - 600))] == [
        f"Silence #{made.id} by {ANNA} ends in 10m, at 11:00 UTC"
    ]
    result, longer = store.extend(made.id, at(3 * HOUR), BOB, at(2 * HOUR - 300))
    assert result is Outcome.DONE
    assert longer is not None
    assert longer.ends_at == at(3 * HOUR)
    assert [text for _, text in messages(store, at(2 * HOUR - 300))] == [
        f"Silence #{made.id} was extended by {BOB} until 12:00 UTC"
    ]
    assert store.announce_silences(at(2 * HOUR)) == 0
    assert store.announce_silences(at(3 * HOUR - 600)) == 1


RACES = {
    # what the loser does, after the silence ended by hand or by time
    "extended after it was taken off": ("extend", "unsilence", Outcome.ENDED),
    "taken off twice": ("unsilence", "unsilence", Outcome.ENDED),
    "extended after its end": ("extend", "time", Outcome.ENDED),
    "taken off after its end was announced": ("unsilence", "time", Outcome.ENDED),
    "extended twice": ("extend", "extend", Outcome.ALREADY),
}


@pytest.mark.parametrize(("loser", "winner", "expected"), RACES.values(), ids=RACES)
def test_the_loser_of_a_race_is_shown_who_won(store: Store, loser: str, winner: str, expected: Outcome) -> None:
    """The first change counts; the silence that comes with the outcome says who made it."""
    made = silenced(store, lasts=HOUR)

    def do(what: str, by: str, now: datetime) -> tuple[Outcome, Silence | None]:
        if what == "extend":
            return store.extend(made.id, at(9 * HOUR), by, now)
        if what == "unsilence":
            return store.unsilence(made.id, by, now)
        assert store.announce_silences(at(HOUR)) == 1
        return Outcome.DONE, None

    assert do(winner, BOB, at(60))[0] is Outcome.DONE
    result, found = do(loser, ANNA, at(HOUR + 60) if winner == "time" else at(61))
    assert found is not None
    assert (result, found.ended_by) == (expected, BOB if winner == "unsilence" else "")


def test_an_unknown_silence(store: Store) -> None:
    alert = with_a_card(store)
    assert alert.id is not None
    assert store.extend(alert.id, at(HOUR), ANNA, at(0)) == (Outcome.UNKNOWN_ID, None)
    assert store.unsilence(99, ANNA, at(0)) == (Outcome.UNKNOWN_ID, None)


def test_a_card_shows_the_silence(store: Store) -> None:
    """It is edited at once when a silence begins, lasts longer, or no longer applies; edits have the silence."""
    alert = with_a_card(store)
    made = silenced(store)

    def muted(mute: Mute | None, now: datetime) -> None:
        before = one(store, alert)
        store.record(poll([Change(before, replace(before, muted=mute), None, "x")], now=now))

    def shown(now: datetime) -> list[datetime | None]:
        found = [due.card for due in edits(store, now) if isinstance(due, EditCard)]
        for card in found:
            store.edited(card, now)
        return [card.silence.ends_at if card.silence else None for card in found]

    muted(Mute(MuteKind.SILENCED, made.id, at(1)), at(1))
    assert shown(at(1)) == [at(2 * HOUR)]
    assert shown(at(2)) == []
    store.extend(made.id, at(3 * HOUR), BOB, at(3))
    assert shown(at(3)) == [at(3 * HOUR)]
    store.unsilence(made.id, BOB, at(4))
    muted(None, at(5))
    assert shown(at(5)) == [None]
