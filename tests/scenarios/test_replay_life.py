"""Replay does what the store does with what outlives a poll: reminders, escalation, silences, owners, shared cards."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from alertbot import poll
from alertbot.alerts.alert import Alert, Change, Fingerprint, Outcome
from alertbot.alerts.alerting import Alerting
from alertbot.alerts.notice import Notice
from alertbot.alerts.silence import Matcher
from alertbot.backtest.replay import Replay, Step
from alertbot.evaluation.snapshot import Fetched
from alertbot.feed.health import Limits
from alertbot.feed.rules import is_feed
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import Scope
from alertbot.store.records import NoticeState
from alertbot.store.sqlite.store import SqliteStore
from benchmarks.replay import EVERY, polls
from tests.sources.recorded import Recorded

RULES = parse_files(
    {
        "rules.yaml": """
defaults: {labels: {team: sales}}
rules:
  - id: reminded
    scope: queue
    warning: {when: interactionsLongestWaitInQueue.rt > 14s}
    critical: {when: interactionsLongestWaitInQueue.rt > 40s}
    remind: {every: 30s, most: 2m}
    channel: {warning: "#cc-alerts", critical: ["#cc-alerts", "#cc-floor"]}
  - id: escalated
    scope: queue
    match: {name: ["Queue 1*"]}
    when: interactionsWaitInQueue.rt >= 2
    keep_firing_for: 30s
    escalate: [{after: 15s, channel: "#cc-managers"}, {after: 1m}, {after: 2m, channel: ["#cc-alerts", "#cc-boss"]}]
  - id: one-card
    scope: queue
    when: interactionsWaitInQueue.rt >= 3
    group_by: rule
    remind: 45s
  - id: comes-and-goes
    scope: queue
    when: interactionsWaitInQueue.rt > 1
    channel: "#cc-flaps"
