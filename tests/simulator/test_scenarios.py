"""Scenarios do what they say, and a wrong file is refused with line, key and what to write instead."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from alertbot.errors import ConfigError, UsageError
from alertbot.simulator.entities import AVAILABLE, LOGGED_OUT
from alertbot.simulator.layout import Size
from alertbot.simulator.model import Centre
from alertbot.simulator.scenario import load_scenario, parse_scenario, shipped_scenarios
from alertbot.simulator.server import SimulatorOptions, serve
from tests.simulator.kit import TEN, Client, HandClock

FIVE = timedelta(seconds=5)


def playing(name: str, seed: int = 1) -> Centre:
    of = Centre(Size(), seed=seed, start=TEN, busy_now=True)
    load_scenario(name).apply(of)
    return of


def waits(of: Centre, minutes: int) -> list[tuple[timedelta, int]]:
    """The longest wait of the first queue in seconds, every five seconds."""
    found = []
    for step in range(minutes * 12):
        of.advance(TEN + FIVE * step)
        found.append((FIVE * step, of.queues[0].longest_wait(of.now) // 1000))
    return found


def test_these_scenarios_ship() -> None:
    """Each has a sentence that says what one sees, and fits a centre of any size."""
    assert set(shipped_scenarios()) >= {"rush", "walkout", "quiet", "outage", "demo"}
    for name in shipped_scenarios():
        scenario = load_scenario(name)
        assert len(scenario.about) > 15
        scenario.apply(Centre(Size(1, 1, 1), start=TEN, warm=timedelta(0)))


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_rush_raises_the_longest_wait_and_ends(seed: int) -> None:
    """It passes two minutes, and is below 45 seconds again when the backlog has been worked off."""
    seen = waits(playing("rush", seed), 25)
    assert max(wait for _, wait in seen) > 120
    assert max(wait for _, wait in seen[:6]) < 30  # it has not begun
    first = next(at for at, wait in seen if wait > 120)
    assert any(wait < 45 for at, wait in seen if at > first)


@pytest.mark.parametrize("seed", range(1, 9))
def test_the_demo_shows_everything_in_time(seed: int) -> None:
    """Waits exceed one minute before 1:30 and two before 2:30, no agent is idle, and it ends within seven minutes."""
    of = playing("demo", seed)
    seen, idle = [], []
    for step in range(84):
        of.advance(TEN + FIVE * step)
        seen.append(of.queues[0].longest_wait(of.now) // 1000)
        idle.append(of.queues[0].states[AVAILABLE])
    assert max(seen[:18]) > 60
    assert max(seen[:30]) > 120
    assert not any(idle[2:28])
    assert max(seen[-3:]) < 45


def test_the_default_demo_is_over_in_four_minutes() -> None:
    """With the default seed the wait is short from the fourth to the sixth minute: the alert resolves in view."""
    seen = waits(playing("demo"), 6)
    assert max(wait for at, wait in seen if at > timedelta(minutes=4)) < 45


def test_a_walkout_leaves_nobody_and_ends() -> None:
    """After five minutes no agent is eligible in any queue; two minutes after the end agents are back."""
    of = playing("walkout")
    eligible = sum(queue.states[AVAILABLE] for queue in of.queues)
    of.advance(TEN + timedelta(minutes=10))
    assert eligible > 0
    for queue in of.queues:
        assert queue.states[AVAILABLE] == 0
    on_break = [agent for agent in of.agents if agent.code == "Fire drill"]
    assert len(on_break) > 30
    of.advance(TEN + timedelta(minutes=13))
    assert not [agent for agent in of.agents if agent.code == "Fire drill"]


def test_people_can_log_out_and_come_back() -> None:
    """A walk-out may be a logout: enabled falls to agents still on a call, then to none; they log in again after it."""
    text = "steps: [{at: 0s, walkout: {group: '#1', status: LoggedOut, for: 30m}}]"
    of = Centre(Size(), start=TEN, busy_now=True)
    group = of.groups[0]
    there = len(group.agents) - group.states[LOGGED_OUT]
    parse_scenario(text, "x.yaml").apply(of)
    of.advance(TEN + timedelta(minutes=29))
    assert group.states[LOGGED_OUT] == len(group.agents)
    of.advance(TEN + timedelta(minutes=31))
    assert len(group.agents) - group.states[LOGGED_OUT] >= there - 1


def test_quiet_is_quiet() -> None:
    """Few callers arrive; none waits long."""
    of, normal = playing("quiet"), Centre(Size(), start=TEN, busy_now=True)
    begin = of.now
    for one in (of, normal):
        one.advance(TEN + timedelta(minutes=40))
    counts = [sum(queue.log.count("entered", begin + 1) for queue in one.queues) for one in (of, normal)]
    assert counts[0] < counts[1] / 3
    assert all(queue.log.peak("wait", begin + 600_000) < 60_000 for queue in of.queues)


def test_an_outage_answers_as_it_says_and_ends() -> None:
    """429 with Retry-After once, 503 for two minutes, a lost token, a proxy's page, frozen values; then all is well."""
    clock = HandClock()
    with serve(SimulatorOptions(scenario="outage", clock=clock, start=TEN, agents=30)) as sim:
        client = Client(sim)

        def at(minutes: float) -> int:
            clock.now = TEN + timedelta(minutes=minutes)
            return client.get("/queues", ("metrics", "interactionsLongestWaitInQueue.today")).status_code

        assert at(0) == 200
        clock.now = TEN + timedelta(seconds=30)
        limited = client.get("/queues")
        assert (limited.status_code, limited.headers["Retry-After"]) == (429, "5")
        assert at(0.6) == 200
        assert [at(1), at(2.9)] == [503, 503]
        assert at(3) == 200
        assert at(4) == 401
        client.token = client.grant().json()["access_token"]
        assert at(4.1) == 200
        clock.now = TEN + timedelta(minutes=5)
        page = client.get("/queues")
        assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html")
        frozen = set()
        for seconds in range(0, 60, 5):
            clock.now = TEN + timedelta(minutes=8, seconds=seconds)
            frozen.add(client.get("/agents", ("metrics", "timeOnStatus.rt")).content)
        assert len(frozen) == 1
        clock.now = TEN + timedelta(minutes=9)
        assert client.get("/agents", ("metrics", "timeOnStatus.rt")).content not in frozen
        clock.now = TEN + timedelta(minutes=10)
        assert client.get("/queues").json() == []
        assert len(client.get("/queues").json()) == 12


