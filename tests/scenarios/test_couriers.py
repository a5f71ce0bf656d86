"""Several couriers on one PostgreSQL database, with a Slack that is slow: as one courier would deliver."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from typing import Any

import pytest

from alertbot.alerts.alert import Alert
from alertbot.alerts.notice import Notice
from alertbot.charts.series import Series
from alertbot.clock import Clock, wall_clock
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level, RuleSet
from alertbot.service.courier import Courier
from alertbot.service.pictures import CardPictures
from alertbot.service.process import name_of_poller
from alertbot.service.signal import ThreadSignal
from alertbot.slack.client import Contact
from alertbot.slack.notifier import SlackNotifier
from alertbot.store.postgres.store import PostgresStore
from alertbot.store.sql.edits import REFRESHES_A_MINUTE
from tests.commands.kit import WAIT, column, snapshot
from tests.service.bot import until
from tests.slack.slack_server import DROP_AFTER, TOKEN, SlackServer, slack_server
from tests.slack.test_pictures import Quick
from tests.store import postgres
from tests.store.build import T0, begins, ends, firing, new_value, notice, one, ops, poll, post, posts, rises

COURIERS = 3
PLACES = {"C0ALERTS": ("#cc-alerts", "C0ALERTS"), "C0SALES": ("#cc-sales",), "C0CCOPS": ("#cc-ops", "C0CCOPS")}
"""Channels by id, with the names under which notices are addressed to them."""
EACH = 5
"""Cards in each channel."""


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    """Some answers take longer than a channel rests; a second message in a channel within a second is refused."""
    wait = random.Random(7)
    with slack_server() as made:
        made.pause = lambda: wait.choice((0.1, 0.3, 1.7))
        made.clock, made.one_a_second = time.time, True
        yield made


@pytest.fixture
def address() -> Iterator[str]:
    postgres.run("CREATE DATABASE couriers")
    yield postgres.address_of("couriers")
    postgres.run("DROP DATABASE couriers WITH (FORCE)")


def courier(address: str, slack: SlackServer, open_: ExitStack, clock: Clock = wall_clock) -> Courier:
    """One that works as in a process of its own: store, notifier and name are its own."""
    store = open_.enter_context(closing(PostgresStore(address)))
    made = Courier(
        store,
        SlackNotifier(TOKEN, api_url=slack.api_url, contact=Contact(clock)),
        clock,
        ThreadSignal(),
        threading.Event(),
        claimant=name_of_poller(),
        fallback_channel="#cc-alerts",
        ops_channel="#cc-ops",
        timezone="UTC",
    )
    open_.callback(made.stop, 15.0)
    return made


def fill(store: PostgresStore) -> dict[str, list[Notice]]:
    """Cards of all levels and ops notices in each channel; by its id, in the order in which they are to be posted."""
    now = wall_clock() - timedelta(seconds=60)
    notices: dict[str, list[Notice]] = {}
    levels = [Level.INFO, Level.WARNING, Level.CRITICAL]
    number = 0
    for channel_id, names in PLACES.items():
        alerts: list[Alert] = []
        for _ in range(EACH):
            number += 1
            alerts.append(firing(str(number), level=levels[number % 3]))
        found = [
            notice(alert, channel=names[place % len(names)], now=now + timedelta(seconds=place))
            for place, alert in enumerate(alerts)
        ]
        store.record(poll([begins(alert) for alert in alerts], found, now=now))
        told = ops(f"told in {channel_id}", channel=names[0], now=now + timedelta(seconds=EACH))
        store.add_notices([told])
        notices[channel_id] = sorted([*found, told], key=lambda each: (-each.level, each.at))
    return notices


def headline(text: str) -> int:
    """The state that a card shows, as a number that rises while its alert lasts."""
    return next(rank for rank, word in enumerate(("Info", "Warning", "Critical", "Resolved")) if word in text[:20])


def test_as_one_courier_would_deliver(address: str, slack: SlackServer) -> None:
    """Each notice once, in the order of its channel, at most one a second; and no card shows an older state again."""
    with ExitStack() as open_:
        store = open_.enter_context(closing(PostgresStore(address)))
        with store._db.write() as conn:  # answers have named the ids before, so both names of a channel are one place
            for channel_id, names in PLACES.items():
                for name in names:
                    conn.execute("INSERT INTO channels (channel, channel_id) VALUES (?, ?)", (name, channel_id))
        notices = fill(store)
        couriers = [courier(address, slack, open_) for _ in range(COURIERS)]
        for each in couriers:
            each.start()
        until("every notice is posted", lambda: not store.totals().waiting, within=120)
        worse = [rises(alert, wall_clock()) for alert in store.alerts() if alert.level is not Level.CRITICAL]
        store.record(poll(worse, now=wall_clock()))
        until("some cards show that", lambda: len(slack.called("chat.update")) > 2, within=60)
        store.record(poll([ends(alert, wall_clock()) for alert in store.alerts()], now=wall_clock()))
        until("every card shows the end", lambda: not store.due(wall_clock() + timedelta(minutes=2)), within=120)
    assert sum(each.notified for each in couriers) == len(PLACES) * (EACH + 1)
    assert sum(each.notified > 0 for each in couriers) > 1  # they did share the work
    posted = {
        channel_id: [message["metadata"]["event_payload"]["notice_id"] for message in slack.messages[channel_id]]
        for channel_id in PLACES
    }
    assert Counter(chain(*posted.values())) == Counter(each.id for each in chain(*notices.values()))
    assert slack.refused == 0
    for channel_id, found in notices.items():
        assert posted[channel_id] == [each.id for each in found]
    shown: dict[str, list[int]] = {}
    for edit in slack.called("chat.update"):
        shown.setdefault(str(edit["ts"]), []).append(headline(str(edit["text"])))
    assert len(shown) == len(PLACES) * EACH
    for states in shown.values():
        assert states == sorted(states)
        assert states[-1] == 3


CARDS = 90
"""Open cards, as many in each channel."""


def open_cards(store: PostgresStore, slack: SlackServer) -> list[Alert]:
    """Cards that are posted, in each channel."""
    begun = [firing(str(number)) for number in range(CARDS)]
    places = {alert.key: list(PLACES.items())[number % len(PLACES)] for number, alert in enumerate(begun)}
    notices = [notice(alert, channel=places[alert.key][1][0]) for alert in begun]
    store.record(poll([begins(alert) for alert in begun], notices))
    now = T0
    while due := posts(store, now):
        for each in due:
            channel_id = next(id_ for id_, names in PLACES.items() if each.notice.channel in names)
            posted = post(store, each, now, channel_id=channel_id)
            slack.messages[channel_id].append({"ts": posted.ts, "text": "open", "bot_id": "B0BOT"})
        now += timedelta(seconds=1)
    return [one(store, alert) for alert in begun]


def test_edits_of_all_workers_stay_within_slacks_limit(address: str) -> None:
    """In any minute, with what takes effect while its answer is lost; and ends come before values that changed."""
    now = T0 + timedelta(minutes=5)
    ended_after: list[float] = []
    with slack_server() as slack, ExitStack() as open_, ThreadPoolExecutor(COURIERS) as pool:
        store = open_.enter_context(closing(PostgresStore(address)))
        alerts = open_cards(store, slack)
        slack.clock = slack.date = lambda: now.timestamp()
        slack.edits_a_minute = 50
        couriers = [courier(address, slack, open_, lambda: now) for _ in range(COURIERS)]

        def for_seconds(seconds: int) -> None:
            nonlocal now
            for _ in range(seconds):
                list(pool.map(lambda each: each.deliver_due(), couriers))
                now += timedelta(seconds=1)

        def closed() -> int:
            return sum(str(edit["text"]).startswith("Resolved") for edit in slack.called("chat.update"))

        store.record(poll([new_value(alert, 90_000.0, now) for alert in alerts], now=now))
        for_seconds(30)
        assert 0 < len(slack.called("chat.update")) <= REFRESHES_A_MINUTE
        few = [each for each in alerts if int(each.key.entity_id) < 9]
        began = now
        store.record(poll([ends(one(store, alert), now) for alert in few], now=now))
        while closed() < len(few):
            for_seconds(1)
            ended_after.append((now - began).total_seconds())
        slack.always = {("chat.update", place): DROP_AFTER for place in PLACES}
        store.record(poll([ends(alert, now) for alert in store.alerts()], now=now))
        for_seconds(20)
        slack.always.clear()
        while any(due := store.due(now + timedelta(minutes=2))):
            assert now < began + timedelta(minutes=10), due
            for_seconds(1)
        assert slack.refused == 0
        shown = {(edit["channel"], edit["ts"]): str(edit["text"]) for edit in slack.called("chat.update")}
    assert ended_after[-1] <= 2
    assert len(shown) == CARDS
    assert all(text.startswith("Resolved") for text in shown.values())


def test_a_picture_is_drawn_by_one_worker(address: str) -> None:
    """While one draws, others do not; each draws what another one does not."""
    now = T0
    drawn: list[str] = []
    meeting, met = threading.Barrier(COURIERS, timeout=30), threading.local()

    class Drawing(Quick):
        """It takes until every other worker draws too, or has found nothing to draw."""

        def draw(self, series: Series, zone: Any) -> bytes:
            drawn.append(series.name)
            met.already = True
            meeting.wait()
            return super().draw(series, zone)

    with slack_server() as slack, ExitStack() as open_, ThreadPoolExecutor(COURIERS) as pool:
        slack.clock = slack.date = lambda: now.timestamp()
        stores = [open_.enter_context(closing(PostgresStore(address))) for _ in range(COURIERS)]
        store = stores[0]
        for age in (60, 45, 30, 15):
            seen = replace(snapshot(Scope.QUEUE, {"1": "One", "2": "Two"}, {WAIT: column(age * 1000.0, 9.0)}))
            at = now - timedelta(seconds=age)
            store.record(replace(poll(now=at), snapshots={Scope.QUEUE: replace(seen, at=at)}))
        for entity in ("1", "2"):
            alert = firing(entity, entity_name=f"Queue {entity}")
            store.record(poll([begins(alert)], [notice(alert, channel="#cc-alerts", now=now)], now=now))
            (due,) = posts(store, now)
            posted = post(store, due, now, channel_id="C0ALERTS")
            slack.messages["C0ALERTS"].append({"ts": posted.ts, "text": "open", "bot_id": "B0BOT"})
            now += timedelta(seconds=2)
        pictures = [
            CardPictures(
                each,
                SlackNotifier(TOKEN, api_url=slack.api_url, contact=Contact(lambda: now)),
                lambda: now,
                threading.Event(),
                lambda _: RuleSet(()),
                claimant=f"worker {number}",
                reachable=lambda: True,
                timezone="UTC",
                painter=Drawing(),
            )
            for number, each in enumerate(stores)
        ]

        def turn(each: CardPictures) -> None:
            met.already = False
            each.post_next()
            if not met.already:
                meeting.wait()

        for _ in range(4):
            list(pool.map(turn, pictures))
            now += timedelta(seconds=2)
        uploads = len(slack.files)
    assert (sorted(drawn), uploads) == (["Queue 1", "Queue 2"], 2)
