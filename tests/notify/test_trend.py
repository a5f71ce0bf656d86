"""The trend on a card as it is delivered: read from the recording when the card is drawn, and never needed for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from alertbot.alerts.alert import Change, Fingerprint, Reason, State
from alertbot.alerts.cards import escalation, of_rule
from alertbot.alerts.notice import NoticeKind
from alertbot.evaluation.snapshot import Column, Snapshot
from alertbot.feed.health import Feed
from alertbot.rules.catalogue import Scope
from alertbot.store.records import PollRecord
from tests.notify.cases import FIRING, notice
from tests.notify.world import World, world


@pytest.fixture
def there(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


TREND = "Last 8 min: ▁▂▃▃▄▅▅▆▇▇██ 0s to 2m 10s"
WAIT = "interactionsLongestWaitInQueue.rt"


def recorded(there: World, entity: str = "103") -> None:
    """Eight minutes of polls, in which the longest wait of one queue grows from 0 to 2m 10s."""
    start = there.now
    for place in range(17):
        there.now = start + timedelta(seconds=30 * place)
        values = np.array([place / 16 * 130_000.0, 9_000.0])
        columns = {WAIT: Column(values, np.zeros(2, dtype=np.uint8))}
        seen = Snapshot(Scope.QUEUE, there.now, (entity, "9"), ("Queue", "Other"), columns)
        there.store.record(PollRecord("acme", there.now, Feed("acme"), snapshots={Scope.QUEUE: seen}))
    there.later(1)


def bodies(there: World, channel: str = "cc-alerts") -> list[str]:
    return [str(message["blocks"][1]["text"]["text"]) for message in there.slack.top(channel)]


def test_a_card_shows_the_trend_of_its_figure(there: World) -> None:
    """When it is posted and when it is edited, until it is resolved; the text for notifications has nothing of it."""
    recorded(there)
    there.fire()
    there.settle()
    assert bodies(there)[0].splitlines()[-1] == TREND
    assert not set(there.slack.top()[0]["text"]) & set("▁▂▃▄▅▆▇█")
    alert = there.alert()
    assert alert.id is not None
    there.store.acknowledge(alert.id, "U0ALICE00", "", there.later(120).now)
    there.settle()
    assert bodies(there)[0].splitlines()[-1].startswith("Last 10 min: ▁")
    there.resolve()
    there.settle()
    assert "Last " not in bodies(there)[0]
    assert "Resolved after" in bodies(there)[0]


def test_cards_without_a_trend(there: World) -> None:
    """Of a queue that is not recorded, of an alert about a feed, and the message of an escalation."""
    recorded(there)
    there.fire("104")
    feed = replace(FIRING, id=None, key=Fingerprint("acme", "feed-stale", Scope.FEED, "", "103"))
    there.record(Change(None, feed, Reason.FIRED, "no data"), notice(alert=feed, at=there.now))
    there.settle()
    assert ["Last " in body for body in bodies(there)] == [False, False]
    alert = there.fire()
    there.settle()
    assert alert.id is not None
    group = escalation(alert.id, timedelta(minutes=10))
    step = notice(Reason.ESCALATED, alert=alert, at=there.now, kind=NoticeKind.CARD, group=group)
    there.record(Change(alert, alert, Reason.ESCALATED, "it lasts"), step)
    there.settle()
    assert ["Last " in body for body in bodies(there)] == [False, False, True, False]


def test_a_card_of_several_has_no_trend(there: World) -> None:
    """Only when one of them is left: then the card is about that one."""
    recorded(there)
    group = of_rule("longest-wait")
    for entity_id in ("103", "9"):
        alert = replace(FIRING, id=None, key=FIRING.key._replace(entity_id=entity_id), entity_name=f"Queue {entity_id}")
        there.record(Change(None, alert, Reason.FIRED, "it holds"), notice(alert=alert, at=there.now, group=group))
        there.settle()
    (body,) = bodies(there)
    assert "2 queues" in body
    assert "Last " not in body
    gone = {"state": State.INACTIVE, "ended_at": there.now, "end_reason": Reason.RESOLVED}
    before = there.alert("9")
    there.record(Change(before, replace(before, **gone), Reason.RESOLVED, "it is clear"))
    there.later(60).settle()
    (body,) = bodies(there)
    assert "Last 10 min: ▁" in body


def test_a_recording_that_cannot_be_read_stops_no_card(there: World, caplog: pytest.LogCaptureFixture) -> None:
    """The card is posted without its trend, and the log says why."""
    recorded(there)
    with closing(sqlite3.connect(there.path)) as conn:
        conn.execute("UPDATE recorded_polls SET packed = x'00'")
        conn.commit()
    there.fire()
    there.settle()
    assert there.slack.top()[0]["blocks"][0]["text"]["text"] == "🔴 Critical: Queue 103 — Longest wait in queue"
    assert "Last " not in bodies(there)[0]
    assert "a card is sent without its trend: the recording of queue at" in caplog.text
    assert there.store.totals().cards_posted == 1
