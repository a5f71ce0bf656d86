"""The rules that run, and how an edit replaces them: everything that can fail first, the swap last.

An edit is checked when the files have not changed for a moment: rules and templates as strictly as by `alertbot check`.
(Only `check` runs rule tests, and warns about rules that are valid but almost certainly a mistake.) A good edit is
written to the store and then swapped in, tenant by tenant; a broken one changes nothing and is reported once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from alertbot.alerts.notice import Notice, operational
from alertbot.backtest.sample import sample_alert
from alertbot.errors import FaultsFound
from alertbot.logs import logger
from alertbot.notify.notifier import CardContent
from alertbot.notify.render import Templates, message_fault, message_of, sample_states
from alertbot.rulefiles.faults import Fault
from alertbot.rulefiles.on_disk import OnDisk, read_disk, template_folder
from alertbot.rules.rule import Level, Origin, Rule, RuleSet
from alertbot.service.running_rules import Read, first_fault, read_alone
from alertbot.store.records import RunningRules
from alertbot.store.roles import Rules

QUIET = 1.0
"""Seconds without a change before an edit is checked: a file is not read while it is being written."""
QUIET_IF_DOUBTFUL = 2.5
"""The same, if the edit is broken or removes rules: a file that is empty or absent for a moment is no edit."""
MAX_FAULTS = 5

Swap = Callable[[Sequence[str], RuleSet, Sequence[Path], Mapping[str, bytes]], None]
"""Take these rules for these tenants, and these templates (folders, contents by path). Must not fail."""

log = logger("rules")
_NOWHERE = Origin("", 0)
_NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # when the sample alerts fire


def prepare(disk: OnDisk, others: Mapping[Path, Mapping[str, bytes]], read: Read = read_alone) -> RuleSet:
    """The rules of a folder, with all their templates checked. Their `version` is the digest of the disk.

    `others`: template folders of other tenants, whose templates may be used too. Raises FaultsFound with every fault of
    rules and templates.
    """
    parsed = read(disk.path, disk.rules)
    own = template_folder(disk.path)
    kept = {name: data for files in (disk.templates, *others.values()) for name, data in files.items()}
    templates = Templates([own, *(folder for folder in others if folder != own)], kept)
    faults = [*disk.faults, *parsed.faults, *check_templates(parsed.rules.rules, templates)]
    if faults:
        raise FaultsFound(faults)
    return replace(parsed.rules, version=disk.digest)


def check_templates(rules: Sequence[Rule], templates: Templates, *, strict: bool = False) -> Iterator[Fault]:
    """The faults of each rule's template, rendered strictly for every level of the rule; each fault once.

    A template that does not exist is a fault of the rule, at its `template:`. `strict` as for `Templates.check`.
    Built-in templates are not rendered: they work for every rule, and rendering one takes 40 ms.
    """
    said: set[tuple[str, int, str]] = set()
    known = templates.names()
    for rule in rules:
        if rule.message:
            yield from _message_faults(rule)
        if templates.is_built_in(rule.template):
            continue
        if rule.template not in known:
            at = rule.template_origin or rule.origin
            message, hint = templates.absent(rule.template)
            yield Fault(at.file, at.line, at.column, message, rule.id, hint, rule.template)
            continue
        cards = [view for each in rule.levels for view in sample_states(sample_alert(rule, each.level, _NOW), _NOW)]
        try:
            templates.check(rule.template, cards, rule=rule.id, strict=strict)
        except FaultsFound as found:
            for fault in found.faults:
                if (fault.file, fault.line, fault.message) not in said:
                    said.add((fault.file, fault.line, fault.message))
                    yield fault


def _message_faults(rule: Rule) -> Iterator[Fault]:
    """The fault of the rule's `message`, rendered strictly for each level, with its values and without them."""
    for each in rule.levels:
        alert = sample_alert(rule, each.level, _NOW)
        measured = replace(alert.measure, value=None) if alert.measure is not None else None
        blank = replace(alert, measure=measured, shown=dict.fromkeys(alert.shown))
        for sample in (alert, blank):
            try:
                message_of(CardContent((sample,), _NOW))
            except Exception as error:  # a template may raise anything
                yield message_fault(rule.id, rule.message_origin, error)
                return


