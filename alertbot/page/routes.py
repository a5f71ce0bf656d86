"""The routes of the pages: who may see them, what each reads, and what is shown if that cannot be read."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from http import HTTPStatus
from itertools import chain, islice
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from alertbot.commands.wording import age, clock
from alertbot.errors import AlertbotError
from alertbot.page.ended import CSV_PATH, ENDED, Filter, filter_of
from alertbot.page.entity import ENTITIES
from alertbot.page.frame import HEADERS, KEPT, NEVER_KEPT, Frame
from alertbot.page.gate import COOKIE, LASTS, Gate
from alertbot.page.links import with_query
from alertbot.page.live import LIVE
from alertbot.page.metric import METRIC
from alertbot.page.now import NOW
from alertbot.page.page import Address, Page, Question, Seen, Shown
from alertbot.page.rules import RULE_PAGES
from alertbot.page.updates import Stream, Updates

PAGES: tuple[Page, ...] = (NOW, LIVE, ENDED, *RULE_PAGES, *ENTITIES, METRIC)
"""All pages. The navigation and the routes are made from them, in this order."""
MAX_FORM = 4096
"""Bytes of the login form."""
LINES_A_BLOCK = 200
"""Lines of CSV that are sent at a time."""
AGE_SHOWN_AFTER = timedelta(seconds=10)

Read = Callable[[Question], Awaitable[Seen]]
Export = Callable[[Filter, datetime], Iterator[str]]

_log = logging.getLogger(__name__)


def page_routes(
    read: Read, export: Export, gate: Gate, now: Callable[[], datetime], updates: Updates
) -> list[BaseRoute]:
    """Routes of all pages, their files and the login. `read` answers within about a second, whatever the database does.

    `export` gives the CSV of ended alerts, line by line; it may take long, and raise StoreError before the first line.
    """
    return _Site(read, export, gate, now, updates).routes()


class _Site:
    def __init__(self, read: Read, export: Export, gate: Gate, now: Callable[[], datetime], updates: Updates) -> None:
        self._read, self._export, self._gate, self._now = read, export, gate, now
        self._updates = updates
        self._frame = Frame()

    def routes(self) -> list[BaseRoute]:
        pages = [Route(each.path, self._page(each), methods=["GET"], name=each.name) for each in PAGES]
        login = [
            Route("/login", self._login, methods=["GET", "POST"], name="login"),
            Route("/logout", self._logout, methods=["POST"], name="logout"),
        ]
        return [
            *pages,
            Route(CSV_PATH, self._csv, methods=["GET"], name="ended.csv"),
            Route("/events", self._events, methods=["GET"], name="events"),
            Route("/static/{name}", self._asset, methods=["GET"], name="static"),
            *(login if self._gate.has_password else []),
            Route("/{path:path}", self._nowhere, methods=["GET"], name="nowhere"),  # the last: whatever is left
        ]

    # Pages

    def _page(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            kept_out = self._keeps_out(request)
            if kept_out is not None:
                return kept_out
            address = _address(request)
            seen = await self._read(page.asks(address))
            return await run_in_threadpool(self._answer, page, address, seen)

        return answer

    def _answer(self, page: Page, address: Address, seen: Seen) -> Response:
        now = self._now()
        if seen.view is None:
            why = f"{seen.problem.rstrip('.')}."
            unread = _problem("No data", 503, why, "The page returns as soon as the database can be read.")
            return self._drawn(page, address, unread, seen, now)
        try:
            shown = page.shows(seen.view, address, now)
            return self._drawn(page, address, shown, seen, now)
        except Exception:  # a fault in one page must not reach the reader as a traceback
            _log.exception("the page %s could not be drawn", page.name)
            failed = _problem("Unexpected error", 500, "This page could not be drawn. See the log of alertbot.")
            return self._drawn(page, address, failed, Seen(None), now)

    async def _nowhere(self, request: Request) -> Response:
        """An address that is none of the site's: a page with the navigation, as for the others that do not exist."""
        kept_out = self._keeps_out(request)
        if kept_out is not None:
            return kept_out
        lost = _problem("No such page", HTTPStatus.NOT_FOUND, "There is no page at this address.")
        return await run_in_threadpool(self._drawn, None, _address(request), lost, Seen(None), self._now())

    def _drawn(self, page: Page | None, address: Address, shown: Shown, seen: Seen, now: datetime) -> Response:
        values = {
            "nav": () if address.wall else _navigation(page),
            "wall": address.wall,
            "logout": self._gate.has_password,
            "problem": f"{seen.problem.rstrip('.')}." if seen.problem and seen.view is not None else "",
            "as_of": _as_of(seen, now),
            **shown.values,
        }
        return _html(self._frame.draw(shown.template, values), shown.status)

    def _keeps_out(self, request: Request) -> Response | None:
        """The response to a request that may not see pages, or that needs a login first; else None."""
        refused = self._refusal(request)
        if refused is not None or self._is_logged_in(request):
            return refused
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return _redirect("/login" if path == "/" else with_query("/login", {"next": path}))

    async def _csv(self, request: Request) -> Response:
        kept_out = self._keeps_out(request)
        if kept_out is not None:
            return kept_out
        wanted, now = filter_of(_address(request)), self._now()
        if wanted.wrong:
            return _text(wanted.wrong, HTTPStatus.BAD_REQUEST)
        try:
            first, lines = await run_in_threadpool(_begun, self._export(wanted, now))
        except AlertbotError as error:
            return _text(f"{error}. Try again later.", HTTPStatus.SERVICE_UNAVAILABLE)
        name = f"alerts-{now:%Y-%m-%d}.csv"
        named = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Type": "text/csv; charset=utf-8"}
        return StreamingResponse(chain([first], lines), headers={**HEADERS, **NEVER_KEPT, **named})

    async def _events(self, request: Request) -> Response:
        """Notifies an open page of changes, as server-sent events."""
        refused = self._refusal(request)
        if refused is not None:
            return refused
        if not self._is_logged_in(request):
            return _text("Log in first.", HTTPStatus.UNAUTHORIZED)
        if request.method == "HEAD":
            return Response(headers={**HEADERS, **NEVER_KEPT}, media_type="text/event-stream")
        stream = self._updates.stream()
        return _Events(stream) if stream else _text("Too many pages are open.", HTTPStatus.SERVICE_UNAVAILABLE)

    # Login

    async def _login(self, request: Request) -> Response:
        if request.method == "POST":
            return await self._log_in(request)
        target = _own_path(request.query_params.get("next", "/"))
        return _redirect(target) if self._is_logged_in(request) else self._form(target)

    async def _log_in(self, request: Request) -> Response:
        if _is_foreign(request):
            return self._form("/", "This login was sent from another site. Log in here.", HTTPStatus.FORBIDDEN)
        peer = request.client.host if request.client is not None else ""
        if wait := self._gate.attempts.wait(peer):
            return self._too_many(wait)
        fields = await _form_of(request)
        if fields is None:
            return self._form("/", "The request is too long.", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        # Again: other attempts of this peer may have failed meanwhile. None can come between this check and its count.
        if wait := self._gate.attempts.wait(peer):
            return self._too_many(wait)
        target = _own_path(fields.get("next", "/"))
        if not self._gate.is_right(fields.get("password", "")):
            self._gate.attempts.add(peer)
            _log.warning("wrong password for the status page, from %s", peer)
            return self._form(target, "Wrong password.", HTTPStatus.UNAUTHORIZED)
        answer = _redirect(target)
        _set_cookie(answer, request, self._gate.cookie(), int(LASTS.total_seconds()))
        return answer

    def _too_many(self, wait: float) -> Response:
        words = f"Too many wrong passwords. Try again in {math.ceil(wait / 60)} min."
        answer = self._form("/", words, HTTPStatus.TOO_MANY_REQUESTS)
        answer.headers["Retry-After"] = str(math.ceil(wait))
        return answer

    async def _logout(self, request: Request) -> Response:
        answer = _redirect("/login")
        if not _is_foreign(request):
            _set_cookie(answer, request, "", 0)
        return answer

    def _form(self, target: str, wrong: str = "", status: int = 200) -> Response:
        values = {"nav": (), "wall": False, "problem": "", "as_of": None, "next": target, "wrong": wrong}
        return _html(self._frame.draw("login.html", values), status)

    def _is_logged_in(self, request: Request) -> bool:
        return self._gate.is_logged_in(request.cookies.get(COOKIE, ""))

    # Files

    async def _asset(self, request: Request) -> Response:
        refused = self._refusal(request)
        if refused is not None:
            return refused
        asset = self._frame.assets.get(request.path_params["name"])
        if asset is None:
            return _text("Not Found", HTTPStatus.NOT_FOUND)
        keep = KEPT if request.query_params.get("v") == asset.version else {"Cache-Control": "no-cache, no-transform"}
        return Response(asset.content, headers={**HEADERS, **keep, "Content-Type": asset.content_type})

    def _refusal(self, request: Request) -> Response | None:
        why = self._gate.refusal(request.headers, str(request.scope["http_version"]))
        if not why:
            return None
        values = {"nav": (), "wall": False, "problem": "", "as_of": None}
        values |= {"heading": "Refused", "sentences": (why,), "near": ()}
        return _html(self._frame.draw("problem.html", values), HTTPStatus.FORBIDDEN)


def _address(request: Request) -> Address:
    return Address({name: str(value) for name, value in request.path_params.items()}, dict(request.query_params))


def _begun(lines: Iterator[str]) -> tuple[str, Iterator[str]]:
    """The first lines, and the rest: an error in reading appears before the response begins."""
    return "".join(islice(lines, 2)), _in_blocks(lines)


def _in_blocks(lines: Iterator[str]) -> Iterator[str]:
    while block := "".join(islice(lines, LINES_A_BLOCK)):
        yield block


def _text(sentence: str, status: int) -> Response:
    return Response(f"{sentence}\n", status, {**HEADERS, **NEVER_KEPT, "Content-Type": "text/plain; charset=utf-8"})


class _Events(StreamingResponse):
    """A stream of events that ends with its response, even if nothing was sent."""

    def __init__(self, stream: Stream) -> None:
        # A proxy must not buffer events (X-Accel-Buffering is the header of nginx).
        headers = {**HEADERS, **NEVER_KEPT, "X-Accel-Buffering": "no"}
        super().__init__(stream.lines(), headers=headers, media_type="text/event-stream")
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.end()


def _navigation(current: Page | None) -> Sequence[Mapping[str, object]]:
    section = current.path.split("/")[1].partition(".")[0] if current is not None else None
    return [
        {"href": each.path, "label": each.label, "current": each.path == f"/{section}"} for each in PAGES if each.label
    ]


def _problem(heading: str, status: int, *sentences: str) -> Shown:
    return Shown("problem.html", {"heading": heading, "sentences": sentences, "near": ()}, status)


def _as_of(seen: Seen, now: datetime) -> Mapping[str, str] | None:
    """When the data on the page was read, and its age if it is old."""
    if seen.view is None or seen.at is None:
        return None
    old = bool(seen.problem) or now - seen.at > AGE_SHOWN_AFTER
    return {
        "iso": seen.at.isoformat(timespec="seconds"),
        "clock": clock(seen.at, seen.view.timezone, now),
        "age": age(seen.at, now) if old else "",
    }


def _html(text: str, status: int = 200) -> Response:
    return Response(text, status, {**HEADERS, **NEVER_KEPT, "Content-Type": "text/html; charset=utf-8"})


def _redirect(target: str) -> Response:
    return RedirectResponse(target, HTTPStatus.SEE_OTHER, {**HEADERS, **NEVER_KEPT})


def _set_cookie(answer: Response, request: Request, value: str, max_age: int) -> None:
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().casefold()
    secure = forwarded == "https" or request.url.scheme == "https"
    answer.set_cookie(COOKIE, value, max_age=max_age, path="/", httponly=True, samesite="lax", secure=secure)


def _own_path(target: str) -> str:
    """Where to go after the login: a path of this server, whatever the form says."""
    if not target.startswith("/") or target.startswith(("//", "/login", "/logout")):
        return "/"
    return target if all(" " < character <= "~" and character != "\\" for character in target) else "/"


def _is_foreign(request: Request) -> bool:
    """Whether a browser says that a form was sent from another site."""
    return request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")


async def _form_of(request: Request) -> Mapping[str, str] | None:
    """The fields of a form, with the first value of each; None if the form is too long."""
    body = b""
    with suppress(ClientDisconnect):  # then there is no one to answer
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM:
                return None
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}
