"""The scale of percentages, derived from related counts; snapshots always hold 0 to 1."""

from __future__ import annotations

import pytest

from alertbot.evaluation.snapshot import Fetched, Presence
from alertbot.rules.catalogue import Scope, ValueType, catalogue
from alertbot.sources.eight_by_eight.percent import PAIRS
from tests.sources.conftest import NOW, Connect
from tests.sources.standin import StandIn, entity, in_turn, listing

SHARE, PART, WHOLE = "divertedPercentage.today", "diverted.today", "entered.today"
TARGET = "slaPercentageTarget.today"
QUEUE = Scope.QUEUE


def poll(standin: StandIn, connect: Connect, *rows: dict[str, object], setting: str = "auto") -> Fetched:
    standin.routes["/queues"] = in_turn(listing(*(entity(str(n), **row) for n, row in enumerate(rows))))
    return connect(percent_scale=setting).fetch({QUEUE: frozenset({SHARE})}, NOW)


def row(share: object, part: object = None, whole: object = None) -> dict[str, object]:
    return {SHARE: share, PART: part, WHOLE: whole}


NAN = None
CASES: dict[str, tuple[str, list[dict[str, object]], list[float | None], str, bool]] = {
    "ratio by pairs": ("auto", [row(0.5, 5, 10), row(1.0, 3, 3)], [0.5, 1.0], "ratios", False),
    "percent by pairs": ("auto", [row(50, 5, 10), row(100.0, 3, 3)], [0.5, 1.0], "percent", False),
    "percent by a pair, small": ("auto", [row(0.8, 8, 1000), row(1, 1, 100)], [0.008, 0.01], "percent", False),
    "another definition of the whole": ("auto", [row(0.62, 5, 10)], [0.62], "ratios", False),
    "no evidence": ("auto", [row(0.5), row(1.0, 0, 0), row(0, 0, 7)], [0.5, 1.0, 0.0], "", False),
    "a value above 1": ("auto", [row(0.5), row(85)], [0.005, 0.85], "percent", False),
    "pairs weigh more than one value": ("auto", [row(0.5, 5, 10), row(7)], [0.5, NAN], "ratios", False),
    "most pairs count": ("auto", [row(50, 5, 10), row(60, 6, 10), row(0.5, 5, 9)], [0.5, 0.6, 0.005], "percent", False),
    "nothing at all": ("auto", [row(None), {}], [NAN, NAN], "", False),
    "texts": ("auto", [row("50", "5", "10")], [0.5], "percent", False),
    "set to ratio": ("ratio", [row(0.5, 5, 10)], [0.5], "", False),
    "set to percent": ("percent", [row(50), row(0.5)], [0.5, 0.005], "", False),
    "set wrongly to ratio": ("ratio", [row(50), row(0.4)], [NAN, 0.4], "", True),
    "a hair above 1": ("auto", [row(1.0000001, 3, 3)], [1.0], "ratios", False),
    "below 0": ("ratio", [row(-0.5)], [NAN], "", False),
    "above 100": ("percent", [row(250)], [NAN], "", False),
}  # fmt: skip


@pytest.mark.parametrize(("setting", "rows", "values", "note", "contradiction"), CASES.values(), ids=CASES)
def test_scale(
    standin: StandIn,
    connect: Connect,
    setting: str,
    rows: list[dict[str, object]],
    values: list[float | None],
    note: str,
    contradiction: bool,
) -> None:
    """Which scale is used and noted, and that a value that does not fit is missing, not wrong."""
    fetched = poll(standin, connect, *rows, setting=setting)
    snapshot = fetched.snapshots[QUEUE]
    assert set(snapshot.columns) == {SHARE}  # the pair was for us alone
    seen = [snapshot.reading(SHARE, number)[0] for number in range(len(rows))]
    assert seen == [value if value is None else pytest.approx(value) for value in values]
    taken = [each.removeprefix("percentages are read as ").partition(",")[0] for each in fetched.notes]
    assert taken == ([note] if note else [])
    assert any("is not a valid percentage" in problem for problem in snapshot.problems) is _lost(rows, seen)
    assert bool(fetched.problems) is contradiction


def _lost(rows: list[dict[str, object]], seen: list[float | str | None]) -> bool:
    """Whether a number came that is not in the snapshot."""
    pairs = zip(rows, seen, strict=True)
    return any(raw.get(SHARE) is not None and value is None for raw, value in pairs)


def test_a_wrong_setting_is_told(standin: StandIn, connect: Connect) -> None:
    """Set to percent, although the counts that rules use show ratios: the setting holds, with one problem reported."""
    standin.routes["/queues"] = in_turn(listing(entity("1", **row(0.5, 5, 10))))
    client = connect(percent_scale="percent")
    wanted = {QUEUE: frozenset({SHARE, PART, WHOLE})}
    first, second = client.fetch(wanted, NOW), client.fetch(wanted, NOW)
    assert first.snapshots[QUEUE].reading(SHARE, 0)[0] == 0.005
    assert first.problems[0].startswith("percentages are set to be percent, 0 to 100, but 8x8 sends some on the other")
    assert not second.problems


def test_the_pair_is_asked_for_until_the_scale_shows(standin: StandIn, connect: Connect) -> None:
    """Two more keys while the scale is unknown, none after that, and none if no percentage is wanted."""
    standin.routes["/queues"] = in_turn(
        listing(entity("1", **row(None, 0, 0))),
        listing(entity("1", **row(0.5, 5, 10))),
        listing(entity("1", **row(0.5))),
    )
    client = connect()
    for _ in range(3):
        client.fetch({QUEUE: frozenset({SHARE})}, NOW)
    client.fetch({QUEUE: frozenset({WHOLE})}, NOW)
    pair = [PART, SHARE, WHOLE]
    assert [request.metrics for request in standin.asked("/queues")] == [pair, pair, [SHARE], [WHOLE]]
    connect(percent_scale="ratio").fetch({QUEUE: frozenset({SHARE})}, NOW)
    assert standin.asked("/queues")[-1].metrics == [SHARE]


