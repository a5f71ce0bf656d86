"""The one way to Slack's Web API: slack_sdk's WebClient with a deadline for a whole call, and without redirects.

slack_sdk's timeout is for each wait for bytes, so an answer that drips holds a thread without a bound; and urllib
follows redirects with the token in the header. Here a call ends at its deadline, whatever arrives, no request begins
after it, and a redirect is an answer like any other that is not Slack's.
"""

from __future__ import annotations

import io
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from ssl import SSLContext
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from slack_sdk import WebClient

from alertbot.clock import Clock, steady, wall_clock

MAX_BYTES = 16 * 1024 * 1024
"""Of one answer: a page of a thousand channels is about one megabyte."""
LATE_ANSWER = 5.0
"""Seconds for the answer to a request that was sent after the deadline of its call."""


Observe = Callable[[str, str, float, float | None], None]
"""Called with the method of a request, its outcome in a word, its seconds, and the Retry-After (s) of a 429."""


def not_observed(*_: object) -> None:
    """Takes no notice of a request."""


class Contact:
    """When Slack last answered, and how its clock differs from ours. Shared by the clients of a process.

    `monotonic` gives seconds of a clock that is never set. `observe` is called after each request.
    """

    def __init__(
        self,
        clock: Clock = wall_clock,
        monotonic: Callable[[], float] = time.monotonic,
        observe: Observe = not_observed,
    ) -> None:
        self._clock, self._monotonic = clock, monotonic
        self.observe = observe
        self._lock = threading.Lock()
        self._failed_at: float | None = None
        self._answered_at: float | None = None
        self._offsets: deque[timedelta] = deque(maxlen=2)
        self._granted: frozenset[str] | None = None

    @property
    def unreachable_for(self) -> float | None:
        """Seconds since the first call without an answer, with none answered since; None while Slack answers."""
        with self._lock:
            return None if self._failed_at is None else self._monotonic() - self._failed_at

    @property
    def answered_ago(self) -> float | None:
        """Seconds since the last answer; None before the first."""
        with self._lock:
            return None if self._answered_at is None else self._monotonic() - self._answered_at

    @property
    def offset(self) -> timedelta:
        """Slack's clock minus ours, by the `Date` of its last answers; zero before the first.

        Of two, the smaller difference: an answer that was made, or waited to be read, while one of the two machines
        was paused has an old `Date`.
        """
        with self._lock:
            return min(self._offsets, key=abs, default=timedelta())

    def lacks(self, scope: str) -> bool:
        """Whether the last answer that named the scopes of the token was without this one."""
        with self._lock:
            return self._granted is not None and scope not in self._granted

    def answered(self, date: str | None, scopes: str | None = None) -> None:
        """Slack answered, with these headers: `Date`, and `X-OAuth-Scopes`, which names the scopes of the token."""
        sent = _date(date)
        with self._lock:
            if scopes:
                self._granted = frozenset(scope.strip() for scope in scopes.split(","))
            self._failed_at, self._answered_at = None, self._monotonic()
            if sent is not None:
                self._offsets.append(sent - self._clock())

    def failed(self) -> None:
        """A call had no answer of Slack's."""
        with self._lock:
            if self._failed_at is None:
                self._failed_at = self._monotonic()


