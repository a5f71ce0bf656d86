"""Answers on plain values: what is asked, and what is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alertbot.alerts.alert import Alert, Mute, MuteKind, State
from alertbot.alerts.delivery import HeldBack
from alertbot.commands.answers import BUTTONS, COMMANDS, answer
from alertbot.commands.command import Acknowledge, Asker, Command, Person, Resolve, Table, Unacknowledge
from alertbot.commands.parse import parse
from alertbot.commands.view import ServiceView
from alertbot.evaluation.measure import Measure
from alertbot.evaluation.snapshot import Presence
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Escalation, GroupBy, Level, Remind, RuleSet
from alertbot.slack.buttons import ACKNOWLEDGE, GIVE_BACK, SILENCE, WHY
from tests.commands.kit import (
    AGENTS,
    ANNA,
    GROUPS,
    LONGEST_WAIT,
    NOW,
    ON_BREAK,
    QUEUES,
    WAIT,
    alert,
    ask,
    column,
    silence,
    snapshot,
    tenant,
    text_of,
    view,
)

TAKEN = alert(acked_by="U034BOB", acked_at=NOW - timedelta(minutes=2), ack_note="on it")


def recovering(id: int, *, value: float = 20_000.0, **other: Any) -> Alert:
    """An alert whose condition has been clear for two minutes."""
    return alert(
        id,
        state=State.RECOVERING,
        recovering_since=NOW - timedelta(minutes=2),
        **{"measure": Measure(WAIT, ValueType.DURATION, ">", value, 120_000.0)} | other,
    )


def test_queue_shows_values_alerts_and_age() -> None:
    """`queue NAME`: who it is, how old the values are, its alerts, then values in a fixed order, missing ones too."""
    reply = ask(view(alerts=[TAKEN]), "queue sales eu")
    assert text_of(reply).splitlines() == [
        "Queue Sales EU (id 103)",
        "As of 12s ago.",
        "[critical] #17 critical: Longest wait in queue · 2m 41s, limit 2m · since 08:48 UTC (12m)"
        " · acknowledged by U034BOB: on it",
        "Metric | Value",
        "Callers waiting | 7",
        "Longest wait | 2m 41s",
        "Service level, last 30 min | 82.3%",
        "Zebra time, today | 5",
        "alertbot asks 8x8 only for what rules use: 4 values here.",
    ]
    assert not reply.problem


def test_people_are_data() -> None:
    """Who has an alert is a Person in the line, so that only the shell makes a mention of it."""
    (line,) = [part for part in ask(view(alerts=[TAKEN]), "queue Sales EU").parts if getattr(part, "pieces", ())]
    assert line.pieces[-2:] == (Person("U034BOB"), ": on it")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "values"),
    {
        "missing values say why": (
            "queue Support",
            ["not in 8x8's response", "its request failed", "no data (8x8 sent null)", "8x8 sent a value that cannot"],
        ),
        "text, durations and timestamps": (
            "agent anna",
            ["Status | OnBreak", "Time in this status | 25m", "Last login | 2026-03-02 07:00:00 UTC"],
        ),
        "an agent's group": ("agent O'Brien", ["Agent Conan O'Brien (id a2, in Nights)", "No alerts."]),
        "a group": ("group nights", ["Group Nights (id 1)", "Agents on break | 2"]),
    }.values(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_live_values(text: str, values: list[str]) -> None:
    """Each value is shown with its unit, or with the reason why there is none."""
    shown = text_of(ask(view(), text))
    for value in values:
        assert value in shown


NAMES = {
    "exact": ("Sales EU", "103"),
    "case": ("sAlEs eU", "103"),
    "blanks": ("Sales\u00a0 EU", "103"),
    "quoted": ('"Sales EU"', "103"),
    "prefix": ("Supp", "105"),
    "part": ("US", "104"),
    "id": ("105", "105"),
    "tenant in front": ("acme/support", "105"),
}


@pytest.mark.parametrize(("name", "entity"), NAMES.values(), ids=NAMES)
def test_a_name_may_be_shortened(name: str, entity: str) -> None:
    """A queue is found by its name, whole or in part, and by its id."""
    assert f"(id {entity})" in text_of(ask(view(), f"queue {name}"))


def test_exact_beats_the_rest() -> None:
    """`Sales` is the queue of that name where there is one, whatever else begins so; an id beats a part of a name."""
    queues = snapshot(Scope.QUEUE, {"1": "Sales EU", "2": "Sales", "3": "Line 7", "7": "x"}, {})
    assert "(id 2)" in text_of(ask(view(tenant("acme", queues)), "queue sales"))
    assert "(id 7)" in text_of(ask(view(tenant("acme", queues)), "queue 7"))


REFUSALS = {
    "several candidates": ("queue sales", ["“sales” matches 2 queues:", "• Sales EU", "• Sales US"]),
    "a typo": ("queue Suport", ["No queue is called “Suport”.", "Did you mean Support?"]),
    "no such name": ("queue zzz", ["No queue is called “zzz”.", "3 queues are known; a part of the name is enough."]),
    "no name": ("queue", ["Which queue? /alertbot queue NAME", "3 names: Sales EU, Sales US, Support"]),
    "an unknown subcommand": ("quue Sales", ["There is no subcommand “quue”.", "Did you mean /alertbot queue NAME?"]),
    "the beginning of one": ("stat", ["Did you mean /alertbot status?"]),
    "nothing like any": (
        "xyzzy",
        ["There are: help, status, alerts, history, digest, queue, group, agent, top, chart, rules, metrics, "],
    ),
    "an unknown rule": ("rules longest-wiat", ["There is no rule “longest-wiat”.", "Did you mean longest-wait?"]),
    "several rules": ("rules break", ["matches 2 rules", "on-break, group-break"]),
    "ack without an id": (
        "ack",
        ["Which alert? /alertbot ack ID [note]", "Open alerts: #17 Sales EU (Longest wait in queue)."],
    ),
    "ack with a word": (
        "ack it",
        ["“it” is not the id of an alert", "Open alerts: #17 Sales EU (Longest wait in queue)."],
    ),
    "ack 0": ("ack 0", ["“0” is not the id"]),
    "ack of a pending one": ("ack 18", ["#18 has not fired"]),
    "a note too long": ("ack 17 " + "x" * 501, ["The note is too long"]),
    "a very long name": ("queue " + "x" * 500, ["x…”"]),
}


@pytest.mark.parametrize(("text", "says"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_answered_says_what_to_ask(text: str, says: list[str]) -> None:
    """A question that cannot be answered is a problem, with the nearest that can."""
    reply = ask(view(alerts=[alert(), alert(18, state=State.PENDING)]), text)
    assert reply.problem
    assert reply.wish is None
    for each in says:
        assert each in text_of(reply)


def test_equal_names_are_distinguished_by_id() -> None:
    """Two queues of one name are listed with their ids, and either can then be asked for."""
    twins = view(tenant("acme", snapshot(Scope.QUEUE, {"1": "Sales", "2": "Sales"}, {})))
    assert "• Sales (id 1)\n• Sales (id 2)" in text_of(ask(twins, "queue sales"))
    assert "(id 2)" in text_of(ask(twins, "queue 2"))


def test_many_candidates_are_cut() -> None:
    """A long list ends with how many more there are."""
    queues = snapshot(Scope.QUEUE, {str(i): f"Sales {i:02}" for i in range(30)}, {})
    assert "and 20 more" in text_of(ask(view(tenant("acme", queues)), "queue sales"))
    assert "30 names: Sales 00" in text_of(ask(view(tenant("acme", queues)), "queue"))
    assert "and 20 more" in text_of(ask(view(tenant("acme", queues)), "queue"))


def test_many_values_are_cut() -> None:
    """At most 40 values, then how many more; no word about few of them."""
    queues = snapshot(Scope.QUEUE, {"1": "A"}, {f"key{i}.rt": column(float(i)) for i in range(45)})
    shown = text_of(ask(view(tenant("acme", queues)), "queue A"))
    assert "and 5 more" in shown
    assert "only for what rules read" not in shown


def test_several_tenants() -> None:
    """All tenants are searched, and named when there is more than one."""
    two = view(tenant("acme"), tenant("beta", snapshot(Scope.QUEUE, {"9": "Sales EU", "8": "Only here"}, {})))
    assert "Queue Only here (id 8, beta)" in text_of(ask(two, "queue only"))
    assert "• acme/Sales EU\n• beta/Sales EU" in text_of(ask(two, "queue sales eu"))
    assert "(id 9, beta)" in text_of(ask(two, "queue beta/sales eu"))
    assert "#17 critical: acme: Sales EU · Longest wait in queue" in text_of(
        ask(replace(two, alerts=(alert(),)), "alerts")
    )


@pytest.mark.parametrize(
    ("seen", "says"),
    {
        "stale": (
            tenant("acme", replace(QUEUES, at=NOW - timedelta(minutes=25)), error="8x8 did not answer"),
            "[critical] STALE: these values are 25m old (of 08:35 UTC). The last poll: 8x8 did not answer",
        ),
        "fresh, but the last poll failed": (
            tenant(error="8x8 did not answer"),
            "[warning] As of 12s ago. The last poll: 8x8 did not answer",
        ),
        "partial": (tenant("acme", replace(QUEUES, complete=False)), "[warning] As of 12s ago. That poll was partial."),
        "from the future": (tenant("acme", replace(QUEUES, at=NOW + timedelta(seconds=2))), "As of 0s ago."),
    }.values(),
    ids=["stale", "last poll failed", "partial", "clocks that disagree"],
)
def test_how_old_the_values_are(seen: object, says: str) -> None:
    """Every value has its age, and old ones are loud."""
    assert says in text_of(ask(view(seen), "queue Sales EU"))  # type: ignore[arg-type]


def test_what_is_not_polled() -> None:
    """A scope that no rule covers is not polled; for one without data the answer gives the reason."""
    only_queues = RuleSet((LONGEST_WAIT,), "1")
    reply = ask(view(tenant("acme", QUEUES), rules=only_queues), "agent Anna")
    assert text_of(reply) == "No rule covers agents, so alertbot does not ask 8x8 for them."
    no_data = ask(view(tenant("acme", GROUPS, good=None, error="the key was refused")), "queue Sales")
    assert text_of(no_data) == "No queue has been seen yet.\nThe key was refused"
    assert no_data.problem


def test_an_unknown_key_is_shown_as_it_is() -> None:
    """A key that the catalogue does not know is a plain number, or text."""
    queues = snapshot(Scope.QUEUE, {"1": "A"}, {"new.rt": column(2.5), "mood.rt": column("fine")})
    shown = text_of(ask(view(tenant("acme", queues)), "queue A"))
    assert "New | 2.5" in shown
    assert "Mood | fine" in shown


def test_alerts_of_a_queue_include_its_agents() -> None:
    """A queue shows the alerts of its agents, and not those of another tenant's queue with the same id."""
    key = alert().key
    of_agent = replace(alert(20), key=key._replace(scope=Scope.QUEUE_AGENT, parent_id="103", entity_id="a1"))
    elsewhere = alert(21, tenant="beta")
    shown = text_of(ask(view(alerts=[of_agent, elsewhere]), "queue Sales EU"))
    assert "#20" in shown
    assert "#21" not in shown


