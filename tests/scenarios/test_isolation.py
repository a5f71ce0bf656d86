"""A rule that cannot be evaluated stops none of the others: it is reported once, and its alerts stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from alertbot import poll
from alertbot.alerts.alert import State
from alertbot.alerts.notice import NoticeKind
from alertbot.evaluation.snapshot import Fetched
from alertbot.poll import Turn
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.hours import Calendar, Hours
from alertbot.rules.rule import Level, Rule, RuleSet
from alertbot.rules.tree import Compare, Op, Param
from alertbot.store.sqlite.store import SqliteStore
from tests.alerts.kit import NOW, POLL, TENANT, WAIT, compare, key, level, rule, snapshot

WHEN = compare(WAIT, ">", 60_000)
NO_SUCH_PARAM = Compare(Op.GT, key(WAIT), Param("gone", ValueType.DURATION))
ALWAYS = Calendar("always", "UTC", ((),) * 7)
BEYOND = Hours(ALWAYS, shift=timedelta.max)

# Rules that no file can hold: what a fault of alertbot itself would look like.
BROKEN = {
    "its condition": rule(level(Level.WARNING, NO_SUCH_PARAM), id="broken"),
    "its calendar": rule(level(Level.WARNING, WHEN), id="broken", during=BEYOND),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "alertbot.db")
    yield store
    store.close()


def turn(store: SqliteStore, rules: tuple[Rule, ...], number: int, wait: float | None, version: str = "v1") -> Turn:
    """One turn; `wait` None is one without a fetch."""
    now = NOW + number * POLL
    fetched = None if wait is None else Fetched(now, {Scope.QUEUE: snapshot({WAIT: [wait]}, at=now)})
    tenant = poll.Tenant(TENANT, RuleSet(rules, version), "#cc-alerts", "#cc-ops")
    return poll.run(tenant, store, now, fetched)


def states(store: SqliteStore) -> dict[str, State]:
    return {alert.key.rule: alert.state for alert in store.alerts(TENANT)}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_rule_that_raises_fails_alone(store: SqliteStore, broken: Rule) -> None:
    """The others fire and resolve; the failure is reported in the ops channel once, and known until it has ended."""
    good = rule(level(Level.WARNING, WHEN), id="good")
    turn(store, (replace(good, id="broken"), good), 0, 90_000)
    assert states(store) == {"broken": State.FIRING, "good": State.FIRING}

    first = turn(store, (broken, good), 1, 10_000)
    assert states(store) == {"broken": State.FIRING}, "the alert of the broken rule stays, the other resolves"
    assert list(first.failing) == ["broken"]
    ops = [notice for notice in first.notices if notice.kind is NoticeKind.OPS]
    assert [(notice.channel, notice.level) for notice in ops] == [("#cc-ops", Level.WARNING)]
    assert "the rule broken failed with an unexpected error and makes no decision: " in ops[0].text
    assert store.feed(TENANT).health.failing == first.failing

    for number, wait in ((2, 90_000.0), (3, None), (4, 90_000.0)):  # once, also over a turn without a fetch
        again = turn(store, (broken, good), number, wait)
        assert not again.failing
        assert not [notice for notice in again.notices if notice.kind is NoticeKind.OPS]
        assert list(store.feed(TENANT).health.failing) == ["broken"]
    assert states(store) == {"broken": State.FIRING, "good": State.FIRING}

    turn(store, (replace(good, id="broken"), good), 5, 10_000, "v2")
    assert not store.feed(TENANT).health.failing
    assert states(store) == {}
