"""`why`: the last decision about one entity. Whole answers are kept as golden files."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from alertbot.alerts.alert import Alert, Reason, State
from alertbot.backtest.replay import Replay
from alertbot.commands.command import Reply
from alertbot.commands.view import TenantView, View
from alertbot.evaluation.past import Past, remember
from alertbot.evaluation.snapshot import Presence, Snapshot
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import RuleSet
from tests.commands.kit import NOW, alert, ask, column, snapshot, text_of
from tests.golden import check_golden

RULES = parse_files(
    {
        "rules/why.yaml": """
hours:
  office: {timezone: Europe/Helsinki, open: {mon-fri: "08:00-18:00"}}
rules:
  - id: longest-wait
    title: Longest wait in queue
    scope: queue
    guard: entered.int-30m >= 10
    params: {warn: 60s, crit: 120s}
    overrides: [{match: {name: "VIP*"}, params: {warn: 20s, crit: 40s}}]
    warning: {when: interactionsLongestWaitInQueue.rt > $warn and not enabled.rt == 0, for: 30s}
    critical: {when: interactionsLongestWaitInQueue.rt > $crit}
    clear: interactionsLongestWaitInQueue.rt < 45s
    keep_firing_for: 1m
    during: office
    suppressed_by: [nobody-there]
  - id: nobody-there
    scope: queue
    when: enabled.rt == 0
  - id: rising
    scope: queue
    when: avg(interactionsWaitInQueue.rt, 1m) > 3 or delta(abandoned.today, 1m) / entered.int-30m > 10%
    no_data: fire
