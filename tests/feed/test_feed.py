"""Feed health on plain values: what a series of polls means for a feed, what is reported, and when to retry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertbot.alerts.advance import advance
from alertbot.alerts.alert import Alert, Change, Reason, State
from alertbot.evaluation.evaluate import Selector, evaluate_all
from alertbot.evaluation.snapshot import Fetched, Snapshot
from alertbot.feed import health as feed
from alertbot.feed.blindness import explained, without_missing
from alertbot.feed.health import Activity, Health, Limits
from alertbot.feed.observe import activity, digest, observe, opening, with_meanwhile, without_ended_trouble
from alertbot.feed.pace import JITTER, due, on_time
from alertbot.feed.rules import feed_rules, may_begin, snapshot_of, values_of
from alertbot.feed.wording import in_words
from alertbot.rules.catalogue import Scope
from alertbot.rules.hours import Calendar, Hours, TimeRange
from alertbot.rules.rule import Level, NoData, RuleSet
from tests.alerts.kit import NOW, POLL, TENANT, WAIT, WAITING, keep, poll, rule, snapshot

LIMITS = Limits()
OPS = "#ops"
BUSY = "interactionsHandling.rt"


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def fetched(kind: str, now: datetime, number: int) -> Fetched:
    """What one poll returned, by a word: good, same, part, none, refused, slow, late, ahead, wait, quiet, staffed."""
    figures = float(number if kind not in ("same", "quiet", "staffed") else 1)
    live = {BUSY: [2.0]} if kind not in ("quiet", "staffed") else {"enabled.rt": [3.0 if kind == "staffed" else 0.0]}
    queues = snapshot({"entered.today": [figures], **live}, at=now)
    whole = Fetched(now, {Scope.QUEUE: queues}, took_ms=100.0, clock_skew_s=0.2)
    unreachable = {Scope.QUEUE: "queues could not be read: 503 from 8x8"}
    return {
        "part": replace(whole, snapshots={Scope.QUEUE: replace(queues, complete=False, problems=("page 2: 503",))}),
        "none": Fetched(now, failures=unreachable),
        "wait": Fetched(now, failures=unreachable, retry_after=90.0),
        "refused": Fetched(now, failures={Scope.QUEUE: "the API key was refused"}, refused=True),
        "slow": replace(whole, took_ms=11_000.0),
        "ahead": replace(whole, clock_skew_s=45.0),
        "some_refused": replace(whole, failures={Scope.GROUP: "403"}, refused=True),
    }.get(kind, whole)


@dataclass
class Life:
    """A feed that is polled by hand."""

    limits: Limits = LIMITS
    now: datetime = NOW
    health: Health = field(default_factory=Health)
    alerts: list[Alert] = field(default_factory=list)
    reported: list[tuple[float, str, str]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    number: int = 0
    opened: bool | None = None

    def poll(self, kind: str, others: Sequence[Change] = ()) -> None:
        self.number += 1
        came = fetched(kind, self.now, self.number)
        self.health = observe(self.health, came, came.snapshots, self.limits, self.now, opened=self.opened)
        self._judge("; ".join(came.failures.values()), came.took_ms, others)
        self.now += self.limits.poll_every

    def pause(self) -> None:
        """A turn without a poll: only time passes."""
        self._judge("503", 0.0, (), paused=True)
        self.now += self.limits.poll_every

    def _judge(self, error: str, took_ms: float, others: Sequence[Change], *, paused: bool = False) -> None:
        rules = feed_rules(self.limits, OPS)
        row = snapshot_of(TENANT, self.health, self.limits, self.now, paused=paused)
        found = advance(self.alerts, evaluate_all(rules, {Scope.FEED: row}), rules, self.now, tenant=TENANT)
        self.health = with_meanwhile(self.health, others)
        changes = in_words(found, self.health, error, took_ms, self.limits, self.now)
        self.health = without_ended_trouble(self.health, self.alerts, found)
        self.alerts = keep(self.alerts, changes)
        self.changes += changes
        at = (self.now - NOW).total_seconds()
        self.reported += [(at, change.after.key.rule, change.reason.value) for change in changes if change.reason]


def live(story: str) -> Life:
    """`good*3 none*9`: three good polls, then nine without data."""
    life = Life()
    for part in story.split():
        kind, _, times = part.partition("*")
        for _ in range(int(times or 1)):
            life.poll(kind)
    return life


STORIES: dict[str, tuple[str, list[tuple[float, str, str]]]] = {
    "all is well": ("good*100", []),
    "one poll fails": ("good*4 none good*4", []),
    "every second poll fails": ("good none " * 40, []),
    # The last good poll is at 30 s; the first one more than two minutes later is at 165 s.
    "an outage": ("good*3 none*12 good*6", [(165, "feed-stale", "fired"), (255, "feed-stale", "resolved")]),
    "an outage of just under two minutes": ("good*3 none*8 good*6", []),
    "one poll gets through": ("good*3 none*12 good none*12 good*3", [
        (165, "feed-stale", "fired"), (450, "feed-stale", "resolved"),
    ]),
    "no data from the start": ("none*10 good*3", [(135, "feed-stale", "fired"), (180, "feed-stale", "resolved")]),
    "the credentials are refused": ("good refused*20 good*3", [
        (15, "feed-refused", "fired"), (345, "feed-refused", "resolved"),
    ]),
    "refused, then unreachable: one cause at a time": ("good refused*2 none*20 good*3", [
        (15, "feed-refused", "fired"), (375, "feed-refused", "resolved"),
    ]),
    "some of it is refused": ("good some_refused*20 good*3", [
        (15, "feed-refused", "fired"), (345, "feed-refused", "resolved"),
    ]),
    "three partial polls": ("good*2 part*3 good*2", []),
    "partial polls": ("good*2 part*20 good*3", [(75, "feed-partial", "fired"), (360, "feed-partial", "resolved")]),
    "partial on and off: reported once": ("good*2 part*4 " + "good*2 part " * 10 + "good*3", [
        (75, "feed-partial", "fired"), (570, "feed-partial", "resolved"),
    ]),
    "data is frozen while there are callers": ("good same*62 good*8", [
        (915, "feed-frozen", "fired"), (1005, "feed-frozen", "resolved"),
    ]),
    "data is frozen at night": ("good quiet*400", []),
    "no callers, but agents are logged in": ("good staffed*241", []),
    "no callers for over an hour, but agents are logged in": ("good staffed*243", [(3630, "feed-frozen", "fired")]),
    "slow three times": ("good slow*3 good slow*3", []),
    "slow": ("good slow*9 good*9", [(60, "feed-slow", "fired"), (210, "feed-slow", "resolved")]),
    "the clocks differ": ("good ahead*20 good*9", [(135, "feed-clock", "fired"), (375, "feed-clock", "resolved")]),
    "the clocks differ for a moment": ("good ahead*7 good*9", []),
}  # fmt: skip


@pytest.mark.parametrize(("story", "reported"), STORIES.values(), ids=STORIES)
def test_what_is_reported(story: str, reported: list[tuple[float, str, str]]) -> None:
    """Each problem is reported once, when it has lasted, and once when it has ended for good."""
    assert live(story).reported == reported


def test_time_passes_without_polls() -> None:
    """A feed that is polled less often is still reported as stale in time, and its age keeps growing."""
    life = live("good*3 none*4")
    for _ in range(8):
        life.pause()
    assert life.reported == [(165, "feed-stale", "fired")]
    (alert,) = life.alerts
    assert alert.measure is not None
    assert alert.measure.value == 180_000.0


@pytest.mark.parametrize("kind", ["none", "part"])
def test_one_response_that_asks_for_a_pause_is_reported_if_it_lasts(kind: str) -> None:
    """Whatever the last poll returned: turns without a poll return nothing either."""
    life = live(f"good*3 {kind}")
    for _ in range(12):
        life.pause()
    latest_values = 30 if kind == "none" else 45
    assert life.reported == [(latest_values + 135, "feed-stale", "fired")]
    assert life.alerts[0].about.detail.startswith("no data for")


def test_a_slow_pace_is_not_late() -> None:
    """Polled every five minutes: stale after two and a half polls without data, not after two minutes."""
    life = Life(limits=replace(LIMITS, poll_every=timedelta(minutes=5)))
    for kind in ("good", "good", "none", "none", "none"):
        life.poll(kind)
    assert [(rule, reason) for _, rule, reason in life.reported] == [("feed-stale", "fired")]
    assert life.reported[0][0] == 4 * 300.0


LAST_WORDS: dict[str, tuple[str, str]] = {
    "an outage": ("good*3 none*12 good*3", "back after 3m 15s without data; no alert changed meanwhile"),
    "never reached": ("none*10 good*3", "back after 2m 30s without data; no alert changed meanwhile"),
    "refused": ("good refused*20 good*3", "back after 5m 15s without data; no alert changed meanwhile"),
    "partial": ("good*2 part*20 good*3", "complete again after 5m 45s; no alert changed meanwhile"),
    "frozen": ("good same*62 good*8", "values change again"),
    "slow": ("good slow*9 good*9", "polls are fast again"),
    "the clock": ("good ahead*20 good*9", "8x8's clock is 0s ahead of this machine's clock"),
}


@pytest.mark.parametrize(("story", "words"), LAST_WORDS.values(), ids=LAST_WORDS)
def test_the_end_is_one_line(story: str, words: str) -> None:
    """How long there was no data, on the card and in its thread."""
    (last,) = [change for change in live(story).changes if change.reason is Reason.RESOLVED]
    assert last.why == words
    assert last.after.about.detail == words


FIRST_WORDS: dict[str, tuple[str, str, str]] = {
    "an outage": ("good*3 none*12", "no data for 2m 15s: queues could not be read: 503 from 8x8", "proxy"),
    "refused": ("good refused", "refused for 15s: the API key was refused", "API Keys"),
    "partial": ("good part*4", "4 polls in a row were incomplete", "unknown"),
    "frozen": ("good same*62", "no value has changed for 15m 15s, although there are callers", "wallboard"),
    "slow": ("good slow*4", "4 polls in a row were slow; the last poll took 11.0 s (slow: over 10s)", "poll_every"),
    "the clock": ("good ahead*9", "8x8's clock is 45s ahead of this machine's clock", "NTP"),
}


@pytest.mark.parametrize(("story", "words", "advice"), FIRST_WORDS.values(), ids=FIRST_WORDS)
def test_the_start_says_what_and_what_to_do(story: str, words: str, advice: str) -> None:
    (first,) = [change for change in live(story).changes if change.reason is Reason.FIRED]
    assert first.why == words
    assert advice in first.after.about.advice


def other(reason: Reason, name: str) -> Change:
    """A change of an alert of the tenant's own rules."""
    before = poll([], [rule()], [snapshot({WAIT: [90_000.0]}, names=[name])], NOW)[0]
    state = State.INACTIVE if reason in (Reason.RESOLVED, Reason.NO_LONGER_REPORTED) else State.FIRING
    return replace(before, after=replace(before.after, state=state), reason=reason)


