"""The access token: client credentials in, one token kept and renewed, by one thread at a time.

From "OAuth Authentication for 8x8 XCaaS APIs": POST with Basic auth and `grant_type=client_credentials`; every scalar
of the answer is a string, `expires_in` (seconds, 1799 in the sample) included; there is no refresh token; a token is
to be reused and renewed ahead of its end or when it is refused.
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
from alertbot.sources.eight_by_eight.transport import Transport, refusal

_UNKNOWN_LIFE_S: Final = 300.0  # where `expires_in` cannot be read: a token that ends earlier is renewed on its 401
_MARGIN_S: Final = 60.0  # renewed this long ahead, or after nine tenths of a short life
_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]{1,16384}")


class CredentialsRefused(SourceRefused):
    """The key pair, or a new token made from it, was refused: no request of this tenant can succeed now."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: float  # on the monotonic clock, as the next
    ends_at: float

    def __repr__(self) -> str:
        return "_Token(***)"


class TokenKeeper:
    """The token of one tenant. Threads may call it side by side: one asks 8x8, the others wait for its result."""

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
        # As bytes: requests would encode text as latin-1 and fail on any other letter.
        self._auth = HTTPBasicAuth(api_key.encode(), api_secret.encode())
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._failure: SourceError | None = None
        self._round = 0  # renewals that ended, well or badly

    def __repr__(self) -> str:
        return "TokenKeeper()"

    def fresh(self) -> str | None:
        """The token, if it need not be renewed yet."""
        token = self._token
        return token.text if token and self._monotonic() < token.renew_at else None

    def renew(self, refused: str | None, deadline: Deadline, now: datetime) -> str:
        """A token other than the `refused` one, in a single try.

        Raises CredentialsRefused when 8x8 refuses the key pair, else the other SourceErrors. Whoever waited while
        another thread renewed gets that thread's token or error: refused credentials are not tried four times.
        """
        seen = self._round
        if not self._lock.acquire(timeout=deadline.left()):
            raise SourceUnreachable("the access token did not come in time")
        try:
            token = self._token
            if token and token.text != refused and self._monotonic() < token.renew_at:
                return token.text
            if self._round != seen and self._failure:
                raise type(self._failure)(str(self._failure), retry_after=self._failure.retry_after)
            try:
                self._token = self._ask(deadline, now)
            except SourceError as error:
                if token and token.text != refused and error.retryable and self._monotonic() < token.ends_at:
                    return token.text  # that is what renewing ahead is for: the old one is still good
                self._token, self._failure = None, error
                raise
            else:
                self._failure = None
                return self._token.text
            finally:
                self._round += 1
        finally:
            self._lock.release()

    def _ask(self, deadline: Deadline, now: datetime) -> _Token:
        asked = self._monotonic()
        answer = self._transport.send(
            "POST", self._url, self._auth, deadline, form={"grant_type": "client_credentials"}
        )
        error = refusal(answer, self._scrub, now)
        if error is not None:
            # A wrong key or secret is a 400 or 401 of one shape, as far as the documents go.
            if answer.status in (400, 401, 403):
                raise CredentialsRefused(f"the API key and secret were refused: {error}")
            raise error
        root = read_json(answer.body)
        text = root.get("access_token") if isinstance(root, dict) else None
        if not isinstance(root, dict) or not isinstance(text, str) or not _HEADER_SAFE.fullmatch(text):
            raise SourceBroken(f"{answer.host} answered without a usable access token")
        self._scrub.learn(text)
        life = _seconds(root.get("expires_in"))
        return _Token(text, asked + max(life - _MARGIN_S, life * 0.9), asked + life)


def _seconds(value: object) -> float:
    """A token's life; a number or its digits."""
    try:
        life = float(value) if isinstance(value, (int, float, str)) else 0.0
    except (ValueError, OverflowError):
        life = 0.0
    return life if 0 < life < 10 * 365 * 86400 else _UNKNOWN_LIFE_S
