"""EightByEight: one tenant's samples over HTTP. Read `fetch` first."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Final

from alertbot.errors import SourceBroken, SourceError, SourceRefused
from alertbot.evaluation.snapshot import Fetched, RequestStats, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import Only
from alertbot.sources.eight_by_eight.deadline import Deadline
from alertbot.sources.eight_by_eight.decode import Page, decode_page
from alertbot.sources.eight_by_eight.gathering import Found, Gathering
from alertbot.sources.eight_by_eight.names import Names
from alertbot.sources.eight_by_eight.pace import Pace
from alertbot.sources.eight_by_eight.percent import Percentages, PercentScale
from alertbot.sources.eight_by_eight.plan import MAX_URL, NOUNS, QUEUE_GROUPS, Call, plan
from alertbot.sources.eight_by_eight.retry import Tries
from alertbot.sources.eight_by_eight.round import AT_ONCE, RequestOutcome, Round
from alertbot.sources.eight_by_eight.scrub import Scrubber
from alertbot.sources.eight_by_eight.sections import Sections, decode_sections
from alertbot.sources.eight_by_eight.snapshots import judge
from alertbot.sources.eight_by_eight.token import CredentialsRefused, TokenKeeper
from alertbot.sources.eight_by_eight.transport import (
    Answer,
    Bearer,
    Transport,
    error_text,
    host_of,
    http_date,
    is_loopback,
    refusal,
)

# The 400 for a page beyond the end (guide, "Pagination"); the number is the real count of pages.
_BEYOND: Final = re.compile(r"Field 'page'.*total number of pages, which is (\d{1,9})\b")


# How long an id or key that 8x8 does not know is left out before it is tried again: somebody may have made it.
_AVOID_S: Final = 600.0


@dataclass(slots=True)
class _Brought:
    """What the tries of one request added up to."""

    tries: int = 0
    bytes: int = 0
    answer: Page | Sections | None = None
    total_pages: int | None = None
    total_elements: int | None = None


class NotAsked(SourceError):
    """A request that was not made: it did not fit into the minute, or 8x8 wants us away for longer than we have."""


class EightByEight:
    """One 8x8 Contact Center tenant as a Source. Plain values in; the secrets stay inside.

    `base_url` is all that stands before `/queues`; `timezone` moves `.today` metrics ("": the tenant's own);
    `tenant_id` is sent as X-Tenant-Info, for multitenant customers. All times are seconds. `deadline_s` bounds a
    whole fetch, retries and token included: keep it well under the poll interval. `connect_timeout_s` and `timeout_s`
    bound one connection and one wait for bytes. `max_tries` counts the first one. `max_bytes` bounds one answer,
    `max_pages` one listing, `max_requests_per_minute` all requests in any 60 s. `percent_scale`: how 8x8 sends
    percentages (see percent.py); snapshots hold 0 to 1. `sleep` (waits) and `monotonic` are for tests.
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
            connections=AT_ONCE,
            loopback=is_loopback(base_url) and is_loopback(token_url),
            gate=self._gate,
        )
        self._pace = Pace(max_requests_per_minute, monotonic)
        self._names = Names(monotonic)
        self._percentages = Percentages(percent_scale)
        self._avoided: dict[Found, float] = {}  # ids and keys that 8x8 does not know, and until when
        self._told: set[Found] = set()
        self._token = TokenKeeper(self._transport, self._scrub, token_url, api_key, api_secret, monotonic)
        self._tries = Tries(max_tries, self._sleep, self._closed.is_set)
        self._rounds: set[Round] = set()

    def __repr__(self) -> str:
        return f"EightByEight({self.name!r}, {host_of(self._base_url)!r})"

    def fetch(
        self, wanted: Mapping[Scope, frozenset[str]], now: datetime, only: Mapping[Scope, Only] | None = None
    ) -> Fetched:
        """The present values of these keys, as Source promises: never raises for what the other side does.

        The token first, then page 0 of every listing of the plan, then the further pages that X-Total-Pages names, at
        most AT_ONCE requests at a time. A page that is gone because the list shrank meanwhile is no fault and is not
        asked for again, but the snapshot is partial: whoever moved to an earlier page was not seen.
        """
        started = self._monotonic()
        current = Round(Deadline(started + self._deadline_s, self._monotonic), now, started)
        gathering = self._gathering(wanted, only)
        calls = gathering.begin()
        self._rounds.add(current)
        try:
            left, why = self._run(current, gathering, calls)
        finally:
            self._rounds.discard(current)
        for call in left:
            if call is not None:
                gathering.give_up(call, why)

        judged = judge(wanted, gathering, now, self._percentages, self._names)
        notes, problems = self._percentages.said()
        return Fetched(
            at=now,
            snapshots={scope: each for scope, each in judged.items() if isinstance(each, Snapshot)},
            failures={scope: each for scope, each in judged.items() if isinstance(each, str)},
            requests=tuple(outcome.stats for outcome in current.outcomes),
            took_ms=(self._monotonic() - started) * 1000.0,
            refused=any(isinstance(outcome.error, SourceRefused) for outcome in current.outcomes),
            retry_after=current.retry_after,
            clock_skew_s=median(current.skews) if current.skews else None,
            notes=notes,
            problems=(*problems, *self._strangers(gathering)),
        )

    def _gathering(self, wanted: Mapping[Scope, frozenset[str]], only: Mapping[Scope, Only] | None) -> Gathering:
        listings = plan(
            {scope: keys | self._percentages.evidence(scope, keys) for scope, keys in wanted.items() if scope in NOUNS},
            only,
            self._timezone,
        )
        avoid = {found for found, until in self._avoided.items() if self._monotonic() < until}
        return Gathering(
            [*listings, *self._names.needed(listings)],
            self._names,
            max_pages=self._max_pages,
            room=max(1000, MAX_URL - len(self._base_url)),
            avoid=avoid,
        )

    def _run(self, current: Round, gathering: Gathering, calls: list[Call]) -> tuple[list[Call | None], str]:
        """Ask everything; the calls that were not answered, and why not."""

        def ask(call: Call | None) -> RequestOutcome:
            return self._ask(call, current)

        if not calls:
            return [], ""
        if self._closed.is_set():
            current.stop()
        away = self._pace.away()
        if away >= self._deadline_s:
            current.retry_after = away
            return list(calls), f"8x8 asked us to stay away for {away:.0f} s more"
        if self._token.fresh() is None:
            _, why = current.run(ask, [None], gathering.note)
            # Without a token no page is asked for: what is wrong with it is wrong with every scope.
            why = why or next((str(outcome.error) for outcome in current.outcomes if outcome.error), "")
            if why:
                return list(calls), why
        return current.run(ask, calls, gathering.note)

    def _strangers(self, gathering: Gathering) -> list[str]:
        """Sentences for ids and keys that 8x8 does not know, each once; they are left out for a while."""
        sentences = []
        until = self._monotonic() + _AVOID_S
        found = {
            **{
                each: f"rules name the id {each[1]}, which 8x8 does not list in {each[0]}"
                for each in gathering.unknown_ids
            },
            **{each: f"rules use {each[1]}, a key that 8x8 refuses for {each[0]}" for each in gathering.refused_keys},
        }
        for each, sentence in found.items():
            self._avoided[each] = until
            if each not in self._told:
                self._told.add(each)
                sentences.append(sentence)
        return sentences

    def close(self) -> None:
        """Let go of connections; a fetch that is under way ends now, with what it has."""
        self._closed.set()
        for each in tuple(self._rounds):
            each.stop()
        self._transport.close()

    def _pause(self, seconds: float) -> None:
        self._closed.wait(seconds)  # so that close() ends it

    def _gate(self, deadline: Deadline) -> None:
        """Before each request: wait until 8x8 wants us again, and until it fits into the minute. Raises NotAsked."""
        while True:
            away = self._pace.away()
            if away and away >= deadline.left():
                raise NotAsked(f"8x8 asked us to stay away for {away:.0f} s more", retry_after=away)
            wait = away or self._pace.take()
            if not wait:
                return
            if wait >= deadline.left():
                made = f"{self._pace.per_minute} requests were made in the last minute"
                raise NotAsked(f"not asked: {made} (max_requests_per_minute)")
            self._sleep(wait)
            if self._closed.is_set():
                raise NotAsked("alertbot is stopping")

    def _ask(self, call: Call | None, current: Round) -> RequestOutcome:
        """One request with its tries, in a thread of its own. What 8x8 does is in the Outcome, not raised."""
        began = self._monotonic()
        brought = _Brought()
        error: SourceError | None = None

        def attempt() -> None:
            brought.tries += 1
            try:
                if call is None:
                    self._token.renew(None, current.deadline, current.wall())
                else:
                    self._page(call, current, brought)
            except SourceError as failed:
                current.heard(failed)
                if failed.retry_after:
                    self._pace.stay_away(failed.retry_after)  # what one request was told holds for all of the tenant
                raise

        try:
            self._tries.run(attempt, current.deadline)
        except SourceError as failed:
            error = _with_tries(failed, brought.tries)
        stats = RequestStats(
            endpoint=call.listing.endpoint.path if call else "token",
            page=call.page if call else 0,
            keys=len(call.keys) if call else 0,
            entities=len(brought.answer) if brought.answer else 0,
            bytes=brought.bytes,
            took_ms=(self._monotonic() - began) * 1000.0,
            tries=brought.tries,
            scopes=call.listing.scopes if call else (),
        )
        return RequestOutcome(call, stats, brought.answer, brought.total_pages, brought.total_elements, error)

    def _page(self, call: Call, current: Round, brought: _Brought) -> None:
        token = self._token.fresh() or self._token.renew(None, current.deadline, current.wall())
        answer = self._send(call, token, current)
        if answer.status == 401:
            # It ended early, or was withdrawn. A new one once; if that is refused too, waiting will not help.
            token = self._token.renew(token, current.deadline, current.wall())
            answer = self._send(call, token, current)
            if answer.status == 401:
                raise CredentialsRefused(str(refusal(answer, self._scrub, current.wall())))
        brought.bytes = len(answer.body)
        beyond = _BEYOND.search(error_text(answer.body)) if answer.status == 400 else None
        if beyond:
            if call.page > 0:
                brought.total_pages = int(beyond[1])
                return
            if int(beyond[1]) == 0:  # an empty list has no page 0 either, read literally
                brought.answer = Page([], [], {key: [] for key in call.keys})
                return
        error = refusal(answer, self._scrub, current.wall())
        if error is not None:
            raise error
        try:
            if call.listing.endpoint is QUEUE_GROUPS:
                brought.answer = decode_sections(answer.body, call.keys)
            else:
                brought.answer = decode_page(answer.body, call.keys, totals=call.listing.totals)
        except SourceBroken as broken:
            raise SourceBroken(f"{answer.host} sent {broken}") from None
        brought.total_pages = _count(answer.headers.get("x-total-pages"))
        brought.total_elements = _count(answer.headers.get("x-total-elements"))

    def _send(self, call: Call, token: str, current: Round) -> Answer:
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
            # Made about when half of the way was done; it has whole seconds, cut off.
            made = current.wall() - timedelta(seconds=answer.took_s / 2)
            current.skews.append((date - made).total_seconds() + 0.5)
        return answer


def _with_tries(error: SourceError, tries: int) -> SourceError:
    if tries < 2:
        return error
    return type(error)(f"{error} (after {tries} tries)", retry_after=error.retry_after)


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None