def test_the_end_says_what_changed_meanwhile() -> None:
    """What the first good poll found, by kind, the first few by name; the next problem starts from zero."""
    life = live("good*3 none*12")
    found = [
        other(Reason.FIRED, "Sales"),
        other(Reason.LEVEL_UP, "Support"),
        *(other(Reason.RESOLVED, f"Queue {number}") for number in range(5)),
    ]
    life.poll("good", found)
    life.poll("good")
    life.poll("good")
    (last,) = [change for change in life.changes if change.reason is Reason.RESOLVED]
    assert last.why == (
        "back after 3m 15s without data; 1 alert began, 1 rose and 5 ended meanwhile: Longest wait of Sales began "
        "(warning); Longest wait of Support rose to warning; Longest wait of Queue 0 ended; "
        "Longest wait of Queue 1 ended; "
        "Longest wait of Queue 2 ended and 2 more"
    )
    life.poll("good", found)
    for kind in ("none",) * 12 + ("good",) * 3:
        life.poll(kind)
    assert life.changes[-1].why == "back after 3m 15s without data; no alert changed meanwhile"


@pytest.mark.parametrize(
    ("reported", "began"),
    [(None, 1), (Level.WARNING, 0)],
    ids=["never reported before", "reported before it was suppressed"],
)
def test_an_alert_that_is_first_reported_when_its_suppression_ends_has_begun(
    reported: Level | None, began: int
) -> None:
    """For the reader it begins with its first report."""
    made = other(Reason.SUPPRESSION_ENDED, "Sales")
    change = replace(made, before=replace(made.after, reported=reported))
    life = live("good*3 none*12")
    life.poll("good", [change])
    assert life.health.meanwhile.began == began
    assert life.health.meanwhile.names == ("Longest wait of Sales began (warning)",) * began


