"""Who is notified, where, and with which mentions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from alertbot.alerts.alert import Alert, Change, Reason
from alertbot.alerts.decide import decide
from alertbot.alerts.notice import Notice
from alertbot.rules.rule import Escalation, Level, Rule, RuleSet
from tests.alerts.kit import NOW, POLL, WAIT, compare, fingerprint, keep, level, poll, rule, snapshot

DEFAULT = "#cc-alerts"
MINUTE = timedelta(minutes=1)


def _changes(values: list[float | None], watched: Rule) -> list[Change]:
    """The changes of the last of these polls."""
    alerts: list[Alert] = []
    changes: list[Change] = []
    for index, value in enumerate(values):
        changes = poll(alerts, [watched], [snapshot({WAIT: [value]})], NOW + index * POLL)
        alerts = keep(alerts, changes)
    return changes


def _told(notices: list[Notice]) -> list[str]:
    """Each notice as one line: kind, channel, level, mentions, and ! for a broadcast."""
    return [" ".join([n.kind, n.channel, n.level.word, *n.mention]) + (" !" if n.broadcast else "") for n in notices]


SALES, FLOOR = "#cc-sales", "#cc-floor"
LOUD = {Level.WARNING: ("<@U1>",), Level.CRITICAL: ("<!subteam^S1>", "<@U2>")}
ROUTED = {"channels": {Level.WARNING: (SALES,), Level.CRITICAL: (FLOOR,)}, "mention": LOUD}
SLOW = rule(level(Level.WARNING, compare(WAIT, ">", 60_000), 60))


@pytest.mark.parametrize(
    ("values", "watched", "cards", "expected"),
    [
        pytest.param([70_000], rule(), (), ["card #cc-alerts warning"], id="fired: a card in the default channel"),
        pytest.param(
            [130_000],
            rule(**ROUTED),
            (),
            ["card #cc-floor critical <!subteam^S1> <@U2>"],
            id="fired: in the channel of its level, with the mentions of its level",
        ),
        pytest.param(
            [70_000, 130_000],
            rule(mention=LOUD),
            (DEFAULT,),
            ["line #cc-alerts critical <!subteam^S1> <@U2> !"],
            id="up to critical: a line, broadcast, with its mentions",
        ),
        pytest.param(
            [70_000, 130_000],
            rule(**ROUTED),
            (SALES,),
            ["line #cc-sales critical <!subteam^S1> <@U2> !", "card #cc-floor critical <!subteam^S1> <@U2>"],
            id="up into another channel: a line in the old one, a card in the new one",
        ),
        pytest.param(
            [70_000, 130_000],
            rule(
                level(Level.INFO, compare(WAIT, ">", 60_000)),
                level(Level.WARNING, compare(WAIT, ">", 120_000)),
                mention=LOUD,
            ),
            (DEFAULT,),
            ["line #cc-alerts warning <@U1>"],
            id="up to warning: a line, not broadcast",
        ),
        pytest.param(
            [130_000, 70_000],
            rule(**ROUTED),
            (SALES, FLOOR),
            ["line #cc-floor warning", "line #cc-sales warning"],
            id="down: a line without mentions in every channel with a card",
        ),
        pytest.param(
            [130_000, 10],
            rule(**ROUTED),
            (FLOOR, SALES),
            ["line #cc-floor critical", "line #cc-sales critical"],
            id="resolved: a line without mentions in every channel with a card",
        ),
        pytest.param([130_000, 10], rule(), (), [], id="resolved without a card: no notice"),
        pytest.param([70_000, 80_000], rule(), (DEFAULT,), [], id="a changed value is not reported"),
        pytest.param([70_000], SLOW, (), [], id="pending is not reported"),
        pytest.param([70_000, 10], SLOW, (), [], id="nor is its end"),
        pytest.param(
            [70_000, 10], rule(keep_firing_for=timedelta(minutes=1)), (DEFAULT,), [], id="recovering is not reported"
        ),
    ],
)
def test_decide(values: list[float | None], watched: Rule, cards: tuple[str, ...], expected: list[str]) -> None:
    """A card where an alert fires or rises into a channel that has none, else a line in every channel with a card."""
    last = NOW + (len(values) - 1) * POLL
    open_cards = {fingerprint(): frozenset(cards)} if cards else {}
    assert _told(decide(_changes(values, watched), RuleSet((watched,)), open_cards, DEFAULT, last)) == expected


def test_a_notice_holds_what_was_true() -> None:
    """A notice holds the reason, the sentence and the measure at the time of the decision."""
    (notice,) = decide(_changes([130_000], rule()), RuleSet((rule(),)), {}, DEFAULT, NOW)
    assert (notice.reason, notice.text, notice.at, notice.alert) == (
        Reason.FIRED,
        "2m 10s is above 2m",
        NOW,
        fingerprint(),
    )
    assert notice.measure is not None
    assert notice.measure.value == 130_000


def test_deciding_twice_gives_the_same_ids() -> None:
    """The same change always has the same notice ids; another channel, entity or time has different ones."""
    changes = poll([], [rule()], [snapshot({WAIT: [130_000, 70_000]})], NOW)
    rules = RuleSet((rule(),))
    first = decide(changes, rules, {}, DEFAULT, NOW)
    assert decide(changes, rules, {}, DEFAULT, NOW) == first
    others = decide(changes, rules, {}, "#other", NOW) + decide(changes, rules, {}, DEFAULT, NOW + POLL)
    assert len({notice.id for notice in first + others}) == 6


def test_the_end_of_a_removed_rule_is_reported() -> None:
    """A rule that was removed no longer names a channel, but its cards do."""
    alerts = keep([], _changes([130_000], rule()))
    changes = poll(alerts, [], [], NOW + POLL)
    (notice,) = decide(changes, RuleSet(), {fingerprint(): frozenset({SALES})}, DEFAULT, NOW + POLL)
    assert (notice.kind, notice.channel, notice.reason, notice.text) == (
        "line",
        SALES,
        Reason.RULE_REMOVED,
        "the rule longest-wait is gone",
    )


# Follow-ups.

LEADS, MANAGERS = "#team-leads", "#managers"
CHAIN = (
    Escalation(10 * MINUTE, (LEADS,)),
    Escalation(20 * MINUTE, (MANAGERS,), ("<@U9>",)),
    Escalation(30 * MINUTE, (), ("<!here>",)),
    Escalation(40 * MINUTE, (LEADS, MANAGERS), ("<@U9>",)),
    Escalation(40 * MINUTE, (MANAGERS,), ("<@U8>",)),
)


def _followup(reason: Reason, watched: Rule, cards: tuple[str, ...], value: float, **more: object) -> list[Notice]:
    """The notices of one follow-up of an alert that fires with this value, and has these cards."""
    alert = replace(_changes([value], watched)[0].after, id=17)
    change = Change(alert, replace(alert, **more), reason, "still critical after 10m, not acknowledged")
    return decide([change], RuleSet((watched,)), {alert.key: frozenset(cards)}, DEFAULT, NOW)


@pytest.mark.parametrize(
    ("reason", "more", "cards", "value", "expected"),
    [
        pytest.param(
            Reason.REMINDER,
            {},
            (SALES, FLOOR),
            70_000,
            ["line #cc-floor warning <@U1>", "line #cc-sales warning <@U1>"],
            id="a reminder: with the mentions of its level",
        ),
        pytest.param(
            Reason.REMINDER,
            {},
            (FLOOR,),
            130_000,
            ["line #cc-floor critical <!subteam^S1> <@U2> !"],
            id="of a critical alert: broadcast",
        ),
        pytest.param(
            Reason.REMINDER,
            {"acked_by": "U0ALICE00"},
            (FLOOR,),
            130_000,
            ["line #cc-floor critical <@U0ALICE00>"],
            id="a nag: the owner alone",
        ),
        pytest.param(
            Reason.REMINDER,
            {"acked_by": "sam"},
            (FLOOR,),
            130_000,
            ["line #cc-floor critical"],
            id="a local user cannot be mentioned",
        ),
        pytest.param(Reason.REMINDER, {}, (), 130_000, [], id="no card, no reminder"),
        pytest.param(
            Reason.ESCALATED,
            {"escalated": 10 * MINUTE},
            (FLOOR,),
            130_000,
            ["line #cc-floor critical", "card #team-leads critical"],
            id="a step: a line, and a message in its channel",
        ),
        pytest.param(
            Reason.ESCALATED,
            {"escalated": 20 * MINUTE},
            (MANAGERS, FLOOR),
            130_000,
            ["line #cc-floor critical", "line #managers critical", "card #managers critical <@U9>"],
            id="also where the alert has its card",
        ),
        pytest.param(
            Reason.ESCALATED,
            {"escalated": 30 * MINUTE},
            (),
            70_000,
            ["card #cc-sales warning <!here>"],
            id="without a channel: those of the rule",
        ),
        pytest.param(
            Reason.ESCALATED,
            {"escalated": 40 * MINUTE},
            (),
            70_000,
            ["card #team-leads warning <@U9>", "card #managers warning <@U9> <@U8>"],
            id="two steps of one time: one message in each channel",
        ),
        pytest.param(
            Reason.ESCALATED, {"escalated": 50 * MINUTE}, (FLOOR,), 70_000, [], id="a step that the rule lost"
        ),
    ],
)
def test_followups(
    reason: Reason, more: dict[str, object], cards: tuple[str, ...], value: float, expected: list[str]
) -> None:
    """Lines in the threads of the cards, and the messages of an escalation."""
    assert _told(_followup(reason, rule(**ROUTED, escalate=CHAIN), cards, value, **more)) == expected


def test_what_an_escalation_says_and_is_called() -> None:
    """The line names the channels; each notice has an id of its own, and each message the key of its step."""
    watched = rule(**ROUTED, escalate=CHAIN)
    cards = (LEADS, FLOOR)
    notices = [
        notice
        for after in (10, 20, 40)
        for notice in _followup(Reason.ESCALATED, watched, cards, 130_000, escalated=after * MINUTE)
    ]
    assert len({notice.id for notice in notices}) == len(notices) == 6 + 4
    assert [notice.text for notice in notices if notice.channel == FLOOR] == [
        LEADS,
        MANAGERS,
        f"{LEADS} and {MANAGERS}",
    ]
    assert [notice.group for notice in notices if notice.group] == [
        "escalation:17:600",
        "escalation:17:1200",
        "escalation:17:2400",
        "escalation:17:2400",
    ]
    assert _followup(Reason.ESCALATED, rule(), cards, 130_000, escalated=10 * MINUTE) == []
