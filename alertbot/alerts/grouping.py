"""Which alerts share a card, and which notices share a message: `group_by` of a rule, and the roll-up of a storm.

Theory. `decide` says what is reported where; this says in which message. A notice stays the unit of the ledger, one for
each alert and channel. Notices that share a message have one *lead*: it is the message, the others name it in
`Notice.lead` and have the fate that it has.

A new card. `group_by: rule` and `parent` give the card a group key; the alerts of one poll with the same key share it.
A poll makes at most `storm_cards` new cards in a channel, critical ones first. Of the rest, a rule with one card left
gets that card, and a rule with more gets one roll-up card for all of their alerts. So a storm costs five cards, and one
for each rule that takes part. Up to NAMED alerts are named on the new card, which carries their notices. Of more, the
card carries the notice of the worst alone, and lines in its thread, of at most NAMES names each, carry the others. The
first of the lines names the worst too, so that all names are in the thread.

An open card. New alerts of its group join it, and each poll's joiners are one line in its thread. While a roll-up card
of a rule is open in a channel, every new alert of the rule joins it that has no other open card to join. The line with
which a card passes NAMED members names those that it had as well: from then on the card does not show all of them.

All that is reported of the members of one card by one poll for one reason is one line, in steps of NAMES. (Reminders to
several owners are a line for each, and so are steps of escalation that go to different channels.)

Steps of escalation have messages of their own, which no alert joins later. Where one poll has more of them for a
channel than `storm_cards`, those that are left share one message for each rule and step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from itertools import islice

from alertbot.alerts import cards
from alertbot.alerts.alert import Alert, Fingerprint, Reason
from alertbot.alerts.notice import Notice, NoticeKind
from alertbot.rules.rule import GroupBy, Level, Rule

NAMED = 20
"""How many members a card names."""
NAMES = 165
"""How many members one line names: 500 alerts in one poll are five cards, a roll-up card and three lines."""

Groups = Mapping[tuple[str, str], frozenset[Fingerprint]]
"""The open cards that alerts may join, by channel and group key, with those of their members that have not ended."""
_NONE: frozenset[Fingerprint] = frozenset()

_RISES = frozenset({Reason.LEVEL_UP, Reason.SUPPRESSION_ENDED, Reason.SILENCE_ENDED})


def shared(
    notices: Sequence[Notice],
    rules: Mapping[str, Rule],
    alerts: Mapping[Fingerprint, Alert],
    groups: Groups,
    storm_cards: int,
) -> list[Notice]:
    """The notices with the cards that they go to and the messages that they share; those that share one together.

    `rules` by id; `alerts` are those that had not ended before the poll.
    """
    if not groups and len(notices) <= 1 and not any(_is_grouped(notice, rules) for notice in notices):
        return list(notices)
    placed = _placed(notices, rules, groups, storm_cards)
    messages: dict[tuple[object, ...], list[Notice]] = {}
    for index, notice in enumerate(placed):
        group = notice.group
        if notice.kind is NoticeKind.LINE and not group and notice.alert is not None:
            group = _member_of(groups, notice.channel, notice.alert)
            notice = _quiet(notice, groups[notice.channel, group], alerts) if group else notice
        where = notice.text if notice.reason is Reason.ESCALATED else ""
        same = (notice.channel, group, notice.kind, notice.reason, bool(notice.group), notice.by, where)
        escalated = notice.kind is NoticeKind.CARD and group != ""
        together = same if cards.is_shared(group) or escalated else (index,)
        messages.setdefault(together, []).append(notice)
    found: list[Notice] = []
    for sharing in messages.values():
        first = sharing[0]
        if len(sharing) == 1 and not cards.is_shared(first.group):
            found += sharing
        elif first.kind is NoticeKind.CARD and not cards.is_shared(first.group):
            found += _led(sorted(sharing, key=_rank, reverse=True))
        elif first.kind is NoticeKind.CARD:
            found += new_card(sharing)
        else:
            members = groups.get((first.channel, first.group), frozenset()) if first.group else frozenset()
            found += lines(sharing, members)
    return found


def new_card(notices: Sequence[Notice]) -> list[Notice]:
    """The notices of the alerts that a new card begins with."""
    first, *others = sorted(notices, key=_rank, reverse=True)
    if len(notices) <= NAMED:
        return _led([first, *others])
    assert first.alert is not None, "it is about a member of a card"
    card = replace(first, mention=_mentions(notices), broadcast=False)
    named = [replace(other, kind=NoticeKind.LINE, mention=(), broadcast=False) for other in others]
    start, rest = named[: NAMES - 1], named[NAMES - 1 :]
    start[0] = replace(start[0], also=(first.alert,))
    return [card, *_led(start), *_in_steps(rest)]


def lines(notices: Sequence[Notice], members: Set[Fingerprint] = frozenset()) -> list[Notice]:
    """The notices of several members of one card for one reason. `members`: of a card that they join."""
    ordered = sorted(notices, key=_rank, reverse=True)
    if 0 < len(members) <= NAMED < len(members) + len(ordered):
        also = tuple(sorted(members))
        start, rest = ordered[: NAMES - len(also)], ordered[NAMES - len(also) :]
        start[0] = replace(start[0], also=also)
        return [*_led(start), *_in_steps(rest)]
    return _in_steps(ordered)


def _in_steps(notices: Iterable[Notice]) -> list[Notice]:
    left, found = iter(notices), []
    while step := list(islice(left, NAMES)):
        found += _led(step)
    return found


def _led(notices: Sequence[Notice]) -> list[Notice]:
    """Notices that share the message of the first, which mentions whom any of them mentions."""
    first, *others = notices
    lead = replace(first, mention=_mentions(notices), broadcast=any(notice.broadcast for notice in notices))
    return [lead, *(replace(other, lead=first.id) for other in others)]


def _mentions(notices: Iterable[Notice]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(mention for notice in notices for mention in notice.mention))


def _rank(notice: Notice) -> tuple[Level, float]:
    return notice.level, notice.measure.excess if notice.measure is not None else 0.0


def _is_grouped(notice: Notice, rules: Mapping[str, Rule]) -> bool:
    rule = rules.get(notice.alert.rule) if notice.alert is not None else None
    return rule is not None and rule.group_by is not GroupBy.ENTITY


def _group(key: Fingerprint, rule: Rule | None) -> str:
    """The group key that the rule asks for; "" for a card of the alert alone."""
    if rule is not None and rule.group_by is GroupBy.RULE:
        return cards.of_rule(rule.id)
    if rule is not None and rule.group_by is GroupBy.PARENT and key.parent_id:
        return cards.of_parent(rule.id, key.parent_id)
    return ""


def _placed(notices: Sequence[Notice], rules: Mapping[str, Rule], groups: Groups, storm_cards: int) -> list[Notice]:
    """The notices with the group keys of their cards; one that joins an open card is a line."""
    placed = list(notices)
    steps: dict[str, list[int]] = {}  # by channel: the messages of escalation
    new: dict[str, dict[tuple[str, object], list[int]]] = {}  # by channel: the new cards, with what they begin with
    for index, notice in enumerate(notices):
        if notice.kind is not NoticeKind.CARD or notice.alert is None:
            continue
        if notice.group:
            steps.setdefault(notice.channel, []).append(index)
            continue
        key, channel = notice.alert, notice.channel
        own = _group(key, rules.get(key.rule))
        joins = next((group for group in (own, cards.roll_up(key.rule)) if (channel, group) in groups), None)
        if joins is not None:
            loud = notice.level is Level.CRITICAL
            mention = notice.mention if loud else ()
            placed[index] = replace(notice, kind=NoticeKind.LINE, group=joins, mention=mention, broadcast=loud)
            continue
        placed[index] = replace(notice, group=own)
        new.setdefault(channel, {}).setdefault((key.rule, own or key), []).append(index)
    for cards_of_channel in new.values():
        if len(cards_of_channel) <= storm_cards:
            continue
        in_order = sorted(cards_of_channel.items(), key=lambda card: -max(notices[index].level for index in card[1]))
        overflow: dict[str, list[list[int]]] = {}  # by rule
        for (rule, _), indexes in in_order[storm_cards:]:
            overflow.setdefault(rule, []).append(indexes)
        for rule, left in overflow.items():
            if len(left) > 1:
                for index in (index for indexes in left for index in indexes):
                    placed[index] = replace(placed[index], group=cards.roll_up(rule))
    for indexes in steps.values():
        rest = sorted(indexes, key=lambda index: -notices[index].level)[storm_cards:]
        groups_of_steps: dict[tuple[str, str], str] = {}
        for index in rest if len(rest) > 1 else ():
            notice = notices[index]
            assert notice.alert is not None, "a step is about an alert"
            step = notice.alert.rule, notice.group.rpartition(":")[2]
            placed[index] = replace(notice, group=groups_of_steps.setdefault(step, notice.group))
    return placed


def after(groups: Groups, ended: Set[Fingerprint], joined: Groups) -> Groups:
    """The groups after a poll: `ended` have ended in it, and may have begun again; `joined` have joined since.

    A card whose last member has ended is closed.
    """
    if not ended and not joined:
        return groups
    left = {place: members - ended if members & ended else members for place, members in groups.items()}
    left |= {place: left.get(place, _NONE) | members for place, members in joined.items()}
    return {place: members for place, members in left.items() if members}


def _member_of(groups: Groups, channel: str, key: Fingerprint) -> str:
    """The card in this channel that has the alert as a member, the last of several; "" if none has."""
    found = [group for (where, group), members in groups.items() if where == channel and key in members]
    return found[-1] if found else ""


def _quiet(notice: Notice, members: Set[Fingerprint], alerts: Mapping[Fingerprint, Alert]) -> Notice:
    """A rise, without mentions if it is not above the level that the card had: another member was as bad."""
    if notice.reason not in _RISES or not (notice.mention or notice.broadcast):
        return notice
    others = (alerts[key].level for key in members if key != notice.alert and key in alerts)
    return notice if notice.level > max(others, default=0) else replace(notice, mention=(), broadcast=False)