"""
    }
)
QUEUES, COUNT = 20, 400
BEGIN = 2360
FAR = Limits(stale_after=timedelta(days=9), frozen_after=timedelta(days=9))
ALERTING = Alerting(
    poll_every=EVERY,
    storm_cards=2,
    flap_rises=2,
    flap_window=timedelta(minutes=5),
    nag_after=timedelta(seconds=30),
)


def fetched() -> Iterator[Fetched]:
    """Busy queues; some polls fail, and once there is no data for several minutes."""
    random = np.random.default_rng(11)
    for index, seen in enumerate(polls(QUEUES, BEGIN + COUNT, seed=3)):
        if index < BEGIN:
            continue
        if random.random() < 0.03 or 200 <= index - BEGIN < 215:
            yield Fetched(seen.at, failures={Scope.QUEUE: "it broke"})
        else:
            yield Fetched(seen.at, {Scope.QUEUE: seen})


POLLS = list(fetched())
SILENCES = {  # by the poll before which it is made: terms, and how long it lasts
    40: ((("rule", "reminded"), ("name", "Queue 1*")), timedelta(minutes=3)),
    90: ((("level", "warning"),), timedelta(minutes=2)),
    91: ((("label.team", "sales"), ("rule", "one-card")), timedelta(minutes=4)),
    150: ((("tenant", "ac*"), ("scope", "queue"), ("rule", "escalated")), timedelta(seconds=70)),
}


def owner_changes(seed: int = 5) -> Iterator[tuple[int, bool, float]]:
    """After which poll, whether an alert is acknowledged or given back, and which of those that can be (0 to 1)."""
    random = np.random.default_rng(seed)
    for index in range(COUNT):
        for _ in range(int(random.integers(0, 3))):
            yield index, bool(random.random() < 0.8), float(random.random())


OWNER_CHANGES = list(owner_changes())


def chosen(alerts: Sequence[tuple[Fingerprint, bool]], takes: bool, share: float) -> Fingerprint | None:
    """Of open alerts, with whether they have an owner, the one that is meant."""
    able = sorted(key for key, owned in alerts if owned is not takes)
    return able[int(share * len(able))] if able else None


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    folder: Path = tmp_path_factory.mktemp("replay")
    store = SqliteStore(folder / "alertbot.db", synchronous="NORMAL")
    yield store
    store.close()


@pytest.fixture(scope="module")
def live(store: SqliteStore) -> list[tuple[Change, ...]]:
    """The changes of each poll, as the bot made them."""
    source = Recorded(POLLS)
    tenant = poll.Tenant(
        "acme", RULES, "#cc-alerts", "#cc-ops", limits=FAR, alerting=ALERTING, memory=poll.Memory(past=None)
    )
    found = []
    for index, each in enumerate(POLLS):
        if index in SILENCES:
            terms, lasts = SILENCES[index]
            store.silence(Matcher(terms), each.at, each.at + lasts, "ann", "", each.at)
        polled = poll.run(tenant, store, each.at, source.fetch(tenant.wanted, each.at, RULES.only()))
        tenant = replace(tenant, memory=polled.memory)
        found.append(tuple(change for change in polled.changes if not is_feed(change.after)))
        for _, takes, share in (change for change in OWNER_CHANGES if change[0] == index):
            open_now = {alert.key: alert for alert in store.alerts("acme") if alert.open and not is_feed(alert)}
            key = chosen([(key, alert.acked_by is not None) for key, alert in open_now.items()], takes, share)
            if key is None:
                continue
            number = open_now[key].id
            assert number is not None
            done = (
                store.acknowledge(number, "ann", "", each.at) if takes else store.unacknowledge(number, "ann", each.at)
            )
            assert done[0] is Outcome.DONE
    return found


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    bot = Replay(RULES, poll_every=EVERY, tenant="acme", alerting=ALERTING)
    found = []
    for index, each in enumerate(POLLS):
        if index in SILENCES:
            terms, lasts = SILENCES[index]
            bot.silence(Matcher(terms), each.at, each.at + lasts)
        found.append(bot.poll(each.at, each.snapshots, frozenset(each.failures)))
        for _, takes, share in (change for change in OWNER_CHANGES if change[0] == index):
            open_now = [(key, alert.acked_by is not None) for key, alert in bot.alerts.items() if alert.open]
            key = chosen(open_now, takes, share)
            if key is not None:
                outcome, _ = bot.acknowledge(key, "ann", each.at) if takes else bot.unacknowledge(key, each.at)
                assert outcome is Outcome.DONE
    return found


def bare(changes: Sequence[Change]) -> list[Change]:
    """Without ids, which a database assigns more sparingly."""

    def nameless(alert: Alert) -> Alert:
        muted = alert.muted
        if muted is not None and isinstance(muted.ref, int):
            muted = replace(muted, ref=0)
        return replace(alert, id=None, muted=muted)

    return [
        replace(
            change,
            before=nameless(change.before) if change.before is not None else None,
            after=nameless(change.after),
            words=re.sub(r"#\d+", "#", change.why),
        )
        for change in changes
    ]


def test_the_same_changes_as_live(live: list[tuple[Change, ...]], steps: list[Step]) -> None:
    """Whole alerts, poll by poll: what they took, who has them, what mutes them, whether they are unstable."""
    for made, replayed in zip(live, steps, strict=True):
        assert bare(made) == bare(replayed.changes), replayed.now
    seen = [change for changes in live for change in changes]
    reasons = {str(change.reason) for change in seen if change.withheld is None}
    assert reasons >= {"fired", "level_up", "reminder", "escalated", "resolved", "silence_ended"}
    assert any(change.after.unstable for change in seen)
    assert any(change.after.nagged for change in seen)
    assert any(change.after.no_data_since for change in seen)


def test_the_same_notices_as_live(store: SqliteStore, live: list[tuple[Change, ...]], steps: list[Step]) -> None:
    """What the store holds as reported or due is what the replay would report, with the card that each is on."""
    alerts = {alert.id for alert in [*store.alerts("acme"), *store.ended(POLLS[0].at, limit=100_000)]}
    entries = [entry for number in alerts if number is not None for entry in store.notices_of(number)]
    made_by_polls = [entry for entry in entries if not entry.notice.by or entry.notice.reason == "reminder"]
    kept = sorted(known(entry.notice) for entry in made_by_polls if entry.state is not NoticeState.GIVEN_UP)
    would = sorted(known(notice) for step in steps for notice in step.notices)
    assert would == [each for each in kept if each[0] != Scope.FEED]
    groups = {re.sub(r":.*", "", notice.group) for step in steps for notice in step.notices}
    assert groups >= {"", "rule", "storm", "escalation"}


def known(notice: Notice) -> tuple[str, ...]:
    assert notice.alert is not None
    words = (*notice.alert[2:], notice.alert.rule, notice.at.isoformat(), notice.kind, notice.channel, notice.reason)
    return (*words, notice.level.word, re.sub(r"#\d+", "#", notice.text), str(notice.broadcast), *notice.mention)
