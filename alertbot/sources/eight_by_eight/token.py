"""The access token: obtained with client credentials, cached, and renewed by one thread at a time.

From "OAuth Authentication for 8x8 XCaaS APIs": POST with Basic auth and `grant_type=client_credentials`; every scalar
of the response is a string, including `expires_in` (seconds, 1799 in the sample); there is no refresh token; a token
should be reused, and renewed before it expires or when it is refused.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from requests.auth import HTTPBasicAuth

from alertbot.errors import SourceBroken, SourceError, SourceRefused, SourceUnreachable
from alertbot.sources.eight_by_eight.deadline import Deadline
from alertbot.sources.eight_by_eight.decode import read_json
from alertbot.sources.eight_by_eight.scrub import Scrubber
from alertbot.sources.eight_by_eight.transport import Transport, status_error

_UNKNOWN_LIFE_S: Final = 300.0  # if `expires_in` cannot be read; a token that expires earlier is renewed on its 401
_MARGIN_S: Final = 60.0  # renewed this long before it expires, or after 90 % of a shorter life
_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]{1,16384}")


class CredentialsRefused(SourceRefused):
    """The key pair, or a new token made from it, was refused: no request can succeed until that is fixed."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: float  # on the monotonic clock (s)
    expires_at: float  # the same

    def __repr__(self) -> str:
        return "_Token(***)"


class TokenKeeper:
    """The token of one tenant. Thread-safe: one thread asks 8x8, the others wait for its result."""

    def __init__(
        self,
        transport: Transport,
        scrub: Scrubber,
        token_url: str,
        api_key: str,
        api_secret: str,
        monotonic: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._scrub = scrub
        self._url = token_url
        # As bytes: requests would encode text as latin-1 and fail on any other character.
        self._auth = HTTPBasicAuth(api_key.encode(), api_secret.encode())
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._failure: SourceError | None = None
        self._renewals = 0  # attempts that ended, successful or not

    def __repr__(self) -> str:
        return "TokenKeeper()"

    def fresh(self) -> str | None:
        """The token, or None if there is none or it is time to renew it."""
        token = self._token
        return token.text if token and self._monotonic() < token.renew_at else None

    def renew(self, refused: str | None, deadline: Deadline, now: datetime) -> str:
        """A token other than the `refused` one, in a single attempt.

        A thread that waited while another one renewed the token gets that token or error: refused credentials are
        not tried four times. Raises CredentialsRefused when 8x8 refuses the key pair, and the other SourceErrors
        when it cannot be reached or does not answer with a token.
        """
        before = self._renewals
        if not self._lock.acquire(timeout=deadline.left()):
            raise SourceUnreachable("timed out waiting for the access token")
        try:
            token = self._token
            if token and token.text != refused and self._monotonic() < token.renew_at:
                return token.text
            if self._renewals != before and self._failure:
                raise type(self._failure)(str(self._failure), retry_after=self._failure.retry_after)
            try:
                self._token = self._ask(deadline, now)
            except SourceError as error:
                if token and token.text != refused and error.retryable and self._monotonic() < token.expires_at:
                    return token.text  # renewed early for this case: the old one is still valid
                self._token, self._failure = None, error
                raise
            else:
                self._failure = None
                return self._token.text
            finally:
                self._renewals += 1
        finally:
            self._lock.release()

    def _ask(self, deadline: Deadline, now: datetime) -> _Token:
        sent_at = self._monotonic()
        response = self._transport.send(
            "POST", self._url, self._auth, deadline, form={"grant_type": "client_credentials"}
        )
        error = status_error(response, self._scrub, now)
        if error is not None:
            # As far as is documented, a wrong key or secret is a 400 or 401.
            if response.status in (400, 401, 403):
                raise CredentialsRefused(
                    f"the API key and secret were refused; check them, and `region` or `token_url`: {error}"
                )
            raise error
        root = read_json(response.body)
        text = root.get("access_token") if isinstance(root, dict) else None
        if not isinstance(root, dict) or not isinstance(text, str) or not _HEADER_SAFE.fullmatch(text):
            raise SourceBroken(f"{response.host} answered without a usable access token")
        self._scrub.learn(text)
        life = _seconds(root.get("expires_in"))
        return _Token(text, sent_at + max(life - _MARGIN_S, life * 0.9), sent_at + life)


def _seconds(value: object) -> float:
    """The lifetime of a token (s), sent as a number or as text."""
    try:
        life = float(value) if isinstance(value, (int, float, str)) else 0.0
    except (ValueError, OverflowError):
        life = 0.0
    return life if 0 < life < 10 * 365 * 86400 else _UNKNOWN_LIFE_S
