"""A day under SIGKILL: a process of the service is killed at every write and every network call of a scripted day.

`python -m benchmarks.day` kills at each point in turn, one point a run; `--random 200 --seed 1` kills at random times
instead, many times a run. The service is a real process: its own poller and courier, 8x8 and Slack over HTTP, SQLite
with `synchronous=FULL`. A point is before or after each commit, before each HTTP request, and after the head of each
answer: then the other side did what was asked, and nobody here knows. Which points there are is counted in a run
without kills. After a kill the next process starts on the same database, and the day continues.

Time is a number that this program sets, so a day takes a second. At the end what stands in Slack is compared with
`tests/proof/model.py`: 0 lost, 0 doubled, every card up to date. The exit status is 1 otherwise. Pictures in the
threads of cards are uploaded and posted as usual, but not drawn by matplotlib, which would take seconds for each. A
kill may cost one of them, and none is there twice.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import multiprocessing
import os
import random
import signal
import socketserver
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import tzinfo
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from alertbot import logs
from alertbot.charts.png import Painter
from alertbot.charts.series import Series
from alertbot.config.settings import Settings
from alertbot.service.app import build
from alertbot.store.records import LedgerEntry, NoticeState
from alertbot.store.sqlite.store import SqliteStore
from tests.proof.model import Model
from tests.proof.shapes import Report, Silence, Watch
from tests.proof.silence_model import Announcement, SilenceModel
from tests.proof.world import METRIC, at, make_silence, rule_file, the_announcement, the_report
from tests.slack.slack_server import TOKEN, SlackServer, slack_server
from tests.sources.standin import StandIn, entity, listing

EVERY = 15  # seconds between polls
SECRETS = {"api_key": "no-secret", "api_secret": "no-secret-either"}

WATCHES = (
    Watch(
        "wait",
        holds=(15, 0),
        clear=40,
        keep=15,
        channels=(("#cc-alerts",), ("#cc-alerts", "#cc-sales")),
        covers=("q1", "q2", "q3", "q4"),
        remind=(60, 120),
        escalate=((75, ("#cc-floor",)), (120, ())),
    ),
    Watch("storm", channels=(("#cc-floor",), ()), covers=tuple(f"s{n}" for n in range(1, 13))),
)
# What each queue shows, poll by poll; the last number stays.
VALUES: Mapping[str, Sequence[int]] = {
    "q1": [10, 70, 70, 70, 130, 130, 70, 70, 30, 30, 30, 70, 70, 70, *[10] * 8],
    "q2": [10, *[130] * 14, 10],
    "q3": [*[10] * 6, *[70] * 10, 10],
    "q4": [*[10] * 2, *[70] * 20, 10],
    **{f"s{n}": [*[10] * (4 + n // 10), *[70] * (8 + n % 3), 10] for n in range(1, 13)},
}
POLLS = 26
# What users do after a poll: to the alert of a queue, or a silence for it.
ACTIONS: Mapping[int, Sequence[tuple[str, str]]] = {
    1: [("silence", "q4")],
    5: [("silence", "q3"), ("silence", "q1")],
    9: [("ack", "q2")],
    12: [("unack", "q2"), ("unsilence", "q3")],
    14: [("ack", "q3"), ("resolve", "q2")],
}
SILENCED_S = 150


# The process that is killed.


class Blank(Painter):
    """Draws nothing, at once."""

    problem = ""

    def draw(self, series: Series, zone: tzinfo) -> bytes:
        return b"\x89PNG\r\n\x1a\n"


@dataclass
class Fuse:
    """Ends this process at point number `at`, counted from 1; 0: never. Every point is written to `log`."""

    at: int
    log: int
    count: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def point(self, what: str) -> None:
        number = next(self.count)
        os.write(self.log, f"{what}\n".encode())
        if number == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Around every commit and every request of this process, in any of its threads."""
        fuse = self

        class Counted(sqlite3.Connection):
            stored = 0  # changes up to the last commit

            def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
                if sql != "COMMIT" or self.stored == self.total_changes:  # the end of a transaction that only read
                    return super().execute(sql, *args)
                fuse.point("before a commit")
                done = super().execute(sql, *args)
                self.stored = self.total_changes
                fuse.point("after a commit")
                return done

        connect, send, begin = sqlite3.connect, http.client.HTTPConnection.endheaders, http.client.HTTPResponse.begin

        def counted(*args: Any, **named: Any) -> sqlite3.Connection:
            made: sqlite3.Connection = connect(*args, **{"factory": Counted, **named})
            return made

        def sending(self: http.client.HTTPConnection, *args: Any, **named: Any) -> None:
            fuse.point("before a request")
            send(self, *args, **named)

        def answered(self: http.client.HTTPResponse) -> None:
            begin(self)
            fuse.point("after an answer")

        for where, name, put in (
            (sqlite3, "connect", counted),
            (http.client.HTTPConnection, "endheaders", sending),
            (http.client.HTTPResponse, "begin", answered),
        ):
            setattr(where, name, put)