STANDING: dict[str, tuple[str, bool, list[float]]] = {
    "no agents or callers, in opening hours": ("quiet*70", True, [915.0]),
    "only agents, in opening hours": ("staffed*70", True, [915.0]),
    "only agents, when closed": ("staffed*300", False, []),
    "callers, when closed": ("same*70", False, [915.0]),
}


@pytest.mark.parametrize(("story", "opened", "fired"), STANDING.values(), ids=STANDING)
def test_frozen_data_and_opening_hours(story: str, opened: bool, fired: list[float]) -> None:
    """In opening hours values must change; outside them they need not, unless there are callers."""
    life = Life(opened=opened)
    kind, _, times = story.partition("*")
    life.poll("good")
    for _ in range(int(times)):
        life.poll(kind)
    frozen = [at for at, rule_id, reason in life.reported if (rule_id, reason) == ("feed-frozen", "fired")]
    moved = 15.0 if kind != "same" else 0.0  # the first quiet poll differs from the one before
    assert [at - moved for at in frozen] == fired


def test_the_night_does_not_count() -> None:
    """If values did not change all night, frozen time counts from the opening, not from the evening before."""
    life = Life(opened=False)
    for _ in range(200):
        life.poll("quiet")
    life.opened = True
    opened_at = (life.now - NOW).total_seconds()
    for _ in range(70):
        life.poll("quiet")
    assert [(at - opened_at, rule_id) for at, rule_id, _ in life.reported] == [(915.0, "feed-frozen")]


