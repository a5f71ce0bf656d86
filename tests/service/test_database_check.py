"""A database that cannot be written: the log, /readyz and the ops channel say so, without needing it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from alertbot.alerts.cards import Posted
from alertbot.errors import DeliveryFailure, NotifyError
from alertbot.service.database_check import DatabaseCheck
from alertbot.service.readiness import unready
from alertbot.store.sqlite.store import SqliteStore
from tests.simulator.kit import HandClock
from tests.store.build import T0, begin, firing


@dataclass
class Posts:
    """A notifier that posts plain text only, and refuses while `refuses` is set."""

    texts: list[tuple[str, str]] = field(default_factory=list)
    refuses: bool = False

    def post_text(self, text: str, *, channel: str, notice_id: str) -> Posted:
        if self.refuses:
            raise NotifyError("Slack is not reachable", failure=DeliveryFailure.RETRY)
        self.texts.append((channel, text))
        return Posted("C1", str(len(self.texts)))


@dataclass
class World:
    path: Path
    store: SqliteStore
    clock: HandClock
    posts: Posts
    checked: DatabaseCheck
    poll_problem: str = ""

    def check(self, seconds: float = 10) -> int:
        """One check after this many seconds; how many messages there are by then."""
        self.clock.forward(seconds=seconds)
        self.checked.check()
        return len(self.posts.texts)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("alertbot.service.database_check.WRITE_WITHIN_S", 0.1)
    path, clock, posts = tmp_path / "alertbot.db", HandClock(T0), Posts()
    store = SqliteStore(path)
    begin(store, firing())
    check = DatabaseCheck(
        store,
        posts,  # type: ignore[arg-type]
        clock,
        lambda: made.poll_problem,
        ops_channel="#ops",
    )
    made = World(path, store, clock, posts, check)
    yield made
    store.close()


def test_a_lock_is_reported_after_a_minute_and_once_an_hour(world: World) -> None:
    """A short lock is nothing to report; a long one is, until it ends, and at most once an hour."""
    other = sqlite3.connect(world.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert world.check() == 0
    assert "is locked" in world.checked.problem
    other.execute("ROLLBACK")
    assert world.check() == 0
    assert world.checked.problem == ""
    other.execute("BEGIN IMMEDIATE")
    assert [world.check(30) for _ in range(4)] == [0, 0, 1, 1]
    ((channel, text),) = world.posts.texts
    assert channel == "#ops"
    assert text.startswith("alertbot cannot use its database, so no alert is decided or reported: ")
    other.execute("ROLLBACK")
    assert world.check() == 2
    assert world.posts.texts[-1] == ("#ops", "alertbot can use its database again, after 1m 40s.")
    other.execute("BEGIN IMMEDIATE")
    assert [world.check(60) for _ in range(3)] == [2, 2, 2]
    assert world.check(3600) == 3
    other.close()


def test_a_message_that_slack_refuses_is_tried_again(world: World) -> None:
    """It is not counted as sent."""
    world.path.unlink()
    world.posts.refuses = True
    assert world.check() == 0
    world.posts.refuses = False
    assert world.check() == 1


def test_a_deleted_file_is_reported_at_once(world: World) -> None:
    """Waiting cannot help; /readyz has the same reason, once."""
    world.path.unlink()
    assert world.check() == 1
    assert "was deleted while alertbot was running" in world.posts.texts[0][1]
    (reason,) = unready(world.store, [], [world.checked.problem], T0)
    assert "was deleted while alertbot was running" in reason


def test_polls_that_cannot_be_stored(world: World) -> None:
    """On a full disk a small row may fit where a poll does not."""
    world.poll_problem = "the disk is full"
    assert [world.check(60), world.check(60)] == [0, 1]
    world.poll_problem = ""
    assert world.check() == 2


def test_a_message_that_waits_for_two_minutes_is_not_ready(world: World) -> None:
    """Whatever keeps it: Slack, or a courier that hangs."""
    assert unready(world.store, [], [], T0 + timedelta(seconds=119)) == []
    assert unready(world.store, [], [], T0 + timedelta(seconds=135)) == [
        "a message has been waiting to be delivered to Slack for 2m 15s"
    ]


def test_a_lock_does_not_keep_readyz_from_answering(world: World) -> None:
    """Within a second, with the reason."""
    other = sqlite3.connect(world.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    (reason,) = unready(world.store, [], [], T0)
    assert "is locked: another process has been writing to it for 0.5 s" in reason
    other.close()
