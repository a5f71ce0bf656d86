"""A worker that is paused just before its request sends a message that another one has sent by then: it is closed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from alertbot.alerts.alert import Reason
from alertbot.alerts.audit import AuditKind
from alertbot.alerts.cards import Posted
from alertbot.service.auditor import Auditor
from alertbot.service.courier import Courier
from alertbot.service.signal import ThreadSignal
from alertbot.slack.client import Contact
from alertbot.slack.notifier import DUPLICATE, DUPLICATE_CARD, SlackNotifier
from alertbot.store.postgres.store import PostgresStore
from alertbot.store.records import NoticeState
from alertbot.web.metrics import Metrics
from tests.slack.slack_server import DROP_AFTER, TOKEN, SlackServer, limited, slack_server
from tests.store import postgres
from tests.store.build import T0, begins, firing, line, notice, one, ops, poll

PAUSED, OTHER = "the paused worker", "the other worker"


class Pausing(SlackNotifier):
    """Of a process that is paused between the check of its claim and its request; `meanwhile` is what happens then."""

    meanwhile: Callable[[], None] | None = None

    def _post(self, message: Any, before_send: Callable[[], None], **more: Any) -> Posted:
        def check_and_pause() -> None:
            before_send()
            meanwhile, self.meanwhile = self.meanwhile, None
            if meanwhile is not None:
                meanwhile()

        return super()._post(message, check_and_pause, **more)


@dataclass
class Two:
    """Two workers on one database, with one Slack. Time moves only when a test moves it."""

    address: str
    slack: SlackServer
    open_: ExitStack
    now: Any = T0
    metrics: dict[str, Metrics] = field(default_factory=dict)
    store: PostgresStore = field(init=False)
    notifier: Pausing = field(init=False)
    paused: Courier = field(init=False)
    other: Courier = field(init=False)
    auditor: Auditor = field(init=False)

    def __post_init__(self) -> None:
        self.slack.clock = self.slack.date = lambda: self.now.timestamp()
        self.store = self._store()
        self.notifier = self._notifier()
        self.paused = self._courier(PAUSED, self.notifier, silent=False)
        self.other = self._courier(OTHER, self._notifier(), silent=True)
        self.auditor = Auditor(
            self.store,
            self._notifier(),
            lambda: self.now,
            ThreadSignal(),
            self.metrics.setdefault("audit", Metrics()),
            claimant=OTHER,
            ops_channel="#cc-ops",
            timezone="UTC",
            show_tenant=False,
            slack_problem=lambda: "",
        )

    def _store(self) -> PostgresStore:
        return self.open_.enter_context(closing(PostgresStore(self.address)))

    def _notifier(self) -> Pausing:
        return Pausing(TOKEN, api_url=self.slack.api_url, contact=Contact(lambda: self.now))

    def _courier(self, name: str, notifier: SlackNotifier, *, silent: bool) -> Courier:
        """`silent`: it has not heard of the others for a while."""
        return Courier(
            self._store(),
            notifier,
            lambda: self.now,
            ThreadSignal(),
            threading.Event(),
            claimant=name,
            fallback_channel="#cc-alerts",
            ops_channel="#cc-ops",
            timezone="UTC",
            metrics=self.metrics.setdefault(name, Metrics()),
            is_gone=lambda _: False,
            is_silent=lambda _: silent,
        )

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def sent_by_the_other(self) -> None:
        """The other worker gives up the claim of the paused one, looks for its message in vain, and sends it."""
        self.later(12)
        self.other.deliver_due()
        self.later(6)
        self.other.deliver_due()
        assert self.other.notified == 1

    def audit(self, after: float) -> tuple[list[AuditKind], list[str]]:
        """What an audit finds `after` seconds later, and its calls."""
        self.later(after)
        self.slack.calls.clear()
        found = [finding.kind for finding in self.auditor.run()]
        return found, [method for method, _ in self.slack.calls if method != "auth.test"]

    def counted(self, name: str) -> dict[tuple[str, str], float]:
        """How often a worker counted each outcome of a notice, by kind."""
        samples = [sample for family in self.metrics[name]._notices.collect() for sample in family.samples]
        return {
            (sample.labels["kind"], sample.labels["outcome"]): sample.value
            for sample in samples
            if sample.name.endswith("_total") and sample.value
        }


@pytest.fixture
def two() -> Iterator[Two]:
    postgres.run("CREATE DATABASE duplicates")
    with slack_server() as slack:
        with ExitStack() as open_:
            yield Two(postgres.address_of("duplicates"), slack, open_)
        slack.go_on.set()
    postgres.run("DROP DATABASE duplicates WITH (FORCE)")


def card_due(two: Two) -> tuple[str, int | None]:
    """The card of an alert; its kind, and which alert the ledger has it under."""
    two.store.record(poll([begins(firing())], [notice(firing(), now=two.now, channel="#cc-alerts")], now=two.now))
    return "card", one(two.store, firing()).id


def line_due(two: Two) -> tuple[str, int | None]:
    """A line in the thread of a card that is posted."""
    card_due(two)
    two.other.deliver_due()
    two.other.notified = 0
    two.later(60)
    alert = one(two.store, firing())
    two.store.record(poll([], [line(alert, Reason.REMINDER, now=two.now, channel="#cc-alerts")], now=two.now))
    return "line", alert.id


def ops_due(two: Two) -> tuple[str, int | None]:
    """An operational message, in a channel without cards."""
    two.store.add_notices([ops("a template is broken", now=two.now, channel="#cc-ops")])
    return "ops", None


KINDS = {"card": (card_due, "cc-alerts"), "line": (line_due, "cc-alerts"), "ops": (ops_due, "cc-ops")}


def messages(two: Two, kind: str, channel: str) -> list[dict[str, Any]]:
    """Those of the notice that is sent twice, in the order in which they were sent."""
    sent = two.slack.messages[two.slack.channels[channel]]
    return [message for message in sent if bool(message.get("thread_ts")) is (kind == "line")]


@pytest.mark.parametrize(("due", "channel"), KINDS.values(), ids=KINDS)
def test_the_late_answer_shows_the_duplicate(two: Two, due: Callable[[Two], tuple[str, int]], channel: str) -> None:
    """The worker that holds it closes its own message at once, and counts it; the audit looks once more."""
    kind, alert_id = due(two)
    two.notifier.meanwhile = two.sent_by_the_other
    two.slack.calls.clear()
    two.paused.deliver_due()
    kept, closed = messages(two, kind, channel)
    assert closed["text"] == (DUPLICATE_CARD if kind == "card" else DUPLICATE)
    assert closed["metadata"] == {}
    assert [edit["ts"] for edit in two.slack.called("chat.update")] == [closed["ts"]]
    entry = two.store.notices_of(alert_id)[-1]
    assert (entry.state, entry.posted) == (NoticeState.DELIVERED, Posted(two.slack.channels[channel], kept["ts"]))
    assert two.counted(PAUSED) == {(kind, "duplicate"): 1}
    assert two.counted(OTHER)[kind, "delivered"] == 1
    assert two.paused.notified == 0
    found, calls = two.audit(after=400)
    assert found == []
    looked = "conversations.replies" if kind == "line" else "conversations.history"
    assert calls.count(looked) == 1 + (kind == "card")
    assert two.audit(after=600)[1] == ["conversations.history"] * (kind != "ops")


FAILURES = {
    "the worker never hears the answer": ("chat.postMessage", DROP_AFTER),
    "the message cannot be edited": ("chat.update", limited("5")),
}


@pytest.mark.parametrize(("method", "fault"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize(("due", "channel"), KINDS.values(), ids=KINDS)
def test_an_audit_closes_what_the_worker_could_not(
    two: Two, due: Callable[[Two], tuple[str, int]], channel: str, method: str, fault: Any
) -> None:
    """It reads the place of this message, once: a thread, or a channel, also one without open cards."""
    kind, _ = due(two)

    def meanwhile() -> None:
        two.sent_by_the_other()
        two.slack.next(method, fault)

    two.notifier.meanwhile = meanwhile
    two.paused.deliver_due()
    first, second = messages(two, kind, channel)
    assert first["text"] == second["text"]
    found, calls = two.audit(after=400)
    assert found == [AuditKind.MESSAGE_DUPLICATE]
    assert calls[:2] == ["conversations.replies" if kind == "line" else "conversations.history", "chat.update"]
    kept, closed = messages(two, kind, channel)
    assert kept == first
    assert closed["text"] == (DUPLICATE_CARD if kind == "card" else DUPLICATE)
    assert two.audit(after=600) == ([], ["conversations.history"] * (kind != "ops"))


def test_a_message_that_was_found_is_no_duplicate(two: Two) -> None:
    """The paused worker had sent it: the other one finds it, and the late answer is about the same message."""
    line_due(two)
    posted: list[Posted] = []
    send = two.notifier._send

    def paused_after(*args: Any) -> Posted:
        posted.append(send(*args))
        two.later(12)
        two.other.deliver_due()
        two.later(6)
        two.other.deliver_due()
        return posted[0]

    two.notifier._send = paused_after  # type: ignore[method-assign]
    two.paused.deliver_due()
    (kept,) = messages(two, "line", "cc-alerts")
    assert kept["ts"] == posted[0].ts
    assert two.counted(OTHER)["line", "adopted"] == 1
    assert two.counted(PAUSED) == {("line", "delivered"): 1}
    assert two.audit(after=400) == ([], ["conversations.replies", "conversations.history"])
