"""HTTP: one request in, one whole response out; exceptions of requests and urllib3 become SourceErrors."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http.client import HTTPResponse as ClientResponse
from http.cookiejar import DefaultCookiePolicy
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from alertbot import __version__
from alertbot.errors import (
    SourceBroken,
    SourceError,
    SourceLimited,
    SourceRefused,
    SourceRejected,
    SourceUnconnected,
    SourceUnreachable,
)
from alertbot.sources.eight_by_eight import response_headers
from alertbot.sources.eight_by_eight.deadline import Deadline
from alertbot.sources.eight_by_eight.scrub import Scrubber

MAX_RETRY_AFTER_S: Final = 3600.0  # a longer wait is cut to this: there is no data until it ends
_CHUNK: Final = 1 << 18
_BUFFER: Final = 1 << 14  # most responses of 50 queues or agents arrive in it whole, with their headers
_MIN_TIMEOUT_S: Final = 0.001  # requests rejects a timeout of 0
_MAX_ERROR_TEXT: Final = 200
_MAX_KNOWN: Final = 200  # requests that a transport keeps

_Asked = tuple[str, str, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole HTTP response, decompressed. Headers are looked up in lower case; `took_s` ends when they arrived."""

    host: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    took_s: float = 0.0


class _Answering(threading.local):
    """By when the request that this thread sends has to be answered."""

    deadline: Deadline | None = None


_answering = _Answering()


class _Response(ClientResponse):
    """Waits for bytes no longer than the deadline leaves: headers that drip would otherwise hold a thread for ever."""

    begin = response_headers.begin

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        if _answering.deadline is not None:
            sock = _Timed(sock, _answering.deadline)
        super().__init__(sock, *args, **options)


