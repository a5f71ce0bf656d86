"""What is tracked and not told: suppressed alerts, and those of rules in shadow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from alertbot.alerts.alert import Alert, Change, Fingerprint, Reason, Withheld
from alertbot.alerts.decide import decide
from alertbot.alerts.notice import Notice
from alertbot.evaluation.snapshot import Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.hours import Calendar, Hours, TimeRange
from alertbot.rules.rule import Level, Rule, RuleSet
from tests.alerts.kit import NOW, POLL, WAIT, WAITING, compare, fingerprint, keep, level, poll, rule, snapshot
from tests.alerts.test_any_life import restart

W, C = Level.WARNING, Level.CRITICAL
NOBODY = rule(level(C, compare(WAITING, ">", 0)), id="nobody", keep_firing_for=timedelta(seconds=15))
LONGEST = rule(suppressed_by=("nobody",))


class Bot:
    """Polls one after the other as a bot that restarts before each: alerts as written down, and the cards."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules
        self.now = NOW
        self.alerts: list[Alert] = []
        self.cards: dict[Fingerprint, frozenset[str]] = {}

    def poll(self, *seen: Snapshot) -> list[Change]:
        """The changes; `told` says what came of them."""
        changes = poll(restart(self.alerts), self.rules, list(seen), self.now)
        self.told = decide(changes, RuleSet(self.rules), self.cards, "#cc", self.now)
        for notice in self.told:
            assert notice.alert is not None
            if notice.kind == "card":
                self.cards[notice.alert] = self.cards.get(notice.alert, frozenset()) | {notice.channel}
        self.alerts = keep(self.alerts, changes)
        self.cards = {key: each for key, each in self.cards.items() if key in {alert.key for alert in self.alerts}}
        self.now += POLL
        return changes

    def alert(self, rule_id: str = "longest-wait", entity: str = "q1") -> Alert:
        return next(each for each in self.alerts if each.key == fingerprint(entity, rule_id))


def _word(notice: Notice) -> str:
    assert notice.alert is not None
    return f"{notice.kind}:{notice.reason}" + ("!" if notice.broadcast else "")


def told(waits: Sequence[float | None], waiting: Sequence[float], *rules: Rule) -> str:
    """What people hear of `longest-wait`, a word a poll: - for nothing. `nobody` fires while somebody is waiting."""
    bot = Bot(*(rules or (NOBODY, LONGEST)))
    words = []
    for wait, people in zip(waits, waiting, strict=True):
        bot.poll(snapshot({WAIT: [None if wait is None else wait * 1000.0], WAITING: [people]}))
        heard = [_word(each) for each in bot.told if each.alert is not None and each.alert.rule == "longest-wait"]
        words.append("+".join(heard) or "-")
    return " ".join(words)


@pytest.mark.parametrize(
    ("waits", "waiting", "expected"),
    [
        pytest.param([70, 70], [0, 0], "card:fired -", id="nothing suppresses: told as ever"),
        pytest.param([70, 70, 10], [1, 1, 1], "- - -", id="suppressed from the same poll on, and over before it ends"),
        pytest.param(
            [70, 70, 70, 70], [1, 0, 0, 0], "- - card:suppression_ended -", id="told when the suppressor ends: it holds"
        ),
        pytest.param(
            [10, 70, 70, 70, 70],
            [1, 1, 0, 0, 0],
            "- - - card:suppression_ended -",
            id="a suppressor that recovers is not over yet",
        ),
        pytest.param(
            [70, 70, 70, 10],
            [0, 1, 1, 1],
            "card:fired - - line:resolved",
            id="told before: it keeps its card, and its end is told",
        ),
        pytest.param(
            [70, 130, 130, 130, 130],
            [0, 1, 0, 0, 0],
            "card:fired - - line:suppression_ended! -",
            id="a rise meanwhile is told when the suppressor ends, as loudly as a rise",
        ),
        pytest.param(
            [130, 70, 70, 70],
            [0, 1, 0, 0],
            "card:fired - - line:suppression_ended",
            id="a fall meanwhile is told quietly",
        ),
        pytest.param(
            [70, 130, 70, 70, 70],
            [0, 1, 1, 0, 0],
            "card:fired - - - -",
            id="up and down again meanwhile: nothing to tell",
        ),
        pytest.param(
            [70, 70, 130, 10],
            [1, 0, 0, 0],
            "- - card:suppression_ended line:resolved",
            id="told at the level it has when the suppressor ends",
        ),
        pytest.param([70, 70, 10, 10], [1, 0, 0, 0], "- - - -", id="both end in one poll: nobody ever hears of it"),
        pytest.param(
            [70, None, None, None, None],
            [1, 0, 0, 0, 0],
            "- - card:suppression_ended - -",
            id="a value that is missing now: it was not resolved, so it is told",
        ),
        pytest.param(
            [70] * 6, [1, 0, 0, 1, 0, 0], "- - card:suppression_ended - - -", id="suppressed again: told once only"
        ),
    ],
)
def test_suppressed(waits: list[float | None], waiting: list[float], expected: str) -> None:
    """Tracked, not told, while the suppressor fires; told when it ends and the condition still holds."""
    assert told(waits, waiting) == expected


