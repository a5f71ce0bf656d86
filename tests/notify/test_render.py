"""Cards and lines as readers see them: whole messages, hostile names, custom templates, broken templates."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from alertbot.alerts.alert import About, Alert, Reason, State
from alertbot.alerts.cards import Posted
from alertbot.alerts.notice import PERSON
from alertbot.charts.trend import recent
from alertbot.errors import FaultsFound
from alertbot.evaluation.measure import Measure
from alertbot.notify.console import ConsoleNotifier
from alertbot.notify.pens import PlainPen, clip, size
from alertbot.notify.render import Templates, check_template, sample_cards
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Level
from alertbot.slack.cards import (
    SlackMessage,
    card_message,
    line_message,
    plain_card_message,
    plain_line_message,
    text_about,
)
from alertbot.slack.text import FallbackPen, MrkdwnPen, clip_mrkdwn
from tests.golden import check_golden
from tests.notify.cases import (
    ACKED,
    CARDS,
    FIRING,
    LINES,
    LONG_ALERT,
    NASTY,
    NASTY_ALERT,
    NOW,
    RESOLVED,
    SILENCE,
    card,
    line,
)
from tests.slack.slack_server import problem_of

TEMPLATES = Templates()
OUR_SEQUENCES = re.compile(r"<!date\^\d+\^[^<>|]*\|[^<>|]*>|<@U0ALICE00>|<https://wiki\.example/[^<>|]*\|[^<>|]*>")


def slack(alert: Alert, **more: Any) -> SlackMessage:
    return card_message(TEMPLATES.card(card(alert, **more), MrkdwnPen(), FallbackPen()))


def written(message: SlackMessage) -> str:
    parts = {"text": message.text, "blocks": list(message.blocks), "attachments": list(message.attachments)}
    return json.dumps(parts, indent=2, ensure_ascii=False) + "\n"


def mrkdwn_texts(node: Any) -> list[str]:
    if isinstance(node, dict):
        if node.get("type") == "mrkdwn":
            assert node["verbatim"] is True
            return [node["text"]]
        return [text for value in node.values() for text in mrkdwn_texts(value)]
    if isinstance(node, list | tuple):
        return [text for each in node for text in mrkdwn_texts(each)]
    return []


@pytest.mark.parametrize("name", CARDS)
def test_card_in_slack(name: str) -> None:
    """The whole message of each kind of card, as Slack gets it."""
    check_golden(f"slack/card-{name}.json", written(slack(CARDS[name], mention=("<!subteam^S0123>",))))


def of_a_feed(detail: str, **more: Any) -> Alert:
    """No data from 8x8, with what an administrator can do."""
    about = About("No data from 8x8", "no data from 8x8 for 2m", template="feed", detail=detail, advice=ADVICE)
    measure = Measure("feed.silence", ValueType.DURATION, ">", 190_000.0, 120_000.0)
    key = FIRING.key._replace(rule="feed-stale", scope=Scope.FEED, entity_id="acme")
    feed = replace(FIRING, key=key, entity_name="acme", about=about, measure=measure, peak=190_000.0, peak_at=NOW)
    return replace(feed, **more)


ADVICE = "Check https://status.8x8.com and the bot's network; the log has every error."
TEN_MINUTES = timedelta(minutes=10)
OVER = {"state": State.INACTIVE, "ended_at": NOW}
GROWING = recent((NOW - timedelta(seconds=15 * at), 130_000.0 * (1 - at / 120)) for at in range(120, -1, -1))
STATES = {
    "trend": card(FIRING, trend=GROWING),
    "trend-acknowledged": card(ACKED, trend=GROWING),
    "trend-of-a-message": card(
        replace(FIRING, about=replace(FIRING.about, message="nobody for {{ value }}")), trend=GROWING
    ),
    "trend-resolved": card(RESOLVED, trend=GROWING),
    "unstable": card(replace(FIRING, unstable=True)),
    "no-data": card(replace(FIRING, no_data_since=NOW - timedelta(minutes=5))),
    "began-unseen": card(replace(FIRING, unseen_since=NOW - timedelta(hours=1), pending_since=FIRING.fired_at)),
    "silenced-and-acknowledged": card(ACKED, silence=SILENCE),
    "of-the-only-tenant": card(FIRING, show_tenant=False),
    "escalated": card(FIRING, escalated=TEN_MINUTES, mention=("<@U0123>",), trend=GROWING),
    "escalated-acknowledged": card(ACKED, escalated=TEN_MINUTES),
    "escalated-resolved": card(RESOLVED, escalated=TEN_MINUTES),
    "feed": card(of_a_feed("no data for 3m 10s: 503 from 8x8")),
    "feed-acknowledged": card(of_a_feed("no data for 3m 10s: 503 from 8x8", acked_by="U0ALICE00", acked_at=NOW)),
    "feed-resolved": card(
        of_a_feed("back after 3m 10s without data; 2 alerts changed meanwhile", **OVER, end_reason=Reason.RESOLVED)
    ),
    **{
        f"ended-{reason.value.replace('_', '-')}": card(replace(RESOLVED, end_reason=reason))
        for reason in (Reason.RULE_REMOVED, Reason.NOT_COVERED, Reason.TENANT_REMOVED, Reason.OUTSIDE_HOURS)
    },
    "ended-at-its-worst": card(
        replace(FIRING, **OVER, end_reason=Reason.CLOSED_BY_HAND, closed_by="U0ALICE00", peak=130_000.0, peak_at=NOW)
    ),
    "ended-without-data": card(
        replace(RESOLVED, end_reason=Reason.NO_LONGER_REPORTED, measure=replace(FIRING.measure or Any, value=None))
    ),
    "ended-of-a-status": card(
        replace(RESOLVED, measure=Measure("status.rt", ValueType.TEXT, "==", "Available", "OnBreak"), peak=None)
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_card_in_each_state(name: str) -> None:
    """Trends, what a card says of its data, messages of escalations, feeds, and every way to end."""
    drawn = TEMPLATES.card(STATES[name], MrkdwnPen(), FallbackPen())
    assert drawn.fault is None
    check_golden(f"slack/card-{name}.json", written(card_message(drawn)))


@pytest.mark.parametrize("name", ["trend", "no-data", "ended-outside-hours", "feed"])
def test_card_as_text_only(name: str) -> None:
    """For when Slack refuses the blocks: the same words, without the trend, which would be read out."""
    drawn = TEMPLATES.card(STATES[name], MrkdwnPen(), FallbackPen())
    message = plain_card_message(drawn)
    assert not message.blocks
    check_golden(f"slack/text-card-{name}.json", written(message))


def test_a_silenced_card() -> None:
    """It says until when, by whom and why, until the silence or the alert has ended."""
    check_golden("slack/card-silenced.json", written(slack(FIRING, silence=SILENCE)))
    assert "Silenced" not in written(slack(RESOLVED, silence=SILENCE))


PEOPLE = {
    "a Slack user": ("U012ANNA", "Silence #7 by <@U012ANNA>: name=&lt;!channel&gt; \u200b*\u200bx\u200b*\u200b"),
    "a local user": ("anna <b>", "Silence #7 by anna &lt;b&gt;: name=&lt;!channel&gt; \u200b*\u200bx\u200b*\u200b"),
}


@pytest.mark.parametrize(("person", "text"), PEOPLE.values(), ids=PEOPLE)
def test_a_message_that_names_a_person(person: str, text: str) -> None:
    """The person is mentioned as Slack does it; all the rest is shown as it is."""
    assert text_about(f"Silence #7 by {PERSON}: name=<!channel> *x*", person).text == text


@pytest.mark.parametrize("name", LINES)
def test_line_in_slack(name: str) -> None:
    """The whole message of each kind of thread line."""
    drawn = TEMPLATES.line(LINES[name], MrkdwnPen(), FallbackPen())
    check_golden(f"slack/line-{name}.json", written(line_message(drawn)))


def test_cards_in_a_terminal() -> None:
    """The same cards and lines, drawn for a terminal."""
    output = io.StringIO()
    console = Console(file=output, width=100, force_terminal=False, legacy_windows=False)
    notifier = ConsoleNotifier(console)
    for name, alert in CARDS.items():
        console.print(f"{name}:", markup=False)
        notifier.post_card(card(alert, mention=("<!subteam^S0123>",)), channel="#cc-alerts", notice_id=name)
    posted = Posted("#cc-alerts", "1.000000")
    for name, view in LINES.items():
        notifier.post_line(view, posted, notice_id=f"line-{name}", broadcast=view.notice.broadcast)
    notifier.edit_card(card(replace(FIRING, measure=replace(FIRING.measure or Any, value=150_000.0))), posted)
    notifier.edit_card(card(RESOLVED), posted)
    notifier.post_text(f"Silence #7 by {PERSON} has ended", channel="#cc-alerts", notice_id="silence", by="anna")
    notifier.post_text(f"Template x: broke {NASTY}\nand more", channel="#cc-alerts-ops", notice_id="ops")
    shown = output.getvalue()
    assert "\x1b" not in shown
    check_golden("console/cards.txt", shown)


@pytest.mark.parametrize("name", CARDS)
def test_one_state_in_words(name: str) -> None:
    """The headline has exactly one of the words for a level, recovering and resolved, and the text begins with it."""
    alert = CARDS[name]
    message = slack(alert)
    headline = message.blocks[0]["text"]["text"].replace(alert.about.title, "")
    words = [word for word in ("Critical", "Warning", "Info", "Recovering", "Resolved") if word in headline]
    assert len(words) == 1
    assert message.text.startswith(words[0])
    assert (words[0] == "Resolved") is (alert.state is State.INACTIVE)
    assert (words[0] == "Recovering") is (alert.state is State.RECOVERING)


@pytest.mark.parametrize(
    ("alert", "buttons"),
    [
        (FIRING, ["acknowledge", "silence", "why"]),
        (CARDS["recovering"], ["acknowledge", "silence", "why"]),
        (ACKED, ["give_back", "silence", "why"]),
        (RESOLVED, []),
    ],
    ids=["firing", "recovering", "acknowledged", "resolved"],
)
def test_buttons(alert: Alert, buttons: list[str]) -> None:
    """Acknowledge is on an open card without an owner, else Give back; the others on every open one; values name it."""
    elements = [each for block in slack(alert).blocks if block["type"] == "actions" for each in block["elements"]]
    assert [each["action_id"] for each in elements] == buttons
    assert all(each["value"] == "17" for each in elements if each["type"] == "button")


def test_a_hostile_name_mentions_no_one_and_shows_as_it_is() -> None:
    """A queue named like a mention is a queue with an odd name."""
    message = slack(replace(FIRING, entity_name=NASTY))
    assert message.blocks[0]["text"] == {
        "type": "plain_text",
        "text": f"🔴 Critical: {NASTY} — Longest wait in queue",
        "emoji": False,
    }
    assert "&lt;!channel&gt; @here &amp; &lt;http://x|y&gt;" in message.text
    assert "<!channel>" not in message.text


def test_only_configured_mentions_that_slack_knows() -> None:
    """Mentions come from the rule's configuration; other text there is left out."""
    wanted = ("<@U0123>", "<!subteam^S0123>", "<!here>", "@here", "<!channel> hello", "<http://x|y>")
    sections = [block["text"]["text"] for block in slack(FIRING, mention=wanted).blocks if block["type"] == "section"]
    assert sections[-1] == "<@U0123> <!subteam^S0123> <!here>"
    assert not any("<!here>" in text for text in mrkdwn_texts(list(slack(RESOLVED, mention=wanted).blocks)))


