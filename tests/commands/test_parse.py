"""From the text after the slash to a Command."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertbot.commands.command import Command
from alertbot.commands.parse import parse
from alertbot.slack.text import escape

CASES = {
    "nothing": ("", Command("help")),
    "only blanks": (" \u00a0\t ", Command("help")),
    "a name": ("status", Command("status")),
    "any case": ("STATUS", Command("status")),
    "arguments": ("queue Sales EU", Command("queue", ("Sales", "EU"))),
    "blanks of all kinds": ("queue\u00a0Sales  \u202fEU\n", Command("queue", ("Sales", "EU"))),
    "unseen characters": ("\u200bqueue\ufeff Sales", Command("queue", ("Sales",))),
    "quotes": ('queue "Sales  EU"', Command("queue", ("Sales  EU",))),
    "smart quotes": ("queue “Sales EU”", Command("queue", ("Sales EU",))),
    "mixed quotes": ('queue „Sales EU"', Command("queue", ("Sales EU",))),
    "guillemets": ("queue «Sales EU»", Command("queue", ("Sales EU",))),
    "single quotes": ("agent 'Anna Smith'", Command("agent", ("Anna Smith",))),
    "smart single quotes": ("agent ‘Anna Smith’", Command("agent", ("Anna Smith",))),
    "an apostrophe is a letter": ("agent Conan O'Brien", Command("agent", ("Conan", "O'Brien"))),
    "an apostrophe inside quotes": ("agent 'Conan O'Brien'", Command("agent", ("Conan O'Brien",))),
    "a smart apostrophe": ("agent O’Brien", Command("agent", ("O’Brien",))),
    "an unclosed quote is a letter": ('queue 32" Screens', Command("queue", ('32"', "Screens"))),
    "quotes inside a word": ('silence name="Sales EU" 2h', Command("silence", ("name=Sales EU", "2h"))),
    "empty quotes": ('queue ""', Command("queue", ("",))),
    "public": ("status public", Command("status", public=True)),
    "public in any case": ("queue Sales Public", Command("queue", ("Sales",), public=True)),
    "public only at the end": ("queue public Sales", Command("queue", ("public", "Sales"))),
    "quoted public is a name": ('queue "public"', Command("queue", ("public",))),
    "public alone is no flag": ("public", Command("public")),
    "marks of direction, pasted": ('ack\u200e "\u202aSa\u00adles EU\u202c"', Command("ack", ("Sales EU",))),
    "copied from a message": (
        f"silence {escape('name=Sales* rule=* label._a=`x`')} 1h",
        Command("silence", ("name=Sales*", "rule=*", "label._a=`x`", "1h")),
    ),
    "an id with #": ("ack #17 on it", Command("ack", ("#17", "on", "it"))),
}


@pytest.mark.parametrize(("text", "command"), CASES.values(), ids=CASES)
def test_parse(text: str, command: Command) -> None:
    """Text becomes a Command, however a phone or a keyboard wrote it."""
    assert parse(text) == command


@given(st.text(max_size=200))
def test_parse_never_fails(text: str) -> None:
    """Whatever was typed, there is a Command with a name, and no word holds an unquoted blank at its edge."""
    command = parse(text)
    assert command.name or '"' in text or any(q in text for q in "'‘’‚‛“”„‟«»＂")


_ANY = st.characters(
    codec="utf-8",
    exclude_characters='"“”„‟«»＂\u200b\u2060\ufeff\u00ad\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069',
)


@given(st.lists(st.text(_ANY, max_size=8)))
def test_quoted_words_survive(words: list[str]) -> None:
    """Words in double quotes come out as they went in."""
    command = parse("x " + " ".join(f'"{word}"' for word in words))
    assert command == Command("x", tuple(words))


def test_a_long_text_of_quotes_is_quick() -> None:
    """Many quotes that nothing closes cost no more than one look each."""
    assert len(parse("x " + "'a " * 50_000).args) == 50_000