def test_a_recovering_alert_waits_until_it_fires_again() -> None:
    """When the suppressor ends it must still hold: what recovers is told when it comes back, or never."""
    slow = replace(LONGEST, keep_firing_for=timedelta(minutes=10))
    assert told([70, 10, 10, 10, 70], [1, 0, 0, 0, 0], NOBODY, slow) == "- - - - card:suppression_ended"


def test_a_change_says_why_nobody_is_told() -> None:
    """The reason it would have had, and why it is withheld; and the alert says who speaks for it."""
    bot = Bot(NOBODY, LONGEST)
    changes = {each.after.key.rule: each for each in bot.poll(snapshot({WAIT: [70_000], WAITING: [1]}))}
    assert (changes["nobody"].reason, changes["nobody"].withheld) == (Reason.FIRED, None)
    assert (changes["longest-wait"].reason, changes["longest-wait"].withheld) == (Reason.FIRED, Withheld.SUPPRESSED)
    assert (bot.alert().reported, bot.alert().suppressor) == (None, fingerprint(rule_id="nobody"))
    (end,) = [each for each in bot.poll(snapshot({WAIT: [10], WAITING: [1]})) if each.after.key.rule == "longest-wait"]
    assert (end.reason, end.withheld, end.after.suppressor) == (Reason.RESOLVED, Withheld.NEVER_REPORTED, None)


def test_the_notice_says_that_the_suppressor_is_over() -> None:
    bot = Bot(NOBODY, LONGEST)
    for waiting in (1, 0, 0):
        bot.poll(snapshot({WAIT: [70_000], WAITING: [waiting]}))
    texts = [each.text for each in bot.told if each.reason is Reason.SUPPRESSION_ENDED]
    assert texts == ["nobody has ended; 1m 10s is above 1m for 30s"]


def test_only_the_same_entity_is_suppressed() -> None:
    bot = Bot(NOBODY, LONGEST)
    bot.poll(snapshot({WAIT: [70_000, 70_000], WAITING: [1, 0]}))
    heard = {(each.alert.rule, each.alert.entity_id) for each in bot.told if each.alert is not None}
    assert heard == {("nobody", "q1"), ("longest-wait", "q2")}


def test_a_suppressed_suppressor_suppresses() -> None:
    """In a chain only the last one is told."""
    outage = rule(level(C, compare(WAITING, ">", 5)), id="outage")
    nobody = replace(NOBODY, suppressed_by=("outage",))
    bot = Bot(LONGEST, nobody, outage)
    bot.poll(snapshot({WAIT: [70_000], WAITING: [9]}))
    assert [each.alert.rule for each in bot.told if each.alert is not None] == ["outage"]


def test_the_calendar_of_the_suppressor_counts() -> None:
    """When the suppressor closes for the day, it is over, and what it spoke for is told."""
    hours = Calendar("office", "UTC", ((TimeRange(8 * 60, 9 * 60 + 1),),) * 7)
    bot = Bot(replace(NOBODY, during=Hours(hours)), LONGEST)
    heard = []
    for _ in range(6):
        bot.poll(snapshot({WAIT: [70_000], WAITING: [1]}))
        heard += [(each.alert.rule, each.reason) for each in bot.told if each.alert is not None]
    assert heard == [
        ("nobody", Reason.FIRED),
        ("nobody", Reason.OUTSIDE_HOURS),
        ("longest-wait", Reason.SUPPRESSION_ENDED),
    ]