HOSTILE = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="<>&!@#|*_~`:^ \n\x1b\u202eaU0", max_size=60),
    st.sampled_from([NASTY, "<!channel>", "<@U0123456>", "<#C01>", "&lt;!here&gt;", ":tada:", "> quote", "\ud800x"]),
)


@given(name=HOSTILE, parent=HOSTILE, title=HOSTILE, note=HOSTILE, label=HOSTILE, condition=HOSTILE, by=HOSTILE)
@settings(max_examples=150, deadline=None)
def test_nothing_from_data_is_markup(
    name: str, parent: str, title: str, note: str, label: str, condition: str, by: str
) -> None:
    """For any data: only the built-in `<` and `>`, every `&` an entity, within Slack's limits, sendable as JSON."""
    alert = replace(
        FIRING,
        entity_name=name,
        parent_name=parent,
        key=FIRING.key._replace(tenant=label.encode(errors="replace").decode()),
        about=replace(FIRING.about, title=title, condition=condition, labels={label: note}, runbook=title),
        acked_by=by or None,
        acked_at=NOW,
        ack_note=note,
    )
    drawn = TEMPLATES.card(card(alert), MrkdwnPen(), FallbackPen())
    assert drawn.fault is None
    said = TEMPLATES.line(line(Reason.ACKNOWLEDGED, alert=alert, text=note, by=by), MrkdwnPen(), FallbackPen())
    assert said.fault is None
    for message in (card_message(drawn), plain_card_message(drawn), line_message(said), plain_line_message(said)):
        everything = {"text": message.text, "blocks": list(message.blocks), "attachments": list(message.attachments)}
        assert problem_of(everything) == ""
        json.dumps(everything, ensure_ascii=False).encode()
        for text in [message.text, *mrkdwn_texts(list(message.blocks)), *mrkdwn_texts(list(message.attachments))]:
            rest = re.sub(r"<@[UW][A-Z0-9]{2,20}>", "", OUR_SEQUENCES.sub("", text))
            assert "<" not in rest
            assert ">" not in rest
            assert re.sub("&(amp|lt|gt);", "", rest).count("&") == 0


