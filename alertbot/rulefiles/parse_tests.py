"""YAML files to rule tests, or every fault of every file at once."""

from __future__ import annotations

import collections.abc
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from alertbot.errors import BadExpression, FaultsFound
from alertbot.rulefiles import document
from alertbot.rulefiles.document import Node, YamlMapping, YamlScalar, YamlSequence
from alertbot.rulefiles.faults import Fault, Place
from alertbot.rulefiles.fields import Report, called, did_you_mean, read_fields, refuse
from alertbot.rulefiles.rule_keys import FILE_KEYS as RULE_FILE_KEYS
from alertbot.rulefiles.rule_keys import LEVELS
from alertbot.rulefiles.rule_test import (
    TENANT,
    AgentSeries,
    EntitySeries,
    Expectation,
    ExpectedNotice,
    OwnerChange,
    PlannedSilence,
    RuleTest,
    SampleSeries,
)
from alertbot.rulefiles.series import parse_series
from alertbot.rulefiles.test_keys import (
    ACK_KEYS,
    AGENT_KEYS,
    ENTITY_KEYS,
    EXPECT_KEYS,
    FILE_KEYS,
    LAST_YEAR,
    NOTICE_KEYS,
    PARENT_KEYS,
    SILENCE_KEYS,
    TEST_KEYS,
    UNACK_KEYS,
)
from alertbot.rules.catalogue import RULE_SCOPES, TOTALS_ENTITY, Scope, ValueType, catalogue
from alertbot.rules.functions import AGENTS_OF
from alertbot.rules.match import fold, matches, same_name
from alertbot.rules.rule import Rule, RuleSet
from alertbot.rules.terms import EXAMPLE, LABEL, Terms
from alertbot.rules.tree import Key, Window, show
from alertbot.rules.units import write_duration
from alertbot.rules.words import count, listed

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday
EVERY = timedelta(seconds=15)
TOTALS = frozenset({Scope.QUEUE_TOTALS, Scope.AGENT_TOTALS})
HAVE_PARENTS = frozenset({Scope.QUEUE_AGENT, Scope.GROUP_AGENT, Scope.AGENT})


def parse_tests(
    files: collections.abc.Mapping[str, bytes | str], rules: RuleSet, *, broken: frozenset[str] = frozenset()
) -> tuple[RuleTest, ...]:
    """The tests of all files, in the order of their names.

    `broken`: ids of rules that exist but have faults; their tests are left out. Raises FaultsFound, with every fault of
    every file, when there is one.
    """
    faults: list[Fault] = []
    tests: list[RuleTest] = []
    for file in sorted(files):
        node, yaml_faults = document.read(file, files[file])
        faults += yaml_faults
        if node is None:
            continue
        report = Report(file)
        tests += _read_file(node, rules, broken, report)
        faults += report.faults
    if faults:
        raise FaultsFound(list(dict.fromkeys(faults)))  # an alias repeats the faults of its anchor
    return tuple(tests)


def is_test_file(data: bytes | str) -> bool:
    """Whether a YAML file holds rule tests rather than rules."""
    node, _ = document.read("", data)
    return isinstance(node, YamlMapping) and node.key("tests") is not None and node.key("rules") is None


def may_hold_rules(data: bytes | str) -> bool:
    """Whether a YAML file can be meant as a rule file: it has a key of one, or cannot be read at all."""
    node, _ = document.read("", data)
    if not isinstance(node, YamlMapping):
        return node is None
    return any(node.key(each.name) is not None for each in RULE_FILE_KEYS)


def _read_file(node: Node, rules: RuleSet, broken: frozenset[str], report: Report) -> list[RuleTest]:
    if not isinstance(node, YamlMapping):
        report.add(node.place, f"a file of rule tests is a mapping, not {called(node)}", "write tests: above it")
        return []
    values = read_fields(node, FILE_KEYS, report, "a file of rule tests", top=True)
    if node.key("tests") is None:
        report.add(node.place, "no tests in this file", "write tests: and a list below it")
    drafts = [_TestReader(item, rules, broken, report).read() for item in values.get("tests", ())]
    return [test for test in drafts if test is not None]


