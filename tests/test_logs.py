"""What is logged: secrets never, what repeats once in ten minutes."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
import structlog

from alertbot import logs, poll
from alertbot.alerts.alert import Change, Reason, Withheld
from alertbot.evaluation.snapshot import Fetched
from alertbot.feed.health import Feed, Health
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level
from alertbot.service.poller import MAX_LINES, Summary, log_turn
from tests.alerts.kit import NOW, WAIT, snapshot
from tests.store.build import begins, ends, firing


@dataclass
class Seconds:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def record(text: str, level: int = logging.WARNING, **more: Any) -> logging.LogRecord:
    return logging.LogRecord("alertbot.delivery", level, "", 0, text, (), None, **more)


def test_what_repeats_is_logged_again_after_ten_minutes_with_its_number() -> None:
    """An outage is one line, not 127; another one is another line."""
    clock = Seconds()
    repeats = logs.Repeats(clock)
    passed = []
    for second in range(0, 700, 5):
        clock.now = second
        line = record(f"Could not edit card {second}")
        if repeats.filter(line):
            passed.append(line.getMessage())
    assert passed == ["Could not edit card 0", "Could not edit card 600 (repeated 119 times)"]
    assert repeats.filter(record("Could not post a line"))
    assert all(repeats.filter(record("polled 8x8", logging.INFO)) for _ in range(3))


def test_the_log_of_a_process(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON lines without secrets, with `repeated` as a key of its own."""
    logs.configure(["hush"])
    log = logs.logger("delivery")
    for _ in range(3):
        log.error("the token hush was refused", tenant="acme")
    (line,) = capsys.readouterr().err.splitlines()
    logged = json.loads(line)
    assert (logged["event"], logged["tenant"], logged["level"]) == ("the token [secret] was refused", "acme", "error")


def test_a_state_that_begins_again_is_logged_again(capsys: pytest.CaptureFixture[str]) -> None:
    """Each outage has its own first line, however soon it comes; how long one lasts makes no difference."""
    logs.configure()
    log = logs.logger("database")
    for problem in ("locked for 1 s", "locked for 2 s", "", "locked for 3 s"):
        if problem:
            log.error("the database cannot be used", problem=problem, begins=problem != "locked for 2 s")
        else:
            log.info("the database can be used again")
    logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line.get("problem"), line.get("begins")) for line in logged] == [
        ("the database cannot be used", "locked for 1 s", None),
        ("the database can be used again", None, None),
        ("the database cannot be used", "locked for 3 s", None),
    ]


def turn(*changes: Change, good: bool = True) -> poll.Turn:
    fetched = Fetched(NOW, {Scope.QUEUE: snapshot({WAIT: [1.0]})}, took_ms=20.0)
    if not good:
        fetched = Fetched(NOW, failures={Scope.QUEUE: "8x8 answered 503"}, took_ms=40.0)
    feed = replace(Feed("acme"), health=Health(good=int(good)))
    return poll.Turn("acme", NOW, fetched, fetched.snapshots, changes, (), feed, poll.Memory())


def unmuted(reason: Reason | None, withheld: Withheld | None = None) -> Change:
    """Only the mute of an alert changed."""
    return Change(firing(), firing(), reason, "queue-down has ended", withheld)


TURNS = {
    "nothing changed": (turn(), [("debug", "polled 8x8")]),
    "an alert fired": (turn(begins(firing())), [("info", "alert is firing"), ("info", "polled 8x8: alerts changed")]),
    "a suppression ended": (
        turn(unmuted(Reason.SUPPRESSION_ENDED)),
        [("info", "alert is firing"), ("debug", "polled 8x8")],
    ),
    "its rule left shadow": (turn(unmuted(Reason.FIRED)), [("info", "alert is firing"), ("debug", "polled 8x8")]),
    "it is suppressed now": (turn(unmuted(None)), [("debug", "polled 8x8")]),
    "withheld": (turn(unmuted(Reason.FIRED, Withheld.SUPPRESSED)), [("debug", "polled 8x8")]),
    "it failed": (turn(good=False), [("warning", "polled 8x8, with problems: queue: 8x8 answered 503")]),
}


@pytest.mark.parametrize(("made", "lines"), TURNS.values(), ids=TURNS)
def test_a_turn_is_logged_by_what_it_brought(made: poll.Turn, lines: list[tuple[str, str]]) -> None:
    """A change or report of an alert at info, a failure as a warning; an alert's level has a name of its own."""
    with structlog.testing.capture_logs() as captured:
        log_turn(made)
    assert [(line["log_level"], line["event"]) for line in captured] == lines
    assert [line["alert_level"] for line in captured if line["event"].startswith("alert ")] in ([], ["warning"])


