"""`digest`: what is found of a window of alerts, what is advised, and how it is cut to what a phone shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alertbot.alerts.alert import Fingerprint, State
from alertbot.alerts.quality import Fired, Interval, Quality
from alertbot.commands.command import Line
from alertbot.commands.digest import (
    MAX_MESSAGE,
    MAX_THREAD,
    Finding,
    Kind,
    digest_of,
    is_tunable,
    json_of,
    lines_of,
    messages,
)
from alertbot.commands.view import View
from alertbot.notify.pens import size
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.expression import Compare, Key, Literal, Op
from alertbot.rules.match import Match
from alertbot.rules.rule import Level, Rule, RuleSet
from alertbot.service.digest import as_text as notice_text
from alertbot.slack.cards import report_message
from alertbot.slack.replies import slack_message
from alertbot.slack.text import escape
from tests.commands.kit import LONGEST_WAIT, NOW, ON_BREAK, RULES, alert, ask, tenant, text_of, view
from tests.golden import check_golden
from tests.slack.block_kit import problems

WEEK = timedelta(days=7)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SINCE = NOW - WEEK


def text_rule(id_: str) -> Rule:
    """A rule without a number to tune."""
    when = Compare(Op.EQ, Key("status.rt", ValueType.TEXT), Literal("OnBreak", ValueType.TEXT))
    return replace(ON_BREAK, id=id_, levels=(replace(ON_BREAK.levels[0], when=when, text='status.rt == "OnBreak"'),))


def fired(
    rule: str = "longest-wait",
    entity: tuple[str, str] = ("103", "Sales EU"),
    alerts: int = 1,
    *,
    tenant: str = "acme",
    scope: Scope = Scope.QUEUE,
    parent: tuple[str, str] = ("", ""),
    **more: Any,
) -> Fired:
    values: dict[str, Any] = {
        "key": Fingerprint(tenant, rule, scope, parent[0], entity[0]),
        "name": entity[1],
        "parent": parent[1],
        "title": rule,
        "highest": Level.WARNING,
        "shadow": False,
        "alerts": alerts,
        "critical": 0,
        "reported": alerts,
        "acknowledged": 0,
        "ignored": 0,
        "brief": 0,
        "unstable": 0,
        "reminded": 0,
        "reminders": 0,
        "escalated": 0,
    }
    return Fired(**(values | more))


def seen(*found: Fired, rules: RuleSet = RULES, tenants: Sequence[str] = ("acme",), **more: Any) -> View:
    """A view of a week in which this happened."""
    quality = Quality(more.pop("since", SINCE), NOW, found, **{key: more.pop(key) for key in _OF_QUALITY & set(more)})
    more.setdefault("rules_of", dict.fromkeys(tenants, rules))
    return view(*(tenant(name) for name in tenants), rules=rules, quality=quality, **more)


_OF_QUALITY = {"acknowledged_after", "without_data", "open_rules", "new"}


def finding(view: View, kind: Kind) -> Finding | None:
    found = [each for section in digest_of(view, NOW).sections for each in section.findings if each.kind is kind]
    return found[0] if found else None


def told(view: View, kind: Kind) -> list[str]:
    """The items of a finding and its advice; nothing where there is none."""
    found = finding(view, kind)
    return [] if found is None else [*(item.text for item in found.items), f"→ {found.advice}"]


US, DEU = ("104", "Sales US"), ("105", "Support")
AGENT = {"scope": Scope.QUEUE_AGENT, "parent": ("103", "Sales EU")}
FOUND: dict[str, tuple[Kind, View, list[str]]] = {
    "rules, the noisiest first": (
        Kind.NOISY_RULES,
        seen(fired("on-break", alerts=3), fired(alerts=100, critical=20), fired(entity=US, alerts=40)),
        [
            "longest-wait: 140 alerts (20 a day), 20 critical, 2 entities",
            "on-break: 3 alerts, 1 entity",
            "→ If these are too many to act on: alertbot tune longest-wait shows which limit fires less often.",
        ],
    ),
    "a rule without a number": (
        Kind.NOISY_RULES,
        seen(fired("away", alerts=9), rules=RuleSet((text_rule("away"),))),
        ["away: 9 alerts (1.3 a day), 1 entity", "→ If these are too many to act on: lengthen `for`."],
    ),
    "a rule that was removed is not tuned": (
        Kind.NOISY_RULES,
        seen(fired("gone", alerts=9)),
        ["gone: 9 alerts (1.3 a day), 1 entity", "→ If these are too many to act on: lengthen `for`."],
    ),
    "no rate for a short window": (
        Kind.NOISY_RULES,
        seen(fired(alerts=9), since=NOW - HOUR),
        [
            "longest-wait: 9 alerts, 1 entity",
            "→ If these are too many to act on: alertbot tune longest-wait shows which limit fires less often.",
        ],
    ),
    "less than a day is recorded: there is nothing to tune with": (
        Kind.NOISY_RULES,
        seen(fired(alerts=9), new=frozenset(["acme"])),
        ["longest-wait: 9 alerts (1.3 a day), 1 entity", "→ If these are too many to act on: lengthen `for`."],
    ),
    "rules that did not fire on the first day": (
        Kind.QUIET,
        seen(fired("on-break"), rules=RuleSet((LONGEST_WAIT,)), new=frozenset(["acme"])),
        ["longest-wait", "→ Less than a day of polls is recorded: too early to say."],
    ),
    "one of two tenants is new": (
        Kind.QUIET,
        seen(rules=RuleSet((LONGEST_WAIT,)), tenants=("acme", "globex"), new=frozenset(["acme"])),
        ["longest-wait", "→ alertbot tune longest-wait shows which limit would have fired."],
    ),
    "entities over all rules": (
        Kind.NOISY_ENTITIES,
        seen(fired(alerts=10), fired("other", alerts=3), fired(entity=US, alerts=12)),
        [
            "Sales EU: 13 alerts, 10 of longest-wait",
            "Sales US: 12 alerts, all of longest-wait",
            "→ If one differs from the rest: alertbot tune longest-wait proposes an override.",
        ],
    ),
    "an agent in two queues is two entities": (
        Kind.NOISY_ENTITIES,
        seen(
            fired("on-break", ("a1", "Anna Smith"), 2, **AGENT),
            fired("on-break", ("a1", "Anna Smith"), 1, scope=Scope.QUEUE_AGENT, parent=("104", "Sales US")),
        ),
        [
            "Anna Smith (Sales EU): 2 alerts, all of on-break",
            "Anna Smith (Sales US): 1 alert, all of on-break",
            "→ If one differs from the rest: alertbot tune on-break proposes an override.",
        ],
    ),
    "one entity alone differs from nothing": (Kind.NOISY_ENTITIES, seen(fired(alerts=10)), []),
    "never acknowledged": (
        Kind.IGNORED,
        seen(fired(alerts=5, ignored=3), fired("on-break", alerts=9, ignored=8)),
        [
            "on-break: 8 alerts",
            "longest-wait: 3 alerts",
            "→ If nothing is done about them, lower their level to info, or use a limit that fires less often: "
            "alertbot tune on-break.",
        ],
    ),
    "one that was acknowledged once is not": (
        Kind.IGNORED,
        seen(fired(ignored=9), fired(entity=US, acknowledged=1)),
        [],
    ),
    "two alerts say nothing": (Kind.IGNORED, seen(fired(ignored=2)), []),
    "ended within a minute": (
        Kind.BRIEF,
        seen(fired(alerts=10, brief=4), fired(entity=US, alerts=5)),
        [
            "longest-wait: 4 of 15 alerts",
            "→ A longer `for` avoids these: alertbot tune longest-wait shows the effect.",
        ],
    ),
    "flapping": (
        Kind.FLAPPING,
        seen(fired("gone", alerts=10, unstable=6)),
        ["gone: 6 of 10 alerts", "→ Move `clear` further from the limit, or lengthen `keep_firing_for`."],
    ),
    "reminded and escalated": (
        Kind.REMINDED,
        seen(fired(reminded=1, reminders=2), fired("on-break", reminded=2, reminders=9, escalated=1)),
        [
            "on-break: 2 alerts reminded 9 times, 1 escalated",
            "longest-wait: 1 alert reminded twice",
            "→ These waited for an owner: make sure that the channel is watched at that time, or set `mention`.",
        ],
    ),
    "time to acknowledge": (
        Kind.ACKNOWLEDGED,
        seen(
            fired(alerts=10),
            fired("on-break", alerts=2),
            acknowledged_after={
                ("acme", "longest-wait"): (30.0, 90.0, 4000.0),
                ("acme", "on-break"): (600.2,),
                ("beta", "longest-wait"): (9.0,),
            },
        ),
        [
            "on-break: 10m (1 of 2)",
            "longest-wait: median 1m 30s, worst 1h 6m (3 of 10)",
            "→ If that is too long, set `mention` or an earlier step of `escalate`.",
        ],
    ),
    "open for long": (
        Kind.OPEN,
        seen(
            alerts=[
                alert(1, for_=50 * HOUR),
                alert(2, for_=25 * HOUR, state=State.RECOVERING, entity=US),
                alert(3, for_=23 * HOUR),
                alert(4, for_=99 * HOUR, tenant="beta"),
            ]
        ),
        [
            "#1 Sales EU: longest-wait, for 2 days",
            "#2 Sales US: longest-wait, for 1 day",
            "→ Fix the cause, or give the entity an override: an alert that never ends hides the next problem.",
        ],
    ),
    "shadow rules: what they would have sent": (
        Kind.SHADOW,
        seen(fired(alerts=50, shadow=True, reported=0), fired(entity=US, alerts=20, shadow=True, reported=0)),
        [
            "longest-wait: would have fired 70 times (10 a day) for 2 entities",
            "→ When the number is right, remove `shadow`; alertbot tune longest-wait shows what other limits would do.",
        ],
    ),
    "without data, the longest first": (
        Kind.NO_DATA,
        seen(without_data={"acme": ((NOW - 9 * HOUR, NOW - 8 * HOUR), (NOW - 2 * HOUR, NOW - 30 * MINUTE))}),
        [
            "1h 30m from 07:00 UTC",
            "1h from 00:00 UTC",
            "→ 2h 30m in 2 periods in which nothing could fire: alertbot doctor tests the connection to 8x8, and the "
            "log says when alertbot was down.",
        ],
    ),
    "rules that never fired": (
        Kind.QUIET,
        seen(fired(), rules=RuleSet((*RULES.rules, replace(text_rule("watched"), shadow=True)))),
        [
            "on-break",
            "group-break",
            "watched (in shadow)",
            "→ alertbot tune on-break shows which limit would have fired.",
        ],
    ),
    "one that is open has fired before": (
        Kind.QUIET,
        seen(open_rules=frozenset({("acme", "on-break"), ("acme", "group-break")})),
        ["longest-wait", "→ alertbot tune longest-wait shows which limit would have fired."],
    ),
    "one that fired for another tenant is not quiet": (
        Kind.QUIET,
        seen(fired(), fired("on-break", tenant="beta"), fired("group-break"), tenants=("acme", "beta")),
        [],
    ),
    "matches that cover nothing": (
        Kind.UNCOVERED,
        seen(uncovered={"longest-wait": (Match(names=("Slaes*",)),), "gone": (Match(names=("x",)),)}),
        [
            "longest-wait: name Slaes*",
            "→ Correct the match, or remove the rule: /alertbot rules ID shows what it covers.",
        ],
    ),
    "a rule that matches nothing is not reported as quiet as well": (
        Kind.QUIET,
        seen(
            open_rules=frozenset({("acme", "on-break"), ("acme", "group-break")}),
            uncovered={"longest-wait": (LONGEST_WAIT.match,)},
        ),
        [],
    ),
}


@pytest.mark.parametrize(("kind", "found", "wanted"), FOUND.values(), ids=FOUND)
def test_findings(kind: Kind, found: View, wanted: list[str]) -> None:
    """Each with its items, the worst first, and one sentence on what to do."""
    assert told(found, kind) == wanted


SUMMARIES = {
    "all of it": (
        seen(
            fired(alerts=300, critical=41, reported=280, acknowledged=3),
            acknowledged_after={("acme", "longest-wait"): (60.0, 192.0, 500.0)},
        ),
        "300 alerts, 41 critical, 20 not reported (silenced or suppressed); 3 acknowledged, "
        "half of them within 3m 12s.",
    ),
    "one alert": (seen(fired()), "1 alert; none acknowledged."),
    "shadow rules alone": (seen(fired(shadow=True, reported=0)), "No alert fired."),
    "nothing": (seen(), "No alert fired."),
}


@pytest.mark.parametrize(("found", "wanted"), SUMMARIES.values(), ids=SUMMARIES)
def test_summary(found: View, wanted: str) -> None:
    assert digest_of(found, NOW).sections[0].summary == wanted


TUNABLE = {
    "a number": (LONGEST_WAIT, True),
    "text": (text_rule("x"), False),
    "equality": (
        replace(
            LONGEST_WAIT,
            levels=(
                replace(
                    LONGEST_WAIT.levels[0],
                    when=Compare(Op.EQ, Key("x", ValueType.COUNT), Literal(0.0, ValueType.NUMBER)),
                ),
            ),
        ),
        False,
    ),
}


@pytest.mark.parametrize(("rule", "wanted"), TUNABLE.values(), ids=TUNABLE)
def test_what_can_be_tuned(rule: Rule, wanted: bool) -> None:
    assert is_tunable(rule) is wanted


EMPTY = {
    "nothing fired": (seen(), True),
    "an alert": (seen(fired()), False),
    "a shadow rule": (seen(fired(shadow=True)), False),
    "time without data": (seen(without_data={"acme": ((NOW - HOUR, NOW),)}), False),
}


@pytest.mark.parametrize(("found", "wanted"), EMPTY.values(), ids=EMPTY)
def test_whether_it_is_empty(found: View, wanted: bool) -> None:
    assert digest_of(found, NOW).empty is wanted


def test_an_empty_window_is_a_clear_sentence() -> None:
    """And what it may mean: the rules that never fired."""
    assert text_of(ask(seen(), "digest")).splitlines() == [
        "Alert digest: 7d until Mon 02 Mar 09:00 UTC.",
        "No alert fired.",
        "Rules that never fired",
        "• longest-wait, on-break, group-break",
        "→ alertbot tune longest-wait shows which limit would have fired.",
    ]


def test_without_rules() -> None:
    assert text_of(ask(seen(rules=RuleSet(())), "digest")).splitlines()[1:] == [
        "No alert fired.",
        "No rule is active: write rules in rules/, or copy some from rules/optional/.",
    ]


REFUSED = {
    "no window": ("digest yesterday", "yesterday is not a window: write a duration such as 1d or 14d."),
    "too long": ("digest 900d", "900d is not a valid window: write 366d or less."),
}


@pytest.mark.parametrize(("typed", "said"), REFUSED.values(), ids=REFUSED)
def test_refused(typed: str, said: str) -> None:
    reply = ask(seen(), typed)
    assert reply.problem
    assert text_of(reply).splitlines() == [said, "/alertbot digest [window]"]


def test_what_is_no_longer_kept() -> None:
    """A window that is longer than ended alerts are kept says so."""
    kept = seen(fired(), history_kept=timedelta(days=2))
    assert digest_of(kept, NOW).notes == ("Ended alerts are kept for 2d: history in alertbot.yaml.",)
    assert digest_of(seen(fired(), history_kept=WEEK), NOW).notes == ()


LENGTHS = {
    "a week": (WEEK, "7d"),
    "a week with an hour less, when clocks are set forward": (WEEK - HOUR, "7d"),
    "a day with an hour more": (timedelta(hours=25), "1d"),
    "an hour": (HOUR, "1h"),
    "a day and a half": (timedelta(hours=36), "1d 12h"),
}


@pytest.mark.parametrize(("window", "wanted"), LENGTHS.values(), ids=LENGTHS)
def test_length(window: timedelta, wanted: str) -> None:
    assert digest_of(seen(since=NOW - window), NOW).title.startswith(f"Alert digest: {wanted} until ")


# A busy week, as it is shown.

QUEUE_NAMES = ["Sales EU", "Sales US", "Support Tier 1", "Support Tier 2", "Billing", "VIP", "Returns", "Night desk"]
BUSY_RULES = RuleSet(
    (
        *(
            replace(LONGEST_WAIT, id=id_, title=id_)
            for id_ in ("longest-wait", "abandoned", "service-level", "queue-full")
        ),
        text_rule("no-agents"),
        *(replace(LONGEST_WAIT, id=f"quiet-{number}") for number in range(15)),
        replace(LONGEST_WAIT, id="callbacks", shadow=True),
        replace(LONGEST_WAIT, id="misspelt", match=Match(names=("Slaes*",))),
    )
)


def busy(tenants: Sequence[str] = ("acme",)) -> View:
    """A week with something of everything."""
    found: list[Fired] = []
    outages: dict[str, tuple[Interval, ...]] = {}
    after: dict[tuple[str, str], tuple[float, ...]] = {}
    for name in tenants:
        for place, queue in enumerate(QUEUE_NAMES):
            entity = (str(103 + place), queue)
            wait = 40 - 4 * place
            found += [
                fired(
                    "longest-wait",
                    entity,
                    wait,
                    tenant=name,
                    critical=wait // 4,
                    acknowledged=wait // 2,
                    brief=wait // 5,
                ),
                fired(
                    "abandoned", entity, 6 + place, tenant=name, ignored=4 + place, unstable=place, reported=5 + place
                ),
                fired("service-level", entity, 3, tenant=name, reminded=2, reminders=5, escalated=place % 2),
                fired("callbacks", entity, 9, tenant=name, shadow=True, reported=0),
            ]
        found.append(fired("no-agents", ("103", "Sales EU"), 7, tenant=name, ignored=5))
        after[name, "longest-wait"] = tuple(float(30 * number) for number in range(1, 103))
        outages[name] = ((NOW - 50 * HOUR, NOW - 49 * HOUR), (NOW - 30 * HOUR, NOW - 29.5 * HOUR))
    return seen(
        *found,
        rules=BUSY_RULES,
        tenants=tenants,
        acknowledged_after=after,
        without_data=outages,
        uncovered={"misspelt": (Match(names=("Slaes*",)),)},
        alerts=[alert(917, for_=51 * HOUR, tenant=name) for name in tenants],
        timezone="Europe/Helsinki",
    )


def as_text(lines: Sequence[Line]) -> str:
    return "".join(f"{'## ' if line.strong else ''}{line.text}\n" for line in lines)


@pytest.mark.parametrize("tenants", [("acme",), ("acme", "beta")], ids=["one tenant", "two tenants"])
def test_golden(tenants: Sequence[str]) -> None:
    """The messages that are sent, as text: a first one for a phone, and its thread."""
    digest = digest_of(busy(tenants), NOW)
    sent = "\n".join(f"--- {place}\n{as_text(lines)}" for place, lines in enumerate(messages(digest)))
    check_golden(f"reports/digest-{len(tenants)}.txt", sent)


def test_golden_answer() -> None:
    """The answer in Slack, within Slack's limits."""
    message = slack_message(ask(busy(), "digest"))
    assert problems({key: value for key, value in message.items() if key != "response_type"}) == []
    check_golden("slack/answer-digest.json", json.dumps(message, indent=2, ensure_ascii=False) + "\n")


