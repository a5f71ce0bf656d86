"""A scripted HTTP server on loopback that stands where 8x8 would: each test says what it answers, byte by byte."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

PREFIX = "/analytics/cc/v5/realtime-metrics"


@dataclass(frozen=True)
class Request:
    """What the client sent. Header names are in lower case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes

    @property
    def page(self) -> int:
        return int(dict(self.query).get("page", "0"))

    @property
    def metrics(self) -> list[str]:
        return [value for name, value in self.query if name == "metrics"]


@dataclass(frozen=True)
class Reply:
    """What the server answers, or how it fails to."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    how: Literal["whole", "hang", "drop", "cut", "drip", "drip headers", "continue"] = "whole"


Route = Callable[[Request], Reply]


def entity(identity: object, name: object = "Sales", **metrics: object) -> dict[str, Any]:
    """One element of a listing, as 8x8 writes it."""
    return {"id": identity, "name": name, "metrics": [{"key": k, "value": v} for k, v in metrics.items()]}


def listing(*elements: object, pages: int | None = 1, **headers: str) -> Reply:
    """A page of elements with the paging header."""
    total = {} if pages is None else {"X-Total-Pages": str(pages)}
    return Reply(json.dumps(elements).encode(), headers={"Content-Type": "application/json", **total, **headers})


def page_of(number: int, pages: int) -> Reply:
    """Page `number` of a listing: three queues whose longest wait is the page's number."""
    wait = {"interactionsLongestWaitInQueue.rt": number}
    return listing(*(entity(f"{number}-{row}", **wait) for row in range(3)), pages=pages)


def error(status: int, body: object = None, **headers: str) -> Reply:
    """An error answer; `body` is sent as JSON."""
    return Reply(json.dumps(body).encode() if body is not None else b"", status, headers)


def in_turn(*replies: Reply) -> Route:
    """A route that gives these answers one after another, the last one for ever."""
    left = list(replies)
    lock = threading.Lock()

    def route(request: Request) -> Reply:
        with lock:
            return left.pop(0) if len(left) > 1 else left[0]

    return route


def by_page(pages: Iterable[Reply | Route]) -> Route:
    """A route that answers by the page that is asked for."""
    table = list(pages)

    def route(request: Request) -> Reply:
        answer = table[request.page]
        return answer if isinstance(answer, Reply) else answer(request)

    return route


class StandIn:
    """The server. `routes` maps `/queues`, `/groups`, `/agents` and `token` to what they answer.

    Without a token route it gives `token-1`, `token-2`, ... that live `expires_in` seconds. It does not check
    tokens: a test that wants a 401 scripts it.
    """

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.requests: list[Request] = []
        self.expires_in: object = "1799"
        self.arrived = threading.Event()  # a data request is here
        self._tokens = 0
        self._lock = threading.Lock()
        self._released = threading.Event()
        standin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # head and body leave in one packet

            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                standin._serve(self)

            def do_POST(self) -> None:
                standin._serve(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.base_url = self.url + PREFIX
        self.token_url = self.url + "/oauth/v2/token"

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def asked(self, path: str) -> list[Request]:
        """The requests for `/queues` and so on, or for `token`."""
        full = "/oauth/v2/token" if path == "token" else PREFIX + path
        return [request for request in self.requests if request.path == full]

    def _token(self, request: Request) -> Reply:
        with self._lock:
            self._tokens += 1
            body = {
                "access_token": f"token-{self._tokens}",
                "expires_in": self.expires_in,
                "issued_at": "1700000000000",
            }
        return Reply(json.dumps(body).encode())

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        request = Request(
            handler.command,
            parts.path,
            tuple(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in handler.headers.items()},
            handler.rfile.read(int(handler.headers.get("Content-Length") or 0)),
        )
        with self._lock:
            self.requests.append(request)
        if parts.path == "/oauth/v2/token":
            reply = self.routes.get("token", self._token)(request)
        else:
            self.arrived.set()
            reply = self.routes[parts.path.removeprefix(PREFIX)](request)
        self._answer(handler, reply)

    def _answer(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        if reply.how == "hang":
            self._released.wait(20)
        if reply.how in ("hang", "drop"):
            handler.close_connection = True
            # A reset instead of a clean end.
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        if reply.how in ("drip headers", "continue"):
            handler.close_connection = True
            endless = b"HTTP/1.1 100 Continue\r\n\r\n" if reply.how == "continue" else b"X-More: x\r\n"
            handler.wfile.write(b"" if reply.how == "continue" else b"HTTP/1.1 200 OK\r\n")
            while not self._released.wait(0.05):
                try:
                    handler.wfile.write(endless)
                    handler.wfile.flush()
                except OSError:
                    return
            return
        handler.send_response_only(reply.status)  # without a Date of its own
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        if reply.how == "drip":
            handler.close_connection = True
            for at in range(len(reply.body)):
                try:
                    handler.wfile.write(reply.body[at : at + 1])
                    handler.wfile.flush()
                except OSError:
                    return
                if self._released.wait(0.05):
                    return
            return
        whole = reply.how == "whole"
        handler.wfile.write(reply.body if whole else reply.body[: len(reply.body) // 2])
        handler.close_connection = handler.close_connection or not whole
