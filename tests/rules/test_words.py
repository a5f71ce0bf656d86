"""Counts, lists and near misses."""

from __future__ import annotations

import pytest

from alertbot.rules.words import count, listed, nearest


@pytest.mark.parametrize(
    ("number", "words", "shown"),
    [
        (0, ("alert",), "0 alerts"),
        (1, ("alert",), "1 alert"),
        (2, ("alert",), "2 alerts"),
        (1, ("alert is", "alerts are"), "1 alert is"),
        (2, ("alert is", "alerts are"), "2 alerts are"),
        (12_345, ("poll",), "12,345 polls"),
    ],
    ids=["none", "one", "two", "one, both given", "two, both given", "thousands"],
)
def test_count(number: int, words: tuple[str, ...], shown: str) -> None:
    assert count(number, *words) == shown


@pytest.mark.parametrize(
    ("word", "known", "options", "near"),
    [
        ("treshold", ("threshold", "channel"), {}, ["threshold"]),
        ("TRESHOLD", ("threshold", "channel"), {}, ["threshold"]),
        ("sales", ("Sales EU", "Sales US", "Support"), {"limit": 3}, ["Sales US", "Sales EU"]),
        ("zebra", ("threshold", "channel"), {}, []),
        ("stat", ("status",), {"cutoff": 0.9}, []),
        ("anything", (), {}, []),
    ],
    ids=["misspelt", "another case", "several", "nothing near", "not near enough", "nothing known"],
)
def test_nearest(word: str, known: tuple[str, ...], options: dict[str, float], near: list[str]) -> None:
    assert sorted(nearest(word, known, **options)) == sorted(near)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "text"),
    [((), ""), (("a",), "a"), (("a", "b"), "a or b"), (("a", "b", "c"), "a, b or c")],
    ids=["none", "one", "two", "three"],
)
def test_listed(words: tuple[str, ...], text: str) -> None:
    assert listed(words, "or") == text
