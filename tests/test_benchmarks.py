"""The benchmarks run: what is measured is the real poll, so they break with it and not after it."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from alertbot.simulator.server import SimulatorOptions, serve
from alertbot.store.sqlite.store import SqliteStore
from benchmarks import __main__ as everything
from benchmarks import (
    cost_growth,
    day,
    edits,
    growth,
    memory,
    outage,
    pages,
    postgres,
    prometheus,
    questions,
    random_days,
    recording,
    replay,
    soak,
    startup,
    status_page,
    storm,
    tenants,
    turns,
    usual,
    whole_poll,
)
from benchmarks.__main__ import Figure
from benchmarks.poll_cycle import KEYS, NUMBERS, PHASES, RULES, measure, rules


def test_poll_cycle_measures_every_phase(tmp_path: Path) -> None:
    """A small run has a time for each phase of each poll, over 12 keys and 50 rules that are all read."""
    watched = rules()
    assert (len(watched.rules), len(KEYS)) == (RULES, 12)
    assert frozenset().union(*watched.metrics().values()) == set(KEYS)
    found = measure(entities=300, rounds=2, warm_up=1, folder=tmp_path)
    assert {phase: len(times) for phase, times in found.times.phases.items()} == dict.fromkeys(("json", *PHASES), 2)
    assert found.open > 0
    assert found.ratio > 0


def test_a_poll_on_postgresql_beside_one_on_sqlite(tmp_path: Path) -> None:
    """Both take the same polls. On PostgreSQL one of which nothing is new waits for the server at most ten times."""
    with postgres.server(tmp_path / "server") as server:
        file, there = postgres.measure(whole_poll.Case(20, 10, "still"), server, tmp_path, rounds=3, warm_up=6)
    assert file.open == there.open > 0
    assert file.round_trips == [0, 0, 0]
    assert max(there.round_trips) <= 10
    assert postgres.ratio([file, there]) > 0


def test_the_polled_centre_has_one_percent_over_their_limits() -> None:
    """In every poll 1 % of the agents are over the limit of a key, mostly the same ones; 5 % of the values change."""
    polls = [
        [{metric["key"]: metric["value"] for metric in agent["metrics"]} for page in poll for agent in json.loads(page)]
        for poll in pages.polls(agents=2000, count=6)
    ]
    over = [
        {
            (key, row)
            for key, (limit, *_) in NUMBERS.items()
            for row, agent in enumerate(poll)
            if (agent[key] or 0) > limit
        }
        for poll in polls
    ]
    assert [len(cells) for cells in over] == [20 * len(NUMBERS)] * 6
    assert len(over[0] & over[-1]) >= 0.9 * len(over[0])
    for poll, following in pairwise(polls):
        changed = sum(agent[key] != after[key] for agent, after in zip(poll, following, strict=True) for key in KEYS)
        assert 0.04 < changed / (2000 * len(KEYS)) < 0.06


def test_an_hour_without_slack_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    """At most a message for each alert that is open or was critical, a summary, and a line for each older card."""
    assert outage.main(["--fault", "lost", "--minutes", "30"]) == 0
    shown = capsys.readouterr().out
    assert "#cc-alerts: 10 messages" in shown
    assert "alerts began and ended between 09:02 and 09:2" in shown
    assert "2 of them summaries, and 5 lines in 5 threads" in shown


def test_how_costs_grow_is_measured() -> None:
    """Small sizes of each dimension: what it adds is there, and each has a cost at three sizes."""
    small = {
        "rules": ((6, cost_growth.Size(rules=6, entities=20, over=2)),),
        "ended alerts": ((50, cost_growth.Size(entities=20, over=2, ended=50)),),
        "waiting notices": ((30, cost_growth.Size(entities=20, over=2, waiting=30)),),
        "tenants": ((3, cost_growth.Size(entities=20, over=2, tenants=3)),),
        "recorded days": ((1, cost_growth.Size(entities=20, over=2, days=0.01)),),
    }
    for name, sizes in small.items():
        line = cost_growth.measure(cost_growth.Dimension(name, sizes * 3), rounds=1)
        assert [cost.open > 0 and cost.poll_ms > 0 and cost.due_ms > 0 for cost in line.costs] == [True] * 3
    assert {dimension.name for dimension in cost_growth.DIMENSIONS} >= small.keys() | {"entities", "open alerts"}


@pytest.mark.parametrize(
    ("costs", "growth"), [((1, 4, 16), 1.0), ((1, 4, 64), 2.0), ((5, 5, 5), 0.0), ((0.01, 0.01, 0.02), 0.0)]
)
def test_the_growth_of_a_cost(costs: tuple[float, ...], growth: float) -> None:
    """Four times the size for four times the cost is 1; costs that are mostly the clock do not count."""
    found = [cost_growth.Cost(size, 1, cost, 0.0) for size, cost in zip((10, 40, 160), costs, strict=True)]
    assert cost_growth.Line("x", found).poll == pytest.approx(growth)


def test_edits_keep_to_the_limit_of_slack(capsys: pytest.CaptureFixture[str]) -> None:
    """60 cards whose values move: none is refused, and one that has ended is not behind them."""
    assert edits.main(["--cards", "60", "--minutes", "2"]) == 0
    assert "0 refused" in capsys.readouterr().out


def test_a_storm_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """A small storm and a few rule groups: few messages, nothing refused, critical first."""
    assert storm.main(["--queues", "95", "--groups", "6", "--members", "22", "--show"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("95 queues of one rule: 6 cards, 1 lines, 0 edits, 0 refused; last card after 5 s, all")
    assert "*90 queues*: 25 critical, 65 warning" in shown
    assert "6 rule groups of 22 queues: 6 cards, 6 lines, 0 edits, 0 refused; last card after 5 s" in shown


def test_whole_poll_measures_turns_of_two_packages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Small runs of every variant: real turns of both packages over HTTP, with alerts that fire, and a ratio each."""
    output = tmp_path / "figures.json"
    sizes = ["--sizes", "100x12", "--rounds", "2", "--warm-up", "6", "--ended", "300", "--no-prometheus"]
    assert whole_poll.main([*sizes, "--package", str(whole_poll.HERE), "--json", str(output)]) == 0
    written = json.loads(output.read_text())
    cases = {case["variant"]: case for case in written["cases"]}
    assert list(cases) == list(whole_poll.VARIANTS)
    for variant, case in cases.items():
        bots = [lane for lane in case["lanes"] if lane["label"] != whole_poll.FLOOR]
        assert [lane["ended"] for lane in bots] == ([0, 300, 0, 300] if variant == "ended" else [0, 0])
        for lane in bots:
            assert len(lane["turns"]) == 2
            assert lane["open"] > 0
            assert set(lane["phases_ms"]) == set(turns.PHASES)
            assert min(lane["wall_ms"], lane["cpu_ms"], lane["phases_ms"]["fetch"], lane["phases_ms"]["record"]) > 0
            assert lane["written"] > 0
        assert len({lane["open"] for lane in bots}) == 1, "the same pages, so the same alerts"
    assert [lane["transitions"] for lane in cases["still"]["lanes"][:2]] == [0, 0]
    assert cases["all"]["lanes"][0]["open"] == 100 * 10, "the windows of two rules are not full yet"
    compared = [(ratio["of"], ratio["to"], ratio["ended"]) for ratio in cases["ended"]["ratios"]]
    assert compared == [("this checkout", "before", 0), *((each, each, 300) for each in ("before", "this checkout"))]
    assert [goal["what"] for goal in written["goals"]] == ["bytes written", "300 ended alerts to none"]
    assert "100 entities x 12 rules = 1,200 pairs, moving" in capsys.readouterr().out


