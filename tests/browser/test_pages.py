"""The status page in a real browser: accessible, within its policy, by keyboard, without JavaScript, up to date."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from alertbot.alerts.alert import Alert, State
from alertbot.evaluation.snapshot import Column, Snapshot
from alertbot.feed.health import Feed
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level
from alertbot.store.records import PollRecord
from tests.browser.browsing import DESK, PHONE, axe, browsing, tab
from tests.commands.kit import NOW, RULES, WAIT, alert, column, snapshot
from tests.page.kit import PASSWORD, Site, settings, site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

POLL = timedelta(seconds=15)
MARKUP = '<script>alert(1)</script> & "Sales" <b>'
QUEUES = {
    "103": "Sales EU",
    "104": MARKUP,
    "105": "A queue with an exceptionally long name that no phone can show in one line",
}
AGENTS = snapshot(
    Scope.AGENT,
    {"a1": "Anna Smith", "a2": "<img src=x onerror=alert(2)>"},
    {"status.rt": column("OnBreak", "Available"), "timeOnStatus.rt": column(1_500_000.0, 61_000.0)},
    parent_ids=("1", "1"),
    parent_names=("Nights", "Nights"),
)
ALERTS = [
    alert(),
    alert(entity=("104", MARKUP), level=Level.WARNING),
    alert(entity=("105", QUEUES["105"]), state=State.RECOVERING, recovering_since=NOW - timedelta(minutes=1)),
]
METRIC = f"/chart/{WAIT}/103?scope=queue&tenant=acme"
PAGES = {
    "now": "/",
    "wall": "/?wall",
    "live": "/live",
    "search": "/live?q=sales",
    "agents": "/live?scope=agent",
    "queue": "/queue/103?tenant=acme",
    "markup": "/queue/104?tenant=acme",
    "agent": "/agent/a1?tenant=acme",
    "metric": METRIC,
    "hour": f"{METRIC}&window=1h",
    "week": f"{METRIC}&window=7d",
    "window": f"{METRIC}&window=soon",
    "ended": "/ended",
    "rules": "/rules",
    "rule": "/rules/longest-wait",
    "why": "/why/longest-wait/103?tenant=acme",
    "nowhere": "/queue/Sales",
    "metrics": "/chart/nonsense/103",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as running:
        yield running


def seen(place: int, wait: float | None = None) -> Snapshot:
    """The queues at the poll of that place before now, with a rush of ten minutes."""
    value = wait if wait is not None else max(0.0, 165_000.0 - abs(40 - place) * 5_000.0)
    columns = {WAIT: column(value, 0.0, 30_000.0), "interactionsWaitInQueue.rt": column(float(place % 7), 0.0, 3.0)}
    return replace(snapshot(Scope.QUEUE, QUEUES, columns), at=NOW - place * POLL)


@contextmanager
def running(folder: Path, *, alerts: Sequence[Alert] = ALERTS, **more: Any) -> Iterator[Site]:
    """A page with an hour of recorded polls."""
    with site(folder, alerts=alerts, snapshots=(seen(240), AGENTS), **more) as made:
        for place in range(239, -1, -1):
            poll(made, seen(place))
        yield made


def poll(made: Site, *snapshots: Snapshot) -> None:
    """Record another poll of the tenant."""
    at = snapshots[0].at
    made.store.record(
        PollRecord("acme", at, Feed("acme", at, at), (), snapshots={each.scope: each for each in snapshots})
    )


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("page")) as made:
        yield made


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_every_page_is_accessible(browser: Browser, local: Site, size: dict[str, int], scheme: str) -> None:
    """No finding of axe-core, nothing that the policy blocked, no error, no markup of a name, nothing cut off."""
    rules = axe()
    with tab(browser, local.port, viewport=size, color_scheme=scheme) as made:
        found = {}
        for name, path in PAGES.items():
            made.open(path)
            found[name] = made.faults(rules)
        assert {name: faults for name, faults in found.items() if faults} == {}


def test_the_login_is_accessible(browser: Browser, tmp_path: Path) -> None:
    """The form, a wrong password, then the requested page."""
    rules = axe()
    with site(tmp_path, alerts=ALERTS, chosen=settings(PASSWORD)) as made, tab(browser, made.port) as opened:
        opened.open("/live")
        assert opened.faults(rules) == []
        opened.page.fill("#password", "a wrong one")
        opened.page.click("text=Log in >> nth=-1")
        assert "Wrong password" in opened.text()
        opened.problems.clear()  # the status 401 is an error on the console
        assert opened.faults(rules) == []
        opened.page.fill("#password", PASSWORD)
        opened.page.keyboard.press("Enter")
        opened.page.wait_for_selector("h1:has-text('Live')")
        assert opened.page.url.endswith("/live")


def test_names_with_markup_are_text(browser: Browser, local: Site) -> None:
    """On every page that shows them, in charts too."""
    with tab(browser, local.port) as made:
        for path in ("/", "/live", "/queue/104", f"/chart/{WAIT}/104", "/live?scope=agent", "/agent/a2"):
            made.open(path)
            name = "<img src=x onerror=alert(2)>" if "agent" in path else MARKUP
            assert name in made.text()
            assert made.page.locator("main script, main img, main b").count() == 0
        made.open(f"/chart/{WAIT}/104")
        assert MARKUP in (made.page.locator("svg.chart > title").text_content() or "")
        assert made.problems == []


def test_by_keyboard(browser: Browser, local: Site) -> None:
    """The first stop skips the navigation, each stop can be seen, and a link is followed by Enter."""
    with tab(browser, local.port) as made:
        made.open("/")
        page = made.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        stops = []
        for _ in range(12):
            page.keyboard.press("Tab")
            stops.append(
                page.evaluate(
                    "() => { const style = getComputedStyle(document.activeElement); "
                    "return [document.activeElement.textContent.trim().slice(0, 20), "
                    "style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2]; }"
                )
            )
            if stops[-1][0] == "Sales EU":
                break
        assert all(seen for _, seen in stops)
        page.keyboard.press("Enter")
        page.wait_for_url("**/queue/103?tenant=acme")
        assert made.text("h1") == "Sales EU"


def test_a_change_arrives_without_a_reload(browser: Browser, tmp_path: Path) -> None:
    """What differs is replaced; focus, open details and the page itself stay."""
    with running(tmp_path) as made, tab(browser, made.port) as opened:
        with opened.page.expect_response("**/events"):
            opened.open(f"{METRIC}&window=1h")
        page = opened.page
        page.evaluate("window.mark = 1")
        page.click("summary")
        page.focus(".tabs a >> nth=1")
        before = page.get_attribute("svg.chart .line", "d")
        made.clock.now = NOW + POLL
        made.clock.monotonic += 10
        poll(made, replace(seen(0, 777_000.0), at=NOW + POLL))
        made.updates.changed()
        page.wait_for_selector("h1:has-text('12m 57s')")
        assert page.get_attribute("svg.chart .line", "d") != before
        assert page.evaluate("[window.mark, document.activeElement.textContent]") == [1, "6h"]
        assert page.get_attribute("details", "open") is not None
        assert "12m 57s" in opened.text("[role=status]")  # a screen reader says it
        assert opened.problems == []


def test_rows_keep_their_focus_when_their_order_changes(browser: Browser, tmp_path: Path) -> None:
    """A row that moves is the same row: what has the focus is still about the same queue."""
    with running(tmp_path, alerts=[]) as made, tab(browser, made.port) as opened:
        with opened.page.expect_response("**/events"):
            opened.open("/live")
        page = opened.page
        page.focus("text=Sales EU")
        order = page.locator("tbody th").all_inner_texts()
        made.clock.monotonic += 10
        poll(
            made,
            replace(snapshot(Scope.QUEUE, {**QUEUES, "100": "0 first"}, {WAIT: column(1.0, 2.0, 3.0, 4.0)}), at=NOW),
        )
        made.updates.changed()
        page.wait_for_selector("text=0 first")
        assert page.locator("tbody th").all_inner_texts() == ["0 first", *order]
        assert page.evaluate("document.activeElement.textContent") == "Sales EU"


def test_without_events_a_page_is_loaded_again(browser: Browser, tmp_path: Path) -> None:
    """Every few seconds; while the bot does not answer, the page says when it was last updated."""
    with running(tmp_path) as made, tab(browser, made.port) as opened:
        page = opened.page
        page.clock.install()
        page.add_init_script("delete window.EventSource")
        opened.open("/queue/103")
        made.clock.monotonic += 10
        poll(made, seen(0, 777_000.0))
        page.clock.run_for(11_000)
        page.wait_for_selector("text=12m 57s")
        assert not page.locator(".lost").is_visible()
        page.context.set_offline(True)
        page.clock.run_for(11_000)
        page.wait_for_selector(".lost:visible")
        assert "No connection to alertbot" in opened.text(".lost")
        page.context.set_offline(False)
        page.clock.run_for(11_000)
        page.wait_for_selector(".lost", state="hidden")


def test_without_javascript(browser: Browser, local: Site) -> None:
    """Everything is there: from the now page to a queue, to a chart, to another window."""
    with tab(browser, local.port, java_script_enabled=False) as made:
        made.open("/")
        made.page.click("th >> text=Sales EU")
        made.page.click("text=Longest wait >> nth=-1")
        made.page.click(".tabs >> text=7d")
        assert made.page.url.endswith("window=7d")
        assert made.page.locator("svg.chart .line").count() == 1
        assert "critical above 2m" in (made.page.locator("svg.chart").text_content() or "")


def test_a_wall_screen(browser: Browser, local: Site) -> None:
    """Large, without navigation, and reloaded even without JavaScript."""
    with tab(browser, local.port) as made:
        made.open("/")
        usual = made.page.evaluate("parseFloat(getComputedStyle(document.querySelector('tbody th')).fontSize)")
        made.open("/?wall")
        large = made.page.evaluate("parseFloat(getComputedStyle(document.querySelector('tbody th')).fontSize)")
        assert large >= 1.4 * usual
        assert made.page.locator("header").count() == 0
    with tab(browser, local.port, java_script_enabled=False) as made:
        made.open("/?wall")
        assert made.page.locator("meta[http-equiv=refresh]").count() == 1


def test_motion_and_paper(browser: Browser, local: Site) -> None:
    """Nothing moves with prefers-reduced-motion; paper has no navigation."""
    with tab(browser, local.port, reduced_motion="reduce") as made:
        made.open("/")
        moving = (
            "[...document.querySelectorAll('*')].filter(e => getComputedStyle(e).transitionDuration !== '0s').length"
        )
        assert made.page.evaluate(moving) == 0
        made.page.emulate_media(media="print")
        assert not made.page.locator("header").is_visible()
        assert made.page.locator("h1").is_visible()


def centre(number: int) -> Snapshot:
    zeros = np.zeros(number, dtype=np.uint8)
    ids = {str(1000 + place): f"Queue {place:05}" for place in range(number)}
    waits = np.arange(number, dtype=np.float64) * 100.0
    return snapshot(Scope.QUEUE, ids, {WAIT: Column(waits, zeros), "entered.today": Column(waits / 100.0, zeros)})


def test_a_storm_in_ten_thousand_queues(browser: Browser, tmp_path: Path) -> None:
    """1,000 open alerts: what is shown is short, the numbers are whole, and the worst come first."""
    rules = axe()
    storm = [alert(entity=(str(1000 + place), f"Queue {place:05}")) for place in range(1000)]
    with site(tmp_path, alerts=storm, snapshots=[centre(10_000)]) as made, tab(browser, made.port) as opened:
        opened.open("/")
        assert "1,000" in opened.text("h1")
        assert opened.page.locator("tbody tr").count() == 100
        assert opened.faults(rules) == []
        opened.open("/live")
        assert "10,000 queues" in opened.text()
        assert opened.page.locator("tbody tr").count() == 50
        opened.page.click("text=Next")
        assert "51 to 100 of 10,000" in opened.text()
        opened.page.fill("#q", "09999")
        opened.page.keyboard.press("Enter")
        opened.page.wait_for_selector("text=Queue 09999")
        assert opened.page.locator("tbody tr").count() == 1
        opened.open("/queue/10999")
        assert "Queue 09999" in opened.text("h1")
        assert opened.faults(rules) == []


EMPTY: dict[str, tuple[list[Snapshot], Feed | None, list[str]]] = {
    "no queues": ([snapshot(Scope.QUEUE, {}, {})], None, ["Nothing is firing", "No queue has been seen yet"]),
    "no data": (
        [],
        Feed("acme", NOW, None, error="HTTP 503 from 8x8"),
        ["NO DATA", "No queue has been seen yet. HTTP 503 from 8x8"],
    ),
}


@pytest.mark.parametrize(("snapshots", "feed", "words"), EMPTY.values(), ids=EMPTY)
def test_nothing_to_show(
    browser: Browser, tmp_path: Path, snapshots: list[Snapshot], feed: Feed | None, words: list[str]
) -> None:
    """A sentence says so, on each page; an address of a queue is not found."""
    rules = axe()
    with site(tmp_path, snapshots=snapshots, feed=feed, rules=RULES) as made, tab(browser, made.port) as opened:
        for path, expected in zip(("/", "/live"), words, strict=True):
            assert opened.open(path) == 200
            assert expected in opened.text()
            assert opened.faults(rules) == []
        assert opened.open("/queue/103") == 404
        assert opened.open(f"/chart/{WAIT}/103") == 404
        assert opened.faults(rules) == []
