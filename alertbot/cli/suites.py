"""Which rules, tests and settings a path on the command line means: for `check`, `test` and `preview`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alertbot.config.load import config_path, load
from alertbot.config.settings import Settings
from alertbot.rulefiles.faults import Fault
from alertbot.rulefiles.on_disk import NOT_RULES, SUFFIXES, files_below, load_rules, read_file
from alertbot.rulefiles.parse_tests import is_test_file, may_hold_rules
from alertbot.rules.rule import RuleSet

FOLDER = "tests"


@dataclass(frozen=True)
class Suite:
    """Test files with the rules they belong to. `only`: a rule file; only its rules are tested."""

    rules: tuple[Path, ...]
    files: tuple[Path, ...]
    only: Path | None = None

    @property
    def templates(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys((path if path.is_dir() else path.parent) / "templates" for path in self.rules))


def lent_settings(config: Path | None, *, needed: bool) -> Settings | None:
    """alertbot.yaml where it is required, was named, or exists."""
    path = config_path(config)
    if needed or config is not None or path.exists():
        return load(path, secrets=False)
    return None


def load_lent(paths: Sequence[Path], settings: Settings | None) -> RuleSet:
    """The rules below these paths, with what alertbot.yaml lends them. Raises FaultsFound as `load_rules` does."""
    if settings is None:
        return load_rules(paths)
    return load_rules(paths, settings.hours, settings.longest_poll(paths))


def rule_roots(settings: Settings | None) -> list[Path]:
    """The folders (or files) of rules that alertbot.yaml names."""
    if settings is None:
        return []
    return sorted({settings.path(tenant.rules or settings.rules) for tenant in settings.tenants})


def find_suites(paths: Sequence[Path], roots: Sequence[Path]) -> tuple[list[Suite], list[Fault]]:
    """The test files below these paths with the rules they test, and a fault for each path without tests."""
    suites: list[Suite] = []
    faults: list[Fault] = []
    for path in paths:
        found = list(_suites(path, [path, *roots]))
        if not path.exists():
            faults.append(Fault(path.as_posix(), 0, 0, "no such file or folder"))
        elif not found:
            hint = f"tests are in {FOLDER}/*.yaml next to the rules"
            faults.append(Fault(path.as_posix(), 0, 0, "no rule tests found", hint=hint))
        suites += found
    return list(dict.fromkeys(suites)), faults


def holds_tests(path: Path) -> bool:
    """Whether it is a file of rule tests, or a folder that holds only tests."""
    if path.is_dir():
        return path.resolve().name == FOLDER or _tests_above(path) is not None
    return path.is_file() and (_tests_above(path) is not None or _is_tests(path))


def _suites(path: Path, roots: Sequence[Path]) -> Iterator[Suite]:
    if path.is_file():
        folder = _tests_above(path)
        if folder is not None:
            yield Suite((_root(folder.parent, roots),), (path,))
        elif _is_tests(path):
            others = tuple(each for each in _yaml_files(path.parent) if not _is_tests(each))
            yield Suite(others, (path,))
        else:
            files = _below(path.parent / FOLDER)
            if files:
                yield Suite((path.parent,), files, only=path)
    elif path.is_dir():
        inside = path if path.resolve().name == FOLDER else _tests_above(path)
        below = [] if inside is not None else _tests_below(path)
        for folder in below or ([inside] if inside is not None else []):
            files = _below(folder if below else path)
            if files:
                yield Suite((_root(folder.parent if folder.name else folder.resolve().parent, roots),), files)


def _tests_above(path: Path) -> Path | None:
    """The tests folder that contains this path: the nearest one with rules beside it."""
    for folder in path.absolute().parents:
        if folder.name == FOLDER and any(_may_hold_rules(each) for each in _yaml_files(folder.parent)):
            return Path(os.path.relpath(folder)) if not path.is_absolute() else folder
    return None


def _tests_below(path: Path) -> list[Path]:
    """The folders of tests below a path, linked ones too, each once."""
    files = files_below(path, [], skip=())
    inside = [file.relative_to(path).parts[:-1] for file in files]
    parts = [each[: each.index(FOLDER) + 1] for each in inside if FOLDER in each]
    return [path.joinpath(*each) for each in dict.fromkeys(parts)]


def _root(folder: Path, roots: Sequence[Path]) -> Path:
    """The rules folder that contains this one: a rule may be suppressed by one in another sub-folder."""
    for root in roots:
        if root.is_dir() and folder.resolve().is_relative_to(root.resolve()):
            parts = folder.resolve().relative_to(root.resolve()).parts
            if not NOT_RULES & set(parts) and root.resolve().name not in (FOLDER, "templates"):
                return root
    return folder


def _yaml_files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(
            each for each in folder.iterdir() if each.name.lower().endswith(SUFFIXES) and not each.name.startswith(".")
        )


def _below(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(files_below(folder, [], skip=()))) if folder.is_dir() else ()


def _may_hold_rules(path: Path) -> bool:
    """Whether it can be a rule file: a `compose.yaml` beside a folder called tests is none."""
    try:
        return may_hold_rules(read_file(path))
    except (OSError, MemoryError):
        return True


def _is_tests(path: Path) -> bool:
    """Whether it is a file of rule tests; one that cannot be read is reported where it is read."""
    try:
        return is_test_file(read_file(path))
    except (OSError, MemoryError):
        return False


def read_tests(paths: Sequence[Path], faults: list[Fault]) -> dict[str, bytes]:
    """Contents by name; read errors are added to the faults."""
    files: dict[str, bytes] = {}
    for path in paths:
        try:
            files[path.as_posix()] = read_file(path)
        except OSError as error:
            faults.append(Fault(path.as_posix(), 0, 0, f"cannot be read: {error.strerror}"))
    return files
