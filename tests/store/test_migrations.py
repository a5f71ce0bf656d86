"""Every database ever written can be opened: the kept dumps, from the oldest on, still hold everything they held.

`store-v1.sql` is a dump of the first tables with one of everything in them. `store-v5.sql` is the same with recorded
polls, as the first recording wrote them. `store-v6.sql` has the last cards that named their alert themselves, one of
them gone from Slack; in `store-v7.sql` cards have members; in `store-v9.sql` leases have names, an open intent has a
claimant, and alerts say what mutes them; in `store-v12.sql` alerts have shown values, and a card was posted elsewhere
before. `store-v13.sql` has more in it: silences, an alert that was closed by hand, a card that two alerts share, an
agent. `store-v19.sql` is that one after two more polls, of which the second saw the same again, and
`store-v22.sql` that one before tenants had owners. To add a step, add a dump of the tables before it, and a row in
KEPT. Old dumps stay.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from alertbot.alerts.alert import Mute, MuteKind, Outcome, Reason, State
from alertbot.alerts.cards import Posted
from alertbot.alerts.delivery import EditCard, PostCard, PostLine, PostOps
from alertbot.alerts.notice import NoticeKind
from alertbot.errors import LeaseHeld
from alertbot.evaluation.measure import Measure
from alertbot.feed.health import Feed
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Level
from alertbot.store import codec
from alertbot.store.records import NoticeState
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import assert_same_snapshot, at, begin, firing, key, notice, ops, pending, poll, snapshot

KEPT = ["store-v1.sql", "store-v5.sql", "store-v6.sql", "store-v7.sql", "store-v9.sql", "store-v12.sql"]
WITH_MORE = "store-v13.sql"
BEFORE_ONE_ROW_A_TURN = "store-v19.sql"
BEFORE_OWNERS = "store-v22.sql"
WITH_A_CARD_THAT_IS_GONE = ["store-v6.sql", "store-v7.sql", "store-v9.sql", "store-v12.sql"]


@pytest.fixture(params=KEPT)
def upgraded(request: pytest.FixtureRequest, path: Path) -> Iterator[SqliteStore]:
    _load(request.param, path)
    store = SqliteStore(path)
    yield store
    store.close()


def _load(name: str, path: Path) -> None:
    dump = Path(__file__).parent.parent / "data" / name
    conn = sqlite3.connect(path)
    conn.executescript(dump.read_text(encoding="utf-8"))
    conn.close()


def _tables(path: Path) -> set[tuple[str, str]]:
    conn = sqlite3.connect(path)
    rows = conn.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    conn.close()
    return {(name, " ".join(sql.split())) for name, sql in rows}


@pytest.mark.parametrize("name", [*KEPT, WITH_MORE, BEFORE_ONE_ROW_A_TURN, BEFORE_OWNERS])
def test_an_upgraded_database_is_made_like_a_new_one(name: str, tmp_path: Path) -> None:
    """The same tables and indexes, so a step that was edited later is detected."""
    _load(name, tmp_path / "old.db")
    SqliteStore(tmp_path / "old.db").close()
    SqliteStore(tmp_path / "new.db").close()
    assert _tables(tmp_path / "old.db") == _tables(tmp_path / "new.db")


def test_opening_again_changes_nothing(path: Path) -> None:
    """The steps are run once."""
    SqliteStore(path).close()
    before = path.read_bytes()
    SqliteStore(path).close()
    assert path.read_bytes() == before


def test_feeds_and_snapshots_are_still_there(upgraded: SqliteStore) -> None:
    """As the last poll left them."""
    assert upgraded.feed("acme") == Feed(
        "acme",
        at(60),
        at(45),
        "agent: 503 from 8x8",
        412.5,
        7,
        {Scope.QUEUE: 40, Scope.AGENT: 0},
        {Scope.QUEUE: 0, Scope.AGENT: 2},
    )
    latest = upgraded.latest("acme")
    assert set(latest) == {Scope.QUEUE, Scope.AGENT}
    for scope, found in latest.items():
        assert_same_snapshot(found, snapshot(at(60), scope))


def test_alerts_are_still_there(upgraded: SqliteStore) -> None:
    """Firing, pending and ended, with their owners and ids; new ids continue from there."""
    assert [(alert.id, alert.key, alert.state) for alert in upgraded.alerts()] == [
        (2, key("102"), State.FIRING),
        (3, key("103"), State.PENDING),
        (4, key("104"), State.FIRING),
        (5, key("105", tenant="other"), State.FIRING),
    ]
    owned = upgraded.alert(2)
    assert owned is not None
    assert (owned.level, owned.highest, owned.fired_at) == (Level.CRITICAL, Level.CRITICAL, at(0))
    assert (owned.acked_by, owned.acked_at, owned.ack_note) == ("U1", at(45), "on it")
    assert owned.measure == Measure("interactionsLongestWaitInQueue.rt", ValueType.DURATION, ">", 130_000.0, 60_000.0)
    assert (owned.about, owned.since) == (firing().about, {Level.CRITICAL: at(0)})
    assert [alert.reported for alert in upgraded.alerts()] == [Level.CRITICAL, None, Level.WARNING, Level.WARNING]
    waits = upgraded.alert(3)
    assert waits is not None
    assert waits.pending_since == pending().pending_since
    (over,) = upgraded.ended(at(0))
    assert (over.id, over.parent_name, over.ended_at, over.end_reason) == (1, "North", at(30), Reason.RESOLVED)
    assert upgraded.acknowledge(2, "U2", "", at(61))[0] is Outcome.ALREADY
    assert begin(upgraded, firing("106"), at(61)).id == 6


def test_a_suppressed_alert_is_muted(path: Path) -> None:
    """Before mutes were stored, only the suppressing alert was: its mute counts from the poll that last decided."""
    _load("store-v5.sql", path)
    with closing(sqlite3.connect(path)) as conn, conn:
        by = '["outage", "queue", "", "103"]'
        conn.execute("UPDATE alerts SET suppressor = ?, seen_at = '2026-03-02T09:01:00.000000Z' WHERE id = 2", (by,))
    with closing(SqliteStore(path)) as store:
        alert = store.alert(2)
    assert alert is not None
    assert alert.muted == Mute(MuteKind.SUPPRESSED, key("103", rule="outage"), at(60))


def test_before_silences_and_latches_there_were_none(upgraded: SqliteStore) -> None:
    """No alert of an older version was closed by hand, and what a poll counts begins at its start."""
    assert upgraded.latched("acme") == {}
    assert upgraded.held_back(at(90)) == []
    for alert in upgraded.alerts():
        assert (alert.reminders, alert.escalated, alert.rises, alert.unstable, alert.closed_by) == (
            0,
            None,
            (),
            False,
            "",
        )
    outcome, closed = upgraded.resolve(2, "U1", "stuck", at(91))
    assert outcome is Outcome.DONE
    assert closed == upgraded.alert(2)
    assert upgraded.latched("acme") == {key("102"): 0}


def test_shown_values_and_former_messages_are_kept(path: Path) -> None:
    """What the card shows beside its value, and the message that the card left behind: it is closed with the card."""
    _load("store-v12.sql", path)
    with closing(SqliteStore(path)) as store:
        alert = store.alert(2)
        assert alert is not None
        assert alert.shown == {"interactionsWaitInQueue.rt": 3.0, "status.rt": None}
        store.resolve(2, "U1", "", at(91))
        former = [due.card.posted for due in store.due(at(92)) if isinstance(due, EditCard) and due.former]
        assert former == [Posted("C9", "1772442000.000000")]


@pytest.mark.parametrize("name", [WITH_MORE, BEFORE_ONE_ROW_A_TURN])
def test_the_life_of_alerts_is_kept(name: str, path: Path) -> None:
    """Silences, latches, rises and shared cards stay, the names of agents are known, and old cards get no chart."""
    _load(name, path)
    with closing(SqliteStore(path, initials=True)) as store:
        (silence,) = store.silences()
        assert (silence.id, str(silence.matcher), silence.author, silence.reason) == (
            9,
            'rule=callers name="Queue 30*"',
            "U2",
            "new phones",
        )
        assert store.latched("acme") == {key("303", rule="stuck"): 0}
        shared = {alert.key.entity_id: alert for alert in store.alerts() if alert.key.rule == "callers"}
        assert (shared["301"].rises, shared["302"].unstable) == ((at(-60), at(0)), True)
        assert [entry.state for alert in shared.values() for entry in store.notices_of(alert.id)] == [
            NoticeState.DELIVERED,
            NoticeState.DELIVERED,
        ]
        (agent,) = (alert for alert in store.alerts() if alert.key.scope is Scope.AGENT)
        assert (agent.entity_name, agent.name) == ("Dana Whitfield", "DW")
        assert store.picture_due(at(400)) is None
        assert begin(store, firing("401"), at(400)).id == 11


def test_times_of_snapshots_and_counts_of_polls_are_kept(path: Path) -> None:
    """They moved into the feed; the revision continues from there, and a poll that sees the same writes no values.

    An older version that still runs can record nothing more.
    """
    _load(BEFORE_ONE_ROW_A_TURN, path)
    with closing(SqliteStore(path)) as store:
        assert {scope: head.at for scope, head in store.heads()["acme"].items()} == {
            Scope.AGENT: at(60),
            Scope.QUEUE: at(315),
        }
        assert_same_snapshot(store.latest("acme")[Scope.QUEUE], snapshot(at(315)))
        assert (store.totals().polls, store.feed("acme").tried_at) == (12, at(315))
        revision = store.revision("acme")
        store.record(poll(now=at(330), snapshots={Scope.QUEUE: snapshot(at(330))}))
        assert store.latest("acme")[Scope.QUEUE].at == at(330)
        assert (store.revision("acme"), store.totals().polls) == (revision + 1, 13)
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("SELECT at FROM snapshots WHERE scope = 'queue'").fetchone() == (codec.stamp(at(300)),)
        with pytest.raises(sqlite3.OperationalError, match="snapshot_times"):
            conn.execute("SELECT 1 FROM snapshot_times")


def test_what_waits_is_still_due(upgraded: SqliteStore) -> None:
    """An edit, a line, a card with an open claim and an ops notice whose channel is throttled."""
    assert [type(due) for due in upgraded.due(at(89))] == [PostLine, EditCard, PostCard]
    acked, edit, card, stale = upgraded.due(at(90))
    assert isinstance(acked, PostLine)
    assert (acked.notice.reason, acked.notice.by, acked.notice.text) == (Reason.ACKNOWLEDGED, "U1", "on it")
    assert isinstance(edit, EditCard)
    assert (edit.card.version, edit.card.sent_version, edit.card.edited_at) == (2, 1, at(40))
    assert edit.card.posted == acked.card.posted == Posted("C1", f"{at(40).timestamp():.6f}")
    assert isinstance(card, PostCard)
    assert (card.card.members[0].id, card.intent_at, card.notice.mention) == (4, at(56), ("<!here>",))
    assert (card.notice.kind, card.notice.text, card.card.channel) == (NoticeKind.CARD, "it is 72s", "#cc-floor")
    assert isinstance(stale, PostOps)
    assert stale.notice == ops("blind for 2m", now=at(58))


def test_what_was_delivered_is_not_delivered_again(upgraded: SqliteStore) -> None:
    """The ledger, the counts, and the places of cards."""
    assert [entry.state for entry in upgraded.notices_of(1)] == [NoticeState.DELIVERED, NoticeState.DELIVERED]
    (lost,) = upgraded.notices_of(5)
    assert (lost.state, lost.error, lost.settled_at) == (NoticeState.GIVEN_UP, "channel_not_found", at(59))
    totals = upgraded.totals()
    assert (totals.polls, totals.fired, totals.resolved, totals.edits) == (7, 4, 1, 1)
    assert (totals.cards_posted, totals.lines_posted, totals.waiting, totals.given_up) == (2, 1, 3, 1)
    assert upgraded.cards("acme") == {key("102"): {"#cc-sales"}, key("104"): {"#cc-floor"}}
    assert upgraded.cards("other") == {}


def test_each_card_keeps_its_alert_as_its_member(upgraded: SqliteStore) -> None:
    """Ids, versions and places of cards are kept; a card has ended if its alert has; foreign keys are intact."""
    with upgraded._db.read() as conn:
        cards = conn.execute(
            "SELECT c.id, c.group_key, m.alert_id, c.wanted_channel, c.state, c.ended_at FROM cards c "
            "JOIN card_alerts m ON m.card_id = c.id WHERE c.id <= 4 ORDER BY c.id"
        ).fetchall()
        assert conn.execute("PRAGMA foreign_key_check").fetchall() == []
        assert conn.execute("PRAGMA foreign_keys").fetchone()[0] == 1
        (last_id,) = conn.execute("SELECT seq FROM sqlite_sequence WHERE name = 'cards'").fetchone()
        assert last_id == conn.execute("SELECT max(id) FROM cards").fetchone()[0]
    assert [tuple(card) for card in cards] == [
        (1, "alert:1", 1, "#cc-sales", "posted", codec.stamp(at(30))),
        (2, "alert:2", 2, "#cc-sales", "posted", None),
        (3, "alert:4", 4, "#cc-floor", "waiting", None),
        (4, "alert:5", 5, "#gone", "given_up", None),
    ]
    assert [entry.posted for entry in upgraded.notices_of(1)] == [
        Posted("C1", f"{at(0).timestamp():.6f}"),
        Posted("C1", f"{at(31).timestamp():.6f}"),
    ]


@pytest.mark.parametrize("name", WITH_A_CARD_THAT_IS_GONE)
def test_a_rerouted_card_that_is_gone_is_still_known(name: str, path: Path) -> None:
    """A new card notice for its channel brings it back there; failed searches for an open claim are still counted."""
    _load(name, path)
    with closing(SqliteStore(path)) as store:
        (intent,) = (due for due in store.due(at(90)) if isinstance(due, PostCard))
        assert (intent.card.id, intent.looks) == (3, 2)
        (ended,) = store.ended(at(0))
        store.add_notices([notice(ended, channel="#cc-closed", now=at(91))])
        (again,) = (due for due in store.due(at(91)) if isinstance(due, PostCard) and due.card.id == 5)
        assert (again.card.channel, again.card.members, again.card.posted) == ("#cc-closed", (ended,), None)


def test_cards_that_are_in_slack_already_get_no_picture(upgraded: SqliteStore) -> None:
    """An upgrade posts nothing in old threads; a new card gets one."""
    with upgraded._db.read() as conn:
        assert conn.execute("SELECT count(*) FROM cards WHERE picture_at IS NOT NULL").fetchone()[0] == 0
    begin(upgraded, firing("new"), at(100), "#new")
    (card,) = (due for due in upgraded.due(at(100)) if isinstance(due, PostCard) and due.card.channel == "#new")
    upgraded.claim(card.notice.id, "me", at(100))
    upgraded.delivered(card.notice.id, Posted("C9", "9.0"), 1, at(100))
    with upgraded._db.read() as conn:
        (channel,) = conn.execute("SELECT channel FROM cards WHERE picture_at IS NOT NULL").fetchone()
    assert channel == "#new"


def test_the_lease_still_holds(upgraded: SqliteStore) -> None:
    """A new version does not poll alongside an old one."""
    for name in ("delivery", "tenant:acme"):
        with pytest.raises(LeaseHeld, match="host-a, process 7"):
            upgraded.take_leases([name, "tenant:new"], "me", at(89), timedelta(seconds=30))
    upgraded.take_leases(["delivery", "tenant:acme"], "me", at(90), timedelta(seconds=30))


def test_what_the_first_recording_wrote_can_still_be_read(path: Path) -> None:
    """A key frame, a difference to it, and a failed poll."""
    _load("store-v5.sql", path)
    with closing(SqliteStore(path)) as store:
        first, second, third = store.polls("acme", at(0), at(30))
        assert_same_snapshot(first.snapshots[Scope.QUEUE], snapshot(at(0)))
        assert_same_snapshot(second.snapshots[Scope.QUEUE], snapshot(at(15)))
        assert (third.at, third.snapshots, third.failures) == (at(30), {}, {Scope.QUEUE: "503"})
