"""`replay`: recorded polls through the rules on disk, or through changed ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from alertbot.backtest.episodes import Episode, ReplayResult, RuleResult, compare, replay
from alertbot.charts.series import Samples, Series, Span
from alertbot.charts.text import plot as plotted
from alertbot.cli.replay_report import changes_json, describe, describe_changes, result_json
from alertbot.cli.shell import PROBLEM, AsJson, Config, seconds
from alertbot.cli.show import err, out, print_json, say
from alertbot.clock import wall_clock
from alertbot.commands.find import loose
from alertbot.config.load import config_path, load
from alertbot.config.settings import Settings, TenantSettings
from alertbot.errors import UsageError
from alertbot.evaluation.evaluate import agents_of
from alertbot.evaluation.explain import measure
from alertbot.evaluation.past import Past
from alertbot.rulefiles.on_disk import load_rules
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.ignore import ignoring
from alertbot.rules.nouns import Worse
from alertbot.rules.privacy import Names
from alertbot.rules.rule import RuleSet
from alertbot.service.databases import open_to_read
from alertbot.service.of_settings import alerting_of
from alertbot.store.records import RecordedPoll
from alertbot.store.roles import Store


def replay_(
    since: Annotated[str, typer.Option(metavar="DURATION", help="How far back to start.")] = "7d",
    rules: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The rules. Default: those of alertbot.yaml.")
    ] = None,
    against: Annotated[Path | None, typer.Option(metavar="DIR", help="Other rules to compare with.")] = None,
    plot: Annotated[
        str | None, typer.Option(metavar='"RULE [NAME]"', help="Also draw the longest alert of that rule.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(metavar="NAME", help="Replay only this tenant.")] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Run recorded polls through rules: what would have fired; with --against, what would change."""
    settings = load(config_path(config), secrets=False)
    back = timedelta(seconds=seconds(since, "--since"))
    tenants = [each for each in settings.tenants if tenant in (None, each.name)]
    if not tenants:
        known = ", ".join(each.name for each in settings.tenants)
        raise UsageError(f"--tenant: there is no tenant {tenant!r} (there are: {known})")
    answers: dict[str, Any] = {}
    any_polls = False
    store = open_to_read(settings)
    try:
        for each in tenants:
            sets = _rule_sets(each, rules, against, settings)
            if len(tenants) > 1 and not as_json:
                out.print(f"{each.name}", style="bold", markup=False)
            recording = _Recording(store, each, settings, wall_clock() - back)
            answers[each.name], has_polls = _replay(recording, sets, against, plot, as_json=as_json)
            any_polls = any_polls or has_polls
    finally:
        store.close()
    if as_json:
        print_json(answers)
    if not any_polls:
        raise typer.Exit(PROBLEM)


def _rule_sets(
    tenant: TenantSettings, rules: Path | None, against: Path | None, settings: Settings
) -> tuple[RuleSet, RuleSet | None]:
    """The rules to replay and those to compare with. Raises FaultsFound when rules have faults."""
    own = rules or settings.path(tenant.rules or settings.rules)
    sets = [load_rules([path], settings.hours, tenant.poll_every) for path in (own, against) if path is not None]
    ignored = settings.ignored(tenant)
    rule_sets = [ignoring(each, ignored) for each in sets]
    return rule_sets[0], rule_sets[1] if len(rule_sets) > 1 else None


@dataclass
class _Recording:
    """The recording of one tenant."""

    store: Store
    tenant: TenantSettings
    settings: Settings
    since: datetime
    recorded: dict[Scope, set[str]] = field(default_factory=dict)

    def replay(self, rules: RuleSet, what: str) -> ReplayResult:
        now = wall_clock()
        with _progress(what, self.since, now) as tick:
            history = replay(
                rules,
                self.polls(rules, self.since, now),
                poll_every=self.tenant.poll_every,
                since=self.since,
                tenant=self.tenant.name,
                default_channel=self.tenant.default_channel or self.settings.slack.default_channel,
                alerting=alerting_of(self.settings, self.tenant),
                on_poll=tick,
            )
        return _with_shown_names(history, self.store.names())

    def polls(self, rules: RuleSet, since: datetime, until: datetime) -> Iterator[RecordedPoll]:
        """The polls, from far enough before `since` that windows are filled by then."""
        wanted = rules.metrics()
        back = Past(self.tenant.poll_every, rules.windows()).longest
        for poll in self.store.polls(self.tenant.name, since - back, until, wanted):
            for scope, snapshot in poll.snapshots.items():
                known = self.recorded.setdefault(scope, set())
                if len(known) < len(wanted.get(scope, ())):
                    known.update(snapshot.columns)
            yield poll

    def not_recorded(self, rules: RuleSet) -> list[str]:
        """The keys that these rules read and that are in no poll."""
        absent = [
            (key, scope) for scope, keys in rules.metrics().items() for key in keys - self.recorded.get(scope, set())
        ]
        return [f"{key} ({scope})" for key, scope in sorted(absent)]


