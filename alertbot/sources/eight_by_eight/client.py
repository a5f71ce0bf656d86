"""EightByEight: the samples of one tenant, over HTTP. Read `fetch` first."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from statistics import median
from typing import Final

import msgspec

from alertbot.errors import (
    SourceBroken,
    SourceError,
    SourceLimited,
    SourceRefused,
    SourceRejected,
    SourceUnreachable,
)
from alertbot.evaluation.snapshot import Fetched, RequestStats, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import Only
from alertbot.sources.eight_by_eight.collector import Collector, UnknownItem
from alertbot.sources.eight_by_eight.deadline import Deadline
from alertbot.sources.eight_by_eight.decode import Page, decode_page
from alertbot.sources.eight_by_eight.names import Names
from alertbot.sources.eight_by_eight.percent import Percentages, PercentScale
from alertbot.sources.eight_by_eight.plan import MAX_URL, NOUNS, QUEUE_GROUPS, Call, Listing, plan
from alertbot.sources.eight_by_eight.rate_limit import RateLimiter
from alertbot.sources.eight_by_eight.request_pool import MAX_CONCURRENT, RequestOutcome, RequestPool
from alertbot.sources.eight_by_eight.retry import Retry
from alertbot.sources.eight_by_eight.scrub import Scrubber
from alertbot.sources.eight_by_eight.sections import Sections, decode_sections
from alertbot.sources.eight_by_eight.snapshots import build_snapshots
from alertbot.sources.eight_by_eight.token import CredentialsRefused, TokenKeeper
from alertbot.sources.eight_by_eight.transport import (
    Bearer,
    HttpResponse,
    Transport,
    error_text,
    host_of,
    http_date,
    is_loopback,
    status_error,
)
from alertbot.sources.eight_by_eight.unchanged import Unchanged

# The 400 for a page beyond the end (guide, "Pagination"); the number is the real count of pages.
_BEYOND: Final = re.compile(r"Field 'page'.*total number of pages, which is (\d{1,9})\b")


# How long an id or key that 8x8 does not know is left out before it is tried again: it may have been created.
_SKIP_UNKNOWN_S: Final = 600.0


class _Memory(msgspec.Struct):
    """What one process leaves to the next: when it sent requests (s since 1970), whether percentages are 0 to 100."""

    requests: list[float] = []
    percent: bool | None = None


_MEMORY: Final = msgspec.json.Decoder(_Memory)


@dataclass(slots=True)
class _Received:
    """What the attempts of one request received."""

    tries: int = 0
    bytes: int = 0
    answer: Page | Sections | None = None
    total_pages: int | None = None
    total_elements: int | None = None


@dataclass(frozen=True, slots=True)
class _Planned:
    """The listings of the last poll, which are mostly those of the next one."""

    wanted: Mapping[Scope, frozenset[str]]
    only: Mapping[Scope, Only] | None
    listings: tuple[Listing, ...]


class RequestNotMade(SourceError):
    """A request that was not sent: the minute was full, or a back-off lasts longer than the deadline."""


class EightByEight:
    """One 8x8 Contact Center tenant as a Source. Its secrets never leave it.

    `base_url` is the URL up to `/queues`; `timezone` is for `.today` metrics ("": the tenant's own zone); `tenant_id`
    is sent as X-Tenant-Info, for multitenant customers. `deadline_s` limits a whole fetch, including retries and the
    token: keep it well below the poll interval. `connect_timeout_s` and `timeout_s` limit one connection and one wait
    for bytes. `max_tries` includes the first attempt. `max_bytes` limits one response, `max_pages` one listing,
    `max_requests_per_minute` all requests in any 60 s. `percent_scale` is the scale of 8x8's percentages (see
    percent.py); snapshots hold 0 to 1. `sleep` (waits, in s) and `monotonic` (s) are for tests.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        token_url: str,
        api_key: str,
        api_secret: str,
        *,
        tenant_id: str = "",
        timezone: str = "",
        deadline_s: float = 12.0,
        connect_timeout_s: float = 3.0,
        timeout_s: float = 8.0,
        max_tries: int = 3,
        max_bytes: int = 32 * 1024 * 1024,
        max_pages: int = 50,
        max_requests_per_minute: int = 60,
        percent_scale: PercentScale = "auto",
        sleep: Callable[[float], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._base_url = base_url.rstrip("/")
        self._timezone = timezone
        self._deadline_s = deadline_s
        self._max_pages = max_pages
        self._monotonic = monotonic
        self._headers = {"X-Tenant-Info": tenant_id} if tenant_id else {}
        self._closed = threading.Event()
        self._sleep = sleep or self._pause
        self._scrub = Scrubber(api_key, api_secret)
        self._transport = Transport(
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=timeout_s,
            max_bytes=max_bytes,
            connections=MAX_CONCURRENT,
            loopback=is_loopback(base_url) and is_loopback(token_url),
            gate=self._gate,
        )
        self._rate_limit = RateLimiter(max_requests_per_minute, monotonic)
        self._names = Names(monotonic)
        self._percentages = Percentages(percent_scale)
        self._unknown_until: dict[
            UnknownItem, float
        ] = {}  # ids and keys that 8x8 does not know, and until when (monotonic s) they are left out
        self._reported: set[UnknownItem] = set()
        self._token = TokenKeeper(self._transport, self._scrub, token_url, api_key, api_secret, monotonic)
        self._retry = Retry(max_tries, self._sleep, self._closed.is_set)
        self._rounds: set[RequestPool] = set()
        self._planned: _Planned | None = None
        self._unchanged = Unchanged()

    def __repr__(self) -> str:
        return f"EightByEight({self.name!r}, {host_of(self._base_url)!r})"

    def fetch(
        self, wanted: Mapping[Scope, frozenset[str]], now: datetime, only: Mapping[Scope, Only] | None = None
    ) -> Fetched:
        """The current values of these keys, as Source promises: never raises for what 8x8 does.

        Requests the token, then page 0 of every listing of the plan, then the further pages that X-Total-Pages
        announces, at most MAX_CONCURRENT at a time. A page that no longer exists because the list shrank is not an
        error and not requested again, but the snapshot is partial: entities that moved to an earlier page are missing.
        """
        started = self._monotonic()
        current = RequestPool(Deadline(started + self._deadline_s, self._monotonic), now, started)
        collector = self._collector(wanted, only)
        calls = collector.begin()
        self._rounds.add(current)
        try:
            left, why = self._run(current, collector, calls)
        finally:
            self._rounds.discard(current)
        for call in left:
            if call is not None:
                collector.give_up(call, why)

        built = build_snapshots(wanted, collector, now, self._percentages, self._names, self._unchanged)
        self._unchanged.end()
        notes, problems = self._percentages.take_messages()
        return Fetched(
            at=now,
            snapshots={scope: each for scope, each in built.items() if isinstance(each, Snapshot)},
            failures={scope: each for scope, each in built.items() if isinstance(each, str)},
            requests=tuple(outcome.stats for outcome in current.outcomes),
            took_ms=(self._monotonic() - started) * 1000.0,
            refused=any(isinstance(outcome.error, SourceRefused) for outcome in current.outcomes),
            retry_after=current.retry_after,
            clock_skew_s=median(current.skews) if current.skews else None,
            notes=notes,
            problems=(*problems, *self._newly_unknown(collector)),
        )

    def _collector(self, wanted: Mapping[Scope, frozenset[str]], only: Mapping[Scope, Only] | None) -> Collector:
        asked = {
            scope: keys | self._percentages.evidence(scope, keys) for scope, keys in wanted.items() if scope in NOUNS
        }
        if self._planned is None or (self._planned.wanted, self._planned.only) != (asked, only):
            self._planned = _Planned(asked, only, plan(asked, only, self._timezone))
        listings = self._planned.listings
        skip = {found for found, until in self._unknown_until.items() if self._monotonic() < until}
        return Collector(
            [*listings, *self._names.needed(listings)],
            self._names,
            max_pages=self._max_pages,
            room=max(1000, MAX_URL - len(self._base_url)),
            skip=skip,
        )

    def _run(self, current: RequestPool, collector: Collector, calls: list[Call]) -> tuple[list[Call | None], str]:
        """Send all requests; returns the calls that were not answered, and why not."""

        def ask(call: Call | None) -> RequestOutcome:
            return self._ask(call, current)

        if not calls:
            return [], ""
        if self._closed.is_set():
            current.stop()
        away = self._rate_limit.back_off_left()
        if away >= self._deadline_s:
            current.retry_after = away
            return list(calls), f"backing off for {away:.0f} s more, as 8x8 asked (Retry-After)"
        if self._token.fresh() is None:
            _, why = current.run(ask, [None], collector.note)
            # Without a token no page is requested: every scope fails for the same reason.
            why = why or next((str(outcome.error) for outcome in current.outcomes if outcome.error), "")
            if why:
                return list(calls), why
        return current.run(ask, calls, collector.note)

    def _newly_unknown(self, collector: Collector) -> list[str]:
        """A sentence for each id and key that 8x8 turned out not to know, once; they are left out for a while."""
        sentences = []
        until = self._monotonic() + _SKIP_UNKNOWN_S
        found = {
            **{
                each: f"rules name the id {each[1]}, which 8x8 does not list in {each[0]}"
                for each in collector.unknown_ids
            },
            **{each: f"rules use {each[1]}, a key that 8x8 rejects for {each[0]}" for each in collector.refused_keys},
        }
        for each, sentence in found.items():
            self._unknown_until[each] = until
            if each not in self._reported:
                self._reported.add(each)
                sentences.append(sentence)
        return sentences

    def memory(self, now: datetime) -> str:
        """The requests of the last minute, and the scale of percentages, as JSON."""
        sent = [round(now.timestamp() - ago, 1) for ago in self._rate_limit.spent()]
        return msgspec.json.encode(_Memory(sent, self._percentages.shown)).decode()

    def resume(self, memory: str, now: datetime) -> None:
        """Count what the process before has sent, and take over the scale that it found.

        Its clock may differ: what would have been sent after `now` counts as sent now.
        """
        try:
            found = _MEMORY.decode(memory.encode()) if memory else _Memory()
        except msgspec.MsgspecError:
            return
        self._rate_limit.spend(max(0.0, now.timestamp() - sent) for sent in found.requests)
        if found.percent is not None:
            self._percentages.resume(found.percent)

    def close(self) -> None:
        """Close connections; a fetch in progress ends now, with what it has."""
        self._closed.set()
        for each in tuple(self._rounds):
            each.stop()
        self._transport.close()

    def _pause(self, seconds: float) -> None:
        self._closed.wait(seconds)  # close() ends it

    def _gate(self, deadline: Deadline) -> None:
        """Before each request: wait until the back-off has ended and the request fits into the minute.

        Raises RequestNotMade when that is after the deadline, or when the source is closed.
        """
        while True:
            away = self._rate_limit.back_off_left()
            if away and away >= deadline.left():
                raise RequestNotMade(f"backing off for {away:.0f} s more, as 8x8 asked (Retry-After)", retry_after=away)
            wait = away or self._rate_limit.acquire()
            if not wait:
                return
            if wait >= deadline.left():
                made = f"{self._rate_limit.per_minute} requests were made in the last minute"
                raise RequestNotMade(f"skipped: {made} (max_requests_per_minute)")
            self._sleep(wait)
            if self._closed.is_set():
                raise RequestNotMade("alertbot is stopping")

    def _ask(self, call: Call | None, current: RequestPool) -> RequestOutcome:
        """One request with its retries, in a thread. What 8x8 does is in the RequestOutcome, not raised."""
        began = self._monotonic()
        received = _Received()
        error: SourceError | None = None

        def attempt() -> None:
            received.tries += 1
            try:
                if call is None:
                    self._token.renew(None, current.deadline, current.wall_time())
                else:
                    self._page(call, current, received)
            except SourceError as failed:
                current.note_retry_after(failed)
                if failed.retry_after:
                    self._rate_limit.back_off(failed.retry_after)  # it applies to the whole tenant
                raise

        try:
            self._retry.run(attempt, current.deadline)
        except SourceError as failed:
            error = _with_tries(failed, received.tries)
        stats = RequestStats(
            endpoint=call.listing.endpoint.path if call else "token",
            page=call.page if call else 0,
            keys=len(call.keys) if call else 0,
            entities=len(received.answer) if received.answer else 0,
            bytes=received.bytes,
            took_ms=(self._monotonic() - began) * 1000.0,
            tries=received.tries,
            scopes=call.listing.scopes if call else (),
            outcome=_outcome(error),
        )
        return RequestOutcome(call, stats, received.answer, received.total_pages, received.total_elements, error)

    def _page(self, call: Call, current: RequestPool, received: _Received) -> None:
        token = self._token.fresh() or self._token.renew(None, current.deadline, current.wall_time())
        answer = self._send(call, token, current)
        if answer.status == 401:
            # It expired early, or was revoked. Try a new one once; if that is refused too, waiting will not help.
            token = self._token.renew(token, current.deadline, current.wall_time())
            answer = self._send(call, token, current)
            if answer.status == 401:
                raise CredentialsRefused(str(status_error(answer, self._scrub, current.wall_time())))
        received.bytes = len(answer.body)
        beyond = _BEYOND.search(error_text(answer.body)) if answer.status == 400 else None
        if beyond:
            if call.page > 0:
                received.total_pages = int(beyond[1])
                return
            if int(beyond[1]) == 0:  # read literally, an empty list has no page 0 either
                received.answer = Page([], [], {key: [] for key in call.keys})
                return
        error = status_error(answer, self._scrub, current.wall_time())
        if error is not None:
            raise error
        try:
            received.answer = self._unchanged.answer(call, answer.body, partial(_decoded, call))
        except SourceBroken as broken:
            raise SourceBroken(f"{answer.host} sent {broken}") from None
        received.total_pages = _count(answer.headers.get("x-total-pages"))
        received.total_elements = _count(answer.headers.get("x-total-elements"))

    def _send(self, call: Call, token: str, current: RequestPool) -> HttpResponse:
        answer = self._transport.send(
            "GET",
            self._base_url + call.listing.path,
            Bearer(token),
            current.deadline,
            query=call.query(),
            headers=self._headers,
        )
        date = http_date(answer.headers.get("date", ""))
        if date is not None:
            # The header was made about halfway through the request, and is rounded down to whole seconds.
            made = current.wall_time() - timedelta(seconds=answer.took_s / 2)
            current.skews.append((date - made).total_seconds() + 0.5)
        return answer


def _decoded(call: Call, body: bytes) -> Page | Sections:
    if call.listing.endpoint is QUEUE_GROUPS:
        return decode_sections(body, call.keys)
    return decode_page(body, call.keys, totals=call.listing.totals)


def _outcome(error: SourceError | None) -> str:
    """One word for what became of a request."""
    if error is None:
        return "ok"
    return next((word for kind, word in _OUTCOMES.items() if isinstance(error, kind)), "failed")


_OUTCOMES: Final[Mapping[type[SourceError], str]] = {
    RequestNotMade: "not_made",
    SourceLimited: "rate_limited",
    SourceRefused: "refused",
    SourceRejected: "rejected",
    SourceBroken: "broken",
    SourceUnreachable: "unreachable",
}


def _with_tries(error: SourceError, tries: int) -> SourceError:
    if tries < 2:
        return error
    return type(error)(f"{error} (after {tries} attempts)", retry_after=error.retry_after)


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None
