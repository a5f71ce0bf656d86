"""A Reply as a Slack message: within Slack's limits, and with data shown as it is."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block

from alertbot.commands.answers import COMMANDS
from alertbot.commands.command import Line, Person, Reply, Table, line
from alertbot.rules.rule import Level
from alertbot.slack.replies import MAX_FALLBACK, slack_message, text_message
from alertbot.slack.text import MrkdwnPen

EVIL = "<!channel> @here & <http://x|y> *bold* _it_ ~no~ `code`"


def texts(message: dict[str, object]) -> list[str]:
    blocks = message["blocks"]
    assert isinstance(blocks, list)
    return [block["text"]["text"] for block in blocks]


def check_limits(message: dict[str, object]) -> None:
    """Why Slack would refuse the message (docs.slack.dev/reference/block-kit)."""
    blocks = message["blocks"]
    assert isinstance(blocks, list)
    assert len(blocks) <= 50
    assert all(0 < len(text) <= 3000 for text in texts(message))
    assert sum(map(len, texts(message))) <= 12_000
    assert 0 < len(str(message["text"])) <= 4000
    assert all(block["text"]["verbatim"] is True for block in blocks)
    for block in blocks:
        parsed = Block.parse(block)
        assert parsed is not None
        parsed.to_dict()  # raises on what slack_sdk knows to be too long


def test_lines_and_table() -> None:
    """Lines become one section, a table monospaced text with aligned columns, in the order of the answer."""
    reply = Reply(
        (
            Line("Queue Sales (id 1)", strong=True),
            line("#17 critical, taken by ", Person("U012ANNA"), level=Level.CRITICAL),
            Table(("Metric", "Value"), (("Waiting", "7"), ("Longest wait 東京", "2m 41s"))),
            Line("rt > $crit", level=Level.WARNING, code=True),
        )
    )
    message = slack_message(reply)
    assert texts(message) == [
        "*Queue Sales (id 1)*\n🔴 #17 critical, taken by <@U012ANNA>",
        "```\nMetric             Value\nWaiting            7\nLongest wait 東京  2m 41s\n```",
        "🟠 `rt &gt; $crit`",
    ]
    assert message["text"] == (
        "Queue Sales (id 1)\n#17 critical, taken by <@U012ANNA>\nWaiting: 7\nLongest wait 東京: 2m 41s\nrt &gt; $crit"
    )
    check_limits(message)


def test_a_table_too_wide_for_a_phone_is_lines() -> None:
    """Monospaced text wraps in the middle of a row where it is wide; lines wrap between words."""
    reply = Reply(
        (
            Line("Rules"),
            Table(
                ("Rule", "Scope", "Levels", "Open"),
                (("longest-wait-of-all", "queue", "critical, warning", "1"), ("on-break", "queue_agent", "info", "")),
            ),
            Line("end"),
        )
    )
    assert texts(slack_message(reply)) == [
        "Rules",
        "• longest-wait-of-all: queue · levels critical, warning · open 1\n• on-break: queue_agent · levels info\nend",
    ]


def test_help_fits_a_phone() -> None:
    """No line of `help` is monospaced text."""
    rows = tuple((row.usage, row.help) for row in COMMANDS)
    shown = "".join(texts(slack_message(Reply((Table(("What", "Answer"), rows),)))))
    assert "`" not in shown
    assert "• ack ID [note]: Acknowledge an alert" in shown


@pytest.mark.parametrize(
    ("public", "problem", "kind"),
    [(False, False, "ephemeral"), (True, False, "in_channel"), (True, True, "ephemeral"), (False, True, "ephemeral")],
)
def test_who_sees_it(public: bool, problem: bool, kind: str) -> None:
    """Only a good answer that was asked to be public is shared."""
    assert slack_message(Reply((Line("x"),), problem=problem), public=public)["response_type"] == kind


@pytest.mark.parametrize(
    "part",
    [
        Line(EVIL),
        Line(EVIL, strong=True),
        Line(EVIL, code=True),
        line("by ", Person("U1A"), ": " + EVIL),
        Line("", pieces=(Person(EVIL),)),
        Table((EVIL, EVIL), ((EVIL, EVIL),)),
    ],
    ids=["plain", "strong", "code", "beside a person", "as a person", "table"],
)
def test_data_mentions_no_one(part: Line | Table) -> None:
    """A name made of control sequences is shown as it is: no mention, no link, no format, in blocks and fallback."""
    message = slack_message(Reply((part,)))
    for text in [*texts(message), str(message["text"])]:
        assert not re.search(r"<(?!@U1A>)", text), text
        assert not re.search(r"&(?!(amp|lt|gt);)", text), text
        code = re.fullmatch(r"```\n(.*)\n```|`(.*)`", text, re.DOTALL)
        if code:  # nothing is formatted there, and nothing inside ends it
            assert "`" not in (code[1] or code[2])
        else:
            inner = text.removeprefix("*").removesuffix("*") if isinstance(part, Line) and part.strong else text
            assert not re.search(r"(?<!\w)[*_~`](?!\u200b)|(?<!\u200b)[*_~`](?!\u200b)(?!\w)", inner), text
    check_limits(message)


def test_a_person_is_a_mention_only_with_a_slack_id() -> None:
    """A local user's name is text, even if it looks like an id."""
    shown = slack_message(Reply((line("by ", Person("bob<@U1>")),)))["text"]
    assert shown == "by bob&lt;@U1&gt;"


