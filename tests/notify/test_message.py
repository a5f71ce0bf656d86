"""The rule's own sentence on the card (`message`), and the figures that it wants shown (`show`)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from alertbot.alerts.advance import advance
from alertbot.alerts.alert import Alert, State
from alertbot.backtest.sample import sample_alert
from alertbot.evaluation.evaluate import evaluate_all
from alertbot.evaluation.snapshot import Snapshot
from alertbot.notify.pens import PlainPen
from alertbot.notify.render import Templates
from alertbot.rulefiles.parse_rules import parse_files, read_files
from alertbot.rules.catalogue import Scope
from alertbot.service.live_rules import check_templates
from alertbot.slack.cards import card_message
from alertbot.slack.text import FallbackPen, MrkdwnPen
from tests.alerts.kit import snapshot
from tests.notify.cases import NOW, card

WAITING, ELIGIBLE, ENABLED = "interactionsWaitInQueue.rt", "eligible.rt", "enabled.rt"
RULE = """rules:
  - id: crowd
    title: Callers waiting
    scope: queue
    message: "{{ value }} callers waiting, {{ metric('eligible.rt') }} of {{ metric('enabled.rt') }} agents can help"
    show: [interactionsLongestWaitInQueue.rt]
    when: interactionsWaitInQueue.rt > 1
"""


def seen(**values: list[float | None]) -> Snapshot:
    names = {"waiting": WAITING, "eligible": ELIGIBLE, "enabled": ENABLED, "wait": "interactionsLongestWaitInQueue.rt"}
    return replace(
        snapshot({names[name]: numbers for name, numbers in values.items()}), ids=("103",), names=("Support Tier 2",)
    )


def fired(text: str = RULE, **values: list[float | None]) -> Alert:
    rules = parse_files({"rules.yaml": text})
    verdicts = evaluate_all(rules, {Scope.QUEUE: seen(**values)})
    (change,) = advance([], verdicts, rules, NOW, tenant="acme")
    return change.after


def test_the_sentence_and_the_figures_of_the_poll() -> None:
    """The values are those of the poll that decided: they are kept with the alert, and the card is drawn from them."""
    alert = fired(waiting=[2], eligible=[0], enabled=[12], wait=[95_000])
    drawn = Templates().card(card(replace(alert, id=17)), PlainPen())
    assert drawn.fault is None
    assert drawn.body[0] == "Support Tier 2: 2 callers waiting, 0 of 12 agents can help"
    assert drawn.summary.startswith("Warning: Support Tier 2: 2 callers waiting, 0 of 12 agents can help. Since ")
    assert ("Now", "longest wait 1m 35s") in drawn.fields


def test_the_figures_follow_each_poll() -> None:
    """A poll in which only a shown figure changed changes the alert, without a reason: it can wait for `refresh`."""
    rules = parse_files({"rules.yaml": RULE})
    alert = fired(waiting=[2], eligible=[0], enabled=[12], wait=[95_000])
    later = evaluate_all(rules, {Scope.QUEUE: seen(waiting=[2], eligible=[1], enabled=[12], wait=[95_000])})
    (change,) = advance([alert], later, rules, NOW + timedelta(seconds=15), tenant="acme")
    assert (change.moved, change.reason) == (False, None)
    assert change.after.shown[ELIGIBLE] == 1.0
    same = advance([change.after], later, rules, NOW + timedelta(seconds=30), tenant="acme")
    assert same == []


def test_what_is_fetched_for_it() -> None:
    """The keys of `message` and `show` are fetched like those of conditions."""
    rules = parse_files({"rules.yaml": RULE})
    assert rules.metrics()[Scope.QUEUE] == {WAITING, ELIGIBLE, ENABLED, "interactionsLongestWaitInQueue.rt"}


@pytest.mark.parametrize("state", [State.RECOVERING, State.INACTIVE])
def test_only_while_it_fires(state: State) -> None:
    """Recovering and resolved cards keep the built-in sentence."""
    alert = replace(fired(waiting=[2], eligible=[0], enabled=[12]), state=state, recovering_since=NOW, ended_at=NOW)
    assert "agents can help" not in " ".join(Templates().card(card(alert), PlainPen()).body)


def test_missing_values_are_named() -> None:
    """A value that the poll did not have is `no data`."""
    alert = fired(waiting=[2], eligible=[None])
    assert "no data of no data agents" in Templates().card(card(alert), PlainPen()).body[0]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("*{{ entity }}* <!channel> & {{ value }}", "*Support &lt;!here&gt;* &lt;!channel&gt; &amp; 2"),
        ("<@U0ALICE00> :tada: `x`\\n> y", "&lt;@U0ALICE00&gt; :tada: `x` &gt; y"),
    ],
    ids=["the author's own and the data", "mention, emoji, code, quote"],
)
def test_all_of_it_is_escaped(message: str, shown: str) -> None:
    """The author's words too: what is in a rule file mentions nobody and formats nothing."""
    text = RULE.splitlines(True)
    text[4] = f'    message: "{message}"\n'
    alert = replace(fired("".join(text), waiting=[2]), entity_name="Support <!here>")
    drawn = Templates().card(card(alert), MrkdwnPen(), FallbackPen())
    assert drawn.fault is None
    body = card_message(drawn).blocks[1]["text"]["text"].replace("\u200b", "")
    assert shown in body