def test_a_failed_poll_ends_no_suppression() -> None:
    """What was not seen is not over."""
    bot = Bot(NOBODY, LONGEST)
    bot.poll(snapshot({WAIT: [70_000], WAITING: [1]}))
    assert bot.poll() == []


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param((replace(LONGEST, suppressed_by=()), NOBODY), id="it is suppressed by nothing any more"),
        pytest.param((LONGEST,), id="the suppressor is gone"),
        pytest.param((LONGEST, replace(NOBODY, shadow=True)), id="the suppressor only watches"),
    ],
)
def test_an_edit_that_ends_the_suppression(edit: tuple[Rule, ...]) -> None:
    """What is open is told at the next poll."""
    bot = Bot(NOBODY, LONGEST)
    bot.poll(snapshot({WAIT: [70_000], WAITING: [1]}))
    bot.rules = edit
    bot.poll(snapshot({WAIT: [70_000], WAITING: [1]}))
    assert Reason.SUPPRESSION_ENDED in [each.reason for each in bot.told]


# Scopes.


@pytest.mark.parametrize(
    ("scope", "by", "entities", "expected"),
    [
        pytest.param(
            Scope.QUEUE_AGENT, Scope.QUEUE, [("", "q1")], {("q2", "a1")}, id="the queue of an agent in a queue"
        ),
        pytest.param(Scope.QUEUE_AGENT, Scope.AGENT, [("", "a1")], set(), id="the agent, in every queue"),
        pytest.param(
            Scope.QUEUE_AGENT, Scope.QUEUE_AGENT, [("q1", "a1")], {("q2", "a1")}, id="the same agent in the same queue"
        ),
        pytest.param(Scope.QUEUE_AGENT, Scope.QUEUE_TOTALS, [("", "totals")], set(), id="the totals"),
        pytest.param(
            Scope.GROUP_AGENT, Scope.GROUP, [("", "q2")], {("q1", "a1")}, id="the group of an agent in a group"
        ),
    ],
)
def test_scopes(scope: Scope, by: Scope, entities: list[tuple[str, str]], expected: set[tuple[str, str]]) -> None:
    """Which entities of another scope speak for one."""
    watched = rule(level(W, compare(WAIT, ">", 1)), id="watched", scope=scope, suppressed_by=("other",))
    other = rule(level(W, compare(WAITING, ">", 1)), id="other", scope=by)
    both = snapshot(
        {WAIT: [5, 5], WAITING: [0, 0]}, ids=("a1", "a1"), parent_ids=("q1", "q2"), parent_names=("", ""), scope=scope
    )
    if by is scope:
        both = snapshot(
            {WAIT: [5, 5], WAITING: [5, 0]},
            ids=("a1", "a1"),
            parent_ids=("q1", "q2"),
            parent_names=("", ""),
            scope=scope,
        )
    seen = [both]
    if by is not scope:
        seen.append(snapshot({WAITING: [5]}, ids=(entities[0][1],), scope=by))
    changes = poll([], [watched, other], seen, NOW)
    heard = decide(changes, RuleSet((watched, other)), {}, "#cc", NOW)
    keys = [each.alert for each in heard if each.alert is not None and each.alert.rule == "watched"]
    assert {(key.parent_id, key.entity_id) for key in keys} == expected


# Shadow.


def test_a_rule_in_shadow_tells_nobody() -> None:
    """Fired, risen, fallen, ended: recorded with their reasons, and withheld."""
    bot = Bot(rule(shadow=True))
    reasons = []
    for wait in (70_000, 130_000, 70_000, 10):
        for change in bot.poll(snapshot({WAIT: [wait]})):
            reasons.append((change.reason, change.withheld))
            assert change.after.shadow
        assert bot.told == []
    assert reasons == [
        (Reason.FIRED, Withheld.SHADOW),
        (Reason.LEVEL_UP, Withheld.SHADOW),
        (Reason.LEVEL_DOWN, Withheld.SHADOW),
        (Reason.RESOLVED, Withheld.NEVER_REPORTED),
    ]


def test_out_of_the_shadow() -> None:
    """What fires when the rule begins to tell is told as fired, once."""
    bot = Bot(rule(shadow=True))
    bot.poll(snapshot({WAIT: [70_000]}))
    bot.rules = (rule(),)
    heard = []
    for _ in range(3):
        bot.poll(snapshot({WAIT: [70_000]}))
        heard += [_word(each) for each in bot.told]
    assert heard == ["card:fired"]
    assert not bot.alert().shadow


def test_into_the_shadow() -> None:
    """What people know of is told to its end; what begins after is not."""
    bot = Bot(rule())
    bot.poll(snapshot({WAIT: [70_000, 10]}))
    bot.rules = (rule(shadow=True),)
    heard = []
    for first, second in ((130_000, 70_000), (10, 70_000)):
        bot.poll(snapshot({WAIT: [first, second]}))
        heard += [(each.alert.entity_id, _word(each)) for each in bot.told if each.alert is not None]
    assert heard == [("q1", "line:level_up!"), ("q1", "line:resolved")]
