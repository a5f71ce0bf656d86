"""`tune`: which limit a rule should have, from the recorded polls."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from alertbot.backtest.limits import Limit, NothingToTuneError, Tunable, choose, tunable
from alertbot.backtest.tune import (
    Bench,
    Odd,
    Row,
    Survey,
    WithOverrides,
    meets,
    nearest_to,
    odd_ones,
    replayed,
    survey,
    values_to_try,
    variants,
    with_overrides,
)
from alertbot.backtest.tune_yaml import OverrideFor, Written, applied, proposal, written
from alertbot.cli.recorded import TenantRecording, progress
from alertbot.cli.shell import PROBLEM, AsJson, Config, seconds
from alertbot.cli.show import err, out, print_json, say
from alertbot.cli.tune_report import (
    DEFAULT_TARGET,
    LevelReport,
    Proposal,
    Report,
    count_days,
    describe,
    report_json,
    unmet,
)
from alertbot.clock import wall_clock
from alertbot.commands.find import find_rules, similar
from alertbot.config.load import config_path, load
from alertbot.config.settings import Settings, TenantSettings
from alertbot.errors import FaultsFound, UsageError
from alertbot.rulefiles.on_disk import load_rules, read_file
from alertbot.rulefiles.rule_keys import LEVELS
from alertbot.rules.ignore import ignoring
from alertbot.rules.match import exactly, matches
from alertbot.rules.privacy import AGENT_SCOPES, Names
from alertbot.rules.rule import Level, Rule, RuleSet
from alertbot.rules.tree import keys_of
from alertbot.rules.words import count, listed
from alertbot.service.databases import open_to_read
from alertbot.service.of_settings import alerting_of
from alertbot.store.records import RecordedPoll
from alertbot.store.roles import Store

MIN_DAYS = 1.0
_TARGET = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*/\s*(?P<unit>day|week)", re.IGNORECASE)


def tune(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The id of the rule, or the beginning of it.")],
    since: Annotated[str, typer.Option(metavar="DURATION", help="How far back to start.")] = "7d",
    target: Annotated[
        str, typer.Option(metavar="N/day", help="How often it may fire, all entities together: 2/day, 5/week.")
    ] = DEFAULT_TARGET,
    level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="Tune the limit of this level. Default: the lowest level first.")
    ] = None,
    param: Annotated[
        str | None, typer.Option(metavar="NAME", help="Tune this parameter, if a condition has several numbers.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Tune the number that this metric key is compared with.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(metavar="NAME", help="Tune for this tenant only.")] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Find the limit for a rule: how often it would have fired on recorded polls, with each of many values."""
    per_day = _per_day(target)
    back = timedelta(seconds=seconds(since, "--since"))
    of_level = _level(level)
    settings = load(config_path(config), secrets=False)
    tenants = [each for each in settings.tenants if tenant in (None, each.name)]
    if not tenants:
        known = ", ".join(each.name for each in settings.tenants)
        raise UsageError(f"--tenant: there is no tenant {tenant!r} (there are: {known})")
    sets = {each.name: _rules(each, settings) for each in tenants}
    wanted = _rule(rule, list(sets.values()))
    answers: dict[str, Any] = {}
    problem = False
    store = open_to_read(settings)
    try:
        for each in tenants:
            rules = sets[each.name]
            own = rules.by_id(wanted)
            if own is None:
                continue
            if len(tenants) > 1 and not as_json:
                if answers:
                    say("")
                out.print(each.name, style="bold", markup=False)
            try:
                tuner = _Tuner(store, each, settings, rules, own, wall_clock() - back, per_day, target.strip())
                report = tuner.report(of_level, param, key)
            except (NothingToTuneError, _NoRecordingError) as error:
                problem = True
                answers[each.name] = {"rule": wanted, "problem": str(error)}
                if not as_json:
                    err.print(str(error), markup=False, soft_wrap=True)
                continue
            answers[each.name] = report_json(report)
            problem = problem or report.main.chosen is None
            if not as_json:
                for line in describe(report):
                    say(line)
                if report.main.chosen is None:
                    err.print(unmet(report), markup=False, soft_wrap=True)
    finally:
        store.close()
    if as_json:
        print_json(answers)
    if problem:
        raise typer.Exit(PROBLEM)


def _per_day(target: str) -> float:
    found = _TARGET.fullmatch(target.strip())
    number = float(found["number"]) if found is not None else 0.0
    if found is None or not number or not math.isfinite(number):
        raise UsageError(f"--target takes a number above 0 per day or week, such as 2/day or 5/week, not {target!r}")
    return number / (7 if found["unit"].lower() == "week" else 1)


