"""The rules that run, and how an edit becomes them: all that can fail first, the swap last.

An edit is judged when the files have stood still for a moment: rules and templates as strictly as in `alertbot check`,
which alone looks at rule tests, and at what is right by the letter and can not be meant. A good one is
written down in the store and then swapped in, tenant by tenant; a broken one changes nothing and is named once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from alertbot.alerts.alert import Reason
from alertbot.alerts.notice import Notice, NoticeKind, notice_id
from alertbot.backtest.sample import sample_alert
from alertbot.errors import FaultsFound
from alertbot.logs import logger
from alertbot.notify.render import Templates, sample_states
from alertbot.rulefiles.faults import Fault
from alertbot.rulefiles.on_disk import OnDisk, read_disk, template_folder
from alertbot.rulefiles.parse_rules import ParsedRules, read_files
from alertbot.rules.rule import Level, Origin, Rule, RuleSet
from alertbot.store.records import RunningRules
from alertbot.store.roles import Store

QUIET = 1.0
"""Seconds that files must stand still before an edit is judged: what is being written is not read in the middle."""
PATIENCE = 2.5
"""Seconds, where the edit is broken or takes rules away: a file that is empty, or gone, for a moment is no edit."""
MOST_FAULTS = 5

Read = Callable[[Mapping[str, bytes]], ParsedRules]
Swap = Callable[[Sequence[str], RuleSet, Sequence[Path], Mapping[str, bytes]], None]
"""Take these rules for these tenants, and these templates (folders, contents by path). Must not fail."""

log = logger("rules")
_NOWHERE = Origin("", 0)
_NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # when the sample alerts fire


def prepare(disk: OnDisk, others: Mapping[Path, Mapping[str, bytes]], read: Read = read_files) -> RuleSet:
    """The rules of a folder with all their templates checked. FaultsFound with every fault of both.

    `others`: template folders of other tenants, whose templates may be used too. `version` is the digest of the disk.
    """
    found = read(disk.rules)
    own = template_folder(disk.path)
    kept = {name: data for files in (disk.templates, *others.values()) for name, data in files.items()}
    templates = Templates([own, *(folder for folder in others if folder != own)], kept)
    faults = [*disk.faults, *found.faults, *check_templates(found.rules.rules, templates)]
    if faults:
        raise FaultsFound(faults)
    return replace(found.rules, version=disk.digest)


def check_templates(rules: Sequence[Rule], templates: Templates) -> Iterator[Fault]:
    """Each rule's template, drawn strictly for every level that the rule has; each fault is said once.

    Alertbot's own are not drawn: they hold for every rule, and drawing them takes 40 ms each.
    """
    said: set[tuple[str, int, str]] = set()
    for rule in rules:
        if templates.is_ours(rule.template):
            continue
        cards = [view for each in rule.levels for view in sample_states(sample_alert(rule, each.level, _NOW), _NOW)]
        try:
            templates.check(rule.template, cards, rule=rule.id)
        except FaultsFound as found:
            for fault in found.faults:
                if (fault.file, fault.line, fault.message) not in said:
                    said.add((fault.file, fault.line, fault.message))
                    yield fault


@dataclass
class RuleFolder:
    """One rule folder or file, and the tenants that are polled with its rules."""

    path: Path
    tenants: tuple[str, ...]
    disk: OnDisk  # what the rules that run were read from
    rules: RuleSet  # that run
    judged: str = ""  # the digest that was judged last: of what runs, or of a broken edit
    unjudged: str = ""  # a digest that does not stand still long enough yet
    unjudged_since: float = 0.0
    prepared: RuleSet | FaultsFound | None = None  # what became of the digest that is not judged yet
    faults: tuple[Fault, ...] = ()  # of what stands on disk, while that is broken
    said: set[str] = field(default_factory=set)  # broken edits that were named since the files were last whole


class LiveRules:
    """What runs for each tenant. Made from whole files only: FaultsFound with the faults of all of them otherwise."""

    def __init__(self, paths: Mapping[str, Path], read: Read = read_files) -> None:
        """`paths`: by tenant, the folder or file of its rules."""
        self._read = read
        disks = {path: read_disk(path) for path in dict.fromkeys(paths.values())}
        self.places: list[RuleFolder] = []
        faults: list[Fault] = []
        for path, disk in disks.items():
            others = {template_folder(other.path): other.templates for other in disks.values() if other is not disk}
            try:
                rules = prepare(disk, others, read)
            except FaultsFound as found:
                faults += found.faults
            else:
                tenants = tuple(tenant for tenant, own in paths.items() if own == path)
                self.places.append(RuleFolder(path, tenants, disk, rules, judged=disk.digest))
        if faults:
            raise FaultsFound(faults)

    def rules(self, tenant: str) -> RuleSet:
        """The rules that run for a tenant."""
        return next(place.rules for place in self.places if tenant in place.tenants)

    def on_disk(self) -> dict[str, str]:
        """By tenant, what to say of files that are not what runs because they are broken; "": nothing."""
        return {tenant: _first(place.faults) for place in self.places for tenant in place.tenants}

    def watched(self) -> tuple[Path, ...]:
        """Where edits are to be looked for."""
        folders = (template_folder(place.path) for place in self.places if place.path.is_file())
        return tuple(dict.fromkeys([*(place.path for place in self.places), *folders]))

    def begin(self, store: Store, swap: Swap, now: datetime) -> None:
        """Say what runs, at the start. Raises StoreError."""
        store.set_running([each for place in self.places for each in _running(place.tenants, place.disk, now)])
        for place in self.places:
            self._take(place, place.disk, place.rules, swap)

    def look(
        self, store: Store, swap: Swap, ops_channel: str, now: datetime, moment: float, *, at_once: bool = False
    ) -> bool:
        """Look at the files; take an edit that is good, name one that is broken. True when either was done.

        `moment`: seconds of a clock that only runs on, for how long files have stood still; `at_once` does not wait for
        that. Raises StoreError, and then has done nothing: the next look tries again.
        """
        done = False
        for place in self.places:
            disk = read_disk(place.path)
            if disk.digest == place.judged and not (at_once and place.faults):
                place.unjudged = ""
                continue
            if disk.digest != place.unjudged:
                place.unjudged, place.unjudged_since, place.prepared = disk.digest, moment, None
            quiet = moment - place.unjudged_since
            if quiet < QUIET and not at_once:
                continue
            others = {template_folder(each.path): each.disk.templates for each in self.places if each is not place}
            prepared = place.prepared = place.prepared or self._prepare(disk, others)
            doubtful = isinstance(prepared, FaultsFound) or _takes_away(place.rules, prepared)
            if doubtful and quiet < PATIENCE and not at_once:
                continue
            if isinstance(prepared, FaultsFound):
                self._refuse(place, disk, prepared.faults, store, ops_channel, now)
            else:
                self._accept(place, disk, prepared, store, swap, ops_channel, now)
            done = True
        return done

    def _prepare(self, disk: OnDisk, others: Mapping[Path, Mapping[str, bytes]]) -> RuleSet | FaultsFound:
        try:
            return prepare(disk, others, self._read)
        except FaultsFound as found:
            return found

    def _refuse(
        self, place: RuleFolder, disk: OnDisk, faults: tuple[Fault, ...], store: Store, ops_channel: str, now: datetime
    ) -> None:
        if disk.digest not in place.said:
            store.tell([_notice(place, disk, ops_channel, Level.WARNING, _broken(place, faults), now)])
        place.said.add(disk.digest)
        place.judged, place.unjudged, place.faults = disk.digest, "", faults
        shown = [str(fault) for fault in faults[:MOST_FAULTS]]
        log.error("rule files are broken; the last good rules go on", faults=len(faults), first=shown)

    def _accept(
        self, place: RuleFolder, disk: OnDisk, rules: RuleSet, store: Store, swap: Swap, ops_channel: str, now: datetime
    ) -> None:
        before, mended = place.rules, bool(place.faults)
        store.set_running(_running(place.tenants, disk, now))
        if mended:
            text = f"The rule files in {place.path} are whole again: {describe(before, rules)}."
            store.tell([_notice(place, disk, ops_channel, Level.INFO, text, now)])
        self._take(place, disk, rules, swap)
        log.info("rules are live", version=rules.version, rules=len(rules.rules), change=describe(before, rules))

    def _take(self, place: RuleFolder, disk: OnDisk, rules: RuleSet, swap: Swap) -> None:
        place.disk, place.rules = disk, rules
        place.judged, place.unjudged, place.faults = disk.digest, "", ()
        place.said.clear()
        files = {name: data for each in self.places for name, data in each.disk.templates.items()}
        swap(place.tenants, rules, sorted({template_folder(each.path) for each in self.places}), files)


def rules_that_run(
    paths: Mapping[str, Path], store: Store, read: Read = read_files
) -> tuple[Mapping[str, RuleSet], Mapping[str, str]]:
    """Each tenant's rules as the poller runs (or last ran) them, and what to say of the files on disk; "": nothing.

    For processes beside the poller: they answer from what runs, whatever is being edited. Where nothing ever ran, or
    what ran cannot be read by this version, the files on disk count; FaultsFound when they are broken.
    """
    rules: dict[str, RuleSet] = {}
    on_disk: dict[str, str] = {}
    disks = {path: read_disk(path) for path in dict.fromkeys(paths.values())}
    for tenant, path in paths.items():
        running, disk = store.running(tenant), disks[path]
        others = {template_folder(each.path): each.templates for each in disks.values() if each is not disk}
        if running is not None:
            found = read(running.files)
            if not found.faults:
                rules[tenant] = replace(found.rules, version=running.version)
        if tenant not in rules:
            rules[tenant] = prepare(disk, others, read)
        elif disk.digest != rules[tenant].version:
            try:
                on_disk[tenant] = f"version {prepare(disk, others, read).version}, which does not run"
            except FaultsFound as found:
                on_disk[tenant] = _first(found.faults)
    return rules, on_disk


def _first(faults: Sequence[Fault]) -> str:
    if not faults:
        return ""
    return f"{faults[0]}" + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else "")


def describe(before: RuleSet, after: RuleSet) -> str:
    """What an edit did: `version 1f0c… with 9 rules is live; added: a; changed: b, c; removed: d`."""
    old, new = ({rule.id: replace(rule, origin=_NOWHERE) for rule in each.rules} for each in (before, after))
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


def _takes_away(before: RuleSet, after: RuleSet) -> bool:
    return not {rule.id for rule in before.rules} <= {rule.id for rule in after.rules}


def _running(tenants: Sequence[str], disk: OnDisk, now: datetime) -> list[RunningRules]:
    return [RunningRules(tenant, disk.digest, now, disk.rules) for tenant in tenants]


def _broken(place: RuleFolder, faults: Sequence[Fault]) -> str:
    count = f"{len(faults)} fault{'s' * (len(faults) != 1)}"
    lines = [f"The rule files in {place.path} have {count}; version {place.rules.version} goes on as it was:"]
    lines += [str(fault) for fault in faults[:MOST_FAULTS]]
    if len(faults) > MOST_FAULTS:
        lines.append(f"and {len(faults) - MOST_FAULTS} more; `alertbot check` lists them all")
    return "\n".join(lines)


def _notice(place: RuleFolder, disk: OnDisk, channel: str, level: Level, text: str, now: datetime) -> Notice:
    about = ("rule files", str(place.path), disk.digest)
    return Notice(
        id=notice_id(about, Reason.OPERATIONS, channel, now),
        kind=NoticeKind.OPS,
        alert=None,
        channel=channel,
        reason=Reason.OPERATIONS,
        level=level,
        at=now,
        text=text,
    )
