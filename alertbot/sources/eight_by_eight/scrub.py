"""Removes secrets from texts that come from 8x8."""

from __future__ import annotations

import base64
from collections import deque

_HIDDEN = "***"


class Scrubber:
    """Knows the secrets of one tenant and hides them wherever they appear in a text."""

    def __init__(self, api_key: str, api_secret: str) -> None:
        basic = base64.b64encode(f"{api_key}:{api_secret}".encode()).decode()
        self._fixed = tuple(secret for secret in (basic, api_secret, api_key) if secret)
        # A response that was in flight when the token changed may still quote the previous one.
        self._tokens: deque[str] = deque(maxlen=4)

    def learn(self, token: str) -> None:
        """Hide this token too, from now on."""
        self._tokens.append(token)

    def clean(self, text: str) -> str:
        """The text without any secret."""
        # Longest first: a secret may contain another one.
        for secret in sorted((*self._fixed, *self._tokens), key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        return text

    def __repr__(self) -> str:
        return "Scrubber()"
