"""The rules that the poller runs (or last ran), for processes beside it: read from the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from alertbot.errors import FaultsFound
from alertbot.rulefiles.faults import Fault
from alertbot.rulefiles.on_disk import read_disk, template_folder
from alertbot.rulefiles.parse_rules import ParsedRules, read_files
from alertbot.rules.rule import RuleSet
from alertbot.store.roles import Running

Read = Callable[[Path, Mapping[str, bytes]], ParsedRules]
"""A parser of rule files: the folder (or file) that they are from, and contents by name."""


def read_alone(path: Path, files: Mapping[str, bytes]) -> ParsedRules:
    """For rule files that need no alertbot.yaml."""
    return read_files(files)


def rules_that_run(
    paths: Mapping[str, Path], store: Running, read: Read = read_alone
) -> tuple[Mapping[str, RuleSet], Mapping[str, str]]:
    """Each tenant's rules as the poller runs (or last ran) them, and how the files on disk differ; "" if they do not.

    For processes beside the poller: they answer from the active rules, whatever is being edited. If no rules ever ran,
    or this version cannot read them, the files on disk are used. Raises FaultsFound if those are broken.
    """
    rules: dict[str, RuleSet] = {}
    on_disk: dict[str, str] = {}
    disks = {path: read_disk(path) for path in dict.fromkeys(paths.values())}
    versions = store.running_versions()
    # Tenants with the same folder and version share one RuleSet: it is read and parsed once.
    ran: dict[tuple[Path, str], RuleSet | None] = {}
    prepared: dict[Path, RuleSet | FaultsFound] = {}
    for tenant, path in paths.items():
        version = versions[tenant][0] if tenant in versions else ""
        if (path, version) not in ran:
            ran[path, version] = _that_ran(store, tenant, path, read) if version else None
        running = ran[path, version]
        if running is not None:
            rules[tenant] = running
            if disks[path].digest == version:
                continue
        if path not in prepared:
            # Not at the top: rarely needed, and it imports jinja2 and all that templates can use.
            from alertbot.service.live_rules import prepared_or_faults

            others = {template_folder(each.path): each.templates for each in disks.values() if each.path != path}
            prepared[path] = prepared_or_faults(disks[path], others, read)
        edited = prepared[path]
        if isinstance(edited, FaultsFound):
            if running is None:
                raise edited
            on_disk[tenant] = first_fault(edited.faults)
        elif running is None:
            rules[tenant] = edited
        else:
            on_disk[tenant] = f"version {edited.version}, which is not running"
    return rules, on_disk


def _that_ran(store: Running, tenant: str, path: Path, read: Read) -> RuleSet | None:
    running = store.running(tenant)
    parsed = read(path, running.files) if running is not None else None
    if running is None or parsed is None or parsed.faults:
        return None
    return replace(parsed.rules, version=running.version)


def first_fault(faults: Sequence[Fault]) -> str:
    if not faults:
        return ""
    return f"{faults[0]}" + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else "")
