"""One way to compare names: rules, overrides, rule tests and commands agree on what is the same name."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertbot.rules.match import Match, covers, exactly, fold, globs, matches, same_name

SAME = {
    "letter case": ("Sales EU", "sALES eu"),
    "sharp s": ("STRASSE", "straße"),
    "a combining accent": ("Zürich", "Zu\u0308rich"),
    "full width": ("Sales 1", "Ｓａｌｅｓ　１"),
    "a ligature": ("Office", "Oﬃce"),
    "two spaces": ("Sales EU", "Sales  EU"),
    "a no-break space": ("Sales EU", "Sales\u00a0EU"),
    "a tab and a line end": ("Sales EU", "\tSales\r\nEU"),
    "spaces at the ends": ("Sales EU", " Sales EU "),
    "a typographic apostrophe": ("O'Brien's", "O’Brien‘s"),
    "an acute accent as an apostrophe": ("O'Brien", "O´Brien"),
    "a backtick and a prime": ("O`Brien", "O′Brien"),
    "quotes of all kinds": ('The "A" team', "The «A» team"),
    "low and high quotes": ("The „A“ team", "The 'A' team"),
}
OTHERS = {
    "accents": ("Zürich", "Zurich"),
    "another letter": ("Sales EU", "Sales US"),
    "a space more inside": ("SalesEU", "Sales EU"),
    "punctuation": ("Sales-EU", "Sales EU"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_the_same_name(one: str, other: str) -> None:
    assert same_name(one, other)
    assert covers(Match(names=(one,)), "1", other)
    assert covers(Match(names=(other,)), "1", one)


@pytest.mark.parametrize(("one", "other"), OTHERS.values(), ids=OTHERS)
def test_another_name(one: str, other: str) -> None:
    assert not same_name(one, other)
    assert not covers(Match(names=(one,)), "1", other)


PATTERNS = {
    "a name with brackets": ("[EU] Sales", "[EU] Sales", True),
    "brackets are no class": ("[EU] Sales", "E Sales", False),
    "brackets and a star": ("[TEST]*", "[test] line", True),
    "not one of the letters": ("[TEST]*", "Sales EU", False),
    "other marks are literal": ("Sales (EU) +1.5", "Sales (EU) +1.5", True),
    "a point is a point": ("a.c", "abc", False),
    "one character": ("Sales ?", "Sales 1", True),
    "not two": ("Sales ?", "Sales 12", False),
    "a star in the middle": ("Sales*EU", "Sales over EU", True),
    "the whole name": ("Sales", "Sales EU", False),
    "a line end in a name": ("Sales*", "Sales\nEU", True),
    "a backslash": ("a\\*", "a\\b", True),
    "a combining accent before a star": ("Zu\u0308rich*", "Zürich Kundendienst", True),
}


@pytest.mark.parametrize(("pattern", "name", "expected"), PATTERNS.values(), ids=PATTERNS)
def test_patterns(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected
    assert covers(Match(names=("nothing", pattern)), "1", name) is expected
    assert covers(Match(exclude_names=(pattern,)), "1", name) is not expected


@given(st.text(max_size=12))
def test_a_name_is_the_same_however_it_is_encoded(name: str) -> None:
    for form in ("NFC", "NFD"):
        assert same_name(unicodedata.normalize(form, name), name)
    assert matches(name.replace("*", "?"), name)
    assert fold(f"  {name} ") == fold(name)


@pytest.mark.parametrize("part", ["a", "?", "?a"])
def test_many_stars_take_no_time(part: str) -> None:
    pattern, name = f"*{part}" * 30 + "*b", "a" * 200
    begun = time.process_time()

    assert not matches(pattern, name)
    assert matches(pattern, name + "b")
    assert (test := globs((pattern, "none*"))) is not None
    assert not test(name)
    assert time.process_time() - begun < 1


@given(st.text("ab?*", max_size=12), st.text("ab", max_size=12))
def test_a_pattern_matches_as_one_that_tries_every_place(pattern: str, name: str) -> None:
    slow = "".join({"*": ".*", "?": "."}.get(character, character) for character in re.sub(r"\*+", "*", pattern))
    if slow.count(".*") > 4:
        return

    assert matches(pattern, name) == (re.fullmatch(slow, name, re.DOTALL) is not None)


EXACT = {
    "plain": ("Sales EU", "Sales EU", True),
    "another name": ("Sales EU", "Sales EUR", False),
    "a star is a letter": ("Sales *", "Sales *", True),
    "a star matches no more than one letter": ("Sales *", "Sales EU", False),
    "a star of full width": ("VIP＊", "VIP＊", True),
    "a star of full width matches no rest": ("VIP＊", "VIP gold", False),
    "a small star matches no rest": ("VIP﹡", "VIP gold", False),
    "a question mark": ("Who?", "Who?", True),
    "brackets": ("[Sales]", "[Sales]", True),
    "quotes": ("The “A” team", 'The "A" team', True),
}


@pytest.mark.parametrize(("name", "other", "expected"), EXACT.values(), ids=EXACT)
def test_the_pattern_for_one_name(name: str, other: str, expected: bool) -> None:
    """It matches that name and, since a star cannot be escaped, at most others that differ in one letter there."""
    assert matches(exactly(name), other) is expected


@given(st.text(), st.text())
def test_the_pattern_for_a_name_matches_it(name: str, other: str) -> None:
    """Whatever is in the name; and no name of another length."""
    assert matches(exactly(name), name)
    if len(fold(name)) != len(fold(other)):
        assert not matches(exactly(name), other)
