"""Server-sent events: an open page is notified of each change, costs nothing meanwhile, and does not delay a stop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from alertbot.commands.command import Acknowledge, Asker
from alertbot.page.updates import Updates
from tests.page.kit import PASSWORD, Site, settings, site
from tests.service.bot import until
from tests.service.operated import operated

QUICK = {"keep_alive": 0.05, "at_most_every": 0.05}


@contextmanager
def open_page(port: int) -> Iterator[Iterator[bytes]]:
    """The lines of an open page, without empty ones."""
    with requests.Session() as session:
        session.trust_env = False
        with session.get(f"http://127.0.0.1:{port}/events", stream=True, timeout=20) as answer:
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
            yield (line for line in answer.iter_lines(chunk_size=1) if line)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made


def test_each_change_is_one_event(local: Site) -> None:
    with open_page(local.port) as lines:
        assert next(lines) == b"retry: 3000"
        for _ in range(2):
            local.updates.changed()
            assert (next(lines), next(lines)) == (b"event: changed", b"data:")


def test_many_changes_at_once_are_few_events(local: Site) -> None:
    """As with a hundred tenants: the first at once, the others as one, a second later."""
    with open_page(local.port) as lines:
        next(lines)
        began = time.monotonic()
        for _ in range(100):
            local.updates.changed()
        assert [next(lines) for _ in range(2)] == [b"event: changed", b"data:"]
        local.updates.changed()
        assert [next(lines) for _ in range(2)] == [b"event: changed", b"data:"]
        assert time.monotonic() - began > 0.9


def test_a_quiet_page_is_kept_alive(tmp_path: Path) -> None:
    """A comment now and then detects a closed connection, which is then forgotten."""
    with site(tmp_path, updates=Updates(**QUICK)) as made:
        with open_page(made.port) as lines:
            assert [next(lines) for _ in range(3)] == [b"retry: 3000", b":", b":"]
            assert made.updates.streams == 1
        until("the page is forgotten", lambda: made.updates.streams == 0)


def test_too_many_open_pages(tmp_path: Path) -> None:
    """Further pages are refused and reload instead; a place that becomes free is used again."""
    with site(tmp_path, updates=Updates(max_streams=1, **QUICK)) as made:
        with open_page(made.port) as lines:
            next(lines)
            assert made.get("/events").status_code == 503
            assert made.get("/").status_code == 200
        until("the page is forgotten", lambda: made.updates.streams == 0)
        with open_page(made.port) as lines:
            assert next(lines) == b"retry: 3000"


def test_a_head_request_ends(local: Site) -> None:
    """It asks for what an answer would be, and takes none of the places."""
    assert local.request("HEAD", "/events").status_code == 200
    assert local.updates.streams == 0


def test_only_for_those_who_may_see_pages(tmp_path: Path) -> None:
    with site(tmp_path, chosen=settings(PASSWORD)) as made:
        assert made.get("/events").status_code == 401
    with site(tmp_path / "other") as made:
        assert made.get("/events", Host="evil.example").status_code == 403


def test_closing_ends_every_stream(local: Site) -> None:
    """At once, also the one that waits after an event; later ones are refused."""
    with open_page(local.port) as first, open_page(local.port) as second:
        next(first)
        next(second)
        local.updates.changed()
        assert next(first) == b"event: changed"
        began = time.monotonic()
        local.updates.close()
        assert b"event: changed" not in list(first)
        list(second)
        assert time.monotonic() - began < 0.9
    assert local.get("/events").status_code == 503


def test_the_bot_notifies_pages_and_stops_at_once(tmp_path: Path) -> None:
    """A poll and a change by a user are events; an open page does not hold up the stop."""
    with operated(tmp_path) as bot:
        assert bot.app.listener is not None
        with open_page(bot.app.listener.port) as lines:
            next(lines)
            bot.poll()
            assert (next(lines), next(lines)) == (b"event: changed", b"data:")
            bot.app.change(Acknowledge(1), Asker("U01ALICE"), bot.clock())
            assert next(lines) == b"event: changed"
            began = time.monotonic()
            assert bot.app.stop()
            assert time.monotonic() - began < 1.0
