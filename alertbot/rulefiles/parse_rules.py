"""YAML files to rules, or every fault of every file at once.

`document.py` reads the YAML, `rule_keys.py` has the keys, `rules/expression.py` the conditions; this file puts them
together.
"""

from __future__ import annotations

import collections.abc
import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from alertbot.errors import BadExpression, FaultsFound
from alertbot.rulefiles import document
from alertbot.rulefiles.calendar_keys import read_calendars
from alertbot.rulefiles.document import Documents, Files, Node, YamlMapping, YamlScalar, YamlSequence
from alertbot.rulefiles.faults import Fault, Place
from alertbot.rulefiles.fields import POLL_EVERY, Report, called, did_you_mean, place_of, read_fields, refuse
from alertbot.rulefiles.rule_keys import DEFAULT_KEYS, FILE_KEYS, LEVELS, RULE_KEYS, read_literal
from alertbot.rules.catalogue import Scope, catalogue
from alertbot.rules.expression import parse, unknown_key
from alertbot.rules.hours import Calendar
from alertbot.rules.match import Match
from alertbot.rules.rule import GroupBy, Level, LevelRule, NoData, Origin, Rule, RuleSet
from alertbot.rules.suppression import KINSHIPS, cycles, may_suppress
from alertbot.rules.tree import Condition, Literal, show
from alertbot.rules.value_types import named
from alertbot.rules.words import listed, nearest

_WITH_PARENTS = (Scope.QUEUE_AGENT, Scope.GROUP_AGENT)
_METRIC = re.compile(r"\bmetric\(\s*(?P<quote>['\"])(?P<key>[^'\"]*)(?P=quote)\s*\)")


Calendars = collections.abc.Mapping[str, Calendar]


def parse_files(files: Files, calendars: Calendars | None = None, poll_every: timedelta = POLL_EVERY) -> RuleSet:
    """The rules of all files, in the order of their names.

    `calendars` are those of alertbot.yaml. They and the `hours` of each file are known in all files. `poll_every` is
    the longest of the tenants that use these rules: no reminder may be more frequent. The `version` of the rule set is
    a digest of names and contents. Raises FaultsFound, with every fault of every file, when there is one: a file that
    cannot be read does not hide the faults of the others.
    """
    parsed = read_files(files, calendars, poll_every)
    if parsed.faults:
        raise FaultsFound(parsed.faults)
    return parsed.rules


@dataclass(frozen=True)
class ParsedRules:
    """The rules without faults, the ids of those with faults, and all faults."""

    rules: RuleSet
    broken: frozenset[str]
    faults: tuple[Fault, ...]


def read_files(
    files: Files,
    calendars: Calendars | None = None,
    poll_every: timedelta = POLL_EVERY,
    documents: Documents | None = None,
) -> ParsedRules:
    """Like `parse_files`, but with the valid rules beside the faults instead of an exception.

    `documents` keeps the YAML of each file for further calls with the same files.
    """
    faults: list[Fault] = []
    rules: list[Rule] = []
    taken: dict[str, Origin] = {}
    nodes: dict[str, Node] = {}
    drafts: list[tuple[str, _Draft]] = []
    for file, (node, yaml_faults) in sorted(document.read_each(files, documents).items()):
        faults += yaml_faults
        if node is not None:
            nodes[file] = node
    known: dict[str, Calendar | None] = dict(calendars or {})
    for file, node in nodes.items():  # all hours before any rule: a rule may name a calendar of a later file
        report = Report(file)
        _read_hours(node, known, report)
        faults += report.faults
    for file, node in nodes.items():
        report = Report(file, calendars=known, poll_every=poll_every)
        for draft in _read_file(node, report):
            first = taken.setdefault(draft.id, Origin(file, draft.place.line)) if draft.id else None
            if first is not None and first != Origin(file, draft.place.line):
                report.rule = draft.id
                where = f"line {first.line}" if first.file == file else f"{first.file}:{first.line}"
                report.add(draft.place, f"the id {draft.id} is already used", f"the other rule is in {where}", draft.id)
            if draft.rule is not None:
                rules.append(draft.rule)
            drafts.append((file, draft))
        faults += report.faults
    faults += _check_suppression(drafts)
    good = {name: calendar for name, calendar in known.items() if calendar is not None}
    return ParsedRules(
        rules=RuleSet(tuple(rules), _digest(files), good),
        broken=frozenset(draft.id for _, draft in drafts if draft.rule is None and draft.id),
        faults=tuple(sorted(_without_repeats(faults))),
    )