def test_a_period_without_a_pair_borrows_one(standin: StandIn, connect: Connect) -> None:
    """`int-1h` has no counts of entered callers: a percentage of the day shows the scale with its pair."""
    standin.routes["/queues"] = in_turn(listing(entity("1")))
    connect().fetch({QUEUE: frozenset({"slaPercentage.int-1h"})}, NOW)
    assert standin.asked("/queues")[0].metrics == [PART, SHARE, WHOLE, "slaPercentage.int-1h"]


def test_what_was_learned_is_kept(standin: StandIn, connect: Connect) -> None:
    """Noted once, kept over polls without evidence, and not changed by a contradiction, which is reported once."""
    standin.routes["/queues"] = in_turn(
        listing(entity("1", **row(50, 5, 10))),
        listing(entity("1", **row(0.9))),
        *[listing(entity("1", **row(0.5, 5, 10)))] * 2,
    )
    client = connect()
    wanted = {QUEUE: frozenset({SHARE, PART, WHOLE})}
    polls = [client.fetch(wanted, NOW) for _ in range(4)]
    assert [each.snapshots[QUEUE].reading(SHARE, 0)[0] for each in polls] == pytest.approx([0.5, 0.009, 0.005, 0.005])
    assert [len(each.notes) for each in polls] == [1, 0, 0, 0]
    assert [len(each.problems) for each in polls] == [0, 0, 1, 0]
    assert polls[0].notes == (
        "percentages are read as percent, 0 to 100 "
        "(divertedPercentage.today 50 where diverted.today is 5 and entered.today 10)",
    )
    assert polls[2].problems[0].startswith("percentages are known to be percent, 0 to 100, but 8x8 sends some on the")


def test_a_first_guess_is_corrected_by_pairs(standin: StandIn, connect: Connect) -> None:
    """A lone value above 1 is a weak proof: pairs that come later outweigh it."""
    standin.routes["/queues"] = in_turn(listing(entity("1", **row(1.2))), listing(entity("1", **row(0.5, 5, 10))))
    client = connect()
    wanted = {QUEUE: frozenset({SHARE})}
    assert client.fetch(wanted, NOW).snapshots[QUEUE].reading(SHARE, 0)[0] == pytest.approx(0.012)
    assert client.fetch(wanted, NOW).snapshots[QUEUE].reading(SHARE, 0)[0] == 0.5


def test_the_target_has_a_scale_of_its_own(standin: StandIn, connect: Connect) -> None:
    """slaPercentageTarget is a setting: 80 is 80% also where measured percentages are ratios."""
    standin.routes["/queues"] = in_turn(
        listing(entity("1", **row(0.5, 5, 10), **{TARGET: 80}), entity("2", **{TARGET: 95}))
    )
    fetched = connect().fetch({QUEUE: frozenset({SHARE, TARGET})}, NOW)
    snapshot = fetched.snapshots[QUEUE]
    assert [snapshot.reading(TARGET, number)[0] for number in (0, 1)] == [0.8, 0.95]
    assert snapshot.reading(SHARE, 0)[0] == 0.5
    assert not fetched.problems


def test_the_scale_is_the_tenants(standin: StandIn, connect: Connect) -> None:
    """What the queues show holds for the agents of the same poll."""
    standin.routes["/queues"] = in_turn(listing(entity("1", **row(50, 5, 10))))
    standin.routes["/agents"] = in_turn(listing(entity("ag1", **{"onBreakTimePercentage.today": 1})))
    wanted = {Scope.AGENT: frozenset({"onBreakTimePercentage.today"}), QUEUE: frozenset({SHARE})}
    agents = connect().fetch(wanted, NOW).snapshots[Scope.AGENT]
    assert agents.reading("onBreakTimePercentage.today", 0) == (0.01, Presence.PRESENT)


def test_every_percentage_has_its_pair() -> None:
    """Each percentage of the catalogue but the target is in PAIRS, and each pair is in the catalogue for `.today`."""
    for scope in (Scope.QUEUE, Scope.AGENT, Scope.GROUP_AGENT, Scope.QUEUE_TOTALS, Scope.AGENT_TOTALS):
        known = catalogue().metrics[scope]
        shares = [key for key, metric in known.items() if metric.type is ValueType.RATIO and key.endswith(".today")]
        for key in shares:
            prefix = "total." if key.startswith("total.") else ""
            base = key.removeprefix("total.").removesuffix(".today")
            if base == "slaPercentageTarget":
                continue
            assert all(f"{prefix}{each}.today" in known for each in PAIRS[base]), key


def test_another_process_goes_on_with_the_scale(standin: StandIn, connect: Connect) -> None:
    """Where the counts say nothing any more, the scale that they showed before holds; one that is set stays."""
    standin.routes["/queues"] = in_turn(listing(entity("1", **row(50, 5, 10))))
    former = connect(percent_scale="auto")
    former.fetch({QUEUE: frozenset({SHARE})}, NOW)
    for setting, expected in (("auto", 0.008), ("ratio", 0.8)):
        standin.routes["/queues"] = in_turn(listing(entity("1", **row(0.8))))
        following = connect(percent_scale=setting)
        following.resume(former.memory(NOW), NOW)
        fetched = following.fetch({QUEUE: frozenset({SHARE})}, NOW)
        assert fetched.snapshots[QUEUE].columns[SHARE].values[0] == pytest.approx(expected)
        assert not fetched.notes