def test_golden_message() -> None:
    """The message that is sent, as Slack gets it: a block for each finding."""
    first, *thread = (report_message(notice_text(lines)) for lines in messages(digest_of(busy(), NOW)))
    payloads = [{"text": each.text, "blocks": list(each.blocks)} for each in (first, *thread)]
    assert [problems(payload) for payload in payloads] == [[], []]
    assert all(len(each.text) < 3000 for each in (first, *thread))
    check_golden("slack/digest-sent.json", json.dumps(payloads, indent=2, ensure_ascii=False) + "\n")


NASTY = ("7", "<!channel> & *b* `c` :fire: " + "x" * 300)
SIZES = {
    "a busy week": busy(),
    "two tenants": busy(("acme", "beta")),
    "forty tenants": busy(tuple(f"tenant-{number}" for number in range(40))),
    "names that grow when they are escaped": seen(
        *(fired(f"rule-{number}", (str(number), NASTY[1]), 5, brief=3, ignored=5, unstable=3) for number in range(60))
    ),
    "many rules": seen(rules=RuleSet(tuple(replace(LONGEST_WAIT, id=f"rule-{n}") for n in range(900)))),
    "nothing": seen(),
}


@pytest.mark.parametrize("found", SIZES.values(), ids=SIZES)
def test_each_message_fits(found: View) -> None:
    """The first is under 3,000 characters even when it is escaped, and so is each of its thread."""
    sent = messages(digest_of(found, NOW))
    assert 1 <= len(sent) <= 1 + MAX_THREAD
    for lines in sent:
        assert lines
        assert size("\n".join(escape(line.text) for line in lines)) <= MAX_MESSAGE
    if len(sent) > 1:
        assert sent[0][-1].text == "The rest is in the thread."