@given(text=HOSTILE)
@settings(max_examples=300, deadline=None)
def test_nothing_from_data_is_formatting(text: str) -> None:
    """A `*`, `_`, `~` or backtick that could begin or end a span has zero-width spaces on both sides."""
    shown = MrkdwnPen().escape(text)
    assert "\n" not in shown
    for mark in re.finditer(r"[*_~`]", shown):
        before, after = shown[: mark.start()][-1:], shown[mark.end() :][:1]
        inside_a_word = before.isalnum() and after.isalnum()
        assert inside_a_word or (before == "\u200b" and after == "\u200b")
    unescaped = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").replace("\u200b", "")
    assert unescaped == PlainPen().escape(text).replace("\u200b", "")


@pytest.mark.parametrize("text", ["SALES_EU_2", "a*b", "2~3"], ids=str)
def test_marks_inside_words_stay(text: str) -> None:
    """Names like SALES_EU are common, and Slack formats nothing inside a word."""
    assert MrkdwnPen().escape(text) == text


@given(text=HOSTILE, limit=st.integers(2, 40))
@settings(max_examples=200, deadline=None)
def test_cutting_never_breaks_an_entity(text: str, limit: int) -> None:
    """Cut text is within the limit, ends visibly, and holds no half entity."""
    cut = clip_mrkdwn(MrkdwnPen().escape(text), limit)
    assert size(cut) <= limit
    assert "&" not in re.sub("&(amp|lt|gt);", "", cut)
    assert size(clip(text.replace("\ud800", ""), limit)) <= limit


