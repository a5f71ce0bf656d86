"""The one entity of a totals scope: output calls it All queues or All agents, and it is found by that name too."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from alertbot.alerts.silence import Matcher
from alertbot.commands.command import CreateSilence
from alertbot.commands.view import View
from alertbot.notify.notifier import CardContent
from alertbot.notify.pens import PlainPen
from alertbot.notify.render import Templates
from alertbot.rules.catalogue import Scope, shown_name
from alertbot.rules.match import EVERY_ENTITY
from alertbot.rules.privacy import NAMES_IN_FULL, Names
from alertbot.rules.rule import RuleSet
from alertbot.store import codec
from tests.commands.kit import LONGEST_WAIT, NOW, alert, ask, column, snapshot, tenant, text_of, view

KEY = "total.interactionsLongestWaitInQueue.rt"
RULE = replace(
    LONGEST_WAIT,
    id="no-callers",
    title="No new callers at all",
    scope=Scope.QUEUE_TOTALS,
    match=EVERY_ENTITY,
    guard=None,
    guard_text="",
    overrides=(),
)
TOTALS = snapshot(Scope.QUEUE_TOTALS, {"totals": "totals"}, {KEY: column(161_000.0)})
ALERT = alert(rule=RULE, entity=("totals", "totals"))


def known() -> View:
    return view(tenant("acme", TOTALS), alerts=[ALERT], rules=RuleSet((RULE,), "1"))


@pytest.mark.parametrize(
    ("scope", "name", "shown"),
    [
        (Scope.QUEUE_TOTALS, "totals", "All queues"),
        (Scope.AGENT_TOTALS, "totals", "All agents"),
        (Scope.QUEUE, "totals", "totals"),  # a queue of that name
        (Scope.QUEUE_TOTALS, "Sales", "Sales"),  # as a rule test may call it
    ],
)
def test_names(scope: Scope, name: str, shown: str) -> None:
    """With and without names of agents hidden."""
    assert shown_name(scope, name) == shown
    for names in (NAMES_IN_FULL, Names(hidden=True)):
        assert names.of("acme", scope, "totals", name) == shown


def test_the_headline_of_a_card() -> None:
    """Also of an alert that was stored before: the name to match is what is kept."""
    stored = codec.alert_values(ALERT)
    assert stored["entity_name"] == "totals"
    drawn = Templates().card(CardContent((ALERT,), NOW, show_tenant=False), PlainPen())
    assert drawn.title == "🔴 Critical: All queues — No new callers at all"
    assert "totals" not in " ".join((drawn.summary, *drawn.body, *drawn.context))


@pytest.mark.parametrize("text", ["alerts", "alerts all queues", "alerts totals", "why no-callers"])
def test_answers_name_it(text: str) -> None:
    assert "All queues" in text_of(ask(known(), text))


@pytest.mark.parametrize("name", ["totals", "All queues", "all  QUEUES", "acme/all queues"])
def test_it_is_found_by_both_names(name: str) -> None:
    assert text_of(ask(known(), f"why no-callers {name}")).startswith("No new callers at all (no-callers): All queues")


@pytest.mark.parametrize(
    ("typed", "terms"),
    [
        ("name=totals", (("name", "totals"),)),
        ('name="all queues"', (("name", "totals"), ("scope", "queue_totals"))),
        ('scope=queue* name="All queues"', (("scope", "queue*"), ("name", "totals"))),
    ],
)
def test_it_is_silenced_by_both_names(typed: str, terms: tuple[tuple[str, str], ...]) -> None:
    """The silence has the name that is matched."""
    wish = ask(known(), f"silence {typed} 1h").wish
    assert isinstance(wish, CreateSilence)
    assert (wish.matcher, wish.ends_at) == (Matcher(terms), NOW + timedelta(hours=1))
    assert wish.matcher.matches(ALERT)
    assert wish.remarks == ("It matches 1 open alert: #17 All queues.",)