class _Timed:
    """What a response asks of its socket: a file to read from."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._deadline), _BUFFER)


class _TooSlow(TimeoutError):
    """Something was received, and not all of it before the deadline."""


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline, self._timeout = sock, deadline, sock.gettimeout()
        self._file = sock.makefile("rb", buffering=0)
        self._begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = max(self._deadline.left(), _MIN_TIMEOUT_S)
        if self._timeout is None or left < self._timeout:  # else it is set already, and to set it is a system call
            self._sock.settimeout(left)
        try:
            size = self._file.readinto(buffer)
        except TimeoutError:
            if self._begun and self._deadline.left() <= 0:
                raise _TooSlow from None
            raise
        if self._begun and self._deadline.left() <= 0:
            raise _TooSlow
        self._begun = True
        return size

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _Connection(urllib3.connection.HTTPConnection):
    response_class = _Response


class _SecureConnection(urllib3.connection.HTTPSConnection):
    response_class = _Response


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class _Adapter(HTTPAdapter):
    """An HTTPAdapter whose connections keep to the deadline, through a proxy too.

    What requests works out again for every request, and is the same for all requests to a host, is kept: the pool,
    which it looks up by everything that a connection depends on. A tenant has two hosts, and its settings of TLS never
    change. A pool that urllib3 has closed is looked up again.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._pools: dict[tuple[object, ...], Any] = {}

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        if proxies:
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        parts = urlsplit(request.url or "")
        host = parts.scheme, parts.netloc, verify, cert
        pool = self._pools.get(host)
        if pool is None or pool.pool is None:
            pool = self._pools[host] = super().get_connection_with_tls_context(request, verify, proxies, cert)
        return pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        return super().request_url(request, proxies) if proxies else request.path_url

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """The status, the headers and the body: encoding and cookies are not used."""
        response = requests.Response()
        response.status_code, response.headers, response.raw = resp.status, resp.headers, resp
        return response

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: even with redirects off, requests reads the whole body of a redirect and fails on a bad address."""
        return None


class Transport:
    """The connections of one tenant, kept open between requests. Thread-safe.

    `connect_timeout_s` and `read_timeout_s` apply to one connection and one wait for bytes, and are cut to what the
    deadline leaves; `max_bytes` limits a body, after decompression; with `cut` a longer one is not an error, and the
    rest of it is not read. TLS is verified as requests does by default.
    Proxies come from the environment, but never for loopback. Redirects are not followed: the credentials are for
    this host only. Cookies are not kept. `gate` is called before each request; it may wait, or raise a SourceError.
    """

    def __init__(
        self,
        *,
        connect_timeout_s: float,
        read_timeout_s: float,
        max_bytes: int,
        connections: int,
        loopback: bool,
        cut: bool = False,
        gate: Callable[[Deadline], None] = lambda deadline: None,
    ) -> None:
        self._gate = gate
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._max_bytes, self._cut = max_bytes, cut
        # Threads share this session: its pool is thread-safe, and cookies, which are not, are switched off.
        self._session = _Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self._session.trust_env = not loopback
        self._session.headers["User-Agent"] = f"alertbot/{__version__}"
        self._session.headers["Accept"] = "application/json"
        # Retries are done in retry.py; those of urllib3 are off, so that every attempt is counted.
        adapter = _Adapter(pool_connections=2, pool_maxsize=connections, max_retries=0)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._requests: dict[_Asked, requests.PreparedRequest] = {}  # without their token
        self._settings: dict[str, Any] = {}  # by host: proxies and certificates

    def send(
        self,
        method: str,
        url: str,
        auth: AuthBase,
        deadline: Deadline,
        *,
        query: Sequence[tuple[str, str]] = (),
        form: Mapping[str, str] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """Send a request and read the whole response, whatever its status. `form`: fields, or the body itself.

        Raises SourceUnreachable when there is no response (SourceUnconnected where there was no connection either, so
        that nothing was received), SourceBroken when it is truncated, too large or badly
        compressed, and SourceRejected when the request cannot be built.
        """
        self._gate(deadline)
        host = host_of(url)
        left = max(deadline.left(), _MIN_TIMEOUT_S)
        _answering.deadline = deadline
        try:
            request = self._request(method, url, query, form, headers, auth)
            began = time.perf_counter()
            with self._session.get_adapter(request.url or url).send(
                request,
                stream=True,
                timeout=(min(self._connect_timeout_s, left), min(self._read_timeout_s, left)),
                **self._environment(request.url or url, host),
            ) as raw:
                took_s = time.perf_counter() - began
                body = self._read(raw, host, deadline)
                return HttpResponse(host, raw.status_code, raw.headers, body, took_s)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise _translated(error, host) from None
        finally:
            _answering.deadline = None

    # Session.request builds each request from its parts, reads the environment and keeps cookies: half the CPU of a
    # request, for one that is the same at every poll but for its token.
    def _request(
        self,
        method: str,
        url: str,
        query: Sequence[tuple[str, str]],
        form: Mapping[str, str] | bytes | None,
        headers: Mapping[str, str] | None,
        auth: AuthBase,
    ) -> requests.PreparedRequest:
        """The request with its credentials. A password in ~/.netrc, which would replace those, is not looked for."""
        if form is not None:
            request = requests.Request(method, url, headers=headers, data=form, params=list(query), auth=auth)
            return self._session.prepare_request(request)
        asked = (method, url, tuple(query), tuple(headers.items()) if headers else ())
        known = self._requests.get(asked)
        if known is None:
            request = requests.Request(method, url, headers=headers, params=list(query), auth=_without_credentials)
            known = self._session.prepare_request(request)
            if len(self._requests) >= _MAX_KNOWN:
                self._requests.clear()  # pages and filters of rules that were edited long ago
            self._requests[asked] = known
        prepared = requests.PreparedRequest()
        prepared.method, prepared.url, prepared.hooks = known.method, known.url, known.hooks
        prepared.headers = known.headers.copy()
        auth(prepared)
        return prepared

    def _environment(self, url: str, host: str) -> Any:
        """Proxies and certificates, as requests reads them from the environment."""
        settings = self._settings.get(host)
        if settings is None:
            settings = self._session.merge_environment_settings(url, {}, True, None, None)
            self._settings[host] = settings
        return {name: settings[name] for name in ("verify", "cert", "proxies")}

    def _read(self, raw: requests.Response, host: str, deadline: Deadline) -> bytes:
        length = raw.raw.length_remaining
        if length and length <= self._max_bytes and "content-encoding" not in raw.headers:
            # In one piece: no chunks to be copied. Each wait for bytes ends at the deadline, see `_Reader`.
            body: bytes = raw.raw.read(length, decode_content=False)
            if len(body) < length:
                raw.raw.read(1, decode_content=False)  # it ended early: this says so
            return body
        chunks: list[bytes] = []
        size = 0
        # read1 returns what has arrived: a trickle of bytes cannot outlast the deadline, as it could inside read(n).
        while chunk := raw.raw.read1(_CHUNK, decode_content=True):
            size += len(chunk)
            if size > self._max_bytes:
                if self._cut:
                    break
                raise SourceBroken(f"{host} sent more than {self._max_bytes:,} bytes in one response")
            if deadline.left() <= 0:
                raise SourceUnreachable(f"{host} sent its response too slowly")
            chunks.append(chunk)
        return b"".join(chunks)

    def close(self) -> None:
        """Close all connections."""
        self._session.close()


def _without_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class Bearer(AuthBase):
    """Adds the access token as a Bearer header."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@lru_cache(maxsize=256)
