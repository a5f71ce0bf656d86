"""What is right by the letter and cannot be meant: files of tests/data/review, their sentences as golden files."""

from __future__ import annotations

from pathlib import Path

import pytest

from alertbot.rulefiles.faults import Fault
from alertbot.rulefiles.parse_rules import read_files
from alertbot.rulefiles.review import review
from tests.golden import DATA, check_golden

FILES = sorted((DATA / "review").glob("*.yaml"))
SHIPPED = sorted((Path(__file__).parent.parent.parent / "rules").glob("*.yaml"))


def reviewed(files: dict[str, bytes | str]) -> list[Fault]:
    found = read_files(files)
    assert found.faults == ()
    return sorted(review(found.rules.rules, files))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_cannot_be_meant(path: Path) -> None:
    """Whole output; a file without faults has an empty one."""
    found = reviewed({path.name: path.read_bytes()})
    check_golden(f"review/{path.stem}.txt", "".join(f"{fault}\n" for fault in found))
    lines = path.read_text(encoding="utf-8").splitlines()
    for fault in found:
        rest = " ".join("\n".join([lines[fault.line - 1][fault.column - 1 :], *lines[fault.line :]]).split())
        assert rest.startswith(fault.excerpt.removesuffix("…")), fault


def test_the_shipped_rules_are_meant() -> None:
    assert reviewed({path.name: path.read_bytes() for path in SHIPPED}) == []


def test_the_same_rule_in_another_file() -> None:
    one = "rules:\n  - {id: %s, scope: queue, when: entered.today > 5}\n"
    found = reviewed({"a.yaml": one % "a", "b.yaml": one % "b"})
    assert [str(each) for each in found] == [
        "b.yaml:2:10: rule b: the same as a: scope, entities, conditions, hours and channels "
        "(it is in a.yaml:2; remove one of them)"
    ]
