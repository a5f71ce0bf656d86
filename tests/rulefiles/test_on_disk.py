"""Rule files on disk: which are read, and the faults of those that cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alertbot.errors import FaultsFound
from alertbot.rulefiles.on_disk import load_rules, read_all

RULE = b"rules:\n  - id: %s\n    scope: queue\n    when: entered.today > 5\n"


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(RULE % path.stem.encode())


def test_a_folder_gives_its_rules_and_nothing_else(tmp_path: Path) -> None:
    """Tests, templates, optional rules and what is hidden are left out, at any depth."""
    write(tmp_path, "a.yaml", "b.yml", "sales/c.yaml", "sales/deep/d.yaml")
    write(
        tmp_path, "tests/t.yaml", "templates/u.yaml", "optional/v.yaml", "sales/tests/w.yaml", ".git/x.yaml", ".y.yaml"
    )
    (tmp_path / "README.md").write_text("no rules")
    names = [Path(name).relative_to(tmp_path).as_posix() for name in read_all([tmp_path])[0]]
    assert names == ["a.yaml", "b.yml", "sales/c.yaml", "sales/deep/d.yaml"]


def test_a_file_that_is_named_is_taken_wherever_it_is(tmp_path: Path) -> None:
    write(tmp_path, "optional/v.yaml")
    assert [rule.id for rule in load_rules([tmp_path / "optional" / "v.yaml"]).rules] == ["v"]


def test_a_folder_that_is_named_is_read_whatever_its_name(tmp_path: Path) -> None:
    write(tmp_path, "optional/v.yaml")
    assert [rule.id for rule in load_rules([tmp_path / "optional"]).rules] == ["v"]


def test_a_file_that_is_reached_twice_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml")
    assert [rule.id for rule in load_rules([tmp_path, tmp_path / "a.yaml"]).rules] == ["a"]


def test_links_as_kubernetes_makes_them_are_followed(tmp_path: Path) -> None:
    """A mounted ConfigMap: each file is a link into a hidden folder, and is read once."""
    write(tmp_path, "..2026_01/a.yaml")
    (tmp_path / "..data").symlink_to("..2026_01")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    assert [Path(name).name for name in read_all([tmp_path])[0]] == ["a.yaml"]


def test_a_folder_that_is_not_there_is_named_with_the_way_out(tmp_path: Path) -> None:
    missing = tmp_path / "rulez"
    message = f"{missing}: no such file or folder (alertbot init writes a first rule file)"
    assert [str(fault) for fault in read_all([missing])[1]] == [message]
    with pytest.raises(FaultsFound) as caught:
        load_rules([missing])
    assert str(caught.value) == message


def test_a_folder_without_rules_is_no_rule_set(tmp_path: Path) -> None:
    """To run without rules because a path is wrong would be silence that looks like health."""
    with pytest.raises(FaultsFound, match="no rule files in this folder"):
        load_rules([tmp_path])


def test_what_the_disk_refuses_hides_no_fault_of_the_rest(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to(tmp_path / "gone.yaml")
    (tmp_path / "b.yaml").symlink_to(tmp_path / "b.yaml")
    (tmp_path / "c.yaml").write_text("rules: [")
    with pytest.raises(FaultsFound) as caught:
        load_rules([tmp_path])
    assert [(Path(fault.file).name, fault.message.split(":")[0]) for fault in caught.value.faults] == [
        ("a.yaml", "cannot be read"),
        ("b.yaml", "cannot be read"),
        ("c.yaml", "the file ends unexpectedly"),
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_what_to_do(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml")
    (tmp_path / "a.yaml").chmod(0)
    with pytest.raises(
        FaultsFound, match=r"cannot be read: permission denied \(let the user who runs alertbot read it\)"
    ):
        load_rules([tmp_path])
