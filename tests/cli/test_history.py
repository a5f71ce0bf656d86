"""`history` in the terminal: what it prints, and its exit status."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import tracemalloc
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from alertbot.alerts.alert import Alert, Reason
from alertbot.clock import wall_clock
from alertbot.commands.history_table import csv_lines, rows
from alertbot.store.sqlite.store import SqliteStore
from tests.cli.test_cli import configure, ran
from tests.cli.test_output import run
from tests.store.build import begins, ends, firing, poll, snapshot

NOW = wall_clock().replace(microsecond=0)
HOUR = timedelta(hours=1)


def record(store: SqliteStore, alert: Alert, hours_ago: float, reason: Reason = Reason.RESOLVED) -> None:
    """One alert that began ten minutes before it ended."""
    end = NOW - hours_ago * HOUR
    begun = replace(alert, fired_at=end - timedelta(minutes=10))
    store.record(poll([begins(begun)], now=end - timedelta(minutes=10)))
    (opened,) = store.alerts()
    store.record(poll([ends(opened, end, reason)], now=end))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three alerts that have ended: an hour, two days and forty days ago."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALERTBOT_CONFIG", raising=False)
    configure(tmp_path)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "queues.yaml").write_text(
        "rules:\n  - {id: longest-wait, title: Longest wait in queue, scope: queue, "
        "when: interactionsLongestWaitInQueue.rt > 60s}\n"
    )
    store = SqliteStore(tmp_path / "alertbot.db")
    record(store, firing("9", entity_name="Old"), 40 * 24)
    record(store, firing("104", entity_name="=Zürich → Süd"), 48, Reason.NO_LONGER_REPORTED)
    record(store, firing("103", entity_name="Sales EU"), 1)
    store.close()
    return tmp_path


def test_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The lines of the answer in Slack, all of them, and the summary last."""
    assert ran("history") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" · ")[0] for line in lines[:-1]] == ["#3 warning: Sales EU", "#2 warning: =Zürich → Süd"]
    assert "· worst 1m 12s" in lines[0]
    assert lines[-1] == "2 alerts ended in the last 30d: 2 warning."


CASES = {
    "a longer time": (["--since", "60d"], 0, ["Sales EU", "=Zürich → Süd", "Old"]),
    "a shorter time": (["--since", "2h"], 0, ["Sales EU"]),
    "a rule": (["longest-wait"], 0, ["Sales EU", "=Zürich → Süd"]),
    "a name, without accents": (["zurich"], 0, ["=Zürich → Süd"]),
    "two words": (["sales", "eu"], 0, ["Sales EU"]),
    "a known rule or name without an alert": (["longest-wait", "--since", "1m"], 1, []),
    "nothing at all": (["--since", "1m"], 1, []),
}


@pytest.mark.parametrize(("args", "code", "names"), CASES.values(), ids=CASES)
def test_filters(
    folder: Path, args: list[str], code: int, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same alerts in every form; nothing found is status 1, with an empty list or the head alone."""
    assert ran("history", *args, "--json") == code
    assert [row["entity"] for row in json.loads(capsys.readouterr().out)] == names
    assert ran("history", *args, "--csv") == code
    text = capsys.readouterr().out
    assert text.startswith("\ufeffrule,entity,level,")
    read = [row["entity"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert read == [f"'{name}" if name.startswith("=") else name for name in names]
    assert ran("history", *args) == code
    shown = capsys.readouterr()
    assert shown.err.startswith("No alert") if code else len(shown.out.splitlines()) == len(names) + 1


def test_owners_have_the_names_that_slack_shows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In every form; the id where no name was noted."""
    store = SqliteStore(folder / "alertbot.db")
    for number, user in enumerate(("U1", "U2")):
        begun = firing(f"30{number}", fired_at=NOW - timedelta(minutes=9))
        store.record(poll([begins(begun)], now=NOW - timedelta(minutes=9)))
        (opened,) = store.alerts()
        store.acknowledge(opened.id or 0, user, "", NOW - timedelta(minutes=8))
        (opened,) = store.alerts()
        store.record(poll([ends(opened, NOW)], now=NOW))
    store.note_name("U2", "Bob K")
    store.close()
    assert ran("history", "--since", "30m") == 0
    assert [line.split(" · ")[-1] for line in capsys.readouterr().out.splitlines()[:-1]] == [
        "acknowledged by Bob K",
        "acknowledged by U1",
    ]
    assert ran("history", "--since", "30m", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["owner"], row["acknowledged_after_s"]) for row in rows] == [("Bob K", 60), ("U1", 60)]


def test_what_is_no_longer_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A time that is longer than ended alerts are kept says so, beside the output."""
    assert ran("history", "--since", "91d") == 0
    assert capsys.readouterr().err == "Ended alerts are kept for 90d: history in alertbot.yaml.\n"
    assert ran("history", "--since", "90d") == 0
    assert capsys.readouterr().err == ""


REFUSED = {
    "a rule that does not exist, with the nearest": (
        ["longest-wiat"],
        "No rule, queue, group or agent is called “longest-wiat”. Did you mean longest-wait?",
    ),
    "no duration": (["--since", "yesterday"], "--since takes a duration such as 60s or 2m, not 'yesterday'"),
    "both forms": (["--csv", "--json"], "--csv and --json cannot be combined"),
}


@pytest.mark.parametrize(("args", "said"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("form", [[], ["--csv"]], ids=["text", "csv"])
def test_refused(folder: Path, form: list[str], args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, one sentence, and nothing on stdout."""
    store = SqliteStore(folder / "alertbot.db")  # names are only unknown once entities were seen
    seen = snapshot(NOW)
    store.record(poll(now=NOW, snapshots={seen.scope: seen}))
    store.close()
    assert ran("history", *args, *form) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err


def test_without_a_database(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in folder.glob("alertbot.db*"):
        file.unlink()
    assert ran("history") == 1
    assert "there is no database yet" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_csv_is_utf_8_whatever_the_terminal(folder: Path, encoding: str) -> None:
    """A spreadsheet reads the file, and the BOM says how."""
    status, shown, errors = run(folder, "history", "--csv", encoding=encoding)
    assert (status, errors) == (0, "")
    assert shown.startswith(b"\xef\xbb\xbfrule,")
    assert "'=Zürich → Süd" in shown.decode("utf-8")


def test_memory_does_not_grow_with_the_table(folder: Path) -> None:
    """Rows are read, written and forgotten: ten times as many take no more memory."""
    path = folder / "alertbot.db"
    with sqlite3.connect(path) as conn:
        names = [row[1] for row in conn.execute("PRAGMA table_info(alerts)") if row[1] != "id"]
        columns = ", ".join(names)
        conn.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) "
            f"INSERT INTO alerts ({columns}) SELECT {columns} FROM alerts, n WHERE alerts.id = 3"
        )
    conn.close()
    store = SqliteStore(path)

    def peak(most: int) -> tuple[int, int]:
        written = 0
        tracemalloc.start()
        for written, _ in enumerate(csv_lines(rows(store.all_ended(NOW - 2 * HOUR), {}, UTC))):
            if written == most:
                break
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return written, used

    few, many = peak(1_200), peak(50_000)
    store.close()
    assert (few[0], many[0]) == (1_200, 12_001)
    assert many[1] < 1.5 * few[1]