def test_long_texts_are_cut_where_it_shows() -> None:
    """Text over a limit is cut with "…" and "and N more"."""
    message = slack(LONG_ALERT)
    assert problem_of({"text": message.text, "blocks": list(message.blocks)}) == ""
    assert "…" in message.blocks[0]["text"]["text"]
    assert "and 22 more" in mrkdwn_texts(list(message.attachments))[-1]


def test_value_and_threshold_agree_with_the_truth() -> None:
    """The figure and the limit are shown, whichever is greater: no sentence says "above" of a value that is below."""
    firing = TEMPLATES.card(card(FIRING), PlainPen()).body[0]
    lower = replace(FIRING, measure=replace(FIRING.measure or Any, value=100_000.0))
    missing = replace(FIRING, measure=replace(FIRING.measure or Any, value=None))
    unsaid = replace(FIRING, measure=None)
    assert firing == "Sales EU: longest wait 2m 10s, limit 2m"
    assert TEMPLATES.card(card(lower), PlainPen()).body[0] == "Sales EU: longest wait 1m 40s, limit 2m"
    assert TEMPLATES.card(card(missing), PlainPen()).body[0] == "Sales EU: no data for longest wait"
    assert TEMPLATES.card(card(unsaid), PlainPen()).body[0] == "Sales EU"
    assert TEMPLATES.card(card(unsaid), PlainPen()).body[1] == "Since 2026-03-02 10:55 EET."


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        (Measure("status.rt", ValueType.TEXT, "==", "OnBreak", "onbreak"), "status OnBreak"),
        (Measure("eligible.rt", ValueType.COUNT, "==", 0.0, 0.0), "0 agents who can take work"),
        (Measure("interactionsWaitInQueue.rt", ValueType.COUNT, ">", 1.0, 0.0), "1 caller waiting"),
        (Measure("interactionsWaitInQueue.rt", ValueType.COUNT, ">=", 5.0, 5.0), "5 callers waiting, at the limit"),
        (Measure("slaPercentage.rt", ValueType.RATIO, "<=", 0.5, 0.5), "service level 50%, at the limit"),
        (Measure("slaPercentage.rt", ValueType.RATIO, "", 0.5, None), "service level 50%"),
        (
            Measure("interactionsLongestWaitInQueue.rt", ValueType.DURATION, ">", 266_400.0, 266_000.0),
            "longest wait 4m 26s, just above the limit",
        ),
        (Measure("timeOnStatus.rt", ValueType.DURATION, ">", 705.0, 60_000.0), "time in this status 0s, limit 1m"),
        (
            Measure("onBreak.rt / enabled.rt", ValueType.RATIO, ">", 0.625, 0.5),
            "agents on break / agents logged in: 62.5%, limit 50%",
        ),
        (
            Measure("avg(interactionsLongestWaitInQueue.rt, 10m)", ValueType.DURATION, ">", 90_000.0, 60_000.0),
            "average longest wait over 10m: 1m 30s, limit 1m",
        ),
        (Measure('count(agents where status.rt == "OnBreak")', ValueType.COUNT, ">=", 3.0, 2.0), "3 agents, limit 2"),
    ],
    ids=str,
)
def test_figures_in_words(measure: Measure, words: str) -> None:
    """Noun, figure and limit: no program text, no milliseconds, and nothing is compared with itself."""
    assert TEMPLATES.card(card(replace(FIRING, measure=measure)), PlainPen()).body[0] == f"Sales EU: {words}"


