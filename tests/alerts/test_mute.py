"""What is tracked and not reported: suppressed alerts, and those of shadow rules."""

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
    """Polls by a bot that restarts before each one: alerts as they were stored, and the cards."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules
        self.now = NOW
        self.alerts: list[Alert] = []
        self.cards: dict[Fingerprint, frozenset[str]] = {}

    def poll(self, *seen: Snapshot) -> list[Change]:
        """The changes; `notices` holds what was reported about them."""
        changes = poll(restart(self.alerts), self.rules, list(seen), self.now)
        self.notices = decide(changes, RuleSet(self.rules), self.cards, "#cc", self.now)
        for notice in self.notices:
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


def reported(waits: Sequence[float | None], waiting: Sequence[float], *rules: Rule) -> str:
    """What is reported about `longest-wait`, one word per poll: - for nothing. `nobody` fires while callers wait."""
    bot = Bot(*(rules or (NOBODY, LONGEST)))
    words = []
    for wait, people in zip(waits, waiting, strict=True):
        bot.poll(snapshot({WAIT: [None if wait is None else wait * 1000.0], WAITING: [people]}))
        heard = [_word(each) for each in bot.notices if each.alert is not None and each.alert.rule == "longest-wait"]
        words.append("+".join(heard) or "-")
    return " ".join(words)


@pytest.mark.parametrize(
    ("waits", "waiting", "expected"),
    [
        pytest.param([70, 70], [0, 0], "card:fired -", id="nothing suppresses: reported as usual"),
        pytest.param(
            [70, 70, 10], [1, 1, 1], "- - -", id="suppressed from the same poll on, and ended before the suppressor"
        ),
        pytest.param(
            [70, 70, 70, 70],
            [1, 0, 0, 0],
            "- - card:suppression_ended -",
            id="reported when the suppressor ends: it still holds",
        ),
        pytest.param(
            [10, 70, 70, 70, 70],
            [1, 1, 0, 0, 0],
            "- - - card:suppression_ended -",
            id="a suppressor that recovers has not ended yet",
        ),
        pytest.param(
            [70, 70, 70, 10],
            [0, 1, 1, 1],
            "card:fired - - line:resolved",
            id="reported before: it keeps its card, and its end is reported",
        ),
        pytest.param(
            [70, 130, 130, 130, 130],
            [0, 1, 0, 0, 0],
            "card:fired - - line:suppression_ended! -",
            id="a rise meanwhile is reported when the suppressor ends, with the mentions of a rise",
        ),
        pytest.param(
            [130, 70, 70, 70],
            [0, 1, 0, 0],
            "card:fired - - line:suppression_ended",
            id="a fall meanwhile is reported without mentions",
        ),
        pytest.param(
            [70, 130, 70, 70, 70],
            [0, 1, 1, 0, 0],
            "card:fired - - - -",
            id="up and down again meanwhile: nothing to report",
        ),
        pytest.param(
            [70, 70, 130, 10],
            [1, 0, 0, 0],
            "- - card:suppression_ended line:resolved",
            id="reported at the level it has when the suppressor ends",
        ),
        pytest.param([70, 70, 10, 10], [1, 0, 0, 0], "- - - -", id="both end in one poll: never reported"),
        pytest.param(
            [70, None, None, None, None],
            [1, 0, 0, 0, 0],
            "- - card:suppression_ended - -",
            id="a value that is missing now: not resolved, so it is reported",
        ),
        pytest.param(
            [70] * 6, [1, 0, 0, 1, 0, 0], "- - card:suppression_ended - - -", id="suppressed again: reported only once"
        ),
    ],
)
def test_suppressed(waits: list[float | None], waiting: list[float], expected: str) -> None:
    """Tracked, not reported, while the suppressor fires; reported when it ends and the condition still holds."""
    assert reported(waits, waiting) == expected


def test_a_recovering_alert_waits_until_it_fires_again() -> None:
    """The condition must still hold when the suppressor ends: a recovering alert is reported if it fires again."""
    slow = replace(LONGEST, keep_firing_for=timedelta(minutes=10))
    assert reported([70, 10, 10, 10, 70], [1, 0, 0, 0, 0], NOBODY, slow) == "- - - - card:suppression_ended"


def test_a_change_says_why_it_is_not_reported() -> None:
    """The reason it would have had, and why it is withheld; the alert names its suppressor."""
    bot = Bot(NOBODY, LONGEST)
    changes = {each.after.key.rule: each for each in bot.poll(snapshot({WAIT: [70_000], WAITING: [1]}))}
    assert (changes["nobody"].reason, changes["nobody"].withheld) == (Reason.FIRED, None)
    assert (changes["longest-wait"].reason, changes["longest-wait"].withheld) == (Reason.FIRED, Withheld.SUPPRESSED)
    assert (bot.alert().reported, bot.alert().suppressor) == (None, fingerprint(rule_id="nobody"))
    (end,) = [each for each in bot.poll(snapshot({WAIT: [10], WAITING: [1]})) if each.after.key.rule == "longest-wait"]
    assert (end.reason, end.withheld, end.after.suppressor) == (Reason.RESOLVED, Withheld.NEVER_REPORTED, None)


def test_the_notice_says_that_the_suppressor_has_ended() -> None:
    bot = Bot(NOBODY, LONGEST)
    for waiting in (1, 0, 0):
        bot.poll(snapshot({WAIT: [70_000], WAITING: [waiting]}))
    texts = [each.text for each in bot.notices if each.reason is Reason.SUPPRESSION_ENDED]
    assert texts == ["nobody has ended; 1m 10s is above 1m for 30s"]


def test_only_the_same_entity_is_suppressed() -> None:
    bot = Bot(NOBODY, LONGEST)
    bot.poll(snapshot({WAIT: [70_000, 70_000], WAITING: [1, 0]}))
    heard = {(each.alert.rule, each.alert.entity_id) for each in bot.notices if each.alert is not None}
    assert heard == {("nobody", "q1"), ("longest-wait", "q2")}


def test_a_suppressed_suppressor_suppresses() -> None:
    """In a chain only the last one is reported."""
    outage = rule(level(C, compare(WAITING, ">", 5)), id="outage")
    nobody = replace(NOBODY, suppressed_by=("outage",))
    bot = Bot(LONGEST, nobody, outage)
    bot.poll(snapshot({WAIT: [70_000], WAITING: [9]}))
    assert [each.alert.rule for each in bot.notices if each.alert is not None] == ["outage"]


def test_the_calendar_of_the_suppressor_counts() -> None:
    """When the calendar of the suppressor closes, it ends, and what it suppressed is reported."""
    hours = Calendar("office", "UTC", ((TimeRange(8 * 60, 9 * 60 + 1),),) * 7)
    bot = Bot(replace(NOBODY, during=Hours(hours)), LONGEST)
    heard = []
    for _ in range(6):
        bot.poll(snapshot({WAIT: [70_000], WAITING: [1]}))
        heard += [(each.alert.rule, each.reason) for each in bot.notices if each.alert is not None]
    assert heard == [
        ("nobody", Reason.FIRED),
        ("nobody", Reason.OUTSIDE_HOURS),
        ("longest-wait", Reason.SUPPRESSION_ENDED),
    ]


def test_a_failed_poll_ends_no_suppression() -> None:
    """An entity that was not in the data has not ended."""
    bot = Bot(NOBODY, LONGEST)
    bot.poll(snapshot({WAIT: [70_000], WAITING: [1]}))
    assert bot.poll() == []


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param((replace(LONGEST, suppressed_by=()), NOBODY), id="it is no longer suppressed"),
        pytest.param((LONGEST,), id="the suppressor is gone"),
        pytest.param((LONGEST, replace(NOBODY, shadow=True)), id="the suppressor is in shadow"),
    ],
)
def test_an_edit_that_ends_the_suppression(edit: tuple[Rule, ...]) -> None:
    """An open alert is reported at the next poll."""
    bot = Bot(NOBODY, LONGEST)
    bot.poll(snapshot({WAIT: [70_000], WAITING: [1]}))
    bot.rules = edit
    bot.poll(snapshot({WAIT: [70_000], WAITING: [1]}))
    assert Reason.SUPPRESSION_ENDED in [each.reason for each in bot.notices]


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
    """Which entities of another scope suppress an alert."""
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


def test_a_shadow_rule_is_not_reported() -> None:
    """Fired, rose, fell, ended: recorded with the reasons, and withheld."""
    bot = Bot(rule(shadow=True))
    reasons = []
    for wait in (70_000, 130_000, 70_000, 10):
        for change in bot.poll(snapshot({WAIT: [wait]})):
            reasons.append((change.reason, change.withheld))
            assert change.after.shadow
        assert bot.notices == []
    assert reasons == [
        (Reason.FIRED, Withheld.SHADOW),
        (Reason.LEVEL_UP, Withheld.SHADOW),
        (Reason.LEVEL_DOWN, Withheld.SHADOW),
        (Reason.RESOLVED, Withheld.NEVER_REPORTED),
    ]


def test_out_of_the_shadow() -> None:
    """What fires when shadow mode ends is reported as fired, once."""
    bot = Bot(rule(shadow=True))
    bot.poll(snapshot({WAIT: [70_000]}))
    bot.rules = (rule(),)
    heard = []
    for _ in range(3):
        bot.poll(snapshot({WAIT: [70_000]}))
        heard += [_word(each) for each in bot.notices]
    assert heard == ["card:fired"]
    assert not bot.alert().shadow


def test_into_the_shadow() -> None:
    """What was reported before is reported until it ends; what begins later is not."""
    bot = Bot(rule())
    bot.poll(snapshot({WAIT: [70_000, 10]}))
    bot.rules = (rule(shadow=True),)
    heard = []
    for first, second in ((130_000, 70_000), (10, 70_000)):
        bot.poll(snapshot({WAIT: [first, second]}))
        heard += [(each.alert.entity_id, _word(each)) for each in bot.notices if each.alert is not None]
    assert heard == [("q1", "line:level_up!"), ("q1", "line:resolved")]