def test_status_all_well() -> None:
    """`status` with nothing going on is short."""
    assert text_of(ask(view(), "status")).splitlines() == [
        "Last good poll 12s ago",
        "Nothing is firing.",
    ]


def test_status_without_a_service() -> None:
    """In a terminal `status` is answered while nothing polls: it says so first, and when a service was last seen."""
    gone = ServiceView("vm, process 31711", NOW - timedelta(minutes=5), running=False)
    first = text_of(ask(view(service=gone), "status")).splitlines()[0]
    assert first == "[critical] alertbot is not running (last seen 08:55 UTC on host vm, process 31711)."
    stuck = text_of(ask(view(service=replace(gone, stuck=True)), "status")).splitlines()[0]
    assert stuck == (
        "[critical] alertbot runs on host vm, process 31711, but has not written to its database since 08:55 UTC: "
        "nothing is decided or reported. Its log and /readyz say why."
    )
    alive = replace(gone, running=True)
    assert "running" not in text_of(ask(view(service=alive), "status"))


def test_status_with_trouble() -> None:
    """`status` says per tenant how fresh it is, what fires by level, what waits and what is wrong."""
    partial = replace(QUEUES, complete=False, problems=("page 3 of 4 failed",))
    troubled = view(
        tenant("acme", partial),
        tenant("beta", good=timedelta(minutes=7), error="8x8 did not answer"),
        tenant("gamma", good=None, error="the key was refused"),
        tenant("delta", error="8x8 said 503"),
        alerts=[alert(), TAKEN, recovering(3, level=Level.WARNING), alert(4, state=State.PENDING)],
        waiting=4,
        problems=("Slack refuses the credentials",),
    )
    assert text_of(ask(troubled, "status")).splitlines() == [
        "acme: last good poll 12s ago",
        "[critical] beta: STALE: last good poll 7m ago (at 08:53 UTC): 8x8 did not answer",
        "[critical] gamma: NO DATA: no good poll so far: the key was refused",
        "[warning] delta: last good poll 12s ago; the last poll was not good: 8x8 said 503",
        "[critical] 2 firing, all critical, 1 recovering, 1 acknowledged. 1 pending.",
        "[critical] #17 critical: acme: Sales EU · Longest wait in queue · 2m 41s, limit 2m · since 08:48 UTC (12m)",
        "[critical] #17 critical: acme: Sales EU · Longest wait in queue · 2m 41s, limit 2m · since 08:48 UTC (12m)"
        " · acknowledged by U034BOB: on it",
        "[recovering] #3 recovering (warning): acme: Sales EU · Longest wait in queue"
        " · now 20s (limit 2m), recovering since 08:58 UTC (2m)",
        "[warning] To be delivered: 4 messages and edits wait.",
        "[warning] Problem: Slack refuses the credentials",
        "[warning] Problem: acme: the last answer about queue is incomplete.",
        "[warning] Problem: acme: queue: page 3 of 4 failed",
    ]


