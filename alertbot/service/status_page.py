"""The status page as the service runs it: what its pages read, and whether it is served at all.

Theory of operation. A browser must never slow down a poll, and a database that is locked or slow must not hang a page.
So views are read in two separate threads: each question at most once at a time and at most once in FRESH seconds,
however many browsers ask. A page waits WITHIN seconds for its view and then shows the last one, with its age. When 8x8
is down, the view itself says how old its data is.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

from starlette.routing import BaseRoute

from alertbot.alerts.alert import Alert
from alertbot.clock import Clock
from alertbot.commands.command import Command
from alertbot.commands.people import people_of, with_names
from alertbot.commands.view import Needs, View
from alertbot.config.settings import Settings
from alertbot.errors import AlertbotError, StoreError
from alertbot.logs import logger, with_shown_names
from alertbot.page.ended import Filter, ended_csv
from alertbot.page.gate import Gate
from alertbot.page.lookup import series_wanted
from alertbot.page.page import Question, Seen
from alertbot.page.routes import page_routes
from alertbot.page.updates import Updates
from alertbot.service.of_settings import serves_page
from alertbot.service.recorded import ReadValues, Recordings

FRESH = 1.0
"""Seconds for which a view is reused."""
WITHIN = 1.0
"""Seconds that a page waits for its view."""
MAX_KEPT = 16
"""Views that are kept for when the database cannot be read. One may hold a snapshot of 10,000 entities."""
MAX_WAITING = 32
"""The number of different questions that may wait for the database."""
_THREADS = 2
_BUSY = "the database has not answered in time"

log = logger("status page")


@dataclass(frozen=True)
class _Kept:
    view: View
    at: datetime
    read_at: float  # of the monotonic clock


class StatusPage:
    """The views of pages, each read once for all browsers that ask at the same time.

    `view` and `values` (of the store) may be slow and raise any AlertbotError. `updated` is called when the rest of a
    chart has been read that was shown in part. `people`: the names of users by id, since pages cannot mention them.
    """

    def __init__(
        self,
        view: Callable[[Command, Needs], View],
        values: ReadValues,
        clock: Clock,
        updated: Callable[[], None] = lambda: None,
        *,
        people: Callable[[], Mapping[str, str]] = dict,
        within: float = WITHIN,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.people = people
        self._view, self._clock, self._within, self._monotonic = view, clock, within, monotonic
        self._recordings = Recordings(values, updated)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="alertbot-page")
        self._lock = threading.Lock()
        self._kept: OrderedDict[Question, _Kept] = OrderedDict()
        self._reading: dict[Question, Future[_Kept]] = {}

    async def read(self, question: Question) -> Seen:
        """The view that answers this question, or the last one that there is."""
        with self._lock:
            kept = self._kept.get(question)
            if kept is not None and self._monotonic() - kept.read_at < FRESH:
                return Seen(kept.view, kept.at)
            future = self._reading.get(question)
            if future is None and len(self._reading) < MAX_WAITING:
                future = self._reading[question] = self._pool.submit(self._read, question)
        problem = _BUSY
        if future is not None:
            # Not wait_for: it would cancel a reading that other browsers wait for.
            waiting = asyncio.wrap_future(future)
            done, _ = await asyncio.wait({waiting}, timeout=self._within)
            if done:
                try:
                    read = waiting.result()
                    return Seen(read.view, read.at)
                except StoreError as error:  # it begins with a file or an address, which keeps its first letter
                    problem = f"the database cannot be read: {error}"
                except AlertbotError as error:
                    problem = str(error)
                except Exception:  # a fault of one question must not reach the reader as a traceback; it was logged
                    problem = "unexpected error: see the log of alertbot"
            else:
                waiting.add_done_callback(_taken)
        return Seen(None, problem=_sentence(problem)) if kept is None else Seen(kept.view, kept.at, _sentence(problem))

    def close(self) -> None:
        """Start no further reads. One that hangs is left to end by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._recordings.close()

    def _read(self, question: Question) -> _Kept:
        try:
            at = self._clock()
            view = self._view(question.command, question.needs)
            if people_of(view):
                view = with_names(view, self.people())
            if question.over_time is not None:
                wanted = series_wanted(view, question.over_time, at)
                view = replace(view, series=tuple(self._recordings.filled(each, at) for each in wanted))
            whole = all(each.read_since is None for each in view.series)
            kept = _Kept(view, at, self._monotonic() if whole else -FRESH)
            with self._lock:
                self._kept[question] = kept
                self._kept.move_to_end(question)
                while len(self._kept) > MAX_KEPT:
                    self._kept.popitem(last=False)
            return kept
        except AlertbotError as error:
            log.warning("a page could not be read", problem=str(error))
            raise
        except Exception:
            log.exception("a page could not be read", command=question.command.name)
            raise
        finally:
            with self._lock:
                self._reading.pop(question, None)


def _taken(waiting: asyncio.Future[_Kept]) -> None:
    """Discard the outcome of a read that no request waited for: it was logged."""
    if not waiting.cancelled():
        waiting.exception()


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def status_page_routes(
    settings: Settings,
    page: StatusPage,
    ended: Callable[[datetime], Iterator[Alert]],
    updates: Updates,
    clock: Clock,
    monotonic: Callable[[], float] = time.monotonic,
) -> list[BaseRoute]:
    """The routes of the status page; none where `http.host` is not loopback and no password is set.

    `ended`: all alerts that ended since then, read while they are iterated.
    """
    if not serves_page(settings):
        return []
    gate = Gate(settings.page.password.get_secret_value(), monotonic)
    zones, zone = settings.zones(), settings.zone()

    def export(wanted: Filter, now: datetime) -> Iterator[str]:
        people = page.people()
        return ended_csv(
            ended(now - wanted.window), wanted, zones, zone, lambda user: with_shown_names(people.get(user, user))
        )

    return page_routes(page.read, export, gate, clock, updates)