# Custom templates.


def own(tmp_path: Path, name: str, text: str) -> Templates:
    (tmp_path / f"{name}.j2").write_text(text, encoding="utf-8")
    return Templates([tmp_path])


def drawn_by(templates: Templates, name: str, alert: Alert = FIRING) -> tuple[str, tuple[str, ...], str]:
    about = replace(alert.about, template=name)
    drawn = templates.card(card(replace(alert, about=about)), MrkdwnPen(), FallbackPen())
    return drawn.title, drawn.body, str(drawn.fault or "")


def test_a_custom_template_replaces_a_block(tmp_path: Path) -> None:
    """A template next to the rules extends alert.j2; what it takes from data is escaped like everything else."""
    text = (
        '{% extends "alert.j2" %}\n{% macro loud(x) %}{{ strong(x) }}!{% endmacro %}\n'
        "{% block body %}{{ super() }}\n{{ loud(card.where) }} {{ card.where | upper }}{% endblock %}"
    )
    title, body, fault = drawn_by(own(tmp_path, "mine", text), "mine", replace(FIRING, entity_name="<!here> & co"))
    assert fault == ""
    assert title == "🔴 Critical: <!here> & co — Longest wait in queue"
    assert body[0] == "&lt;!here&gt; &amp; co: *longest wait 2m 10s*, limit 2m"
    assert body[2] == "*&lt;!here&gt; &amp; co*! &lt;!HERE&gt; &amp; CO"


def test_a_template_may_replace_the_built_in_one(tmp_path: Path) -> None:
    """`alert.j2` next to the rules takes precedence, and can extend the built-in one by its other name."""
    text = '{% extends "builtin/alert.j2" %}{% block title %}Ours: {{ super() }}{% endblock %}'
    assert drawn_by(own(tmp_path, "alert", text), "alert")[0].startswith("Ours: 🔴 Critical: ")