LIKE_THAT = {
    "a typographic apostrophe": ("agent Conan O’Brien", "Agent Conan O'Brien"),
    "without accents": ("agent bjorn", "Agent Björn Åström"),
    "a letter that is no accent": ("agent soren", "Agent Søren Łuk"),
    "a swapped first name": ("agent amria", "Did you mean Maria López?"),
    "a swapped last name": ("agent Lopze", "Did you mean Maria López?"),
    "a swapped whole name": ("agent maria lopze", "Did you mean Maria López?"),
}


@pytest.mark.parametrize(("text", "expected"), LIKE_THAT.values(), ids=LIKE_THAT)
def test_names_are_found_as_people_type_them(text: str, expected: str) -> None:
    """Quotes and accents do not matter in commands; a misspelt name of one word is compared with each word."""
    names = {"a1": "Björn Åström", "a2": "Conan O'Brien", "a3": "Søren Łuk", "a4": "Maria López"}
    agents = snapshot(Scope.AGENT, names, {"status.rt": column("Available", "OnBreak", "Available", "Available")})
    assert expected in text_of(ask(view(tenant("acme", agents)), text))


def test_the_accent_decides_where_there_are_both() -> None:
    agents = snapshot(Scope.AGENT, {"a1": "Björn", "a2": "Bjorn"}, {"status.rt": column("Available", "OnBreak")})
    both = view(tenant("acme", agents))
    assert "(id a1)" in text_of(ask(both, "agent BJÖRN"))
    assert "(id a2)" in text_of(ask(both, "agent BJORN"))