def test_a_storm_is_summed_up() -> None:
    """Of many alerts in one poll the worst have a line each, and one line counts the others by rule and state."""
    fire = [begins(firing(str(number), rule="waits" if number % 3 else "sla")) for number in range(27)]
    ended = [ends(firing(f"old {number}", rule="sla"), NOW) for number in range(2)]
    worst = [begins(firing(f"bad {number}", level=Level.CRITICAL)) for number in range(3)]
    with structlog.testing.capture_logs() as captured:
        log_turn(turn(*fire, *ended, *worst))
    info = [line for line in captured if line["log_level"] == "info"]
    assert [line["entity"] for line in info[:4]] == [each.after.name for each in (*worst, fire[0])]
    assert [line["event"] for line in info[MAX_LINES:]] == [
        "12 more alerts changed in this poll",
        "polled 8x8: alerts changed",
    ]
    assert (info[MAX_LINES]["firing"], info[MAX_LINES]["ended"]) == (10, 2)
    assert info[MAX_LINES]["rules"] == "waits (7), sla (5)"
    lines = {line["entity"] for line in captured if "entity" in line}
    assert lines == {each.after.name for each in (*fire, *ended, *worst)}  # all of them with --verbose
    with structlog.testing.capture_logs() as captured:
        log_turn(turn(*fire[: MAX_LINES + 1]))
    assert [line["log_level"] for line in captured] == ["info"] * (MAX_LINES + 2)


def test_one_summary_every_ten_minutes() -> None:
    """It counts every poll since the last one, failed ones too."""
    summary = Summary()
    with structlog.testing.capture_logs() as captured:
        for index in range(81):
            failed = None if index == 3 else turn(good=index != 7)
            summary.add("acme", failed, NOW + index * timedelta(seconds=15))
    assert [(line["event"], line["failed"]) for line in captured] == [
        ("polled 8x8 41 times in 10m", 2),
        ("polled 8x8 40 times in 10m", 0),
    ]


def test_a_pause_is_in_the_summary() -> None:
    """During a long Retry-After nothing is polled, and the log still says so every ten minutes."""
    summary = Summary()
    paused = replace(turn(), fetched=None)
    with structlog.testing.capture_logs() as captured:
        for index in range(42):
            summary.add("acme", paused, NOW + index * timedelta(seconds=15))
    assert [(line["event"], line["paused"]) for line in captured] == [("polled 8x8 0 times in 10m", 41)]


SECRETS = {
    "as it is": ("the key abcdefgh was refused", "the key [secret] was refused"),
    "the longest first": ("abcdefgh-and-more", "[secret]"),
    "percent-encoded": ("at /p%2Fq%2Br%3Fs", "at /[secret]"),
    "in a list in a dict": ({"a": ["x", {"b": "p/q+r?s"}]}, {"a": ["x", {"b": "[secret]"}]}),
    "no string": (17, 17),
}


@pytest.mark.parametrize(("value", "redacted"), SECRETS.values(), ids=SECRETS)
def test_redaction(value: Any, redacted: Any) -> None:
    """A secret that is part of another leaves nothing of the longer one."""
    assert logs.redact(value, ["abcdefgh", "abcdefgh-and-more", "p/q+r?s"]) == redacted


class Holder:
    """Becomes text only when the line is written."""

    def __repr__(self) -> str:
        return "Holder({!r})".format('with "quotes" and more')


@pytest.mark.parametrize("foreign", [False, True])
def test_no_line_has_a_secret(capsys: pytest.CaptureFixture[str], foreign: bool) -> None:
    """Whatever way it came: an object, a key, a traceback, or a library's own log."""
    secrets = ['with "quotes" and more', "key-of-everything"]
    logs.configure(secrets)
    try:
        raise ValueError(f"refused: {secrets[0]}")
    except ValueError:
        if foreign:
            logging.getLogger("urllib3").exception("GET /%s", secrets[1])
        else:
            logs.logger("x").exception("failed", holder=Holder(), **{"key-of-everything": 1})
    printed = capsys.readouterr().err
    assert "[secret]" in printed
    assert "quotes" not in printed
    assert "key-of-everything" not in printed


def test_the_context_of_a_poll(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of a poll have its tenant and id, those of libraries too; other lines do not."""
    logs.configure()
    with logs.context(tenant="acme", poll="20260302T090000Z"):
        logs.logger("poll").info("polled")
        logging.getLogger("alertbot.sources").warning("slow")
        logs.logger("poll").info("other", tenant="bolt")
    logs.logger("poll").info("after")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line.get("tenant"), line.get("poll")) for line in lines] == [
        ("acme", "20260302T090000Z"),
        ("acme", "20260302T090000Z"),
        ("bolt", "20260302T090000Z"),
        (None, None),
    ]


def test_a_failure_that_repeats_in_every_poll_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The id of the poll makes no new line of it."""
    logs.configure()
    for poll_id in ("20260302T090000Z", "20260302T090015Z", "20260302T090030Z"):
        with logs.context(tenant="acme", poll=poll_id, notice=f"n{poll_id}x"):
            logs.logger("poll").warning("8x8 is away")
    assert len(capsys.readouterr().err.splitlines()) == 1