BROKEN = {
    "syntax": ('{% extends "alert.j2" %}\n{% block body %}{{ card.where {% endblock %}', 2, "expected token"),
    "unknown-word": ('{% extends "alert.j2" %}\n{% block body %}\n{{ card.wher }}{% endblock %}', 3, "wher"),
    "unknown-name": ('{% extends "alert.j2" %}\n{% block body %}{{ alert }}{% endblock %}', 2, "'alert' is undefined"),
    "sandbox": (
        '{% extends "alert.j2" %}\n{% block body %}{{ card.__class__.__mro__ }}{% endblock %}',
        2,
        "access to attribute '__class__'",
    ),
    "unescaped": ('{% extends "alert.j2" %}\n{% block body %}{{ card.where | safe }}{% endblock %}', 2, "No filter"),
    "too-long": (
        '{% extends "alert.j2" %}\n{% block body %}{% for i in range(10 ** 9) %}x{% endfor %}{% endblock %}',
        2,
        "a range of more than 10000 numbers",
    ),
    "division": ('{% extends "alert.j2" %}\n{% block fields %}{{ 1 / 0 }}{% endblock %}', 2, "ZeroDivisionError"),
    "only-in-a-line": ('{% extends "alert.j2" %}\n\n{% block thread %}{{ line.why }}{% endblock %}', 3, "why"),
    "extends-nothing": ("hello", 1, "extends"),
    "extends-unknown": ('{% extends "alrt.j2" %}', 1, "did you mean 'alert'?"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_check_names_file_and_line(name: str, tmp_path: Path) -> None:
    """`check` refuses a broken template with its file, its line and what is wrong."""
    text, line_number, message = BROKEN[name]
    (tmp_path / "mine.j2").write_text(text, encoding="utf-8")
    with pytest.raises(FaultsFound) as caught:
        check_template("mine", [tmp_path], rule="longest-wait")
    found = caught.value.faults[0]
    assert (found.file, found.line) == (str(tmp_path / "mine.j2"), line_number)
    assert message in str(found)
    assert "rule longest-wait" in str(found)


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in ("only-in-a-line", "extends-nothing")])
def test_at_runtime_a_broken_template_gives_the_built_in_card(name: str, tmp_path: Path) -> None:
    """The alert is reported all the same, with the fault."""
    title, body, fault = drawn_by(own(tmp_path, "mine", BROKEN[name][0]), "mine")
    assert title == "🔴 Critical: Sales EU — Longest wait in queue"
    assert body[0] == "Sales EU: *longest wait 2m 10s*, limit 2m"
    assert BROKEN[name][2] in fault


def test_a_template_that_is_not_there(tmp_path: Path) -> None:
    """The fault names the templates that exist."""
    with pytest.raises(FaultsFound, match=r"there is no template 'alrt' \(did you mean 'alert'\?\)"):
        check_template("alrt", [tmp_path])
    assert "no template '../../etc/passwd'" in drawn_by(Templates([tmp_path]), "../../etc/passwd")[2]


def test_the_templates_that_ship_pass_their_check() -> None:
    """Every built-in template draws every sample, strictly."""
    for name in TEMPLATES.names():
        check_template(name)
    assert len({(view.alert.level, view.alert.state, bool(view.alert.acked_by)) for view in sample_cards()}) == 15


def test_a_zone_that_is_not_known_is_utc() -> None:
    """A card is sent even if its zone is misspelt."""
    drawn = TEMPLATES.card(replace(card(FIRING), timezone="Europe/Nowhere"), PlainPen())
    assert "08:55 UTC" in drawn.body[1]


def test_a_clock_that_was_set_back_gives_no_negative_duration() -> None:
    """A duration is never below zero."""
    drawn = TEMPLATES.card(card(replace(RESOLVED, ended_at=NOW - timedelta(hours=1))), PlainPen())
    assert drawn.body[0].startswith("Resolved after 0s")


def test_highest_level_is_shown_when_it_fell() -> None:
    """A card whose level fell shows the highest level."""
    assert ("Highest level", "Critical") in TEMPLATES.card(card(CARDS["fallen"]), PlainPen()).fields
    assert not any(label == "Highest level" for label, _ in TEMPLATES.card(card(FIRING), PlainPen()).fields)
    assert FIRING.level is Level.CRITICAL
    assert NASTY_ALERT.entity_name == NASTY


def feed_alert(value: float | None, **more: Any) -> Alert:
    """No data from 8x8: the last values came at 10:56:50, and the alert fired at 10:59."""
    return replace(
        FIRING,
        key=FIRING.key._replace(rule="feed-stale", scope=Scope.FEED, entity_id="acme"),
        entity_name="acme",
        about=About("No data from 8x8", "no data from 8x8 for 2m", template="feed", detail=more.pop("detail")),
        fired_at=NOW - timedelta(minutes=1),
        measure=Measure("feed.silence", ValueType.DURATION, ">", value, 120_000.0),
        peak=190_000.0,
        peak_at=NOW,
        **more,
    )


def test_missing_data_is_dated_from_the_last_data() -> None:
    """The card says when the data ended, which is before the alert began."""
    alert = feed_alert(190_000.0, detail="no data for 3m 10s: 503 from 8x8")
    drawn = TEMPLATES.card(card(alert), PlainPen())
    assert drawn.fault is None
    assert drawn.title == "🔴 Critical: No data from 8x8 — acme"
    assert drawn.body[0] == "No data since 2026-03-02 10:56 EET, for 3m 10s: 503 from 8x8."
    assert not any("ondition" in label for label, _ in drawn.fields)
    detail = "back after 3m 10s without data; no alert changed meanwhile"
    ended = feed_alert(0.0, detail=detail, state=State.INACTIVE, ended_at=NOW)
    drawn = TEMPLATES.card(card(ended), PlainPen())
    assert drawn.body == (f"Resolved after 1m (10:59 EET to 11:00 EET): {detail}.",)


