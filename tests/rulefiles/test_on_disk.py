"""Rule files on disk: which are read, and the faults of those that cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alertbot.errors import FaultsFound
from alertbot.rulefiles.on_disk import MAX_SIZE, load_rules, read_all, read_disk, skipped_files

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


def shown(folder: Path) -> list[str]:
    """The rule files that are read, by their path in the folder."""
    files, faults = read_all([folder])
    assert not faults
    return [Path(name).relative_to(folder).as_posix() for name in files]


def test_linked_folders_are_read(tmp_path: Path) -> None:
    """A ConfigMap with folders in its keys, and a folder of common rules that is linked in; templates likewise."""
    write(tmp_path, "shared/a.yaml", "rules/..2026/teams/sales/b.yaml", "shared/tests/t.yaml")
    (tmp_path / "shared" / "t.j2").write_text("x")
    rules = tmp_path / "rules"
    (rules / "..data").symlink_to("..2026")
    (rules / "teams").symlink_to("..data/teams")
    (rules / "common").symlink_to("../shared")
    (rules / "templates").mkdir()
    (rules / "templates" / "more").symlink_to("../../shared")
    assert shown(rules) == ["common/a.yaml", "teams/sales/b.yaml"]
    assert [Path(name).relative_to(rules).as_posix() for name in read_disk(rules).templates] == ["templates/more/t.j2"]


def test_loops_and_folders_that_come_twice(tmp_path: Path) -> None:
    """Each file once, by its own name; a link upwards reads nothing that is beside the rules."""
    write(tmp_path, "z.yaml", "rules/deep/a.yaml", "rules/b.yaml")
    rules = tmp_path / "rules"
    for name, target in {
        "a-first": "deep",
        "deep/here": ".",
        "deep/up": "..",
        "deep/further-up": "../..",
        "one": "two",
        "two": "one",
        "gone": "nowhere",
    }.items():
        (rules / name).symlink_to(target)
    assert shown(rules) == ["b.yaml", "deep/a.yaml"]


def test_a_folder_may_be_named_by_a_link(tmp_path: Path) -> None:
    write(tmp_path, "real/deep/a.yaml")
    (tmp_path / "rules").symlink_to("real")
    assert shown(tmp_path / "rules") == ["deep/a.yaml"]


def test_letter_case_of_a_suffix(tmp_path: Path) -> None:
    write(tmp_path, "A.YAML", "b.Yml", "deep/C.yAML")
    assert shown(tmp_path) == ["A.YAML", "b.Yml", "deep/C.yAML"]


@pytest.mark.parametrize("linked", [False, True], ids=["itself", "by a link"])
def test_only_regular_files_are_read(tmp_path: Path, linked: bool) -> None:
    """A FIFO would hang, a device would take all memory; the other files are read."""
    write(tmp_path, "a.yaml")
    os.mkfifo(tmp_path / ("fifo" if linked else "b.yaml"))
    if linked:
        (tmp_path / "b.yaml").symlink_to("fifo")
    (tmp_path / "c.yaml").symlink_to("/dev/zero")
    (tmp_path / "templates").mkdir()
    os.mkfifo(tmp_path / "templates" / "t.j2")
    disk = read_disk(tmp_path)
    assert [Path(name).name for name in disk.rules] == ["a.yaml"]
    assert [(Path(fault.file).name, fault.message) for fault in disk.faults] == [
        ("b.yaml", "cannot be read: not a regular file"),
        ("c.yaml", "cannot be read: not a regular file"),
        ("t.j2", "cannot be read: not a regular file"),
    ]
    assert [fault.message for fault in read_all([tmp_path / "b.yaml"])[1]] == ["cannot be read: not a regular file"]


def test_a_huge_file_is_a_fault(tmp_path: Path) -> None:
    with (tmp_path / "a.yaml").open("wb") as file:
        file.truncate(MAX_SIZE + 1)
    assert [fault.message for fault in read_all([tmp_path])[1]] == ["cannot be read: larger than 4 MiB"]


def test_a_file_that_was_probably_meant_is_named(tmp_path: Path) -> None:
    """In a hint beside other rules; where there are none, in the fault about that."""
    write(tmp_path, "q.yaml.txt", "a.yaml.bak", ".b.yaml.txt", "tests/t.yaml.txt", "c.txt")
    assert [str(fault) for fault in read_all([tmp_path])[1]] == [
        f"{tmp_path}: no rule files in this folder (rename q.yaml.txt: its name must end in .yaml)"
    ]
    write(tmp_path, "a.yaml")
    assert [str(hint) for hint in skipped_files([tmp_path])] == [
        f"{tmp_path}/q.yaml.txt: hint: this file is not read (the names of rule files end in .yaml or .yml)"
    ]
    assert shown(tmp_path) == ["a.yaml"]


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
