"""Which alerts share a card, and which notices a message: rules with `group_by`, and storms."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from alertbot.alerts.alert import Alert, Change, Fingerprint, Reason
from alertbot.alerts.decide import decide
from alertbot.alerts.grouping import Groups, shared
from alertbot.alerts.notice import Notice, NoticeKind, notice_id
from alertbot.evaluation.measure import Measure
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import GroupBy, Level, Rule, RuleSet
from tests.alerts.kit import NOW, WAIT, compare, keep, level, poll, rule, snapshot

CC, FLOOR = "#cc", "#floor"
W, C = 90_000.0, 150_000.0  # a warning and a critical wait
BY_RULE, BY_PARENT = GroupBy.RULE, GroupBy.PARENT


def alert_key(entity: str, rule_id: str = "longest-wait", parent: str = "") -> Fingerprint:
    scope = Scope.QUEUE_AGENT if parent else Scope.QUEUE
    return Fingerprint("acme", rule_id, scope, parent, entity)


def fired(rule_id: str, entity: str, value: float = W, parent: str = "", channel: str = CC) -> Notice:
    """The card notice of an alert that fires."""
    key = alert_key(entity, rule_id, parent)
    critical = value >= 120_000
    return Notice(
        id=notice_id(key, Reason.FIRED, channel, NOW),
        kind=NoticeKind.CARD,
        alert=key,
        channel=channel,
        reason=Reason.FIRED,
        level=Level.CRITICAL if critical else Level.WARNING,
        at=NOW,
        measure=Measure(WAIT, ValueType.DURATION, ">", value, 120_000.0 if critical else 60_000.0),
        mention=("<@U1>",) if critical else (),
    )


def many(rule_id: str, count: int, value: float = W) -> list[Notice]:
    return [fired(rule_id, f"{rule_id}{number}", value) for number in range(count)]


def written(notices: list[Notice]) -> list[str]:
    """Each message as one line: kind, group, how many alerts it reports, mentions, `!` for a broadcast, `+` also."""
    carried: dict[str, int] = {}
    for notice in notices:
        carried[notice.lead or notice.id] = carried.get(notice.lead or notice.id, 0) + 1
    return [
        " ".join([notice.kind, notice.group or str(notice.alert[-1]), str(carried[notice.id]), *notice.mention])
        + (" !" if notice.broadcast else "")
        + (f" +{len(notice.also)}" if notice.also else "")
        for notice in notices
        if not notice.lead and notice.alert is not None
    ]


def rules(**by: GroupBy) -> dict[str, Rule]:
    return {name: rule(id=name, group_by=by.get(name, GroupBy.ENTITY)) for name in ("a", "b", "c", *by)}


JOINED: Groups = {(CC, "storm:a"): frozenset({alert_key("old", "a")})}
GROUPED: Groups = {(CC, "rule:g"): frozenset({alert_key("old", "g")})}

CASES = {
    "within the limit: a card each": (many("a", 5), {}, [f"card a{number} 1" for number in range(5)]),
    "a sixth of another rule: its own card": (
        [*many("a", 5), *many("b", 1)],
        {},
        [*(f"card a{number} 1" for number in range(5)), "card b0 1"],
    ),
    "a seventh: one roll-up card": (
        many("a", 7),
        {},
        [*(f"card a{number} 1" for number in range(5)), "card storm:a 2"],
    ),
    "each rule has its roll-up card": (
        [*many("a", 7), *many("b", 3)],
        {},
        [*(f"card a{number} 1" for number in range(5)), "card storm:a 2", "card storm:b 3"],
    ),
    "critical ones have the cards, and theirs are the mentions": (
        [*many("a", 6), *many("b", 6, C)],
        {},
        ["card storm:a 6", *(f"card b{number} 1 <@U1>" for number in range(5)), "card b5 1 <@U1>"],
    ),
    "each channel has its limit": (
        [*many("a", 5), *(fired("b", f"b{number}", channel=FLOOR) for number in range(5))],
        {},
        [*(f"card a{number} 1" for number in range(5)), *(f"card b{number} 1" for number in range(5))],
    ),
    "more than a card names: lines carry the others, and the first names the worst too": (
        many("a", 205),
        {},
        [*(f"card a{number} 1" for number in range(5)), "card storm:a 1", "line storm:a 164 +1", "line storm:a 35"],
    ),
    "an open roll-up card: all of its rule join, of others none": (
        [*many("a", 2), fired("a", "loud", C), *many("b", 1)],
        JOINED,
        ["line storm:a 3 <@U1> !", "card b0 1"],
    ),
    "in another channel nothing is open": ([fired("a", "x", channel=FLOOR)], JOINED, ["card x 1"]),
    "the joiners with which a card passes 20 name those that it had": (
        many("a", 20),
        JOINED,
        ["line storm:a 20 +1"],
    ),
    "group_by rule: one card": (many("g", 3), {}, ["card rule:g 3"]),
    "group_by rule: an open card is joined": (many("g", 2), GROUPED, ["line rule:g 2"]),
    "group_by rule: one alert is still the card of the group": (many("g", 1), {}, ["card rule:g 1"]),
    "group_by rule: mentions of all of them": (
        [*many("g", 2), fired("g", "loud", C)],
        {},
        ["card rule:g 3 <@U1>"],
    ),
    "a card for a group counts as one": (
        [*many("g", 30), *many("a", 4), *many("b", 1)],
        {},
        ["card rule:g 1", "line rule:g 29 +1", *(f"card a{number} 1" for number in range(4)), "card b0 1"],
    ),
    "group_by parent: one card for each parent": (
        [fired("p", "1", parent="q1"), fired("p", "2", parent="q2"), fired("p", "3", parent="q1")],
        {},
        ["card parent:p:q1 2", "card parent:p:q2 1"],
    ),
    "group_by parent: parents beyond the limit are rolled up": (
        [fired("p", f"{number}", parent=f"q{number}") for number in range(8)],
        {},
        [*(f"card parent:p:q{number} 1" for number in range(5)), "card storm:p 3"],
    ),
}


@pytest.mark.parametrize(("notices", "groups", "expected"), CASES.values(), ids=CASES)
def test_cards_and_messages(notices: list[Notice], groups: Groups, expected: list[str]) -> None:
    """What one poll decides becomes few messages; every alert keeps its notice."""
    found = shared(notices, rules(g=BY_RULE, p=BY_PARENT), {}, groups, 5)
    assert written(found) == expected
    assert sorted(notice.id for notice in found) == sorted(notice.id for notice in notices)


def steps(rule_id: str, count: int, after: int = 600, value: float = W) -> list[Notice]:
    """The messages of a step of escalation of these alerts."""
    return [
        replace(notice, reason=Reason.ESCALATED, group=f"escalation:{number}:{after}")
        for number, notice in enumerate(many(rule_id, count, value))
    ]


@pytest.mark.parametrize(
    ("notices", "expected"),
    [
        (steps("a", 6), [f"card escalation:{number}:600 1" for number in range(6)]),
        (steps("a", 8), [*(f"card escalation:{number}:600 1" for number in range(5)), "card escalation:5:600 3"]),
        (
            [*steps("a", 6), *steps("b", 5, 900, C)],
            ["card escalation:0:600 6", *(f"card escalation:{number}:900 1 <@U1>" for number in range(5))],
        ),
    ],
    ids=["one more than the limit", "three more", "critical ones have their own"],
)
def test_steps_of_escalation(notices: list[Notice], expected: list[str]) -> None:
    """Beyond the limit of a channel, the alerts of one rule share the message of their step."""
    assert written(shared(notices, rules(), {}, {}, 5)) == expected


def test_reminders_to_several_owners_are_several_lines() -> None:
    """Each owner is mentioned in a line of their own."""
    members = frozenset(notice.alert for notice in many("g", 3) if notice.alert)
    owners = ("U1", "U2", "U1")
    notices = [
        replace(notice, kind=NoticeKind.LINE, reason=Reason.REMINDER, by=owner, mention=(f"<@{owner}>",))
        for notice, owner in zip(many("g", 3), owners, strict=True)
    ]
    found = shared(notices, rules(g=BY_RULE), {}, {(CC, "rule:g"): members}, 5)
    assert written(found) == ["line g0 2 <@U1>", "line g1 1 <@U2>"]


def test_the_worst_leads() -> None:
    """By level, then by how far beyond the limit; then comes the one that came first."""
    notices = [fired("g", "mild", 61_000.0), fired("g", "worse", 80_000.0), fired("g", "worst", C), fired("g", "w2", C)]
    found = shared(notices, rules(g=BY_RULE), {}, {}, 5)
    assert [notice.alert[-1] for notice in found if notice.alert] == ["worst", "w2", "worse", "mild"]
    assert {notice.lead for notice in found[1:]} == {found[0].id}


def _members(values: list[float], watched: Rule) -> tuple[list[Alert], list[Change]]:
    """The alerts of a first poll, and what a second one with these values changes."""
    seen = [snapshot({WAIT: each}) for each in ([W] * len(values), values)]
    alerts = [replace(alert, reported=alert.level) for alert in keep([], poll([], [watched], [seen[0]], NOW))]
    return alerts, poll(alerts, [watched], [seen[1]], NOW + timedelta(seconds=15))


LOUD = {Level.CRITICAL: ("<@U1>",)}
FOLLOWING = {
    "several end: one line": ([10, 10, W], ["line q1 2"]),
    "each reason has its line": ([10, C, C, 10], ["line q1 2", "line q2 2 <@U1> !"]),
    "one rise": ([C, W], ["line q1 1 <@U1> !"]),
}


@pytest.mark.parametrize(("values", "expected"), FOLLOWING.values(), ids=FOLLOWING)
def test_what_follows_about_members(values: list[float], expected: list[str]) -> None:
    """What is reported of the members of a card by one poll for one reason is one line."""
    watched = rule(group_by=BY_RULE, mention=LOUD)
    alerts, changes = _members(values, watched)
    on_card = {alert.key: frozenset({CC}) for alert in alerts}
    groups = {(CC, "rule:longest-wait"): frozenset(on_card)}
    by_key = {alert.key: alert for alert in alerts}
    found = decide(changes, RuleSet((watched,)), on_card, CC, NOW, alerts=by_key, groups=groups)
    assert written(found) == expected


def test_a_rise_to_the_level_that_the_card_has_is_quiet() -> None:
    """Another member is as bad already: a line without mentions. On a card of its own the same rise is loud."""
    watched = rule(group_by=BY_RULE, mention=LOUD)
    alerts, changes = _members([W, C], watched)
    bad = replace(alerts[0], level=Level.CRITICAL)
    on_card = {alert.key: frozenset({CC}) for alert in alerts}
    by_key = {bad.key: bad, alerts[1].key: alerts[1]}
    together: Groups = {(CC, "rule:longest-wait"): frozenset(by_key)}
    for groups, expected in ((together, ["line q2 1"]), ({}, ["line q2 1 <@U1> !"])):
        found = decide(changes, RuleSet((watched,)), on_card, CC, NOW, alerts=by_key, groups=groups)
        assert written(found) == expected


@pytest.mark.parametrize(
    ("op", "kind", "value", "limit", "excess"),
    [
        (">", ValueType.DURATION, 150_000.0, 120_000.0, 0.25),
        (">", ValueType.DURATION, 90_000.0, 120_000.0, -0.25),
        ("<", ValueType.RATIO, 0.4, 0.8, 0.5),
        (">", ValueType.COUNT, 7.0, 0.0, 7.0),
        ("==", ValueType.TEXT, "OnBreak", "OnBreak", 0.0),
        (">", ValueType.COUNT, None, 3.0, float("-inf")),
    ],
    ids=["above", "not above", "below", "a limit of 0", "words", "missing"],
)
def test_how_far_beyond_the_limit(
    op: str, kind: ValueType, value: float | str | None, limit: float | str, excess: float
) -> None:
    """A share of the limit, so that entities with limits of their own can be compared."""
    assert Measure("x", kind, op, value, limit).excess == pytest.approx(excess)


def test_the_limit_is_a_setting() -> None:
    """`storm_cards` of 1: the second and third alert of a rule share a card."""
    watched = rule(level(Level.WARNING, compare(WAIT, ">", 60_000)))
    changes = poll([], [watched], [snapshot({WAIT: [W] * 3})], NOW)
    found = decide(changes, RuleSet((watched,)), {}, CC, NOW, storm_cards=1)
    assert written(found) == ["card q1 1", "card storm:longest-wait 2"]
