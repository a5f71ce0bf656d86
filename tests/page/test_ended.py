"""The page of ended alerts, and their CSV: filters, sheets, and invalid addresses."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path

import pytest

from alertbot.alerts.alert import Alert
from alertbot.errors import StoreError
from alertbot.feed.health import Feed
from alertbot.store.records import PollRecord
from alertbot.store.sqlite.store import SqliteStore
from tests.commands.kit import LONGEST_WAIT, NOW, ON_BREAK, alert
from tests.page.kit import Site, settings, site
from tests.page.test_now import cells
from tests.store.build import ends


def end(store: SqliteStore, alerts: list[Alert], at: datetime) -> None:
    """All open alerts with these keys end then."""
    keys = {each.key for each in alerts}
    changes = [ends(each, at) for each in store.alerts() if each.key in keys]
    store.record(PollRecord("acme", at, Feed("acme", at, at), changes))


@pytest.fixture
def ended(tmp_path: Path) -> Iterator[Site]:
    """Of a queue, of an agent, and one that ended nine days ago; and one that is still open."""
    wait = replace(alert(), peak=250_000.0)
    out = alert(rule=ON_BREAK, entity=("a2", "Conan O'Brien"), for_=timedelta(minutes=40))
    old = alert(entity=("105", "Support"), for_=timedelta(days=10))
    with site(tmp_path, alerts=[wait, out, old, alert(entity=("104", "Sales US"))]) as made:
        made.store.acknowledge(1, "U0DANA", "", NOW - timedelta(minutes=10))
        end(made.store, [old], NOW - timedelta(days=9))
        end(made.store, [wait], NOW - timedelta(minutes=1))
        end(made.store, [out], NOW)
        yield made


def test_ended_alerts_are_rows(ended: Site) -> None:
    """The last one first; each with everything that a review needs."""
    text = ended.get("/ended").text
    assert "2 alerts ended in the last 7d: 2 critical." in text
    first, second = cells(text)
    assert first[1:3] == ["Conan O'Brien", "On break too long #2"]
    assert second == [
        *("critical", "Sales EU", "Longest wait in queue #1", "08:48 UTC", "08:59 UTC"),
        *("11m", "4m 10s", "U0DANA", "2m", ""),
    ]


FILTERS = {
    "": ["Conan O'Brien", "Sales EU"],
    "?rule=longest-wait": ["Sales EU"],
    "?rule=on-break": ["Conan O'Brien"],
    "?rule=group-break": [],
    "?name=sales": ["Sales EU"],
    "?name=SÄLES++eu": ["Sales EU"],
    "?name=a2": ["Conan O'Brien"],
    "?name=nobody": [],
    "?name=wait": [],
    "?rule=longest-wait&name=conan": [],
    "?window=30d": ["Conan O'Brien", "Sales EU", "Support"],
    "?window=30s": ["Conan O'Brien"],
    "?window=": ["Conan O'Brien", "Sales EU"],
    "?rule=&name=&window=7d": ["Conan O'Brien", "Sales EU"],
}


@pytest.mark.parametrize(("query", "names"), FILTERS.items(), ids=FILTERS)
def test_filters(ended: Site, query: str, names: list[str]) -> None:
    """The page and the CSV that it links to have the same alerts."""
    answer = ended.get(f"/ended{query}")
    assert answer.status_code == 200
    assert [row[1] for row in cells(answer.text)] == names
    table = ended.get(f"/ended.csv{query}")
    assert table.status_code == 200
    assert [row["entity"] for row in csv.DictReader(io.StringIO(table.content.decode("utf-8-sig")))] == names


def test_the_form_keeps_what_was_chosen(ended: Site) -> None:
    text = ended.get("/ended?rule=on-break&name=O%27Brien&window=45m").text
    assert '<option value="on-break" selected>On break too long</option>' in text
    assert 'value="O&#39;Brien"' in text
    assert '<option value="45m" selected>45m</option>' in text
    assert "/ended.csv?rule=on-break&amp;name=O%27Brien&amp;window=45m" in text


@pytest.mark.parametrize("window", ["soon", "0s", "-1d", "400d", "99999999d", "<b>"])
def test_a_window_that_is_none(ended: Site, window: str) -> None:
    """The page says so and shows the default window; the CSV is refused."""
    answer = ended.get(f"/ended?window={window}")
    assert answer.status_code == 400
    assert f"“{window}” is not a window: write 12h or 7d, 366d or less." in unescape(answer.text)
    assert len(cells(answer.text)) == 2
    assert ended.get(f"/ended.csv?window={window}").status_code == 400


def test_a_rule_that_does_not_exist(ended: Site) -> None:
    """404 with the nearest one; a rule that was removed is known as long as one of its alerts is."""
    answer = ended.get("/ended?rule=longest-wiat")
    assert answer.status_code == 404
    assert "There is no rule “longest-wiat”." in answer.text
    assert '<a href="/rules/longest-wait">Longest wait in queue (longest-wait)</a>' in answer.text


def test_alerts_of_a_removed_rule_can_be_found(tmp_path: Path) -> None:
    gone = alert(rule=replace(LONGEST_WAIT, id="old-rule", title="Old rule"))
    with site(tmp_path, alerts=[gone]) as made:
        end(made.store, [gone], NOW)
        text = made.get("/ended?rule=old-rule").text
    assert [row[1] for row in cells(text)] == ["Sales EU"]
    assert "/rules/old-rule" not in text


def test_many_ended_alerts_are_in_sheets(tmp_path: Path) -> None:
    """Links keep the filters; the CSV has more than the page searches."""
    many = [alert(entity=(str(number), f"Queue {number}")) for number in range(2100)]
    with site(tmp_path, alerts=many) as made:
        end(made.store, many, NOW)
        text = made.get("/ended?name=queue").text
        assert len(cells(text)) == 100
        assert "1 to 100 of 2,000" in text
        assert "/ended?name=queue&amp;sheet=2" in text
        assert "Only the 2,000 most recently ended alerts were searched. The CSV has all alerts of the window" in text
        assert made.get("/ended.csv").text.count("\r\n") == 2101


def test_the_csv_is_a_file_that_a_spreadsheet_opens(ended: Site) -> None:
    """Times in the zone of the tenant, a BOM, and no formula."""
    answer = ended.get("/ended.csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="alerts-2026-03-02.csv"'
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.content.startswith(b"\xef\xbb\xbfrule,entity,level,begun,ended,")
    assert ended.request("HEAD", "/ended.csv").status_code == 200


def test_the_csv_while_the_database_is_locked(ended: Site) -> None:
    ended.export_error = StoreError("alertbot.db is locked")
    answer = ended.get("/ended.csv")
    assert (answer.status_code, answer.text) == (503, "alertbot.db is locked. Try again later.\n")


def test_the_csv_needs_the_login(tmp_path: Path) -> None:
    with site(tmp_path, chosen=settings("correct horse battery", "0.0.0.0")) as made:
        assert made.get("/ended.csv").headers["Location"] == "/login?next=%2Fended.csv"
    with site(tmp_path / "..", chosen=settings()) as made:
        assert made.get("/ended.csv", Host="evil.example").status_code == 403


def test_nothing_has_ended(tmp_path: Path) -> None:
    with site(tmp_path) as made:
        text = made.get("/ended").text
        assert "No alert ended in the last 7d." in text
        assert "<table" not in text
        assert made.get("/ended.csv").text.count("\r\n") == 1


def test_how_long_ended_alerts_are_kept_is_said(tmp_path: Path) -> None:
    with site(tmp_path, chosen=settings(history="10d")) as made:
        assert "Ended alerts are kept for 10d" in made.get("/ended?window=30d").text
        assert "Ended alerts are kept" not in made.get("/ended").text
