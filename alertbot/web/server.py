"""The HTTP server: uvicorn in a thread, with limits on connections and on how long a request may take to arrive."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from alertbot.errors import ConfigError

_log = logging.getLogger(__name__)

HEAD_WITHIN = 5.0  # seconds in which the head of a request must have arrived
BODY_WITHIN = 8.0  # seconds in which its body must have arrived; a route may answer sooner
MAX_CONNECTIONS = 200


class HttpServer:
    """A running server, made by `serve_http`; `port` is the one that it listens on."""

    def __init__(self, server: _Server, listening: socket.socket) -> None:
        self._server = server
        self._listening = listening
        self.port: int = listening.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="alertbot-http", daemon=True)

    def start(self) -> None:
        """Start answering; returns when it does."""
        self._thread.start()
        self._server.up.wait(timeout=10)

    def stop(self, timeout: float = 2.0) -> None:
        """Stop answering within `timeout` seconds; answers in progress are dropped then."""
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
    """uvicorn's protocol, which by itself waits for the rest of a request without a limit.

    A connection on which the head of a request has not arrived after `head_within` seconds, or its body `body_within`
    seconds after the head, is closed. Where all connections are in use, the one that has waited longest for either is
    closed: a client that only holds connections open does not keep others out.
    """

    head_within = HEAD_WITHIN
    body_within = BODY_WITHIN
    _awaited: object = None  # IDLE: the head of a request; SEND_BODY: the rest of its body
    _due: asyncio.TimerHandle | None = None
    _since = 0.0  # of the loop's clock, when waiting began; further bytes do not renew it

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._follow()
        while len(self.connections) >= MAX_CONNECTIONS:
            waiting = [each for each in self.connections if isinstance(each, _Protocol) and each._due is not None]
            longest = min(waiting, key=lambda each: each._since)
            if longest is self:  # every other one is being answered
                self.limit_concurrency = 0  # uvicorn answers 503
                break
            longest._hang_up()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()  # the next request may have arrived with this one; a body may have been answered unread

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _follow(self) -> None:
        """Begin to wait for what the client has to send next, or stop waiting when it has sent all."""
        state = self.conn.their_state
        if state is self._awaited:
            return
        self._stop_waiting()
        if state in (h11.IDLE, h11.SEND_BODY) and not self.transport.is_closing():
            within = self.head_within if state is h11.IDLE else self.body_within
            self._awaited, self._since = state, self.loop.time()
            self._due = self.loop.call_later(within, self._hang_up)

    def _stop_waiting(self) -> None:
        if self._due is not None:
            self._due.cancel()
        self._awaited = self._due = None

    def _hang_up(self) -> None:
        self._stop_waiting()
        self.connections.discard(self)
        self.transport.abort()


def serve_http(
    app: ASGIApp, host: str, port: int, *, head_within: float = HEAD_WITHIN, body_within: float = BODY_WITHIN
) -> HttpServer:
    """Answer HTTP at this address in a thread of its own until `stop()`. Port 0 takes a free one.

    A connection is closed when the head of a request has not arrived after `head_within` seconds, or the rest of its
    body `body_within` seconds later.

    Raises ConfigError if the address cannot be listened on.
    """
    listening = _listen(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        loop="asyncio",
        http=type("_Protocol", (_Protocol,), {"head_within": head_within, "body_within": body_within}),
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=5,
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
        reason = "the address is already in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise ConfigError([f"http: cannot listen on {host}:{port}: {reason}"]) from None
