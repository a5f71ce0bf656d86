"""`replay`: recorded polls through the rules on disk, or through changed ones."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from alertbot.backtest.episodes import Episode, ReplayResult, RuleResult, compare
from alertbot.backtest.replay import Replay
from alertbot.charts.series import Samples, Series, Span
from alertbot.charts.text import plot as plotted
from alertbot.cli.recorded import TenantRecording
from alertbot.cli.replay_markdown import changes_markdown, result_markdown
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
from alertbot.rulefiles.on_disk import load_rules
from alertbot.rules.catalogue import ValueType
from alertbot.rules.ignore import ignoring
from alertbot.rules.nouns import Worse
from alertbot.rules.rule import RuleSet
from alertbot.service.databases import open_to_read


class ReplayFormat(StrEnum):
    """How `replay` prints its results."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


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
    form: Annotated[
        ReplayFormat, typer.Option("--format", help="markdown: for a comment on a pull request.")
    ] = ReplayFormat.TEXT,
) -> None:
    """Run recorded polls through rules: what would have fired; with --against, what would change."""
    form = ReplayFormat.JSON if as_json else form
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
            if len(tenants) > 1 and form is ReplayFormat.TEXT:
                out.print(f"{each.name}", style="bold", markup=False)
            title = f"Alerts of {each.name}" if len(tenants) > 1 else "Alerts"
            recording = TenantRecording(store, each, settings, wall_clock() - back)
            answers[each.name], has_polls = _replay(recording, sets, against, plot, form, title)
            any_polls = any_polls or has_polls
    finally:
        store.close()
    if form is ReplayFormat.JSON:
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


def _replay(
    recording: TenantRecording,
    sets: tuple[RuleSet, RuleSet | None],
    against: Path | None,
    plot: str | None,
    form: ReplayFormat,
    title: str,
) -> tuple[dict[str, Any], bool]:
    rules, others = sets
    zone = recording.settings.zone()
    history = recording.replay(rules, "replaying")
    absent = recording.not_recorded(rules) if history.polls else []
    answer = {**result_json(history, zone), "not_recorded": absent}
    lines: Iterable[str]
    if others is not None:
        old = recording.replay(others, f"replaying {against}")
        changes = compare(old, history, recording.tenant.poll_every)
        answer["changes"] = changes_json(changes)
        if form is ReplayFormat.MARKDOWN:
            lines = changes_markdown(changes, old, history, zone, title)
        else:
            lines = describe_changes(changes, old, history, zone)
    else:
        lines = result_markdown(history, zone, title) if form is ReplayFormat.MARKDOWN else describe(history, zone)
    if form is ReplayFormat.JSON:
        return answer, bool(history.polls)
    note = f"not recorded, so conditions on these keys are unknown: {', '.join(absent)}"
    drawn = _plot(recording, rules, history, plot, zone) if plot is not None else ()
    if form is ReplayFormat.MARKDOWN:
        fenced = ("", "```text", *drawn, "```") if plot is not None else ()
        for line in (*lines, *fenced, *(("", f"{note[0].upper()}{note[1:]}.") if absent else ()), ""):
            say(line)
        return answer, bool(history.polls)
    if absent:
        keep = "(record: {keys: all} in alertbot.yaml keeps every key)"
        err.print(f"{note} {keep}", markup=False, soft_wrap=True, style="yellow")
    for line in lines:
        say(line, style=_STYLES.get(line.strip()[:2], ""))
    for line in drawn:
        out.print(line, markup=False, soft_wrap=True)
    return answer, bool(history.polls)


_STYLES = {"+ ": "green", "- ": "red", "~ ": "yellow"}


# One alert as a chart.


def _plot(
    recording: TenantRecording, rules: RuleSet, history: ReplayResult, wanted: str, zone: ZoneInfo
) -> Iterable[str]:
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


def _series(recording: TenantRecording, rules: RuleSet, result: RuleResult, episode: Episode, last: datetime) -> Series:
    """The measured value and its limit, from shortly before the alert until shortly after it."""
    only = RuleSet((result.rule,), calendars=rules.calendars)
    margin = max(episode.lasted(last) / 3, 8 * recording.tenant.poll_every)
    begin, end = episode.fired - margin, (episode.ended or last) + margin
    bot = Replay(
        only,
        poll_every=recording.tenant.poll_every,
        zone=recording.settings.zone_of(recording.tenant),
        means=recording.means,
    )
    times: list[datetime] = []
    values: list[float | None] = []
    limits: list[float | None] = []
    for poll in recording.polls(only, begin, end):
        bot.remember(poll.snapshots, poll.at)
        snapshot = poll.snapshots.get(result.rule.scope)
        row = snapshot.rows.get((episode.key.parent_id, episode.key.entity_id)) if snapshot is not None else None
        if poll.at < begin:
            continue
        measured = None
        if snapshot is not None and row is not None:
            agents = agents_of(snapshot, poll.snapshots)
            measured = measure(result.rule, episode.level, snapshot, row, agents=agents, past=bot.past)
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
