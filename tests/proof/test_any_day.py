"""Any day at all: random polls, restarts, edits, users, faults of Slack and clocks, against a model of DESIGN.md.

Every turn decides what the model says, no more and no less; every notice stands in Slack exactly once in the end; every
card shows what is true. `python -m benchmarks.random_days` runs as many steps as wanted.
"""

from __future__ import annotations

import ast
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.proof.shapes import Poll, Watch
from tests.proof.workspace import FAULTS
from tests.proof.world import World

STEPS_A_DAY = 50
ENTITIES = ("q1", "q2", "q3")
RULES = ("wait", "other")
_ABSENT = -1
VALUES = st.tuples(*(st.sampled_from([10, 70, 130, 130, 50, None, _ABSENT]) for _ in ENTITIES))
PAUSES = st.sampled_from([15, 15, 1, 5, 45, 61, 130, 900, 7200])
FAULTS_OF_CALLS = st.lists(st.sampled_from(FAULTS), max_size=3)
CHANNELS = st.sampled_from([(), ("#a",), ("#a", "#b"), ("#main", "#b")])
DEATHS = st.sampled_from([None, None, None, (0, True), (0, False), (1, True), (1, False), (2, True), (3, False)])
WATCHES = {
    name: st.builds(
        Watch,
        st.just(name),
        limits=st.sampled_from([(60, 120), (45, 60)]),
        holds=st.sampled_from([(0, 0), (30, 0), (15, 40)]),
        clear=st.sampled_from([None, 40]),
        keep=st.sampled_from([0, 0, 20, 60]),
        no_data=st.sampled_from(["keep", "keep", "clear", "fire"]),
        channels=st.tuples(CHANNELS, CHANNELS),
        covers=st.sampled_from([ENTITIES, ENTITIES, ("q1",)]),
        suppressed_by=st.sampled_from(suppressors),
        group_by=st.sampled_from(["entity", "entity", "rule"]),
        remind=st.sampled_from([(0, 0), (0, 0), (120, 120), (60, 480)]),
        escalate=st.sampled_from([(), (), ((90, ("#boss",)), (300, ())), ((60, ("#boss", "#a")),)]),
    )
    for name, suppressors in (("wait", [(), ("other",)]), ("other", [()]))
}