def _level(word: str | None) -> Level | None:
    if word is None:
        return None
    level = LEVELS.get(word.lower())
    if level is None:
        raise UsageError(f"--level is {listed(list(LEVELS), 'or')}, not {word!r}")
    return level


def _rules(tenant: TenantSettings, settings: Settings) -> RuleSet:
    path = settings.path(tenant.rules or settings.rules)
    return ignoring(load_rules([path], settings.hours, tenant.poll_every), settings.ignored(tenant))


def _rule(wanted: str, sets: Sequence[RuleSet]) -> str:
    known = list({rule.id: rule for each in sets for rule in each.rules}.values())
    found = find_rules(known, wanted)
    if len(found) == 1:
        return found[0].id
    if found:
        raise UsageError(f"{wanted!r} matches several rules: {', '.join(rule.id for rule in found)}")
    near = similar(wanted, [(rule.id, rule.id) for rule in known])
    hint = f"did you mean {near[0]}?" if near else f"the rules are: {', '.join(rule.id for rule in known)}"
    raise UsageError(f"there is no rule {wanted!r} ({hint})")


class _NoRecordingError(Exception):
    """The recording is not sufficient; the message is a sentence."""


@dataclass
class _Tuner:
    """One rule of one tenant."""

    store: Store
    tenant: TenantSettings
    settings: Settings
    rules: RuleSet
    rule: Rule
    since: datetime
    per_day: float
    target: str
    until: datetime = field(default_factory=wall_clock)
    step: str = ""  # what the progress bar says
    days: float = 0.0  # recorded

    def __post_init__(self) -> None:
        self.recording = TenantRecording(self.store, self.tenant, self.settings, self.since)

    def report(self, level: Level | None, param: str | None, key: str | None) -> Report:
        tuned = tunable(self.rule)
        limits = choose(tuned, level=level, param=param, key=key)
        bench = Bench(
            self.rules,
            self.polls,
            self.tenant.poll_every,
            self.since,
            self.tenant.name,
            alerting_of(self.settings, self.tenant),
            self.settings.zone_of(self.tenant),
            self.recording.means,
        )
        self.step = "reading the recording"
        seen = survey(bench, tuned, limits)
        self._check(seen)
        self.days = seen.days
        first = limits[0]
        assert first.level is not None
        zone = self.settings.zone()
        names = self.store.names()
        settings = [
            (value, tuned.settings(first, value))
            for value in values_to_try(seen, first, self.per_day, beyond=_below(tuned, first))
        ]
        self.step = f"replaying {len(settings)} values"
        outcomes = replayed(
            bench,
            seen,
            {f"value {index}": (tuned.with_(each), first.level) for index, (_, each) in enumerate(settings)},
            zone,
        )
        rows = [Row(value, each, outcomes[f"value {index}"]) for index, (value, each) in enumerate(settings)]
        self._check_fired(first, rows)
        chosen = meets(first, rows, self.per_day)
        odd = odd_ones(tuned, first, seen, rows, chosen) if chosen is not None else ()
        best = with_overrides(first, rows, odd, self.per_day) if chosen is not None else None

        # The last pass: variants at the chosen value, the other levels in turn, and the proposals.
        base = dict(chosen.settings) if chosen is not None else {}
        runs: dict[str, tuple[Rule, Level]] = {}
        changed = list(variants(tuned, first, base)) if chosen is not None else []
        runs.update((f"variant {index}", (each.rule, first.level)) for index, each in enumerate(changed))
        others: list[tuple[Limit, list[tuple[float, dict[str, float]]]]] = []
        for number, limit in enumerate(limits[1:]):
            lower = _below(tuned, limit, base)
            tried = values_to_try(seen, limit, self.per_day, beyond=lower)
            pairs = [(value, tuned.settings(limit, value, base)) for value in tried]
            others.append((limit, pairs))
            assert limit.level is not None
            runs.update(
                (f"level {number} {index}", (tuned.with_(each), limit.level)) for index, (_, each) in enumerate(pairs)
            )
        proposals: list[Proposal] = []
        if chosen is not None:
            proposals = self._proposals(tuned, chosen, best, seen, names)
            runs.update((f"check {index}", (each.rule, first.level)) for index, each in enumerate(proposals))
        self.step = f"replaying {len(runs)} variants and checks"
        outcomes = replayed(bench, seen, runs, zone) if runs else {}
        return Report(
            tenant=self.tenant.name,
            rule=self.rule,
            zone=zone,
            survey=seen,
            target=self.target,
            per_day=self.per_day,
            names=names,
            main=LevelReport(first, rows, chosen, nearest_to(first, rows) if chosen is None else None),
            others=[
                LevelReport(
                    limit,
                    own := [
                        Row(value, each, outcomes[f"level {number} {index}"])
                        for index, (value, each) in enumerate(pairs)
                    ],
                    meets(limit, own, self.per_day) if own else None,
                    nearest_to(limit, own) if own else None,
                    base,
                )
                for number, (limit, pairs) in enumerate(others)
            ],
            variants=[(each, outcomes[f"variant {index}"]) for index, each in enumerate(changed)],
            odd=odd,
            proposals=[replace(each, checked=outcomes[f"check {index}"]) for index, each in enumerate(proposals)],
        )

    def polls(self, rules: RuleSet) -> Iterator[RecordedPoll]:
        """The recorded polls, from far enough back that windows are filled at the beginning."""
        recording = self.recording
        with progress(self.step, self.since, self.until) as tick:
            for poll in recording.polls(rules, self.since, self.until):
                if tick is not None:
                    tick(poll.at)
                yield poll

    def _check(self, seen: Survey) -> None:
        scope = str(self.rule.scope).replace("_", " ")
        if not seen.polls:
            raise _NoRecordingError(
                f"no recorded polls of scope {scope} for tenant {self.tenant.name} in this period: "
                "run the bot for at least a day (record.keep sets how long polls are kept)"
            )
        if seen.days < MIN_DAYS * (1 - 2e-3):
            raise _NoRecordingError(
                f"only {seen.days * 24:.1f} hours are recorded for tenant {self.tenant.name} in this period: "
                "tune needs at least one day; wait, or use a longer --since"
            )

    def _check_fired(self, limit: Limit, rows: Sequence[Row]) -> None:
        """Raises _NoRecordingError where no value gives an alert that is reported: any value is as good as another."""
        if any(row.outcome.alerts for row in rows):
            return
        suppressed = max((row.outcome.suppressed for row in rows), default=0)
        if suppressed:
            names = listed(self.rule.suppressed_by, "or")
            why = f"{count(suppressed, 'alert')} would have fired, suppressed by {names} until they ended"
        else:
            keys = sorted(keys_of(limit.compared))
            absent = [each for each in keys if each not in self.recording.recorded.get(self.rule.scope, set())]
            why = (
                f"{listed(absent)} is not in the recording: polls record the keys that rules read"
                if absent
                else "its guard, hours or the other parts of its condition do not hold, or nothing comes near the limit"
            )
        raise _NoRecordingError(
            f"rule {self.rule.id} would not have sent one alert in {count_days(self.days)} of recorded polls, "
            f"whatever {limit.shown} is: {why}"
        )

    def _proposals(
        self, tuned: Tunable, chosen: Row, best: WithOverrides | None, seen: Survey, names: Names
    ) -> list[Proposal]:
        file = self.rule.origin.file
        try:
            source = written(file, read_file(Path(file)), self.rule.id)
        except OSError:
            source = None
        if source is None:
            return []
        found = [self._proposal(source, tuned, chosen, (), chosen.outcome.alerts)]
        if best is not None:
            overrides = [self._override(tuned, each, seen, names) for each in best.odd]
            found.append(self._proposal(source, tuned, best.row, overrides, best.alerts, best))
        return [each for each in found if each is not None]

    def _proposal(
        self,
        source: Written,
        tuned: Tunable,
        row: Row,
        overrides: Sequence[OverrideFor],
        promised: int,
        best: WithOverrides | None = None,
    ) -> Proposal | None:
        text = proposal(source, tuned, row.settings, overrides)
        try:
            rule = applied(source, text, self.rule, self.rules.calendars, self.tenant.poll_every)
        except FaultsFound:
            return None
        return Proposal(text, row, promised, rule, best)

    def _override(self, tuned: Tunable, odd: Odd, seen: Survey, names: Names) -> OverrideFor:
        assert odd.row is not None
        scope = self.rule.scope
        hidden = names.hidden and scope in AGENT_SCOPES
        pattern = exactly(odd.name)
        same = sum(matches(pattern, name) for name in seen.entities.values()) > 1
        shown = names.of(self.tenant.name, scope, odd.entity_id, odd.name)
        by_id = hidden or same
        return OverrideFor(odd.entity_id, odd.name, odd.row.settings, by_id, shown if by_id else "")


def _below(tuned: Tunable, limit: Limit, settings: Mapping[str, float] | None = None) -> float | None:
    """The limit of the next lower level with the same comparison, which this limit must exceed; None without one."""
    lower = [
        each
        for each in tuned.levels
        if each.level is not None
        and limit.level is not None
        and each.level < limit.level
        and each.name != limit.name
        and each.compared == limit.compared
        and each.rises is limit.rises
    ]
    values = [(settings or {}).get(each.name, each.present) for each in lower]
    return (max(values) if limit.rises else min(values)) if values else None