def serve(folder: str, clock: Any, orders: Connection, kill_at: int) -> None:
    """The service: a poll or a delivery at a time, when it is told to. It may end at any moment."""
    log = os.open(f"{folder}/points", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    Fuse(kill_at, log).install()
    settings = Settings.model_validate(json.loads(Path(folder, "settings.json").read_text()))
    logs.configure((), quiet=True)
    app = build(settings, clock=lambda: at(clock.value), painter=Blank())
    app.take_lease()
    assert app.pictures is not None, "it posts in Slack"
    while True:
        orders.send(None)
        match orders.recv():
            case "poll":
                app.poller.tick(app.tenants[0])
            case "picture":
                app.pictures.post_next()
            case _:
                app.courier.deliver_due()


# The day.


class Day:
    """One day, from an empty database; `kill_at`: the point at which the process is killed, once."""

    def __init__(self, folder: Path, slack: SlackServer, centre: StandIn, context: Any) -> None:
        self.folder, self.slack, self.context = folder, slack, context
        self.clock = context.Value("d", 0.0)
        self.number = 0  # of the poll
        self.kills = 0
        self.silences, self.expected = SilenceModel(), Counter[Report]()
        self.announced = Counter[Announcement]()
        self.model = Model(self.silences.silences, self.silences.started)
        self.model.watches = {watch.id: watch for watch in WATCHES}
        self.process: Any = None
        (folder / "rules").mkdir()
        (folder / "rules" / "rules.yaml").write_text(rule_file(WATCHES))
        slack.channels = {"cc-alerts": "C0ALERTS", "cc-sales": "C0SALES", "cc-floor": "C0FLOOR", "cc-ops": "C0OPS"}
        slack.channels[Silence.author] = "D0ALICE"
        slack.clock = slack.date = lambda: at(self.clock.value).timestamp()
        centre.routes["/queues"] = lambda _: listing(
            *(entity(each, f"Queue {each}", **{METRIC: value * 1000}) for each, value in self.values().items())
        )
        tenant = {"name": "acme", "base_url": centre.base_url, "token_url": centre.token_url, **SECRETS}
        settings = {
            "tenants": [tenant | {"max_requests_per_minute": 6000}],
            "slack": {
                "bot_token": TOKEN,
                "api_url": slack.api_url,
                "default_channel": "#cc-alerts",
                "ops_channel": "#cc-ops",
            },
            "rules": str(folder / "rules"),
            "storage": str(folder / "alertbot.db"),
        }
        (folder / "settings.json").write_text(json.dumps(settings))

    def values(self) -> dict[str, int]:
        return {each: course[min(self.number, len(course) - 1)] for each, course in VALUES.items()}

    def run(self, kill_at: int = 0, chance: random.Random | None = None, kills: int = 0) -> None:
        """The whole day; with `chance`, killed at random moments up to `kills` times."""
        self.start(kill_at)
        self.store = SqliteStore(self.folder / "alertbot.db", create=False)
        for self.number in range(POLLS):
            self.clock.value = float(self.number * EVERY)
            self.order("poll", chance, kills)
            values: dict[str, int | None] = {**self.values()}
            self.expected += self.model.turn(self.clock.value, values, blind=False)
            self.announced += self.silences.time(self.clock.value, self.model.channels_of)
            for what, queue in ACTIONS.get(self.number, ()):
                self.act(what, queue)
            for second in range(1, EVERY):
                self.clock.value = float(self.number * EVERY + second)
                if self.store.due(at(self.clock.value)):
                    self.order("deliver", chance, kills)
                elif self.store.picture_due(at(self.clock.value)) is not None:
                    self.order("picture", chance, kills)
        end = self.clock.value + 3600
        while self.clock.value < end and (self.store.totals().waiting or self.store.due(at(self.clock.value + 120))):
            self.clock.value += 1
            self.order("deliver", None, 0)
        self.process.kill()
        self.process.join()

    def start(self, kill_at: int = 0) -> None:
        self.orders, theirs = multiprocessing.Pipe()
        self.process = self.context.Process(target=serve, args=[str(self.folder), self.clock, theirs, kill_at])
        self.process.start()
        theirs.close()
        try:
            self.orders.recv()
        except EOFError:
            self.again()

    def again(self) -> None:
        """The process was killed: the next one starts."""
        self.process.join()
        assert self.process.exitcode == -signal.SIGKILL, "the service ended by itself"
        self.kills += 1
        self.start()

    def order(self, what: str, chance: random.Random | None, kills: int) -> None:
        """One order, given again to the next process where this one is killed meanwhile."""
        while True:
            try:
                self.orders.send(what)
                if chance is not None and self.kills < kills and chance.random() < 0.3:
                    time.sleep(chance.random() * 0.03)
                    with suppress(ProcessLookupError):  # it was killed after its last answer
                        os.kill(self.process.pid, signal.SIGKILL)
                self.orders.recv()
            except (EOFError, BrokenPipeError, ConnectionResetError):
                self.again()
            else:
                return

    def act(self, what: str, queue: str) -> None:
        """A user changes something, in another process than the service."""
        seconds, now = self.clock.value, at(self.clock.value)
        if what == "silence":
            silence = Silence(None, queue, None, seconds, seconds + SILENCED_S)
            number = make_silence(self.store, silence, now)
            self.announced += self.silences.create(number, silence, seconds, self.model.channels_of)
            return
        if what == "unsilence":
            (number,) = (each for each, silence in self.silences.silences.items() if silence.entity == queue)
            self.store.unsilence(number, self.silences.silences[number].author, now)
            self.announced += self.silences.end(number, self.model.channels_of)
            return
        (alert,) = (each for each in self.store.alerts() if each.key.entity_id == queue)
        assert alert.id is not None
        key = (alert.key.rule, queue)
        if what == "resolve":
            self.store.resolve(alert.id, "U0ALICE", "stuck", now)
            self.model.reports = Counter()
            self.model.close_by_hand(key)
            self.expected += self.model.reports
            return
        if what == "ack":
            self.store.acknowledge(alert.id, "U0ALICE", "", now)
        else:
            self.store.unacknowledge(alert.id, "U0ALICE", now)
        self.model.acknowledge(key, "U0ALICE" if what == "ack" else "", seconds)
        reason = "acknowledged" if what == "ack" else "unacknowledged"
        self.expected.update((*key, reason, channel) for channel in self.model.alerts[key].cards)

    # What stands in Slack.

    def wrong(self) -> list[str]:
        """What is lost, doubled or out of date, in sentences."""
        wrong: list[str] = []
        entries = self._ledger()
        messages = [message for stored in self.slack.messages.values() for message in stored]
        places = {message["ts"] for message in messages}
        found, announced = Counter[Report](), Counter[Announcement]()
        for entry in entries:
            if entry.state is NoticeState.DELIVERED and entry.posted is not None and entry.posted.ts in places:
                if entry.notice.alert is not None:
                    found[the_report(entry.notice)] += 1
                elif (announcement := the_announcement(entry.notice)) is not None:
                    announced[announcement] += 1
                elif "began and ended" not in entry.notice.text:  # those are reports of others, which count themselves
                    wrong.append(f"unexpected message: {entry.notice.text}")
        wrong += [f"lost: {report}" for report in (self.expected - found).elements()]
        wrong += [f"never happened: {report}" for report in (found - self.expected).elements()]
        wrong += [f"announcement lost: {each}" for each in (self.announced - announced).elements()]
        wrong += [f"announced in vain: {each}" for each in (announced - self.announced).elements()]
        landed = Counter(map(_notice_of, messages))
        wrong += [f"doubled: {notice}" for notice, times in landed.items() if times > 1]
        pictures = self.pictures()
        threads = Counter(message["thread_ts"] for message in pictures)
        wrong += [f"two pictures in the thread of {ts}" for ts, times in threads.items() if times > 1]
        known = {entry.notice.id for entry in entries} | {_notice_of(message) for message in pictures}
        wrong += [f"unknown: {notice}" for notice in landed if notice not in known]
        cards = [message for message in messages if not message.get("thread_ts") and message.get("attachments")]
        wrong += [f"out of date: {message['text']}" for message in cards if "Resolved" not in message["text"]]
        return wrong

    def pictures(self) -> list[dict[str, Any]]:
        """The messages with a picture: each kill may cost one."""
        messages = [message for stored in self.slack.messages.values() for message in stored]
        return [message for message in messages if any(block["type"] == "image" for block in message.get("blocks", ()))]

    def _ledger(self) -> list[LedgerEntry]:
        with self.store._db.read() as conn:
            last = conn.execute("SELECT COALESCE(MAX(id), 0) FROM alerts").fetchone()[0]
        return [entry for n in (None, *range(1, last + 1)) for entry in self.store.notices_of(n)]


def _notice_of(message: Mapping[str, Any]) -> str:
    return str(message["metadata"]["event_payload"]["notice_id"])


@contextmanager
def a_day(context: Any) -> Iterator[Day]:
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as folder, slack_server() as slack:
        centre = StandIn()
        try:
            day = Day(Path(folder), slack, centre, context)
            yield day
            day.store.close()
        finally:
            if day.process is not None and day.process.is_alive():
                day.process.kill()
            centre.close()


def missing(day: Day, wanted: int) -> list[str]:
    """What is wrong with the number of pictures: each kill costs one at most."""
    found = len(day.pictures())
    return [] if wanted - day.kills <= found <= wanted else [f"{found} pictures of {wanted} after {day.kills} kills"]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="kill at every Nth point only")
    parser.add_argument("--first", type=int, default=1, metavar="POINT", help="and begin with this one")
    parser.add_argument("--random", type=int, default=0, metavar="KILLS", help="kill at random times instead")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["alertbot.service.app", "tests.proof.world"])
    # The stand-ins need not say that a client was killed.
    socketserver.BaseServer.handle_error = lambda *_: None  # type: ignore[method-assign]
    began = time.monotonic()
    with a_day(context) as day:
        day.run()
        points = (day.folder / "points").read_text().splitlines()
        problems = day.wrong()
        reasons = Counter(report[2] for report in day.expected.elements())
        reasons.update(f"silence {what}" for _, what, _ in day.announced.elements())
        print(f"{reasons.total()} reports: {dict(reasons)}")
        wanted = len(day.pictures())
        print(f"{wanted} pictures; {len(points)} points: {dict(Counter(points))}")
    covered, kills, runs = Counter[str](), 0, 1
    if options.random:
        chance = random.Random(options.seed)  # a scenario, no secret
        while kills < options.random:
            with a_day(context) as day:
                day.run(chance=chance, kills=min(25, options.random - kills))
                kills, runs = kills + day.kills, runs + 1
                problems += day.wrong()
                problems += missing(day, wanted)
    for number in range(options.first, len(points) + 1, options.every) if not options.random else ():
        with a_day(context) as day:
            day.run(kill_at=number)
            if day.kills:
                covered[points[number - 1]] += 1
            kills, runs = kills + day.kills, runs + 1
            problems += missing(day, wanted)
            problems += [f"killed at point {number}, {points[number - 1]}: {each}" for each in day.wrong()]
    for problem in problems[:20]:
        print(problem)
    print(
        f"{runs} days, {kills} kills, {covered.total()} of {len(points)} points covered {dict(covered)}, "
        f"{len(problems)} problems, {time.monotonic() - began:.0f} s"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
