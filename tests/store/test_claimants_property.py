"""Any order of claims, deaths, pauses and late answers of several processes: every notice has one message in the end.

A message that is sent late, by a process that was paused after its last check, is the only one that may be a second
one. Its process closes it when it hears the answer; where it dies before that, an audit finds it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from alertbot.alerts.alert import Alert, Change, Reason
from alertbot.alerts.cards import Posted
from alertbot.alerts.delivery import Claimed, EditCard, PostCard, PostLine, PostOps, Tried
from alertbot.alerts.notice import Notice
from alertbot.alerts.unseen import Unseen
from alertbot.rules.rule import Level
from alertbot.store.records import LedgerEntry, NoticeState
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import T0, begins, ends, firing, line, notice, ops, poll, rises

PROCESSES = 3
START_WITHIN, GIVES_UP = timedelta(seconds=2), timedelta(seconds=10)
SILENT_AFTER = timedelta(seconds=8)
APPEARS = timedelta(seconds=4.9)

WHO, TURN = st.integers(0, PROCESSES - 1), st.integers(0, 3)
ENTITIES = st.sampled_from(["1", "2"])
PLACES = st.sampled_from([frozenset({"#a"}), frozenset({"#a", "#b"})])
PAUSES = st.sampled_from([0.2, 1.0, 3.0, 6.0, 11.0, 21.0, 45.0])
OUTCOMES = ["lands", "hangs", "is lost", "appears late", "is refused"]
HOW = st.sampled_from(["lands", *OUTCOMES, "is only claimed", "is only checked"])

OTHERS = st.lists(st.tuples(WHO, TURN, HOW, st.booleans(), st.booleans()), max_size=4)

Post = PostCard | PostLine | PostOps


@dataclass
class Call:
    """A post that a process has claimed. `checked`: it is about to send, and asks nothing more. `sent`: no answer."""

    due: Post
    since: datetime
    checked: bool = False
    sent: Posted | None = None


@dataclass
class Process:
    """One that delivers. `paused_at`: it does nothing, and does not know it.

    `unheard_since`: it runs, but the others do not hear of it. `listed`: what was due when it last asked.
    """

    name: str
    calls: dict[str, Call] = field(default_factory=dict)  # by channel
    paused_at: datetime | None = None
    unheard_since: datetime | None = None
    listed: list[Post] = field(default_factory=list)


class Claimants(RuleBasedStateMachine):
    """Processes on one store, and a Slack that remembers what it received."""

    @initialize()
    def begin(self) -> None:
        self.store = SqliteStore(":memory:")
        self.now = T0
        self.born = 0
        self.processes = [self._new() for _ in range(PROCESSES)]
        self.ended: set[str] = set()
        self.slack: dict[Posted, str] = {}  # messages -> the notices they came from
        self.late: set[Posted] = set()  # those that were sent after their claim was over
        self.closed: dict[Posted, str] = {}  # as duplicates
        self.appearing: list[tuple[datetime, Post]] = []  # what dead processes sent
        self.decided: set[str] = set()
        self.messages = 0
        self.recorded: dict[str, Posted | None] = {}  # the message of each notice that is delivered

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.settle()
            self.store.close()

    def _new(self) -> Process:
        self.born += 1
        return Process(f"process {self.born}")

    # Polls

    @rule(entity=ENTITIES, places=PLACES, what=st.sampled_from(["alert", "ops", "end", "rise"]))
    def happen(self, entity: str, places: frozenset[str], what: str) -> None:
        self._wait(0.3)
        alert = next((each for each in self.store.alerts() if each.key.entity_id == entity), None)
        if what == "ops":
            sent = ops(f"problem {entity}", now=self.now, channel=min(places))
            self.decided.add(sent.id)
            self.store.add_notices([sent])
        elif alert is None:
            alert = firing(entity)
            self._record([begins(alert)], [notice(alert, channel=each, now=self.now) for each in sorted(places)])
        elif what == "end":
            self._record([ends(alert, self.now)], self._lines(alert, Reason.RESOLVED))
        elif what == "rise" and alert.level is not Level.CRITICAL:
            self._record([rises(alert, self.now)], self._lines(alert, Reason.LEVEL_UP))
        else:
            self._record([], self._lines(alert, Reason.REMINDER))

    def _lines(self, alert: Alert, reason: Reason) -> list[Notice]:
        places = self.store.cards("acme").get(alert.key, frozenset())
        return [line(alert, reason, now=self.now, channel=place) for place in sorted(places)]

    def _record(self, changes: list[Change], notices: list[Notice]) -> None:
        self.decided |= {each.id for each in notices}
        self.store.record(poll(changes, notices, now=self.now))

    # Time

    @rule(seconds=PAUSES)
    def wait(self, seconds: float) -> None:
        self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        """Until then, calls of processes that run end at their deadline."""
        until = self.now + timedelta(seconds=seconds)
        while True:
            over = [
                (call.since + GIVES_UP, process, place)
                for process in self.processes
                if process.paused_at is None
                for place, call in process.calls.items()
                if call.since + GIVES_UP <= until
            ]
            if not over:
                break
            at, process, place = min(over, key=lambda each: each[0])
            self._pass(max(at, self.now))
            self._no_answer(process, place)
        self._pass(until)

    def _pass(self, until: datetime) -> None:
        for at, due in [each for each in self.appearing if each[0] <= until]:
            self.appearing.remove((at, due))
            self._sent(due)
        self.now = until

    # Processes

    @rule(who=WHO, turn=TURN, how=HOW, old=st.booleans(), hears=st.booleans())
    def deliver(self, who: int, turn: int, how: str, old: bool = False, hears: bool = True) -> None:
        """What is due is looked for, claimed, checked and sent. `old`: what was due when it last asked.

        `hears`: it notices that others have ended, or seem to have.
        """
        process = self.processes[who]
        if process.paused_at is not None:
            return
        if hears:
            self._end_claims()
        if not old:
            due_now = self.store.due(self.now, claimant=process.name)
            process.listed = [each for each in due_now if not isinstance(each, EditCard)]
            places = [_place(each) for each in process.listed]
            assert len(places) == len(set(places)), "two posts in one channel at once"
        free = [each for each in process.listed if _place(each) not in process.calls]
        if not free or not self._claim(process, due := free[turn % len(free)]) or how == "is only claimed":
            return
        call = process.calls[_place(due)]
        call.checked = True
        if how != "is only checked":
            self._send(process, _place(due), call, how)

    @rule(who=WHO, turn=TURN, how=st.sampled_from(["is only claimed", "is only checked", "is only checked", "hangs"]))
    def stall(self, who: int, turn: int, how: str) -> None:
        """A process is paused while it delivers."""
        self.deliver(who, turn, how)
        self.pause(who)

    @rule(who=WHO)
    def become_silent(self, who: int) -> None:
        self.processes[who].unheard_since = self.processes[who].unheard_since or self.now

    @rule(who=WHO, others=OTHERS, seconds=PAUSES, dies=st.booleans())
    def overtake(self, who: int, others: list[tuple[int, int, str, bool, bool]], seconds: float, dies: bool) -> None:
        """A process is paused immediately before it sends, and continues when others have delivered."""
        self.stall(who, 0, "is only checked")
        self._wait(13)
        for other, turn, how, old, hears in others:
            self._wait(seconds)
            self.deliver(other, turn, how, old, hears)
        self.resume(who, dies)

    def _claim(self, process: Process, due: Post) -> bool:
        if due.intent_at is not None:
            there = next((posted for posted, sent in self.slack.items() if sent == due.notice.id), None)
            if there is not None:
                self._answered(due, there)
                return False
        claimed = self.store.claim(due.notice.id, process.name, self.now, due.intent_at)
        if claimed is Claimed.UNSEEN:
            self.store.sum_up(due.notice.channel, self._summary, self.now)
        if claimed is Claimed.DONE:
            process.calls[_place(due)] = Call(due, self.now)
        return claimed is Claimed.DONE

    @rule(who=WHO, turn=TURN)
    def check(self, who: int, turn: int) -> None:
        """Immediately before it sends, a process makes sure that its claim is young."""
        process = self.processes[who]
        calls = [(place, call) for place, call in process.calls.items() if not call.checked]
        if process.paused_at is None and calls:
            place, call = calls[turn % len(calls)]
            if self.now - call.since > START_WITHIN:
                self._put_off(process, place, unknown=False, tried=Tried.NOTHING)
            else:
                call.checked = True

    @rule(who=WHO, turn=TURN, outcome=st.sampled_from(OUTCOMES))
    def send(self, who: int, turn: int, outcome: str) -> None:
        process = self.processes[who]
        calls = [(place, call) for place, call in process.calls.items() if call.checked and call.sent is None]
        if process.paused_at is None and calls:
            self._send(process, *calls[turn % len(calls)], outcome)

    def _send(self, process: Process, place: str, call: Call, outcome: str) -> None:
        match outcome:
            case "lands":
                self._answered(call.due, self._sent(call.due))
                del process.calls[place]
            case "hangs":
                call.sent = self._sent(call.due)
            case "is lost":
                self._sent(call.due)
                self._put_off(process, place, unknown=True)
            case "appears late":
                self.appearing.append((self.now + APPEARS, call.due))
                self._put_off(process, place, unknown=True)
            case _:
                self._put_off(process, place, unknown=False)

    @rule(who=WHO)
    def hear(self, who: int) -> None:
        """Answers that a process waits for arrive."""
        process = self.processes[who]
        if process.paused_at is None:
            for place, call in list(process.calls.items()):
                if call.sent is not None:
                    self._answered(call.due, call.sent)
                    del process.calls[place]

    @rule(who=WHO, took_effect=st.booleans())
    def die(self, who: int, took_effect: bool) -> None:
        """What it was sending may still appear; another process takes its place."""
        process = self.processes[who]
        if process.paused_at is None and took_effect:
            checked = [call for call in process.calls.values() if call.checked and call.sent is None]
            self.appearing += [(self.now + APPEARS, call.due) for call in checked]
        self.ended.add(process.name)
        self.processes[who] = self._new()

    @rule(who=WHO)
    def pause(self, who: int) -> None:
        self.processes[who].paused_at = self.processes[who].paused_at or self.now

    @rule(who=WHO, dies=st.booleans())
    def resume(self, who: int, dies: bool) -> None:
        """What was checked is sent, however late. It may die before it hears the answer."""
        process = self.processes[who]
        if process.paused_at is None:
            return
        process.paused_at = None
        for place, call in list(process.calls.items()):
            late = self.now - call.since > GIVES_UP
            if call.sent is not None and late:
                self._no_answer(process, place)
            elif call.checked and call.sent is None:
                posted = self._sent(call.due, late=late)
                if not dies:
                    self._answered(call.due, posted)
                del process.calls[place]
        if dies:
            self.die(who, took_effect=False)

    def _end_claims(self) -> None:
        """Of processes that have ended, or have not been heard of for a while."""
        since = {other.name: other.paused_at or other.unheard_since for other in self.processes}
        silent = {name for name, at in since.items() if at is not None and self.now - at >= SILENT_AFTER}
        for name in self.store.claimants():
            if name in self.ended:
                self.store.claimant_ended(name, self.now)
            elif name in silent:
                self.store.claimant_ended(name, self.now, certain=False)

    # What becomes of a post

    def _sent(self, due: Post, *, late: bool = False) -> Posted:
        self.messages += 1
        posted = Posted(_place(due), str(self.messages))
        assert late or not self._prompt(due.notice.id), "posted twice"
        self.slack[posted] = due.notice.id
        if late:
            self.late.add(posted)
        return posted

    def _prompt(self, notice_id: str) -> list[Posted]:
        """The messages of a notice that were sent in time."""
        return [posted for posted, sent in self.slack.items() if sent == notice_id and posted not in self.late]

    def _answered(self, due: Post, posted: Posted) -> None:
        version = due.card.version if isinstance(due, PostCard) else 0
        if not self.store.delivered(due.notice.id, posted, version, self.now):
            self._close(posted)

    def _close(self, posted: Posted) -> None:
        (known,) = self.store.posted_notices([self.slack[posted]]).values()
        assert any(other in self.slack for other in known.known - {posted}), "the only message of a notice was closed"
        others = {other for other, sent in self.slack.items() if sent == self.slack[posted]}
        assert others & self.late, "a duplicate without a late message"
        self.closed[posted] = self.slack.pop(posted)

    def _put_off(self, process: Process, place: str, *, unknown: bool, tried: Tried = Tried.POST) -> None:
        call = process.calls.pop(place)
        until = self.now + timedelta(seconds=5)
        self.store.put_off(call.due.notice.id, until, "no", claimant=process.name, unknown=unknown, tried=tried)

    def _no_answer(self, process: Process, place: str) -> None:
        """A call that was not begun is known to have sent nothing."""
        checked = process.calls[place].checked
        self._put_off(process, place, unknown=checked, tried=Tried.POST if checked else Tried.NOTHING)

    def _summary(self, unseen: Unseen) -> Notice:
        which = ",".join(str(alert.id) for alert in unseen.alerts)
        sent = ops(f"unseen: {which}", now=self.now, channel=unseen.channel)
        self.decided.add(sent.id)
        return sent

    # Invariants, always and at the end

    @invariant()
    def one_process_at_a_time_posts_in_a_channel(self) -> None:
        """But for one whose notice a late answer has settled meanwhile."""
        if not hasattr(self, "store"):
            return
        calls = [
            (place, call.due.notice.id)
            for process in self.processes
            for place, call in process.calls.items()
            if self.now <= call.since + GIVES_UP
        ]
        known = self.store.posted_notices([notice_id for _, notice_id in calls])
        places = [place for place, notice_id in calls if known[notice_id].state is NoticeState.WAITING]
        assert len(places) == len(set(places))

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        if not hasattr(self, "store"):
            return
        entries = self._entries()
        assert self.decided <= set(entries)
        sent = set(self.slack.values())
        for entry in entries.values():
            if entry.state is NoticeState.DELIVERED:
                assert entry.posted in self.slack
                assert self.recorded.setdefault(entry.notice.id, entry.posted) == entry.posted
            if entry.notice.id in sent and entry.state is NoticeState.WAITING:
                claimed = entry.intent_at is not None
                assert claimed or all(posted in self.late for posted in self._messages(entry.notice.id))

    def _messages(self, notice_id: str) -> list[Posted]:
        return [posted for posted, sent in self.slack.items() if sent == notice_id]

    def _entries(self) -> dict[str, LedgerEntry]:
        with self.store._db.read() as conn:
            last = conn.execute("SELECT COALESCE(max(id), 0) FROM alerts").fetchone()[0]
        found = [*self.store.notices_of(None)]
        for alert_id in range(1, last + 1):
            found += self.store.notices_of(alert_id)
        return {entry.notice.id: entry for entry in found}

    def settle(self) -> None:
        """All go on, and one delivers what is left. An audit closes what nobody heard of: then each has one message."""
        for who in range(PROCESSES):
            self.resume(who, dies=False)
            self.hear(who)
        self._wait(30)
        last = self._new()
        for _ in range(300):
            self._wait(2)
            for name in self.store.claimants():
                self.store.claimant_ended(name, self.now)
            due = [each for each in self.store.due(self.now, claimant=last.name) if not isinstance(each, EditCard)]
            for each in due:
                self._claim(last, each)
            for place, call in list(last.calls.items()):
                self._send(last, place, call, "lands")
            if not self.store.totals().waiting:
                break
        assert self.store.totals().waiting == 0
        self._audit()
        for entry in self._entries().values():
            messages = self._messages(entry.notice.id)
            assert len(messages) <= 1
            if messages and entry.state is NoticeState.DELIVERED:
                assert messages == [entry.posted]

    def _audit(self) -> None:
        self._wait(600)
        possible = [each.notice_id for each in self.store.possible_duplicates(self.now)]
        known = self.store.posted_notices(possible)
        for posted, sent in list(self.slack.items()):
            if sent in known and known[sent].state is NoticeState.DELIVERED and posted not in known[sent].known:
                self._close(posted)
        self.store.forget_possible_duplicates(possible)


def _place(due: Post) -> str:
    return due.notice.channel if isinstance(due, PostOps) else due.card.channel


Claimants.TestCase.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestClaimants = Claimants.TestCase