def _with_shown_names(history: ReplayResult, names: Names) -> ReplayResult:
    if not names.hidden:
        return history

    def shown(episode: Episode) -> Episode:
        key = episode.key
        return replace(episode, shown_as=names.of(key.tenant, key.scope, key.entity_id, episode.entity_name))

    rules = [replace(each, episodes=tuple(map(shown, each.episodes))) for each in history.rules]
    return replace(history, rules=tuple(rules))


def _replay(
    recording: _Recording,
    sets: tuple[RuleSet, RuleSet | None],
    against: Path | None,
    plot: str | None,
    *,
    as_json: bool,
) -> tuple[dict[str, Any], bool]:
    rules, others = sets
    zone = recording.settings.zone()
    history = recording.replay(rules, "replaying")
    absent = recording.not_recorded(rules) if history.polls else []
    answer = {**result_json(history, zone), "not_recorded": absent}
    lines: list[str] = [] if others is not None else list(describe(history, zone))
    if others is not None:
        old = recording.replay(others, f"replaying {against}")
        changes = compare(old, history, recording.tenant.poll_every)
        answer["changes"] = changes_json(changes)
        lines += describe_changes(changes, old, history, zone)
    if not as_json:
        if absent:
            err.print(
                f"not recorded, so conditions on these keys are unknown: {', '.join(absent)} "
                "(record: {keys: all} in alertbot.yaml keeps every key)",
                markup=False,
                soft_wrap=True,
                style="yellow",
            )
        for line in lines:
            say(line, style=_STYLES.get(line.strip()[:2], ""))
        if plot is not None:
            for line in _plot(recording, rules, history, plot, zone):
                out.print(line, markup=False, soft_wrap=True)
    return answer, bool(history.polls)


_STYLES = {"+ ": "green", "- ": "red", "~ ": "yellow"}


@contextmanager
def _progress(what: str, since: datetime, until: datetime) -> Iterator[Any]:
    """A progress bar by the time of the polls, on a terminal only."""
    if not err.is_terminal:
        yield None
        return
    parts = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    total = (until - since).total_seconds()
    with Progress(*parts, console=err, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda at: progress.update(task, completed=max(0.0, (at - since).total_seconds()))


# One alert as a chart.


def _plot(recording: _Recording, rules: RuleSet, history: ReplayResult, wanted: str, zone: ZoneInfo) -> Iterable[str]:
    rule_id, _, name = wanted.strip().partition(" ")
    result = history.of(rule_id)
    if result is None:
        raise UsageError(f"--plot: there is no rule {rule_id!r}")
    wanted = loose(name)
    episodes = [each for each in result.episodes if wanted in loose(each.entity_name) or wanted in loose(each.name)]
    if not episodes or history.last is None:
        return ["", f"{rule_id} did not fire{f' for {name.strip()}' if name.strip() else ''}: nothing to draw"]
    last = history.last
    episode = max(episodes, key=lambda each: each.lasted(last))
    series = _series(recording, rules, result, episode, last)
    until = f"{episode.ended.astimezone(zone):%H:%M}" if episode.ended is not None else "now"
    title = f"{series.label}, {series.name}: fired {episode.fired.astimezone(zone):%a %d %b %H:%M} to {until}"
    return ["", title, *plotted(series, zone)]


def _series(recording: _Recording, rules: RuleSet, result: RuleResult, episode: Episode, last: datetime) -> Series:
    """The measured value and its limit, from shortly before the alert until shortly after it."""
    only = RuleSet((result.rule,), calendars=rules.calendars)
    margin = max(episode.lasted(last) / 3, 8 * recording.tenant.poll_every)
    begin, end = episode.fired - margin, (episode.ended or last) + margin
    past = Past(recording.tenant.poll_every, only.windows()) if only.windows() else None
    times: list[datetime] = []
    values: list[float | None] = []
    limits: list[float | None] = []
    for poll in recording.polls(only, begin, end):
        past = past.add(poll.snapshots) if past is not None else None
        snapshot = poll.snapshots.get(result.rule.scope)
        row = snapshot.rows.get((episode.key.parent_id, episode.key.entity_id)) if snapshot is not None else None
        if poll.at < begin:
            continue
        measured = None
        if snapshot is not None and row is not None:
            agents = agents_of(snapshot, poll.snapshots)
            measured = measure(result.rule, episode.level, snapshot, row, agents=agents, past=past)
        times.append(poll.at)
        values.append(measured.value if measured is not None and isinstance(measured.value, float) else None)
        limits.append(measured.threshold if measured is not None and isinstance(measured.threshold, float) else None)
    seen = episode.measure
    return Series(
        name=episode.name,
        label=seen.label if seen is not None else result.rule.id,
        type=seen.type if seen is not None else ValueType.NUMBER,
        begin=begin,
        end=min(end, times[-1]) if times else end,
        samples=Samples(tuple(times), tuple(values)),
        spans=(Span(episode.fired, episode.ended, episode.level, result.rule.id),),
        worse=Worse.HIGH if seen is None or seen.rises else Worse.LOW,
        moving=limits,
    )
