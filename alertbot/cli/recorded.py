"""The recording of one tenant, replayed through rules, with progress on a terminal, for `replay`, `tune`, `check`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from alertbot.backtest.episodes import Episode, ReplayResult, replay
from alertbot.cli.show import err
from alertbot.clock import wall_clock
from alertbot.config.settings import Settings, TenantSettings
from alertbot.evaluation.past import Past
from alertbot.evaluation.usual import QuarterHour
from alertbot.rules.catalogue import Scope
from alertbot.rules.privacy import Names
from alertbot.rules.rule import RuleSet
from alertbot.service.of_settings import alerting_of
from alertbot.store.records import RecordedPoll
from alertbot.store.roles import Store


@dataclass
class TenantRecording:
    """The recording of one tenant."""

    store: Store
    tenant: TenantSettings
    settings: Settings
    since: datetime
    recorded: dict[Scope, set[str]] = field(default_factory=dict)

    def replay(self, rules: RuleSet, what: str) -> ReplayResult:
        now = wall_clock()
        with progress(what, self.since, now) as tick:
            history = replay(
                rules,
                self.polls(rules, self.since, now),
                poll_every=self.tenant.poll_every,
                since=self.since,
                tenant=self.tenant.name,
                default_channel=self.tenant.default_channel or self.settings.slack.default_channel,
                alerting=alerting_of(self.settings, self.tenant),
                zone=self.settings.zone_of(self.tenant),
                means=self.means,
                on_poll=tick,
            )
        return _with_shown_names(history, self.store.names())

    def polls(self, rules: RuleSet, since: datetime, until: datetime) -> Iterator[RecordedPoll]:
        """The polls, from far enough before `since` that windows are filled by then.

        And with them the means that no service made from the recording: of keys that its rules do not read so.
        """
        wanted = rules.metrics()
        filled = self.store.filled(self.tenant.name)
        usuals = (((scope, key), weeks) for scope, keys in rules.usuals().items() for key, weeks in keys.items())
        weeks = max((weeks for place, weeks in usuals if place not in filled), default=0)
        back = max(Past(self.tenant.poll_every, rules.windows()).longest, timedelta(weeks=weeks))
        for poll in self.store.polls(self.tenant.name, since - back, until, wanted):
            for scope, snapshot in poll.snapshots.items():
                known = self.recorded.setdefault(scope, set())
                if len(known) < len(wanted.get(scope, ())):
                    known.update(snapshot.columns)
            yield poll

    def means(self, keys: Mapping[Scope, Collection[str]], at: Collection[datetime]) -> Iterable[QuarterHour]:
        """The means that are kept."""
        return self.store.means(self.tenant.name, keys, at)

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


@contextmanager
def progress(what: str, since: datetime, until: datetime) -> Iterator[Any]:
    """A progress bar by the time of the polls, on a terminal only."""
    if not err.is_terminal:
        yield None
        return
    parts = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    total = (until - since).total_seconds()
    with Progress(*parts, console=err.console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda at: bar.update(task, completed=max(0.0, (at - since).total_seconds()))
