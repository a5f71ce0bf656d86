"""Rule files on disk: which files there are, their contents, and a digest that shows when they were edited."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alertbot.errors import FaultsFound
from alertbot.rulefiles.faults import Fault
from alertbot.rulefiles.parse_rules import Calendars, parse_files
from alertbot.rules.rule import RuleSet

SUFFIXES = (".yaml", ".yml")
NOT_RULES = frozenset({"tests", "templates", "optional"})  # folders beside the rules with other content
TEMPLATE_SUFFIX = ".j2"


@dataclass(frozen=True)
class OnDisk:
    """The contents of one rule folder (or file) at one moment: read, but not parsed yet.

    `rules` and `templates` are contents by name as shown to users; `faults` is what could not be read. `digest` covers
    contents and names within the folder, so it does not depend on the working directory.
    """

    path: Path
    rules: Mapping[str, bytes]
    templates: Mapping[str, bytes]
    faults: tuple[Fault, ...]
    digest: str


def read_disk(path: Path) -> OnDisk:
    """Everything that belongs to the rules of one folder (or file). Never raises: read errors are in `faults`."""
    rules, faults = read_all([path])
    templates: dict[str, bytes] = {}
    folder = template_folder(path)
    if folder.is_dir():
        for file in _below(folder, faults, (TEMPLATE_SUFFIX,)):
            try:
                templates[file.as_posix()] = file.read_bytes()
            except OSError as error:
                faults.append(_unreadable(file, error))
    root = path if path.is_dir() else path.parent
    parts = [(os.path.relpath(name, root), data) for name, data in sorted({**rules, **templates}.items())]
    parts += [(fault.message, b"") for fault in sorted(faults)]
    digest = hashlib.sha256()
    for name, data in parts:
        for piece in (name.encode("utf-8", "surrogateescape"), data):
            digest.update(len(piece).to_bytes(8, "big") + piece)
    return OnDisk(path, rules, templates, tuple(faults), digest.hexdigest()[:12])


def template_folder(path: Path) -> Path:
    """`templates/` next to the rules of a folder, or next to a rule file."""
    return (path.parent if path.is_file() else path) / "templates"


def load_rules(paths: Sequence[Path], calendars: Calendars | None = None) -> RuleSet:
    """The rules below these folders; `calendars` are those of alertbot.yaml.

    Raises FaultsFound, with every fault of the disk and of the files, when there is one.
    """
    files, faults = read_all(paths)
    try:
        rules = parse_files(files, calendars)
    except FaultsFound as error:
        raise FaultsFound([*faults, *error.faults]) from None
    if faults:
        raise FaultsFound(faults)
    return rules


def read_all(paths: Sequence[Path]) -> tuple[dict[str, bytes], list[Fault]]:
    """The rule files below these folders, and files named directly: name as shown to users, to content.

    In a folder, `tests/`, `templates/`, `optional/` and hidden entries are left out, at any depth; a file that is
    named is read wherever it is. The list holds one fault for each folder that does not exist and each file that
    cannot be read.
    """
    files: dict[str, bytes] = {}
    faults: list[Fault] = []
    seen: set[Path] = set()
    for path in paths:
        found = list(_rule_files(path, faults))
        if not found and path.is_dir() and not any(fault.file == path.as_posix() for fault in faults):
            faults.append(
                Fault(path.as_posix(), 0, 0, "no rule files in this folder", hint="write one, or run alertbot init")
            )
        for file in found:
            try:
                real = file.resolve()
                if real not in seen:
                    seen.add(real)
                    files[file.as_posix()] = file.read_bytes()
            except (OSError, RuntimeError) as error:  # RuntimeError: a link that points to itself
                faults.append(_unreadable(file, error))
    return files, faults


def _rule_files(path: Path, faults: list[Fault]) -> Iterator[Path]:
    if path.is_dir():
        yield from _below(path, faults)
    elif path.is_file():
        yield path
    elif os.path.lexists(path):
        faults.append(Fault(path.as_posix(), 0, 0, "not a readable file or folder"))
    else:
        faults.append(
            Fault(path.as_posix(), 0, 0, "no such file or folder", hint="alertbot init writes a first rule file")
        )


def _below(folder: Path, faults: list[Fault], suffixes: tuple[str, ...] = SUFFIXES) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        faults.append(_unreadable(Path(error.filename or folder), error))

    for parent, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in NOT_RULES)
        for name in sorted(names):
            if name.endswith(suffixes) and not name.startswith("."):
                yield Path(parent) / name


def _unreadable(path: Path, error: Exception) -> Fault:
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    hint = "give the user who runs alertbot read access" if isinstance(error, PermissionError) else ""
    return Fault(path.as_posix(), 0, 0, f"cannot be read: {reason[:1].lower()}{reason[1:]}", hint=hint)
