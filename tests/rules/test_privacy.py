"""Names of agents as initials, and texts that hold names."""

from __future__ import annotations

import pytest

from alertbot.rules.catalogue import Scope
from alertbot.rules.privacy import NAMES_IN_FULL, Agent, Names, initials

INITIALS = {
    "Dana Whitfield": "DW",
    "dana whitfield": "DW",
    "  Dana \u00a0 Whitfield ": "DW",
    "Madonna": "M",
    "Mary O'Neil": "MO",
    "Élodie d’Arc": "ÉD",
    "Anna-Maria Lopez": "AML",
    "van der Berg": "VDB",
    "Whitfield, Dana (Sales)": "WDS",
    "dana.whitfield@acme.example": "DW",
    "dana_whitfield": "DW",
    "Agent 12": "A1",
    "u\u0308nal öz": "ÜÖ",
    "田中 太郎": "田太",
    "김민수": "김",
    "محمد علي": "مع",
    "राम कुमार": "राकु",
    "ßa": "ß",
    "ﬁona x": "FX",
    "🌟 Dana 🌟": "D",
    "🌟": "",
    "": "",
    "@": "",
}


@pytest.mark.parametrize("name", INITIALS)
def test_initials(name: str) -> None:
    """The first letter of each word with its marks; nothing where there is no letter."""
    assert initials(name) == INITIALS[name]


KNOWN = (
    Agent("acme", "A1", "Dana Whitfield"),
    Agent("acme", "A2", "Dora Winter"),
    Agent("acme", "A3", "Mary O'Neil"),
    Agent("acme", "A4", "राम कुमार"),
    Agent("acme", "A5", "Sales"),
    Agent("acme", "A6", "🌟"),
    Agent("acme", "A7", "Ann Lee Moss"),
    Agent("acme", "A8", "Ann Lee"),
    Agent("acme", "A9", "Sam Poe"),
    Agent("acme", "A10", "Sam Poe"),
    Agent("beta", "B1", "Dan Wu"),
)
HIDDEN = Names(KNOWN, hidden=True)

SHOWN = {
    "equal initials have the id": (("acme", Scope.AGENT, "A1", "Dana Whitfield"), "DW (A1)"),
    "in every scope of agents": (("acme", Scope.QUEUE_AGENT, "A2", "Dora Winter"), "DW (A2)"),
    "of another tenant": (("beta", Scope.GROUP_AGENT, "B1", "Dan Wu"), "DW"),
    "one of its kind": (("acme", Scope.AGENT, "A3", "Mary O'Neil"), "MO"),
    "an agent that no poll has seen": (("acme", Scope.AGENT, "A99", "Xu Yi"), "XY"),
    "and has the initials of another": (("acme", Scope.AGENT, "A99", "Mia Olsen"), "MO (A99)"),
    "a new name of the same agent": (("acme", Scope.AGENT, "A3", "Mary Ortiz"), "MO"),
    "no letter": (("acme", Scope.AGENT, "A6", "🌟"), "A6"),
    "no name": (("acme", Scope.AGENT, "A6", ""), ""),
    "a queue": (("acme", Scope.QUEUE, "103", "Dana Whitfield"), "Dana Whitfield"),
    "a feed": (("acme", Scope.FEED, "acme", "acme"), "acme"),
}


@pytest.mark.parametrize(("entity", "shown"), SHOWN.values(), ids=SHOWN)
def test_the_name_of_an_entity(entity: tuple[str, Scope, str, str], shown: str) -> None:
    """Only agents are hidden, and two of one tenant are told apart."""
    assert HIDDEN.of(*entity) == shown
    assert NAMES_IN_FULL.of(*entity) == entity[3]


TEXTS = {
    "a name": ("closed by Dana Whitfield.", "closed by DW (A1)."),
    "as typed": ("DANA   whitfield's break", "DW (A1)'s break"),
    "quoted, and joined": ("'Dora Winter', dora_winter", "'DW (A2)', DW (A2)"),
    "over two lines": ("Dora\nWinter", "DW (A2)"),
    "another apostrophe": ("Mary O’Neil", "MO"),
    "another script": ("राम कुमार ठीक", "राकु ठीक"),
    "the longest name": ("Ann Lee Moss and Ann Lee", "ALM and AL"),
    "two agents of one name": ("Sam Poe", "SP"),
    "part of a longer word": ("Dana Whitfields, Adana Whitfield", "Dana Whitfields, Adana Whitfield"),
    "words too far apart": ("Dana or the other Whitfield", "Dana or the other Whitfield"),
    "a name of one word may be a word": ("Sales EU", "Sales EU"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("text", "shown"), TEXTS.values(), ids=TEXTS)
def test_a_text(text: str, shown: str) -> None:
    """Full names of known agents are replaced, wherever they stand."""
    assert HIDDEN.text(text) == shown
    assert NAMES_IN_FULL.text(text) == text


PATTERNS = {
    "a full name": ("dana  whitfield", "DW (A1)"),
    "a name of one word": ("sales", "S"),
    "a wildcard that means one agent": ("Dana W*", "DW (A1)"),
    "one that means several": ("S* P*", "S* P*"),
    "a part of a word": ("Sales*", "Sales*"),
    "everything": ("*", "*"),
    "what is no agent": ("Support EU", "Support EU"),
}


@pytest.mark.parametrize(("pattern", "shown"), PATTERNS.values(), ids=PATTERNS)
def test_the_pattern_of_a_silence(pattern: str, shown: str) -> None:
    assert HIDDEN.pattern(pattern) == shown
    assert NAMES_IN_FULL.pattern(pattern) == pattern


def test_what_was_typed_may_be_what_was_shown() -> None:
    """Where names are hidden, users know the initials alone; what may mean several agents means none."""
    typed = ("DW (A1)", "dw (a2)", "MO", "DW", "Dana Whitfield")
    assert [HIDDEN.meant(each) for each in typed] == [
        *("Dana Whitfield", "Dora Winter", "Mary O'Neil"),
        *("Dan Wu", "Dana Whitfield"),
    ]
    assert NAMES_IN_FULL.meant("MO") == "MO"


def test_a_name_changes_once_and_stays() -> None:
    """When a second agent with its initials appears. One that leaves is known all the same."""
    one = Names(KNOWN[:1], hidden=True)
    assert one.of("acme", Scope.AGENT, "A1", "Dana Whitfield") == "DW"
    assert one.including(KNOWN[:1]) is one
    both = one.including(KNOWN[1:2])
    assert both.of("acme", Scope.AGENT, "A1", "Dana Whitfield") == "DW (A1)"
    assert NAMES_IN_FULL.including(KNOWN) is NAMES_IN_FULL
    assert one.seeing("acme", ("A1",), ("Dana Whitfield",)) is one
    seen = one.seeing("acme", ("A1", "A2"), ("Dana Whitfield", "Dora Winter"))
    assert seen.of("acme", Scope.AGENT, "A1", "Dana Whitfield") == "DW (A1)"
