"""Pages of entities and metrics, and the live list, over HTTP: what they show, and what they report as unknown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest

from alertbot.charts.series import Samples
from alertbot.charts.svg import MAX_COLUMNS
from alertbot.commands.chart import LONGEST
from alertbot.commands.view import Recorded, TenantView, View
from alertbot.evaluation.snapshot import Presence, Snapshot
from alertbot.feed.health import Feed
from alertbot.page.metric import METRIC as METRIC_PAGE
from alertbot.page.metric import ROWS, WINDOWS
from alertbot.page.page import Address
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level
from alertbot.store.records import PollRecord
from tests.commands.kit import AGENTS, GROUPS, LONGEST_WAIT, NOW, QUEUES, RULES, WAIT, alert, column, snapshot
from tests.page.kit import Site, settings, site

POLL = timedelta(seconds=15)
METRIC = f"/chart/{WAIT}/103"


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Site]:
    """Three queues with one alert, a group and agents, and 20 more polls of the queues after that."""
    with site(tmp_path, alerts=[alert()]) as made:
        for place in range(1, 21):
            poll(made, place, float(161_000 + place * 1000))
        made.clock.now = NOW + 20 * POLL
        yield made


def poll(made: Site, place: int, wait: float | Presence) -> None:
    """A poll of the queues, `place` polls after the first."""
    at = NOW + place * POLL
    seen = replace(QUEUES, at=at, columns={**QUEUES.columns, WAIT: column(wait, 0.0, Presence.NOT_FETCHED)})
    made.store.record(PollRecord("acme", at, Feed("acme", at, at), (), snapshots={Scope.QUEUE: seen}))


def words(html: str) -> str:
    """The text of a page, in one line."""
    main = html.partition("<main")[2]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", f"<main{main}")).split())


def rows(html: str, table: str) -> list[list[str]]:
    """The cells of a table, by its caption."""
    body = html.partition(f">{table}</caption>")[2].partition("</table>")[0].partition("<tbody>")[2]
    return [
        [words(f"<main>{cell}") for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in body.split("</tr>")[:-1]
    ]


def test_an_entity(local: Site) -> None:
    """Its figures in words with their trend, why one is missing, and its alert."""
    answer = local.get("/queue/103?tenant=acme")
    assert answer.status_code == 200
    figures = rows(answer.text, "Live figures with their trend of the last 30 minutes")
    assert [(row[0], row[1], row[3]) for row in figures] == [
        ("Callers waiting", "7", "7"),
        ("Longest wait", "critical 3m 1s", "2m 41s to 3m 1s"),
        ("Service level, last 30 min", "82.3%", "82.3%"),
        ("Zebra time, today", "5", "5"),
    ]
    assert answer.text.count('<svg class="trend"') == 4
    (row,) = rows(answer.text, "Open alerts, worst first")
    assert row[:4] == ["critical", "Longest wait in queue #1", "2m 41s", "2m"]
    other = local.get("/queue/105")
    assert rows(other.text, "Live figures with their trend of the last 30 minutes")[1][1] == "its request failed"
    assert "No alerts." in words(other.text)


def test_an_agent_and_a_group(local: Site) -> None:
    """With the group of the agent; text and times have no chart."""
    text = local.get("/agent/a1").text
    assert "agent id a1 · in Nights" in words(text)
    figures = rows(text, "Live figures with their trend of the last 30 minutes")
    assert ["Status", "OnBreak", "", ""] in figures
    assert "/chart/status.rt" not in text
    assert "Nights" in words(local.get("/group/1").text)


def test_a_metric(local: Site) -> None:
    """The last day: the chart with its limits and its alert, and the same as tables."""
    answer = local.get(METRIC)
    assert answer.status_code == 200
    assert '<svg class="chart" role="img"' in answer.text
    assert "critical above 2m" in words(answer.text)
    assert "highest 3m 1s" in words(answer.text)
    ((level, title, *_, until, lasted),) = rows(answer.text, "Alerts in this time, the last one first")
    assert (level, title, until, lasted) == ("critical", "Longest wait in queue", "still firing", "17m")
    table = rows(answer.text, "Lowest and highest value by time")
    assert len(table) == 24
    assert table[-1][1:] == ["2m 41s", "3m 1s"]
    assert {tuple(row[1:]) for row in table[:-1]} == {("no values",)}


@pytest.mark.parametrize(
    ("query", "expected"),
    {
        "default": ("", "Last 1d"),
        "an hour": ("?window=1h", "Last 1h"),
        "a week": ("?window=7d", "Last 7d"),
        "any other": ("?window=90m", "Last 1h30m"),
        "not a window": ("?window=soon", "“soon” is not a window: write 6h or 2d. The last 1d is shown instead."),
        "too long": ("?window=30d", "30d is not a valid window: write 8d or less. The last 1d is shown instead."),
        "an unknown scope is that of queues": ("?scope=nonsense", "Last 1d"),
    }.values(),
)
def test_windows(local: Site, query: str, expected: str) -> None:
    answer = local.get(METRIC + query)
    assert answer.status_code == 200
    assert expected in words(answer.text)


def test_windows_that_are_offered() -> None:
    """They can be read, and a row of their table is made of whole columns: no extreme is lost."""
    assert all(window <= LONGEST and MAX_COLUMNS % ROWS[window] == 0 for window in WINDOWS)


NOT_FOUND = {
    "a name for an id": ("/queue/Support", "No queue with the id “Support” was in the last poll.", ["Support"]),
    "a misspelt name": ("/queue/Suport", "No queue with the id “Suport” was in the last poll.", ["Support"]),
    "an id that is not there": ("/queue/999", "No queue with the id “999” was in the last poll.", []),
    "another tenant": ("/queue/103?tenant=other", "No queue with the id “103” was in the last poll.", ["Sales EU"]),
    "an agent": ("/agent/Annna", "No agent with the id “Annna” was in the last poll.", ["Anna Smith"]),
    "a chart of an entity that is not there": (f"/chart/{WAIT}/Salse", "No queue with the id “Salse” was", []),
    "a misspelt metric": (
        "/chart/interactionLongestWaitInQueue.rt/103",
        "Sales EU has no metric called “interactionLongestWaitInQueue.rt”.",
        [f"Longest wait ({WAIT})"],
    ),
    "a metric that is not polled": (
        "/chart/abandoned.today/103",
        "abandoned.today (Interactions abandoned, today) is not polled: no rule reads it.",
        None,
    ),
    "text": (
        "/chart/status.rt/a1?scope=agent",
        "Status (status.rt) cannot be drawn: its values are text or times.",
        [],
    ),
    "markup": ("/queue/%3Cscript%3E", "No queue with the id “<script>” was in the last poll.", []),
}


@pytest.mark.parametrize(("path", "sentence", "near"), NOT_FOUND.values(), ids=NOT_FOUND)
def test_what_is_not_there(local: Site, path: str, sentence: str, near: list[str] | None) -> None:
    """404, a sentence that names it, and links to the nearest."""
    answer = local.get(path)
    assert answer.status_code == 404
    assert sentence in words(answer.text)
    assert "<script>" not in answer.text.partition("<main")[2]
    if near:
        links = re.findall(r'<li><a href="([^"]*)">(.*?)</a>', answer.text.partition("Did you mean")[2])
        assert [unescape(text) for _, text in links[: len(near)]] == near
        assert local.get(unescape(links[0][0])).status_code == 200


def test_the_live_list(local: Site) -> None:
    """Entities with alerts first, then by name, with their main figures; a name filters them."""
    text = local.get("/live").text
    listed = rows(text, "Live figures by queue")
    assert [row[:4] for row in listed] == [
        ["Sales EU", "critical", "7", "3m 1s"],
        ["Sales US", "", "0", "0s"],
        ["Support", "", "not in 8x8's response", "its request failed"],
    ]
    assert "3 queues, those with alerts first." in words(text)
    found = local.get("/live?q=SALES+e").text
    assert [row[0] for row in rows(found, "Live figures by queue")] == ["Sales EU"]
    assert "1 queue of 3 with “SALES e” in the name." in words(found)
    agents = rows(local.get("/live?scope=agent").text, "Live figures by agent")
    assert agents[0][:3] == ["Anna Smith", "", "Nights"]


def test_agents_as_initials(tmp_path: Path) -> None:
    """privacy.agents holds for these pages too: in lists, headings, charts, and searches."""
    chosen = settings(privacy={"agents": "initials"})
    with site(tmp_path, chosen=chosen) as made:
        pages = ("/live?scope=agent", "/agent/a1", "/chart/timeOnStatus.rt/a1?scope=agent", "/agent/Anna")
        for path in pages:
            text = made.get(path).text
            assert "Smith" not in text
            assert "A. S." in words(text) or "A.S." in words(text) or "AS" in words(text)
        assert rows(made.get("/live?scope=agent&q=Anna").text, "Live figures by agent") == []


def test_limits_are_those_of_the_entity(tmp_path: Path) -> None:
    """An override changes them; a rule that does not match has none."""
    vip = snapshot(Scope.QUEUE, {"1": "Sales VIP", "2": "Elsewhere"}, {WAIT: column(1.0, 2.0)})
    rule = replace(LONGEST_WAIT, match=replace(LONGEST_WAIT.match, names=("Sales*",)))
    with site(tmp_path, snapshots=[vip], rules=replace(RULES, rules=(rule,))) as made:
        assert "warning above 1m" in words(made.get(f"/chart/{WAIT}/1").text)
        assert "above" not in words(made.get(f"/chart/{WAIT}/2").text)


def test_only_the_polls_since_are_read(local: Site) -> None:
    """The chart follows the polls; one that has a gap shows it."""
    assert "highest 3m 1s" in words(local.get(METRIC).text)
    poll(local, 21, Presence.NULL)
    poll(local, 22, 600_000.0)
    local.clock.now, local.clock.monotonic = NOW + 22 * POLL, local.clock.monotonic + 10
    text = local.get(METRIC).text
    assert "highest 10m" in words(text)
    (path,) = re.findall(r'<path class="line"[^>]* d="([^"]*)"', text)
    assert path.count("M") == 2


def test_alerts_of_another_level_and_none(tmp_path: Path) -> None:
    """A figure is marked where its own alert fires, with that level."""
    fires = [alert(level=Level.WARNING)]
    with site(tmp_path, alerts=fires, snapshots=[QUEUES, GROUPS, AGENTS]) as made:
        text = made.get("/queue/103").text
        figures = rows(text, "Live figures with their trend of the last 30 minutes")
        assert [row[1] for row in figures if row[0] == "Longest wait"] == ["warning 2m 41s"]


def test_a_recording_that_is_not_kept(tmp_path: Path) -> None:
    """A queue that was never recorded has a chart without values, which says so."""
    new: Snapshot = replace(QUEUES, at=NOW + POLL)
    with site(tmp_path) as made:
        made.store.record(PollRecord("acme", NOW + POLL, Feed("acme", NOW, NOW), (), snapshots={Scope.QUEUE: new}))
        assert "No values were recorded." in words(made.get(f"/chart/{WAIT}/105").text)


def test_a_week_that_is_still_being_read() -> None:
    """The chart of the values read so far, and a sentence about the rest."""
    begin, since = NOW - timedelta(days=7), NOW - timedelta(hours=2)
    samples = Samples((since + POLL, since + 2 * POLL), (1000.0, 2000.0))
    read = Recorded("acme", Scope.QUEUE, WAIT, "103", "", begin, samples, since)
    view = View((TenantView("acme", NOW, NOW, "", {Scope.QUEUE: QUEUES}),), (), RULES, series=(read,))
    for series, expected in (
        (read, "Values before 07:00 UTC are still being read. Reload the page to see them."),
        (replace(read, read_since=None), ""),
    ):
        shown = METRIC_PAGE.shows(
            replace(view, series=(series,)), Address({"key": WAIT, "id": "103"}, {"window": "7d"}), NOW
        )
        assert shown.values["partly"] == expected
