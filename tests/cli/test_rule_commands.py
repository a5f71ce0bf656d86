"""`check`, `test`, `replay` and `preview` as rule authors type them: what they print, and the exit status."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from alertbot.cli import main
from alertbot.cli.show import show_faults
from alertbot.clock import wall_clock
from alertbot.errors import FaultsFound
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.feed.health import Feed
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import Scope
from alertbot.store.records import PollRecord
from alertbot.store.sqlite.store import SqliteStore
from benchmarks import replay as benchmark
from tests.golden import DATA, check_golden
from tests.slack.slack_server import TOKEN, slack_server

CASES = DATA / "cases"
CONFIG = """\
tenants:
  - {name: acme, region: eu, api_key: k, api_secret: s}
slack: {default_channel: "#cc-alerts", bot_token: xoxb-of-the-test, api_url: http://127.0.0.1:9/api/}
timezone: Europe/Helsinki
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The rules and tests of tests/data/cases, in a folder that is the current one; no alertbot.yaml."""
    (tmp_path / "rules" / "tests").mkdir(parents=True)
    shutil.copy(CASES / "rules.yaml", tmp_path / "rules" / "queues.yaml")
    shutil.copy(CASES / "good.yaml", tmp_path / "rules" / "tests" / "good.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALERTBOT_CONFIG", raising=False)
    return tmp_path


def ran(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    """The exit status of a command and what it printed."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(list(args))
    said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, said.out + said.err


# test


PATHS = {
    "the rules": ["rules"],
    "the folder of tests": ["rules/tests"],
    "one file of tests": ["rules/tests/good.yaml"],
    "a rule file, by the tests of its rules": ["rules/queues.yaml"],
    "all that is below": ["."],
    "the same twice": ["rules", "rules"],
}


@pytest.mark.parametrize("paths", PATHS.values(), ids=PATHS)
def test_tests_are_found(folder: Path, capsys: pytest.CaptureFixture[str], paths: list[str]) -> None:
    assert ran(capsys, "test", *paths) == (0, "11 rule tests passed\n")


def test_the_default_is_what_alertbot_yaml_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its default channel and its hours count; without it a path is needed."""
    assert ran(capsys, "test")[0] == 2
    (folder / "alertbot.yaml").write_text(CONFIG.replace("#cc-alerts", "#elsewhere"))
    code, said = ran(capsys, "test")
    assert code == 1
    assert "expected fired in #cc-alerts, got fired warning in #elsewhere" in said


def test_the_examples_of_the_documents_pass(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each on the first example of rules that has its rule."""
    text = (Path(__file__).parent.parent.parent / "docs" / "rules.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    examples = [block for block in blocks if block.startswith("tests:")]
    assert len(examples) == 2
    for example in examples:
        (wanted,) = re.findall(r"rule: (.*)", example)
        rules = next(block for block in blocks if f"- id: {wanted}\n" in block)
        (folder / "rules" / "queues.yaml").write_text(rules)
        (folder / "rules" / "tests" / "good.yaml").write_text(example)
        assert ran(capsys, "test", "rules") == (0, "1 rule test passed\n")


def test_a_test_file_beside_the_rules(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.move(folder / "rules" / "tests" / "good.yaml", folder / "rules" / "checks.yaml")
    assert ran(capsys, "test", "rules/checks.yaml") == (0, "11 rule tests passed\n")


def test_a_failing_test_is_named_with_its_timeline(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 1, the failing ones alone, and the same in JUnit XML."""
    shutil.copy(CASES / "failing.yaml", folder / "rules" / "tests")
    code, said = ran(capsys, "test", "rules", "--junit", "out.xml")
    assert code == 1
    assert said.endswith("4 of 15 rule tests failed\n")
    assert "FAILED rules/tests/failing.yaml:13: its guard prevents a decision (rule longest-wait)" in said
    assert "the guard is not true (entered.int-30m >= 10)" in said
    assert "too few calls" not in said
    root = ElementTree.parse(folder / "out.xml").getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("15", "4", "0")
    failure = root.find(".//testcase[@name='its guard prevents a decision']/failure")
    assert failure is not None
    assert failure.get("message") == "expected firing, got inactive"


def test_faults_of_rules_and_tests_are_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "rules" / "tests" / "bad.yaml").write_text("tests: [{name: a, rule: lngest-wait, notices: []}]\n")
    code, said = ran(capsys, "test", "rules", "--junit", "out.xml")
    assert code == 1
    assert 'rules/tests/bad.yaml:1:25: there is no rule lngest-wait (did you mean "longest-wait"?)' in said
    assert ElementTree.parse(folder / "out.xml").getroot().get("errors") == "1"
    assert ran(capsys, "test", "nowhere")[1].startswith("nowhere: no such file or folder")
    (folder / "empty").mkdir()
    assert ran(capsys, "test", "empty")[0] == 1


# check


def test_check_looks_at_rules_templates_and_tests(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything in one run: a fault of each kind, and where it is."""
    code, said = ran(capsys, "check", "rules")
    assert (code, said.splitlines()[-1]) == (0, "7 rules and 11 rule tests, no faults")
    assert '25:24: hint: rule on-break: "On Break" is not a known value of status.rt' in said
    (folder / "rules" / "more.yaml").write_text(
        "rules:\n"
        "  - {id: never, scope: queue, when: entered.today > 5 and entered.today < 3}\n"
        "  - {id: torn, scope: queue, when: entered.today > 5, template: torn}\n"
        "  - {id: bare, scope: queue, when: entered.today > 6, template: none}\n"
        "  - {id: wrong, scope: queue, when: enterd.today > 5}\n"
    )
    (folder / "rules" / "templates").mkdir()
    (folder / "rules" / "templates" / "torn.j2").write_text(
        '{% extends "alert.j2" %}\n{% block body %}{{ card.nothing }}{% endblock %}\n'
    )
    (folder / "rules" / "tests" / "bad.yaml").write_text(
        "tests:\n"
        "  - {name: a, rule: nobody-there, series: {enabled.rt: 5s}, notices: []}\n"
        "  - {name: of a rule with faults, rule: wrong, series: {entered.today: 5}, notices: []}\n"
    )
    code, said = ran(capsys, "check", "rules")
    assert code == 1
    assert [line.split(" ")[0] for line in said.splitlines()] == [
        "rules/more.yaml:2:37:",
        "rules/more.yaml:4:65:",
        "rules/more.yaml:5:37:",
        "rules/queues.yaml:25:24:",
        "rules/templates/torn.j2:2:0:",
        "rules/tests/bad.yaml:2:56:",
        "4",
    ]
    assert said.splitlines()[-1] == "4 faults, 1 warning and 1 hint"
    code, said = ran(capsys, "check", "rules", "--json")
    findings = json.loads(said)
    assert code == 1
    assert {key for each in findings for key in each} == {
        "file",
        "line",
        "column",
        "rule",
        "message",
        "hint",
        "severity",
    }
    assert [each["severity"] for each in findings] == ["warning", "error", "error", "hint", "error", "error"]


ONE_OF_EACH = """\
rules:
  - {id: a, scope: queue, when: enterd.today > 5}
  - {id: b, scope: queue, when: entered.today > 5, channel: "#CC, 100%"}
  - {id: c, scope: agent, when: status.rt == "Lunch"}
"""


def test_check_for_github(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An annotation per finding; what the format uses itself is escaped."""
    (folder / "a,b.yaml").write_text(ONE_OF_EACH.replace('"#CC, 100%"', '"#CC"'))
    code, said = ran(capsys, "check", "a,b.yaml", "--format", "github")
    assert code == 1
    assert said.splitlines() == [
        '::error file=a%2Cb.yaml,line=2,col=33::rule a: unknown key "enterd.today" for scope queue '
        '(did you mean "entered.today"?)',
        '::warning file=a%2Cb.yaml,line=3,col=61::rule b: channel names have no capitals in Slack (write "#cc")',
        '::notice file=a%2Cb.yaml,line=4,col=46::rule c: "Lunch" is not a known value of status.rt (known are '
        "Available, Offering, Handling, WrapUp, OnBreak, WorkingOffline and LoggedOut)",
    ]


def test_check_as_sarif(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a b.yaml").write_text(ONE_OF_EACH.replace('"#CC, 100%"', '"#CC"'))
    code, said = ran(capsys, "check", "a b.yaml", "nowhere", "--format", "sarif")
    document = json.loads(said)
    assert (code, document["version"]) == (1, "2.1.0")
    (run,) = document["runs"]
    assert {each["ruleId"] for each in run["results"]} <= {each["id"] for each in run["tool"]["driver"]["rules"]}
    assert [each["level"] for each in run["results"]] == ["error", "warning", "note", "error"]
    places = [each["locations"][0]["physicalLocation"] for each in run["results"]]
    assert places[0] == {"artifactLocation": {"uri": "a%20b.yaml"}, "region": {"startLine": 2, "startColumn": 33}}
    assert places[-1] == {"artifactLocation": {"uri": "nowhere"}}


def test_check_of_a_file_whose_name_is_not_utf8(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its bytes are in the address as they are."""
    Path(os.fsdecode(b"caf\xe9.yaml")).write_text(ONE_OF_EACH)
    code, said = ran(capsys, "check", os.fsdecode(b"caf\xe9.yaml"), "--format", "sarif")
    place = json.loads(said)["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert (code, place["artifactLocation"]["uri"]) == (1, "caf%E9.yaml")


def test_hints_alone_pass(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "c.yaml").write_text('rules: [{id: c, scope: agent, when: status.rt == "Lunch"}]')
    code, said = ran(capsys, "check", "c.yaml")
    assert code == 0
    assert said.splitlines()[1:] == ["1 hint", "1 rule, no faults"]


REFERENCES = """\
tenants: [{name: acme, region: eu, api_key: "${A_KEY}", api_secret: "${file:/nowhere/secret}"}]
slack: {default_channel: "#CC"}
timezone: EST
"""


def test_check_of_a_configuration(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name or as the default; it names the secrets that are not set, which does not change the exit status."""
    monkeypatch.delenv("A_KEY", raising=False)
    (folder / "alertbot.yaml").write_text(REFERENCES)
    code, said = ran(capsys, "check", "alertbot.yaml")
    assert code == 1
    assert said.splitlines() == [
        'alertbot.yaml:2:26: warning: channel names have no capitals in Slack (write "#cc")',
        "alertbot.yaml:3:11: hint: EST has no summer time: it is the same offset from UTC all year "
        "(write the place, such as America/New_York)",
        "1 warning and 1 hint",
        "Not set here, and `run` needs them: A_KEY, /nowhere/secret, slack.bot_token",
    ]
    assert ran(capsys, "check")[1].splitlines()[-1] == said.splitlines()[-1]
    (folder / "alertbot.yaml").write_text(CONFIG)
    assert ran(capsys, "check", "alertbot.yaml") == (0, "the configuration, no faults\n")
    (folder / "alertbot.yaml").write_text(CONFIG + "storge: x\n")
    assert ran(capsys, "check", "alertbot.yaml")[0] == 2


def test_check_of_the_levels_of_the_fallback_webhook(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without critical it is almost certainly a mistake; with it, or with a reference, it is none."""
    webhook = 'fallback_webhook: {url: "http://127.0.0.1:9/x", levels: %s}, '
    for levels, status in (("[warning]", 1), ("[warning, critical]", 0)):
        (folder / "alertbot.yaml").write_text(CONFIG.replace("slack: {", "slack: {" + webhook % levels))
        code, said = ran(capsys, "check", "alertbot.yaml")
        assert code == status, said
        assert ("critical alerts are not posted there" in said) is (status == 1)


DIGESTS = {
    "a week that is kept": ("digest: {every: mon 08:00}\nhistory: 7d\n", 0, "no faults"),
    "a week that is not kept": (
        "digest: {every: mon 08:00}\nhistory: 2d\n",
        1,
        "alertbot.yaml:6:10: warning: history: ended alerts are kept for 2d, but the digest covers a week "
        "(set history to 8d or more, or send the digest daily)",
    ),
    "a day": ("digest: {every: daily 08:00}\nhistory: 2d\n", 0, "no faults"),
    "no digest": ("history: 2d\n", 0, "no faults"),
    "a history from a reference": ("digest: {every: mon 08:00}\nhistory: ${KEPT:-2d}\n", 0, "no faults"),
    "capitals in its channel": (
        'digest: {every: mon 08:00, channel: "#CC"}\n',
        1,
        'alertbot.yaml:5:37: warning: channel names have no capitals in Slack (write "#cc")',
    ),
}


@pytest.mark.parametrize(("text", "status", "wanted"), DIGESTS.values(), ids=DIGESTS)
def test_check_of_the_digest(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, status: int, wanted: str
) -> None:
    (folder / "alertbot.yaml").write_text(CONFIG + text)
    code, said = ran(capsys, "check", "alertbot.yaml")
    assert (code, wanted in said) == (status, True), said


def test_a_rules_folder_that_is_named_must_exist(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong configuration, for every command."""
    (folder / "alertbot.yaml").write_text(CONFIG + "rules: rulez/\n")
    for command in (["check"], ["test"], ["ask", "status"]):
        code, said = ran(capsys, *command)
        assert code == 2
        assert 'alertbot.yaml:5:1: rules: no such file or folder: "rulez/"' in said


REPORTED = {
    "break codes in a series": ("aux-codes-in-a-series", 0, "2 rule tests passed"),
    "a series that no rule reads": (
        "a-test-of-nothing",
        1,
        "t.yaml:5:14: rule a: the rule does not read interactionsLongestWaitInQueue.rt "
        '(did you mean "interactionsWaitInQueue.rt"?)',
    ),
    "a file that the system refuses to read": ("/proc/self/mem", 1, "/proc/self/mem: cannot be read: "),
}


@pytest.mark.parametrize(("path", "status", "said"), REPORTED.values(), ids=REPORTED)
def test_reported_rule_tests(capsys: pytest.CaptureFixture[str], path: str, status: int, said: str) -> None:
    code, printed = ran(capsys, "check" if path.startswith("/proc") else "test", str(DATA / "reports" / path))
    assert code == status
    assert said in printed


def test_check_of_tests_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their rules are read, but their faults are not reported."""
    for path in ("rules/tests", "rules/tests/good.yaml"):
        code, said = ran(capsys, "check", path)
        assert (code, said.splitlines()[-1]) == (0, "11 rule tests, no faults")


UNDERLINED = """\
rules:
  - id: longest-wait
    scope: queue
    treshold: 5
    when: "interactionsLongestWaitInQueue.rt > 120 and entered.today > 5s"
    channel: '#a b'
  - {id: "tab\\there", scope: queue, when: interactionsWaitInQueu.rt > 5 }
  - id: 待ち時間
    scope: queue
    when: >-
      entered.today > 5
      and enterd.today > 5
"""


def test_offending_text_is_underlined_on_a_terminal(folder: Path) -> None:
    """The line of each fault, and a line of ^ below what is meant; as wide as it is shown."""
    (folder / "wrong.yaml").write_text(UNDERLINED)
    with pytest.raises(FaultsFound) as caught:
        parse_files({"wrong.yaml": UNDERLINED})
    screen = io.StringIO()
    show_faults(caught.value.faults, Console(file=screen, force_terminal=True, color_system=None, width=200))
    check_golden("check/underlined.txt", screen.getvalue())


def test_away_from_a_terminal_a_fault_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "wrong.yaml").write_text(UNDERLINED)
    _, said = ran(capsys, "check", "wrong.yaml")
    assert "^" not in said
    assert all(line.startswith("wrong.yaml:") for line in said.splitlines()[:-1])


# replay and preview


@pytest.fixture
def recorded(folder: Path) -> Iterator[Path]:
    """Half an hour of polls up to now: one queue waits too long for five minutes, another has no agents."""
    (folder / "alertbot.yaml").write_text(CONFIG)
    store = SqliteStore(folder / "alertbot.db")
    begin = wall_clock() - timedelta(minutes=30)
    for index, seen in enumerate(benchmark.polls(3, 120)):
        at = begin + index * benchmark.EVERY
        columns = {key: column for key, column in seen.columns.items() if key != "status.rt"}
        for key, value in (("interactionsLongestWaitInQueue.rt", 0.0), ("enabled.rt", 4.0), ("entered.int-30m", 50.0)):
            columns[key].values[:] = value
        if 40 <= index < 60:
            columns["interactionsLongestWaitInQueue.rt"].values[0] = 130_000.0 + index
        columns["enabled.rt"].values[1] = 0.0 if index >= 100 else 4.0
        snapshot = type(seen)(Scope.QUEUE, at, seen.ids, seen.names, columns)
        store.record(PollRecord("acme", at, Feed("acme"), snapshots={Scope.QUEUE: snapshot}))
    store.close()
    return folder


def test_replay_says_what_fired(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ran(capsys, "replay", "--since", "1h", "--plot", "longest-wait")
    assert code == 0
    assert "120 polls" in said
    assert "fired once for 1 queue, 6m in all" in said  # until clear has held for a minute
    assert "worst 2m 10s" in said
    assert "nobody-there" in said
    assert "never fired: office-hours, on-break, many-on-break" in said
    assert "●" in said
    assert "not recorded, so conditions on these keys are unknown: status.rt (agent)" in said


def test_replay_as_a_comment_under_a_pull_request(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Markdown of a change: a lower limit, a rule that is removed and a new one that would not have fired."""
    shutil.copytree(recorded / "rules", recorded / "before")
    rules = recorded / "rules" / "queues.yaml"
    text = rules.read_text().replace("nobody-there", "nobody-here")
    rules.write_text(text + "\n  - {id: none-at-all, title: None, scope: queue, when: enabled.rt > 99}\n")
    code, said = ran(capsys, "replay", "--since", "1h", "--against", "before", "--format", "markdown")
    assert code == 0, said
    lines = said.splitlines()
    assert lines[0] == "### Alerts: 1 alert more, 1 fewer"
    assert "120 recorded polls, " in lines[2]
    assert "(Europe/Helsinki), through the rules before and after the change." in lines[2]
    assert lines[4:8] == [
        "| rule | alerts before | after | added | removed | changed | notices in all before | after |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| `nobody-here` | no rule | 1 | 1 | 0 | 0 | 0 | 1 |",
        "| `nobody-there` | 1 | no rule | 0 | 1 | 0 | 1 | 0 |",
    ]
    assert "New, and would not have fired: `none-at-all`." in lines
    assert "<summary>nobody-here: examples</summary>" in lines
    assert any(re.fullmatch("- removed: `Queue 1, .* still open .*, warning, worst 0`", line) for line in lines), said


def test_replay_of_one_set_of_rules_as_markdown(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ran(capsys, "replay", "--since", "1h", "--format", "markdown", "--plot", "longest-wait")
    assert code == 0, said
    assert "### Alerts: 2 alerts\n" in said
    assert re.search(r"\n\| `longest-wait` \| 1 \| 1 \| 6m \| 6m \| \d \|\n", said), said
    assert "Never fired: `office-hours`, `on-break`, " in said
    plot = said[said.index("```text") :]
    assert "●" in plot
    assert "\n```\n" in plot
    assert "\nNot recorded, so conditions on these keys are unknown: status.rt (agent), " in said


def test_a_chart_in_a_terminal(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A text plot of what was recorded, with the limits of the rules; no other key is read for it."""
    code, said = ran(capsys, "ask", "chart “longest wait” Queue 0 1h")
    assert code == 0, said
    assert said.startswith("Longest wait: Queue 0, last 1h\n")
    assert "●" in said
    assert "─ critical above 2m" in said
    assert "highest 2m 10s at" in said
    code, said = ran(capsys, "ask", "chart longest wait Queue 99")
    assert code == 1
    assert "Did you mean Queue" in said


def test_rankings_and_history_in_a_terminal(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ran(capsys, "ask", "top agents logged in 2")
    assert code == 0, said
    assert "Agents logged in: the lowest of 3 queues" in said
    assert said.splitlines()[3].split() == ["Queue", "1", "0"]
    assert ran(capsys, "ask", "history 2d")[1].strip() == "No alert ended in the last 2d."


def test_check_hints_at_a_match_that_covers_nothing(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the last poll in the database; a hint does not change the exit status."""
    text = (recorded / "rules" / "queues.yaml").read_text()
    (recorded / "rules" / "queues.yaml").write_text(
        text + "\n  - id: eu\n    scope: queue\n    match: {name: '[EU]*'}\n    when: enabled.rt == 1\n"
    )
    code, said = ran(capsys, "check")
    assert code == 0, said
    assert "hint: rule eu: the match covers no queue of the last poll: name [EU]* (brackets are literal" in said
    (recorded / "alertbot.db").unlink()
    assert "covers no" not in ran(capsys, "check")[1]


def _record(folder: Path, polls: int, every: timedelta, **values: float | None) -> None:
    """Polls of two queues up to now; a value of None is missing in all of them."""
    store = SqliteStore(folder / "alertbot.db")
    end = wall_clock()
    keys = {"waits": "interactionsLongestWaitInQueue.rt", "entered": "entered.int-30m", "enabled": "enabled.rt"}
    for index in range(polls):
        at = end - (polls - 1 - index) * every
        columns = {}
        for name, key in keys.items():
            value = values.get(name, 0.0)
            if name == "waits" and value and index % 10:
                value = 0.0  # high in every tenth poll
            missing = Presence.PRESENT if value is not None else Presence.NULL
            columns[key] = Column(np.full(2, np.nan if value is None else value), np.full(2, missing, np.uint8))
        snapshot = Snapshot(Scope.QUEUE, at, ("1", "2"), ("One", "Two"), columns)
        store.record(PollRecord("acme", at, Feed("acme"), snapshots={Scope.QUEUE: snapshot}))
    store.close()


def test_check_hints_at_a_key_that_had_no_value_for_days(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A key with a value in some poll, or recorded for less than a day, is none of them."""
    (folder / "alertbot.yaml").write_text(CONFIG)
    _record(folder, 10, timedelta(minutes=30), entered=None)
    assert "had no value" not in ran(capsys, "check")[1]
    _record(folder, 50, timedelta(minutes=60), entered=None)
    code, said = ran(capsys, "check")
    assert code == 0, said
    hints = [line for line in said.splitlines() if "had no value" in line]
    assert hints, said
    assert all("entered.int-30m had no value in any of the 50 polls of the last 2 days" in line for line in hints)


def test_check_warns_of_rules_that_fire_more_often_than_the_policy_allows(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "alertbot.yaml").write_text(CONFIG + "policy: {max_per_day: 3}\n")
    (folder / "rules" / "queues.yaml").write_text(
        "rules:\n  - {id: long, title: Long, scope: queue, when: interactionsLongestWaitInQueue.rt > 60s}\n"
    )
    shutil.rmtree(folder / "rules" / "tests")
    _record(folder, 30, timedelta(minutes=1), waits=90_000.0)
    assert (
        "policy.max_per_day was not checked: less than a day of polls is recorded for tenant acme"
        in ran(capsys, "check")[1]
    )
    _record(folder, 61, timedelta(minutes=48), waits=90_000.0)  # two days; seven times, in both queues
    code, said = ran(capsys, "check")
    assert code == 1
    assert (
        "rules/queues.yaml:2:10: warning: rule long: would have fired 7.0 times a day in the last 2.0 days of acme; "
        "policy allows 3 (alertbot tune long proposes a limit that fires less often)"
    ) in said


def test_check_warns_of_a_rule_that_looks_back_further_than_polls_are_kept(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "alertbot.yaml").write_text(CONFIG)
    rules = folder / "rules" / "more.yaml"
    text = "rules: [{id: more, scope: queue, when: 'entered.int-30m > ago(entered.int-30m, %s)'}]\n"
    rules.write_text(text % "7d")
    assert ran(capsys, "check")[0] == 0
    rules.write_text(text % "8d")
    code, said = ran(capsys, "check")
    assert (
        code,
        "looks back further than polls are kept (record.keep: 8d) (set record.keep to 9d or more" in said,
    ) == (
        1,
        True,
    ), said


@pytest.mark.parametrize("command", ["check", "test"])
def test_reminders_are_compared_with_the_polls_of_the_tenant(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `poll_every` of alertbot.yaml where there is one, and with 15s where there is none."""
    rules = folder / "rules" / "more.yaml"
    rules.write_text("rules: [{id: more, scope: queue, when: entered.today > 5, remind: 20s}]\n")
    assert ran(capsys, command, "rules")[0] == 0
    (folder / "alertbot.yaml").write_text(CONFIG.replace("region: eu", "region: eu, poll_every: 30s"))
    code, said = ran(capsys, command, "rules")
    assert code == 1
    assert "rules/more.yaml:1:67: rule more: remind is 20s, shorter than the time between two polls" in said
    assert "(poll_every: 30s) (write 30s or more)" in said


def test_check_knows_the_channels_of_an_escalation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is said about any channel is said about these."""
    text = "rules: [{id: more, scope: queue, when: entered.today > 5, escalate: [{after: 10m, channel: '#CC-Boss'}]}]\n"
    (folder / "rules" / "more.yaml").write_text(text)
    code, said = ran(capsys, "check", "rules")
    assert code == 1
    assert "rules/more.yaml:1:92: warning: rule more: channel names have no capitals in Slack" in said


def test_tests_in_linked_folders_are_run_and_strange_files_are_faults(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`test` and `check` walk as the bot does; neither hangs on a FIFO."""
    shared = folder / "shared"
    (folder / "rules" / "tests").rename(shared)
    (folder / "rules" / "tests").symlink_to("../shared")
    code, said = ran(capsys, "test", "rules")
    assert code == 0, said
    os.mkfifo(shared / "b.yaml")
    for command in ("test", "check"):
        code, said = ran(capsys, command, "rules")
        assert (code, "rules/tests/b.yaml: cannot be read: not a regular file" in said) == (1, True), said


def test_replay_for_machines(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ran(capsys, "replay", "--json")
    answer = json.loads(said)["acme"]
    rules: dict[str, dict[str, Any]] = {each["rule"]: each for each in answer["rules"]}
    assert code == 0
    assert answer["polls"] == 120
    assert (rules["longest-wait"]["fired"], rules["longest-wait"]["entities"]) == (1, {"Queue 0": 1})
    assert (rules["nobody-there"]["open"], sum(rules["nobody-there"]["by_hour"])) == (1, 1)
    assert rules["longest-wait"]["alerts"][0]["peak"] == 130_059.0


def test_replay_against_other_rules(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a change would add and take away, alert by alert."""
    text = (recorded / "rules" / "queues.yaml").read_text()
    (recorded / "new").mkdir()
    changed = text.replace("warn: 60s, crit: 120s", "warn: 200s, crit: 300s").replace(
        "enabled.rt == 0", "enabled.rt < 5"
    )
    (recorded / "new" / "queues.yaml").write_text(changed.replace("nobody-there", "few-there"))
    code, said = ran(capsys, "replay", "--rules", "new", "--against", "rules")
    assert code == 0
    assert "longest-wait: never fires instead of once (1 fewer, 0 unchanged)" in said
    assert "  - Queue 0, " in said
    assert "few-there is new: fires 3 times" in said
    assert "nobody-there is removed: 1 alert would not be reported" in said
    assert "In all: 3 alerts more, 2 fewer" in said
    assert "In all: 0 alerts more, 0 fewer;" in ran(capsys, "replay", "--against", "rules")[1]
    assert " as before\n" in ran(capsys, "replay", "--against", "rules")[1]
    (recorded / "new" / "more.yaml").write_text(
        "rules:\n"
        "  - {id: quiet, scope: queue, when: enabled.rt > 900}\n"
        "  - {id: still, scope: queue, when: enabled.rt > 901}\n"
    )
    _, said = ran(capsys, "replay", "--rules", "new", "--against", "rules")
    assert "new, and would never have fired: quiet, still\n" in said
    _, said = ran(capsys, "replay", "--rules", "rules", "--against", "new")
    assert "removed, and no alert would be lost: quiet, still\n" in said
    code, said = ran(capsys, "replay", "--against", "rules")
    assert "No alert would be added, removed or changed." in said


def test_replay_without_polls_is_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "alertbot.yaml").write_text(CONFIG)
    SqliteStore(folder / "alertbot.db").close()
    code, said = ran(capsys, "replay")
    assert (code, said) == (1, "There are no recorded polls in this period.\n")
    assert ran(capsys, "replay", "--since", "soon")[0] == 2
    code, said = ran(capsys, "replay", "--since", "800000d")
    assert (code, "longer than ten years" in said) == (2, True)
    assert ran(capsys, "replay", "--tenant", "other")[0] == 2


def test_preview_of_a_sample_and_of_an_entity(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ran(capsys, "preview", "longest-wait")
    assert code == 0
    assert "Critical: Sales EU — Longest wait in queue" in said
    assert "longest wait 2m 30s, limit 2m" in said
    assert "Last 30 min: ▂▂▂▂▂▃▂▃▄▅▆█ 24s to 2m 30s" in said
    code, said = ran(capsys, "preview", "longest-wait", "--entity", "queue 0")
    assert code == 0
    assert re.search(r"Last 30 min: ▁+█+▁+ 0s to 2m 10s", said), said  # as recorded
    code, said = ran(capsys, "preview", "nobody-there", "--entity", "queue 1")
    assert code == 0
    assert re.search(r"Last 30 min: █+▁+ 0 to 4", said), said
    assert "Queue 1 — Nobody there" in said
    assert "Queue 1: 0 agents logged in" in said
    code, said = ran(capsys, "preview", "longest-wait", "--level", "warning", "--rules", "rules")
    assert "Warning: Sales EU — Longest wait in queue" in said


WRONG_PREVIEWS = {
    "no such rule": (["longest-wiat"], "did you mean longest-wait?"),
    "no such level": (["nobody-there", "--level", "critical"], "nobody-there has warning, not 'critical'"),
    "no such entity": (["longest-wait", "--entity", "Queue 9"], "there is no queue 'Queue 9' (did you mean Queue"),
    "several entities": (["longest-wait", "--entity", "queue"], "matches several: Queue 0, Queue 1, Queue 2"),
    "no such channel": (["longest-wait", "--send", "cc"], "--send takes a channel"),
}


@pytest.mark.parametrize(("args", "said"), WRONG_PREVIEWS.values(), ids=WRONG_PREVIEWS)
def test_a_preview_that_cannot_be_drawn(
    recorded: Path, capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    code, told = ran(capsys, "preview", *args)
    assert code == 2
    assert said in told


def test_a_drill_in_slack(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One message marked DRILL everywhere, without buttons and without mentions."""
    text = (folder / "rules" / "queues.yaml").read_text()
    (folder / "rules" / "queues.yaml").write_text(text.replace('channel: "#cc-sales"', 'mention: ["<!here>"]'))
    with slack_server() as slack:
        config = CONFIG.replace("http://127.0.0.1:9/api/", slack.api_url).replace("xoxb-of-the-test", TOKEN)
        (folder / "alertbot.yaml").write_text(config)
        code, said = ran(capsys, "preview", "longest-wait", "--send", "#cc-alerts")
        assert code == 0
        assert said.endswith("sent to #cc-alerts, marked as a drill\n")
        (message,) = slack.top()
    assert "DRILL" in message["text"]
    assert "DRILL" in message["blocks"][0]["text"]["text"]
    written = json.dumps(message)
    assert "actions" not in [block["type"] for block in message["blocks"]]
    assert "<!here>" not in written
    assert "nothing is wrong" in written
    (folder / "alertbot.yaml").write_text(CONFIG)  # an address without a listener
    assert ran(capsys, "preview", "longest-wait", "--send", "#cc-alerts")[0] == 1


def test_ask_why(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Windows are known from the recording."""
    code, said = ran(capsys, "ask", "why waiting-on-average Queue 1")
    assert code == 0
    assert "avg(interactionsWaitInQueue.rt, 1m) > 3   [avg(interactionsWaitInQueue.rt, 1m) is 0]" in said
