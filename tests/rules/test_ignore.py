"""`ignore` of alertbot.yaml: what no rule evaluates, and which agents are not counted."""

from __future__ import annotations

import pytest

from alertbot.config.load import parse
from alertbot.errors import ConfigError
from alertbot.evaluation.evaluate import Truth, evaluate
from alertbot.evaluation.explain import explain
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.ignore import ignoring
from alertbot.rules.match import Match
from alertbot.rules.rule import Level, Rule, RuleSet
from alertbot.rules.tree import Compare, Count, Literal, Op
from tests.alerts.kit import NOW, STATUS, WAIT, compare, level, poll, rule, snapshot

CONFIG = """
tenants:
  - {name: acme, region: eu, api_key: a, api_secret: b, ignore: {queue: {id: 7}, agent: {name: "Robot*"}}}
  - {name: beta, region: eu, api_key: a, api_secret: b}
slack: {bot_token: x, default_channel: "#cc-alerts"}
ignore: {queue: {name: ["*test*"]}, agent: {name: [Training*], id: [a9]}}
"""


def test_the_ignore_of_a_tenant_adds_to_the_general_one() -> None:
    settings = parse(CONFIG, "alertbot.yaml", {})
    acme, beta = (settings.ignored(tenant) for tenant in settings.tenants)
    assert acme[Scope.QUEUE] == Match(exclude_names=("*test*",), exclude_ids=("7",))
    assert acme[Scope.AGENT] == Match(exclude_names=("Training*", "Robot*"), exclude_ids=("a9",))
    assert beta[Scope.QUEUE] == Match(exclude_names=("*test*",))
    assert beta[Scope.GROUP] == Match()


WRONG = {
    "a scope": ("ignore: {queues: {name: x}}", 'ignore.queues: unknown key (did you mean "queue"?)'),
    "a key": ("ignore: {queue: {nmae: x}}", 'ignore.queue.nmae: unknown key (did you mean "name"?)'),
    "a list of scopes": ("ignore: [queue]", "ignore: expected keys"),
    "an empty name": ("ignore: {queue: {name: ['']}}", "ignore.queue.name[0]: "),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_ignore_is_reported_at_its_key(text: str, said: str) -> None:
    start = CONFIG[: CONFIG.index("ignore: {queue: {name")]
    with pytest.raises(ConfigError) as caught:
        parse(start + text + "\n", "alertbot.yaml", {})
    assert said in str(caught.value)


IGNORE = {Scope.QUEUE: Match(exclude_names=("*test*",)), Scope.AGENT: Match(exclude_names=("Training*",))}


def covered(subject: Rule, scope: Scope, names: list[str]) -> list[str]:
    (changed,) = ignoring(RuleSet((subject,)), IGNORE).rules
    seen = snapshot({WAIT: [1] * len(names)}, names=names, scope=scope)
    return [names[row] for row in evaluate(changed, seen).rows]


@pytest.mark.parametrize(
    ("scope", "match", "expected"),
    [
        pytest.param(Scope.QUEUE, Match(), ["Sales", "Training 1"], id="queues"),
        pytest.param(Scope.QUEUE, Match(names=("*test*", "Sales")), ["Sales"], id="whatever a match says"),
        pytest.param(Scope.QUEUE, Match(exclude_names=("Sales",)), ["Training 1"], id="beside what a match excludes"),
        pytest.param(Scope.GROUP, Match(), ["Sales", "A TEST", "Training 1"], id="another scope"),
        pytest.param(Scope.AGENT, Match(), ["Sales", "A TEST"], id="agents"),
        pytest.param(Scope.QUEUE_AGENT, Match(), ["Sales", "A TEST"], id="agents of queues"),
    ],
)
def test_what_rules_cover(scope: Scope, match: Match, expected: list[str]) -> None:
    assert covered(rule(scope=scope, match=match), scope, ["Sales", "A TEST", "Training 1"]) == expected


def test_ignored_agents_are_not_counted() -> None:
    """In columns and term by term."""
    agents = snapshot(
        {STATUS: ["OnBreak", "OnBreak", None]},
        names=["Anna", "Training 1", "Training 2"],
        scope=Scope.QUEUE_AGENT,
        parent_ids=("q1",) * 3,
        parent_names=("Queue 1",) * 3,
    )
    on_break = Count(compare(STATUS, "==", "OnBreak"), Scope.QUEUE_AGENT)
    one = rule(level(Level.WARNING, Compare(Op.EQ, on_break, Literal(1.0, ValueType.NUMBER))))
    (changed,) = ignoring(RuleSet((one,)), IGNORE).rules
    queues = snapshot({WAIT: [1]})
    assert evaluate(changed, queues, agents=agents).levels[Level.WARNING].tolist() == [Truth.TRUE]
    assert explain(changed, queues, 0, agents=agents).levels[Level.WARNING].truth is Truth.TRUE
    assert evaluate(one, queues, agents=agents).levels[Level.WARNING].tolist() == [Truth.FALSE]


def test_an_alert_of_what_is_now_ignored_ends() -> None:
    seen = snapshot({WAIT: [90_000.0]}, names=["A test"])
    (fired,) = poll([], [rule()], [seen], NOW)
    (ended,) = poll([fired.after], ignoring(RuleSet((rule(),)), IGNORE).rules, [seen], NOW)
    assert (ended.after.state, ended.why) == (
        "inactive",
        "the rule no longer covers it",
    )


def test_nothing_is_ignored_by_default() -> None:
    rules = RuleSet((rule(),))
    assert ignoring(rules, {}) is rules
    assert ignoring(rules, {Scope.QUEUE: Match()}) is rules


def test_a_match_under_defaults() -> None:
    """It is for the rules of its file without one; a rule's own replaces it."""
    text = (
        "defaults: {match: {name: Sales*, exclude: {name: '*test*'}}}\nrules:\n"
        "  - {id: a, scope: queue, when: interactionsWaitInQueue.rt > 3}\n"
        "  - {id: b, scope: queue, match: {id: 7}, when: interactionsWaitInQueue.rt > 4}\n"
    )
    rules = parse_files({"a.yaml": text})
    assert [each.match for each in rules.rules] == [
        Match(names=("Sales*",), exclude_names=("*test*",)),
        Match(ids=("7",)),
    ]