def test_the_thread_has_in_full_what_was_cut() -> None:
    """What is complete in the message is not repeated."""
    first, *thread = messages(digest_of(busy(), NOW))
    rest = as_text([line for lines in thread for line in lines])
    assert "• and 5 more" in as_text(first)  # entities
    assert "• Night desk: " in rest
    assert "## Without data" not in rest
    assert "## Fired most: rules" in rest


def test_what_fits_has_no_thread() -> None:
    (only,) = messages(digest_of(seen(fired()), NOW))
    assert "The rest is in the thread." not in as_text(only)


def test_tenants_are_sections() -> None:
    """In the order of the configuration; what concerns the rules comes last, once."""
    digest = digest_of(seen(fired(), fired(tenant="beta", alerts=2), tenants=("beta", "acme")), NOW)
    assert [(section.tenant, section.summary) for section in digest.sections] == [
        ("beta", "2 alerts; none acknowledged."),
        ("acme", "1 alert; none acknowledged."),
        ("", ""),
    ]
    strong = [line.text for line in lines_of(digest, 5) if line.strong]
    assert [text for text in strong if text in ("acme", "beta", "Rules")] == ["beta", "acme", "Rules"]


def test_the_answer_says_where_the_rest_is() -> None:
    lines = text_of(ask(busy(), "digest 14d")).splitlines()
    assert lines[-1] == "alertbot digest --since 14d shows everything."
    assert "alertbot digest" not in text_of(ask(seen(fired()), "digest"))


def test_json() -> None:
    """Every finding with all of its items, as values."""
    found = json_of(digest_of(busy(), NOW))
    assert json.loads(json.dumps(found)) == found
    (acme,) = found["tenants"]
    assert {key: acme[key] for key in ("tenant", "alerts", "critical", "reported", "acknowledged")} == {
        "tenant": "acme",
        "alerts": 315,
        "critical": 52,
        "reported": 307,
        "acknowledged": 104,
    }
    kinds = [each["kind"] for each in acme["findings"]] + [each["kind"] for each in found["rules"]]
    assert kinds == [str(kind) for kind in Kind]
    assert acme["findings"][0]["items"][0] == {"rule": "longest-wait", "alerts": 208, "critical": 52, "entities": 8}
    assert found["rules"][1]["items"] == [{"rule": "misspelt", "matches": ["name Slaes*"]}]
    assert (found["since"], found["until"]) == ("2026-02-23T09:00:00+00:00", "2026-03-02T09:00:00+00:00")