def test_opening_hours_are_those_of_the_rules() -> None:
    """A calendar that some `during` names is open; without one, opening hours are not known."""
    office = Calendar("office", "UTC", ((TimeRange(8 * 60, 18 * 60),),) * 5 + ((), ()))
    looks = RuleSet((rule(during=Hours(office)), rule(id="always")), calendars={"office": office})
    assert opening(looks, NOW) is True
    assert opening(looks, NOW + timedelta(hours=12)) is False
    assert opening(RuleSet((rule(outside=Hours(office)),), calendars={"office": office}), NOW) is None


# When to retry


PAUSES: dict[str, tuple[list[str], list[float | None]]] = {
    "failing": (["none"] * 10, [None, None, None, 30, 60, 120, 240, 300, 300, 300]),
    "refused": (["refused"] * 5, [60, 120, 240, 300, 300]),
    "partial data is enough": (["none"] * 4 + ["part"], [None, None, None, 30, None]),
    "good ends it": (["none"] * 5 + ["good", "none"], [None, None, None, 30, 60, None, None]),
    "some of it refused": (["some_refused"] * 3, [None, None, None]),
}


@pytest.mark.parametrize(("kinds", "pauses"), PAUSES.values(), ids=PAUSES)
def test_pauses_after_failure(kinds: list[str], pauses: list[float | None]) -> None:
    """Doubling up to five minutes; any data brings back the usual pace. (A tenth of a poll short.)"""
    life, found = Life(), []
    for kind in kinds:
        at = life.now
        life.poll(kind)
        due = life.health.next_try_at
        found.append(None if due is None else (due - at).total_seconds() + 1.5)
    assert found == pauses


