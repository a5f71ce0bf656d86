"""Ended alerts are deleted by `history`, beside the polls, and the log says so once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from alertbot.service import retention
from alertbot.service.retention import HistoryRetention
from alertbot.store.sqlite.store import SqliteStore
from tests.simulator.kit import HandClock
from tests.store.build import T0, at, begins, ends, firing, one, poll


def _store(path: Path, alerts: int) -> SqliteStore:
    """A database with alerts that were never reported and ended a minute after T0."""
    store = SqliteStore(path)
    store.record(poll([begins(firing(str(number))) for number in range(alerts)]))
    store.record(poll([ends(one(store, firing(str(number))), at(60)) for number in range(alerts)], now=at(60)))
    return store


def test_what_is_older_than_history_is_deleted_and_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 10)
    store = _store(tmp_path / "alertbot.db", 25)
    clock = HandClock(T0)
    runs = HistoryRetention(store, timedelta(days=90), clock)
    with structlog.testing.capture_logs() as logged:
        assert runs.run() == 0
        clock.forward(days=90, seconds=59)
        assert runs.run() == 0
        assert logged == []
        clock.forward(seconds=1)
        assert runs.run() == 25
    assert store.ended(T0) == []
    event = "deleting ended alerts that are older than the setting `history`"
    assert logged == [{"event": event, "log_level": "info", "alerts": 25, "history": "90d"}]
    store.close()


def test_a_run_ends_when_the_process_stops_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 10)
    monkeypatch.setattr(retention, "MAX_BATCHES", 2)
    store = _store(tmp_path / "alertbot.db", 25)
    clock = HandClock(at(90 * 86_400 + 60))
    assert HistoryRetention(store, timedelta(days=90), clock, lambda: True).run() == 0
    runs = HistoryRetention(store, timedelta(days=90), clock)
    assert [runs.run(), runs.run(), runs.run()] == [20, 5, 0]
    store.close()


def test_a_database_that_cannot_be_read_is_logged(tmp_path: Path) -> None:
    store = _store(tmp_path / "alertbot.db", 1)
    store.close()
    with structlog.testing.capture_logs() as logged:
        assert HistoryRetention(store, timedelta(days=90), HandClock(at(0))).run() == 0
    assert [each["event"] for each in logged] == ["old alerts could not be deleted; will retry"]
