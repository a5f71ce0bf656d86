"""From what was gathered to a snapshot a scope, on plain values."""

from __future__ import annotations

from datetime import UTC, datetime

from alertbot.evaluation.snapshot import Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.sources.eight_by_eight.collector import Collector
from alertbot.sources.eight_by_eight.decode import Page
from alertbot.sources.eight_by_eight.names import Names
from alertbot.sources.eight_by_eight.percent import Percentages
from alertbot.sources.eight_by_eight.plan import plan
from alertbot.sources.eight_by_eight.snapshots import build_snapshots
from alertbot.sources.eight_by_eight.unchanged import Unchanged

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WANTED = {
    Scope.QUEUE: frozenset({"entered.today"}),
    Scope.QUEUE_TOTALS: frozenset({"total.entered.today"}),
    Scope.AGENT: frozenset({"accepted.today"}),
}


def test_a_scope_that_cannot_be_assembled_does_not_cost_the_others() -> None:
    """An exception over one response fails the scopes that are read from it, and is named with its place."""
    names = Names(lambda: 0.0)
    collector = Collector(plan(WANTED, None, ""), names, max_pages=5, room=5000)
    collector.begin()
    for result in collector.results:
        for batch in result.batches:
            fit = Scope.AGENT in result.listing.scopes
            batch.pages[0] = Page(["1"] * 2, ["A"] * 2 if fit else [], {key: [3, 4] for key in batch.keys})
    built = build_snapshots(WANTED, collector, NOW, Percentages("auto"), names, Unchanged())
    agents = built[Scope.AGENT]
    assert isinstance(agents, Snapshot)
    assert agents.complete
    assert agents.reading("accepted.today", 0)[0] == 3.0
    for scope, noun in ((Scope.QUEUE, "queues"), (Scope.QUEUE_TOTALS, "totals of queues")):
        sentence = built[scope]
        assert isinstance(sentence, str)
        assert sentence.startswith(f"{noun} could not be read: unexpected error while reading the response (")
        assert "Error in " in sentence