@given(st.lists(st.sampled_from(["good", "part", "none", "refused", "wait"]), max_size=40), st.integers(5, 900))
def test_polling_never_stops(kinds: list[str], every: int) -> None:
    """Whatever happens, a tenant is due again within five minutes (or its own pace, or what 8x8 asked for)."""
    limits = replace(LIMITS, poll_every=seconds(every))
    health = Health()
    for number, kind in enumerate(kinds):
        now = NOW + number * limits.poll_every
        came = fetched(kind, now, number)
        health = observe(health, came, came.snapshots, limits, now)
        latest = max(seconds(300), limits.poll_every, seconds(90))
        assert due(health, now + latest)


DUE: dict[str, tuple[Health, bool, bool]] = {
    "nothing prevents it": (Health(), False, True),
    "paused": (Health(next_try_at=NOW + seconds(1)), False, False),
    "paused by the process before": (Health(next_try_at=NOW + seconds(1)), True, True),
    "the pause has ended": (Health(next_try_at=NOW), False, True),
    "8x8 asked us to wait": (Health(wait_until=NOW + seconds(1)), False, False),
    "8x8 asked us to wait, before we started": (Health(wait_until=NOW + seconds(1)), True, False),
    "a wait from before the clock was set back": (Health(wait_until=NOW + seconds(3700)), False, True),
    "a pause from before the clock was set back": (Health(next_try_at=NOW + seconds(3700)), False, True),
    "the longest wait": (Health(wait_until=NOW + seconds(3600)), False, False),
    "the wait has ended": (Health(wait_until=NOW), False, True),
}


@pytest.mark.parametrize(("health", "first", "is_due"), DUE.values(), ids=DUE)
def test_due(health: Health, first: bool, is_due: bool) -> None:
    assert due(health, NOW, first=first) is is_due


def test_a_wait_is_kept_to_the_second_but_is_limited() -> None:
    """Retry-After as received, at most an hour: a wrong value from a proxy must not stop polling for days."""
    asked = Fetched(NOW, failures={Scope.QUEUE: "429"}, retry_after=90.0)
    assert observe(Health(), asked, {}, LIMITS, NOW).wait_until == NOW + seconds(90)
    nonsense = replace(asked, retry_after=10.0**9)
    assert observe(Health(), nonsense, {}, LIMITS, NOW).wait_until == NOW + timedelta(hours=1)


def test_a_clock_that_is_set_back_hides_no_outage() -> None:
    """Durations that began at what is now a future time start at the next turn."""
    life = live("good*3")
    life.now -= timedelta(hours=1)
    began = (life.now - NOW).total_seconds()
    for _ in range(12):
        life.poll("none")
    assert life.reported == [(began + 135, "feed-stale", "fired")]


def test_silence_is_never_negative() -> None:
    """The last data has a time in the future, since the clock was set back."""
    assert feed.silence(Health(served_at=NOW + seconds(60)), NOW) == seconds(0)


# Who is active


WHO: dict[str, tuple[Mapping[str, Sequence[float | str | None]], Activity]] = {
    "a caller waits": ({"interactionsWaitInQueue.rt": [0.0, 1.0]}, Activity.CALLERS),
    "in total": ({"total.interactionsHandling.rt": [4.0]}, Activity.CALLERS),
    "agents": ({"enabled.rt": [2.0], "interactionsHandling.rt": [0.0]}, Activity.AGENTS),
    "an agent, by status": ({"status.rt": ["LoggedOut", "OnBreak"]}, Activity.AGENTS),
    "all logged out": ({"status.rt": ["LoggedOut", None]}, Activity.NOBODY),
    "what entered today says nothing about now": ({"entered.today": [120.0]}, Activity.NOBODY),
    "nothing known": ({"interactionsHandling.rt": [None]}, Activity.NOBODY),
}


