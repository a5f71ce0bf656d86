"""HTTP in: Slack's signed requests, and health.

`POST /slack/events` answers only what Slack has signed, `GET /healthz` says that the process is alive, `GET /readyz`
whether it can do its work; everything else is 404.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus

import h11
import uvicorn
from slack_bolt import BoltRequest, BoltResponse
from slack_sdk.signature import SignatureVerifier
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from alertbot.errors import ConfigError
from alertbot.web.manifest import EVENTS_PATH

_log = logging.getLogger(__name__)

HEAD_WITHIN = 5.0  # seconds in which the head of a request must have come
MOST_CONNECTIONS = 200
MOST_BYTES = 1_000_000  # Slack's own are far smaller
BODY_WITHIN = 5.0  # seconds in which a body must have come


def http_app(
    *,
    reasons: Callable[[], Sequence[str]],
    dispatch: Callable[[BoltRequest], BoltResponse] | None = None,
    signing_secret: str = "",
    body_within: float = BODY_WITHIN,
) -> Starlette:
    """The ASGI application. `reasons()` says why the bot is not ready, a sentence each; () when it is.

    Slack's endpoint is there only with `dispatch` and a signing secret (over Socket Mode nothing comes this way).
    A body that has not come after `body_within` seconds is not waited for.
    """

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        try:
            why = list(await run_in_threadpool(reasons))
        except Exception:  # a health check that breaks is an answer too
            _log.exception("the state of alertbot could not be read")
            why = ["the state of alertbot could not be read"]
        status = HTTPStatus.SERVICE_UNAVAILABLE if why else HTTPStatus.OK
        return JSONResponse({"ready": not why, "reasons": why}, status_code=status)

    routes = [Route("/healthz", healthz), Route("/readyz", readyz)]
    if dispatch is not None and signing_secret:
        routes.append(Route(EVENTS_PATH, _slack_endpoint(dispatch, signing_secret, body_within), methods=["POST"]))
    app = Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_found})
    app.router.redirect_slashes = False
    return app


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


def _slack_endpoint(
    dispatch: Callable[[BoltRequest], BoltResponse], secret: str, body_within: float
) -> Callable[[Request], object]:
    verifier = SignatureVerifier(secret)

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
        if not verified(verifier, body, timestamp, request.headers.get("x-slack-signature")):
            return _plain(HTTPStatus.UNAUTHORIZED)
        try:
            asked = BoltRequest(body=body.decode("utf-8"), headers=dict(request.headers), query=request.url.query)
        except (ValueError, AttributeError, TypeError, LookupError, RecursionError):
            return _plain(HTTPStatus.BAD_REQUEST)  # signed, and still nothing that Bolt can read
        answer = await run_in_threadpool(dispatch, asked)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # Our own failures are answered with a sentence. This is Bolt's own, which it has logged: it takes the first
            # action out of an empty list, say.
            return _plain(HTTPStatus.BAD_REQUEST)
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


async def _not_found(_: Request, __: Exception) -> Response:
    return _plain(HTTPStatus.NOT_FOUND)


def _plain(status: HTTPStatus) -> Response:
    return PlainTextResponse(f"{status.phrase}\n", status_code=status)


class HttpServer:
    """A running server; `port` is the one that it got. Made by `serve_http`."""

    def __init__(self, server: _Server, listening: socket.socket) -> None:
        self._server = server
        self._listening = listening
        self.port: int = listening.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="alertbot-http", daemon=True)

    def start(self) -> None:
        """Begin to answer; returns when it does."""
        self._thread.start()
        self._server.up.wait(timeout=10)

    def stop(self, timeout: float = 2.0) -> None:
        """Stop answering, within `timeout` seconds; what is still being answered then is dropped."""
        self._server.should_exit = True
        self._thread.join(timeout * 0.75)
        if self._thread.is_alive():
            self._server.force_exit = True
            self._thread.join(timeout * 0.25)
        self._listening.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._listening])
        except Exception:
            _log.exception("the HTTP server ended")
        finally:
            self._server.up.set()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


class _Protocol(H11Protocol):
    """uvicorn's, which waits for the head of a request as long as the other side likes.

    A connection on which none has come after `head_within` seconds is closed. Where all connections are taken, the one
    that has been waiting longest makes room: whoever only holds connections open keeps nobody else out.
    """

    head_within = HEAD_WITHIN
    _head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()
        while len(self.connections) >= MOST_CONNECTIONS:
            waiting = [each for each in self.connections if isinstance(each, _Protocol) and each._head_due is not None]
            longest = min(waiting, key=lambda each: each._head_due.when() if each._head_due else 0.0)
            if longest is self:
                break
            longest._hang_up()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._await_head()
        else:
            self._head_came()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._await_head()  # of the next request: its beginning may be there already
        elif self.conn.their_state is not h11.IDLE:
            self._head_came()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._head_due is None:
            self._head_due = self.loop.call_later(self.head_within, self._hang_up)

    def _head_came(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _hang_up(self) -> None:
        self._head_came()
        self.connections.discard(self)
        self.transport.abort()


def serve_http(app: ASGIApp, host: str, port: int, *, head_within: float = HEAD_WITHIN) -> HttpServer:
    """Answer HTTP at this address in a thread of its own until `stop()`. Port 0 takes a free one.

    A connection on which no head of a request has come after `head_within` seconds is closed.

    Raises ConfigError where the address cannot be listened on.
    """
    listening = _listen(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        loop="asyncio",
        http=type("_Protocol", (_Protocol,), {"head_within": head_within}),
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=5,
        limit_concurrency=MOST_CONNECTIONS,
    )
    server = HttpServer(_Server(config), listening)
    server.start()
    return server


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.create_server(address[:2], family=family, backlog=128)
        # Connections inherit it. Head and body are two writes: without it the second waits for the other side's ACK.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        reason = "somebody else is listening there" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise ConfigError([f"http: cannot listen on {host}:{port}: {reason}"]) from None