BAD = {
    "a key of another scope": ("{{ metric('status.rt') }}", "5:26", 'unknown key "status.rt" for scope queue'),
    "a misspelt key": ("{{ metric('eligibel.rt') }}", "5:26", 'did you mean "eligible.rt"?'),
    "a key that is a value": ("{{ metric(value) }}", "5:14", "write the key itself, in quotes"),
    "an unknown name": ("{{ card.where }}", "5:14", "'card' is undefined"),
    "an unknown field": ("{{ value.seconds }}", "5:14", "has no attribute 'seconds'"),
    "syntax": ("{{ value", "5:14", "unexpected end of template"),
    "the wrong type": ("{{ value + 'x' }}", "5:14", "TypeError"),
    "a number that may be missing": ("{{ metric('eligible.rt') + 1 }}", "5:14", "TypeError"),
    "a power": ("{{ 9**(9**9) }}", "5:14", "a number of more than 1024 bits"),
    "a loop": (
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        "5:14",
        "use shorter or fewer loops",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_check_refuses_it_at_its_place(name: str) -> None:
    """Each fault is reported at the rule's file, line and column."""
    message, place, said = BAD[name]
    text = RULE.splitlines(True)
    text[4] = f'    message: "{message}"\n'
    parsed = read_files({"rules.yaml": "".join(text)})
    faults = [*parsed.faults, *check_templates(parsed.rules.rules, Templates())]
    assert len(faults) == 1
    assert str(faults[0]).startswith(f"rules.yaml:{place}: rule crowd: ")
    assert said in str(faults[0])


def test_a_key_of_another_scope_in_show() -> None:
    """As for `message`: the place is that of the key."""
    parsed = read_files(
        {"rules.yaml": RULE.replace("[interactionsLongestWaitInQueue.rt]", "[entered.today, status.rt]")}
    )
    assert [str(fault) for fault in parsed.faults] == [
        'rules.yaml:6:27: rule crowd: unknown key "status.rt" for scope queue '
        "(agent, queue_agent and group_agent have it, queue does not)"
    ]


def test_at_night_the_built_in_sentence_is_used() -> None:
    """A message that fails for one queue does not hold up its alert."""
    about = "{% if entity == 'A late queue' %}{{ 1 / 0 }}{% endif %}fine"
    (rule,) = parse_files({"rules.yaml": RULE.replace(RULE.splitlines()[4].strip(), f'message: "{about}"')}).rules
    alert = replace(sample_alert(rule, rule.levels[0].level, NOW), entity_name="A late queue")
    drawn = Templates().card(card(alert), PlainPen())
    assert drawn.fault is not None
    assert "rule crowd: message: ZeroDivisionError" in str(drawn.fault)
    assert drawn.body[0].startswith("A late queue: ")
    assert "callers waiting" in drawn.body[0]