@pytest.mark.parametrize(("columns", "who"), WHO.values(), ids=WHO)
def test_who_is_active(columns: Mapping[str, Sequence[float | str | None]], who: Activity) -> None:
    assert activity({Scope.QUEUE: snapshot(columns)}) is who


MOVES: dict[str, tuple[Snapshot, bool]] = {
    "nothing": (snapshot({WAITING: [3.0, None]}), False),
    "a count": (snapshot({WAITING: [4.0, None]}), True),
    "a value that disappeared": (snapshot({WAITING: [None, None]}), True),
    "an entity": (snapshot({WAITING: [3.0, None]}, ids=("q1", "q9")), True),
    "a name is not a value": (snapshot({WAITING: [3.0, None]}, names=["A", "B"]), False),
}


@pytest.mark.parametrize(("after", "moved"), MOVES.values(), ids=MOVES)
def test_what_counts_as_a_change(after: Snapshot, moved: bool) -> None:
    before = snapshot({WAITING: [3.0, None]})
    assert (digest({Scope.QUEUE: before}) != digest({Scope.QUEUE: after})) is moved


some = st.sampled_from([0.0, 1.0, None])
of_scope = st.none() | st.tuples(some, some, st.sampled_from([("q1", "q2"), ("q1", "q3")]), st.booleans())


@given(polls=st.lists(st.tuples(of_scope, of_scope), min_size=2, max_size=8))
def test_what_is_kept_while_no_value_differs_is_what_would_be_found(polls: list[tuple[Any, Any]]) -> None:
    """Polls of two scopes that share what is equal, as live: each scope changes, stays, comes and goes on its own."""
    selector, shared, plain = Selector(), Health(), Health()
    for number, poll_of_both in enumerate(polls):
        now = NOW + number * POLL
        snapshots = {
            scope: snapshot({"entered.today": [one, 0.0], BUSY if more else WAITING: [other, None]}, ids=ids, at=now)
            for scope, each in zip((Scope.QUEUE, Scope.GROUP), poll_of_both, strict=True)
            if each is not None
            for one, other, ids, more in [each]
        }
        snapshots = {scope: replace(each, scope=scope) for scope, each in snapshots.items()}
        shared = observe(shared, Fetched(now, snapshots), selector.sharing(snapshots), LIMITS, now)
        plain = observe(plain, Fetched(now, snapshots), snapshots, LIMITS, now)
        assert shared == plain
        if snapshots:
            assert (shared.figures, shared.activity) == (digest(snapshots), activity(snapshots))


# Missing data raises and ends no alert while the feed is ill


def test_rules_keep_while_the_feed_is_ill() -> None:
    """no_data: fire does not fire and no_data: clear does not end anything while the feed is ill; keep is as it was."""
    rules = RuleSet(tuple(rule(id=each.value, no_data=each) for each in NoData))
    kept, _ = without_missing(rules, {})
    assert [each.no_data for each in kept.rules] == [NoData.KEEP] * 3
    assert [each.id for each in kept.rules] == [each.id for each in rules.rules]
    assert kept.version == rules.version


def test_no_entity_is_gone_meanwhile() -> None:
    """An entity that is absent from a complete response is not gone while the feed is ill, however often."""
    fires = [change.after for change in poll([], [rule()], [snapshot({WAIT: [90_000.0]})], NOW)]
    gone = snapshot({WAIT: [1.0]}, ids=("q9",))
    _, seen = without_missing(RuleSet(), {Scope.QUEUE: gone})
    for number in range(1, 6):
        for change in poll(fires, [rule()], list(seen.values()), NOW + number * POLL):
            assert (change.reason, change.after.missed) == (None, 0)
    assert poll(fires, [rule()], [gone], NOW + POLL)[0].after.missed == 1


