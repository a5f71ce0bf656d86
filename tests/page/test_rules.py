"""The pages of rules: what runs, what each matches now, what it decided, and addresses that name nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from alertbot.evaluation.snapshot import Column, Presence
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.expression import Compare, Key, Literal, Op
from alertbot.rules.match import Match
from alertbot.rules.rule import RuleSet
from tests.commands.kit import AGENTS, LONGEST_WAIT, QUEUES, RULES, WAIT, alert, column, snapshot
from tests.page.kit import Site, settings, site
from tests.page.test_now import cells

PLAIN = replace(LONGEST_WAIT, guard=None, guard_text="", id="plain-wait", title="Wait, without a guard", match=Match())


@pytest.fixture
def ruled(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, alerts=[alert(), alert(rule=PLAIN)], rules=RuleSet((*RULES.rules, PLAIN), "1f0c")) as made:
        yield made


def test_all_rules_with_what_they_match(ruled: Site) -> None:
    """Those with open alerts first; the match of a rule counts, and its exclusions."""
    text = ruled.get("/rules").text
    assert cells(text) == [
        ["Longest wait in queue longest-wait", "queue", "critical or warning", "2", "1"],
        ["Wait, without a guard plain-wait", "queue", "critical or warning", "3", "1"],
        ["On break too long on-break", "agent", "warning", "3", "0"],
        ["Too many on break group-break", "group", "warning", "1", "0"],
    ]
    assert '<a href="/rules/longest-wait">' in text
    assert "4 rules, version 1f0c, not live yet." in text


def test_what_is_ignored_is_not_matched(tmp_path: Path) -> None:
    chosen = settings(ignore={"queue": {"name": ["Sales US"]}})
    with site(tmp_path, chosen=chosen) as made:
        assert next(row[3] for row in cells(made.get("/rules").text) if "longest-wait" in row[0]) == "1"
        assert [row[0] for row in cells(made.get("/rules/longest-wait").text)] == ["Sales EU"]


def test_a_rule_and_what_it_decided(ruled: Site) -> None:
    """What it says, as `rules ID` has it, then each entity: those with alerts, then true, unknown and false."""
    text = ruled.get("/rules/plain-wait").text
    assert "<h1>Wait, without a guard (plain-wait)</h1>" in text
    assert f"critical when {WAIT} &gt; $crit" in text
    assert "It matches 3 queues now." in text
    rows = cells(text)
    assert [row[:2] for row in rows] == [
        ["Sales EU", "critical: true, warning: true"],
        ["Support", "critical: unknown, warning: unknown"],
        ["Sales US", "critical: false, warning: false"],
    ]
    assert rows[0][2].startswith("#2 critical: Wait, without a guard")
    assert rows[1][2] == ""
    assert '<a href="/why/plain-wait/105?tenant=acme">why<span class="hidden"> Support</span></a>' in text


def test_a_guard_that_lets_nothing_be_decided(ruled: Site) -> None:
    rows = cells(ruled.get("/rules/longest-wait").text)
    assert {row[1] for row in rows} == {"guard: unknown, so nothing is decided"}


def test_the_entities_of_a_rule_can_be_searched(ruled: Site) -> None:
    assert [row[0] for row in cells(ruled.get("/rules/plain-wait?name=supp").text)] == ["Support"]
    text = ruled.get("/rules/plain-wait?name=nope").text
    assert cells(text) == []
    assert "Nothing that the rule matches has this in its name." in text


def test_old_values_are_marked(tmp_path: Path) -> None:
    old = replace(QUEUES, at=QUEUES.at - timedelta(minutes=10))
    with site(tmp_path, snapshots=[old]) as made:
        assert "STALE: the last poll is too old." in made.get("/rules/longest-wait").text
        assert "STALE: Based on values from 10m 12s ago" in made.get("/why/longest-wait/103").text


def test_one_decision_term_by_term(ruled: Site) -> None:
    """As `why` has it; by the ids of its address, or by a name that one entity has."""
    text = unescape(ruled.get("/why/plain-wait/103?tenant=acme").text)
    assert "<h1>Wait, without a guard (plain-wait): Sales EU, id 103</h1>" in text
    assert "critical: true" in text
    assert f"{WAIT} is 2m 41s" in text
    assert '<a href="/queue/103?tenant=acme">Live figures</a>' in text
    assert "<h1>Wait, without a guard (plain-wait): Support, id 105</h1>" in ruled.get("/why/plain-wait/support").text


def test_an_entity_that_is_no_longer_polled(ruled: Site, tmp_path: Path) -> None:
    """Its alert is open: the page says that nothing is known of it."""
    gone = alert(entity=("999", "Gone"))
    with site(tmp_path / "..", alerts=[gone]) as made:
        text = made.get("/why/longest-wait/999?tenant=acme").text
    assert "It was not in the last poll" in text


def test_several_that_are_meant_are_listed(ruled: Site) -> None:
    answer = ruled.get("/why/plain-wait/sales")
    assert answer.status_code == 404
    assert '<a href="/why/plain-wait/103?tenant=acme">Sales EU</a>' in answer.text
    assert '<a href="/why/plain-wait/104?tenant=acme">Sales US</a>' in answer.text


NOTHING = {
    "/rules/longest-wiat": ("There is no rule “longest-wiat”.", '<a href="/rules/longest-wait">'),
    "/rules/LONGEST-WAIT": ("There is no rule “LONGEST-WAIT”.", '<a href="/rules/longest-wait">'),
    "/rules/qqqq": ("There is no rule “qqqq”.", None),
    "/rules/%3Cb%3E": ("There is no rule “<b>”.", None),
    "/why/longest-wiat/103": ("There is no rule “longest-wiat”.", '<a href="/rules/longest-wait">'),
    "/why/longest-wait/Suport": ("No queue is called “Suport”.", '<a href="/why/longest-wait/105?tenant=acme">Support'),
    "/why/longest-wait/qqqq": ("No queue is called “qqqq”.", None),
    "/why/longest-wait/a%2Fb%2F..": ("No queue is called “a/b/..”.", None),
}


@pytest.mark.parametrize(("path", "said"), NOTHING.items(), ids=NOTHING)
def test_an_address_that_names_nothing(ruled: Site, path: str, said: tuple[str, str | None]) -> None:
    """404 with the nearest names as links."""
    answer = ruled.get(path)
    assert answer.status_code == 404
    assert said[0] in unescape(answer.text)
    assert ("Did you mean" in answer.text) == (said[1] is not None)
    if said[1] is not None:
        assert said[1] in answer.text


def test_before_the_first_poll(tmp_path: Path) -> None:
    """No entity is known: the pages say so."""
    with site(tmp_path, snapshots=[]) as made:
        assert {row[3] for row in cells(made.get("/rules").text)} == {"not known yet"}
        assert "It matches 0 queues now." in made.get("/rules/longest-wait").text
        answer = made.get("/why/longest-wait/103")
        assert answer.status_code == 404
        assert "No queue has been seen yet." in answer.text


def test_no_rules(tmp_path: Path) -> None:
    with site(tmp_path, rules=RuleSet((), "1")) as made:
        text = made.get("/rules").text
        assert "0 rules" in text
        assert "<table" not in text


def test_ten_thousand_agents_are_in_sheets(tmp_path: Path) -> None:
    """Every entity of a sheet is there once; the page has a bounded size."""
    present = np.full(10_000, Presence.PRESENT, dtype=np.uint8)
    names = {str(number): f"Agent {number:05}" for number in range(10_000)}
    status = Column(
        np.array(["OnBreak" if number < 250 else "Busy" for number in range(10_000)], dtype=object), present
    )
    when = Compare(Op.EQ, Key("status.rt", ValueType.TEXT), Literal("OnBreak", ValueType.TEXT))
    rule = replace(
        RULES.rules[1], levels=(replace(RULES.rules[1].levels[0], when=when, text='status.rt == "OnBreak"'),)
    )
    polled = snapshot(Scope.AGENT, names, {"status.rt": status})
    with site(tmp_path, snapshots=[polled], rules=RuleSet((rule,), "1")) as made:
        answer = made.get("/rules/on-break")
        assert "It matches 10,000 agents now." in answer.text
        assert "1 to 100 of 10,000" in answer.text
        assert len(answer.content) < 100_000
        third = cells(made.get("/rules/on-break?sheet=3").text)
        assert [row[1] for row in third].count("warning: true") == 50
        assert third[0][0] == "Agent 00200"


def test_agents_of_queues_have_a_decision_for_each_queue(tmp_path: Path) -> None:
    """The same agent in two queues: two decisions, with an address each."""
    polled = snapshot(
        Scope.QUEUE_AGENT,
        {"a1": "Anna Smith", "a2": "Bo Li"},
        {WAIT: column(161_000.0, 1.0)},
        parent_ids=("103", "104"),
        parent_names=("Sales EU", "Sales US"),
    )
    twice = replace(polled, ids=("a1", "a1"), names=("Anna Smith", "Anna Smith"))
    rule = replace(PLAIN, id="in-queue", scope=Scope.QUEUE_AGENT)
    with site(tmp_path, snapshots=[twice, AGENTS], rules=RuleSet((rule,), "1")) as made:
        text = made.get("/rules/in-queue").text
        assert [row[0] for row in cells(text)] == ["Anna Smith (Sales EU)", "Anna Smith (Sales US)"]
        assert "/why/in-queue/a1?tenant=acme&amp;parent=104" in text
        assert "critical: false" in made.get("/why/in-queue/a1?tenant=acme&parent=104").text
        assert made.get("/why/in-queue/a1").status_code == 404


def test_an_id_with_a_slash_has_its_pages(tmp_path: Path) -> None:
    """In an address it is %2F, which servers and proxies decode before the path is matched."""
    odd = replace(QUEUES, ids=("a/b ä?#", "104", "105"))
    opened = alert(entity=("a/b ä?#", "Sales EU"))
    with site(tmp_path, alerts=[opened], snapshots=[odd]) as made:
        links = [unescape(link) for link in re.findall(r'href="(/(?:queue|why)/[^"]+)"', made.get("/").text)]
        assert len(links) == 2
        for link in links:
            answer = made.get(link)
            assert answer.status_code == 200, link
            assert "Sales EU" in answer.text