"""
    }
)
WAIT = "interactionsLongestWaitInQueue.rt"
POLL = timedelta(seconds=15)


def queues(wait: float | Presence, *, enabled: float = 5.0, entered: float = 50.0, age: int = 0) -> Snapshot:
    return snapshot(
        Scope.QUEUE,
        {"103": "Sales EU", "104": "VIP desk", "105": "VIP night"},
        {
            WAIT: column(wait, 30_000.0, 0.0),
            "enabled.rt": column(enabled, 3.0, 0.0),
            "entered.int-30m": column(entered, 20.0, 0.0),
            "interactionsWaitInQueue.rt": column(6.0, 0.0, 0.0),
            "abandoned.today": column(Presence.NULL, 1.0, 1.0),
        },
        age=age * POLL,
    )


def view(*polls: Snapshot, rules: RuleSet = RULES) -> View:
    """As it stands after these polls."""
    bot = Replay(rules, poll_every=POLL, tenant="acme")
    past = Past(POLL, rules.windows())
    for poll in polls:
        bot.poll(poll.at, {Scope.QUEUE: poll})
    past = remember(past, [{Scope.QUEUE: poll} for poll in polls])
    tenant = TenantView("acme", polls[-1].at, polls[-1].at, "", {Scope.QUEUE: polls[-1]}, past=past)
    return View((tenant,), tuple(bot.alerts.values()), rules, timezone="Europe/Helsinki")


def why(seen: View, text: str) -> Reply:
    return ask(seen, text)


CASES: dict[str, tuple[View, str]] = {
    "firing": (view(queues(130_000.0, age=1), queues(131_000.0)), "why longest-wait sales"),
    "pending": (view(queues(10_000.0, age=2), queues(70_000.0, age=1), queues(71_000.0)), "why longest-wait Sales EU"),
    "recovering": (view(queues(130_000.0, age=1), queues(20_000.0)), "why longest-wait Sales EU"),
    "overridden": (view(queues(10_000.0)), "why longest-wait VIP desk"),
    "guarded": (view(queues(130_000.0, entered=5.0)), "why longest-wait 103"),
    "suppressed": (view(queues(130_000.0, enabled=0.0)), "why longest-wait 103"),
    "missing": (view(queues(130_000.0, age=1), queues(Presence.NULL)), "why longest-wait 103"),
    "windows": (view(*(queues(0.0, age=age) for age in (3, 2, 1, 0))), "why rising 103"),
    "stale": (view(queues(0.0, age=40)), "why nobody-there 103"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_last_decision(name: str) -> None:
    """Each condition with its truth, each term with its value and unit, holds, hours, guard and suppression."""
    seen, text = CASES[name]
    check_golden(f"why/{name}.txt", text_of(why(seen, text)) + "\n")


def test_a_quotient_is_shown_beside_its_terms() -> None:
    """As what it is compared with: 0.4 of 25% is 40%."""
    rules = parse_files({"r.yaml": "rules: [{id: few, scope: queue, when: enabled.rt / entered.int-30m < 25%}]"})
    shown = text_of(why(view(queues(0.0, enabled=20.0), rules=rules), "why few 103"))
    assert "[enabled.rt is 20, entered.int-30m is 50, enabled.rt / entered.int-30m is 40%]" in shown


def test_closed_hours_are_shown() -> None:
    night = view(replace(queues(130_000.0), at=NOW.replace(hour=20)))
    assert "The rule is not active at this time." in text_of(why(night, "why longest-wait 103"))


def test_by_the_id_of_an_alert() -> None:
    """What the Why button of a card asks."""
    seen = view(queues(130_000.0))
    assert text_of(why(seen, "why #1")) == text_of(why(seen, "why longest-wait 103"))


def test_an_entity_that_is_gone_is_unknown() -> None:
    seen = view(queues(130_000.0))
    tenant = replace(seen.tenants[0], snapshots={Scope.QUEUE: snapshot(Scope.QUEUE, {"104": "VIP desk"}, {})})
    shown = text_of(why(replace(seen, tenants=(tenant,)), "why longest-wait Sales EU"))
    assert "It was not in the last poll, so all of it is unknown." in shown


REFUSED = {
    "nothing": ("why", "Which rule? /alertbot why RULE NAME"),
    "no rule": ("why longest-wiat Sales", "Did you mean longest-wait?"),
    "no name": ("why longest-wait", "Which queue? /alertbot why longest-wait NAME\nIt has alerts of VIP desk."),
    "no entity": ("why longest-wait Sales UK", "Did you mean Sales EU?"),
    "several": ("why longest-wait VIP", "matches 2"),
    "no alert": ("why #99", "There is no alert #99."),
}


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_answered(text: str, said: str) -> None:
    reply = why(view(queues(0.0)), text)
    assert reply.problem
    assert said in text_of(reply)


def test_without_a_name_and_alerts_it_lists_names() -> None:
    said = text_of(why(replace(view(queues(0.0)), alerts=()), "why longest-wait"))
    assert said == "Which queue? /alertbot why longest-wait NAME\n3 names: Sales EU, VIP desk, VIP night"


ENDED = alert(
    10,
    for_=timedelta(minutes=30),
    state=State.INACTIVE,
    ended_at=NOW - timedelta(minutes=18),
    end_reason=Reason.RESOLVED,
    peak=405_300.0,
)
ENDINGS = {
    "resolved": (ENDED, "It ended at 10:42 EET after 12m: its condition had cleared.\nCritical; worst value 6m 45s."),
    "its rule is gone": (replace(ENDED, end_reason=Reason.RULE_REMOVED), "after 12m: its rule was removed."),
    "another day": (replace(ENDED, ended_at=NOW - timedelta(days=1)), "It ended at 2026-03-01 11:00 EET"),
    "never acknowledged, no value": (replace(ENDED, peak=None, measure=None), "its condition had cleared."),
    "acknowledged": (replace(ENDED, acked_by="U034BOB"), "It was acknowledged by U034BOB."),
    "closed by hand": (
        replace(ENDED, end_reason=Reason.CLOSED_BY_HAND, closed_by="U034BOB", close_note="a call is stuck"),
        "after 12m: it was closed by hand.\nCritical; worst value 6m 45s.\nIt was closed by U034BOB: a call is stuck",
    ),
}


@pytest.mark.parametrize(("ended", "said"), ENDINGS.values(), ids=ENDINGS)
def test_an_alert_that_has_ended(ended: Alert, said: str) -> None:
    """`why 10` knows when it ended, as `ack 10` does."""
    reply = why(replace(view(queues(0.0)), ended=ended), "why #10")
    assert text_of(reply).splitlines()[0] == "#10 Sales EU · Longest wait in queue"
    assert said in text_of(reply)
    assert not reply.problem


def test_what_was_closed_by_hand_says_why_it_does_not_fire() -> None:
    """The condition holds, and nothing fires: who closed the alert, when, and until when it stays so."""
    closed = replace(ENDED, end_reason=Reason.CLOSED_BY_HAND, closed_by="U034BOB", close_note="a call is stuck")
    seen = replace(view(queues(130_000.0)), alerts=(), latched=(closed,))
    said = text_of(why(seen, "why longest-wait Sales EU"))
    assert said.splitlines()[1:3] == [
        "inactive",
        "[warning] #10 was closed at 10:42 EET by U034BOB: a call is stuck. "
        "It fires again only after its condition has been false.",
    ]
    other = replace(closed, key=closed.key._replace(entity_id="999"))
    assert "closed" not in text_of(why(replace(seen, latched=(other,)), "why longest-wait Sales EU"))


def test_a_rule_that_is_gone() -> None:
    seen = view(queues(130_000.0))
    assert "not in the rule files" in text_of(why(replace(seen, rules=RuleSet()), "why 1"))


def test_a_count_that_is_a_range_is_shown_as_one() -> None:
    """One agent is on break for certain, one may be."""
    rules = parse_files(
        {
            "a.yaml": "rules: [{id: many, scope: queue, when: 'count(agents where status.rt == \"OnBreak\") >= 2'}]",
        }
    )
    agents = snapshot(
        Scope.QUEUE_AGENT,
        {"a1": "Anna", "a2": "Ben"},
        {"status.rt": column("OnBreak", Presence.NULL)},
        parent_ids=("103", "103"),
        parent_names=("Sales EU", "Sales EU"),
    )
    one = TenantView("acme", NOW, NOW, "", {Scope.QUEUE: queues(1.0), Scope.QUEUE_AGENT: agents})
    shown = text_of(ask(View((one,), (), rules), "why many Sales EU"))
    assert "warning: unknown" in shown
    assert 'count(agents where status.rt == "OnBreak") is 1 to 2 (some agents have no data)' in shown