EXPLAINED: dict[str, tuple[str, bool]] = {
    "all is well": ("good*3", False),
    "this poll itself": ("good*3 part", True),
    "stale, and not ended yet": ("good*3 none*12 good", True),
    "ended": ("good*3 none*12 good*3", False),
    "slow explains nothing": ("good slow*5", False),
    "frozen explains nothing": ("good same*70", False),
}


@pytest.mark.parametrize(("story", "is_explained"), EXPLAINED.values(), ids=EXPLAINED)
def test_what_explains_that_something_is_missing(story: str, is_explained: bool) -> None:
    life = live(story)
    assert explained(life.alerts, [], life.health) is is_explained


def test_other_alerts_are_not_feed_alerts() -> None:
    fires = [change.after for change in poll([], [rule()], [snapshot({WAIT: [90_000.0]})], NOW)]
    assert not explained(fires, [], Health(good=1))


MS = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("now", "last", "at"),
    [
        pytest.param(NOW, None, NOW, id="the first turn"),
        pytest.param(NOW + POLL, NOW, NOW + POLL, id="on time"),
        pytest.param(NOW + POLL - 5 * MS, NOW, NOW + POLL, id="the last one was 5 ms late"),
        pytest.param(NOW + POLL - JITTER, NOW, NOW + POLL, id="as much as timers may differ"),
        pytest.param(NOW + POLL - JITTER - MS, NOW, NOW + POLL - JITTER - MS, id="more than that: another turn"),
        pytest.param(NOW + POLL + 900 * MS, NOW, NOW + POLL + 900 * MS, id="late"),
        pytest.param(NOW - timedelta(hours=1), NOW, NOW - timedelta(hours=1), id="the clock was set back"),
    ],
)
def test_the_time_of_a_turn(now: datetime, last: datetime | None, at: datetime) -> None:
    """What is due after a whole number of intervals does not wait for one more because a timer was not exact."""
    assert on_time(now, last, POLL) == at


COUNTS = st.integers(0, 6)
HEALTHS = st.builds(
    Health,
    good=COUNTS,
    served=COUNTS,
    silent=COUNTS,
    partial=COUNTS,
    accepted=COUNTS,
    refused=COUNTS,
    slow=COUNTS,
    skew_s=st.none() | st.sampled_from([-30.1, -30.0, 0.0, 30.0, 30.1, 3600.0]) | st.floats(-100, 100),
    served_at=st.none() | st.sampled_from([0, 119, 120, 121, 3600]).map(lambda ago: NOW - seconds(ago)),
    good_at=st.none() | st.sampled_from([0, 119, 120, 121, 3600]).map(lambda ago: NOW - seconds(ago)),
    moved_at=st.none() | st.sampled_from([0, 899, 900, 901, 3600, 3601]).map(lambda ago: NOW - seconds(ago)),
    still=COUNTS,
    activity=st.sampled_from(Activity),
    opened=st.none() | st.booleans(),
)


@given(HEALTHS, st.booleans())
def test_where_no_feed_alert_may_begin_none_does(health: Health, paused: bool) -> None:
    """The short answer for a feed that is fine is that of its rules; and every rule can begin where it says so."""
    rules = feed_rules(LIMITS, OPS)
    row = snapshot_of(TENANT, health, LIMITS, NOW, paused=paused)
    begun = advance([], evaluate_all(rules, {Scope.FEED: row}), rules, NOW, tenant=TENANT)
    possible = {
        each.id
        for each in rules.rules
        if may_begin(values_of(health, LIMITS, NOW, paused=paused), RuleSet(rules=(replace(each, guard=None),)))
    }
    whole = replace(rules, rules=tuple(replace(each, guard=None, guard_text="") for each in rules.rules))
    assert {change.after.key.rule for change in begun} <= possible
    unguarded = advance([], evaluate_all(whole, {Scope.FEED: row}), whole, NOW, tenant=TENANT)
    assert {change.after.key.rule for change in unguarded} == possible