class AnyDay(RuleBasedStateMachine):
    """The steps of a day."""

    steps = 0

    @initialize(
        first=WATCHES["wait"],
        second=st.one_of(st.none(), WATCHES["other"]),
        storm_cards=st.sampled_from([5, 1]),
        max_messages=st.sampled_from([60, 4]),
        clock_is_right=st.booleans(),
    )
    def begin(
        self, first: Watch, second: Watch | None, storm_cards: int, max_messages: int, clock_is_right: bool
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="any-day-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.world = World(self.folder, storm_cards=storm_cards, max_messages=max_messages)
        self.world.edit(first, *([second] if second is not None else []))
        self.last = Poll({})
        self.clock_is_right = clock_is_right

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                if sys.exc_info()[0] is None:  # not after a step that failed
                    self.world.settle()
            finally:
                self.world.close()
                shutil.rmtree(self.folder)

    def _pass(self, seconds: float) -> None:
        AnyDay.steps += 1
        self.world.slack.now += seconds

    @rule(
        after=PAUSES,
        values=VALUES,
        kind=st.sampled_from(["complete", "complete", "complete", "partial", "failed"]),
        then=st.integers(0, 4),
        faults=FAULTS_OF_CALLS,
    )
    def poll(self, after: int, values: tuple[int | None, ...], kind: str, then: int, faults: list[str]) -> None:
        self._pass(0)
        self._poll(after, values, kind)
        self.world.deliver(then, faults)

    def _poll(self, after: int, values: tuple[int | None, ...], kind: str) -> None:
        self.world.slack.now += after
        seen = {each: value for each, value in zip(ENTITIES, values, strict=True) if value != _ABSENT}
        self.last = Poll(seen, kind == "complete", kind == "failed")
        self.world.turn(self.last)

    @rule(after=st.sampled_from([15, 15, 30, 60]), times=st.integers(1, 6))
    def poll_the_same(self, after: int, times: int) -> None:
        self._pass(0)
        for _ in range(times):
            self.world.slack.now += after
            self.world.turn(self.last)
            self.world.deliver(2)

    @rule(after=PAUSES)
    def turn_without_a_fetch(self, after: int) -> None:
        self._pass(after)
        self.world.turn(None)

    @rule(
        how=st.sampled_from(["refused", "timeout before it landed", "timeout after it landed", "credentials"]),
        polls=st.lists(VALUES, min_size=3, max_size=8),
        every=st.sampled_from([15, 45, 300]),
    )
    def slack_is_away(self, how: str, polls: list[tuple[int | None, ...]], every: int) -> None:
        """For several polls, in which alerts may come and go; then it is back, and what it gets is short.

        Never for an hour: where nothing can be read for that long, a card is posted again.
        """
        self._pass(0)
        self.world.slack.away = how
        for values in polls:
            self._poll(every, values, "complete")
            self.world.deliver(1)
        self.world.slack.away = ""
        self.world.deliver(70)

    @rule(seconds=st.integers(1, 6), faults=FAULTS_OF_CALLS)
    def deliver(self, seconds: int, faults: list[str]) -> None:
        self._pass(0)
        self.world.deliver(seconds, faults)

    @rule(dies_at=st.sampled_from([(0, True), (0, False), (1, True), (1, False), (2, True), (3, False)]))
    def be_killed_at_a_write(self, dies_at: tuple[int, bool]) -> None:
        """The process is killed at one of its next writes, whatever that is."""
        self._pass(0)
        self.world.dies_at = dies_at

    @rule(known=st.booleans())
    def restart(self, known: bool) -> None:
        self._pass(5)
        self.world.restart(known=known)

    @rule(data=st.data(), which=st.sampled_from(RULES))
    def edit(self, data: st.DataObject, which: str) -> None:
        self._pass(1)
        self.world.edit(data.draw(WATCHES[which]))

    @rule(which=st.sampled_from(RULES))
    def remove(self, which: str) -> None:
        self._pass(1)
        self.world.remove(which)

    @rule(which=st.integers(0, 5), who=st.sampled_from(["U1", "U2"]))
    def acknowledge(self, which: int, who: str) -> None:
        self._pass(1)
        self.world.acknowledge(which, who)

    @rule(which=st.integers(0, 5), who=st.sampled_from(["U1", "U2"]))
    def resolve_by_hand(self, which: int, who: str) -> None:
        self._pass(1)
        self.world.resolve(which, who)

    @rule(
        of=st.sampled_from([(None, None), ("wait", None), (None, "q1"), ("wait", "q2")]),
        level=st.sampled_from([None, None, 2, 3]),
        after=st.sampled_from([0, 0, 300]),
        lasts=st.sampled_from([40, 100, 1000, 5000]),
        values=VALUES,
    )
    def silence(
        self,
        of: tuple[str | None, str | None],
        level: int | None,
        after: float,
        lasts: float,
        values: tuple[int | None, ...],
    ) -> None:
        """A silence, and what happens in it."""
        self._pass(1)
        self.world.silence(*of, level, after, lasts)
        self._poll(15, values, "complete")
        self.poll_the_same(15, 3)

    @rule(which=st.integers(0, 5))
    def unsilence(self, which: int) -> None:
        self._pass(1)
        self.world.unsilence(which)

    @rule(ahead=st.sampled_from([-3600.0, -300.0, -60.0, -2.0, 0.0, 1.0, 30.0, 3600.0]))
    def set_the_clock(self, ahead: float) -> None:
        if self.clock_is_right:
            return
        self.world.set_clock(ahead)
        self.poll_the_same(15, 2)

    @rule(which=st.integers(0, 5))
    def delete_a_message(self, which: int) -> None:
        self._pass(1)
        self.world.delete_message(which)

    @rule(channel=st.sampled_from(["a", "b", "main", "ops"]))
    def archive_or_restore(self, channel: str) -> None:
        self._pass(1)
        self.world.slack.broken ^= {channel}


AnyDay.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=STEPS_A_DAY,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
TestAnyDay = AnyDay.TestCase
TestAnyDay.pytestmark = [pytest.mark.timeout(600)]  # half a minute of processor time, on a busy machine several


def test_the_model_is_small_and_knows_nothing_of_the_code() -> None:
    """A reader can check it against the contract: fewer than 150 lines of code, with nothing of alertbot in them."""
    tree = ast.parse((Path(__file__).parent / "model.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "collections", "tests.proof.shapes"}
    assert len([line for line in ast.unparse(_without_docstrings(tree)).splitlines() if line]) < 150


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree
