"""The recording: what each poll saw is read back unchanged, in the order of time, for as long as it is kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alertbot.alerts.alert import Fingerprint
from alertbot.errors import StoreError
from alertbot.evaluation.block import ColumnsOfPoll
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.store.codec import stamp
from alertbot.store.packing import STILL, Cell, Frame, columns_of, pack, unpack, unpack_block, unpack_cell
from alertbot.store.records import RecordedPoll
from alertbot.store.roles import Store
from alertbot.store.sql.recording import KEY_FRAME_AT_LATEST, KEY_FRAME_EVERY
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import T0, assert_same_snapshot, at, poll, snapshot

FOREVER = T0 + timedelta(days=400)
QUEUE, AGENT = Scope.QUEUE, Scope.AGENT


def queues(
    second: int, *values: float | None, ids: Sequence[str] = ("1", "2", "3"), key: str = "waiting.rt"
) -> Snapshot:
    """Some queues, `second` seconds after T0, with one number each."""
    presence = [Presence.NULL if value is None else Presence.PRESENT for value in values]
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    column = Column(numbers, np.array(presence, dtype=np.uint8))
    ids = tuple(ids)[: len(values)]
    return Snapshot(QUEUE, at(second), ids, tuple(f"Queue {each}" for each in ids), {key: column})


def record(store: Store, *snapshots: Snapshot, tenant: str = "acme", **more: object) -> None:
    store.record(poll(now=snapshots[0].at, tenant=tenant, snapshots={each.scope: each for each in snapshots}, **more))


def recorded(store: Store, since: int = -1_000_000, until: int = 10_000_000, **more: object) -> list[RecordedPoll]:
    return list(store.polls("acme", at(since), at(until), **more))  # type: ignore[arg-type]


def numbers(polls: Sequence[RecordedPoll], key: str = "waiting.rt") -> list[list[float]]:
    return [each.snapshots[QUEUE].columns[key].values.tolist() for each in polls]


# The contract, for each implementation.


def test_nothing_was_recorded(store: Store) -> None:
    """Before the first poll there is nothing to read."""
    assert recorded(store) == []


def test_a_poll_comes_back_as_it_was(store: Store) -> None:
    """Numbers, words, what is missing and why, parents, and that it was partial."""
    both = {QUEUE: snapshot(), AGENT: replace(snapshot(scope=AGENT), complete=True, problems=())}
    store.record(poll(snapshots=both, failures={Scope.GROUP: "groups could not be read: 503"}))
    (found,) = recorded(store)
    assert found.at == T0
    assert found.failures == {Scope.GROUP: "groups could not be read: 503"}
    assert set(found.snapshots) == set(both)
    for scope, expected in both.items():
        assert_same_snapshot(found.snapshots[scope], expected)


def test_polls_are_read_in_the_order_of_time(store: Store) -> None:
    """From and until are both included; tenants have their own."""
    for second in range(0, 150, 15):
        record(store, queues(second, second, 2, None))
    record(store, queues(30, 9, 9, 9), tenant="other")
    assert [each.at for each in recorded(store)] == [at(second) for second in range(0, 150, 15)]
    assert [row[0] for row in numbers(recorded(store, 30, 60))] == [30, 45, 60]
    assert recorded(store, 31, 44) == []
    assert numbers(list(store.polls("other", at(0), at(99)))) == [[9, 9, 9]]


def test_a_poll_that_failed_is_remembered(store: Store) -> None:
    """So that a replay takes the same course as the live polls."""
    record(store, queues(0, 1))
    store.record(poll(now=at(15), failures={QUEUE: "no answer"}))
    record(store, queues(30, 2))
    assert [(dict(each.failures), len(each.snapshots)) for each in recorded(store)] == [
        ({}, 1),
        ({QUEUE: "no answer"}, 0),
        ({}, 1),
    ]


def agents(second: int, *words: str | None) -> Snapshot:
    """Some agents with one word each, `second` seconds after T0."""
    presence = np.array([Presence.NULL if word is None else Presence.PRESENT for word in words], dtype=np.uint8)
    column = Column(np.array([word or "" for word in words], dtype=np.object_), presence)
    ids = tuple(str(place) for place in range(len(words)))
    return Snapshot(AGENT, at(second), ids, ids, {"status.rt": column})


def test_each_poll_is_made_by_another_process(tmp_path: Path) -> None:
    """Polls from cron: each starts with words in another order and other values missing; all are read back."""
    words = [("Available", "OnBreak", None), ("OnBreak", None, "Available"), (None, "Handling", "OnBreak")]
    for number, each in enumerate(words * 3):
        with closing(SqliteStore(tmp_path / "alertbot.db")) as store:
            record(store, agents(number * 15, *each))
    with closing(SqliteStore(tmp_path / "alertbot.db")) as store:
        found = recorded(store)
    assert [
        tuple(None if gone else word for word, gone in zip(column.values, column.presence, strict=True))
        for column in (each.snapshots[AGENT].columns["status.rt"] for each in found)
    ] == words * 3


def test_a_bot_that_runs_for_long(store: Store) -> None:
    """Over many key frames, words and what is missing are what they were."""
    words = ["Available", "OnBreak", None, "Handling", "LoggedOut"]
    said = [tuple(words[(number * place) % 5] for place in (1, 2, 3)) for number in range(3 * KEY_FRAME_EVERY)]
    for number, each in enumerate(said):
        record(store, agents(number * 15, *each))
    found = [each.snapshots[AGENT].columns["status.rt"] for each in recorded(store)]
    assert [
        tuple(None if gone else word for word, gone in zip(column.values, column.presence, strict=True))
        for column in found
    ] == said


def test_only_some_keys_are_read(store: Store) -> None:
    """Of the given scopes and keys; one that was not recorded has no column."""
    for second in (0, 15, 30):
        more = replace(snapshot(at(second)), scope=AGENT)
        record(store, snapshot(at(second)), more)
    found = recorded(store, 15, 30, keys={QUEUE: frozenset({"status.rt", "never.rt"})})
    assert [set(each.snapshots) for each in found] == [{QUEUE}, {QUEUE}]
    for each in found:
        assert set(each.snapshots[QUEUE].columns) == {"status.rt"}
        whole = snapshot(each.at)
        assert_same_snapshot(each.snapshots[QUEUE], replace(whole, columns={"status.rt": whole.columns["status.rt"]}))


def test_entities_and_keys_come_and_go(store: Store) -> None:
    """What was renamed, added or requested again is as it was at each poll, and what returns is found again."""
    seen = [
        queues(0, 1, 2),
        queues(15, 1, 2, 3),
        replace(queues(30, 5, 6, 7), names=("A", "B", "C")),
        queues(45, 1, 2),
        queues(60, 8, 9, key="entered.today"),
        queues(75),
        queues(90, 3, 4),
    ]
    for each in seen:
        record(store, each)
    found = recorded(store)
    assert len(found) == len(seen)
    for one, expected in zip(found, seen, strict=True):
        assert_same_snapshot(one.snapshots[QUEUE], expected)


def test_reading_may_begin_anywhere(store: Store) -> None:
    """Most polls are stored as a difference to the previous one; reading finds where it must start."""
    for index in range(3 * KEY_FRAME_EVERY):
        record(store, queues(15 * index, index, index % 7, None if index % 5 == 0 else 4))
    for first in (0, 1, KEY_FRAME_EVERY - 1, KEY_FRAME_EVERY, KEY_FRAME_EVERY + 1, 3 * KEY_FRAME_EVERY - 1):
        found = numbers(recorded(store, 15 * first))
        assert [row[0] for row in found] == list(range(first, 3 * KEY_FRAME_EVERY))


def test_more_polls_than_are_read_at_once(store: Store) -> None:
    """Reading continues where it stopped, and what is recorded meanwhile does not disturb it."""
    for index in range(1100):
        record(store, queues(15 * index, index))
    reading = store.polls("acme", at(0), FOREVER)
    first = next(reading)
    record(store, queues(15 * 1100, 1100))
    assert [row[0] for row in numbers([first, *reading])] == list(range(1101))


def test_a_clock_that_is_set_back(store: Store) -> None:
    """What was recorded for a time in the future is replaced by what is seen now."""
    for second in (0, 15, 30, 45):
        record(store, queues(second, second))
    record(store, queues(20, 99))
    record(store, queues(35, 98))
    assert [(each.at, row[0]) for each, row in zip(recorded(store), numbers(recorded(store)), strict=True)] == [
        (at(0), 0),
        (at(15), 15),
        (at(20), 99),
        (at(35), 98),
    ]


def test_latest_is_there_beside_the_recording(store: Store) -> None:
    """The last snapshot of a scope, also after a poll in which it failed."""
    record(store, queues(0, 1))
    record(store, queues(15, 2))
    store.record(poll(now=at(30), failures={QUEUE: "no answer"}))
    assert_same_snapshot(store.latest("acme")[QUEUE], queues(15, 2))


def one(store: Store, entity: str, key: str = "waiting.rt", parent: str = "", scope: Scope = QUEUE) -> list[object]:
    """The values of one key of one entity, in all that is recorded."""
    fingerprint = Fingerprint("acme", "any-rule", scope, parent, entity)
    return [value for _, value in store.values("acme", fingerprint, key, at(-1_000_000), FOREVER)]


def test_one_key_of_one_entity(store: Store) -> None:
    """What `polls` has of it, poll by poll: entities that move and go, keys that go, and polls that failed."""
    record(store, queues(0, 1, 2))
    record(store, queues(15, 3, None, 4))
    record(store, queues(30, 5, 6, ids=("2", "1")))
    store.record(poll(now=at(45), failures={QUEUE: "no answer"}))
    record(store, queues(60, 8, 9, key="entered.today"))
    record(store, queues(75, 7, ids=("3",)))
    record(store, queues(90, 0.25, 2.5))
    assert one(store, "1") == [1, 3, 6, None, None, None, 0.25]
    assert one(store, "2") == [2, None, 5, None, None, None, 2.5]
    assert one(store, "1", "entered.today") == [None, None, None, None, 8, None, None]
    assert one(store, "9") == [None] * 7
    assert one(store, "1", scope=Scope.GROUP) == []
    times = [when for when, _ in store.values("acme", Fingerprint("acme", "", QUEUE, "", "1"), "x", at(15), at(60))]
    assert times == [at(15), at(30), at(45), at(60)]


def test_one_agent_in_several_queues(store: Store) -> None:
    """The parent tells them apart; words have no values."""
    both = replace(
        queues(0, 4, 5, ids=("ag1", "ag1")), parent_ids=("7", "8"), parent_names=("Sales", "Support"), scope=AGENT
    )
    record(store, both)
    assert one(store, "ag1", parent="8", scope=AGENT) == [5]
    assert one(store, "ag1", parent="7", scope=AGENT) == [4]
    assert one(store, "ag1", parent="9", scope=AGENT) == [None]
    record(store, agents(15, "OnBreak"))
    assert one(store, "0", "status.rt", scope=AGENT) == [None, None]


def test_one_value_over_many_key_frames(store: Store) -> None:
    """Reading may begin anywhere, and is as long as it has to be."""
    for index in range(3 * KEY_FRAME_EVERY):
        record(store, queues(15 * index, index * 1000, index % 7, None if index % 5 == 0 else 4))
    entity = Fingerprint("acme", "", QUEUE, "", "1")
    for first in (0, 1, KEY_FRAME_EVERY - 1, KEY_FRAME_EVERY, KEY_FRAME_EVERY + 1, 3 * KEY_FRAME_EVERY - 1):
        found = [value for _, value in store.values("acme", entity, "waiting.rt", at(15 * first), FOREVER)]
        assert found == [index * 1000 for index in range(first, 3 * KEY_FRAME_EVERY)]


# SQLite.


def test_a_restart_continues(path: Path) -> None:
    """What another process wrote is read, and what follows a start can be read by itself."""
    for index in range(5):
        with closing(SqliteStore(path)) as store:
            record(store, queues(15 * index, index))
            record(store, queues(15 * index + 5, index, 7, None))
    with closing(SqliteStore(path)) as store:
        assert [row[0] for row in numbers(recorded(store))] == [index // 2 for index in range(10)]
        assert [row[0] for row in numbers(recorded(store, 20))] == [1, 2, 2, 3, 3, 4, 4]


def test_nothing_is_recorded_if_keep_is_zero(path: Path) -> None:
    """`record.keep: 0s`: no polls, but the latest snapshot."""
    with closing(SqliteStore(path, keep_polls=timedelta(0))) as store:
        record(store, queues(0, 1))
        assert recorded(store) == []
        assert len(store.latest("acme")) == 1


def test_a_transaction_that_fails_leaves_the_recording_intact(path: Path) -> None:
    """After a poll that could not be written, the next one is a difference to the last one that was."""
    with closing(SqliteStore(path, busy_timeout=0.05)) as store:
        record(store, queues(0, 1, 5, 9))
        record(store, queues(15, 2, 5, 9))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError):
                record(store, queues(30, 30, 31, 32))
            other.execute("ROLLBACK")
        record(store, queues(45, 3, 5, 9))
        assert numbers(recorded(store)) == [[1, 5, 9], [2, 5, 9], [3, 5, 9]]


def test_polls_that_saw_the_same_again(store: Store) -> None:
    """Each is recorded and read, whole or one entity alone, wherever reading begins, also after something changed."""
    values = [1] * 30 + [2] + [2] * (2 * KEY_FRAME_AT_LATEST) + [3, 3, 4]
    for index, value in enumerate(values):
        record(store, replace(snapshot(at(15 * index)), columns=dict(queues(0, value, None).columns)))
    for first in (0, 29, 31, KEY_FRAME_AT_LATEST - 1, KEY_FRAME_AT_LATEST, KEY_FRAME_AT_LATEST + 1, len(values) - 2):
        found = recorded(store, 15 * first)
        assert [each.at for each in found] == [at(15 * index) for index in range(first, len(values))]
        assert [row[0] for row in numbers(found)] == values[first:]
        assert all(each.snapshots[QUEUE].problems == snapshot().problems for each in found)
        one = Fingerprint("acme", "", QUEUE, "", "103")
        assert [value for _, value in store.values("acme", one, "waiting.rt", at(15 * first), FOREVER)] == values[
            first:
        ]


def test_the_same_again_after_a_restart_a_failure_and_a_turn_of_the_clock(tmp_path: Path) -> None:
    """What an earlier process, a poll without an answer or one of the future left behind changes nothing."""
    path = tmp_path / "alertbot.db"
    with closing(SqliteStore(path)) as store:
        record(store, queues(0, 7, None))
        record(store, queues(15, 7, None))
    with closing(SqliteStore(path)) as store:
        record(store, queues(30, 7, None))
        store.record(poll(now=at(45), failures={QUEUE: "503"}))
        record(store, queues(60, 7, None))
        record(store, queues(90, 7, None))
        record(store, queues(75, 7, None))  # the clock was set back
        record(store, replace(queues(105, 7, None), complete=False, problems=("page 2: 503",)))
        assert store.latest("acme")[QUEUE].problems == ("page 2: 503",)
    with closing(SqliteStore(path)) as store:
        found = recorded(store)
    assert [each.at for each in found] == [at(second) for second in (0, 15, 30, 45, 60, 75, 105)]
    assert [row[0] for each in found if each.snapshots for row in numbers([each])] == [7] * 6
    assert [each.snapshots[QUEUE].complete for each in found if each.snapshots] == [True] * 5 + [False]


@pytest.mark.parametrize("entities", [50, 1000])
def test_a_poll_that_saw_the_same_again_writes_four_pages_at_most(entities: int, path: Path) -> None:
    """Its feed, and the recorded poll with its index, however many entities there are."""
    written = []
    with closing(SqliteStore(path, synchronous="NORMAL")) as store:
        store._db._conn.execute("PRAGMA wal_autocheckpoint = 0")
        ids = [str(number) for number in range(entities)]
        for index in range(60):
            before = Path(f"{path}-wal").stat().st_size
            record(store, queues(15 * index, *range(entities), ids=ids))
            written.append(Path(f"{path}-wal").stat().st_size - before)
    page = 4096 + 24
    still = written[1:]
    assert all(size % page == 0 for size in still)
    assert sorted(still)[len(still) // 2] == 3 * page
    assert sum(still) / len(still) <= 4 * page  # a page of the recording is full now and then


def test_columns_that_stay_the_same_pack_to_the_same_bytes() -> None:
    """They are not converted again: the row is the one that converting them gives, whatever is missing in them."""

    def columns(waiting: list[float], words: list[str]) -> dict[str, Column]:
        absent = np.array([0, Presence.NULL, 0], dtype=np.uint8)
        return {
            "waiting.rt": Column(np.array(waiting), np.zeros(3, dtype=np.uint8)),
            "sla.today": Column(np.array([0.25, np.nan, 1 / 3]), absent),
            "longest.rt": Column(np.array([1e300, np.nan, -0.0]), absent),
            "status.rt": Column(np.array(words, dtype=np.object_), absent),
        }

    _, frame = pack(columns([1, 2, 3], ["Busy", "", "Away"]))
    for waiting, words in (
        ([1, 2, 3], ["Busy", "", "Away"]),
        ([4, 2, 3], ["Away", "", "Busy"]),
        ([4, 2, 3], ["Away", "", "New"]),
    ):
        now = columns([float(each) for each in waiting], words)
        forgetful = {key: replace(packed, column=None) for key, packed in frame.items()}
        data, following = pack(now, frame)
        assert data == pack(now, forgetful)[0]
        read = columns_of(unpack(data, {key: column.is_text for key, column in now.items()}, 3, frame))
        assert all(read[key].same_values(column) for key, column in now.items())
        frame = following


def test_another_process_wrote_another_snapshot(path: Path) -> None:
    """Then the same values as this process saw last are written again."""
    with closing(SqliteStore(path)) as store, closing(SqliteStore(path)) as other:
        record(store, queues(0, 7, 7))
        record(other, queues(15, 8, 8))
        record(store, queues(30, 7, 7))
        assert other.latest("acme")[QUEUE].columns["waiting.rt"].values.tolist() == [7, 7]
        assert other.latest("acme")[QUEUE].at == at(30)


def _count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as conn:
        return int(conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_what_is_too_old_is_deleted(path: Path) -> None:
    """At most forty polls beyond `keep` remain, all that is kept can be read, and layouts go with their polls."""
    keep = timedelta(hours=1)
    with closing(SqliteStore(path, keep_polls=keep, synchronous="NORMAL")) as store:
        for index in range(1000):
            ids = ("1", "2", "3") if index < 300 else ("1", "2", "4")
            snapshots = [queues(15 * index, index, 2, 3, ids=ids)]
            if index < 400:
                snapshots.append(replace(queues(15 * index, index), scope=AGENT))
            record(store, *snapshots)
        newest = 15 * 999
        kept = recorded(store)
        assert [row[0] for row in numbers(kept)] == list(range(1000 - len(kept), 1000))
        oldest = at(newest) - kept[0].at
        prune_and_key_frame = timedelta(minutes=10) + KEY_FRAME_EVERY * timedelta(seconds=15)
        assert keep <= oldest <= keep + prune_and_key_frame
        assert {scope for each in kept for scope in each.snapshots} == {QUEUE}  # agents are no longer fetched
    assert _count(path, "recorded_layouts") == 1
    assert _count(path, "recorded_polls") == len(kept)


def test_a_long_pause_is_pruned_a_little_at_a_time(path: Path) -> None:
    """After a month without polls no single poll takes long, and in the end all that is too old is gone."""
    with closing(SqliteStore(path, keep_polls=timedelta(days=30), synchronous="NORMAL")) as store:
        for index in range(1200):
            record(store, queues(index, index))
    with closing(SqliteStore(path, keep_polls=timedelta(minutes=1), synchronous="NORMAL")) as store:
        sizes = []
        for index in range(5):
            record(store, queues(86_400 + index, index))
            sizes.append(_count(path, "recorded_polls"))
        assert sizes[0] > 600
        assert sizes[-1] < 100
        assert [row[0] for row in numbers(recorded(store, 86_400))] == [0, 1, 2, 3, 4]


def test_a_damaged_recording_is_reported(path: Path) -> None:
    """A row that cannot be decoded is a StoreError that names the poll; the rest of the store works."""
    with closing(SqliteStore(path)) as store:
        record(store, queues(0, 1))
        with closing(sqlite3.connect(path)) as conn:
            conn.execute("UPDATE recorded_polls SET packed = x'00'")
            conn.commit()
        with pytest.raises(StoreError, match="the recording of queue at 2026-"):
            recorded(store)
        with pytest.raises(StoreError, match="the recording of queue at 2026-"):
            one(store, "1")
        assert len(store.latest("acme")) == 1


def test_a_damaged_row_between_others(path: Path) -> None:
    """The polls before it are read as ever, and the error names the first that cannot be read."""
    with closing(SqliteStore(path)) as store:
        for index in range(6):
            record(store, queues(15 * index, index))
        with closing(sqlite3.connect(path)) as conn:
            conn.execute("UPDATE recorded_polls SET packed = x'00' WHERE at = ?", (stamp(at(45)),))
            conn.commit()
        polls = store.polls("acme", T0, FOREVER)
        assert [next(polls).at for _ in range(2)] == [at(0), at(15)]
        with pytest.raises(StoreError, match=f"the recording of queue at {stamp(at(45))} cannot be read: not a "):
            list(polls)


# Packing.

SLOW_IS_FINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ANY = (
    st.floats()
    | st.integers(-(2**60), 2**60).map(float)
    | st.integers(0, 100).map(lambda each: each / 100)
    | st.integers(0, 5).map(float)
    | st.sampled_from([-0.0, 1e300, 2.0**53, 1.7e12, 0.8333333333333334])
)
TEXTS = st.text(max_size=3) | st.sampled_from(["OnBreak", "Busy"])


@st.composite
def series(draw: st.DrawFn) -> list[dict[str, Column]]:
    """Polls of the same keys and entities; most values as they were."""
    size = draw(st.integers(0, 4))
    kinds = {name: draw(st.booleans()) for name in draw(st.lists(st.sampled_from("abcd"), unique=True))}
    polls: list[dict[str, Column]] = []
    for _ in range(draw(st.integers(1, 5))):
        columns = {}
        for name, text in kinds.items():
            if polls and draw(st.booleans()):
                columns[name] = polls[-1][name]
                continue
            presence = draw(st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4]), min_size=size, max_size=size))
            cells = draw(st.lists(TEXTS if text else ANY, min_size=size, max_size=size))
            missing = "" if text else np.nan
            values = np.empty(size, dtype=np.object_ if text else np.float64)
            values[:] = [cell if there == 0 else missing for cell, there in zip(cells, presence, strict=True)]
            columns[name] = Column(values, np.array(presence, dtype=np.uint8))
        polls.append(columns)
    return polls


@SLOW_IS_FINE
@given(polls=series(), data=st.data())
def test_packed_values_are_read_back_bit_for_bit(polls: list[dict[str, Column]], data: st.DataObject) -> None:
    """Any numbers, including NaN and infinity, any words, and why a value is missing."""
    layout = {name: column.is_text for name, column in polls[0].items()}
    size = len(next(iter(polls[0].values())).values) if layout else 3
    wanted = data.draw(st.none() | st.frozensets(st.sampled_from("abcd")))
    written: Frame | None = None
    read: Frame | None = None
    cells: dict[tuple[str, int], Cell] = {}
    for columns in polls:
        packed, written = pack(columns, written)
        read = unpack(packed, layout, size, read, wanted)
        found = columns_of(read)
        assert set(found) == {name for name in layout if wanted is None or name in wanted}
        for name, column in found.items():
            assert column.presence.tolist() == columns[name].presence.tolist()
            if column.is_text:
                assert column.values.tolist() == columns[name].values.tolist()
            else:
                assert column.values.tobytes() == _one_nan(columns[name]).tobytes()
        for name, row in ((name, row) for name in layout for row in range(size)):
            before = cells.get((name, row))
            cell = cells[name, row] = unpack_cell(packed, tuple(layout), size, before, name, row)
            column = columns[name]
            is_number = not column.is_text and column.presence[row] == 0
            found_value = np.float64(np.nan if cell.value is None else cell.value)
            assert (cell.value is not None) == is_number
            assert not is_number or found_value.tobytes() == column.values[row].tobytes()


@SLOW_IS_FINE
@given(polls=series(), data=st.data())
def test_many_rows_are_read_as_one_by_one(polls: list[dict[str, Column]], data: st.DataObject) -> None:
    """Wherever the rows are divided, and whichever of them repeat the poll before."""
    layout = {name: column.is_text for name, column in polls[0].items()}
    size = len(next(iter(polls[0].values())).values) if layout else 3
    wanted = data.draw(st.none() | st.frozensets(st.sampled_from("abcd")))
    rows: list[bytes] = []
    expected: list[Mapping[str, Column]] = []
    written: Frame | None = None
    one: Frame | None = None
    for columns in polls:
        packed, written = pack(columns, written)
        for row in [packed, *[STILL] * data.draw(st.integers(0, 2))]:
            rows.append(row)
            one = unpack(row, layout, size, one, wanted)
            expected.append(columns_of(one))
    many: Frame | None = None
    begin = 0
    while begin < len(rows):
        end = data.draw(st.integers(begin + 1, len(rows)))
        block, many = unpack_block(rows[begin:end], layout, size, many, wanted)
        for line, columns in enumerate(expected[begin:end]):
            found = ColumnsOfPoll(block, line)
            assert list(found) == list(columns)
            assert all(found[name].same_values(column) for name, column in columns.items())
        for name in block.values:
            apart = [columns[name] for columns in expected[begin:end]]
            joined = Column(
                *(np.concatenate(each) for each in zip(*((c.values, c.presence) for c in apart), strict=True))
            )
            assert block.column(name, 0, end - begin).same_values(joined)
        begin = end


def test_a_scale_that_changes_within_the_rows() -> None:
    """From there on the numbers are not differences, and are in other units."""
    polls = [1.0, 3.0, 0.25, 0.5, 1e300, 7.0]
    rows: list[bytes] = []
    written: Frame | None = None
    for value in polls:
        column = Column(np.array([value, 2.0]), np.zeros(2, dtype=np.uint8))
        packed, written = pack({"a": column}, written)
        rows.append(packed)
    block, _ = unpack_block(rows, {"a": False}, 2, None, None)
    assert block.values["a"].tolist() == [[value, 2.0] for value in polls]


def test_a_row_that_is_cut_off() -> None:
    """It is refused, also where one cell alone is read of it, and never read as another number."""
    columns = next(_day())
    for missing in (False, True):
        columns["waiting.rt"].presence[5] = Presence.NULL if missing else Presence.PRESENT
        packed, _ = pack(columns, None)
        assert unpack_cell(packed, tuple(columns), 200, None, "slaPercentage.int-30m", 199).value is not None
        for length in range(len(packed) - 10 if missing else len(packed) // 2):
            with pytest.raises(ValueError, match="not a recorded poll"):
                unpack_cell(packed[:length], tuple(columns), 200, None, "slaPercentage.int-30m", 199)


def test_a_number_too_large_to_be_scaled_is_packed_as_it_is() -> None:
    """A number that overflows when scaled is kept bit for bit, without a warning."""
    column = Column(np.array([0.0, 1.79769313e302]), np.zeros(2, dtype=np.uint8))
    packed, _ = pack({"a": column}, None)
    found = columns_of(unpack(packed, {"a": False}, 2, None, None))["a"]
    assert found.values.tobytes() == column.values.tobytes()


def _arrays(column: Column) -> tuple[np.ndarray, np.ndarray]:
    return column.values, column.presence


def _one_nan(column: Column) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A missing value may be any NaN; a NaN that was received is kept bit for bit."""
    return np.where(column.presence == 0, column.values, np.nan)


def _day(rows: int = 200, polls: int = 400) -> Iterator[dict[str, Column]]:
    """Realistic queues: counts that change now and then, waits that grow, a share of calls."""
    random = np.random.default_rng(5)
    present = np.zeros(rows, dtype=np.uint8)
    waiting = random.integers(0, 9, rows)
    since = random.integers(0, 90_000, rows)
    for _ in range(polls):
        moved = random.random(rows) < 0.1
        waiting = np.where(moved, random.integers(0, 9, rows), waiting)
        since = np.where(moved, random.integers(0, 15_000, rows), since + 15_000)
        share = np.round(waiting / 9, 4)
        yield {
            "waiting.rt": Column(waiting.astype(np.float64), present),
            "interactionsLongestWaitInQueue.rt": Column(since.astype(np.float64), present),
            "slaPercentage.int-30m": Column(share, present),
        }


def test_a_poll_takes_few_bytes() -> None:
    """Numbers that change little from poll to poll take about a bit or two each, a tenth of their raw size."""
    written: Frame | None = None
    sizes = []
    for columns in _day():
        packed, written = pack(columns, written)
        sizes.append(len(packed))
    raw = 200 * 3 * 8
    assert sum(sizes) / len(sizes) < raw / 10
