"""`tune` as rule authors type it: the value for a target, what the YAML predicts, and what cannot be tuned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alertbot.clock import wall_clock
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.feed.health import Feed
from alertbot.rulefiles.document import plain_value, read
from alertbot.rules.catalogue import Scope
from alertbot.store.records import PollRecord
from alertbot.store.sqlite.store import SqliteStore
from tests.cli.test_rule_commands import ran

EVERY = timedelta(minutes=1)
CONFIG = """\
tenants:
  - {name: acme, region: eu, api_key: k, api_secret: s, poll_every: 1m}
slack: {default_channel: "#cc-alerts", bot_token: xoxb-of-the-test}
timezone: Europe/Helsinki
record: {keep: 30d}
"""
RULES = """\
rules:
  - id: longest-wait
    scope: queue
    params: {warn: 60s, crit: 4m, calm: 45s}
    warning: {when: interactionsLongestWaitInQueue.rt > $warn, for: 1m}
    critical: {when: interactionsLongestWaitInQueue.rt > $crit}
    clear: interactionsLongestWaitInQueue.rt < $calm
    suppressed_by: [nobody-there]
  - {id: nobody-there, scope: queue, when: enabled.rt == 0}
  - {id: in-words, scope: queue, when: 'interactionsLongestWaitInQueue.rt > 100s and enabled.rt > 0', shadow: true}
  - {id: service, scope: queue, when: 'slaPercentage.int-30m < 80%', level: critical}
  - {id: callers, scope: queue, when: interactionsWaitInQueue.rt > 0}
  - {id: two, scope: queue, when: interactionsWaitInQueue.rt >= 3 and entered.int-30m > 2}
  - {id: never, scope: queue, when: 'interactionsLongestWaitInQueue.rt > 5h and enabled.rt == 99'}
  - {id: hidden, scope: queue, when: 'interactionsLongestWaitInQueue.rt > 1m and enabled.rt == 0',
     suppressed_by: [nobody-there]}
  - {id: unread, scope: queue, when: 'eligible.rt > 3'}
  - {id: breaks, scope: agent, when: 'status.rt == "OnBreak" and timeOnStatus.rt > 10m'}