def test_the_floor_finds_the_alerts_of_the_bot(tmp_path: Path) -> None:
    """Every shape of rule over full windows, with values that move: the same number of alerts is open, at less cost."""
    case = whole_poll.Case(300, 18, "moving")
    ours, floor = whole_poll.measure(case, [(whole_poll.OURS, whole_poll.HERE)], tmp_path, rounds=12, warm_up=41)
    assert (ours.of_bot, floor.of_bot) == (True, False)
    assert ours.open == floor.open > 18
    assert floor.mean("transitions") > 0
    assert ours.ratio(floor, "cpu_ms") > 1


def test_a_profile_names_functions_of_alertbot(tmp_path: Path) -> None:
    """The shares of a few turns: functions of several rooms, in order, with words for each."""
    case = whole_poll.Case(200, 12, "every")
    packages = [(whole_poll.OURS, whole_poll.HERE)]
    [ours] = whole_poll.measure(case, packages, tmp_path, rounds=1, warm_up=4, floor=False, profile=12)
    shares = [row["share"] for row in ours.profile]
    assert len(shares) == 10
    assert shares == sorted(shares, reverse=True)
    assert 0.2 < sum(shares) <= 1
    assert len({row["function"].partition("/")[0] for row in ours.profile}) > 2
    assert all(row["what"] for row in ours.profile)


