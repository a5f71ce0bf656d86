"""EightByEight: one tenant's samples over HTTP. Read `fetch` first."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from alertbot.alerts.snapshot import Fetched, RequestStats, Snapshot
from alertbot.errors import SourceBroken, SourceError, SourceRefused
from alertbot.rules.catalogue import Scope
from alertbot.sources.eight_by_eight.assemble import Part, assemble
from alertbot.sources.eight_by_eight.deadline import Deadline
from alertbot.sources.eight_by_eight.decode import Page, decode_page
from alertbot.sources.eight_by_eight.plan import ENDPOINTS, PAGE_SIZE, Call, plan
from alertbot.sources.eight_by_eight.retry import Tries
from alertbot.sources.eight_by_eight.round import AT_ONCE, Outcome, Round
from alertbot.sources.eight_by_eight.scrub import Scrubber
from alertbot.sources.eight_by_eight.token import CredentialsRefused, TokenKeeper
from alertbot.sources.eight_by_eight.transport import (
    Answer,
    Bearer,
    Transport,
    error_text,
    host_of,
    is_loopback,
    refusal,
)

# The 400 for a page beyond the end (guide, "Pagination"); the number is the real count of pages.
_BEYOND: Final = re.compile(r"Field 'page'.*total number of pages, which is (\d{1,9})\b")


@dataclass(slots=True)
class _Brought:
    """What the tries of one request added up to."""

    tries: int = 0
    bytes: int = 0
    page: Page | None = None
    total_pages: int | None = None


class EightByEight:
    """One 8x8 Contact Center tenant as a Source. Plain values in; the secrets stay inside.

    `base_url` is all that stands before `/queues`; `timezone` moves `.today` metrics ("": the tenant's own);
    `tenant_id` is sent as X-Tenant-Info, for multitenant customers. All times are seconds. `deadline_s` bounds a
    whole fetch, retries and token included: keep it well under the poll interval. `connect_timeout_s` and `timeout_s`
    bound one connection and one wait for bytes. `max_tries` counts the first one. `max_bytes` bounds one answer,
    `max_pages` one listing. `sleep` (the waits between tries) and `monotonic` are for tests.
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
        )
        self._token = TokenKeeper(self._transport, self._scrub, token_url, api_key, api_secret, monotonic)
        self._tries = Tries(max_tries, self._sleep, self._closed.is_set)
        self._rounds: set[Round] = set()

    def __repr__(self) -> str:
        return f"EightByEight({self.name!r}, {host_of(self._base_url)!r})"

    def fetch(self, wanted: Mapping[Scope, frozenset[str]], now: datetime) -> Fetched:
        """The present values of these keys, as Source promises: never raises for what the other side does.

        The token first, then page 0 of every scope, then the further pages that X-Total-Pages names, at most AT_ONCE
        requests at a time. A page that is gone because the list shrank meanwhile is no fault: whoever moved to an
        earlier page is seen by the next poll, and nobody counts as gone before three.
        """
        started = self._monotonic()
        current = Round(Deadline(started + self._deadline_s, self._monotonic), now, started)
        calls = plan(wanted, self._timezone)
        parts = {(call.scope, call.part): Part(call.keys) for call in calls}

        def ask(call: Call | None) -> Outcome:
            return self._ask(call, current)

        def then(outcome: Outcome) -> Iterable[Call]:
            return self._note(outcome, parts)

        self._rounds.add(current)
        try:
            if self._closed.is_set():
                current.stop()
            left: list[Call | None] = []
            why = ""
            if self._token.fresh() is None:
                left, why = current.run(ask, [None], then)
                # Without a token no page is asked for: what is wrong with it is wrong with every scope.
                why = why or next((str(outcome.error) for outcome in current.outcomes if outcome.error), "")
            if why:
                left = list(calls)
            else:
                left, why = current.run(ask, calls, then)
        finally:
            self._rounds.discard(current)
        for call in left:
            if call is not None:
                parts[call.scope, call.part].missing[call.page] = why

        judged = {scope: self._judge(scope, parts, now) for scope in wanted}
        return Fetched(
            at=now,
            snapshots={scope: each for scope, each in judged.items() if isinstance(each, Snapshot)},
            failures={scope: each for scope, each in judged.items() if isinstance(each, str)},
            requests=tuple(outcome.stats for outcome in current.outcomes),
            took_ms=(self._monotonic() - started) * 1000.0,
            refused=any(isinstance(outcome.error, SourceRefused) for outcome in current.outcomes),
            retry_after=current.retry_after,
        )

    def close(self) -> None:
        """Let go of connections; a fetch that is under way ends now, with what it has."""
        self._closed.set()
        for each in tuple(self._rounds):
            each.stop()
        self._transport.close()

    def _pause(self, seconds: float) -> None:
        self._closed.wait(seconds)  # so that close() ends it

    def _note(self, outcome: Outcome, parts: Mapping[tuple[Scope, int], Part]) -> Iterable[Call]:
        """Put one outcome where it belongs; the calls that it makes necessary."""
        call = outcome.call
        if call is None:
            return []
        part = parts[call.scope, call.part]
        if outcome.error is not None:
            part.missing[call.page] = str(outcome.error)
            return []
        if outcome.page is None:
            return []
        part.pages[call.page] = outcome.page
        total = outcome.total_pages
        if total is None:
            # No header to go by: a full page may have a next one, unless it is the last one over again.
            before = part.pages.get(call.page - 1)
            again = before is not None and before.ids == outcome.page.ids
            total = call.page + (2 if len(outcome.page) >= PAGE_SIZE and not again else 1)
        if total > self._max_pages:
            part.cut = f"8x8 has {total} pages; only the first {self._max_pages} are read"
            total = self._max_pages
        further = range(max(part.total, 1), total)
        part.total = max(part.total, total)
        return [replace(call, page=page) for page in further]

    def _judge(self, scope: Scope, parts: Mapping[tuple[Scope, int], Part], now: datetime) -> Snapshot | str:
        mine = [part for (each, _), part in parts.items() if each is scope]
        if not mine:
            return f"scope {scope} is not read from 8x8"
        return assemble(scope, ENDPOINTS[scope].noun, mine, now)

    def _ask(self, call: Call | None, current: Round) -> Outcome:
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
                raise

        try:
            held = current.hold()
            if held:
                self._sleep(held)
            self._tries.run(attempt, current.deadline)
        except SourceError as failed:
            error = _with_tries(failed, brought.tries)
        stats = RequestStats(
            endpoint=call.endpoint.path if call else "token",
            page=call.page if call else 0,
            keys=len(call.keys) if call else 0,
            entities=len(brought.page) if brought.page else 0,
            bytes=brought.bytes,
            took_ms=(self._monotonic() - began) * 1000.0,
            tries=brought.tries,
        )
        return Outcome(call, stats, brought.page, brought.total_pages, error)

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
                return
            if int(beyond[1]) == 0:  # an empty list has no page 0 either, read literally
                brought.page = Page([], [], {key: [] for key in call.keys})
                return
        error = refusal(answer, self._scrub, current.wall())
        if error is not None:
            raise error
        try:
            brought.page = decode_page(answer.body, call.keys)
        except SourceBroken as broken:
            raise SourceBroken(f"{answer.host} sent {broken}") from None
        brought.total_pages = _count(answer.headers.get("x-total-pages"))

    def _send(self, call: Call, token: str, current: Round) -> Answer:
        return self._transport.send(
            "GET",
            self._base_url + call.endpoint.path,
            Bearer(token),
            current.deadline,
            query=call.query(),
            headers=self._headers,
        )


def _with_tries(error: SourceError, tries: int) -> SourceError:
    if tries < 2:
        return error
    return type(error)(f"{error} (after {tries} tries)", retry_after=error.retry_after)


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None