@dataclass
class RuleFolder:
    """One rule folder or file, and the tenants that are polled with its rules."""

    path: Path
    tenants: tuple[str, ...]
    disk: OnDisk  # from which the rules that run were read
    rules: RuleSet  # that run
    checked: str = ""  # the digest that was checked last: of what runs, or of a broken edit
    unchecked: str = ""  # a digest that changed too recently to be checked
    unchecked_since: float = 0.0
    prepared: RuleSet | FaultsFound | None = None  # the outcome for the digest `unchecked`
    faults: tuple[Fault, ...] = ()  # of the files on disk, while they are broken
    reported: set[str] = field(default_factory=set)  # broken edits that were reported since the files were last good


class LiveRules:
    """The rules that run for each tenant. Raises FaultsFound with the faults of all files if any has one."""

    def __init__(self, paths: Mapping[str, Path], read: Read = read_alone) -> None:
        """`paths`: by tenant, the folder or file of its rules."""
        self._read = read
        disks = {path: read_disk(path) for path in dict.fromkeys(paths.values())}
        self.folders: list[RuleFolder] = []
        self.loaded = self.refused = 0  # edits since the start
        faults: list[Fault] = []
        for path, disk in disks.items():
            others = {template_folder(other.path): other.templates for other in disks.values() if other is not disk}
            try:
                rules = prepare(disk, others, read)
            except FaultsFound as found:
                faults += found.faults
            else:
                tenants = tuple(tenant for tenant, own in paths.items() if own == path)
                self.folders.append(RuleFolder(path, tenants, disk, rules, checked=disk.digest))
        if faults:
            raise FaultsFound(faults)

    def rules(self, tenant: str) -> RuleSet:
        """The rules that run for a tenant."""
        return next(folder.rules for folder in self.folders if tenant in folder.tenants)

    def closes_at(self, tenant: str, rule_id: str, at: datetime) -> datetime | None:
        """`RuleSet.closes_at` of the rules that run for a tenant; None for a tenant that left the configuration."""
        rules = next((folder.rules for folder in self.folders if tenant in folder.tenants), None)
        return rules.closes_at(rule_id, at) if rules is not None else None

    def on_disk(self) -> dict[str, str]:
        """By tenant, the first fault of files that do not run because they are broken; "" where they run."""
        return {tenant: first_fault(folder.faults) for folder in self.folders for tenant in folder.tenants}

    def watched(self) -> tuple[Path, ...]:
        """The paths to watch for edits."""
        templates = (template_folder(folder.path) for folder in self.folders if folder.path.is_file())
        return tuple(dict.fromkeys([*(folder.path for folder in self.folders), *templates]))

    def begin(self, store: Rules, swap: Swap, now: datetime) -> None:
        """Store which rules run, at startup. Raises StoreError."""
        store.set_running([each for folder in self.folders for each in _running(folder.tenants, folder.disk, now)])
        for folder in self.folders:
            self._take(folder, folder.disk, folder.rules, swap)

    def look(
        self, store: Rules, swap: Swap, ops_channel: str | None, now: datetime, moment: float, *, at_once: bool = False
    ) -> bool:
        """Check the files; take an edit that is good, report one that is broken. True when either was done.

        `moment`: seconds of a monotonic clock, to know for how long files have not changed; `at_once` does not wait for
        that. Without `ops_channel` nothing is reported to Slack. Raises StoreError, and then nothing was done: the next
        call tries again.
        """
        done = False
        for folder in self.folders:
            disk = read_disk(folder.path)
            if disk.digest == folder.checked and not (at_once and folder.faults):
                folder.unchecked = ""
                continue
            if disk.digest != folder.unchecked:
                folder.unchecked, folder.unchecked_since, folder.prepared = disk.digest, moment, None
            quiet = moment - folder.unchecked_since
            if quiet < QUIET and not at_once:
                continue
            others = {template_folder(each.path): each.disk.templates for each in self.folders if each is not folder}
            prepared = folder.prepared = folder.prepared or prepared_or_faults(disk, others, self._read)
            doubtful = isinstance(prepared, FaultsFound) or _removes_rules(folder.rules, prepared)
            if doubtful and quiet < QUIET_IF_DOUBTFUL and not at_once:
                continue
            if isinstance(prepared, FaultsFound):
                self._refuse(folder, disk, prepared.faults, store, ops_channel, now)
            else:
                self._accept(folder, disk, prepared, store, swap, ops_channel, now)
            done = True
        return done

    def _refuse(
        self,
        folder: RuleFolder,
        disk: OnDisk,
        faults: tuple[Fault, ...],
        store: Rules,
        ops_channel: str | None,
        now: datetime,
    ) -> None:
        if ops_channel is not None and disk.digest not in folder.reported:
            store.add_notices([_notice(folder, disk, ops_channel, Level.WARNING, _broken(folder, faults), now)])
        folder.reported.add(disk.digest)
        folder.checked, folder.unchecked, folder.faults = disk.digest, "", faults
        self.refused += 1
        shown = [str(fault) for fault in faults[:MAX_FAULTS]]
        log.error(
            "rule files are broken; the last good rules keep running", faults=len(faults), first=shown, begins=True
        )

    def _accept(
        self,
        folder: RuleFolder,
        disk: OnDisk,
        rules: RuleSet,
        store: Rules,
        swap: Swap,
        ops_channel: str | None,
        now: datetime,
    ) -> None:
        before, fixed = folder.rules, bool(folder.faults)
        store.set_running(_running(folder.tenants, disk, now))
        if fixed and ops_channel is not None:
            text = f"The rule files in {folder.path} are valid again: {describe(before, rules)}."
            store.add_notices([_notice(folder, disk, ops_channel, Level.INFO, text, now)])
        self._take(folder, disk, rules, swap)
        self.loaded += 1
        log.info("rules are live", version=rules.version, rules=len(rules.rules), change=describe(before, rules))

    def _take(self, folder: RuleFolder, disk: OnDisk, rules: RuleSet, swap: Swap) -> None:
        folder.disk, folder.rules = disk, rules
        folder.checked, folder.unchecked, folder.faults = disk.digest, "", ()
        folder.reported.clear()
        files = {name: data for each in self.folders for name, data in each.disk.templates.items()}
        swap(folder.tenants, rules, sorted({template_folder(each.path) for each in self.folders}), files)