class _TestReader:
    """One test of a file."""

    def __init__(self, node: YamlMapping, rules: RuleSet, broken: frozenset[str], report: Report) -> None:
        self.node, self.rules, self.broken, self.report = node, rules, broken, report
        self.faults_before = len(report.faults)
        report.rule = ""
        self.values = read_fields(node, TEST_KEYS, report, "a test", "tests")
        self.rule = self._rule()
        report.rule = self.rule.id if self.rule is not None else ""
        self.lengths: list[tuple[int, Place, str]] = []
        self.series_keys: list[tuple[Place, str]] = []
        self.usual_keys: list[tuple[Place, str]] = []

    def read(self) -> RuleTest | None:
        name = self._required("name", "describe what it shows")
        if self.rule is None:
            return None
        rule = self.rule
        shared = self._series(self.values.get("series"), rule.scope)
        usual = self._series(self.values.get("usual"), rule.scope, usual=True)
        entities = self._entities(rule, shared, usual)
        polls = self._polls()
        every: timedelta = self.values.get("every", EVERY)
        start: datetime = self.values.get("start", START)
        last = every * (polls - 1)
        self._check_end(start, every, polls)
        expect = tuple(self._expectations(entities, last))
        notices = tuple(self._notices(entities, last)) if "notices" in self.values else None
        silences = tuple(self._silences(entities, last))
        acks = tuple(self._owner_changes("acks", entities, last))
        unacks = tuple(self._owner_changes("unacks", entities, last))
        if not self.values.get("expect") and notices is None and len(self.report.faults) == self.faults_before:
            self.report.add(self.node.place, "a test without expectations", "write expect:, or notices: [] for none")
        self._check_read()
        self.report.rule = ""
        if len(self.report.faults) > self.faults_before:
            return None
        given = {each.key for entity in entities for each in entity.series}
        known = {each.key for entity in entities for each in entity.usual}
        unknown = {
            show(each)
            for scope, each in rule.reads()
            if scope is rule.scope and isinstance(each, Window) and each.weeks and each.key.key not in known
        }
        return RuleTest(
            name=name,
            rule=rule.id,
            scope=rule.scope,
            start=start,
            every=every,
            polls=polls,
            entities=entities,
            expect=expect,
            notices=notices,
            failed=self.values.get("failed", ()),
            silences=silences,
            acks=acks,
            unacks=unacks,
            file=self.report.file,
            line=self.node.place.line,
            unread=tuple(sorted((rule.keys() - given) | unknown)),
        )

    def _required(self, name: str, hint: str) -> Any:
        if self.node.key(name) is None:
            self.report.add(self.node.place, f"a test without {name}", hint)
        return self.values.get(name)

    def _rule(self) -> Rule | None:
        wanted = self._required("rule", "the id of the rule that it tests")
        rule = self.rules.by_id(wanted) if wanted is not None else None
        node = self.node.get("rule")
        if wanted is not None and rule is None and node is not None and wanted not in self.broken:
            known = [each.id for each in self.rules.rules]
            hint = did_you_mean(wanted.replace("_", "-"), known) or f"the rules are: {', '.join(known[:8]) or 'none'}"
            self.report.add(node.place, f"there is no rule {wanted}", hint, wanted)
        return rule

    def _polls(self) -> int:
        """The number of polls; all series must have the same length."""
        if not self.lengths:
            if "series" not in self.values and not self._asked("entity", "entities"):
                self.report.add(self.node.place, "a test without series", "write series: and samples below it")
            return 1
        longest = max(length for length, _, _ in self.lengths)
        for length, place, key in self.lengths:
            if length < longest:
                message = f"{key} has {count(length, 'sample')}, but others have {longest}"
                self.report.add(place, message, f"add _x{longest - length} at its end where they are missing")
        return longest

    def _check_end(self, start: datetime, every: timedelta, polls: int) -> None:
        """Report a test whose last poll is too far in the future for a calendar."""
        room = datetime(LAST_YEAR, 12, 30, tzinfo=UTC) - start
        if every * (polls - 1) > room:
            node = self.node.get("every") or self.node.get("start") or self.node
            message = f"the last of {count(polls, 'sample')} is after the year {LAST_YEAR}"
            self.report.add(node.place, message, "write an earlier start, or less time between polls")

    def _asked(self, *names: str) -> bool:
        return any(self.node.key(name) is not None for name in names)

    # Entities and their series.

    def _entities(
        self, rule: Rule, shared: dict[str, SampleSeries], usual: dict[str, SampleSeries]
    ) -> tuple[EntitySeries, ...]:
        both = self.node.key("entity"), self.node.key("entities")
        if both[0] is not None and both[1] is not None:
            self.report.add(both[0].place, "both entity and entities", "put all of them into entities", "entity")
        nodes: list[YamlMapping | None] = list(self.values.get("entities", ()))
        if not nodes:
            nodes = [self.values.get("entity")]
        elif "agents" in self.values:
            key = self.node.key("agents")
            assert key is not None
            self.report.add(key.place, "both agents and entities", "put the agents below their entity", "agents")
        return tuple(self._entity(node, rule, shared, usual, index) for index, node in enumerate(nodes, start=1))

    def _entity(
        self,
        node: YamlMapping | None,
        rule: Rule,
        shared: dict[str, SampleSeries],
        usual: dict[str, SampleSeries],
        index: int,
    ) -> EntitySeries:
        values = read_fields(node, ENTITY_KEYS, self.report, "an entity") if node is not None else {}
        parent = read_fields(values["parent"], PARENT_KEYS, self.report, "a parent") if "parent" in values else {}
        if parent and rule.scope not in HAVE_PARENTS and node is not None:
            key = node.key("parent")
            assert key is not None
            self.report.add(key.place, f"scope {rule.scope} has no parent", "remove it", "parent")
        entity_id = values.get("id", TOTALS_ENTITY if rule.scope in TOTALS else str(index))
        own = self._series(values.get("series"), rule.scope)
        return EntitySeries(
            id=entity_id,
            name=values.get("name", entity_id),
            parent_id=parent.get("id", parent.get("name", "")),
            parent_name=parent.get("name", parent.get("id", "")),
            series=tuple({**shared, **own}.values()),
            gone=values.get("gone", ()),
            agents=self._agents([*values.get("agents", ()), *self.values.get("agents", ())], rule),
            usual=tuple({**usual, **self._series(values.get("usual"), rule.scope, usual=True)}.values()),
        )

    def _agents(self, nodes: Iterable[YamlMapping], rule: Rule) -> tuple[AgentSeries, ...]:
        found = []
        scope = AGENTS_OF.get(rule.scope)
        for index, node in enumerate(nodes, start=1):
            if scope is None:
                self.report.add(node.place, f"scope {rule.scope} has no agents", "only a queue or a group has agents")
                break
            values = read_fields(node, AGENT_KEYS, self.report, "an agent")
            agent_id = values.get("id", f"agent-{index}")
            series = self._series(values.get("series"), scope)
            usual = self._series(values.get("usual"), scope, usual=True)
            name = values.get("name", agent_id)
            found.append(AgentSeries(agent_id, name, tuple(series.values()), tuple(usual.values())))
        return tuple(found)

    def _series(self, node: YamlMapping | None, scope: Scope, *, usual: bool = False) -> dict[str, SampleSeries]:
        found = {}
        for key, value in node.entries if node is not None else ():
            kind = self._type(key, scope)
            if kind is None:
                continue
            (self.usual_keys if usual else self.series_keys).append((key.place, key.text))
            samples = self._samples(key, value, kind)
            if samples is not None:
                found[key.text] = SampleSeries(key.text, kind, samples)
                self.lengths.append((len(samples), key.place, key.text))
        return found

    def _check_read(self) -> None:
        """A series that no rule reads is a fault: the test would pass whatever its samples are.

        The keys of the rules that suppress it are read too.
        """
        assert self.rule is not None
        rules, waiting = {self.rule.id: self.rule}, [*self.rule.suppressed_by]
        while waiting:
            other = self.rules.by_id(waiting.pop())
            if other is not None and other.id not in rules:
                rules[other.id] = other
                waiting += other.suppressed_by
        reads = [each for rule in rules.values() for _, each in rule.reads()]
        keys = {each.key if isinstance(each, Key) else each.key.key for each in reads}
        usual = {each.key.key for each in reads if isinstance(each, Window) and each.weeks}
        for place, key in self.usual_keys:
            if key not in usual:
                said = f"it reads usual of {listed(sorted(usual))}" if usual else "move it to series, or remove it"
                hint = did_you_mean(key, usual) or said
                self.report.add(place, f"the rule does not read usual({key}, …)", hint, key)
        for place, key in self.series_keys:
            if key not in keys:
                hint = did_you_mean(key, keys) or f"it reads {listed(sorted(keys))}"
                self.report.add(place, f"the rule does not read {key}", hint, key)

    def _type(self, key: YamlScalar, scope: Scope) -> ValueType | None:
        metric = catalogue().lookup(scope, key.text)
        if metric is not None:
            return metric.type
        assert self.rule is not None
        for of, read in self.rule.reads():  # a key that only the rule knows (`known: false`)
            if isinstance(read, Key) and of is scope and read.key == key.text:
                return read.type
        elsewhere = catalogue().scopes_of(key.text)
        near = catalogue().nearest(scope, key.text)
        hint = f"did you mean {near}?" if near else f"`alertbot metrics --scope {scope}` lists them"
        if elsewhere:
            hint = f"it is a key of {listed(elsewhere)}"
        self.report.add(key.place, f'unknown key "{key.text}" for scope {scope}', hint, key.text)
        return None

    def _samples(self, key: YamlScalar, node: Node, kind: ValueType) -> tuple[float | str | None, ...] | None:
        items = node.items if isinstance(node, YamlSequence) else (node,)
        samples: list[float | str | None] = []
        for item in items:
            if not isinstance(item, YamlScalar) or item.kind in ("null", "bool"):
                refuse(key, item, self.report, "samples", "such as 10s 70s _ 20sx4")
                return None
            text = item.text
            if item.quoted and kind is ValueType.TEXT and isinstance(node, YamlSequence):
                text = f'"{text}"' if " " in text and not text.startswith('"') else text
            try:
                samples += parse_series(text, kind)
            except BadExpression as error:
                for each in error.mistakes:
                    self.report.add(item.place_of(each.start), each.message, each.hint, text[each.start : each.end])
                return None
        if not samples:
            refuse(key, node, self.report, "samples", "such as 10s 70s _ 20sx4")
        return tuple(samples) or None

    # Expectations.

    def _expectations(self, entities: tuple[EntitySeries, ...], last: timedelta) -> Iterable[Expectation]:
        for node in self.values.get("expect", ()):
            values = read_fields(node, EXPECT_KEYS, self.report, "an expectation")
            at = self._at(node, values, last)
            entity = self._whose(node, values, entities, needed=True)
            if not any(node.key(name) for name in ("state", "level", "why", "card")):
                self.report.add(node.place, "an empty expectation", "write state, level, why or card")
            if values.get("state") == "inactive" and "level" in values:
                level = node.key("level")
                assert level is not None
                self.report.add(level.place, "an inactive alert has no level", "remove level", "level")
            if at is None or entity is None:
                continue
            yield Expectation(
                at=at,
                entity=entity,
                place=node.place,
                state=values.get("state"),
                level=values.get("level"),
                why=values.get("why", ()),
                card=values.get("card"),
            )

    def _notices(self, entities: tuple[EntitySeries, ...], last: timedelta) -> Iterable[ExpectedNotice]:
        for node in self.values["notices"]:
            values = read_fields(node, NOTICE_KEYS, self.report, "a notice")
            at = self._at(node, values, last)
            if node.key("reason") is None:
                self.report.add(node.place, "a notice without reason", "such as reason: fired")
            entity = self._whose(node, values, entities, needed=False)
            if at is None or "reason" not in values:
                continue
            yield ExpectedNotice(
                at=at,
                reason=values["reason"],
                place=node.place,
                entity=entity,
                level=values.get("level"),
                channel=values.get("channel", ""),
                text=values.get("text", ""),
            )

    # What users do.

    def _silences(self, entities: tuple[EntitySeries, ...], last: timedelta) -> Iterable[PlannedSilence]:
        for node in self.values.get("silences", ()):
            values = read_fields(node, SILENCE_KEYS, self.report, "a silence")
            at = self._at(node, values, last, "a silence")
            for name, hint in (("match", f"such as match: {EXAMPLE}"), ("for", "such as for: 30m")):
                if node.key(name) is None:
                    self.report.add(node.place, f"a silence without {name}", hint)
            written = node.get("match")
            terms: Terms = values.get("match", ())
            for term, pattern in terms:
                fault = self._of_nothing(term, pattern, entities)
                if fault is not None and written is not None:
                    self.report.add(written.place, *fault, f"{term}=")
            if at is not None and terms and "for" in values:
                yield PlannedSilence(at, values["for"], terms)

    def _of_nothing(self, term: str, pattern: str, entities: tuple[EntitySeries, ...]) -> tuple[str, str] | None:
        """Message and hint where a term matches nothing that there is."""
        if term.startswith(LABEL):
            label = term.removeprefix(LABEL)
            labels = {fold(each): each for rule in self.rules.rules for each in rule.labels}
            hint = did_you_mean(label, labels) or f"the labels are: {listed(sorted(labels)) or 'none'}"
            if fold(label) not in labels:
                return f'no rule has the label "{label}"', hint
            found = {
                rule.labels[each] for rule in self.rules.rules for each in rule.labels if fold(each) == fold(label)
            }
            if any(matches(pattern, each) for each in found):
                return None
            hint = did_you_mean(pattern, found) or f"its values are: {listed(sorted(found))}"
            return f'no rule has the label {label} with the value "{pattern}"', hint
        known = {
            "tenant": [TENANT],
            "rule": [rule.id for rule in self.rules.rules],
            "name": [each.name for each in entities],
            "level": list(LEVELS),
            "scope": [each.value for each in RULE_SCOPES],
        }[term]
        if any(matches(pattern, each) for each in known):
            return None
        if term == "tenant":
            message = f'the tenant of a rule test is called {TENANT}, not "{pattern}"'
            return message, f"write tenant={TENANT}, or remove it"
        what = "this test has no entity" if term == "name" else f"there is no {term}"
        near = did_you_mean(pattern, known) or f"there are: {', '.join(known[:8])}"
        return f"{what} {pattern}", near

    def _owner_changes(self, name: str, entities: tuple[EntitySeries, ...], last: timedelta) -> Iterable[OwnerChange]:
        """Those of `acks` or of `unacks`."""
        what, keys = ("an acknowledgement", ACK_KEYS) if name == "acks" else ("an item of unacks", UNACK_KEYS)
        for node in self.values.get(name, ()):
            values = read_fields(node, keys, self.report, what)
            at = self._at(node, values, last, what)
            entity = self._whose(node, values, entities, needed=True, name="id_of")
            if name == "acks" and node.key("by") is None:
                self.report.add(node.place, f"{what} without by", "write who acknowledges it, such as by: ann")
            if at is not None and entity is not None:
                yield OwnerChange(at, entity, node.place, values.get("by", ""))

    # What they have in common.

    def _at(
        self, node: YamlMapping, values: dict[str, Any], last: timedelta, what: str = "an expectation"
    ) -> timedelta | None:
        if node.key("at") is None:
            self.report.add(node.place, f"{what} without at", "such as at: 45s, counted from the start")
        at: timedelta | None = values.get("at")
        if at is not None and at > last and self.lengths:
            value = node.get("at")
            assert isinstance(value, YamlScalar)
            message = f"{write_duration(at)} is after the last sample at {write_duration(last)}"
            self.report.add(value.place, message, "add samples, or write an earlier time", value.text)
        return at

    def _whose(
        self,
        node: YamlMapping,
        values: dict[str, Any],
        entities: tuple[EntitySeries, ...],
        *,
        needed: bool,
        name: str = "entity",
    ) -> EntitySeries | None:
        wanted = values.get(name)
        if wanted is None:
            if needed and len(entities) > 1:
                hint = f"write {name}: with {listed([each.name for each in entities], 'or')}"
                self.report.add(node.place, f"the test has {len(entities)} entities", hint)
                return None
            return entities[0] if len(entities) == 1 else None
        for each in entities:
            if wanted == each.id or same_name(wanted, each.name):
                return each
        value = node.get(name)
        assert value is not None
        names = [each.name for each in entities]
        hint = did_you_mean(wanted, names) or f"its entities: {listed(names)}"
        self.report.add(value.place, f"this test has no entity {wanted}", hint, wanted)
        return None
