"""The kept parse table is that of the grammar, and the parser made from it reads conditions as the built one does."""

from __future__ import annotations

from importlib import resources

import pytest
from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from alertbot.rules import grammar_table

FOLDER = resources.files("alertbot.rules")
GRAMMAR = FOLDER.joinpath("expression.lark").read_text(encoding="utf-8")
TABLE = FOLDER.joinpath(grammar_table.FILE).read_text(encoding="utf-8")


def test_the_kept_table_is_up_to_date() -> None:
    assert grammar_table.belongs(GRAMMAR, TABLE), "run python docs/generate.py"


def test_a_table_is_written_for_its_grammar() -> None:
    """A grammar with another rule has a table of its own, and its parser reads what only that grammar has."""
    other = GRAMMAR + '\nADDED: "unless"\n'
    written = grammar_table.written(other)
    assert grammar_table.belongs(other, written)
    assert not grammar_table.belongs(GRAMMAR, written)
    assert grammar_table.parser(other, written).parse("a.rt > 1") == grammar_table.built(other).parse("a.rt > 1")


@pytest.mark.parametrize(
    "text",
    [
        "entered.today > 5",
        "not (a.rt >= 1m30s and b.rt < 85%) or c.rt is not missing",
        'status.rt in ["OnBreak", "Busy"] and avg(x.rt, 10m) - 2 * y.rt <= $limit',
        'count(agents where status.rt == "OnBreak" and timeOnStatus.rt > 20m) / enabled.rt > 25%',
    ],
)
def test_both_parsers_read_the_same(text: str) -> None:
    """The same tree, with the same places."""
    kept, built = grammar_table.parser(GRAMMAR, TABLE).parse(text), grammar_table.built(GRAMMAR).parse(text)
    assert kept == built
    assert [_span(node) for node in kept.iter_subtrees()] == [_span(node) for node in built.iter_subtrees()]


@pytest.mark.parametrize("text", ["a.rt >", "(a.rt > 1", "a.rt > 1 and and b.rt > 2", "a.rt == 'x'"])
def test_both_parsers_find_the_same_mistake(text: str) -> None:
    found = []
    for parser in (grammar_table.parser(GRAMMAR, TABLE), grammar_table.built(GRAMMAR)):
        with pytest.raises(UnexpectedInput) as caught:
            parser.parse(text)
        error = caught.value
        expected = getattr(error, "accepts", None) or getattr(error, "expected", None)
        found.append((type(error), error.pos_in_stream, sorted(expected or ())))
    assert found[0] == found[1]


@pytest.mark.parametrize("table", ["", "{}", TABLE.replace("grammar ", "grammar 0")], ids=["empty", "none", "another"])
def test_a_table_of_another_grammar_is_not_used(table: str) -> None:
    """The parser is then built from the grammar."""
    assert grammar_table.parser(GRAMMAR, table).parse("a.rt > 1") == grammar_table.built(GRAMMAR).parse("a.rt > 1")


def _span(node: Tree[Token]) -> tuple[object, object]:
    return getattr(node.meta, "start_pos", None), getattr(node.meta, "end_pos", None)