def test_a_match_that_covers_nothing_is_named() -> None:
    """By `status` for all rules, by `rules ID` with the match."""
    own, override = LONGEST_WAIT.match, LONGEST_WAIT.overrides[0].match
    idle = view(uncovered={"longest-wait": (own, override)})
    assert (
        "A match covers no entity of the last poll in 1 rule: longest-wait; /alertbot rules ID says which."
    ) in text_of(ask(idle, "status"))
    shown = text_of(ask(idle, "rules longest-wait"))
    assert "[warning] Its match covers no queue of the last poll (no name of the last poll is like it)." in shown
    assert "[warning] Its override for name VIP* covers no queue of the last poll (" in shown


def test_status_names_rules_that_failed() -> None:
    """A rule that cannot be evaluated is a problem until it can."""
    failing = replace(tenant(), failing={"longest-wait": "OverflowError: date value out of range"})
    assert (
        "[warning] Problem: acme: the rule longest-wait failed and makes no decision: OverflowError: date value out of "
        "range"
    ) in text_of(ask(view(failing), "status"))


def test_status_before_the_first_poll() -> None:
    """A bot that has just begun says so."""
    new = replace(tenant(good=None), tried_at=None)
    assert "[warning] Not polled yet" in text_of(ask(view(new), "status"))


def test_times_are_in_the_zone_of_the_view() -> None:
    """Clock times are in the configured zone, with its name; another day is named."""
    helsinki = view(alerts=[alert(for_=timedelta(days=2))], timezone="Europe/Helsinki")
    assert "since 2026-02-28 11:00 EET (2d)" in text_of(ask(helsinki, "alerts"))


ALERTS = (
    alert(1, level=Level.WARNING, for_=timedelta(hours=2)),
    alert(2, entity=("104", "Sales US"), for_=timedelta(minutes=1)),
    TAKEN,
    alert(4, rule=ON_BREAK, entity=("a1", "Anna Smith"), level=Level.INFO, state=State.RECOVERING, measure=None),
    alert(5, rule=ON_BREAK, entity=("a2", "Conan O'Brien"), state=State.PENDING),
)


def test_alerts_lists_the_worst_first() -> None:
    """Open alerts with id, level, value, since and owner: the worst and longest first; pending ones are counted."""
    assert text_of(ask(view(alerts=ALERTS), "alerts")).splitlines() == [
        "3 firing (2 critical, 1 warning), 1 recovering.",
        "[critical] #17 critical: Sales EU · Longest wait in queue · 2m 41s, limit 2m · since 08:48 UTC (12m)"
        " · acknowledged by U034BOB: on it",
        "[critical] #2 critical: Sales US · Longest wait in queue · 2m 41s, limit 2m · since 08:59 UTC (1m)",
        "[warning] #1 warning: Sales EU · Longest wait in queue · 2m 41s, limit 2m · since 07:00 UTC (2h)",
        "[recovering] #4 recovering (info): Anna Smith · On break too long",
        "1 alert is pending: reported if the condition lasts.",
    ]


