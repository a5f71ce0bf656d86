"""One external URL that may hold a secret: requests with a deadline, and errors that name only the host."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from requests import PreparedRequest
from requests.auth import AuthBase, HTTPBasicAuth

from alertbot.sources.eight_by_eight.deadline import Deadline
from alertbot.sources.eight_by_eight.transport import HttpResponse, Transport, host_of, is_loopback

WITHIN_S: Final = 10.0
"""Seconds that one request may take in all."""


class SecretAddress:
    """Sends requests to `url`, which nothing shows. TLS is verified, proxies come from the environment.

    Redirects are not followed: what is meant for this address must not go to another. Thread-safe.
    """

    def __init__(self, url: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._url, self._monotonic = url, monotonic
        self.host = host_of(url)
        self._auth = _auth_of(url)
        self._transport = Transport(
            connect_timeout_s=WITHIN_S / 2,
            read_timeout_s=WITHIN_S / 2,
            max_bytes=65_536,
            cut=True,  # only the status and the headers of a response are used
            connections=1,
            loopback=is_loopback(url),
        )

    def __repr__(self) -> str:
        return f"SecretAddress(host={self.host!r})"

    def send(self, method: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """Send one request, and read its whole response. Raises SourceError, without the address."""
        deadline = Deadline(self._monotonic() + WITHIN_S, self._monotonic)
        return self._transport.send(method, self._url, self._auth, deadline, form=body, headers=headers)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


class _NoAuth(AuthBase):
    """With any `auth`, requests does not look for a password in ~/.netrc."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        return request


def _auth_of(url: str) -> AuthBase:
    """The user and password in an address."""
    parts = urlsplit(url)
    if parts.password is None:
        return _NoAuth()
    return HTTPBasicAuth(unquote(parts.username or ""), unquote(parts.password))