class SlackClient(WebClient):
    """WebClient whose `timeout` (s) is for the whole call, from the first connect to the last byte."""

    def __init__(self, token: str | None = None, *, contact: Contact | None = None, **options: Any) -> None:
        super().__init__(token, **options)
        self.contact = contact or Contact()
        self._mine = threading.local()  # of each thread

    def upload(self, url: str, data: bytes) -> None:
        """Send the bytes of a file to the address that files.getUploadURLExternal gave; no token goes there.

        Raises ValueError for an address that is not as safe as Slack's own, and what urllib raises where it fails.
        """
        if urlsplit(url).scheme not in ("https", urlsplit(self.base_url).scheme):
            raise ValueError("the address for uploads is not https")
        request = Request(url, data=data, headers={"Content-Type": "application/octet-stream"}, method="POST")  # noqa: S310  # checked above
        with self._opener().open(request, timeout=self.timeout) as answer:
            answer.read(MAX_BYTES)

    @contextmanager
    def call_from(self, began: float) -> Iterator[None]:
        """The calls of this thread in here count as begun at `began`, of `steady`, and have their deadline after that.

        So a process that was stopped between a check and its request sends nothing when it continues.
        """
        self._mine.began = began
        try:
            yield
        finally:
            del self._mine.began

    def _opener(self) -> OpenerDirector:
        """What opens one connection, with the deadline of a call that begins now."""
        deadline = Deadline(getattr(self._mine, "began", steady()) + self.timeout)
        handlers: list[Any] = [_NoRedirects(), _Http(deadline), _Https(deadline, self.ssl)]
        if self.proxy is not None:
            handlers.append(ProxyHandler({"http": self.proxy, "https": self.proxy}))
        return build_opener(*handlers)

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        # The method of slack_sdk that opens the connection; tests/slack/test_client.py fails where it has another name.
        began = time.monotonic()
        outcome, wait = "unreachable", None
        try:
            answer = self._request(req)
            outcome = _outcome(answer["body"])
            return answer
        except HTTPError as error:
            outcome = "rate_limited" if error.code == HTTPStatus.TOO_MANY_REQUESTS else "failed"
            wait = _seconds(error.headers.get("Retry-After")) if error.code == HTTPStatus.TOO_MANY_REQUESTS else None
            raise
        finally:
            self.contact.observe(_method(url), outcome, time.monotonic() - began, wait)

    def _request(self, req: Request) -> dict[str, Any]:
        try:
            with self._opener().open(req, timeout=self.timeout) as answer:
                body = answer.read(MAX_BYTES + 1)
                if len(body) > MAX_BYTES:
                    raise ValueError("an answer without an end")
                charset = answer.headers.get_content_charset() or "utf-8"
                status, headers = answer.status, answer.headers
        except HTTPError as error:
            if error.code < 500:
                self.contact.answered(error.headers.get("Date"))
            else:
                self.contact.failed()
            raise
        except Exception:
            self.contact.failed()
            raise
        self.contact.answered(headers.get("Date"), headers.get("X-OAuth-Scopes"))
        return {"status": status, "headers": headers, "body": body.decode(charset)}


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none: the next address would be sent the token. The answer becomes an HTTPError."""
        return


class Deadline:
    """When a call ends, in seconds of `monotonic`, which continues while this process is paused.

    A process may be paused just before its request, after the deadline was checked, and send when it continues. The
    answer to such a request says what was posted, long after others have given it up: it is waited for.
    """

    def __init__(self, at: float, monotonic: Callable[[], float] = steady) -> None:
        self._at, self._monotonic = at, monotonic

    def remaining(self) -> float:
        """How many seconds are left. Raises TimeoutError where there are none."""
        remaining = self._at - self._monotonic()
        if remaining <= 0:
            raise TimeoutError("the call took too long")
        return remaining

    def sent(self) -> None:
        """The whole request was sent."""
        now = self._monotonic()
        if now >= self._at:
            self._at = now + LATE_ANSWER


class _Http(HTTPHandler):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(partial(_Connection, deadline=self._deadline), req)


class _Https(HTTPSHandler):
    def __init__(self, deadline: Deadline, context: SSLContext | None) -> None:
        super().__init__(context=context)
        self._deadline, self._ssl = deadline, context

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(partial(_SecureConnection, deadline=self._deadline, context=self._ssl), req)


class _Bounded:
    """What both kinds of connection do: connect, send and read before the deadline, or raise TimeoutError."""

    sock: Any
    response_class: Any

    def _bound(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._create_connection = self._connected
        self.response_class = partial(_Response, deadline=deadline)

    def _connected(self, address: tuple[str, int], *_: Any) -> socket.socket:
        """As socket.create_connection, whose timeout is for each address of the name."""
        problem: OSError | None = None
        for family, kind, protocol, _name, target in socket.getaddrinfo(*address, 0, socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(self._deadline.remaining())
                sock.connect(target)
            except OSError as error:
                sock.close()
                problem = error
            else:
                sock.settimeout(self._deadline.remaining())
                return sock
        raise problem or OSError("the name has no address")

    def _allow(self) -> None:
        if self.sock is not None:
            self.sock.settimeout(self._deadline.remaining())


class _Connection(_Bounded, HTTPConnection):
    def __init__(self, *args: Any, deadline: Deadline, **options: Any) -> None:
        super().__init__(*args, **options)
        self._bound(deadline)

    def send(self, data: Any) -> None:
        self._allow()
        HTTPConnection.send(self, data)

    def getresponse(self) -> HTTPResponse:
        self._deadline.sent()
        return HTTPConnection.getresponse(self)


class _SecureConnection(_Bounded, HTTPSConnection):
    def __init__(self, *args: Any, deadline: Deadline, **options: Any) -> None:
        super().__init__(*args, **options)
        self._bound(deadline)

    def send(self, data: Any) -> None:
        self._allow()
        HTTPSConnection.send(self, data)

    def getresponse(self) -> HTTPResponse:
        self._deadline.sent()
        return HTTPSConnection.getresponse(self)


class _Response(HTTPResponse):
    """Reads with what is left of the deadline, instead of the full timeout for each wait."""

    def __init__(self, sock: socket.socket, *args: Any, deadline: Deadline, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_Reader(sock, deadline))


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.remaining())
        return self._file.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _method(url: str) -> str:
    """The method that a URL calls; `other` for one that is no method, such as the address of an upload."""
    last = url.partition("?")[0].rpartition("/")[2]
    return last if _METHOD.fullmatch(last) else "other"


_METHOD = re.compile(r"[a-zA-Z]+(\.[a-zA-Z]+)+")
_OK = re.compile(r'"ok"\s*:\s*(true|false)')


def _outcome(body: str) -> str:
    """Whether Slack did what was asked. A quote inside a text has a backslash, so this finds the key alone."""
    found = _OK.search(body)
    return "failed" if found is None else "ok" if found[1] == "true" else "refused"


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 7 else None


def _date(text: str | None) -> datetime | None:
    try:
        sent = parsedate_to_datetime(text) if text else None
    except (TypeError, ValueError):
        return None
    return sent if sent is None or sent.tzinfo else sent.replace(tzinfo=UTC)