def _read_hours(node: Node, known: dict[str, Calendar | None], report: Report) -> None:
    """Add the calendars of one file to the known ones."""
    key = node.key("hours") if isinstance(node, YamlMapping) else None
    if key is None or not isinstance(node, YamlMapping):
        return
    hours = node.get("hours")
    assert hours is not None
    for name, calendar in read_calendars(key, hours, report).items():
        other = known.setdefault(name, calendar)
        if other is not calendar:
            assert isinstance(hours, YamlMapping)
            place = hours.key(name) or key
            hint = f"the other one is in {other.where}" if other is not None else "names are unique across all files"
            report.add(place.place, f"the calendar {name} is defined twice", hint, name)


def _check_suppression(drafts: collections.abc.Sequence[tuple[str, _Draft]]) -> list[Fault]:
    """Each id in `suppressed_by` must be another rule, of a scope that can suppress this one, without a cycle."""
    by_id = {draft.id: draft for _, draft in drafts if draft.id}
    paths = cycles({each.id: [by.text for by in each.suppressed_by] for each in by_id.values()})
    faults = []
    for file, draft in drafts:
        report = Report(file, draft.id)
        for by in draft.suppressed_by:
            other = by_id.get(by.text)
            if other is None:
                near = nearest(by.text, by_id)
                hint = f'did you mean "{near[0]}"?' if near else "none of the files has it"
                report.add(by.place, f'there is no rule "{by.text}"', hint, by.text)
            elif draft.scope and other.scope and (draft.scope, other.scope) not in KINSHIPS:
                message = f"{by.text} has scope {other.scope}, which cannot suppress scope {draft.scope}"
                report.add(by.place, message, f"a rule of scope {may_suppress(draft.scope)} can", by.text)
            elif (path := paths.get(draft.id)) is not None and by_id[draft.id] is draft and by.text == path[1]:
                cycle = "" if len(path) == 2 else f": {' by '.join(path)}"
                report.add(by.place, f"the rule suppresses itself{cycle}", "remove one of them", by.text)
        faults += report.faults
    return faults


def _without_repeats(faults: list[Fault]) -> list[Fault]:
    return list(dict.fromkeys(faults))  # an alias repeats the faults of its anchor


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
    """A rule as far as it could be read. `place` is that of its id; `rule` is None where it has faults."""

    id: str
    place: Place
    rule: Rule | None
    scope: Scope | None = None
    suppressed_by: tuple[YamlScalar, ...] = ()


def _read_file(node: Node, report: Report) -> list[_Draft]:
    if not isinstance(node, YamlMapping):
        hint = (
            "write rules: above it, and indent it"
            if isinstance(node, YamlSequence)
            else "write rules: and a list below it"
        )
        report.add(node.place, f"a rule file is a mapping, not {called(node)}", hint)
        return []
    values = read_fields(node, FILE_KEYS, report, "a rule file", top=True)
    defaults: dict[str, Any] = {}
    defaults_node = None
    if "defaults" in values:
        key = node.key("defaults")
        assert key is not None
        if isinstance(values["defaults"], YamlMapping):
            defaults_node = values["defaults"]
            defaults = read_fields(values["defaults"], DEFAULT_KEYS, report, "defaults")
        else:
            refuse(key, values["defaults"], report, "a mapping")
    key = node.key("rules")
    if key is None:
        if node.key("hours") is None:  # a file may hold calendars only
            report.add(node.place, "no rules in this file", "write rules: and a list below it")
        return []
    rules = values["rules"]
    if not isinstance(rules, YamlSequence):
        refuse(key, rules, report, "a list of rules", "each begins with - id:; write [] for none")
        return []
    drafts = []
    for item in rules.items:
        report.rule = ""
        if isinstance(item, YamlMapping):
            drafts.append(_RuleReader(item, defaults, report, defaults_node).read())
        else:
            report.add(place_of(key, item), f"a rule is a mapping, not {called(item)}", "it begins with - id:")
    report.rule = ""
    return drafts