"""
QUEUES = ("Sales", "Support", "Billing", "Returns", "Night desk", "Loud")
AGENTS = ("Dana Whitfield", "Sam Lee", "Kim Roe", "Ann Poe")


def polls(count: int) -> Iterator[dict[Scope, Snapshot]]:
    """Waits that rise and fall: six queues a few times a day, one of them ten times as often; one is empty of agents.

    The height of each wave differs, so every limit splits them elsewhere. The last poll is now.
    """
    random = np.random.default_rng(3)
    now = wall_clock().replace(microsecond=0)
    waves = [set(random.choice(count, size=6 * count // 1440 * (10 if name == "Loud" else 1))) for name in QUEUES]
    wait = np.zeros(len(QUEUES))
    height = np.zeros(len(QUEUES))
    for index in range(count):
        for queue, starts in enumerate(waves):
            if index in starts:
                height[queue] = random.uniform(60, 600)
        wait = np.where(height > 0, np.minimum(wait + 60, height), 0.0)
        height = np.where(wait >= height, 0.0, height)
        at = now - EVERY * (count - 1 - index)
        values = {
            "interactionsLongestWaitInQueue.rt": wait * 1000,
            "interactionsWaitInQueue.rt": np.ceil(wait / 60),
            "entered.int-30m": np.ceil(wait / 50),
            "enabled.rt": np.array([3.0] * 4 + [0.0, 3.0]),
            "slaPercentage.int-30m": 1 - np.round(wait / 1000, 2),
        }
        columns = {key: _column(each) for key, each in values.items()}
        ids = tuple(str(100 + each) for each in range(len(QUEUES)))
        queues = Snapshot(Scope.QUEUE, at, ids, QUEUES, columns)
        texts = Column(np.array(["OnBreak"] * len(AGENTS), dtype=object), np.zeros(len(AGENTS), dtype=np.uint8))
        breaks = _column(np.array([(index % (30 + 7 * each)) * 60_000.0 for each in range(len(AGENTS))]))
        agents = Snapshot(
            Scope.AGENT, at, ("a1", "a2", "a3", "a4"), AGENTS, {"status.rt": texts, "timeOnStatus.rt": breaks}
        )
        yield {Scope.QUEUE: queues, Scope.AGENT: agents}


def _column(values: np.ndarray) -> Column:
    return Column(values.astype(np.float64), np.full(len(values), Presence.PRESENT, dtype=np.uint8))


def record(path: Path, count: int) -> None:
    store = SqliteStore(path, synchronous="NORMAL", keep_polls=timedelta(days=30))
    for snapshots in polls(count):
        store.record(PollRecord("acme", snapshots[Scope.QUEUE].at, Feed("acme"), snapshots=snapshots))
    store.close()


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "alertbot.db"
    record(path, 2 * 1440)
    return path


@pytest.fixture
def folder(tmp_path: Path, two_days: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "queues.yaml").write_text(RULES)
    (tmp_path / "alertbot.yaml").write_text(CONFIG + f"storage: {two_days}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALERTBOT_CONFIG", raising=False)
    return tmp_path


def tuned(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    code, said = ran(capsys, "tune", *args, "--json")
    assert code == 0, said
    answer: dict[str, Any] = json.loads(said)["acme"]
    return answer


TUNED = {
    "a parameter, above": (["longest-wait", "--target", "5/day"], "warning", min),
    "a number in the condition, above": (["in-words", "--target", "5/day"], "warning", min),
    "a ratio, below": (["service", "--target", "5/day"], "critical", max),
    "the upper level": (["longest-wait", "--level", "critical", "--target", "3/day"], "critical", min),
    "by week": (["longest-wait", "--target", "35/week"], "warning", min),
    "a number that is asked for": (
        ["two", "--key", "interactionsWaitInQueue.rt", "--target", "8/day"],
        "warning",
        min,
    ),
}


@pytest.mark.parametrize(("args", "level", "keenest"), TUNED.values(), ids=TUNED)
def test_the_most_sensitive_value_that_meets_the_target(
    args: list[str], level: str, keenest: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The most sensitive of the values that fire at most that often; the current value is among those tried."""
    answer = tuned(capsys, *args)
    rates = {each["number"]: each["per_day"] for each in answer["values"]}
    written = {each["value"]: each["number"] for each in answer["values"]}
    meeting = [value for value, rate in rates.items() if rate <= answer["target_per_day"] + 1e-3]
    assert answer["level"] == level
    assert written[answer["value"]] == keenest(meeting)
    assert keenest(rates) not in meeting, "the target is no limit here"
    assert answer["now"] in written
    assert len(rates) <= 40
    assert all(sum(each["by_hour"]) == each["alerts"] for each in answer["values"])
    for each in answer["proposals"]:
        assert each["replayed"] == each["promised"], each


def test_what_is_promised_is_what_replay_finds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The YAML, put into the rule by hand, gives the predicted alerts, in a command of its own."""
    answer = tuned(capsys, "longest-wait", "--target", "5/day")
    for each in answer["proposals"]:
        node, faults = read("proposal", each["yaml"])
        assert node is not None
        assert not faults
        rule = plain_value(node)
        rules = plain_value(read("rules", RULES)[0])  # type: ignore[arg-type]
        rules["rules"][0].update(rule)
        (folder / "rules" / "queues.yaml").write_text(json.dumps(rules))
        code, said = ran(capsys, "replay", "--json")
        assert code == 0, said
        alerts = {one["rule"]: one["alerts"] for one in json.loads(said)["acme"]["rules"]}["longest-wait"]
        reported = [one for one in alerts if one["entity"] != "Night desk"]  # its queue has no agents: suppressed
        assert len(reported) == each["promised"]["alerts"]
        assert len(alerts) > len(reported)


def test_the_loud_queue_needs_an_override(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It fires far more often than the others; with an override, the limit for the rest can be lower."""
    answer = tuned(capsys, "longest-wait", "--target", "5/day")
    loud = answer["differ"][0]
    assert loud["entity"] == "Loud"
    assert loud["alerts"] >= 3 * loud["most_of_others"]
    alone, with_override = answer["proposals"]
    numbers = {each["value"]: each["number"] for each in answer["values"]}
    assert numbers[with_override["value"]] < numbers[alone["value"]]
    assert numbers[with_override["overrides"]["Loud"]] > numbers[with_override["value"]]
    assert "overrides:\n  - match: {name: [Loud]}\n    params: {warn: " in with_override["yaml"]