def test_the_tenant_only_where_there_are_several() -> None:
    """With one tenant its name says nothing."""
    alone = card(FIRING, show_tenant=False)
    assert TEMPLATES.card(card(FIRING), PlainPen()).context[:2] == ("#17", "acme")
    assert TEMPLATES.card(alone, PlainPen()).context == ("#17", "team=sales")
    feed = card(feed_alert(190_000.0, detail="no data for 3m"), show_tenant=False)
    assert TEMPLATES.card(feed, PlainPen()).title == "🔴 Critical: No data from 8x8"


def test_the_news_of_an_end_is_what_ended_it() -> None:
    """A status that changed, not the time in it, which began again; never a sentence with the condition in it."""
    back = line(Reason.RESOLVED, alert=RESOLVED, text="status is Available")
    assert TEMPLATES.line(back, PlainPen()).text.endswith("Resolved after 5m: status is Available.")
    clear = line(Reason.RESOLVED, alert=RESOLVED, text="20s is clear (interactionsLongestWaitInQueue.rt < 45s)")
    assert TEMPLATES.line(clear, PlainPen()).text.endswith("Resolved after 5m: longest wait 20s, limit 2m.")


def test_a_line_in_a_notification_says_what_it_is_about() -> None:
    """The push text of a line names entity and alert, since no card is around it."""
    drawn = TEMPLATES.line(LINES["acknowledged"], PlainPen())
    assert drawn.summary == "Sales EU — Longest wait in queue: Acknowledged by U0ALICE00: calling in Sam."


# Follow-ups, and what is known.

LONG = replace(FIRING, fired_at=NOW - timedelta(minutes=45, seconds=12))
OWNED = replace(LONG, acked_by="U0ALICE00", acked_at=NOW - timedelta(hours=2))
UNSEEN = replace(FIRING, unseen_since=NOW - timedelta(hours=1), pending_since=NOW - timedelta(minutes=5))
NO_DATA = replace(LONG, no_data_since=NOW - timedelta(minutes=5))


@pytest.mark.parametrize(
    ("alert", "reason", "more", "expected"),
    [
        pytest.param(
            LONG,
            Reason.REMINDER,
            {},
            "Still critical after 45m, not acknowledged: longest wait 2m 10s, limit 2m.",
            id="a reminder",
        ),
        pytest.param(
            replace(LONG, fired_at=NOW - timedelta(seconds=90)),
            Reason.REMINDER,
            {},
            "Still critical after 1m 30s, not acknowledged: longest wait 2m 10s, limit 2m.",
            id="a short while is given to the second",
        ),
        pytest.param(
            NO_DATA,
            Reason.REMINDER,
            {},
            "Still critical after 45m, not acknowledged: no data since 10:55 EET.",
            id="a reminder without data",
        ),
        pytest.param(
            replace(NO_DATA, no_data_since=NOW + timedelta(minutes=1)),
            Reason.REMINDER,
            {},
            "Still critical after 45m, not acknowledged: longest wait 2m 10s, limit 2m.",
            id="data that was lost later is not of this line",
        ),
        pytest.param(
            replace(LONG, measure=None),
            Reason.REMINDER,
            {},
            "Still critical after 45m, not acknowledged.",
            id="nothing that can be shown",
        ),
        pytest.param(
            OWNED,
            Reason.REMINDER,
            {"by": "U0ALICE00"},
            "Still critical 2h after U0ALICE00 acknowledged it: longest wait 2m 10s, limit 2m.",
            id="a nag",
        ),
        pytest.param(
            LONG,
            Reason.ESCALATED,
            {"text": "#managers and <!channel>"},
            "Escalated to #managers and <!channel>: critical for 45m, not acknowledged; longest wait 2m 10s, limit 2m.",
            id="a step",
        ),
        pytest.param(
            UNSEEN,
            Reason.FIRED,
            {"text": "2m 10s is above 2m"},
            "Critical: longest wait 2m 10s, limit 2m, since at least 10:55 EET (no data from 10:00 EET to 10:55 EET).",
            id="it began unseen",
        ),
    ],
)
def test_what_a_line_says(alert: Alert, reason: Reason, more: dict[str, Any], expected: str) -> None:
    """With the values of the moment at which it was decided."""
    drawn = TEMPLATES.line(line(reason, **{"alert": alert, "text": "", **more}), PlainPen())
    assert drawn.fault is None
    assert drawn.text == f"🔴 11:00:00 EET {expected}"
    assert drawn.summary == f"Sales EU — Longest wait in queue: {expected}"