class _RuleReader:
    """One rule of a file: its keys by the table, then the checks that need several of them."""

    def __init__(
        self, node: YamlMapping, defaults: dict[str, Any], report: Report, defaults_node: YamlMapping | None
    ) -> None:
        self.node = node
        self.defaults_node = defaults_node
        self.report = report
        self.faults_before = len(report.faults)
        named = node.get("id")
        report.rule = named.text if isinstance(named, YamlScalar) and re.fullmatch(r"[\w-]+", named.text) else ""
        self.values = read_fields(node, RULE_KEYS, report, "a rule")
        if "during" in self.values or "outside" in self.values:  # its own hours replace those of `defaults`
            defaults = {name: value for name, value in defaults.items() if name not in ("during", "outside")}
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
        show, message_keys = self.check_shown(scope)
        self.check_params()
        self.check_overrides()
        self.check_levels_of_settings({level for level, _ in blocks})
        self.check_group_by(scope)
        id_node = self.node.get("id")
        place = self.node.place if id_node is None else id_node.place
        if len(self.report.faults) > self.faults_before:
            return _Draft(rule_id or "", place, None, scope, self.values.get("suppressed_by", ()))
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
            overrides=settings.get("overrides", ()),
            clear=clear,
            clear_text=_text_of(settings.get("clear")),
            keep_firing_for=settings.get("keep_firing_for", timedelta(0)),
            no_data=settings.get("no_data", NoData.KEEP),
            channels=settings.get("channel", {}),
            mention=settings.get("mention", {}),
            template=settings.get("template", "alert"),
            template_origin=self.origin_of("template"),
            message=_text_of(self.values.get("message")),
            message_keys=message_keys,
            message_origin=self.origin_of("message"),
            show=show,
            remind=settings.get("remind"),
            escalate=settings.get("escalate", ()),
            group_by=settings.get("group_by", GroupBy.ENTITY),
            runbook=settings.get("runbook", ""),
            labels=settings["labels"],
            during=settings.get("during"),
            outside=settings.get("outside"),
            suppressed_by=tuple(each.text for each in settings.get("suppressed_by", ())),
            shadow=settings.get("shadow", False),
            origin=Origin(self.report.file, self.node.place.line),
        )
        return _Draft(rule_id, place, rule, scope, self.values.get("suppressed_by", ()))

    def origin_of(self, name: str) -> Origin | None:
        """Where the value of a key is written, in the rule or in `defaults`; None where it is in neither."""
        for holder in (self.node, self.defaults_node):
            node = holder.get(name) if holder is not None else None
            if node is not None:
                return Origin(self.report.file, node.place.line, node.place.column)
        return None

    def required(self, name: str, hint: str) -> Any:
        if self.node.key(name) is None:
            self.report.add(self.node.place, f"a rule without {name}", hint)
        return self.values.get(name)

    def blocks(self) -> list[tuple[Level, dict[str, Any]]]:
        """The levels as written, lowest first: blocks, or the short form."""
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

    def condition(self, scalar: YamlScalar | None, scope: Any) -> Condition | None:
        """A parsed condition; None where there is none or it is wrong. Without a scope it cannot be checked."""
        if scalar is None or scope is None:
            return None
        text = _text_of(scalar)
        shift = len(scalar.text) - len(scalar.text.lstrip())
        try:
            return parse(text, scope, self.params, self.values.get("known", True))
        except BadExpression as error:
            for each in error.mistakes:
                if each.message.startswith("there is no parameter") and not self.readable_params():
                    continue  # the parameter itself was refused and reported
                place = scalar.place_of(each.start + shift)
                self.report.add(place, each.message, each.hint, text[each.start : each.end])
            return None

    def check_shown(self, scope: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The keys of `show`, and those in `message`; each must be a key of the rule's scope.

        The rest of a message is checked by rendering it, since its language is that of templates.
        """
        show: tuple[YamlScalar, ...] = self.settings.get("show", ())
        message: YamlScalar | None = self.values.get("message")
        uses = list(_METRIC.finditer(message.text)) if message is not None else []
        if isinstance(scope, Scope) and self.values.get("known", True):
            written = [(key.text, key.place) for key in show]
            if message is not None:
                written += [(use["key"], message.place_of(use.start("key"))) for use in uses]
            for key, place in written:
                if catalogue().lookup(scope, key) is None:
                    self.report.add(place, *unknown_key(catalogue(), scope, key), key)
        return tuple(dict.fromkeys(key.text for key in show)), tuple(dict.fromkeys(use["key"] for use in uses))

    def readable_params(self) -> bool:
        node = self.node.get("params")
        return not isinstance(node, YamlMapping) or len(node.entries) == len(self.params)

    def check_params(self) -> None:
        node = self.node.get("params")
        if not isinstance(node, YamlMapping):
            return
        used = set(re.findall(r"\$(\w+)", " ".join(self.written_conditions())))
        for key, _ in node.entries:
            if key.text not in used:
                hint = f"write ${key.text} in a condition, or remove it"
                self.report.add(key.place, f"the parameter {key.text} is not used", hint, key.text)

    def check_overrides(self) -> None:
        """An override may only change params that the rule has, to values of the same type."""
        node = self.node.get("overrides")
        if not isinstance(node, YamlSequence) or not self.readable_params():
            return
        for item in node.items:
            params = item.get("params") if isinstance(item, YamlMapping) else None
            if not isinstance(params, YamlMapping):
                continue
            for key, value in params.entries:
                own = self.params.get(key.text)
                if own is None:
                    hint = did_you_mean(key.text, self.params) or f"add {key.text} to the params of the rule"
                    self.report.add(key.place, f"an override of {key.text}, which is not in the params", hint, key.text)
                    continue
                other = read_literal(key, value, Report(self.report.file))  # its own faults were reported
                if other is not None and other.type is not own.type:
                    message = f"{key.text} is {named(own.type)} in the params, but {named(other.type)} here"
                    self.report.add(value.place, message, f"such as {show(own)}", called(value))

    def written_conditions(self) -> list[str]:
        """The texts of all conditions, including wrong ones."""
        holders = [self.node, *(block for name in LEVELS if isinstance(block := self.node.get(name), YamlMapping))]
        nodes = [holder.get(name) for holder in holders for name in ("when", "guard", "clear")]
        return [node.text for node in nodes if isinstance(node, YamlScalar)]

    def check_levels_of_settings(self, levels: set[Level]) -> None:
        """A channel or mention for a level that the rule does not have is a mistake."""
        for each in RULE_KEYS:
            node = self.node.get(each.name)
            if not each.per_level or not isinstance(node, YamlMapping) or not levels:
                continue
            for key, _ in node.entries:
                if key.text in LEVELS and LEVELS[key.text] not in levels:
                    words = " and ".join(level.word for level in sorted(levels))
                    message = f"{each.name} for {key.text}, a level this rule does not have"
                    self.report.add(key.place, message, f"the rule has {words}", key.text)

    def check_group_by(self, scope: Any) -> None:
        """Only the scopes of agents within a queue or group have a parent."""
        if (
            self.settings.get("group_by") is not GroupBy.PARENT
            or not isinstance(scope, Scope)
            or scope in _WITH_PARENTS
        ):
            return
        own = self.node.key("group_by") is not None
        if own and "group_by" not in self.values:
            return  # it was refused and reported
        holder = self.node if own else self.defaults_node
        written = holder.get("group_by") if holder is not None else None
        assert written is not None
        inherited = "" if own else " (from defaults)"
        message = f"group_by: parent{inherited}, but scope {scope} has no parent"
        hint = f"write entity or rule; {listed([each.value for each in _WITH_PARENTS])} have one"
        self.report.add(written.place, message, hint, GroupBy.PARENT.value)


def _both_forms(name: str, block: str) -> tuple[str, str]:
    if name == "when":
        return f"both when and {block}", f"put the condition into {block}, or remove {block}"
    return f"{name} beside {block}", f"{name} belongs to the short form with when" + (
        f": put it into {block}" if name == "for" else ""
    )


def _text_of(scalar: YamlScalar | None) -> str:
    """A condition as written, on one line; its length is unchanged, so that offsets stay valid."""
    return "" if scalar is None else scalar.text.strip().replace("\n", " ")