def test_limits_that_would_be_passed_move_along(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A warning at 4m or more moves the critical limit in proportion; one at 45s or less moves the limit of `clear`."""
    answer = tuned(capsys, "longest-wait", "--target", "5/day")
    moved = {each["number"]: each["moved"] for each in answer["values"]}
    assert {value: each for value, each in moved.items() if value >= 240_000}
    for value, each in moved.items():
        assert ("crit" in each) is (value >= 240_000), value
        if "crit" in each:
            assert each["crit"] > value
        assert ("calm" in each) is (value < 45_000), value


def test_numbers_in_conditions_become_parameters_where_overrides_need_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = tuned(capsys, "in-words", "--target", "35/day")
    alone, with_override = answer["proposals"]
    assert alone["yaml"] == f"when: interactionsLongestWaitInQueue.rt > {answer['value']} and enabled.rt > 0"
    assert with_override["yaml"].splitlines()[:2] == [
        f"params: {{warning_limit: {with_override['value']}}}",
        "overrides:",
    ]
    assert with_override["yaml"].endswith("when: interactionsLongestWaitInQueue.rt > $warning_limit and enabled.rt > 0")


def test_the_report_says_all_of_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer and its check are at the top; on 80 columns no line is broken except YAML and paths."""
    code, said = ran(capsys, "tune", "longest-wait", "--target", "5/day")
    assert code == 0
    lines = said.splitlines()
    assert [line.split(":")[0] for line in lines[3:8]] == ["Limit", "Target", "Now", "Result", "Checked"]
    assert lines[3] == "Limit:   $warn of warning, in interactionsLongestWaitInQueue.rt > $warn"
    assert lines[4] == "Target:  at most 5/day, all queues together"
    assert lines[7].endswith("as promised. The YAML is") or "as promised." in lines[7] + lines[8]
    words = " ".join(said.split())
    for text in (
        "2 days recorded, 6 queues",
        "Not counted: alerts that nobody-there suppressed until they ended.",
        "Where a value would pass $crit, that limit moves along",
        "keep_firing_for: 5m",
        "clear: (not set)",
        "Queues that differ from the rest at",
        "In turn: $crit of critical, in interactionsLongestWaitInQueue.rt > $crit",
        "To paste into rule longest-wait (",
        "Checked: replayed with the YAML: ",
    ):
        assert text in words, text
    assert "NOT as promised" not in said
    assert sum(line.startswith("T ") for line in lines) == 2, "one value is chosen for each level"
    assert [line for line in lines if len(line) > 80 and not line.startswith("    ")] == []


@pytest.mark.parametrize("rule", ["in-words", "service"])
def test_reports_fit_on_80_columns(rule: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, said = ran(capsys, "tune", rule, "--target", "20/day")
    assert [line for line in said.splitlines() if len(line) > 80 and not line.startswith("    ")] == []
    assert ("Shadow:  the rule is in shadow" in said) is (rule == "in-words")


def test_the_default_target_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, said = ran(capsys, "tune", "longest-wait", "--level", "critical")
    assert "Target:  at most 2/day, all queues together; --target sets another" in said


def test_several_tenants(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each has its own heading; what one lacks does not stop the other."""
    second = "  - {name: beta, region: eu, api_key: k, api_secret: s, poll_every: 1m}\nslack:"
    config = (folder / "alertbot.yaml").read_text().replace("slack:", second, 1)
    (folder / "alertbot.yaml").write_text(config)
    code, said = ran(capsys, "tune", "longest-wait")
    lines = said.splitlines()
    assert code == 1
    assert lines[0] == "acme"
    assert lines[lines.index("beta") - 1] == ""
    assert "Result:" in said
    assert "no recorded polls of scope queue for tenant beta in this period" in said
    code, said = ran(capsys, "tune", "longest-wait", "--tenant", "acme", "--json")
    assert (code, list(json.loads(said))) == (0, ["acme"])


def test_names_of_agents_are_hidden(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With `privacy.agents: initials` no full name is in the report, and overrides are by id."""
    with (folder / "alertbot.yaml").open("a") as file:
        file.write("privacy: {agents: initials}\n")
    for form in ([], ["--json"]):
        code, said = ran(capsys, "tune", "breaks", "--target", "60/day", *form)
        assert code == 0, said
        assert not [name for name in AGENTS if name in said]
        assert "AP" in said


REFUSED = {
    "an unknown rule": (["longest-wiat"], 2, "there is no rule 'longest-wiat' (did you mean longest-wait?)"),
    "a malformed target": (
        ["longest-wait", "--target", "2 a day"],
        2,
        "--target takes a number above 0 per day or week, such as 2/day or 5/week, not '2 a day'",
    ),
    "a target of nothing": (["longest-wait", "--target", "0/day"], 2, "--target takes a number above 0"),
    "a level that is none": (["longest-wait", "--level", "high"], 2, "--level is info, warning or critical"),
    "a level that it does not have": (["service", "--level", "info"], 2, "has no level info (it has critical)"),
    "an unknown parameter": (["longest-wait", "--param", "wran"], 2, "no parameter 'wran' (did you mean warn?)"),
    "a parameter of clear alone": (["longest-wait", "--param", "calm"], 1, "$calm of rule longest-wait is not a limit"),
    "a parameter of another level": (
        ["longest-wait", "--level", "critical", "--param", "warn"],
        2,
        "--param: $warn of rule longest-wait is a limit of warning",
    ),
    "an unknown key": (["two", "--key", "entered.int-15m"], 2, "did you mean entered.int-30m?"),
    "several numbers": (["two"], 2, "entered.int-30m > 2    --key entered.int-30m"),
    "no number": (["nobody-there"], 1, "rule nobody-there has no number to tune"),
    "only zero": (["callers"], 1, "it compares only with 0 (--key interactionsWaitInQueue.rt tunes it anyway)"),
    "a tenant that is none": (["longest-wait", "--tenant", "amce"], 2, "--tenant: there is no tenant 'amce'"),
    "no alert at any value": (
        ["never"],
        1,
        "rule never would not have sent one alert in 2 days of recorded polls, whatever 5h is: its guard, hours or",
    ),
    "only suppressed alerts": (["hidden"], 1, "would have fired, suppressed by nobody-there until they ended"),
    "a key that was not recorded": (["unread"], 1, "whatever 3 is: eligible.rt is not in the recording"),
    "less than a day": (
        ["longest-wait", "--since", "5h"],
        1,
        "hours are recorded for tenant acme in this period: tune needs",
    ),
    "a target that no value meets": (["longest-wait", "--target", "0.1/day"], 1, "the nearest is "),
}


@pytest.mark.parametrize(("args", "status", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_tuned(
    args: list[str], status: int, text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = ran(capsys, "tune", *args)
    assert (code, text in said, "Traceback" in said) == (status, True, False), said


def test_without_a_recording(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither without a database nor with an empty one."""
    (folder / "alertbot.yaml").write_text(CONFIG)
    code, said = ran(capsys, "tune", "longest-wait")
    assert (code, "Traceback" in said) == (1, False), said
    SqliteStore(folder / "alertbot.db").close()
    code, said = ran(capsys, "tune", "longest-wait")
    assert code == 1
    assert "no recorded polls of scope queue for tenant acme in this period" in said
    code, said = ran(capsys, "tune", "longest-wait", "--json")
    assert (code, "problem" in json.loads(said)["acme"]) == (1, True)
