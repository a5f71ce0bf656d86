"""Signed requests from Slack over HTTP: the raw body is verified before it is parsed."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import math
import time
from collections.abc import Callable
from http import HTTPStatus

from slack_bolt import BoltRequest, BoltResponse
from slack_sdk.signature import SignatureVerifier
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from alertbot.slack.manifest import EVENTS_PATH

MAX_BODY = 1_000_000  # bytes; what Slack sends is far smaller

BODY_WITHIN = 5.0  # seconds in which a body must have arrived

LOG_EVERY = 60.0  # seconds

_log = logging.getLogger(__name__)


def verified(verifier: SignatureVerifier, body: bytes, timestamp: str | None, signature: str | None) -> bool:
    """Whether Slack signed this raw body within the last five minutes.

    slack_sdk's verifier raises on a timestamp that is no number, a signature that is not ASCII and a body that is not
    UTF-8 (docs.slack.dev/authentication/verifying-requests-from-slack); each is a "no".
    """
    if not body or not timestamp or not signature:
        return False
    try:
        return bool(verifier.is_valid(body, timestamp, signature))
    except (ValueError, TypeError, OverflowError):
        return False


def why_refused(
    verifier: SignatureVerifier, body: bytes, timestamp: str | None, signature: str | None, now: float
) -> str:
    """Why a request that is not `verified` is refused, for the log. `now` is in seconds since 1970."""
    if not timestamp or not signature:
        return "a request without Slack's signature came in; Slack sent it only if a proxy removes its headers"
    try:
        expected = verifier.generate_signature(timestamp=timestamp, body=body) or ""
        if hmac.compare_digest(expected.encode(), signature.encode("latin-1")):
            return f"their time is {abs(now - int(timestamp)):.0f} s from ours: check the clock of this machine"
    except (ValueError, TypeError, OverflowError):
        pass
    return "the signature does not fit slack.signing_secret"


class _Refusals:
    """Logs refused requests, at most once a minute for each reason, with how many there were."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}  # seconds of the monotonic clock
        self._unlogged: dict[str, int] = {}

    def add(self, reason: str, moment: float) -> None:
        kind = reason.partition(" is ")[0]  # a time that is off is a second later the next time
        if moment - self._last.get(kind, -math.inf) < LOG_EVERY:
            self._unlogged[kind] = self._unlogged.get(kind, 0) + 1
            return
        more = self._unlogged.pop(kind, 0)
        self._last[kind] = moment
        also = f" ({more} more since the last time)" if more else ""
        _log.warning("requests to %s are refused: %s%s", EVENTS_PATH, reason, also)


def slack_route(
    dispatch: Callable[[BoltRequest], BoltResponse], signing_secret: str, body_within: float = BODY_WITHIN
) -> Route:
    """`POST /slack/events`: what Slack has signed is answered by `dispatch`, anything else is 401.

    A body that has not arrived after `body_within` seconds is answered with 408, one over MAX_BODY with 413. Why a
    request is refused is logged, at most once a minute for each reason.
    """
    verifier = SignatureVerifier(signing_secret)
    refusals = _Refusals()

    async def slack_events(request: Request) -> Response:
        try:
            async with asyncio.timeout(body_within):
                body = await _body(request)
        except TimeoutError:
            return _plain(HTTPStatus.REQUEST_TIMEOUT)
        except ClientDisconnect:
            return _plain(HTTPStatus.BAD_REQUEST)
        if body is None:
            return _plain(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        timestamp = request.headers.get("x-slack-request-timestamp")
        signature = request.headers.get("x-slack-signature")
        if not verified(verifier, body, timestamp, signature):
            refusals.add(why_refused(verifier, body, timestamp, signature, time.time()), time.monotonic())
            return _plain(HTTPStatus.UNAUTHORIZED)
        try:
            asked = BoltRequest(body=body.decode("utf-8"), headers=dict(request.headers), query=request.url.query)
        except (ValueError, AttributeError, TypeError, LookupError, RecursionError):
            return _plain(HTTPStatus.BAD_REQUEST)  # signed, but Bolt cannot read it
        answer = await run_in_threadpool(dispatch, asked)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # A failure in a listener is answered with a sentence. This one is in Bolt itself, which has logged it: it
            # reads the first action of an empty list, for example.
            return _plain(HTTPStatus.BAD_REQUEST)
        return _response(answer)

    return Route(EVENTS_PATH, slack_events, methods=["POST"])


async def _body(request: Request) -> bytes | None:
    """The raw body; None where it is too large, which is noticed before all of it is read."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > MAX_BODY:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


def _response(answer: BoltResponse) -> Response:
    body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
    headers = answer.first_headers_without_set_cookie()
    return Response(body, status_code=answer.status, headers=headers)


def _plain(status: HTTPStatus) -> Response:
    return PlainTextResponse(f"{status.phrase}\n", status_code=status)
