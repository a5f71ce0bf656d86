"""How output shows alerts, silences and what is due when names of agents are hidden. None of this is stored.

What is read keeps its full names, for matching; the name to show is beside them, as `shown_as`. In texts that users
wrote, and in operational messages, full names of agents are replaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from alertbot.alerts.alert import Alert, Change
from alertbot.alerts.cards import Card
from alertbot.alerts.delivery import Due, EditCard, PostCard, PostLine, PostOps
from alertbot.alerts.notice import Notice
from alertbot.alerts.silence import Matcher, Silence
from alertbot.rules.privacy import AGENT_SCOPES, Names


def shown_alert(alert: Alert, names: Names) -> Alert:
    """The alert with the name of its agent as `names` shows it; an alert that is not about an agent as it is."""
    if not names.hidden or alert.key.scope not in AGENT_SCOPES:
        return alert
    key = alert.key
    return replace(alert, shown_as=names.of(key.tenant, key.scope, key.entity_id, alert.entity_name))


def shown_changes(changes: Iterable[Change], names: Names) -> list[Change]:
    """The changes, each with its alert as `shown_alert` has it."""
    if not names.hidden:
        return list(changes)
    return [
        replace(change, after=shown_alert(change.after, names)) if change.after.key.scope in AGENT_SCOPES else change
        for change in changes
    ]


def shown_silence(silence: Silence, names: Names) -> Silence:
    """The silence with names in its terms and its reason as `names` shows them."""
    if not names.hidden:
        return silence
    return replace(silence, shown_as=shown_matcher(silence.matcher, names))


def shown_matcher(matcher: Matcher, names: Names) -> str:
    """A matcher in words, with names in its terms as `names` shows them."""
    if not names.hidden:
        return str(matcher)
    terms = (
        (term, names.pattern(pattern) if term == "name" else names.text(pattern)) for term, pattern in matcher.terms
    )
    return str(Matcher(tuple(terms)))


def shown_due(due: Due, names: Names) -> Due:
    """What is due, with every name and text as it is to be sent."""
    if not names.hidden:
        return due
    match due:
        case PostOps():
            return replace(due, notice=_notice(due.notice, names))
        case PostLine():
            others = tuple(drawn_alert(alert, names) for alert in due.others)
            return replace(
                due,
                notice=_notice(due.notice, names),
                card=shown_card(due.card, names),
                alert=drawn_alert(due.alert, names),
                others=others,
            )
        case PostCard():
            return replace(due, notice=_notice(due.notice, names), card=shown_card(due.card, names))
        case EditCard():
            return replace(due, card=shown_card(due.card, names))


def _notice(notice: Notice, names: Names) -> Notice:
    return replace(notice, text=names.text(notice.text))


def shown_card(card: Card, names: Names) -> Card:
    """The card with every name and text as it is to be drawn."""
    if not names.hidden:
        return card
    silences = (replace(shown_silence(each, names), reason=names.text(each.reason)) for each in card.silences)
    members = tuple(drawn_alert(member, names) for member in card.members)
    return replace(card, members=members, silences=tuple(silences))


def drawn_alert(alert: Alert, names: Names) -> Alert:
    """An alert that is only drawn, on a card: its texts may name an agent too, also where it is about a queue."""
    if not names.hidden:
        return alert
    about = alert.about
    texts = (about.title, about.message, about.condition, about.detail)
    new = tuple(map(names.text, texts))
    if new != texts:
        about = replace(about, title=new[0], message=new[1], condition=new[2], detail=new[3])
    if about.labels:
        about = replace(about, labels={key: names.text(value) for key, value in about.labels.items()})
    return replace(
        shown_alert(alert, names),
        about=about,
        ack_note=names.text(alert.ack_note),
        close_note=names.text(alert.close_note),
    )
