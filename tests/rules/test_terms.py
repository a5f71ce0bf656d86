"""Terms as people type them, and what is said about those that cannot be meant."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertbot.rules.terms import Terms, parse_terms, words, write_terms

TYPED: dict[str, tuple[str, Terms]] = {
    "one": ("rule=longest-wait", (("rule", "longest-wait"),)),
    "several": ("tenant=acme level=warning", (("tenant", "acme"), ("level", "warning"))),
    "quotes": ('name="Sales EU"', (("name", "Sales EU"),)),
    "smart quotes": ("name=“Sales EU”", (("name", "Sales EU"),)),
    "low and high quotes": ("name=„Sales EU“", (("name", "Sales EU"),)),
    "single quotes": ("name='Sales EU'", (("name", "Sales EU"),)),
    "smart single quotes": ("name=‘Sales EU’", (("name", "Sales EU"),)),
    "an apostrophe in single quotes": ("name='Conan O'Brien'", (("name", "Conan O'Brien"),)),
    "an apostrophe": ("name=O'Brien", (("name", "O'Brien"),)),
    "quotes around all of it": ('"name=Sales EU"', (("name", "Sales EU"),)),
    "wildcards": ("name=Sales* rule=?ait", (("name", "Sales*"), ("rule", "?ait"))),
    "a pattern with =": ("name=a=b", (("name", "a=b"),)),
    "any case": ("RULE=x Label.Team=sales", (("rule", "x"), ("label.team", "sales"))),
    "a label": ("label.team=sales", (("label.team", "sales"),)),
    "the same term twice": ("name=*EU name=Sales*", (("name", "*EU"), ("name", "Sales*"))),
    "none": ("", ()),
}


@pytest.mark.parametrize(("text", "terms"), TYPED.values(), ids=TYPED)
def test_terms(text: str, terms: Terms) -> None:
    assert parse_terms(word for word, _ in words(text)) == terms


WRONG = {
    "no =": ("sales", "“sales” is not a term: write a name, = and a pattern"),
    "misspelt": ("nmae=x", "There is no term “nmae”: did you mean name=?"),
    "unknown": ("zzz=x", "There is no term “zzz”: the terms are tenant, rule, name, level, scope and label.KEY."),
    "a label without a key": ("label.=x", "There is no term “label.”: did you mean label.KEY=?"),
    "no value": ("rule=", "rule= has no value"),
    "no name": ("=x", "“=x” has nothing before the ="),
    "blanks around =": ("name = Sales", "“name” is not a term"),
}


@pytest.mark.parametrize(("text", "says"), WRONG.values(), ids=WRONG)
def test_a_term_that_cannot_be_meant(text: str, says: str) -> None:
    """One sentence, with what to write."""
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_terms(word for word, _ in words(text))


@given(st.lists(st.tuples(st.sampled_from(["rule", "name", "label.team"]), st.text("ab*?\"“' \u00a0", min_size=1))))
def test_terms_can_be_typed_as_they_are_written(terms: list[tuple[str, str]]) -> None:
    """What an announcement shows can be copied. A double quote in a pattern is written as a wildcard."""
    known = [(name, pattern) for name, pattern in terms if pattern.strip()]
    again = parse_terms(word for word, _ in words(write_terms(known)))
    expected = [(name, pattern.strip()) for name, pattern in known]
    assert len(again) == len(expected)
    for (name, pattern), (as_read, read) in zip(expected, again, strict=True):
        assert (as_read, read) == (name, "".join("?" if char in '"“' else char for char in pattern))
