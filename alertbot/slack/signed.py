"""Signed requests from Slack over HTTP: the raw body is verified before it is parsed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus

from slack_bolt import BoltRequest, BoltResponse
from slack_sdk.signature import SignatureVerifier
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

MOST_BYTES = 1_000_000  # Slack's own are far smaller

BODY_WITHIN = 5.0  # seconds in which a body must have come


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


def slack_endpoint(
    dispatch: Callable[[BoltRequest], BoltResponse], secret: str, body_within: float
) -> Callable[[Request], object]:
    verifier = SignatureVerifier(secret)

    async def slack_events(request: Request) -> Response:
        try:
            async with asyncio.timeout(body_within):
                body = await _body(request)
        except TimeoutError:
            return plain(HTTPStatus.REQUEST_TIMEOUT)
        except ClientDisconnect:
            return plain(HTTPStatus.BAD_REQUEST)
        if body is None:
            return plain(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        timestamp = request.headers.get("x-slack-request-timestamp")
        if not verified(verifier, body, timestamp, request.headers.get("x-slack-signature")):
            return plain(HTTPStatus.UNAUTHORIZED)
        try:
            asked = BoltRequest(body=body.decode("utf-8"), headers=dict(request.headers), query=request.url.query)
        except (ValueError, AttributeError, TypeError, LookupError, RecursionError):
            return plain(HTTPStatus.BAD_REQUEST)  # signed, and still nothing that Bolt can read
        answer = await run_in_threadpool(dispatch, asked)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # Our own failures are answered with a sentence. This is Bolt's own, which it has logged: it takes the first
            # action out of an empty list, say.
            return plain(HTTPStatus.BAD_REQUEST)
        return _response(answer)

    return slack_events


async def _body(request: Request) -> bytes | None:
    """The raw body; None where it is too large, which is noticed before all of it is read."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > MOST_BYTES:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)


def _response(answer: BoltResponse) -> Response:
    body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
    headers = answer.first_headers_without_set_cookie()
    return Response(body, status_code=answer.status, headers=headers)


def plain(status: HTTPStatus) -> Response:
    return PlainTextResponse(f"{status.phrase}\n", status_code=status)