def test_names_cannot_change_the_direction() -> None:
    """In a line, in code, in a table and in the fallback, nothing changes the direction of the text after a name."""
    evil = "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x1B, 0x9B, 0xD800)))
    name = f"a{evil}b"
    message = slack_message(Reply((Line(name), Line(name, code=True), Table((name, "x"), ((name, name),)))))
    assert not any(char in json.dumps(message, ensure_ascii=False) for char in evil)
    assert texts(message)[0] == "a b\n`a b`"


def test_names_cannot_draw_lines() -> None:
    """A line break in a name does not start another line, nor end a table's text."""
    message = slack_message(Reply((Line("a\nfake line\u2028b"), Table(("x",), (("q\n```\n<!here>",),)))))
    assert texts(message) == ["a fake line b", "```\nx\nq ˋˋˋ &lt;!here&gt;\n```"]


def test_an_answer_escapes_as_a_card_does() -> None:
    """One escaping for cards and answers: emoji codes and quote marks in names are shown as they are in both."""
    name = "> :fire: *Sales* a_b"
    assert texts(slack_message(Reply((Line(name),)))) == [MrkdwnPen().escape(name)]
    assert ":fire:" not in MrkdwnPen().escape(name)


@pytest.mark.parametrize("code", [False, True], ids=["text", "code"])
@pytest.mark.parametrize("char", ["&", "*", "`", "😀"])
def test_a_line_that_grows_when_escaped_is_cut(char: str, code: bool) -> None:
    """Every character may become several: the limit of a text object is respected all the same."""
    check_limits(slack_message(Reply((Line(char * 5_000, strong=True, code=code),))))


def test_words_keep_their_underscores() -> None:
    """Nothing is inserted into a word: it can be copied."""
    assert texts(slack_message(Reply((Line("Sales_EU_2 a*b"),)))) == ["Sales_EU_2 a*b"]


def test_long_answers_are_cut_visibly() -> None:
    """What does not fit is counted, not dropped silently."""
    reply = Reply(tuple(Line(f"line {i} " + "x" * 180) for i in range(300)))
    message = slack_message(reply)
    check_limits(message)
    shown = sum(text.count("line ") for text in texts(message)[:-1])
    assert texts(message)[-1] == f"and {300 - shown} more lines"
    assert str(message["text"]).endswith("…")
    assert len(str(message["text"])) <= MAX_FALLBACK + 2


def test_a_plain_sentence() -> None:
    """One sentence is an ephemeral message."""
    message = text_message("One moment.")
    assert (message["response_type"], message["text"], texts(message)) == ("ephemeral", "One moment.", ["One moment."])


_text = st.text(st.characters(codec="utf-8"), max_size=400)
_part = st.one_of(
    st.builds(Line, _text, st.sampled_from([None, *Level]), st.booleans(), st.booleans()),
    st.builds(
        lambda width, cells: (
            Table(
                tuple(cells[:width]) or ("a",),
                tuple(tuple(cells[i : i + width]) for i in range(len(cells) - width + 1)),
            )
            if cells and width
            else Table(("a",), (("b",),))
        ),
        st.integers(1, 4),
        st.lists(_text, max_size=30),
    ),
)


@given(st.lists(_part, min_size=1, max_size=60))
def test_any_reply_is_a_message_that_slack_accepts(parts: list[Line | Table]) -> None:
    """For any data, the limits are respected and only alertbot's own mentions are control sequences."""
    good = [part for part in parts if isinstance(part, Line) or all(len(r) == len(part.head) for r in part.rows)]
    message = slack_message(Reply((*good, Line("end"))))
    check_limits(message)
    assert "<" not in json.dumps(message, ensure_ascii=False)
