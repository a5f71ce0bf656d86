"""Weeks of polls of a rule that compares with the usual: live, over restarts, filled from the recording, replayed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from alertbot.backtest.episodes import replay
from alertbot.cli.ask import pasts_of
from alertbot.commands.answers import answer
from alertbot.commands.command import Asker, Line
from alertbot.commands.parse import parse
from alertbot.config.settings import Settings
from alertbot.evaluation.snapshot import Column, Fetched, Presence, Snapshot
from alertbot.evaluation.usual import QUARTER, Usual
from alertbot.notify.console import ConsoleNotifier
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import Only
from alertbot.service.app import App, build
from alertbot.service.fill_usual import fill
from alertbot.service.views import make_view
from tests.simulator.kit import HandClock

KEY = "entered.int-30m"
RULES = f"""
rules:
  - id: busier
    scope: queue
    when: {KEY} > 1.5 * usual({KEY}, 4w)
"""
PLAIN = f"rules:\n  - id: busier\n    scope: queue\n    when: {KEY} > 1000\n"
MONDAY = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)  # 09:00 in Helsinki; summer time begins after four weeks
POLL = timedelta(minutes=3)
Make = Callable[..., App]


class Centre:
    """A contact centre of two queues: the second has twice the callers of the first."""

    def __init__(self) -> None:
        self.callers = 10.0

    def fetch(
        self, wanted: Mapping[Scope, frozenset[str]], now: datetime, only: Mapping[Scope, Only] | None = None
    ) -> Fetched:
        assert wanted == {Scope.QUEUE: frozenset({KEY})}
        column = Column(np.array([self.callers, 2 * self.callers]), np.full(2, Presence.PRESENT, dtype=np.uint8))
        return Fetched(now, {Scope.QUEUE: Snapshot(Scope.QUEUE, now, ("1", "2"), ("Sales", "Support"), {KEY: column})})

    def close(self) -> None:
        pass


@pytest.fixture
def clock() -> HandClock:
    return HandClock(MONDAY)


@pytest.fixture
def centre() -> Centre:
    return Centre()


@pytest.fixture
def make(centre: Centre, clock: HandClock, tmp_path: Path) -> Iterator[Make]:
    running: list[App] = []

    def bot(rules: str = RULES, **more: Any) -> App:
        while running:
            running.pop().stop()  # a restart
        (tmp_path / "rules.yaml").write_text(rules)
        tenant = {
            "name": "acme",
            "base_url": "http://127.0.0.1:9",
            "token_url": "http://127.0.0.1:9/token",
            "api_key": "key",
            "api_secret": "secret",
            "poll_every": "3m",
            "timezone": "Europe/Helsinki",
        }
        settings = Settings.model_validate(
            {
                "tenants": [tenant],
                "slack": {"default_channel": "#floor"},
                "rules": "rules.yaml",
                "record": {"keep": "60d"},
                "folder": tmp_path,
                **more,
            }
        )
        running.append(build(settings, notifier=ConsoleNotifier(Console(file=io.StringIO())), clock=clock))
        running[-1].tenants[0].source = centre
        return running[-1]

    yield bot
    for app in running:
        app.stop()


def turns(app: App, clock: HandClock, number: int) -> None:
    for _ in range(number):
        assert app.poller.tick(app.tenants[0]) is not None
        clock.forward(seconds=POLL.total_seconds())


def weeks(app: App, clock: HandClock, centre: Centre, *callers: float) -> None:
    """Half an hour of every Monday from 09:00, each with its number of callers; then the next Monday, 09:00."""
    for number in callers:
        begun = clock()
        centre.callers = number
        turns(app, clock, 10)
        clock.forward(seconds=(begun + timedelta(weeks=1) - clock()).total_seconds())


def firing(app: App) -> set[str]:
    return {alert.entity_name for alert in app.store.alerts() if alert.key.rule == "busier"}


def why(app: App, clock: HandClock, name: str = "Sales", *, outside: bool = False) -> str:
    """The line of the condition, as the service answers it, or as `alertbot ask` does."""
    command = parse(f"why busier {name}")
    view = app.view(command)
    if outside:
        view = make_view(
            command,
            app.settings,
            app.store,
            clock(),
            rules=lambda: ({"acme": app.tenants[0].rules}, {}),
            pasts=lambda rules: pasts_of(app.settings, app.store, rules, clock()),
        )
    reply = answer(view, command, Asker("U1"), clock())
    return next(each.text for each in reply.parts if isinstance(each, Line) and "usual(" in each.text)


def test_weeks_of_polls(make: Make, clock: HandClock, centre: Centre) -> None:
    """Unknown until two of four weeks are known; then the median, by the wall clock when summer time begins."""
    app = make()
    weeks(app, clock, centre, 10)
    centre.callers = 16
    turns(app, clock, 1)
    assert firing(app) == set()
    said = f"usual({KEY}, 4w) is unknown (1 of 4 weeks known, 2 needed)"
    assert said in why(app, clock)
    assert said in why(app, clock, outside=True)
    turns(app, clock, 9)
    clock.forward(seconds=(MONDAY + timedelta(weeks=2) - clock()).total_seconds())
    weeks(app, clock, centre, 14)
    centre.callers = 21.5
    turns(app, clock, 1)
    assert firing(app) == {"Sales", "Support"}
    for outside in (False, True):
        assert f"usual({KEY}, 4w) is 14 (3 of 4 weeks known)" in why(app, clock, outside=outside)
        assert f"usual({KEY}, 4w) is 28 (3 of 4 weeks known)" in why(app, clock, "Support", outside=outside)
    # 09:00 on the first Monday of summer time is an hour earlier in UTC.
    clock.forward(seconds=(datetime(2026, 3, 30, 6, 0, tzinfo=UTC) - clock()).total_seconds())
    centre.callers = 20.5
    turns(app, clock, 1)
    assert firing(app) == set()
    assert f"usual({KEY}, 4w) is 14 (3 of 4 weeks known)" in why(app, clock)


def test_the_verdict_changes_with_the_quarter_hour_while_the_values_stay(
    make: Make, clock: HandClock, centre: Centre
) -> None:
    """From 09:15 on twice as many callers are usual."""
    app = make(RULES.replace("4w", "1w"))
    centre.callers = 10
    turns(app, clock, 5)
    centre.callers = 20
    turns(app, clock, 10)
    clock.forward(seconds=(MONDAY + timedelta(weeks=1) - clock()).total_seconds())
    fired = []
    for _ in range(7):
        turns(app, clock, 1)
        fired.append(firing(app) != set())
    assert fired == [True] * 5 + [False] * 2


def test_the_limit_on_the_card_follows_the_usual(make: Make, clock: HandClock, centre: Centre) -> None:
    """While the alert fires and its value stays the same."""
    app = make(RULES.replace("4w", "1w"))
    centre.callers = 10
    turns(app, clock, 5)
    centre.callers = 12
    turns(app, clock, 6)
    clock.forward(seconds=(MONDAY + timedelta(weeks=1) - clock()).total_seconds())
    centre.callers = 20
    limits = []
    for _ in range(8):
        turns(app, clock, 1)
        (alert,) = [each for each in app.store.alerts() if each.entity_name == "Sales"]
        assert alert.measure is not None
        limits.append(alert.measure.threshold)
    assert limits == [15] * 5 + [18] * 3


@pytest.mark.parametrize("stop_after", [1, 4, 5, 6], ids=lambda polls: f"{polls} polls")
def test_a_restart_within_a_quarter_hour(make: Make, clock: HandClock, centre: Centre, stop_after: int) -> None:
    """The mean is that of all its polls, whether the process that ends it saw them or not."""
    app = make()
    for number in range(10):
        if number == stop_after:
            app = make()
        centre.callers = float(number)
        turns(app, clock, 1)
    app = make()
    turns(app, clock, 1)
    means = [each.means[KEY].tolist() for each in app.store.means("acme", {Scope.QUEUE: [KEY]}, quarters(MONDAY, 2))]
    assert means == [[2, 4], [7, 14]]
    assert app.store.filled("acme") == {(Scope.QUEUE, KEY): MONDAY + 2 * QUARTER}


def quarters(since: datetime, number: int) -> list[datetime]:
    return [since + index * QUARTER for index in range(number)]


def test_polls_by_cron(make: Make, clock: HandClock, centre: Centre) -> None:
    """Each poll is a process of its own."""
    for number in range(11):
        app = make()
        centre.callers = float(number)
        assert not isinstance(app.poller.once(app.tenants)["acme"], str)
        clock.forward(seconds=POLL.total_seconds())
    means = [each.means[KEY].tolist() for each in app.store.means("acme", {Scope.QUEUE: [KEY]}, quarters(MONDAY, 2))]
    assert means == [[2, 4], [7, 14]]


def test_a_new_key_is_filled_from_the_recording(make: Make, clock: HandClock, centre: Centre) -> None:
    """The rule is edited after weeks: what was recorded is then known, and counts at the next poll."""
    app = make(PLAIN)
    weeks(app, clock, centre, 10, 12, 14)
    assert app.store.filled("acme") == {}
    app = make()
    centre.callers = 30
    turns(app, clock, 1)
    assert f"usual({KEY}, 4w) is 12 (3 of 4 weeks known)" in why(app, clock)
    assert firing(app) == set()
    turns(app, clock, 1)
    assert firing(app) == {"Sales", "Support"}


def test_it_is_filled_in_slices(make: Make, clock: HandClock, centre: Centre) -> None:
    """When the time is up no further quarter-hour is begun; the next slice continues there, and all are made once."""
    app = make(PLAIN)
    weeks(app, clock, centre, 10, 12)
    app = make(PLAIN)
    usual = Usual(POLL, app.tenants[0].zone, {Scope.QUEUE: {KEY: 4}})
    filled: Any = {}
    slices = 0
    while True:
        before = filled
        filled, added = fill(
            app.store, "acme", usual, filled, clock(), timedelta(days=60), within=0.0, monotonic=lambda: 0.0
        )
        if filled == before:
            break
        slices += added
        assert app.store.filled("acme") == filled
    assert filled == {(Scope.QUEUE, KEY): MONDAY + timedelta(weeks=2)}
    assert slices == 4
    at = [*quarters(MONDAY, 2), *quarters(MONDAY + timedelta(weeks=1), 2)]
    assert [each.at for each in app.store.means("acme", {Scope.QUEUE: [KEY]}, at)] == at


def test_a_gap_is_filled_when_the_bot_is_back(make: Make, clock: HandClock, centre: Centre) -> None:
    """It stopped shortly before a quarter-hour ended, and came back much later."""
    app = make()
    turns(app, clock, 4)
    clock.forward(seconds=7_200)
    app = make()
    turns(app, clock, 1)
    means = [each.means[KEY].tolist() for each in app.store.means("acme", {Scope.QUEUE: [KEY]}, [MONDAY])]
    assert means == [[10, 20]]


def test_a_gap_is_filled_after_a_clock_that_was_ahead(make: Make, clock: HandClock, centre: Centre) -> None:
    """The clock ran a year ahead for a while: what was filled until then says nothing about the time after it."""
    clock.forward(seconds=timedelta(days=365).total_seconds())
    app = make()
    turns(app, clock, 10)
    clock.forward(seconds=(MONDAY - clock()).total_seconds())
    turns(app, clock, 4)
    clock.forward(seconds=7_200)
    app = make()
    turns(app, clock, 1)
    means = [each.means[KEY].tolist() for each in app.store.means("acme", {Scope.QUEUE: [KEY]}, [MONDAY])]
    assert means == [[10, 20]]


@pytest.mark.parametrize("kept", [True, False], ids=["with the means that are kept", "from the recording alone"])
def test_a_replay_sees_what_was_usual_then(make: Make, clock: HandClock, centre: Centre, kept: bool) -> None:
    """The same alerts as live, although later weeks would make other things usual."""
    clock.forward(seconds=-timedelta(weeks=3).total_seconds())
    begun = clock()
    app = make(RULES if kept else PLAIN)
    weeks(app, clock, centre, 10, 10, 16, 12, 40, 15)
    rules = make().tenants[0].rules
    app = make(RULES if kept else PLAIN)
    result = replay(
        rules,
        app.store.polls("acme", begun, clock(), rules.metrics()),
        poll_every=POLL,
        zone=app.tenants[0].zone,
        **({"means": lambda keys, at: app.store.means("acme", keys, at)} if kept else {}),  # type: ignore[arg-type]
    )
    found = result.of("busier")
    assert found is not None
    spans = [
        ((each.fired - begun) // timedelta(weeks=1), each.ended and (each.ended - begun) // timedelta(weeks=1))
        for each in found.episodes
    ]
    assert sorted(set(spans)) == [(2, 3), (4, 5)]  # 16 against 10, then 12; 40 against 11, then 15 against 14


def test_without_kept_means_it_is_unknown(make: Make, clock: HandClock, centre: Centre) -> None:
    """`record: {usual: 0s}`."""
    app = make(record={"keep": "60d", "usual": "0s"})
    weeks(app, clock, centre, 10, 10, 10)
    centre.callers = 100
    turns(app, clock, 1)
    assert firing(app) == set()
    assert "(0 of 4 weeks known, 2 needed)" in why(app, clock)
    assert app.store.filled("acme") == {}


def test_means_that_cannot_be_read(make: Make, clock: HandClock, centre: Centre) -> None:
    """The rule is unknown, the poll continues, and it is read again at the next turn."""
    app = make()
    weeks(app, clock, centre, 10, 10)
    with app.store._db.write() as conn:  # type: ignore[attr-defined]
        kept = [tuple(row) for row in conn.execute("SELECT entities, id FROM usual_layouts")]
        conn.execute("UPDATE usual_layouts SET entities = x'00'")
    centre.callers = 100
    turns(app, clock, 1)
    assert firing(app) == set()
    with app.store._db.write() as conn:  # type: ignore[attr-defined]
        conn.executemany("UPDATE usual_layouts SET entities = ? WHERE id = ?", kept)
    turns(app, clock, 1)
    assert firing(app) == {"Sales", "Support"}


def test_a_recording_that_cannot_be_read(
    make: Make, clock: HandClock, centre: Centre, capsys: pytest.CaptureFixture[str]
) -> None:
    """Polls go on, the log says so once, and quarter-hours that end from then on are kept."""
    app = make(PLAIN)
    weeks(app, clock, centre, 10)
    with app.store._db.write() as conn:  # type: ignore[attr-defined]
        conn.execute("UPDATE recorded_polls SET packed = x'00112233'")
    app = make()
    capsys.readouterr()
    turns(app, clock, 7)
    assert capsys.readouterr().out.count("means could not be filled from the recording") == 1
    at = quarters(MONDAY + timedelta(weeks=1), 1)
    assert [each.means[KEY].tolist() for each in app.store.means("acme", {Scope.QUEUE: [KEY]}, at)] == [[10, 20]]