def test_goals_are_compared_with_what_was_measured() -> None:
    """Each goal of a case beside its figure: met, missed, or not measured."""
    case = whole_poll.Case(1000, 50, "moving")
    ours, floor = whole_poll.Lane(whole_poll.OURS, Path()), whole_poll.Lane(whole_poll.FLOOR, Path())
    ours.turns, floor.turns = [{"cpu_ms": 12.0}, {"cpu_ms": 10.0}], [{"cpu_ms": 3.0}, {"cpu_ms": 3.0}]
    rows = whole_poll.goals(case, [ours, floor], prometheus.Cycles([150.0, 154.0, 170.0], 500))
    assert [(row["what"], row["measured"], row["met"]) for row in rows] == [
        ("CPU ms", 11.0, True),
        ("times the floor", 3.67, False),
        ("times ahead of Prometheus", 14.0, False),
    ]
    assert [row["met"] for row in whole_poll.goals(case, [ours], None)] == [True, None, None]
    assert whole_poll.goal_table(rows)[1].split() == ["1000x50", "moving", "CPU", "ms", "11.0", "15", "met"]


def test_bytes_of_checkpoints_are_not_those_of_a_poll() -> None:
    """A poll in which the WAL was moved into the database file is left out of the bytes written."""
    lane = whole_poll.Lane(whole_poll.OURS, Path())
    lane.turns = [{"written": 100, "checkpoint": False}, {"written": 9000, "checkpoint": True}]
    assert lane.written == 100


@pytest.mark.skipif(bool(prometheus.missing()), reason=prometheus.missing())
def test_prometheus_evaluates_the_same_rules(tmp_path: Path) -> None:
    """A few cycles of a small centre: alerts fire for agents over their limits, and cycles cost CPU time."""
    found = prometheus.measure(300, 12, "still", tmp_path, cycles=2, every_s=1)
    assert len(found.cpu_ms) == 2
    assert found.firing > 12  # 36 are over their limits; on a busy machine a scrape or a hold is late


def test_prometheus_that_is_missing_is_named(tmp_path: Path) -> None:
    """Without its binary the report says what is not measured, and why."""
    absent = tmp_path / "prometheus"
    assert prometheus.missing(absent) == f"{absent} is not installed (Debian: apt-get install prometheus)"


def test_tenants_measures_the_whole_bot(tmp_path: Path) -> None:
    """Three tenants for a moment: what was polled is counted, with its cost, and nothing began late."""
    options = SimulatorOptions(tenants=3, queues=4, groups=1, agents=6, warm=timedelta(minutes=5))
    with serve(options) as sim:
        serving = {
            "base_url": sim.base_url,
            "token_url": sim.token_url,
            "keys": [(tenant.api_key, tenant.api_secret) for tenant in sim.tenants],
        }
        found = tenants.measure(serving, tmp_path, every=5.0, warm_s=0.0, wall_s=2.5)
    # Turns begin at 0, 1.7 and 3.3 s; the first may be over before the measuring begins.
    assert found.polls == found.good == len(found.took_ms) == len(found.lateness_s)
    assert 1 <= found.polls <= 2
    assert found.late == 0
    assert found.cpu_s > 0
    assert found.rss_mb > 10
    assert any("polls of 2 due" in line for line in found.lines())


def test_a_late_turn_is_found_out() -> None:
    """A turn that begins two seconds after its time, whenever that is; the others of the tenant are punctual."""
    late = tenants._lateness({"a": [0.0, 15.0, 32.0, 45.1], "b": [7.0, 22.0]}, 15.0, 10.0, 50.0)
    assert [round(each, 1) for each in late] == [0.0, 2.0, 0.1, 0.0]


def test_recording_measures_bytes_and_time(tmp_path: Path) -> None:
    """A few polls of a few queues, far smaller than they are raw."""
    found = recording.measure(20, 5, tmp_path)
    assert 0 < found.packed < 8 * 20 * len(recording.KEYS) / 2
    assert min(found.write_ms, found.read_ms, found.read_one_key_ms, found.read_one_value_ms) > 0


def test_growth_measures_each_part(tmp_path: Path) -> None:
    """A few polls: most is recorded, and the forecast is more than the days of polls alone."""
    found = growth.measure(timedelta(minutes=5), 0, tmp_path)
    assert found.polls == 20
    assert found.recorded > 0 < found.fixed
    assert found.recorded_a_day > found.recorded
    assert found.full(40) >= growth.KEEP_DAYS * found.recorded_a_day


