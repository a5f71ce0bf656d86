"""The door to HTTP: one request in, one whole answer out, and no exception of requests or urllib3 behind it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from alertbot import __version__
from alertbot.errors import SourceBroken, SourceError, SourceLimited, SourceRefused, SourceRejected, SourceUnreachable
from alertbot.sources.eight_by_eight.deadline import Deadline
from alertbot.sources.eight_by_eight.scrub import Scrubber

MAX_RETRY_AFTER_S: Final = 3600.0  # a longer wait is not believed: it would make the bot blind for it
_CHUNK: Final = 1 << 18
_LEAST_TIMEOUT_S: Final = 0.001  # requests reads 0 as a wrong setting
_MAX_ERROR_TEXT: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer. Header names are in lower case; the body is decompressed. `took_s` is to the headers."""

    host: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    took_s: float = 0.0


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: even when told not to follow, requests reads a redirect's whole body and stumbles over its address."""
        return None


class Transport:
    """Connections to one tenant's addresses, kept between requests and shared by threads.

    `connect_timeout_s` and `read_timeout_s` hold for one connection and one wait for bytes, and are cut to what the
    deadline leaves; `max_bytes` is the largest body, counted after decompression. TLS is checked as requests does by
    default. Proxies come from the environment, but never for loopback. Redirects are not followed: the credentials
    are for this host only. Cookies are not kept. `gate` is called before each request; it may wait, or raise a
    SourceError.
    """

    def __init__(
        self,
        *,
        connect_timeout_s: float,
        read_timeout_s: float,
        max_bytes: int,
        connections: int,
        loopback: bool,
        gate: Callable[[Deadline], None] = lambda deadline: None,
    ) -> None:
        self._gate = gate
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._max_bytes = max_bytes
        # Threads share this session: its pool is made for that, and the cookies, which are not, are switched off.
        self._session = _Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self._session.trust_env = not loopback
        self._session.headers["User-Agent"] = f"alertbot/{__version__}"
        self._session.headers["Accept"] = "application/json"
        # Retries are tenacity's (see retry.py); urllib3's own are off, so that every try is counted.
        adapter = HTTPAdapter(pool_connections=2, pool_maxsize=connections, max_retries=0)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def send(
        self,
        method: str,
        url: str,
        auth: AuthBase,
        deadline: Deadline,
        *,
        query: Sequence[tuple[str, str]] = (),
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send and read to the end. Any status is an Answer.

        Raises SourceUnreachable (no answer), SourceBroken (cut off, too large, broken compression) or SourceRejected
        (the request could not even be built).
        """
        self._gate(deadline)
        host = host_of(url)
        left = max(deadline.left(), _LEAST_TIMEOUT_S)
        try:
            # With `auth` given, requests does not look for a password in ~/.netrc, which would replace our header.
            with self._session.request(
                method,
                url,
                params=list(query),
                data=form,
                headers=headers,
                auth=auth,
                timeout=(min(self._connect_timeout_s, left), min(self._read_timeout_s, left)),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = self._read(response, host, deadline)
                lower = {name.lower(): value for name, value in response.headers.items()}
                return Answer(host, response.status_code, lower, body, response.elapsed.total_seconds())
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise _translated(error, host) from None

    def _read(self, response: requests.Response, host: str, deadline: Deadline) -> bytes:
        chunks: list[bytes] = []
        size = 0
        # read1 gives what has come: a drip of bytes cannot outlive the deadline, as it could inside read(n).
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            size += len(chunk)
            if size > self._max_bytes:
                raise SourceBroken(f"{host} sent more than {self._max_bytes:,} bytes in one answer")
            if deadline.left() <= 0:
                raise SourceUnreachable(f"{host} sent its answer too slowly")
            chunks.append(chunk)
        return b"".join(chunks)

    def close(self) -> None:
        """Let go of the kept connections."""
        self._session.close()


class Bearer(AuthBase):
    """The access token, as the header that 8x8 asks for."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def host_of(url: str) -> str:
    """The host and port of an address, for sentences; never its user or password."""
    parts = urlsplit(url)
    name = parts.hostname or "8x8"
    return f"{name}:{parts.port}" if parts.port else name


def is_loopback(url: str) -> bool:
    """Whether the address is on this machine."""
    name = urlsplit(url).hostname or ""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _translated(error: Exception, host: str) -> SourceError:
    """An exception of requests, urllib3 or the system in our words; its own text may hold a proxy's password."""
    causes = list(_causes(error))

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if has(requests.exceptions.ProxyError, urllib3.exceptions.ProxyError):
        return SourceUnreachable(f"the proxy on the way to {host} does not let us through")
    if has(requests.exceptions.SSLError, urllib3.exceptions.SSLError):
        return SourceUnreachable(f"the certificate or TLS of {host} is not good")
    if has(urllib3.exceptions.NameResolutionError, socket.gaierror):
        return SourceUnreachable(f"the name {host} was not found")
    if has(ConnectionRefusedError):
        return SourceUnreachable(f"{host} refused the connection")
    if has(requests.exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError):
        return SourceUnreachable(f"{host} did not take the connection in time")
    if has(requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError):
        return SourceUnreachable(f"{host} did not answer in time")
    if has(requests.exceptions.ContentDecodingError, urllib3.exceptions.DecodeError):
        return SourceBroken(f"{host} sent an answer whose compression is broken")
    if has(urllib3.exceptions.IncompleteRead):
        return SourceBroken(f"{host} sent an answer that is cut off")
    if has(requests.ConnectionError, urllib3.exceptions.HTTPError, OSError) and not has(ValueError):
        return SourceUnreachable(f"the connection to {host} broke")
    return SourceRejected(f"the request to {host} could not be made: check the address and the tenant id")


def _causes(error: BaseException) -> list[BaseException]:
    """The exception and all that it wraps: requests and urllib3 put the real one in `args` or `reason`."""
    found: list[BaseException] = []
    pending: list[object] = [error]
    while pending:
        each = pending.pop()
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
            pending += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
    return found


def refusal(answer: Answer, scrub: Scrubber, now: datetime) -> SourceError | None:
    """What an answer's status means, or None for 200. `now` is for a Retry-After that is a date."""
    status = answer.status
    if status == 200:
        return None
    text = scrub.clean(error_text(answer.body))
    sentence = f"{answer.host} answered {status}: {text}" if text else f"{answer.host} answered {status}"
    wait = retry_after(answer, now)
    if status == 429:
        return SourceLimited(sentence, retry_after=wait)
    if status in (401, 403):
        return SourceRefused(sentence)
    if status >= 500 or status in (408, 425):
        return SourceBroken(sentence, retry_after=wait)
    if 300 <= status < 400:
        return SourceRejected(f"{answer.host} answered {status}, a redirect, which is not followed")
    if status >= 400:
        return SourceRejected(sentence)
    return SourceBroken(sentence)


def error_text(body: bytes) -> str:
    """What an error body says, in one short line: `message`, else `fault.faultstring`, else `Error`, else its text."""
    raw = body[:4096].decode("utf-8", errors="replace")
    text = raw
    try:
        root = json.loads(body) if len(body) <= 65536 else None
    except (ValueError, RecursionError):
        root = None
    if isinstance(root, dict):
        fault = root.get("fault")
        for found in (
            root.get("message"),
            fault.get("faultstring") if isinstance(fault, dict) else None,
            root.get("Error"),
        ):
            if isinstance(found, str) and found.strip():
                text = found
                break
    if text is raw and raw.lstrip().startswith("<"):
        return "an HTML or XML page"
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _MAX_ERROR_TEXT else line[: _MAX_ERROR_TEXT - 1] + "…"


def retry_after(answer: Answer, now: datetime) -> float | None:
    """Seconds to stay away, from `Retry-After` in seconds or as an HTTP date; None where it is absent or unreadable.

    A date is taken against the answer's own `Date`, so that a wrong clock on either side does no harm.
    """
    text = answer.headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER_S)
    until = http_date(text)
    if until is None:
        return None
    wait = (until - (http_date(answer.headers.get("date", "")) or now)).total_seconds()
    return min(max(wait, 0.0), MAX_RETRY_AFTER_S)


def http_date(text: str) -> datetime | None:
    """An HTTP date, or None where it is none."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
