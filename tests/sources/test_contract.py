"""What every Source promises, whatever stands behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest

from alertbot.evaluation.snapshot import Presence
from alertbot.rules.catalogue import Scope
from alertbot.sources.eight_by_eight import EightByEight
from alertbot.sources.source import Source
from tests.sources.conftest import KEY, NOW, SECRET
from tests.sources.recorded import Recorded
from tests.sources.standin import StandIn, by_page, entity, in_turn, listing

WAIT = "interactionsLongestWaitInQueue.rt"
SHARE = "slaPercentage.today"
# Each source has these: two queues on two pages, one agent; and no agents of queues.
KEYS = {Scope.QUEUE: frozenset({WAIT, SHARE}), Scope.AGENT: frozenset({"status.rt"})}

Make = Callable[[StandIn], Source]


def live(standin: StandIn) -> EightByEight:
    first = listing(entity("201", "Billing", **{WAIT: 41250, SHARE: None}), pages=2)
    standin.routes["/queues"] = by_page([first, listing(entity("202", "Support", **{WAIT: 0}), pages=2)])
    standin.routes["/agents"] = in_turn(listing(entity("ag1", "Ana", **{"status.rt": "OnBreak"})))
    return EightByEight("acme", standin.base_url, standin.token_url, KEY, SECRET)


def recorded(standin: StandIn) -> Recorded:
    source = live(standin)
    poll = source.fetch(KEYS, NOW)
    source.close()
    return Recorded([poll])


@pytest.fixture(params=[live, recorded], ids=["8x8", "recorded"])
def source(request: pytest.FixtureRequest, standin: StandIn) -> Iterator[Source]:
    make: Make = request.param
    made = make(standin)
    yield made
    made.close()
    made.close()  # twice does no harm


def test_what_is_wanted_comes(source: Source) -> None:
    """Each wanted scope is a snapshot of its entities with exactly the wanted keys, made now."""
    fetched = source.fetch(KEYS, NOW)
    assert fetched.at == NOW
    assert fetched.whole
    assert set(fetched.snapshots) == set(KEYS)
    for scope, snapshot in fetched.snapshots.items():
        assert snapshot.scope is scope
        assert snapshot.at == NOW
        assert set(snapshot.columns) == KEYS[scope]
    queues = fetched.snapshots[Scope.QUEUE]
    assert (queues.ids, queues.names) == (("201", "202"), ("Billing", "Support"))
    assert fetched.snapshots[Scope.AGENT].reading("status.rt", 0) == ("OnBreak", Presence.PRESENT)


def test_missing_has_a_reason_and_no_value(source: Source) -> None:
    """Null and absent stay apart, zero is a value, and a missing number is NaN."""
    queues = source.fetch(KEYS, NOW).snapshots[Scope.QUEUE]
    assert queues.reading(WAIT, 1) == (0.0, Presence.PRESENT)
    assert [queues.reading(SHARE, row)[1] for row in (0, 1)] == [Presence.NULL, Presence.ABSENT]
    assert all(math.isnan(value) for value in queues.columns[SHARE].values)
    for column in queues.columns.values():
        assert len(column.values) == len(column.presence) == len(queues)


def test_only_what_is_wanted_comes(source: Source) -> None:
    """Scopes and keys that were not requested are absent."""
    fetched = source.fetch({Scope.QUEUE: frozenset({WAIT})}, NOW)
    assert set(fetched.snapshots) == {Scope.QUEUE}
    assert set(fetched.snapshots[Scope.QUEUE].columns) == {WAIT}
    assert not fetched.failures


def test_what_cannot_be_had_is_said(source: Source) -> None:
    """A scope or key that the source cannot give is a sentence or a missing column, not an exception and not zero."""
    wanted = {Scope.GROUP_AGENT: frozenset({"status.rt"}), Scope.QUEUE: frozenset({WAIT, "brandNew.rt"})}
    fetched = source.fetch(wanted, NOW)
    assert set(fetched.failures) == {Scope.GROUP_AGENT}
    assert fetched.failures[Scope.GROUP_AGENT]
    queues = fetched.snapshots[Scope.QUEUE]
    assert all(queues.reading("brandNew.rt", row)[0] is None for row in (0, 1))


def test_nothing_wanted_is_nothing_done(source: Source) -> None:
    """Without rules there is nothing to fetch, and nothing has failed."""
    fetched = source.fetch({}, NOW)
    assert fetched.whole
    assert not fetched.snapshots
