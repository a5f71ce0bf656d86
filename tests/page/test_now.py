"""The now page: what is open, how old the data is, what waits; in numbers that a page can hold."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest

from alertbot.alerts.alert import Mute, MuteKind, State
from alertbot.alerts.silence import Matcher
from alertbot.config.settings import Settings
from alertbot.feed.health import Feed
from alertbot.page.links import entity_link
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level, RuleSet
from alertbot.store.records import PollRecord
from tests.commands.kit import AGENTS, NOW, ON_BREAK, QUEUES, alert
from tests.page.kit import settings, site
from tests.store.build import begins


def cells(text: str) -> list[list[str]]:
    """The rows of the tables of a page, each cell without its markup."""
    body = "".join(re.findall(r"<tbody>(.*?)</tbody>", text, re.DOTALL))
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL)
    found = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in row] for row in found]


def test_an_open_alert_has_value_limit_since_and_owner(tmp_path: Path) -> None:
    with site(tmp_path, alerts=[alert()]) as made:
        made.store.acknowledge(1, "U0DANA", "calling the floor", NOW)
        made.store.silence(Matcher((("rule", "longest-wait"),)), NOW, NOW + timedelta(hours=2), "U0BOB", "", NOW)
        answer = made.get("/")
        (row,) = cells(answer.text)
    assert row[:7] == [
        "critical",
        "Sales EU",
        "Longest wait in queue #1",
        "2m 41s",
        "2m",
        "08:48 UTC 12m",
        "U0DANA",
    ]
    assert "calling the floor" in row[7]
    assert "<h1" in answer.text
    assert "1 firing, critical, 1 acknowledged." in answer.text
    assert "Last good poll 0s ago" in answer.text
    assert '<a href="/queue/103?tenant=acme">Sales EU</a>' in answer.text
    assert '<a href="/rules/longest-wait">' in answer.text
    assert '<a href="/why/longest-wait/103?tenant=acme">#1</a>' in answer.text


def test_a_recovering_alert_says_so_in_words(tmp_path: Path) -> None:
    """Colours are never the only sign."""
    recovering = alert(state=State.RECOVERING, recovering_since=NOW - timedelta(seconds=30))
    with site(tmp_path, alerts=[recovering]) as made:
        (row,) = cells(made.get("/").text)
    assert (row[0], row[5]) == ("recovering (critical)", "08:59 UTC 30s")


def test_what_is_suppressed_or_silenced_is_marked(tmp_path: Path) -> None:
    silenced = alert(muted=Mute(MuteKind.SILENCED, 1, NOW))
    with site(tmp_path) as made:
        made.store.silence(Matcher((("rule", "longest-wait"),)), NOW, NOW + timedelta(hours=2), "U0BOB", "phones", NOW)
        made.store.record(PollRecord("acme", NOW, Feed("acme", NOW, NOW), [begins(replace(silenced, id=None))]))
        text = made.get("/").text
        (row,) = cells(text)
    assert row[7] == "not reported: silenced by #1 until 11:00 UTC"
    assert "rule=longest-wait" in text
    assert "phones" in text


def test_without_alerts_it_says_so(tmp_path: Path) -> None:
    with site(tmp_path) as made:
        text = made.get("/").text
    assert "<h1>Nothing is firing.</h1>" in text
    assert cells(text) == []


@pytest.mark.parametrize(
    ("feed", "said"),
    [
        (Feed("acme"), "Not polled yet"),
        (Feed("acme", NOW, None, "8x8 refused the credentials"), "NO DATA: no good poll so far: 8x8 refused"),
        (
            Feed("acme", NOW, NOW - timedelta(minutes=9), "8x8 could not be reached"),
            "STALE: last good poll 9m ago (at 08:51 UTC): 8x8 could not be reached",
        ),
    ],
    ids=["not polled", "never a good poll", "8x8 is down"],
)
def test_missing_data_is_never_silent(tmp_path: Path, feed: Feed, said: str) -> None:
    """While 8x8 is down, the last state is shown with its age."""
    with site(tmp_path, alerts=[alert()], feed=feed) as made:
        answer = made.get("/")
    assert answer.status_code == 200
    assert said in unescape(answer.text)
    assert "Sales EU" in answer.text


MARKUP = "<script>alert(1)</script> & \"quotes\" '' </title>"


@pytest.mark.parametrize("path", ["/", "/rules/on-break", "/why/on-break/a1", "/rules", "/ended", "/?wall"])
def test_names_are_text_on_every_page(tmp_path: Path, path: str) -> None:
    """Of entities, parents, rules, owners and notes; nothing of them is markup."""
    rule = replace(ON_BREAK, title=f"On break {MARKUP}")
    agents = replace(AGENTS, names=(MARKUP, *AGENTS.names[1:]), parent_names=(MARKUP,) * 3)
    opened = alert(rule=rule, entity=("a1", MARKUP), parent_name=MARKUP, acked_by=MARKUP, ack_note=MARKUP)
    with site(tmp_path, alerts=[opened], snapshots=[agents], rules=RuleSet((rule,), "1")) as made:
        if path == "/ended":
            made.store.resolve(1, MARKUP, MARKUP, NOW)
        answer = made.get(path)
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    assert answer.text.count("</title>") == 1


def test_a_storm_is_shown_in_sheets(tmp_path: Path) -> None:
    """A thousand open alerts: a hundred a sheet, and links to the others; the headline counts all of them."""
    storm = [alert(entity=(str(number), f"Queue {number}")) for number in range(1000)]
    with site(tmp_path, alerts=storm) as made:
        first = made.get("/")
        assert len(cells(first.text)) == 100
        assert len(first.content) < 120_000
        assert "1,000 firing, all critical." in first.text
        assert "1 to 100 of 1,000" in first.text
        assert 'href="/?sheet=2" rel="next"' in first.text
        assert 'rel="prev"' not in first.text
        last = made.get("/?sheet=10").text
        assert "901 to 1,000 of 1,000" in last
        assert 'rel="next"' not in last
        assert made.get("/?sheet=99").text == last
        seen = [row[1] for number in range(1, 11) for row in cells(made.get(f"/?sheet={number}").text)]
        assert sorted(seen) == sorted(f"Queue {number}" for number in range(1000))


@pytest.mark.parametrize("sheet", ["0", "-1", "x", "1e9", "9" * 30, "１"])
def test_a_sheet_that_is_no_number_is_one_that_exists(tmp_path: Path, sheet: str) -> None:
    with site(tmp_path, alerts=[alert()]) as made:
        assert made.get(f"/?sheet={sheet}").status_code == 200


def test_a_wall_screen_shows_the_worst(tmp_path: Path) -> None:
    """Large, without navigation, and reloaded even without scripts."""
    storm = [alert(entity=(str(number), f"Queue {number}")) for number in range(60)]
    storm.append(replace(alert(entity=("w", "Only a warning")), level=Level.WARNING))
    with site(tmp_path, alerts=storm) as made:
        text = made.get("/?wall").text
    assert '<body class="wall">' in text
    assert "<nav" not in text
    assert len(cells(text)) == 40
    assert "and 21 more" in text
    assert "Only a warning" not in text
    assert '<noscript><meta http-equiv="refresh"' in text


def test_tenants_are_named_where_there_are_several(tmp_path: Path) -> None:
    two: Settings = settings(
        tenants=[{"name": name, "region": "us", "api_key": "k", "api_secret": "s"} for name in ("acme", "beta")]
    )
    with site(tmp_path, alerts=[alert()], chosen=two) as made:
        text = made.get("/").text
    assert cells(text)[0][1] == "acme: Sales EU"
    assert "beta: not polled yet" in text


def test_hidden_names_stay_hidden(tmp_path: Path) -> None:
    """Everywhere that an agent is named, in notes too."""
    chosen = settings(privacy={"agents": "initials"})
    opened = alert(rule=ON_BREAK, entity=("a1", "Anna Smith"))
    with site(tmp_path, alerts=[opened], chosen=chosen) as made:
        made.store.acknowledge(1, "U0DANA", "Anna Smith called in", NOW)
        for path in ("/", "/?wall", "/rules", "/rules/on-break", "/why/on-break/a1", "/why/on-break/a9", "/ended"):
            made.clock.monotonic += 5
            answer = made.get(path)
            assert "Smith" not in answer.text, path
        (row,) = cells(made.get("/").text)
        assert (row[1], row[7]) == ("AS", "AS called in")
        made.store.resolve(1, "U0DANA", "", NOW)
        made.clock.monotonic += 5
        assert cells(made.get("/ended").text)[0][1] == "AS"
        assert "Smith" not in made.get("/ended.csv").text


def test_a_page_is_a_whole_document(tmp_path: Path) -> None:
    """Landmarks, one heading of the first level, headings in order, headers of tables, labels of fields."""
    with site(tmp_path, alerts=[alert()], snapshots=[QUEUES, AGENTS]) as made:
        for path in ("/", "/ended", "/rules", "/rules/longest-wait", "/why/longest-wait/103", "/rules/nope"):
            text = made.get(path).text
            assert '<html lang="en">' in text
            assert text.count("<h1") == 1, path
            assert [text.count(f"<{tag}") for tag in ("main", "header")] == [1, 1], path
            levels = [int(level) for level in re.findall(r"<h([1-6])", text)]
            assert all(after - before <= 1 for before, after in pairwise(levels)), path
            for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
                assert "<caption" in table, path
                assert 'scope="col"' in table, path
                assert 'scope="row"' in table or "<tbody>\n</tbody>" in table, path
            ids = re.findall(r'id="([^"]+)"', text)
            assert len(ids) == len(set(ids)), path
            for field in re.findall(r"<(?:input|select) id=\"(\w+)\"", text):
                assert f'<label for="{field}">' in text, path
            assert all(name in text for name in re.findall(r'aria-labelledby="(\w+)"', text))


def test_the_scopes_with_a_page_are_linked(tmp_path: Path) -> None:
    """An agent in a queue has the page of the agent; totals and feeds have none."""
    assert entity_link("acme", Scope.QUEUE_AGENT, "a/1 ä") == "/agent/a%2F1%20%C3%A4?tenant=acme"
    assert entity_link("acme", Scope.GROUP, "1") == "/group/1?tenant=acme"
    assert entity_link("acme", Scope.FEED, "acme") == entity_link("acme", Scope.QUEUE_TOTALS, "totals") == ""
