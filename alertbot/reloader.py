"""Rule files on disk: which ones there are, and what they hold."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from alertbot.errors import Fault, FaultsFound
from alertbot.rules.parse import parse_files
from alertbot.rules.rule import RuleSet

SUFFIXES = (".yaml", ".yml")
NOT_RULES = frozenset({"tests", "templates", "optional"})  # folders beside the rules that hold something else


def read_rules(paths: Sequence[Path]) -> dict[str, bytes]:
    """The rule files below these folders, and files named by themselves: name as shown to people, to content.

    In a folder `tests/`, `templates/`, `optional/` and whatever is hidden are left out, at any depth; a file that is
    named is taken wherever it is. Raises FaultsFound with all folders that are not there and files that cannot be read.
    """
    files, faults = _read(paths)
    if faults:
        raise FaultsFound(faults)
    return files


def load_rules(paths: Sequence[Path]) -> RuleSet:
    """The rules below these folders. Raises FaultsFound with every fault, of the disk and of the files alike."""
    files, faults = _read(paths)
    try:
        rules = parse_files(files)
    except FaultsFound as error:
        raise FaultsFound([*faults, *error.faults]) from None
    if faults:
        raise FaultsFound(faults)
    return rules


def _read(paths: Sequence[Path]) -> tuple[dict[str, bytes], list[Fault]]:
    files: dict[str, bytes] = {}
    faults: list[Fault] = []
    seen: set[Path] = set()
    for path in paths:
        found = list(_rule_files(path, faults))
        if not found and path.is_dir() and not any(fault.file == path.as_posix() for fault in faults):
            faults.append(
                Fault(path.as_posix(), 0, 0, "no rule files in this folder", hint="write one, or alertbot init")
            )
        for file in found:
            try:
                real = file.resolve()
                if real not in seen:
                    seen.add(real)
                    files[file.as_posix()] = file.read_bytes()
            except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads back to itself
                faults.append(_unreadable(file, error))
    return files, faults


def _rule_files(path: Path, faults: list[Fault]) -> Iterator[Path]:
    if path.is_dir():
        yield from _below(path, faults)
    elif path.is_file():
        yield path
    elif os.path.lexists(path):
        faults.append(Fault(path.as_posix(), 0, 0, "neither a file nor a folder that can be read"))
    else:
        faults.append(
            Fault(path.as_posix(), 0, 0, "no such file or folder", hint="alertbot init writes a first rule file")
        )


def _below(folder: Path, faults: list[Fault]) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        faults.append(_unreadable(Path(error.filename or folder), error))

    for parent, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in NOT_RULES)
        for name in sorted(names):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield Path(parent) / name


def _unreadable(path: Path, error: Exception) -> Fault:
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    hint = "let the user who runs alertbot read it" if isinstance(error, PermissionError) else ""
    return Fault(path.as_posix(), 0, 0, f"cannot be read: {reason[:1].lower()}{reason[1:]}", hint=hint)
