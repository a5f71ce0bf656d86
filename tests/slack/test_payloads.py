"""Everything that is sent to Slack is within its documented limits: every kept message, and messages of any data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertbot.alerts.alert import Alert, Reason, State
from alertbot.charts.series import Samples
from alertbot.evaluation.measure import Measure
from alertbot.notify.notifier import CardContent, LineContent
from alertbot.notify.render import Templates
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Level
from alertbot.slack.cards import SlackMessage, card_message, line_message, plain_card_message, plain_line_message
from alertbot.slack.text import FallbackPen, MrkdwnPen
from tests.golden import DATA
from tests.notify.cases import FIRING, NASTY, NOW, SILENCE, ZONE, notice
from tests.slack.block_kit import problems, view_problems

KEPT = sorted((DATA / "slack").glob("*.json"))


def problems_of(kept: Any) -> list[str]:
    """Of a message, of several ones, or of a view (which has a type)."""
    if isinstance(kept, list) and all("type" not in each for each in kept):
        return [problem for each in kept for problem in problems_of(each)]
    if isinstance(kept, list):  # the elements of a block
        kept = {"text": "buttons", "blocks": [{"type": "actions", "elements": kept}]}
    return view_problems(kept) if kept.get("type") in ("modal", "home") else problems(kept)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_kept_message_is_one_that_slack_takes(path: Path) -> None:
    assert problems_of(json.loads(path.read_text(encoding="utf-8"))) == []


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True, **more}


def section(text: str = "x", **more: Any) -> dict[str, Any]:
    return {"type": "section", "text": mrkdwn(text), **more}


def button(**more: Any) -> dict[str, Any]:
    return {"type": "button", "action_id": "why", "text": plain("Why"), "value": "17", **more}


def select(*options: Any, **more: Any) -> dict[str, Any]:
    return {"type": "static_select", "action_id": "s", "placeholder": plain("Silence"), "options": options, **more}


def option(value: str = "1h 17", text: str = "1 hour") -> dict[str, Any]:
    return {"text": plain(text), "value": value}


def actions(*elements: Any, **more: Any) -> dict[str, Any]:
    return {"type": "actions", "elements": list(elements), **more}


def message(*blocks: Any, text: str = "text", **more: Any) -> dict[str, Any]:
    return {"text": text, "blocks": list(blocks), **more}


GOOD = {
    "a card": message(
        {"type": "header", "text": plain("x" * 150)},
        section("*x* <@U0123> <!here> <!date^1^{time}|10:00 EET> <https://x.example/|y> &amp;"),
        section(fields=[mrkdwn("x" * 2000)] * 3),
        actions(button(), select(option(), option("close 17")), block_id="alert-17"),
        {"type": "context", "elements": [mrkdwn("x")] * 10},
        metadata={"event_type": "alertbot_notice", "event_payload": {"notice_id": "abc"}},
        attachments=[{"color": "#c4314b", "blocks": [section()]}],
    ),
    "a picture": message({"type": "image", "slack_file": {"id": "F1"}, "alt_text": "a chart"}),
    "text only": {"text": "x" * 4000},
}
BAD = {
    "nothing": ({}, "no_text"),
    "long text": (message(text="x" * 4001), "msg_too_long"),
    "a mention in the text": (message(text="<!channel|x>"), "no control sequence"),
    "an ampersand": (message(section("a & b")), "an ampersand"),
    "51 blocks": (message(*[section()] * 51), "51 blocks"),
    "51 blocks with attachments": (message(*[section()] * 26, attachments=[{"blocks": [section()] * 25}]), "51 blocks"),
    "a colour": (message(attachments=[{"color": "red", "blocks": [section()]}]), "color"),
    "all of it": (message(*[section("x" * 2700)] * 5), "msg_blocks_too_long"),
    "a block nobody knows": (message({"type": "alert", "text": plain("x")}), "unknown type 'alert'"),
    "a long header": (message({"type": "header", "text": plain("x" * 151)}), "text of 151"),
    "mrkdwn in a header": (message({"type": "header", "text": mrkdwn("x")}), "text is mrkdwn"),
    "an empty section": (message({"type": "section"}), "neither text nor fields"),
    "an empty text": (message(section("")), "text of 0"),
    "a long section": (message(section("x" * 3001)), "text of 3001"),
    "11 fields": (message(section(fields=[mrkdwn("x")] * 11)), "11 fields"),
    "a long field": (message(section(fields=[mrkdwn("x" * 2001)])), "field of 2001"),
    "not verbatim": (message({"type": "section", "text": {"type": "mrkdwn", "text": "x"}}), "not verbatim"),
    "11 in a context": (message({"type": "context", "elements": [mrkdwn("x")] * 11}), "11 elements"),
    "26 buttons": (message(actions(*[button(action_id=str(i)) for i in range(26)])), "26 elements"),
    "no buttons": (message(actions()), "0 elements"),
    "a long label": (message(actions(button(text=plain("x" * 76)))), "text of 76"),
    "mrkdwn in a label": (message(actions(button(text=mrkdwn("x")))), "text is mrkdwn"),
    "a long value": (message(actions(button(value="x" * 2001))), "value of 2001"),
    "a long action_id": (message(actions(button(action_id="x" * 256))), "action_id of 256"),
    "no action_id": (message(actions(button(action_id=""))), "without action_id"),
    "an action_id twice": (message(actions(button(), button())), "action_id twice"),
    "a block_id twice": (message(*[actions(button(), block_id="a")] * 2), "block_id twice"),
    "a long block_id": (message(actions(button(), block_id="x" * 256)), "block_id of 256"),
    "a style": (message(actions(button(style="green"))), "style"),
    "101 options": (message(actions(select(*[option(str(i)) for i in range(101)]))), "101 options"),
    "no options": (message(actions(select())), "0 options"),
    "an option twice": (message(actions(select(option(), option()))), "a value twice"),
    "a long option": (message(actions(select(option(text="x" * 76)))), "option of 76"),
    "a long option value": (message(actions(select(option("x" * 151)))), "value of 151"),
    "another initial option": (message(actions(select(option(), initial_option=option("2h")))), "no option"),
    "6 in an overflow": (
        message(actions({"type": "overflow", "action_id": "o", "options": [option(str(i)) for i in range(6)]})),
        "6 options",
    ),
    "an element nobody knows": (message(actions({"type": "slider", "action_id": "s"})), "unknown element"),
    "a long confirmation": (message(actions(button(confirm={"title": plain("x" * 101)}))), "title of confirm"),
    "no alt text": (message({"type": "image", "slack_file": {"id": "F1"}, "alt_text": ""}), "alt_text"),
    "two pictures": (
        message({"type": "image", "slack_file": {"id": "F1"}, "image_url": "https://x", "alt_text": "x"}),
        "image_url or slack_file",
    ),
    "metadata with a list": (
        message(metadata={"event_type": "x", "event_payload": {"ids": [1]}}),
        "invalid_metadata: ids",
    ),
    "metadata with capitals": (message(metadata={"event_type": "X", "event_payload": {}}), "invalid_metadata: name"),
}


@pytest.mark.parametrize("sent", GOOD.values(), ids=GOOD)
def test_what_is_within_the_limits(sent: dict[str, Any]) -> None:
    assert problems(sent) == []


@pytest.mark.parametrize(("sent", "expected"), BAD.values(), ids=BAD)
def test_what_is_beyond_a_limit(sent: dict[str, Any], expected: str) -> None:
    found = problems(sent)
    assert any(expected in each for each in found), found


def modal(*blocks: Any, **more: Any) -> dict[str, Any]:
    return {"type": "modal", "title": plain("Silence"), "submit": plain("OK"), "blocks": list(blocks), **more}


def entry(**more: Any) -> dict[str, Any]:
    element = {"type": "plain_text_input", "action_id": "until", **more}
    return {"type": "input", "block_id": "until", "label": plain("Until"), "element": element}


BAD_VIEWS = {
    "a long title": (modal(title=plain("x" * 25)), "title of 25"),
    "a long button": (modal(submit=plain("x" * 25)), "submit of 25"),
    "101 blocks": (modal(*[section()] * 101), "101 blocks"),
    "private metadata": (modal(private_metadata="x" * 3001), "private_metadata of 3001"),
    "an input without submit": ({"type": "modal", "title": plain("x"), "blocks": [entry()]}, "needs submit"),
    "a long input": (modal(entry(max_length=3001)), "max_length"),
    "another type": ({**modal(), "type": "dialog"}, "type 'dialog'"),
}


def test_views_within_the_limits() -> None:
    assert view_problems(modal(entry(), section(), callback_id="silence", private_metadata="17")) == []
    assert view_problems({"type": "home", "blocks": [section()] * 100}) == []


@pytest.mark.parametrize(("view", "expected"), BAD_VIEWS.values(), ids=BAD_VIEWS)
def test_views_beyond_a_limit(view: dict[str, Any], expected: str) -> None:
    found = view_problems(view)
    assert any(expected in each for each in found), found


# Messages of any data.

TEMPLATES = Templates()
ANY = st.one_of(
    st.text(max_size=40),
    st.text(max_size=12).map(lambda text: text * 90),
    st.sampled_from([NASTY, "<@U0123456>", "&amp;", "*_~`", "x" * 4000, "\u202e\x00", "🐢" * 500]),
)
MEASURES = st.builds(
    Measure,
    st.sampled_from(["interactionsWaitInQueue.rt", "slaPercentage.int-30m", "status.rt", "a.rt / b.rt"]) | ANY,
    st.sampled_from(ValueType),
    st.sampled_from([">", "<", "==", ""]),
    st.none() | st.floats(0, 1e13),
    st.none() | st.floats(0, 1e13),
)


@st.composite
def alerts(draw: st.DrawFn) -> Alert:
    state = draw(st.sampled_from([State.FIRING, State.RECOVERING, State.INACTIVE]))
    ended = state is State.INACTIVE
    owner = draw(st.none() | ANY.filter(bool))
    return replace(
        FIRING,
        id=draw(st.integers(1, 10**9)),
        key=FIRING.key._replace(entity_id=draw(st.text(max_size=30)), scope=draw(st.sampled_from(Scope))),
        entity_name=draw(ANY),
        parent_name=draw(st.just("") | ANY),
        about=replace(
            FIRING.about,
            title=draw(ANY),
            message=draw(st.sampled_from(["", "{{ value }} of {{ entity }} {{ parent }}"])),
            template=draw(st.sampled_from(["alert", "feed"])),
            labels=draw(st.dictionaries(ANY, ANY, max_size=20)),
            detail=draw(ANY),
            advice=draw(ANY),
        ),
        state=state,
        level=draw(st.sampled_from(Level)),
        measure=draw(st.none() | MEASURES),
        peak=draw(st.none() | st.floats(0, 1e13)),
        acked_by=owner,
        acked_at=NOW if owner else None,
        ack_note=draw(ANY),
        ended_at=NOW if ended else None,
        end_reason=draw(st.sampled_from(list(Reason))) if ended else None,
        closed_by=draw(st.just("") | ANY),
        close_note=draw(ANY),
        no_data_since=draw(st.none() | st.just(NOW)),
        unstable=draw(st.booleans()),
    )


def sent(message: SlackMessage) -> dict[str, Any]:
    return {"text": message.text, "blocks": list(message.blocks), "attachments": list(message.attachments)}


TRENDS = st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=40).map(
    lambda values: Samples(
        tuple(NOW - timedelta(minutes=30 * at / 40) for at in range(len(values), 0, -1)), tuple(values)
    )
)


@given(
    members=st.lists(alerts(), min_size=1, max_size=25),
    mention=st.lists(st.sampled_from(["<@U0123>", "<!here>", "nobody", "<!subteam^S0123>"]), max_size=40),
    trend=st.none() | TRENDS,
    silenced=st.booleans(),
    escalated=st.none() | st.just(timedelta(minutes=10)),
    reason=st.sampled_from(list(Reason)),
    text=ANY,
    shared=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_card_and_any_line(
    members: Sequence[Alert],
    mention: Sequence[str],
    trend: Samples | None,
    silenced: bool,
    escalated: timedelta | None,
    reason: Reason,
    text: str,
    shared: bool,
) -> None:
    """Of one alert or of several, open or ended, in each template: nothing in it is refused."""
    content = CardContent(
        tuple(members),
        NOW,
        mention=tuple(mention),
        timezone=ZONE,
        silence=SILENCE if silenced else None,
        escalated=escalated,
        card_id=7,
        trend=trend,
    )
    drawn = TEMPLATES.card(content, MrkdwnPen(), FallbackPen())
    assert drawn.fault is None
    line = LineContent(
        notice(reason, alert=members[0], text=text, by=text, mention=tuple(mention)),
        members[0],
        timezone=ZONE,
        others=tuple(members[1:]),
        shared=shared,
    )
    written = TEMPLATES.line(line, MrkdwnPen(), FallbackPen())
    assert written.fault is None
    for message in (
        card_message(drawn),
        plain_card_message(drawn),
        line_message(written),
        plain_line_message(written),
    ):
        assert problems(sent(message)) == []
        given = f"{text}{members}"  # hypothesis likes to find these characters
        assert not (set(message.text) - set(given)) & set("▁▂▃▄▅▆▇█")  # a screen reader would read them one by one
