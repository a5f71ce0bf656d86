"""Any order of polls, changes by users, deliveries and failures: every notice is posted once or still waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from alertbot.alerts.alert import Alert, Change, Outcome, Reason
from alertbot.alerts.cards import Card, Posted
from alertbot.alerts.delivery import Claimed, EditCard, PostCard, PostLine, PostOps
from alertbot.alerts.notice import Notice
from alertbot.alerts.unseen import Unseen
from alertbot.rules.rule import Level
from alertbot.store.records import LedgerEntry, NoticeState
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import ME, T0, begins, ends, firing, line, new_value, notice, ops, poll, rises

ENTITIES = st.sampled_from(["1", "2"])
CHANNEL_SETS = st.sampled_from([frozenset({"#a"}), frozenset({"#a", "#b"})])
HAPPENINGS = ("ops", "rise", "end", "acknowledge", "value")
OUTCOMES = ("lands", "lands", "lost after", "lost before", "refused", "limited", "gone", "given up", "rerouted")
PAUSES = st.sampled_from([1.0, 6.0, 0.2, 61.0, 130.0])


class Outbox(RuleBasedStateMachine):
    """A deliverer that may fail in every way, and a Slack that remembers what it received."""

    @initialize()
    def begin(self) -> None:
        self.store = SqliteStore(":memory:")
        self.now = T0
        self.slack: dict[tuple[str, str], str] = {}  # where a message stands -> the notice it came from
        self.drawn: dict[int, Alert] = {}  # what the last card message of an alert's card shows
        self.threads: dict[tuple[str, str], tuple[str, str]] = {}  # a line -> the card that it stands under
        self.gone: set[str] = set()  # notices whose messages were deleted by people
        self.messages = 0
        self.last_post: dict[str, datetime] = {}
        self.decided: set[str] = set()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.settle()
            self.store.close()

    # Polls and changes by users

    def _alert(self, entity: str) -> Alert | None:
        return next((alert for alert in self.store.alerts() if alert.key.entity_id == entity), None)

    def _record(self, changes: list[Change], notices: list[Notice]) -> None:
        self.decided |= {each.id for each in notices}
        self.store.record(poll(changes, notices, now=self.now))

    def _lines(self, alert: Alert, reason: Reason) -> list[Notice]:
        channels = self.store.cards("acme").get(alert.key, frozenset())
        return [line(alert, reason, now=self.now, channel=channel) for channel in sorted(channels)]

    @rule(entity=ENTITIES, what=st.sampled_from(HAPPENINGS), channels=CHANNEL_SETS, level=st.sampled_from(Level))
    def happen(self, entity: str, what: str, channels: frozenset[str], level: Level) -> None:
        self.now += timedelta(seconds=0.3)
        alert = self._alert(entity)
        if what == "ops":
            sent = ops(f"problem {entity}", now=self.now, channel=min(channels))
            self.decided.add(sent.id)
            self.store.add_notices([sent, sent])
        elif alert is None:
            alert = firing(entity, level=level)
            self._record([begins(alert)], [notice(alert, channel=each, now=self.now) for each in sorted(channels)])
        elif what == "rise" and alert.level is not Level.CRITICAL:
            self._record([rises(alert, self.now)], self._lines(alert, Reason.LEVEL_UP))
        elif what == "end":
            self._record([ends(alert, self.now)], self._lines(alert, Reason.RESOLVED))
        elif what == "acknowledge" and alert.id is not None:
            if self.store.acknowledge(alert.id, "U1", "", self.now)[0] is not Outcome.DONE:
                self.store.unacknowledge(alert.id, "U2", self.now)
        else:
            self._record([new_value(alert, float(level), self.now)], [])

    # Delivery

    @rule(tries=st.lists(st.tuples(st.sampled_from(OUTCOMES), st.integers(0, 3), PAUSES), min_size=1, max_size=4))
    def deliver(self, tries: list[tuple[str, int, float]]) -> None:
        for outcome, turn, seconds in tries:
            self.now += timedelta(seconds=seconds)
            due = self.store.due(self.now)
            places = [_place(each) for each in due if not isinstance(each, EditCard)]
            assert len(places) == len(set(places)), "two posts in one channel at once"
            if due:
                self._one(due[turn % len(due)], outcome)

    def _one(self, due: PostCard | PostLine | PostOps | EditCard, outcome: str) -> None:
        if isinstance(due, EditCard):
            self._edit(due, outcome)
            return
        if due.intent_at is not None:
            found = next((where for where, sent in self.slack.items() if sent == due.notice.id), None)
            if found is not None:
                self.store.delivered(due.notice.id, Posted(*found), 0, self.now)
                return
        claimed = self.store.claim(due.notice.id, ME, self.now, due.intent_at)
        if claimed is Claimed.UNSEEN:
            waiting = self.store.totals().waiting
            self.store.sum_up(due.notice.channel, self._summary, self.now)
            assert self.store.totals().waiting < waiting
        if claimed in (Claimed.UNSEEN, Claimed.SUPERSEDED):
            return  # what is due has changed
        assert claimed is Claimed.DONE
        soon = self.now + timedelta(seconds=2)
        match outcome:
            case "lands":
                self.store.delivered(due.notice.id, self._send(due), _version(due), self.now)
            case "lost after":
                self._send(due)  # and the process dies, or the response is lost
            case "lost before":
                self.store.put_off(due.notice.id, soon, "timeout", claimant=ME, unknown=True)
            case "refused":
                self.store.put_off(due.notice.id, soon, "503", claimant=ME, unknown=False)
            case "limited":
                self.store.hold_channel(_place(due), soon)
                self.store.put_off(due.notice.id, soon, "429", claimant=ME, unknown=False)
            case "gone" if isinstance(due, PostLine):
                self._delete(due.card)
                self.store.repost(due.card, self.now, claimant=ME)
            case "given up" | "gone":
                self.store.give_up(due.notice.id, "no", self.now)
            case "rerouted":
                if isinstance(due, PostLine):
                    self._delete(due.card)  # the channel no longer exists
                self.store.reroute(due.notice.id, "#fallback", claimant=ME)

    def _summary(self, unseen: Unseen) -> Notice:
        assert all(alert.ended_at is not None and alert.highest is not Level.CRITICAL for alert in unseen.alerts)
        which = ",".join(str(alert.id) for alert in unseen.alerts)
        sent = ops(f"unseen: {which}", now=self.now, channel=unseen.channel)
        self.decided.add(sent.id)
        return sent

    def _send(self, due: PostCard | PostLine | PostOps) -> Posted:
        place = _place(due)
        rested = self.now - self.last_post.get(place, T0 - timedelta(days=1))
        assert rested >= timedelta(seconds=1), f"two messages within {rested} in {place}"
        self.last_post[place] = self.now
        self.messages += 1
        posted = Posted(place, str(self.messages))
        assert due.notice.id not in self.slack.values(), "posted twice"
        self.slack[posted.channel_id, posted.ts] = due.notice.id
        if isinstance(due, PostLine):
            assert due.card.posted is not None
            thread = (due.card.posted.channel_id, due.card.posted.ts)
            assert thread in self.slack, "a line in no thread"
            self.threads[posted.channel_id, posted.ts] = thread
        if isinstance(due, PostCard):
            self.drawn[due.card.id] = due.card.members[0]
        return posted

    def _delete(self, card: Card) -> None:
        assert card.posted is not None
        top = (card.posted.channel_id, card.posted.ts)
        for where in [top, *(where for where, thread in self.threads.items() if thread == top)]:
            self.gone.add(self.slack.pop(where))

    def _edit(self, due: EditCard, outcome: str) -> None:
        match outcome:
            case "lands" | "limited" | "lost after":
                self.drawn[due.card.id] = due.card.members[0]
                if outcome == "lands":
                    self.store.edited(due.card, self.now)
            case "gone":  # a user deleted the message, and its thread with it
                self._delete(due.card)
                self.store.repost(due.card, self.now, claimant=ME)
            case _:
                self.store.put_off_edit(due.card.id, self.now + timedelta(seconds=2), "no")

    # Invariants, always and at the end

    @invariant()
    def nothing_is_lost(self) -> None:
        if not hasattr(self, "store"):
            return
        entries = self._entries()
        assert self.decided <= set(entries)
        sent = set(self.slack.values())
        for entry in entries.values():
            if entry.state is NoticeState.DELIVERED:
                assert (entry.notice.lead or entry.notice.id) in sent | self.gone
            if entry.notice.id in sent:
                assert entry.state is NoticeState.DELIVERED or entry.intent_at is not None

    def _entries(self) -> dict[str, LedgerEntry]:
        with self.store._db.read() as conn:
            last = conn.execute("SELECT COALESCE(max(id), 0) FROM alerts").fetchone()[0]
        found = [*self.store.notices_of(None)]
        for alert_id in range(1, last + 1):
            found += self.store.notices_of(alert_id)
        return {entry.notice.id: entry for entry in found}

    def settle(self) -> None:
        """With a Slack that works, everything is posted and every card shows the present state of its alert."""
        for _ in range(200):
            self.now += timedelta(seconds=61)
            due = self.store.due(self.now)
            if not due:
                break
            for each in due:
                self._one(each, "lands")
        assert self.store.due(self.now + timedelta(days=1)) == []
        assert self.store.totals().waiting == 0
        with self.store._db.read() as conn:
            members = "SELECT c.*, m.alert_id FROM cards c JOIN card_alerts m ON m.card_id = c.id"
            cards = conn.execute(members).fetchall()
        for card in cards:
            assert card["state"] in ("posted", "given_up", "gone")
            if card["state"] == "posted":
                assert card["version"] == card["sent_version"]
                alert = self.store.alert(card["alert_id"])
                assert alert is not None
                assert (card["ended_at"] is None) is (alert.ended_at is None)
                assert replace(self.drawn[card["id"]], seen_at=None) == replace(alert, seen_at=None)


def _place(due: PostCard | PostLine | PostOps) -> str:
    return due.notice.channel if isinstance(due, PostOps) else due.card.channel


def _version(due: PostCard | PostLine | PostOps) -> int:
    return due.card.version if isinstance(due, PostCard) else 0


Outbox.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestOutbox = Outbox.TestCase
