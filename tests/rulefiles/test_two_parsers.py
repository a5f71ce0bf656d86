"""libyaml and ruamel's own parser read the same nodes at the same places, wherever libyaml's result is used."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from alertbot.rulefiles import document

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "rules").rglob("*.yaml"))
SNIPPETS = (
    'a: {b: [1,2], "c": 3}\nd: [x, {y: z}]\n',
    "x: &a {y: 1}\nz: *a\nw: {<<: *a, q: 2}\n",
    "a: 'it''s'\nb: \"x\\ty\\u00e9\\/\"\nc: \"two\n  lines\"\n",
    "a: |\n  text\n   more\nb: >-\n  fold\n  ed\n",
    "- a\n- - b\n  - c\n- ? k\n  : v\n",
    "n: [1, -2.5, 0x1F, 0o17, 012, 1e3, .inf, 1_000, ~, null, true, yes, on, 12:30, 2026-01-01]\n",
)
TOKENS = (
    *(
        " ",
        "  ",
        "\n",
        "\n  ",
        "\t",
        ":",
        ": ",
        "-",
        "- ",
        "?",
        "? ",
        ",",
        "[",
        "]",
        "{",
        "}",
        "#",
        " # x",
        "&a ",
        "*a",
    ),
    *(
        "!t ",
        "!!str ",
        "|",
        ">",
        "|-",
        '"',
        "'",
        "%",
        "@",
        "`",
        "\\",
        "<<: ",
        "~",
        "yes",
        "0x1F",
        "012",
        "1_000",
        "1:30",
    ),
    *(
        ".inf",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "\r",
        "\r\n",
        "\x85",
        "\u2028",
        "\ufeff",
        "é",
        "\U0001f600",
        "\\n",
        "\\x41",
    ),
    *("null", "=", '"a":b', "a:b", "\u00a0", "\x00", ">#", "| #x\n", "[]", "{}", "''", "[[[[", "- - - "),
)


def fast(text: str) -> document.Node | None:
    return document._read_fast("f", text, document._LINE_BREAK.split(text))


def exactly(text: str) -> tuple[document.Node | None, list[document.Fault]]:
    return document._read_exactly("f", text, document._LINE_BREAK.split(text), ("empty", ""))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_shipped_files_are_read_by_libyaml(path: Path) -> None:
    """Whole files, which are what the second parser is there for: read by it, with the same nodes and places."""
    text = path.read_text()
    assert fast(text) is not None
    assert (fast(text), []) == exactly(text)


@pytest.mark.parametrize("seed", range(4))
def test_changed_files_are_read_alike(seed: int) -> None:
    """Parts of rule files with random changes: where libyaml's result is used, the other parser has the same one."""
    made = random.Random(seed)
    lines = [line for path in FILES for line in path.read_text().splitlines(keepends=True)]
    used = 0
    for _ in range(400):
        start = made.randrange(len(lines))
        text = made.choice((*SNIPPETS, *["".join(lines[start : start + made.randint(1, 12)])] * 6))
        for _ in range(made.choice((0, 1, 1, 1, 2, 3, 5))):
            at = made.randint(0, len(text))
            text = text[:at] + made.choice((made.choice(TOKENS), "")) + text[at + made.choice((0, 0, 1, 4)) :]
        read = fast(text)
        if read is not None:
            used += 1
            assert (read, []) == exactly(text), text
    assert used > 80


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('a: [1, "b":c]', id="no space after a quoted key"),
        pytest.param("a: >#x\n  b", id="a comment without a space"),
        pytest.param("a: |\n   \n  b", id="a block that begins with an empty line"),
        pytest.param('a: &b"c d', id="an anchor that is more than a word"),
        pytest.param("x: !!str &a {y: 1}", id="a tag"),
        pytest.param("a:\tb", id="a tab"),
        pytest.param("a: b\x85c: d", id="a line break of YAML 1.1"),
        pytest.param("%YAML 1.1\n---\na: yes", id="another version"),
        pytest.param("a:\nb: 1", id="a value that is left out"),
        pytest.param("a: 1\na: 2", id="a fault that has a place"),
        pytest.param("a: *b", id="a fault of the parser"),
        pytest.param("# nothing", id="an empty file"),
        pytest.param("[" * 51 + "]" * 51, id="nested too deeply"),
        pytest.param("- " * 51 + "a", id="nested too deeply, on one line"),
        pytest.param("a: [" + "b," * 100_000 + "b]", id="more values than are allowed"),
    ],
)
def test_what_may_differ_is_read_by_the_other_parser(text: str) -> None:
    assert fast(text) is None


def test_deep_nesting_is_a_fault_and_no_crash() -> None:
    """A file of nothing but brackets or dashes ends in a fault, whatever parser it reaches first."""
    for text in ("[" * 200_000, "- " * 90_000, "{a: " * 60_000, "? " * 90_000):
        node, faults = document.read("f.yaml", text)
        assert node is None
        assert len(faults) == 1