def test_replay_measures_what_was_recorded(tmp_path: Path) -> None:
    """An hour of a few queues, through all shipped rules."""
    store = SqliteStore(tmp_path / "alertbot.db", synchronous="NORMAL")
    replay.record(store, 5, 240)
    history, took = replay.measure(store, 240)
    store.close()
    assert (history.polls, history.failed) == (240, 0)
    assert took > 0


def test_status_page_measures_every_page(tmp_path: Path) -> None:
    """Every page is answered, within its size, at a small size too."""
    found = status_page.measure(agents=30, alerts=20, rounds=1, folder=tmp_path)
    assert [each.path for each in found] == list(status_page.PATHS)
    assert all(500 < each.size < status_page.MAX_BYTES and each.cpu_ms > 0 for each in found)
    drawn = status_page.charts(queues=5, days=0.02, rounds=1, folder=tmp_path)
    assert [path for path, *_ in drawn] == list(status_page.CHARTS)
    assert all(first > 0 and later > 0 for _, first, _, later in drawn)


def test_questions_measures_what_is_read(tmp_path: Path) -> None:
    """Three tenants: `help` reads nothing, `status` no snapshot, `queue NAME` one snapshot of each tenant."""
    store = SqliteStore(tmp_path / "alertbot.db", synchronous="NORMAL")
    settings = questions.fill(store, tenants=3, queues=8, agents=4)
    asked = {text.partition(" ")[0]: questions.measure(store, settings, text, 1) for text in questions.QUESTIONS}
    store.close()
    assert (asked["help"].calls, asked["status"].snapshots, asked["queue"].snapshots) == (0, 0, 3)
    assert all(each.bot_ms > 0 and each.ask_ms > 0 for each in asked.values())


def test_random_days_count_their_steps(capsys: pytest.CaptureFixture[str]) -> None:
    """A few days: each step is counted, and none goes wrong."""
    assert random_days.main(["--steps", "150", "--seed", "7"]) == 0
    assert re.search(r"seed 7: 1\d\d steps in \d+ s, 0 days went wrong", capsys.readouterr().out)


def test_a_day_is_the_same_wherever_its_process_is_killed(capsys: pytest.CaptureFixture[str]) -> None:
    """A few of the points at which a day can be interrupted: nothing is lost and nothing is doubled."""
    assert day.main(["--first", "25", "--every", "150"]) == 0
    assert re.search(r"(\d+) kills, \1 of \d+ points covered .*, 0 problems", capsys.readouterr().out)


def test_a_soak_compares_slack_with_what_was_decided(capsys: pytest.CaptureFixture[str]) -> None:
    """Two minutes of service: too short to say anything about memory, so the exit status is not looked at."""
    soak.main(["--hours", "0.04", "--speed", "30"])
    assert re.search(r"notices, \d+ messages: 0 lost, 0 doubled, 0 out of date\n", capsys.readouterr().out)


def test_startup_measures_commands_that_succeed(tmp_path: Path) -> None:
    """Each case has a time for each round after the first; a command that fails is an error, not a fast start."""
    cases = startup.measure(1, ["help", "status"])
    assert [(case.name, len(case.seconds)) for case in cases] == [
        (startup.REFERENCE, 1),
        ("help", 1),
        ("status", 1),
    ]
    startup.prepare(tmp_path)
    (tmp_path / "alertbot.db").unlink()
    status = startup.Case("status", ("-m", "alertbot", "ask", "status"), startup.ROOT)
    with pytest.raises(RuntimeError, match="no database yet"):
        status.run(tmp_path)


def test_usual_measures_polls_and_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    """A small run: every part has a figure."""
    usual.main(["--entities", "20", "--keys", "2"])
    said = capsys.readouterr().out
    assert "20 entities x 2 keys, 8 weeks" in said
    sizes = re.search(r"a quarter-hour: ([0-9.]+) kB", said)
    assert sizes is not None
    assert 0.05 < float(sizes[1]) < 0.4
    assert re.search(r"a poll: [0-9.]+ ms with", said)
    assert re.search(r"a quarter-hour that ends: [0-9.]+ ms", said)


def test_memory_of_the_running_bot_is_measured(tmp_path: Path) -> None:
    """A few polls of a small centre: the resident set of the real process, and where it is."""
    found = memory.measure(20, tmp_path, seconds=4, places=True)
    assert 40 < found.rss <= found.peak < 400
    assert found.threads > 3
    assert {"[heap]", "numpy"} <= found.places.keys()
    assert 0.5 * found.rss < sum(found.places.values()) <= 1.1 * found.rss
    assert '"level": "error"' not in (tmp_path / "log").read_text()


