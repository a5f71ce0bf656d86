"""`top`, `chart` and `history`, and the words that people type in place of a subcommand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from alertbot.alerts.alert import Alert, Reason, State
from alertbot.charts.series import Samples
from alertbot.commands.answers import COMMANDS, answer, history_since, recorded_of
from alertbot.commands.command import Drawing, Line
from alertbot.commands.meant import MEANT, meant
from alertbot.commands.parse import parse
from alertbot.commands.view import MAX_HISTORY, Recorded, View
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import Match
from alertbot.rules.rule import Level
from tests.commands.kit import (
    ANNA,
    NOW,
    ON_BREAK,
    QUEUES,
    WAIT,
    alert,
    ask,
    column,
    only,
    snapshot,
    tenant,
    text_of,
    view,
)

MINUTE = timedelta(minutes=1)


def ended(id: int, begin: float, lasted: float, **other: object) -> Alert:
    """An alert that began `begin` minutes ago."""
    fired = NOW - begin * MINUTE
    changed = {"fired_at": fired, "ended_at": fired + lasted * MINUTE, "end_reason": Reason.RESOLVED}
    return replace(alert(id, state=State.INACTIVE), **changed | {"peak": 250_000.0} | other)  # type: ignore[arg-type]


# top

TOPS = {
    "by its words": (
        "top longest wait",
        ["Longest wait: the highest of 3 queues", "Sales EU | 2m 41s", "Sales US | 0s"],
    ),
    "as 8x8 spells it": (f"top {WAIT}", ["Longest wait: the highest of 3 queues"]),
    "in another case": (f"top {WAIT.upper()}", ["Longest wait: the highest of 3 queues"]),
    "without its period": ("top interactionsLongestWaitInQueue", ["Longest wait: the highest of 3 queues"]),
    "in quotes": ("top “callers waiting” 1", ["Callers waiting: the highest of 3 queues", "Sales EU | 7"]),
    "its words without the period": ("top SERVICE LEVEL", ["Service level, last 30 min: the lowest of 3 queues"]),
    "a part that only one has": ("top callers", ["Callers waiting: the highest of 3 queues"]),
    "where low is bad": ("top service level", ["the lowest of 3 queues", "Sales EU | 82.3%", "Sales US | 100%"]),
    "of a scope": ("top time in this status agent", ["the highest of 3 agents", "Anna Smith | 25m"]),
    "missing values": ("top longest wait", ["1 queue has no value."]),
    "how old": ("top longest wait", ["As of 12s ago."]),
    "a key that the catalogue does not know": ("top zebraTime.today", ["Neither a high nor a low value"]),
}


@pytest.mark.parametrize(("text", "says"), TOPS.values(), ids=TOPS)
def test_top(text: str, says: list[str]) -> None:
    """The worst values first, with the names of those who have them."""
    reply = ask(view(), text)
    assert not reply.problem
    for each in says:
        assert each in text_of(reply)


def test_top_shows_as_many_as_asked() -> None:
    """5 unless another number is given; equal values in the order of names."""
    queues = snapshot(Scope.QUEUE, {str(i): f"Q{9 - i}" for i in range(9)}, {WAIT: column(*[60_000.0] * 8, 61_000.0)})
    rows = [line for line in text_of(ask(view(tenant("acme", queues)), "top longest wait")).splitlines() if "|" in line]
    assert rows == ["Queue | Now", "Q1 | 1m 1s", "Q2 | 1m", "Q3 | 1m", "Q4 | 1m", "Q5 | 1m"]
    rows = text_of(ask(view(tenant("acme", queues)), "top longest wait 2")).splitlines()
    assert rows[-2:] == ["Q1 | 1m 1s", "Q2 | 1m"]


def test_top_over_tenants_queues_of_agents_and_stale_values() -> None:
    """Tenants and parents are named; values that are old are marked."""
    pairs = snapshot(
        Scope.QUEUE_AGENT,
        {"a1": "Anna"},
        {"accepted.today": column(3.0)},
        parent_ids=("103",),
        parent_names=("Sales EU",),
        age=timedelta(minutes=9),
    )
    shown = text_of(ask(view(tenant("acme", pairs), tenant("beta")), "top accepted"))
    assert "Interactions answered, today: the lowest of 1 queue agent" in shown
    assert "acme/Anna (Sales EU) | 3" in shown
    assert "[critical] STALE: values are 9m old (of 08:51 UTC)." in shown


def test_top_leaves_out_what_is_ignored() -> None:
    """Entities that `ignore` of alertbot.yaml names are no part of the ranking, nor of its numbers."""
    ignoring = replace(tenant(), ignore={Scope.QUEUE: Match(exclude_names=("*eu",))})
    shown = text_of(ask(view(ignoring), "top longest wait"))
    assert "Longest wait: the highest of 2 queues" in shown
    assert "Sales EU" not in shown


TOP_REFUSALS = {
    "no key": ("top", ["Which metric? /alertbot top KEY [n]"]),
    "a typo": ("top interactionsLongestWaitInQueu.rt", [f"Did you mean {WAIT}"]),
    "a typo in words": ("top longest wiat", ["Did you mean", WAIT]),
    "no such metric": ("top xyzzy", ["No metric is called “xyzzy”.", "/alertbot metrics WORD finds keys."]),
    "not polled": ("top abandonedPercentage.today", ["is not polled: no rule reads it.", "record: {keys: all}"]),
    "several": ("top wait", ["“wait” may mean several metrics:", "• interactionsWaitInQueue.rt (callers waiting)"]),
    "text": ("top status", ["status.rt is text: its values cannot be ranked."]),
    "of a scope that has none": (
        "top timeOnStatus queue",
        ["The scope queue does not have timeOnStatus.rt: use agent."],
    ),
    "too many": ("top longest wait 21", ["The number of entities is 21: write 1 to 20."]),
    "none": ("top longest wait 0", ["The number of entities is 0: write 1 to 20."]),
}


@pytest.mark.parametrize(("text", "says"), TOP_REFUSALS.values(), ids=TOP_REFUSALS)
def test_top_of_what_cannot_be_ranked(text: str, says: list[str]) -> None:
    reply = ask(view(), text)
    assert reply.problem
    for each in says:
        assert each in text_of(reply)


def test_top_before_the_first_poll() -> None:
    """The reason of the last failed poll is the answer."""
    empty = replace(tenant(error="8x8 did not answer"), snapshots={})
    assert text_of(ask(view(empty), "top longest wait")) == "No values have been polled yet.\n8x8 did not answer"


# chart


def recorded(*values: float | None, every: float = 30) -> View:
    """A view with this recording, whose last sample is of now, and with alerts."""
    times = tuple(NOW - every * MINUTE * back for back in reversed(range(len(values))))
    wanted = Recorded("acme", Scope.QUEUE, WAIT, "103", "", NOW, Samples(times, values))
    return view(alerts=[alert(for_=20 * MINUTE)], history=(ended(3, 150, 30),), recorded=wanted)


RUSH = recorded(0.0, 30_000.0, 90_000.0, 150_000.0, 130_000.0, 20_000.0, 0.0, 0.0, 0.0, None, 40_000.0, 125_000.0)


def test_chart() -> None:
    """The plot fits a phone; below it the values that matter, and the alerts."""
    assert text_of(ask(RUSH, "chart longest wait Sales EU")).splitlines() == [
        "Longest wait: Sales EU, last 6h",
        "2m 30s |          ●",
        "    2m |─────────────●─────────────────●",
        "       |",
        "       |        ●",
        "    1m |────────────────────────────────",
        "       |                             ·",
        "       |     ·          ·",
        "    0s |  ·               ·  ·  ·",
        "       +------------------====--------==",
        "        03:00                  09:00 UTC",
        "─ warning above 1m",
        "─ critical above 2m",
        "= an alert was firing",
        "Last 2m 5s at 09:00, lowest 0s at 03:30, highest 2m 30s at 05:00.",
        "Alerts: critical from 06:30 until 07:00, critical from 08:40 until now.",
    ]


def test_the_chart_of_a_reply_is_data() -> None:
    """So that the shell can draw a picture instead of the plot."""
    drawing = ask(RUSH, "chart longest wait Sales EU 3h").drawing
    assert isinstance(drawing, Drawing)
    assert (drawing.series.name, drawing.series.label, drawing.timezone) == ("Sales EU", "Longest wait", "UTC")
    assert drawing.series.begin == NOW - timedelta(hours=3)
    assert [limit.value for limit in drawing.series.limits] == [60_000.0, 120_000.0]
    assert ask(RUSH, "top longest wait").drawing is None


ASKED = {
    "words and a part of the name": ("chart longest wait eu", "103", 6),
    "quotes": ("chart 'longest wait' “Sales EU” 2h", "103", 2),
    "the key as 8x8 spells it, and the id": (f"chart {WAIT} 103 30m", "103", 0.5),
    "the tenant before the name": ("chart longest wait acme/support", "105", 6),
    "a sentence": ("chart longest wait in Support 2h", "105", 2),
    "days": ("chart longest wait Support 2d", "105", 48),
    "a name alone is all of a scope": ("chart onBreak", "1", 6),
}


@pytest.mark.parametrize(("text", "entity", "hours"), ASKED.values(), ids=ASKED)
def test_what_a_chart_reads(text: str, entity: str, hours: float) -> None:
    """One metric of one entity, for as long as asked."""
    command = parse(text)
    wanted = recorded_of(only(view(), command), command, NOW)
    assert wanted is not None
    assert (wanted.entity_id, wanted.since) == (entity, NOW - timedelta(hours=hours))
    assert history_since(command, NOW) == wanted.since


CHART_REFUSALS = {
    "nothing": ("chart", ["Which metric, of which entity? /alertbot chart KEY NAME [window]", "For example:"]),
    "no name": ("chart longest wait", ["Longest wait of which entity?", "3 names: Sales EU, Sales US, Support"]),
    "several": ("chart longest wait sales", ["“sales” matches 2:", "• Sales EU", "• Sales US"]),
    "a typo in the name": ("chart longest wait Suport", ["Did you mean Support?"]),
    "a typo in the key": (f"chart {WAIT.replace('Wait', 'Wiat')} Support", [f"Did you mean {WAIT}"]),
    "no such name": ("chart longest wait zzz", ["No entity with Longest wait is called “zzz”.", "3 entities have"]),
    "text": ("chart status.rt Anna", ["status.rt cannot be drawn: its values are text."]),
    "times": ("chart lastLogin Anna", ["lastLogin.rt cannot be drawn: its values are times."]),
    "too long": ("chart longest wait Support 9d", ["9d is not a valid window: write 8d or less."]),
    "nothing recorded": (
        "chart longest wait Support 1h",
        ["No value of Longest wait was recorded for Support in the last 1h.", "Try a longer window: add 1d."],
    ),
}


@pytest.mark.parametrize(("text", "says"), CHART_REFUSALS.values(), ids=CHART_REFUSALS)
def test_a_chart_of_what_cannot_be_drawn(text: str, says: list[str]) -> None:
    reply = ask(view(), text)
    assert reply.problem
    assert reply.drawing is None
    for each in says:
        assert each in text_of(reply)


def test_an_agent_of_several_queues() -> None:
    """Each pair is offered in the form in which it can be asked for."""
    pairs = snapshot(
        Scope.QUEUE_AGENT,
        {"a1": "Anna", "a2": "Bob"},
        {"accepted.today": column(3.0, 4.0)},
    )
    pairs = replace(
        pairs, ids=("a1", "a1"), names=("Anna", "Anna"), parent_ids=("1", "2"), parent_names=("Sales", "VIP")
    )
    both = view(tenant("acme", pairs))
    assert "• Anna (Sales)\n• Anna (VIP)" in text_of(ask(both, "chart accepted anna"))
    command = parse("chart accepted anna (vip)")
    wanted = recorded_of(only(both, command), command, NOW)
    assert wanted is not None
    assert (wanted.entity_id, wanted.parent_id) == ("a1", "2")


def test_values_that_are_old_are_marked() -> None:
    old = replace(RUSH, tenants=(tenant("acme", replace(QUEUES, at=NOW - 9 * MINUTE)),))
    assert "[critical] STALE: the last values are from 08:51 UTC (9m)." in text_of(ask(old, "chart longest wait eu"))


# history

PAST = (
    ended(3, 30, 19, acked_by="U034BOB"),
    replace(ended(2, 300, 12), highest=Level.WARNING),
    replace(
        ended(1, 600, 30, end_reason=Reason.NO_LONGER_REPORTED),
        key=alert().key._replace(rule=ON_BREAK.id, scope=Scope.AGENT, entity_id="a1"),
        entity_name="Anna Smith",
        about=replace(alert().about, title=ON_BREAK.title),
    ),
    ended(9, 2000, 30),
)


def test_history() -> None:
    """When, how long, the worst value, and who had it; the last one first."""
    assert text_of(ask(view(history=PAST), "history")).splitlines() == [
        "3 alerts ended in the last 1d: 2 critical, 1 warning.",
        "#3 critical: Sales EU · Longest wait in queue · 08:30 to 08:49 UTC (19m) · worst 4m 10s"
        " · acknowledged by U034BOB",
        "#2 warning: Sales EU · Longest wait in queue · 04:00 to 04:12 UTC (12m) · worst 4m 10s · not acknowledged",
        "#1 critical: Anna Smith · On break too long · 2026-03-01 23:00 to 23:30 UTC (30m) · worst 4m 10s"
        " · ended: no longer reported by 8x8 · not acknowledged",
    ]


HISTORIES = {
    "a window": ("history 1h", "1 alert ended in the last 1h: 1 critical."),
    "a longer one": ("history 2d", "4 alerts ended in the last 2d: 3 critical, 1 warning."),
    "a name": ("history anna", "1 alert for “anna” ended in the last 1d: 1 critical."),
    "a name with a space": ("history Sales EU", "2 alerts for “Sales EU” ended in the last 1d: 1 critical, 1 warning."),
    "smart quotes and a window": ("history “sales eu” 1h", "1 alert for “sales eu” ended in the last 1h: 1 critical."),
    "a rule": ("history on-break", "1 alert for “on-break” ended in the last 1d: 1 critical."),
    "an id": ("history #2", "1 alert for “#2” ended in the last 1d: 1 warning."),
    "without any": ("history Support", "No alert for “Support” ended in the last 1d."),
}


@pytest.mark.parametrize(("text", "says"), HISTORIES.values(), ids=HISTORIES)
def test_histories(text: str, says: str) -> None:
    """By rule or name, for as long as asked."""
    reply = ask(view(history=PAST), text)
    assert not reply.problem
    assert text_of(reply).splitlines()[0] == says


def test_history_refuses_what_it_does_not_know() -> None:
    """A name that nothing has, with the nearest; a window without an end."""
    reply = ask(view(history=PAST), "history Suport")
    assert reply.problem
    assert text_of(reply) == "No rule, queue, group or agent is called “Suport”.\nDid you mean Support?"
    assert "write 366d or less" in text_of(ask(view(), "history 900d"))


def test_history_leaves_out_what_never_fired_or_was_in_shadow() -> None:
    shadow = replace(ended(4, 30, 5), about=replace(alert().about, shadow=True))
    pending = replace(ended(5, 30, 5), fired_at=None)
    assert text_of(ask(view(history=(shadow, pending)), "history")) == "No alert ended in the last 1d."


def test_a_long_history_is_cut() -> None:
    """15 lines, then how many more; and that not all were searched, where that is so."""
    many = tuple(ended(number, 30, 5) for number in range(1, MAX_HISTORY + 1))
    lines = text_of(ask(view(history=many), "history")).splitlines()
    assert len(lines) == 18
    assert lines[16] == f"and {MAX_HISTORY - 15:,} more; /alertbot history RULE or NAME narrows it down"
    assert lines[17] == "Only the 2,000 most recently ended alerts were searched."


# What people type


@pytest.mark.parametrize(
    ("typed", "meant_by_it"),
    [
        ("queues", "queue NAME"),
        ("alert", "alerts [rule or name] [label.NAME=VALUE]"),
        ("graph", "chart KEY NAME [window]"),
        ("worst", "top KEY [n]"),
        ("acknowledge", "ack ID [note]"),
        ("release", "unack ID"),
        ("past", "history [rule or name] [window]"),
        ("team", "group NAME"),
    ],
)
def test_verbs_that_people_type_are_answered_with_the_right_command(typed: str, meant_by_it: str) -> None:
    """And never carried out: `acknowledge 17` changes nothing."""
    reply = ask(view(alerts=[alert()]), f"{typed} 17")
    assert reply.problem
    assert reply.wish is None
    assert f"Did you mean /alertbot {meant_by_it}?" in text_of(reply)
    assert meant_by_it in text_of(ask(view(), f"help {typed}"))


@pytest.mark.parametrize("typed", ["mute", "snooze", "suppress"])
def test_a_subcommand_that_is_meant_is_proposed_where_it_exists(typed: str) -> None:
    assert meant(typed, {"silence", "status"}) == "silence"
    assert meant(typed, {"status"}) is None


def test_no_subcommand_is_taken_for_another() -> None:
    assert not {row.name for row in COMMANDS} & set(MEANT)


def test_nothing_of_an_answer_is_wider_than_a_phone() -> None:
    """Monospaced lines of a chart have at most 40 columns; a name, however long, stands in lines that wrap."""
    name = "A queue with quite a long name for a phone"
    queues = snapshot(Scope.QUEUE, {"103": name}, {WAIT: column(1.0)})
    wide = replace(RUSH, tenants=(tenant("acme", queues),))
    reply = answer(only(wide, parse("chart longest wait a queue")), parse("chart longest wait a queue"), ANNA, NOW)
    assert reply.drawing is not None
    assert max(map(len, reply.drawing.lines)) <= 40
    assert isinstance(reply.parts[0], Line)


def test_a_name_without_its_period_is_not_the_longer_name_of_another_metric() -> None:
    """`abandon rate` is that of the shortest period, not one of the three whose names begin so."""
    keys = ("abandonedPercentage.today", "abandonedPercentage.int-15m", "shortAbandonedPercentage.today")
    queues = snapshot(Scope.QUEUE, {"103": "Sales EU"}, {key: column(0.1) for key in keys})
    several = view(tenant("acme", queues))
    assert "Abandon rate, last 15 min: the highest" in text_of(ask(several, "top abandon rate"))
    assert "Abandon rate, today: the highest" in text_of(ask(several, "top abandon rate today"))
    assert "Abandon rate within 5 s, today" in text_of(ask(several, "top abandon rate within 5 s"))
