"""The end of a run with kills: wait until nothing is left to be sent, then compare Slack with the ledger.

Used by benchmarks.kills (one process, SQLite) and benchmarks.fleet (several workers, PostgreSQL).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from alertbot.errors import StoreError
from alertbot.store.records import NoticeState
from alertbot.store.sql.store import SqlStore
from tests.slack.slack_server import SlackServer

_LATER = timedelta(hours=1)
"""What is due within this time is left: longer than any delay after a refusal."""

Message = dict[str, Any]


@dataclass
class Standing:
    """What is in Slack, compared with what was decided."""

    notices: int
    messages: int
    cards: list[Message]
    """Messages in channels, without those that are no cards."""
    lost: list[str] = field(default_factory=list)
    doubled: dict[str, list[Message]] = field(default_factory=dict)
    """By notice, its messages where there are several."""

    def out_of_date(self, but: frozenset[str] = frozenset()) -> list[str]:
        """Cards that do not show their end, except those of the notices `but`."""
        return [
            f"{notice_of(card)} at {card['ts']}: {card['text']}"
            for card in self.cards
            if notice_of(card) not in but and "Resolved" not in card["text"]
        ]


def settle(store: SqlStore, within: float, ended: Callable[[], bool] = lambda: True) -> list[str]:
    """Wait until nothing waits for Slack and `ended` is true. What is left after `within` seconds, or an empty list."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        with suppress(StoreError):
            if ended() and not store.totals().waiting and not store.due(datetime.now(UTC) + _LATER):
                return []
        time.sleep(0.2)
    now = datetime.now(UTC)
    due = [f"due: {each}"[:300] for each in store.due(now + _LATER)]
    return [*due, f"{store.totals().waiting} notices wait: {store.totals().waiting_for or 'no reason known'}"]


def compare(store: SqlStore, slack: SlackServer) -> Standing:
    """What is in Slack now, compared with the ledger."""
    with store._db.read() as conn:
        (last,) = conn.execute("SELECT COALESCE(MAX(id), 0) FROM alerts").fetchone() or (0,)
    plain = store.notices_of(None)
    entries = [*plain, *(entry for number in range(1, last + 1) for entry in store.notices_of(number))]
    messages = [message for stored in slack.messages.values() for message in stored]
    stands: dict[str, list[Message]] = {}
    for message in messages:
        stands.setdefault(notice_of(message), []).append(message)
    # One that was edited as plain text has no attachments any more.
    operational = {entry.notice.id for entry in plain}
    cards = [each for each in messages if not each.get("thread_ts") and notice_of(each) not in operational]

    shown = (NoticeState.DELIVERED, NoticeState.SHOWN_BY_CARD)
    lost = [f"{entry.notice.id} is {entry.state}: {entry}" for entry in entries if entry.state not in shown]
    # What began and ended while it waited is in one message for the channel, which carries its notices.
    lost += [
        f"{entry.notice.id} is in no channel: {entry}"
        for entry in entries
        if entry.state is NoticeState.DELIVERED and (entry.notice.lead or entry.notice.id) not in stands
    ]
    doubled = {notice: each for notice, each in stands.items() if len(each) > 1}
    return Standing(len(entries), len(messages), cards, lost, doubled)


def notice_of(message: Message) -> str:
    """The notice that a message was posted for."""
    return str(message["metadata"]["event_payload"]["notice_id"])
