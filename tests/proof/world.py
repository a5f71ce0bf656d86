"""The real store, decisions and delivery, beside the model and a Slack in memory. See test_any_day.py.

Two clocks: `slack.now` is true time; alertbot's own is ahead of it by `slack.skew`, and may be set.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from alertbot import poll
from alertbot.alerts.alert import Alert as RealAlert
from alertbot.alerts.alert import Outcome, Reason
from alertbot.alerts.alerting import Alerting
from alertbot.alerts.cards import Posted
from alertbot.alerts.notice import Notice, NoticeKind
from alertbot.alerts.silence import Matcher
from alertbot.evaluation.snapshot import Column, Fetched, Presence, Snapshot
from alertbot.feed.health import Limits
from alertbot.notify.deliver import deliver, end_claims_of_gone
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level, RuleSet
from alertbot.store.records import LedgerEntry, NoticeState, PollRecord
from alertbot.store.sqlite.store import SqliteStore
from tests.proof.feed_model import FeedModel
from tests.proof.model import Model
from tests.proof.shapes import CRITICAL, DEFAULT_CHANNEL, WARNING, Poll, Report, Silence, Watch
from tests.proof.silence_model import REPEATED_WITHIN, Announcement, SilenceModel
from tests.proof.workspace import BEGINNING, Killed, Message, Workspace

METRIC = "interactionsLongestWaitInQueue.rt"
OPS = "#ops"
TENANT = "acme"
_WORDS = {WARNING: "warning", CRITICAL: "critical"}
_BEGAN = {Reason.FIRED, Reason.SUPPRESSION_ENDED, Reason.SILENCE_ENDED}


class World:
    """alertbot and what is around it. Every method is one thing that happens."""

    def __init__(self, folder: Path, *, storm_cards: int = 5, max_messages: int = 60) -> None:
        self.path = folder / "alertbot.db"
        self.slack = Workspace(max_messages=max_messages)
        self.silences, self.feed = SilenceModel(), FeedModel()
        self.model = Model(self.silences.silences, self.silences.started)
        self.tenant = poll.Tenant(
            TENANT,
            RuleSet(),
            DEFAULT_CHANNEL,
            OPS,
            limits=Limits(frozen_after=timedelta(days=3000)),
            alerting=Alerting(storm_cards=storm_cards),
        )
        self.starts = 0
        self.clock_was_set = False
        self.dies_at: tuple[int, bool] | None = None  # which write is the last one, and whether it is still written
        self.last_words: PollRecord | None = None  # what was recorded by the process that was killed then
        self.decided: dict[str, Notice] = {}
        self.ids: dict[tuple[str, str], int] = {}
        self.all_ids: set[int] = set()
        self._alert_of: dict[str, int] = {}  # by notice id; 0: operational
        self.start()

    @property
    def now(self) -> datetime:
        return at(self.seconds)

    @property
    def seconds(self) -> float:
        return self.slack.now + self.slack.skew

    # The process.

    def start(self) -> None:
        """A process begins: all it knows is in the file."""
        self.store = SqliteStore(self.path, synchronous="NORMAL", max_messages=self.slack.max_messages)
        self.starts += 1
        self.tenant = replace(self.tenant, memory=poll.Memory())
        self.dies_at = None

    def restart(self, *, known: bool = True) -> None:
        """`known`: the process that starts knows that the one before it has ended."""
        self.store.close()
        self.start()
        if known:
            end_claims_of_gone(self.store, self.name, lambda other: other != self.name, self.now)

    @property
    def name(self) -> str:
        return f"process {self.starts}"

    def close(self) -> None:
        self.store.close()

    # Polls.

    def turn(self, seen: Poll | None) -> None:
        """One turn, with or without a fetch, and what the service does after it. It may be killed at each write."""
        self._turn(seen)
        self.announce()

    def _turn(self, seen: Poll | None) -> None:
        fetched = None if seen is None else _fetched(seen, self.now)
        self.last_words = None
        try:
            turn = poll.run(self.tenant, _Mortal(self), self.now, fetched)
        except Killed:
            self.restart()
            if self.last_words is not None:
                self._compare(seen, self.last_words.notices)
            return
        self.tenant = replace(self.tenant, memory=turn.memory)
        self._compare(seen, turn.notices)

    def _compare(self, seen: Poll | None, notices: Sequence[Notice]) -> None:
        """What was decided is what the model says, alert by alert and notice by notice."""
        now = self.seconds
        if seen is not None and self.feed.set_back(now):
            self.model.clock_set_back(self.feed.set_back(now))
        expected, blind, seen = self.feed.turn(now, seen)
        values = None if seen is None or seen.failed else seen.values
        expected += self.model.turn(now, values, blind=blind)
        new = [each for each in notices if each.id not in self.decided]
        assert Counter(map(the_report, new)) == expected, (Counter(map(the_report, new)), expected)
        self.decided |= {each.id: each for each in new}
        alerts = self.store.alerts(TENANT)
        real = {(each.key.rule, each.key.entity_id): (str(each.state), int(each.level)) for each in alerts}
        assert real == {
            **{key: (alert.state, alert.level) for key, alert in self.model.alerts.items()},
            **self.feed.open,
        }
        ids = {(each.key.rule, each.key.entity_id): each.id or 0 for each in alerts}
        for key, number in ids.items():
            assert number == self.ids.get(key, number), "an alert keeps its id"
            assert key in self.ids or number not in self.all_ids, "no id is given twice"
        self.ids = ids
        self.all_ids |= set(ids.values())

    # What users do.

    def edit(self, *watches: Watch) -> None:
        """These rules are edited, or added."""
        self.model.watches |= {watch.id: watch for watch in watches}
        self._swap()

    def remove(self, rule: str) -> None:
        self.model.watches.pop(rule, None)
        self._swap()

    def _swap(self) -> None:
        self.tenant = replace(self.tenant, rules=_rules(tuple(self.model.watches.values())))

    def acknowledge(self, which: int, who: str) -> None:
        """A user acknowledges an open alert, or takes that back."""
        open_ones = [(key, alert) for key, alert in self.model.alerts.items() if alert.state != "pending"]
        if not open_ones:
            return
        key, alert = open_ones[which % len(open_ones)]
        outcome, found = self.store.acknowledge(self.ids[key], who, "", self.now)
        assert found is not None
        if alert.owner:
            assert (outcome, found.acked_by) == (Outcome.ALREADY, alert.owner)
            outcome, found = self.store.unacknowledge(self.ids[key], who, self.now)
            who = ""
        assert outcome is Outcome.DONE
        self.model.acknowledge(key, who, self.seconds)
        self._collect()

    def resolve(self, which: int, who: str) -> None:
        """A user closes an alert by hand."""
        if not self.model.alerts:
            return
        self._collect()
        key = list(self.model.alerts)[which % len(self.model.alerts)]
        outcome, found = self.store.resolve(self.ids[key], who, "stuck", self.now)
        assert (outcome, found and found.end_reason) == (Outcome.DONE, Reason.CLOSED_BY_HAND)
        for loser in (self.store.acknowledge, self.store.resolve):
            assert loser(self.ids[key], "U9", "", self.now)[0] is Outcome.ENDED, "who comes second learns that it ended"
        self.model.reports = Counter()
        self.model.close_by_hand(key)
        new = [each for each in self._collect() if each.alert is not None]
        expected = sorted(each[:3] for each in self.model.reports.elements())
        assert sorted(the_report(each)[:3] for each in new) == expected, "a line for each card, wherever that stands"
        self.ids.pop(key)

    def silence(self, rule: str | None, entity: str | None, level: int | None, after: float, lasts: float) -> None:
        """A user silences what matches, now or later."""
        self._collect()
        begins = self.seconds + after
        silence = Silence(rule, entity, level, begins, begins + lasts)
        number = make_silence(self.store, silence, self.now)
        if (known := self.silences.silences.get(number)) is not None:  # the same wish again, as if delivered twice
            apart = (silence.begins - known.begins, silence.ends - known.ends)
            assert all(abs(seconds) < REPEATED_WITHIN for seconds in apart)
            assert replace(silence, begins=known.begins, ends=known.ends) == known
            return
        assert number not in self.all_ids, "alerts and silences share one sequence"
        self.all_ids.add(number)
        self._announced(self.silences.create(number, silence, self.seconds, self.model.channels_of))

    def unsilence(self, which: int) -> None:
        """Its author takes a silence off."""
        self._collect()
        if self.silences.silences:
            number = list(self.silences.silences)[which % len(self.silences.silences)]
            outcome, _ = self.store.unsilence(number, self.silences.silences[number].author, self.now)
            assert outcome is Outcome.DONE
            self._announced(self.silences.end(number, self.model.channels_of))

    def announce(self) -> None:
        """What the service does after each turn: silences that start, end soon or have ended are announced."""
        self._collect()
        try:
            _Mortal(self).announce_silences(self.now)
        except Killed:
            recorded = self.dies_at is not None and self.dies_at[1]
            self.restart()
            if not recorded:
                return
        self._announced(self.silences.time(self.seconds, self.model.channels_of))

    def _announced(self, expected: Counter[Announcement]) -> None:
        found = Counter(map(the_announcement, self._collect()))
        del found[None]
        assert found == expected, (found, expected)

    def _collect(self) -> list[Notice]:
        """The notices that something else than a poll added."""
        new = [entry.notice for entry in self._ledger() if entry.notice.id not in self.decided]
        self.decided |= {notice.id: notice for notice in new}
        return new

    def set_clock(self, ahead: float) -> None:
        """The clock of the machine is set: it is `ahead` seconds ahead of true time now."""
        self.clock_was_set = True
        self.slack.skew = ahead

    def delete_message(self, which: int) -> None:
        """A user deletes a message of the bot, and its thread with it."""
        cards = [each for each in self.slack.messages if not (each.thread or each.deleted or each.text)]
        if cards:
            self._delete(cards[which % len(cards)])

    def _delete(self, card: Message) -> None:
        card.deleted = True
        for each in self.slack.messages:
            if each.thread == card.place.ts and each.place.channel_id == card.place.channel_id:
                each.deleted = True

    # Delivery.

    def deliver(self, seconds: int, faults: Sequence[str] = ()) -> None:
        """Deliver twice a second; these faults happen to the next calls of Slack."""
        self.slack.faults.extend(faults)
        for _ in range(2 * seconds):
            self._deliver()
            self.slack.now += 0.5
        self.slack.faults.clear()

    def _deliver(self) -> None:
        mortal: Any = _Mortal(self)
        try:
            end_claims_of_gone(mortal, self.name, lambda other: other != self.name, self.now)
            report = deliver(
                self.store.due(self.now),
                self.slack,
                mortal,
                lambda: self.now,
                claimant=self.name,
                fallback_channel=DEFAULT_CHANNEL,
                ops_channel=OPS,
                monotonic=lambda: self.slack.now,
            )
        except Killed:
            self.restart()
        else:
            assert not any(each.startswith("Unexpected error") for each in report.errors), report.errors
        assert not self.slack.wrong, self.slack.wrong

    # The end of the day.

    def settle(self) -> None:
        """Slack works again, and all that is due is delivered. Then Slack must agree with the store, and with us."""
        self.slack.faults.clear()
        self.slack.away = ""
        self.slack.broken.clear()
        self.dies_at = None
        for number in self.ids.values():  # every open card changes, so that one that a user deleted is missed
            if self.store.acknowledge(number, "U9", "", self.now)[0] is Outcome.ALREADY:
                self.store.unacknowledge(number, "U9", self.now)
        self._collect()
        for _ in range(3000):
            self._deliver()
            if not self.store.totals().waiting and not self.store.due(self.now + timedelta(hours=2)):
                break
            ready = self.store.next_due(self.now)
            pause = (ready - self.now) / timedelta(seconds=1) if ready is not None else 61.0
            self.slack.now += max(1.0, pause)
        else:
            raise AssertionError(f"never settled: {self.store.totals()}")
        self._check_notices()
        self._check_cards()
        self._check_what_was_not_posted()
        assert self.clock_was_set or not self.slack.too_soon, "two messages within a second in one channel"
        assert self.clock_was_set or not self.slack.too_many, "more than max_messages within a minute in one channel"

    def _check_notices(self) -> None:
        landed = {each.place for each in self.slack.messages}
        for entry in self._ledger():
            notice = entry.notice
            if notice.id not in self.decided and notice.alert is not None:
                continue  # a card that was posted again; `_check_cards` counts those
            assert entry.state is not NoticeState.WAITING
            if entry.state is NoticeState.DELIVERED:
                assert entry.posted in landed, f"lost: {entry}"
            elif entry.state is NoticeState.GIVEN_UP:
                assert self._may_be_given_up(entry), entry
        decided = {entry.notice.id for entry in self._ledger()}
        assert all(each.notice_id in decided for each in self.slack.messages), "something that was never decided"

    def _may_be_given_up(self, entry: LedgerEntry) -> bool:
        """Only a line: of a card that a user deleted after the alert ended, or that failed for more than a day."""
        old = entry.settled_at is not None and entry.settled_at - entry.notice.at > timedelta(days=1)
        return "is gone, and its alert has ended" in entry.error or old

    def _check_what_was_not_posted(self) -> None:
        """What began and ended while it waited is in one line; what a later message says better is not posted.

        Such a line is about alerts that have ended and were never critical, or about their escalation, and what it
        carries has no message of its own. Nor has what was dropped: a line, as its card shows more, or an escalation.
        """
        entries = [entry for entry in self._ledger() if entry.notice.alert is not None]
        landed = {each.notice_id for each in self.slack.messages}
        ops = {entry.notice.id for entry in self.store.notices_of(None)}
        for entry in entries:
            notice, escalation = entry.notice, entry.notice.reason is Reason.ESCALATED
            if notice.lead in ops:
                alert = self.store.alert(self._alert_of[notice.id])
                assert alert is not None
                assert alert.ended_at is not None, f"summed up, and still open: {entry}"
                assert escalation or alert.highest is not Level.CRITICAL, f"was critical, and has no card: {entry}"
                assert notice.id not in landed, f"summed up, and has a message: {entry}"
            if entry.state is NoticeState.SHOWN_BY_CARD:
                assert escalation or notice.kind is NoticeKind.LINE, f"a card was dropped: {entry}"
                assert notice.id not in landed, f"dropped, and has a message: {entry}"

    def _check_cards(self) -> None:
        """Every alert that was reported has one card for each receiver, its own or a shared one; all show what is true.

        The message of an escalation is no card: it shows who has the alert, and whether it has ended. A message that
        was left behind in a channel that did not work is none either, but has to be true as well.
        """
        with self.store._db.read() as conn:
            left = {Posted(*row) for row in conn.execute("SELECT posted_channel_id, posted_ts FROM former_messages")}
        reasons = {entry.notice.id: entry.notice.reason for entry in self._ledger()}
        cards = [each for each in self.slack.messages if each.shows and not each.thread and not each.deleted]
        shown: Counter[int | None] = Counter()
        for message in cards:
            escalation = reasons[message.notice_id] is Reason.ESCALATED
            for drawn in message.shows:
                assert drawn.id is not None
                alert = self.store.alert(drawn.id)
                assert alert is not None
                assert _look(drawn, escalation) == _look(alert, escalation), (
                    f"a card is out of date: {drawn} is {alert}"
                )
            if not escalation and message.place not in left:
                shown.update(each.id for each in message.shows)
        wanted = {key: alert.cards for key, alert in self.model.alerts.items()} | dict.fromkeys(self.feed.open, (OPS,))
        for key, channels in wanted.items():
            assert shown[self.ids[key]] == len(channels), f"{key} has {shown[self.ids[key]]} cards, not {channels}"

    def _ledger(self) -> list[LedgerEntry]:
        found = []
        for alert in (None, *sorted(self.all_ids | self._new_ids())):
            entries = self.store.notices_of(alert)
            self._alert_of |= {entry.notice.id: alert or 0 for entry in entries}
            found += entries
        return found

    def _new_ids(self) -> set[int]:
        return {each.id for each in self.store.alerts(TENANT) if each.id is not None}


class _Mortal:
    """The store as one process sees it: the process may be killed before or after any write."""

    _WRITES = frozenset(
        {
            *("record", "announce_silences", "claim", "claimant_ended", "delivered", "edited", "put_off"),
            *("put_off_edit", "give_up", "hold_channel", "hold_edits", "reroute", "repost", "close_in_thread"),
            *("forget_former", "add_notices", "hold_back", "sum_up"),
        }
    )

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Any] = getattr(self._world.store, name)
        if name not in self._WRITES:
            return method

        def write(*args: Any, **named: Any) -> Any:
            world = self._world
            if world.dies_at is None:
                return method(*args, **named)
            left, written = world.dies_at
            if left > 0:
                world.dies_at = (left - 1, written)
                return method(*args, **named)
            if written:
                method(*args, **named)
                world.last_words = args[0] if name == "record" else None
            raise Killed

        return write


def make_silence(store: SqliteStore, silence: Silence, now: datetime) -> int:
    """The id of this silence, made in the store."""
    level = _WORDS[silence.level] if silence.level else ""
    name = f"Queue {silence.entity}" if silence.entity else ""
    words = {"rule": silence.rule or "*", "name": name, "level": level}
    matcher = Matcher(tuple((term, word) for term, word in words.items() if word))
    made = store.silence(matcher, at(silence.begins), at(silence.ends), silence.author, "", now)
    number: int = made.id
    return number


def the_announcement(notice: Notice) -> Announcement | None:
    """A notice about a silence, in the words of the model."""
    found = re.match(r"Silence #(\d+) ", notice.text)
    if notice.alert is not None or found is None:
        return None
    kinds = {"has ended": "ended", "was ended": "ended", "ends in": "ends soon", "": "started"}
    return int(found[1]), next(kind for words, kind in kinds.items() if words in notice.text), notice.channel


def at(seconds: float) -> datetime:
    return BEGINNING + timedelta(seconds=seconds)


def the_report(notice: Notice) -> Report:
    """A notice in the words of the model."""
    assert notice.alert is not None, notice.text
    reason = "began" if notice.reason in _BEGAN else str(notice.reason)
    return notice.alert.rule, notice.alert.entity_id, reason, notice.channel


def _look(alert: RealAlert, briefly: bool = False) -> tuple[Any, ...]:
    """What a reader sees of an alert."""
    if briefly:
        return alert.acked_by, alert.end_reason, alert.ended_at
    value = alert.measure.value if alert.measure is not None else None
    return alert.state, alert.level, alert.acked_by, alert.end_reason, alert.ended_at, alert.fired_at, value


def _fetched(seen: Poll, now: datetime) -> Fetched:
    if seen.failed:
        return Fetched(now, failures={Scope.QUEUE: "no answer"})
    values = seen.values
    column = Column(
        np.array([np.nan if each is None else each * 1000.0 for each in values.values()], dtype=np.float64),
        np.array([Presence.NULL if each is None else Presence.PRESENT for each in values.values()], dtype=np.uint8),
    )
    names = tuple(f"Queue {each}" for each in values)
    found = Snapshot(Scope.QUEUE, now, tuple(values), names, {METRIC: column}, complete=seen.complete)
    return Fetched(now, {Scope.QUEUE: found})


@lru_cache(maxsize=4096)
def _rules(watches: tuple[Watch, ...]) -> RuleSet:
    """The rules as a file of an author has them, read as any other."""
    if not watches:
        return RuleSet()
    return parse_files({"rules.yaml": rule_file(watches)})


def rule_file(watches: Sequence[Watch]) -> str:
    """The YAML of these rules."""
    known = {watch.id for watch in watches}
    return "rules:\n" + "".join(_written(watch, known) for watch in watches)


def _written(watch: Watch, known: set[str]) -> str:
    lines = [
        f"  - id: {watch.id}",
        "    scope: queue",
        f"    match: {{id: [{', '.join(watch.covers)}]}}",
        f"    warning: {{when: {METRIC} > {watch.limits[0]}s, for: {watch.holds[0]}s}}",
        f"    critical: {{when: {METRIC} > {watch.limits[1]}s, for: {watch.holds[1]}s}}",
        f"    keep_firing_for: {watch.keep}s",
        f"    no_data: {watch.no_data}",
    ]
    if watch.group_by != "entity":
        lines.append(f"    group_by: {watch.group_by}")
    if watch.remind[0]:
        lines.append(f"    remind: {{every: {watch.remind[0]}s, most: {watch.remind[1]}s}}")
    if watch.escalate:
        steps = [(after, ", ".join(f'"{each}"' for each in channels)) for after, channels in watch.escalate]
        written = (f"{{after: {after}s" + (f", channel: [{names}]}}" if names else "}") for after, names in steps)
        lines.append(f"    escalate: [{', '.join(written)}]")
    if watch.clear is not None:
        lines.append(f"    clear: {METRIC} < {watch.clear}s")
    if suppressors := [each for each in watch.suppressed_by if each in known]:
        lines.append(f"    suppressed_by: [{', '.join(suppressors)}]")
    of_level = {
        level: ", ".join(f'"{each}"' for each in channels)
        for level, channels in zip(("warning", "critical"), watch.channels, strict=True)
        if channels
    }
    if of_level:
        lines.append(f"    channel: {{{', '.join(f'{level}: [{each}]' for level, each in of_level.items())}}}")
    return "\n".join(lines) + "\n"
