"""Rule files on disk: which files there are, their contents, and a digest that shows when they were edited.

A rules folder is read to any depth, linked folders included: a mounted ConfigMap is nothing but links, and a folder of
common rules is often linked into several others. So the walk (`files_below`) guards against loops and against folders
that come twice, and only regular files of a sensible size are read: a FIFO would never end, a device never stop.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from alertbot.errors import FaultsFound
from alertbot.rulefiles.document import MAX_SIZE
from alertbot.rulefiles.faults import Fault, Severity
from alertbot.rulefiles.fields import POLL_EVERY
from alertbot.rulefiles.parse_rules import Calendars, parse_files
from alertbot.rules.rule import RuleSet

SUFFIXES = (".yaml", ".yml")  # in any letter case
NOT_RULES = frozenset({"tests", "templates", "optional"})  # folders beside the rules with other content
TEMPLATE_SUFFIX = ".j2"

# Names that an editor or a download made of a rule file; not copies that were put aside on purpose.
_MEANT = re.compile(r"\.ya?ml\.(?!bak|backup|old|orig|save|swp|tmp|sample|example|dist|disabled|off)[a-z0-9]+", re.I)


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
    templates, template_faults = read_templates([template_folder(path)])
    faults += template_faults
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


def read_templates(folders: Sequence[Path]) -> tuple[dict[str, bytes], list[Fault]]:
    """The templates below these folders, content by path, and one fault for each that cannot be read."""
    templates: dict[str, bytes] = {}
    faults: list[Fault] = []
    for folder in folders:
        if not folder.is_dir():
            continue
        for file in files_below(folder, faults, (TEMPLATE_SUFFIX,)):
            try:
                templates[file.as_posix()] = read_file(file)
            except OSError as error:
                faults.append(_unreadable(file, error))
    return templates, faults


def load_rules(
    paths: Sequence[Path], calendars: Calendars | None = None, poll_every: timedelta = POLL_EVERY
) -> RuleSet:
    """The rules below these folders; `calendars` and `poll_every` as for `parse_files`.

    Raises FaultsFound, with every fault of the disk and of the files, when there is one.
    """
    files, faults = read_all(paths)
    try:
        rules = parse_files(files, calendars, poll_every)
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
            skipped = [file.name for file in _not_read(path)]
            hint = f"rename {skipped[0]}: its name must end in .yaml" if skipped else "write one, or run alertbot init"
            faults.append(Fault(path.as_posix(), 0, 0, "no rule files in this folder", hint=hint))
        for file in found:
            try:
                real = file.resolve()
                if real not in seen:
                    seen.add(real)
                    files[file.as_posix()] = read_file(file)
            except (OSError, RuntimeError) as error:  # RuntimeError: a link that points to itself
                faults.append(_unreadable(file, error))
    return files, faults


def skipped_files(paths: Sequence[Path]) -> list[Fault]:
    """A hint for each file below these folders that is not read and was probably meant, such as `queues.yaml.txt`."""
    return [
        Fault(
            file.as_posix(),
            0,
            0,
            "this file is not read",
            hint="the names of rule files end in .yaml or .yml",
            severity=Severity.HINT,
        )
        for path in paths
        if path.is_dir()
        for file in _not_read(path)
    ]


def _not_read(folder: Path) -> Iterator[Path]:
    return (file for file in files_below(folder, [], ("",)) if _MEANT.search(file.name) and not _is_rules(file))


def _is_rules(file: Path) -> bool:
    return file.name.lower().endswith(SUFFIXES)


def read_file(path: Path) -> bytes:
    """The content of a regular file. Raises OSError for anything else, and for one larger than MAX_SIZE."""
    # Without blocking: opening a FIFO would wait for a writer.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        data = file.read(MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise OSError(errno.EFBIG, f"larger than {MAX_SIZE // 1024**2} MiB", str(path))
    return data


def _rule_files(path: Path, faults: list[Fault]) -> Iterator[Path]:
    if path.is_dir():
        yield from files_below(path, faults)
    elif path.exists():
        yield path
    elif os.path.lexists(path):
        faults.append(Fault(path.as_posix(), 0, 0, "not a readable file or folder"))
    else:
        faults.append(
            Fault(path.as_posix(), 0, 0, "no such file or folder", hint="alertbot init writes a first rule file")
        )


def files_below(
    folder: Path,
    faults: list[Fault],
    suffixes: tuple[str, ...] = SUFFIXES,
    skip: Collection[str] = NOT_RULES,
) -> Iterator[Path]:
    """The files below a folder whose names end so, in any letter case: each folder's own before its sub-folders'.

    Hidden entries, and sub-folders whose name is in `skip`, are left out. Linked folders come last, and a folder that
    can be reached twice comes once, by its own name where it has one. A link to a folder that contains this one is not
    followed. A folder that cannot be listed is added to `faults`.
    """
    root = os.path.realpath(folder)
    visited: set[str] = set()
    waiting, links = [folder], list[Path]()
    while waiting or links:
        parent = waiting.pop() if waiting else links.pop(0)
        real = os.path.realpath(parent)
        if real in visited or (root != real and root.startswith(real.rstrip(os.sep) + os.sep)):
            continue
        visited.add(real)
        try:
            with os.scandir(parent) as entries:
                shown = sorted((each for each in entries if not each.name.startswith(".")), key=lambda each: each.name)
        except OSError as error:
            faults.append(_unreadable(parent, error))
            continue
        folders: list[Path] = []
        for entry in shown:
            path = parent / entry.name
            if not _is_folder(entry):
                if entry.name.lower().endswith(suffixes):
                    yield path
            elif entry.name not in skip:
                (links if entry.is_symlink() else folders).append(path)
        waiting += reversed(folders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that points to itself: a file that cannot be read
        return False


def _unreadable(path: Path, error: Exception) -> Fault:
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    hint = "give the user who runs alertbot read access" if isinstance(error, PermissionError) else ""
    return Fault(path.as_posix(), 0, 0, f"cannot be read: {reason[:1].lower()}{reason[1:]}", hint=hint)
