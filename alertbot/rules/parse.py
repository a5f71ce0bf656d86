"""YAML files to rules, or every fault of every file at once.

`document.py` reads the YAML, `fields.py` has the keys, `expression.py` the conditions; here they are put together.
"""

from __future__ import annotations

import collections.abc
import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from alertbot.errors import BadExpression, Fault, FaultsFound
from alertbot.rules import document
from alertbot.rules.catalogue import Scope
from alertbot.rules.document import Mapping, Node, Place, Scalar, Sequence
from alertbot.rules.expression import parse
from alertbot.rules.fields import (
    DEFAULT_KEYS,
    FILE_KEYS,
    LEVELS,
    RULE_KEYS,
    Report,
    called,
    place_of,
    read_fields,
    refuse,
)
from alertbot.rules.rule import Level, LevelRule, Match, NoData, Origin, Rule, RuleSet
from alertbot.rules.tree import Condition, Literal

Files = collections.abc.Mapping[str, bytes | str]


def parse_files(files: Files) -> RuleSet:
    """The rules of all files, in the order of their names.

    Raises FaultsFound with every fault of every file: one that cannot be read hides nothing of the others.
    `version` of the answer is a digest of names and contents.
    """
    faults: list[Fault] = []
    rules: list[Rule] = []
    taken: dict[str, Origin] = {}
    for file in sorted(files):
        node, found = document.read(file, files[file])
        faults += found
        if node is None:
            continue
        report = Report(file)
        for draft in _read_file(node, report):
            first = taken.setdefault(draft.id, Origin(file, draft.place.line)) if draft.id else None
            if first is not None and first != Origin(file, draft.place.line):
                report.rule = draft.id
                where = f"line {first.line}" if first.file == file else f"{first.file}:{first.line}"
                report.add(draft.place, f"the id {draft.id} is taken", f"the other one is in {where}", draft.id)
            if draft.rule is not None:
                rules.append(draft.rule)
        faults += report.faults
    if faults:
        raise FaultsFound(_without_repeats(faults))
    return RuleSet(tuple(rules), _digest(files))


def _without_repeats(faults: list[Fault]) -> list[Fault]:
    return list(dict.fromkeys(faults))  # what an alias repeats is one fault