@pytest.mark.parametrize(
    ("alert", "expected"),
    [
        pytest.param(
            UNSEEN,
            "Since at least 2026-03-02 10:55 EET (no data from 10:00 EET to 10:55 EET).",
            id="it began unseen",
        ),
        pytest.param(
            replace(UNSEEN, unseen_since=NOW - timedelta(days=2)),
            "Since at least 2026-03-02 10:55 EET (no data from 2026-02-28 11:00 EET to 10:55 EET).",
            id="two days ago",
        ),
        pytest.param(NO_DATA, "No data since 2026-03-02 10:55 EET; showing the last known state.", id="no data"),
        pytest.param(
            replace(FIRING, unstable=True),
            "Unstable: this alert keeps firing and clearing, so it must stay clear for longer before it resolves.",
            id="unstable",
        ),
    ],
)
def test_what_a_card_says_of_its_data(alert: Alert, expected: str) -> None:
    """While it is open; a closed card has nothing of it."""
    drawn = TEMPLATES.card(card(alert), PlainPen())
    assert drawn.fault is None
    assert expected in drawn.body
    ended = replace(alert, state=State.INACTIVE, ended_at=NOW, end_reason=Reason.RESOLVED)
    closed = TEMPLATES.card(card(ended), PlainPen()).body
    assert closed[0].startswith("Resolved after ")
    assert [line.split()[0] for line in closed] == ["Resolved", "From"]


@pytest.mark.parametrize(
    ("name", "title", "body"),
    [
        pytest.param(
            "firing",
            "🔴 Critical, escalated: Sales EU — Longest wait in queue",
            (
                "Sales EU — Longest wait in queue: critical.",
                "Since 2026-03-02 10:55 EET, escalated after 10m.",
                "Not acknowledged.",
                "2026-03-02 11:00 EET: longest wait 2m 10s, limit 2m",
            ),
            id="firing",
        ),
        pytest.param(
            "acknowledged",
            "👀 Critical, acknowledged, escalated: Sales EU — Longest wait in queue",
            (
                "Sales EU — Longest wait in queue: critical.",
                "Since 2026-03-02 10:55 EET, escalated after 10m.",
                "Acknowledged by U0ALICE00, 2026-03-02 10:59 EET: calling in Sam.",
                "2026-03-02 11:00 EET: longest wait 2m 10s, limit 2m",
            ),
            id="acknowledged",
        ),
        pytest.param(
            "resolved",
            "🟢 Resolved: Sales EU — Longest wait in queue",
            (
                "Resolved after 5m: longest wait 2m 20s at worst, 20s at the end.",
                "From 2026-03-02 10:55 EET to 11:00 EET.",
            ),
            id="resolved",
        ),
    ],
)
def test_the_message_of_an_escalation(name: str, title: str, body: tuple[str, ...], tmp_path: Path) -> None:
    """Which alert, how bad, and who has it; with the built-in words, whatever the template of the rule."""
    alert = replace(CARDS[name], about=replace(CARDS[name].about, template="mine", message="never shown"))
    own(tmp_path, "mine", "{% extends 'alert.j2' %}{% block body %}mine{% endblock %}")
    drawn = Templates([tmp_path]).card(card(alert, escalated=timedelta(minutes=10)), PlainPen())
    assert drawn.fault is None
    assert (drawn.title, drawn.body) == (title, body)
    assert drawn.summary


def test_a_broken_template_of_escalations(tmp_path: Path) -> None:
    """The built-in one takes its place, not that of an alert."""
    templates = own(tmp_path, "escalation", "{% extends 'alert.j2' %}{% block title %}{{ card.nothing }}{% endblock %}")
    drawn = templates.card(card(FIRING, escalated=timedelta(minutes=10)), PlainPen())
    assert drawn.title == "🔴 Critical, escalated: Sales EU — Longest wait in queue"
    assert drawn.fault is not None