WRONG = {
    "unknown-key": (
        "steps:\n  - at: 1s\n    rush: {queue: a, factr: 2}\n",
        ['x.yaml:3:22: unknown key "factr" (did you mean "factor"?)', 'x.yaml:3:5: the key "factor" is missing'],
    ),
    "unknown-step": (
        "steps:\n  - {at: 1s, rsh: {queue: a}}\n",
        ['x.yaml:2:14: unknown key "rsh" (did you mean "rush"?)'],
    ),
    "top-level": (
        "about: x\nstep: []\n",
        ['x.yaml:2:1: unknown key "step" (did you mean "steps"?)', '"steps" is missing'],
    ),
    "duration": (
        "steps:\n  - at: 5\n    quiet: {}\n",
        ["x.yaml:2:5: at: 5 is not a duration: write 90s, 2m or 1m30s"],
    ),
    "no-step": ("steps:\n  - at: 5s\n", ["x.yaml:2:5: a step is one of rush, quiet, walkout, api; this one is none"]),
    "two-steps": (
        "steps:\n  - at: 5s\n    quiet: {}\n    api: {fault: hang}\n",
        ["this one is quiet and api"],
    ),
    "fault": (
        "steps:\n  - at: 5s\n    api: {fault: staus}\n",
        ["x.yaml:3:11: fault: 'staus' is not known (did you mean \"status\"?)"],
    ),
    "body": (
        "steps:\n  - at: 5s\n    api: {fault: malformed, body: htm}\n",
        ["x.yaml:3:5: unknown body 'htm' (did you mean \"html\"?)"],
    ),
    "share": (
        "steps:\n  - at: 5s\n    walkout: {share: 180%}\n",
        ["x.yaml:3:15: share: '180%' is not a share: write 80% or 0.8"],
    ),
    "number": (
        "steps:\n  - at: 5s\n    rush: {queue: a, factor: 0}\n",
        ["x.yaml:3:22: factor: input should be greater"],
    ),
    "both": (
        "steps:\n  - at: 5s\n    walkout: {queue: a, group: b}\n",
        ["x.yaml:3:5: both queue and group: name one of them"],
    ),
    "tab": ("steps:\n\t- at: 5s\n", ["x.yaml:2:1: a tab"]),
    "twice": ("steps: []\nsteps: []\n", ['x.yaml:2:1: duplicate key "steps"']),
    "list": ("- a\n", ["x.yaml:1:1: a scenario is a mapping with the key steps"]),
    "empty": ("", ["x.yaml:1:1: a scenario is a mapping with the key steps"]),
}


@pytest.mark.parametrize(("text", "expected"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_file_names_line_key_and_fix(text: str, expected: list[str]) -> None:
    """Every mistake has its line; what was probably meant stands beside it."""
    with pytest.raises(ConfigError) as refused:
        parse_scenario(text, "x.yaml")
    shown = str(refused.value)
    for part in expected:
        assert part in shown, shown


def test_all_mistakes_come_at_once() -> None:
    """Two mistakes are two lines, in the order of the file."""
    text = "steps:\n  - {at: 1, quiet: {}}\n  - {at: 2s, rush: {queue: a, factor: 2, four: 1s}}\n"
    with pytest.raises(ConfigError) as refused:
        parse_scenario(text, "x.yaml")
    assert [line.split(": ")[0] for line in refused.value.problems] == ["x.yaml:2:6", "x.yaml:3:42"]


@pytest.mark.parametrize("name", ["rsh", "no/such.yaml"])
def test_a_missing_file_names_the_shipped_ones(name: str) -> None:
    """Neither a file nor a shipped name: usage error that lists what there is."""
    with pytest.raises(UsageError, match="built-in are demo, outage, quiet, rush, walkout"):
        load_scenario(name)


def test_a_scenario_from_a_file_is_played(tmp_path: Path) -> None:
    """A file of one's own; a queue that is not there is refused before anything is served."""
    file = tmp_path / "mine.yaml"
    file.write_text("steps: [{at: 1s, rush: {queue: Sales EU, factor: 3, for: 1m}}]\n", encoding="utf-8")
    assert load_scenario(str(file)).name == "mine"
    file.write_text("steps: [{at: 1s, rush: {queue: Sails EU, factor: 3}}]\n", encoding="utf-8")
    with (
        pytest.raises(UsageError, match="scenario mine: no queue 'Sails EU'; known are Sales EU"),
        serve(SimulatorOptions(scenario=str(file))),
    ):
        pass