def _digest(files: Files) -> str:
    digest = hashlib.sha256()
    for file in sorted(files):
        data = files[file]
        content = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        for part in (file.encode("utf-8", "surrogateescape"), content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class _Draft:
    """A rule as far as it could be read. `place` is where its id stands; `rule` is None where it has faults."""

    id: str
    place: Place
    rule: Rule | None


def _read_file(node: Node, report: Report) -> list[_Draft]:
    if not isinstance(node, Mapping):
        hint = (
            "write rules: above it, and indent it" if isinstance(node, Sequence) else "write rules: and a list below it"
        )
        report.add(node.place, f"a rule file is a mapping, not {called(node)}", hint)
        return []
    values = read_fields(node, FILE_KEYS, report, "a rule file")
    defaults: dict[str, Any] = {}
    if "defaults" in values:
        key = node.key("defaults")
        assert key is not None
        if isinstance(values["defaults"], Mapping):
            defaults = read_fields(values["defaults"], DEFAULT_KEYS, report, "defaults")
        else:
            refuse(key, values["defaults"], report, "a mapping")
    key = node.key("rules")
    if key is None:
        report.add(node.place, "no rules in this file", "write rules: and a list below it")
        return []
    rules = values["rules"]
    if not isinstance(rules, Sequence):
        refuse(key, rules, report, "a list of rules", "each begins with - id:, and [] is none")
        return []
    drafts = []
    for item in rules.items:
        report.rule = ""
        if isinstance(item, Mapping):
            drafts.append(_RuleReader(item, defaults, report).read())
        else:
            report.add(place_of(key, item), f"a rule is a mapping, not {called(item)}", "it begins with - id:")
    report.rule = ""
    return drafts


class _RuleReader:
    """One rule of a file: its keys by the table, then what only all of them together can tell."""

    def __init__(self, node: Mapping, defaults: dict[str, Any], report: Report) -> None:
        self.node = node
        self.report = report
        self.faults_before = len(report.faults)
        named = node.get("id")
        report.rule = named.text if isinstance(named, Scalar) and re.fullmatch(r"[\w-]+", named.text) else ""
        self.values = read_fields(node, RULE_KEYS, report, "a rule")
        self.settings = {**defaults, **self.values}
        self.settings["labels"] = {**defaults.get("labels", {}), **self.values.get("labels", {})}
        self.params: dict[str, Literal] = self.values.get("params", {})

    def read(self) -> _Draft:
        rule_id = self.required("id", "such as - id: longest-wait")
        scope = self.required("scope", "queue, group, agent, …")
        blocks = self.blocks()
        levels = tuple(
            LevelRule(level, when, _text_of(block["when"]), block.get("for", timedelta(0)))
            for level, block in blocks
            if (when := self.condition(block["when"], scope)) is not None
        )
        guard, clear = (self.condition(self.values.get(name), scope) for name in ("guard", "clear"))
        self.check_params()
        self.check_levels_of_settings({level for level, _ in blocks})
        id_node = self.node.get("id")
        place = self.node.place if id_node is None else id_node.place
        if len(self.report.faults) > self.faults_before:
            return _Draft(rule_id or "", place, None)
        assert isinstance(scope, Scope)
        settings = self.settings
        rule = Rule(
            id=rule_id,
            title=settings.get("title") or rule_id.replace("-", " ").capitalize(),
            scope=scope,
            levels=levels,
            match=settings.get("match", Match()),
            guard=guard,
            guard_text=_text_of(settings.get("guard")),
            params=self.params,
            clear=clear,
            clear_text=_text_of(settings.get("clear")),
            keep_firing_for=settings.get("keep_firing_for", timedelta(0)),
            no_data=settings.get("no_data", NoData.KEEP),
            channels=settings.get("channel", {}),
            mention=settings.get("mention", {}),
            template=settings.get("template", "alert"),
            runbook=settings.get("runbook", ""),
            labels=settings["labels"],
            origin=Origin(self.report.file, self.node.place.line),
        )
        return _Draft(rule_id, place, rule)

    def required(self, name: str, hint: str) -> Any:
        if self.node.key(name) is None:
            self.report.add(self.node.place, f"a rule without {name}", hint)
        return self.values.get(name)

    def blocks(self) -> list[tuple[Level, dict[str, Any]]]:
        """The levels as they were written, the lowest first: blocks, or the short form."""
        written = {name: key for name in LEVELS if (key := self.node.key(name)) is not None}
        short = {name: key for name in ("when", "level", "for") if (key := self.node.key(name)) is not None}
        if written and short:
            first, name = next(iter(written)), next(iter(short))
            self.report.add(short[name].place, *_both_forms(name, first), name)
        elif "when" in short:
            if "when" not in self.values:
                return []
            block: dict[str, Any] = {name: self.values[name] for name in ("when", "for") if name in self.values}
            return [(self.values.get("level", Level.WARNING), block)]
        elif short:
            name = next(iter(short))
            self.report.add(short[name].place, f"{name} without when", "write when: and a condition", name)
        elif not written:
            self.report.add(self.node.place, "a rule without when", "write when:, or warning: with when: below it")
        return [(LEVELS[name], self.values[name]) for name in LEVELS if name in self.values]

    def condition(self, scalar: Scalar | None, scope: Any) -> Condition | None:
        """A condition, read; None where there is none or where it is wrong. Without a scope nothing can be said."""
        if scalar is None or scope is None:
            return None
        text = _text_of(scalar)
        shift = len(scalar.text) - len(scalar.text.lstrip())
        try:
            return parse(text, scope, self.params, self.values.get("known", True))
        except BadExpression as error:
            for each in error.mistakes:
                if each.message.startswith("$") and not self.readable_params():
                    continue  # the parameter itself was refused, and that has been said
                place = scalar.place_of(each.start + shift)
                self.report.add(place, each.message, each.hint, text[each.start : each.end])
            return None

    def readable_params(self) -> bool:
        node = self.node.get("params")
        return not isinstance(node, Mapping) or len(node.entries) == len(self.params)

    def check_params(self) -> None:
        node = self.node.get("params")
        if not isinstance(node, Mapping):
            return
        used = set(re.findall(r"\$(\w+)", " ".join(self.written_conditions())))
        for key, _ in node.entries:
            if key.text not in used:
                hint = f"write ${key.text} in a condition, or take it out"
                self.report.add(key.place, f"nothing uses the parameter {key.text}", hint, key.text)

    def written_conditions(self) -> list[str]:
        """The texts of all conditions, the wrong ones too."""
        holders = [self.node, *(block for name in LEVELS if isinstance(block := self.node.get(name), Mapping))]
        nodes = [holder.get(name) for holder in holders for name in ("when", "guard", "clear")]
        return [node.text for node in nodes if isinstance(node, Scalar)]

    def check_levels_of_settings(self, levels: set[Level]) -> None:
        """A channel or mention for a level that the rule does not have is a slip of the pen."""
        for each in RULE_KEYS:
            node = self.node.get(each.name)
            if not each.per_level or not isinstance(node, Mapping) or not levels:
                continue
            for key, _ in node.entries:
                if key.text in LEVELS and LEVELS[key.text] not in levels:
                    words = " and ".join(level.word for level in sorted(levels))
                    message = f"{each.name} for {key.text}, a level this rule does not have"
                    self.report.add(key.place, message, f"it has {words}", key.text)


def _both_forms(name: str, block: str) -> tuple[str, str]:
    if name == "when":
        return f"both when and {block}", f"put the condition into {block}, or take {block} away"
    return f"{name} beside {block}", f"{name} belongs to the short form with when" + (
        f": put it into {block}" if name == "for" else ""
    )


def _text_of(scalar: Scalar | None) -> str:
    """A condition as written, on one line: as long as it was, so that offsets hold."""
    return "" if scalar is None else scalar.text.strip().replace("\n", " ")