def prepared_or_faults(disk: OnDisk, others: Mapping[Path, Mapping[str, bytes]], read: Read) -> RuleSet | FaultsFound:
    try:
        return prepare(disk, others, read)
    except FaultsFound as found:
        return found


def describe(before: RuleSet, after: RuleSet) -> str:
    """What an edit changed: `version 1f0c… with 9 rules is live; added: a; changed: b, c; removed: d`."""
    old, new = (
        {rule.id: replace(rule, origin=_NOWHERE, template_origin=None, message_origin=None) for rule in each.rules}
        for each in (before, after)
    )
    parts = [f"version {after.version} with {len(new)} rule{'s' * (len(new) != 1)} is live"]
    for word, ids in (
        ("added", [each for each in new if each not in old]),
        ("changed", [each for each in new if each in old and new[each] != old[each]]),
        ("removed", [each for each in old if each not in new]),
    ):
        if ids:
            more = f" and {len(ids) - 10} more" if len(ids) > 10 else ""
            parts.append(f"{word}: {', '.join(ids[:10])}{more}")
    return "; ".join(parts)


def _removes_rules(before: RuleSet, after: RuleSet) -> bool:
    return not {rule.id for rule in before.rules} <= {rule.id for rule in after.rules}


def _running(tenants: Sequence[str], disk: OnDisk, now: datetime) -> list[RunningRules]:
    return [RunningRules(tenant, disk.digest, now, disk.rules) for tenant in tenants]


def _broken(folder: RuleFolder, faults: Sequence[Fault]) -> str:
    count = f"{len(faults)} fault{'s' * (len(faults) != 1)}"
    lines = [f"The rule files in {folder.path} have {count}; version {folder.rules.version} keeps running:"]
    lines += [str(fault) for fault in faults[:MAX_FAULTS]]
    if len(faults) > MAX_FAULTS:
        lines.append(f"and {len(faults) - MAX_FAULTS} more; `alertbot check` lists them all")
    return "\n".join(lines)


def _notice(folder: RuleFolder, disk: OnDisk, channel: str, level: Level, text: str, now: datetime) -> Notice:
    about = ("rule files", str(folder.path), disk.digest)
    return operational(about, channel, text, now, once=now, level=level)