def test_all_benchmarks_run_in_processes_and_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of them, quickly: its figures as a table and as JSON, and what is worse than kept results by name."""
    output = tmp_path / "results.json"
    options = ["--quick", "--only", "recording", "--json", str(output)]
    assert everything.main([*options, "--compare", str(_kept(tmp_path, 4000.0))]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"recording: the recording\n  a recorded poll of 200 queues +[0-9.]+ bytes\n", shown)
    assert "Nothing is worse than kept." in shown
    results, reference = everything.read(output)
    assert results["recording"]["a recorded poll of 200 queues"].value > 100
    assert reference > 0
    assert everything.main([*options, "--compare", str(_kept(tmp_path, 10.0))]) == 1
    assert re.search(
        r"Worse than kept:\nrecording, a recorded poll of 200 queues: 10\.00 before", capsys.readouterr().out
    )


def _kept(folder: Path, value: float) -> Path:
    path = folder / "kept.json"
    figures = {"recording": {"a recorded poll of 200 queues": everything.Figure(value, everything.BYTES)}}
    path.write_text(everything.written(figures, 1.0))
    return path


@pytest.mark.parametrize(
    ("now", "before", "speed", "named"),
    [
        pytest.param(Figure(12.0, "ms"), Figure(10.0, "ms"), 1.0, False, id="within the noise"),
        pytest.param(Figure(13.0, "ms"), Figure(10.0, "ms"), 1.0, True, id="slower"),
        pytest.param(Figure(13.0, "ms"), Figure(10.0, "ms"), 1.5, False, id="on a slower machine"),
        pytest.param(Figure(10.0, "ms"), Figure(10.0, "ms"), 0.5, True, id="as long on a machine twice as fast"),
        pytest.param(Figure(3.0, "x"), Figure(2.0, "x"), 2.0, True, id="a ratio does not depend on the machine"),
        pytest.param(Figure(14.0, "x", more=True), Figure(20.0, "x", more=True), 1.0, True, id="more is better"),
        pytest.param(Figure(30.0, "x", more=True), Figure(20.0, "x", more=True), 1.0, False, id="more of it"),
        pytest.param(Figure(107.0, "MiB"), Figure(100.0, "MiB"), 1.0, True, id="memory varies less"),
        pytest.param(Figure(0.45, "core"), Figure(0.3, "core"), 1.5, False, id="a share of a slower core"),
        pytest.param(Figure(0.1, "exponent"), Figure(0.0, "exponent"), 1.0, False, id="as constant as before"),
        pytest.param(Figure(0.2, "exponent"), Figure(0.0, "exponent"), 1.0, True, id="constant before"),
    ],
)
def test_what_is_worse_by_more_than_its_noise_is_named(now: Figure, before: Figure, speed: float, named: bool) -> None:
    found = everything.worse({"a": {"b": now, "new": now}}, speed, {"a": {"b": before, "gone": before}}, 1.0)
    assert [each.partition(":")[0] for each in found] == (["a, b"] if named else [])


def test_figures_stand_beside_their_goals() -> None:
    figures = {
        "met": Figure(1.0, "ms", 2.0),
        "missed": Figure(3.0, "ms", 2.0),
        "ahead": Figure(3.0, "x", 2.0, more=True),
        "free": Figure(1234.5, "bytes"),
    }
    assert [line.split() for line in everything.table({"replay": figures})][1:] == [
        ["met", "1.00", "ms", "at", "most", "2", "met"],
        ["missed", "3.00", "ms", "at", "most", "2", "missed"],
        ["ahead", "3.00", "x", "at", "least", "2", "met"],
        ["free", "1,234.50", "bytes"],
    ]


def test_results_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[]")
    with pytest.raises(SystemExit, match="no results of benchmarks"):
        everything.read(path)


@pytest.mark.parametrize("path", sorted(everything.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_kept_results_are_of_benchmarks_that_exist(path: Path) -> None:
    """The results of a release can be read, and belong to benchmarks of this command."""
    results, reference = everything.read(path)
    assert results.keys() <= everything.BENCHMARKS.keys()
    assert reference > 0


def test_the_newest_release_is_compared_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its numbers, not by its letters; None where there is none yet."""
    monkeypatch.setattr(everything, "RESULTS", tmp_path)
    assert everything.last_release() is None
    for version in ("0.2.0", "0.10.0", "0.9.1"):
        (tmp_path / f"{version}.json").touch()
    assert everything.last_release() == tmp_path / "0.10.0.json"