TOTALS = {
    "nothing": ([], "No open alert."),
    "one": ([alert()], "1 firing, critical."),
    "one level": ([alert(1), alert(2)], "2 firing, all critical."),
    "two levels": ([alert(1), alert(2, level=Level.INFO)], "2 firing (1 critical, 1 info)."),
    "one that recovers": ([recovering(1)], "1 open, recovering."),
    "all recover": ([recovering(i) for i in range(12)], "12 open, all recovering."),
    "some recover": ([alert(1), recovering(2)], "1 firing, critical, 1 recovering."),
}


@pytest.mark.parametrize(("alerts", "said"), TOTALS.values(), ids=TOTALS)
def test_what_recovers_is_counted_apart(alerts: list[Alert], said: str) -> None:
    """An alert whose condition has cleared is not said to fire, neither in `alerts` nor in `status`."""
    assert text_of(ask(view(alerts=alerts), "alerts")).splitlines()[0] == said
    assert alerts == [] or said in text_of(ask(view(alerts=alerts), "status"))


def of(key: str, kind: ValueType, op: str, value: float | str | None, limit: float | str) -> Alert:
    return alert(rule=replace(LONGEST_WAIT, title="Trouble"), measure=Measure(key, kind, op, value, limit))


WAITING, LEVEL, BREAK = "interactionsWaitInQueue.rt", "slaPercentage.int-30m", "status.rt"
COUNT, DURATION, RATIO = ValueType.COUNT, ValueType.DURATION, ValueType.RATIO
READINGS = {
    "a duration": (of(WAIT, DURATION, ">", 161_000.0, 120_000.0), "longest wait 2m 41s, limit 2m"),
    "a count": (of(WAITING, COUNT, ">", 12.0, 5.0), "12 callers waiting, limit 5"),
    "one": (of(WAITING, COUNT, ">", 1.0, 0.0), "1 caller waiting, limit 0"),
    "a ratio": (of(LEVEL, RATIO, "<", 0.55, 0.6), "service level 55% in the last 30 min, limit 60%"),
    "no milliseconds": (of(WAIT, DURATION, ">", 2_705.0, 1_000.0), "longest wait 3s, limit 1s"),
    "less than a second": (of(WAIT, DURATION, "<", 305.0, 1_000.0), "longest wait under 1s, limit 1s"),
    "rounded to the limit": (of(WAIT, DURATION, ">", 120_300.0, 120_000.0), "longest wait 2m, just over the limit"),
    "rounded from below": (
        of(LEVEL, RATIO, "<", 0.59999, 0.6),
        "service level 60% in the last 30 min, just under the limit",
    ),
    "at the limit": (of(WAITING, COUNT, ">=", 5.0, 5.0), "5 callers waiting, at the limit"),
    "equal is no limit": (of("eligible.rt", COUNT, "==", 0.0, 0.0), "0 agents who can take work"),
    "an expression": (of("onBreak.rt / enabled.rt", RATIO, ">", 0.4, 0.3), "40%, limit 30%"),
    "no data": (of(WAIT, DURATION, ">", None, 120_000.0), "no data"),
    "the title has the noun": (alert(), "2m 41s, limit 2m"),
    "recovering": (recovering(1, value=0.0), "now 0s (limit 2m), recovering since 08:58 UTC (2m)"),
    "recovering, no limit": (
        recovering(1, measure=Measure("eligible.rt", COUNT, "==", 3.0, 0.0)),
        "now 3, recovering since 08:58 UTC (2m)",
    ),
}


@pytest.mark.parametrize(("open_alert", "said"), READINGS.values(), ids=READINGS)
def test_values_have_their_noun_and_limit(open_alert: Alert, said: str) -> None:
    """No program text, no milliseconds, no figure that is compared with itself."""
    line = text_of(ask(view(alerts=[open_alert]), "alerts")).splitlines()[1]
    assert f" · {said}" in line
    rest = line.partition(f" · {said}")[2]
    assert rest == "" or rest.startswith(" · since ")


FILTERS = {
    "rule id": ("on-break", {4}),
    "title": ("longest WAIT", {1, 2, 17}),
    "entity": ("sales us", {2}),
    "entity in part": ("anna", {4}),
    "id": ("#17", {17}),
    "a rule without alerts": ("group-break", set()),
}


@pytest.mark.parametrize(("wanted", "ids"), FILTERS.values(), ids=FILTERS)
def test_alerts_narrowed_down(wanted: str, ids: set[int]) -> None:
    """`alerts X` keeps those whose rule or entity is X."""
    shown = text_of(ask(view(alerts=ALERTS), f"alerts {wanted}"))
    assert {each.id for each in ALERTS if each.open and f"#{each.id} " in shown} == ids
    assert ("No open alert for “group-break”." in shown) == (wanted == "group-break")