def host_of(url: str) -> str:
    """The host and port of an address, for messages; never its user or password."""
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
    """The SourceError for an exception of requests, urllib3 or the system; its own text may hold a proxy password."""
    causes = list(_causes(error))

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if any("CA certificate bundle" in str(cause) for cause in causes):  # an OSError of requests, before it connects
        return SourceRejected(
            "the file or folder with CA certificates does not exist: check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE"
        )
    if has(requests.exceptions.ProxyError, urllib3.exceptions.ProxyError):
        return SourceUnconnected(_proxy_problem(causes, host))
    if any("CERTIFICATE_VERIFY_FAILED" in str(cause) for cause in causes):
        return SourceUnconnected(
            f"the certificate of {host} is not valid, or of an authority that is not known here: behind a proxy that "
            "reads TLS, set REQUESTS_CA_BUNDLE to the file with its CA certificate"
        )
    if has(requests.exceptions.SSLError, urllib3.exceptions.SSLError):
        return SourceUnconnected(f"TLS with {host} failed: check its certificate")
    if has(urllib3.exceptions.NameResolutionError, socket.gaierror):
        return SourceUnconnected(f"the host name {host} was not found")
    if has(ConnectionRefusedError):
        return SourceUnconnected(f"{host} refused the connection")
    if has(requests.exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError):
        return SourceUnconnected(f"the connection to {host} timed out")
    if has(_TooSlow):
        return SourceUnreachable(f"{host} sent its response too slowly")
    if has(requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError):
        return SourceUnreachable(f"the request to {host} timed out")
    if has(requests.exceptions.ContentDecodingError, urllib3.exceptions.DecodeError):
        return SourceBroken(f"{host} sent a response with broken compression")
    if has(urllib3.exceptions.IncompleteRead):
        return SourceBroken(f"{host} sent a truncated response")
    if has(requests.ConnectionError, urllib3.exceptions.HTTPError, OSError) and not has(ValueError):
        return SourceUnreachable(f"the connection to {host} was lost")
    return SourceRejected(f"the request to {host} could not be made: check the address and the tenant id")


def _proxy_problem(causes: Sequence[BaseException], host: str) -> str:
    """What went wrong on the way through the proxy of HTTPS_PROXY, without its address, which may hold a password."""
    if any(isinstance(cause, (urllib3.exceptions.NameResolutionError, socket.gaierror)) for cause in causes):
        return "the host name of the proxy was not found: check HTTPS_PROXY"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "the proxy cannot be reached, it refuses connections: check HTTPS_PROXY"
    if any("407" in str(cause) for cause in causes):
        return "the proxy asks for a user and password (407): write them in HTTPS_PROXY"
    if any(isinstance(cause, (urllib3.exceptions.ConnectTimeoutError, TimeoutError)) for cause in causes):
        return "the proxy cannot be reached, it does not respond: check HTTPS_PROXY"
    return f"the proxy refused the connection to {host}: it must allow that host"


def _causes(error: BaseException) -> list[BaseException]:
    """The exception and all those it wraps: requests and urllib3 put the real one in `args` or `reason`."""
    found: list[BaseException] = []
    pending: list[object] = [error]
    while pending:
        each = pending.pop()
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
            pending += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
    return found


def status_error(response: HttpResponse, scrub: Scrubber, now: datetime) -> SourceError | None:
    """The error that a status stands for, or None for 200. `now` is for a Retry-After that is a date."""
    status = response.status
    if status == 200:
        return None
    text = scrub.clean(error_text(response.body))
    sentence = f"{response.host} answered {status}: {text}" if text else f"{response.host} answered {status}"
    wait = retry_after(response, now)
    if status == 429:
        return SourceLimited(sentence, retry_after=wait)
    if status in (401, 403):
        return SourceRefused(sentence)
    if status >= 500 or status in (408, 425):
        return SourceBroken(sentence, retry_after=wait)
    if 300 <= status < 400:
        return SourceRejected(f"{response.host} answered {status}, a redirect, which is not followed")
    if status >= 400:
        return SourceRejected(sentence)
    return SourceBroken(sentence)


def error_text(body: bytes) -> str:
    """The message in an error body, on one line: `message`, else `fault.faultstring`, else `Error`, else its text."""
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


def retry_after(response: HttpResponse, now: datetime) -> float | None:
    """Seconds to back off, from a `Retry-After` in seconds or as an HTTP date; None if it is absent or unreadable.

    A date is compared with the `Date` of the same response, so that a wrong clock on either side does no harm.
    """
    text = response.headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER_S)
    until = http_date(text)
    if until is None:
        return None
    wait = (until - (http_date(response.headers.get("date", "")) or now)).total_seconds()
    return min(max(wait, 0.0), MAX_RETRY_AFTER_S)


@lru_cache(maxsize=64)  # the responses of one poll mostly come in the same second
def http_date(text: str) -> datetime | None:
    """The time of an HTTP date; None if it is not one."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
