"""From what was gathered to a snapshot a scope, on plain values."""

from __future__ import annotations

from datetime import UTC, datetime

from alertbot.evaluation.snapshot import Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.sources.eight_by_eight.decode import Page
from alertbot.sources.eight_by_eight.gathering import Gathering
from alertbot.sources.eight_by_eight.names import Names
from alertbot.sources.eight_by_eight.percent import Percentages
from alertbot.sources.eight_by_eight.plan import plan
from alertbot.sources.eight_by_eight.snapshots import judge

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WANTED = {
    Scope.QUEUE: frozenset({"entered.today"}),
    Scope.QUEUE_TOTALS: frozenset({"total.entered.today"}),
    Scope.AGENT: frozenset({"accepted.today"}),
}


def test_a_scope_that_cannot_be_assembled_does_not_cost_the_others() -> None:
    """An error of our own over one answer is the failure of the scopes that it feeds, and says where it arose."""
    names = Names(lambda: 0.0)
    gathering = Gathering(plan(WANTED, None, ""), names, max_pages=5, room=5000)
    gathering.begin()
    for harvest in gathering.harvests:
        for part in harvest.parts:
            fit = Scope.AGENT in harvest.listing.scopes
            part.pages[0] = Page(["1"] * 2, ["A"] * 2 if fit else [], {key: [3, 4] for key in part.keys})
    judged = judge(WANTED, gathering, NOW, Percentages("auto"), names)
    agents = judged[Scope.AGENT]
    assert isinstance(agents, Snapshot)
    assert agents.complete
    assert agents.reading("accepted.today", 0)[0] == 3.0
    for scope, noun in ((Scope.QUEUE, "queues"), (Scope.QUEUE_TOTALS, "totals of queues")):
        sentence = judged[scope]
        assert isinstance(sentence, str)
        assert sentence.startswith(f"{noun} could not be read: alertbot could not put the answer together (")
        assert "Error in " in sentence