NAMES_OF_NO_ALERT = {
    "a queue": ("alerts support", "No open alert for “support”.", False),
    "the group of an agent": ("alerts nights", "No open alert for “nights”.", False),
    "a rule": ("alerts longest", "No open alert for “longest”.", False),
    "an id": ("alerts #99", "No open alert for “#99”.", False),
    "labels only": ("alerts label.team=sales", "No open alert for “label.team=sales”.", False),
    "unknown": ("alerts zzz", "No rule, queue, group or agent is called “zzz”.\n/alertbot alerts lists all", True),
    "a misspelt queue": ("alerts Suport", "is called “Suport”.\nDid you mean Support?", True),
    "a misspelt rule": ("alerts longest-wiat", "Did you mean longest-wait?", True),
}


@pytest.mark.parametrize(("text", "said", "problem"), NAMES_OF_NO_ALERT.values(), ids=NAMES_OF_NO_ALERT)
def test_no_alert_of_a_name_and_no_such_name_differ(text: str, said: str, problem: bool) -> None:
    """A name that nothing has is a problem with the nearest names; a name without alerts is good news."""
    reply = ask(view(), text)
    assert said in text_of(reply)
    assert reply.problem is problem


def test_before_the_first_poll_no_name_is_unknown() -> None:
    nothing = view(replace(tenant(), snapshots={}))
    assert "No open alert for “zzz”." in text_of(ask(nothing, "alerts zzz"))


def test_a_long_list_of_alerts_is_cut() -> None:
    """Twenty alerts, then how many more and how to narrow it down."""
    shown = text_of(ask(view(alerts=[alert(i) for i in range(1, 31)]), "alerts"))
    assert shown.splitlines()[-1] == "and 10 more; /alertbot alerts RULE or NAME narrows it down"


def test_no_alert_without_data_is_no_good_news() -> None:
    """`alerts` says that values are stale, so that "none" is not believed."""
    shown = text_of(ask(view(tenant(good=timedelta(hours=1), error="no answer")), "alerts"))
    assert shown.splitlines() == [
        "No open alert.",
        "[critical] STALE: last good poll 1h ago (at 08:00 UTC): no answer",
    ]


def test_rules_lists_what_is_watched() -> None:
    """`rules`: each with its scope, levels and how many are open, those that fire first."""
    reply = ask(view(alerts=[alert(), alert(4, rule=ON_BREAK)]), "rules")
    (table,) = [part for part in reply.parts if isinstance(part, Table)]
    assert table.rows == (
        ("longest-wait", "queue", "critical or warning", "1"),
        ("on-break", "agent", "warning", "1"),
        ("group-break", "group", "warning", ""),
    )
    assert text_of(ask(view(rules=RuleSet()), "rules")) == "There are no rules."


def test_rules_id_says_what_a_rule_says() -> None:
    """`rules ID`: conditions as written, with what surrounds them, where they are written and what fires."""
    assert text_of(ask(view(alerts=[alert()]), "rules longest")).splitlines() == [
        "Longest wait in queue (longest-wait)",
        "Covers: queue: name Sales*; not name *test*",
        "only while entered.int-30m >= 10",
        "[critical] critical when interactionsLongestWaitInQueue.rt > $crit",
        "[warning] warning when interactionsLongestWaitInQueue.rt > $warn for 30s",
        "$warn = 1m, $crit = 2m; 1 override for some entities",
        "It must stay clear for 1m before it resolves.",
        "Without data nothing changes.",
        "Reported in critical: #cc-floor.",
        "Runbook: https://wiki.example/longest-wait",
        "Defined in rules/queues.yaml, line 12.",
        "Open now: 1",
        "[critical] #17 critical: Sales EU · Longest wait in queue · 2m 41s, limit 2m · since 08:48 UTC (12m)",
    ]


def test_rules_id_says_who_hears_of_it_later() -> None:
    """`rules ID`: shared cards, reminders and escalation in words, in the order of time."""
    rule = replace(
        LONGEST_WAIT,
        remind=Remind(timedelta(minutes=15), timedelta(hours=2)),
        escalate=(
            Escalation(timedelta(minutes=10), ("#cc-managers", "#cc-floor"), ("<@U0123>", "<!subteam^S0123>")),
            Escalation(timedelta(hours=1), (), ("<!here>",)),
            Escalation(timedelta(hours=2), ("#cc-directors",)),
        ),
        group_by=GroupBy.RULE,
    )
    said = text_of(ask(view(rules=RuleSet((rule,))), "rules longest")).splitlines()
    assert said[8:13] == [
        "Reported in critical: #cc-floor. All alerts of the rule share one card.",
        "Reminder after 15m, then at intervals that double up to 2h, while it fires and is not acknowledged.",
        "Escalated in #cc-managers, #cc-floor, mentioning U0123 and user group S0123 if it is not acknowledged 10m "
        "after it fired.",
        "Escalated in the channels of the rule, mentioning @here if it is not acknowledged 1h after it fired.",
        "Escalated in #cc-directors if it is not acknowledged 2h after it fired.",
    ]
    plain = replace(rule, remind=Remind(timedelta(minutes=30)), escalate=(), group_by=GroupBy.PARENT)
    said = text_of(ask(view(rules=RuleSet((plain,))), "rules longest")).splitlines()
    assert "Reminder every 30m, while it fires and is not acknowledged." in said
    assert "Reported in critical: #cc-floor. Alerts of the same queue or group share one card." in said


