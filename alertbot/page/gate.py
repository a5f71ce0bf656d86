"""Who may see the pages: with a password, users who have logged in; without one, browsers on the same machine.

Theory of operation. A login is a cookie that is signed with a key derived from the password: it survives restarts, all
processes with that password accept it, and changing the password ends it. The key is derived with scrypt, a slow hash,
so that a stolen cookie cannot be used to try many passwords. Wrong passwords are counted per TCP peer: a client can put
anything into X-Forwarded-For, so behind a proxy all clients share one count. Existing logins are not affected by it.

Without a password the server listens only on loopback. A request that still comes from elsewhere is refused: one with a
foreign Host (a web page whose name resolves to 127.0.0.1 could read alerts), or with headers that a proxy adds.
"""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from hashlib import scrypt, sha256

from itsdangerous import BadData, TimestampSigner

from alertbot.web.hosts import host_of, is_loopback

COOKIE = "alertbot_page"
LASTS = timedelta(days=30)
"""How long a login lasts."""
MAX_WRONG = 10
WITHIN = 600.0
"""Seconds: a peer with MAX_WRONG wrong passwords within this time has to wait."""
_MAX_PEERS = 10_000
_ADDED_BY_PROXIES = ("forwarded", "x-forwarded-for", "x-real-ip", "via", "cf-connecting-ip")
_WHO = b"page"


class Attempts:
    """Wrong passwords by peer, lately. Only the latest ten thousand peers are remembered."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, peer: str) -> float:
        """Seconds until this peer may try again; 0 if it may now."""
        times = self._wrong.get(peer, deque())
        now = self._monotonic()
        while times and now - times[0] >= WITHIN:
            times.popleft()
        return times[0] + WITHIN - now if len(times) >= MAX_WRONG else 0.0

    def add(self, peer: str) -> None:
        """A wrong password came from this peer."""
        self._wrong.setdefault(peer, deque(maxlen=MAX_WRONG)).append(self._monotonic())
        self._wrong.move_to_end(peer)
        while len(self._wrong) > _MAX_PEERS:
            self._wrong.popitem(last=False)


class Gate:
    """Decides whether a request may see pages. `password` "": only requests from the same machine."""

    def __init__(self, password: str = "", monotonic: Callable[[], float] = time.monotonic) -> None:
        self.attempts = Attempts(monotonic)
        self._password = sha256(password.encode()).digest() if password else None
        self._signer: TimestampSigner | None = None
        if password:
            key = scrypt(password.encode(), salt=b"alertbot page", n=2**14, r=8, p=1, dklen=32)
            self._signer = TimestampSigner(key, salt=b"alertbot.page", digest_method=sha256)

    @property
    def has_password(self) -> bool:
        return self._signer is not None

    def is_right(self, password: str) -> bool:
        """Whether this is the password. Takes the same time for every wrong one."""
        given = sha256(password.encode("utf-8", "surrogateescape")).digest()
        return self._password is not None and hmac.compare_digest(given, self._password)

    def cookie(self) -> str:
        """The cookie value for a login that begins now."""
        assert self._signer is not None
        return self._signer.sign(_WHO).decode()

    def is_logged_in(self, cookie: str) -> bool:
        """Whether a cookie belongs to a login that has not ended. Always true without a password."""
        if self._signer is None:
            return True
        try:
            return self._signer.unsign(cookie, max_age=int(LASTS.total_seconds())) == _WHO
        except (BadData, UnicodeError):
            return False

    def refusal(self, headers: Mapping[str, str], http_version: str) -> str:
        """Why a request is refused where no password is set, as a sentence; "" if it is accepted."""
        if self._signer is not None:
            return ""
        if not is_loopback(host_of(headers.get("host", ""))):
            return "Without a password, the status page is served only on localhost: set page.password."
        # nginx adds no header by itself and sends its own address as Host, but speaks HTTP/1.0, as no browser does.
        if http_version == "1.0" or any(name in headers for name in _ADDED_BY_PROXIES):
            return "Without a password, the status page is not served through a proxy: set page.password."
        return ""