def test_rules_id_names_the_values_of_a_text_key() -> None:
    """The commonest first, at most twelve; a rule that reads no text key has no such line."""
    words = ("Available", "OnBreak", *(f"Status {number}" for number in range(12)))
    seen = view(text_values={"on-break": {"status.rt": words}, "group-break": {"status.rt": words[:2]}})
    assert (
        "Values of status.rt in the last poll: Available, OnBreak, Status 0, Status 1, Status 2, Status 3, Status 4, "
        "Status 5, Status 6, Status 7, Status 8, Status 9 and 2 more"
    ) in text_of(ask(seen, "rules on-break")).splitlines()
    assert (
        "Values of status.rt in the last poll: Available, OnBreak"
        in text_of(ask(seen, "rules group-break")).splitlines()
    )
    assert "Values of" not in text_of(ask(seen, "rules longest-wait"))


def test_metrics_in_words() -> None:
    """`metrics WORD`: the keys that have all words in name or meaning, with scope, unit and periods."""
    assert text_of(ask(view(), "metrics longest wait")).splitlines() == [
        "interactionsLongestWaitInQueue.PERIOD",
        "longest wait: Longest single wait in the queue. queue, queue_totals · duration (write 90s or 2m)"
        " · rt, int-15m, int-30m, today",
        "PERIOD stands for one of the periods: entered.int-30m, entered.today.",
        "In the scopes queue_totals and agent_totals, total. stands before the key.",
    ]
    assert "onBreak.rt\nagents on break: Group agents on break. group · count (write 3)" in text_of(
        ask(view(), "metrics break group")
    )
    many = text_of(ask(view(), "metrics"))
    assert "more; /alertbot metrics WORD narrows it down" in many
    assert "No metric key has “zebra” in its name or meaning." in text_of(ask(view(), "metrics zebra"))
    assert ask(view(), "metrics zebra").problem


def test_help_is_made_from_the_table() -> None:
    """`help` lists every subcommand; `help X` shows one, a misspelt one too."""
    (table,) = [part for part in ask(view(), "").parts if isinstance(part, Table)]
    assert table.rows == tuple((each.usage, each.help) for each in COMMANDS)
    assert text_of(ask(view(command="/cc"), "help akc")).startswith("/cc ack ID [note]\n")
    assert ask(view(), "help zzz").problem


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_each_subcommand_answers_without_arguments(row: object) -> None:
    """No subcommand fails on an empty contact centre, and its usage begins with its name."""
    assert row.usage.split()[0] == row.name  # type: ignore[attr-defined]
    empty = view(replace(tenant(), snapshots={}), rules=RuleSet())
    assert answer(empty, Command(row.name), ANNA, NOW).parts  # type: ignore[attr-defined]


def test_an_ended_silence_is_named_as_ended() -> None:
    """Until the next poll an alert has its silence; `unsilence` and the Home tab are shown before that."""
    silenced = alert(muted=Mute(MuteKind.SILENCED, 18, NOW))
    assert "silenced by #18 until 10:30 UTC" in text_of(ask(view(alerts=[silenced], silences=(silence(),)), "alerts"))
    assert "silenced by #18, which has ended" in text_of(ask(view(alerts=[silenced]), "alerts"))


UNLIKE = {
    "top": ("top foo", "/alertbot metrics WORD finds keys."),
    "alerts": ("alerts foo", "/alertbot alerts lists all open alerts."),
    "a subcommand": ("export", "There are: help, status, alerts,"),
}


@pytest.mark.parametrize(("text", "hint"), UNLIKE.values(), ids=UNLIKE)
def test_nothing_is_proposed_for_a_word_that_nothing_is_like(text: str, hint: str) -> None:
    """`foo` is nearly the `for` of a title or a label, and `export` has half of the letters of `alerts`."""
    assert text_of(ask(view(), text)).splitlines()[1].startswith(hint)


def test_a_key_is_typed_in_its_own_words() -> None:
    """As 8x8 spells it, timeOnStatus: `time` alone may mean several."""
    assert text_of(ask(view(), "top time on status 3")).startswith("Time in this status: the highest of 3 agents")


def test_what_waits_for_its_turn_is_no_trouble() -> None:
    """Each edit waits for a moment: marked, it would be on every Home tab that is shown after a button."""
    assert text_of(ask(view(waiting=1), "status")).splitlines()[-1] == "To be delivered: 1 message or edit waits."


@pytest.mark.parametrize(("window", "said"), [("1d", False), ("7d", True)], ids=["kept", "kept in part"])
def test_history_says_what_is_no_longer_kept(window: str, said: bool) -> None:
    """Otherwise it counts the alerts of one day and says seven."""
    shown = text_of(ask(view(history_kept=timedelta(days=1)), f"history {window}")).splitlines()
    assert shown[0] == f"No alert ended in the last {window}."
    assert shown[1:] == (["Ended alerts are kept for 1d: history in alertbot.yaml."] if said else [])


def test_status_names_what_is_held_back() -> None:
    """In which channel, how much, until when, and what it is about."""
    held = HeldBack("#cc-sales", 2, ("Sales EU", "Support"), NOW + timedelta(seconds=61), 20)
    said = text_of(ask(view(waiting=2, held_back=(held,)), "status")).splitlines()
    assert said[-2:] == [
        "[warning] To be delivered: 2 messages and edits wait.",
        "[warning] #cc-sales: 2 messages are held back until 09:02 UTC (limit 20 per minute): Sales EU and Support.",
    ]


def test_what_changes_is_refused_by_its_row() -> None:
    """A subcommand that wishes for a change says so in its row: the row is what permissions go by."""
    known = view(alerts=[alert()], silences=(silence(18),))
    about = {"silence": "18 1h", "unsilence": "18"}
    wishing = {row.name for row in COMMANDS if ask(known, f"{row.name} {about.get(row.name, '17')}").wish is not None}
    assert (
        wishing
        == {row.name for row in COMMANDS if row.changes}
        == {*("ack", "unack", "resolve", "silence", "unsilence")}
    )


def test_each_button_of_a_card_is_in_a_row() -> None:
    """The action ids of cards, new and old, are those that COMMANDS answers."""
    assert set(BUTTONS) == {ACKNOWLEDGE, GIVE_BACK, SILENCE, WHY} == {"acknowledge", "give_back", "silence", "why"}


WISHES = {
    "ack": ("ack 17", Acknowledge(17)),
    "with #": ("ack #17", Acknowledge(17)),
    "with a note": ("ack #17 on it, Bob", Acknowledge(17, "on it, Bob")),
    "with a comma": ("ack 17, on it", Acknowledge(17, "on it")),
    "one that the view does not know": ("ack 99", Acknowledge(99)),  # the store knows those that are over
    "unack": ("unack #17", Unacknowledge(17)),
    "resolve": ("resolve #17", Resolve(17)),
    "resolve with a reason": ("resolve 17, a call is stuck", Resolve(17, "a call is stuck")),
    "resolve a pending one": ("resolve 18", Resolve(18)),
}


@pytest.mark.parametrize(("text", "wish"), WISHES.values(), ids=WISHES)
def test_a_change_is_a_wish(text: str, wish: object) -> None:
    """What is to be changed is data in the Reply; nothing is changed here."""
    reply = ask(view(alerts=[alert(), alert(18, state=State.PENDING)]), text)
    assert (reply.wish, reply.parts, reply.problem) == (wish, (), False)


def test_an_alert_about_the_data_is_not_closed_by_hand() -> None:
    """While there is no data, missing figures are no evidence: closing it would not bring the data back."""
    data = alert()
    data = replace(data, key=data.key._replace(scope=Scope.FEED))
    reply = ask(view(alerts=[data]), "resolve 17 enough")
    assert (reply.wish, reply.problem) == (None, True)
    assert "#17 is about the data from 8x8 itself: it cannot be closed by hand." in text_of(reply)
    assert "500 characters" in text_of(ask(view(alerts=[alert()]), "resolve 17 " + "x" * 501))


@pytest.mark.parametrize("text", ["ack 17", "unack 17", "resolve 17", "ack"])
def test_who_may_not_change_gets_an_explanation(text: str) -> None:
    """Without permission to change anything the answer says why, and wishes for nothing."""
    reply = ask(view(alerts=[alert()]), text, Asker("U9", may_change=False))
    assert reply.wish is None
    assert reply.problem
    assert "slack.may_change" in text_of(reply)


def test_parse_and_answer_agree_on_names() -> None:
    """Case is ignored in the names of subcommands."""
    assert answer(view(), parse("STATUS"), ANNA, NOW) == ask(view(), "status")


def test_the_age_is_that_of_the_entitys_own_scope() -> None:
    """Scopes are polled apart: a queue's age is that of the queue snapshot."""
    old_agents = replace(AGENTS, at=NOW - timedelta(seconds=90))
    assert "As of 1m 30s ago." in text_of(ask(view(tenant("acme", QUEUES, old_agents)), "agent Anna"))
    assert Presence.PRESENT in {QUEUES.reading("slaPercentage.int-30m", 0)[1]}
