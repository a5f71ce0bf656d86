"""A Socket Mode server on loopback, for what third-party ones lack: refreshes, repeated envelopes, dead connections.

See docs.slack.dev/apis/events-api/using-socket-mode. One port answers apps.connections.open and the WebSockets.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import socketserver
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import Any

APP_TOKEN = "xapp-1-very-secret-token"

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class Link:
    """One WebSocket, from Slack's side."""

    def __init__(self, connection: socket.socket, pongs: bool) -> None:
        self._connection, self._pongs = connection, pongs
        self._sending = threading.Lock()
        self.frames: Queue[dict[str, Any]] = Queue()  # what the bot sent
        self.closed = threading.Event()

    def send(self, **frame: Any) -> None:
        """A frame of JSON."""
        self._write(_TEXT, json.dumps(frame).encode())

    def envelope(self, envelope_id: str, kind: str = "events_api", **other: Any) -> None:
        """An envelope; `payload` is an opened Home tab unless it is given."""
        event = {"type": "app_home_opened", "user": "U012ANNA", "tab": "home"}
        payload = {"type": "event_callback", "team_id": "T0ACME", "event_id": "Ev1", "event": event}
        self.send(**{"type": kind, "envelope_id": envelope_id, "payload": payload} | other)

    def acknowledged(self, within: float = 10.0) -> dict[str, Any]:
        """The next acknowledgement, waited for."""
        return self.frames.get(timeout=within)

    def is_silent(self, within: float) -> bool:
        """Whether nothing is acknowledged within some seconds."""
        try:
            self.frames.get(timeout=within)
        except Empty:
            return True
        return False

    def cut(self) -> None:
        """End the TCP connection without a word."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the connection as the protocol has it."""
        self._write(_CLOSE, struct.pack("!H", 1000) + b"bye")

    def serve(self) -> None:
        """Read until the bot closes the connection."""
        try:
            while True:
                opcode, data = self._read()
                if opcode == _TEXT:
                    self.frames.put(json.loads(data))
                elif opcode == _PING and self._pongs:
                    self._write(_PONG, data)
                elif opcode == _CLOSE:
                    break
        except (OSError, EOFError, struct.error):
            pass
        self.closed.set()

    def _write(self, opcode: int, data: bytes) -> None:
        short = len(data) < 126
        head = bytes([0x80 | opcode, len(data)]) if short else struct.pack("!BBH", 0x80 | opcode, 126, len(data))
        with self._sending:
            self._connection.sendall(head + data)

    def _exactly(self, number: int) -> bytes:
        data = b""
        while len(data) < number:
            more = self._connection.recv(number - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def _read(self) -> tuple[int, bytes]:
        first, second = self._exactly(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._exactly(8))
        mask = self._exactly(4) if second & 0x80 else bytes(4)
        return first & 0x0F, bytes(byte ^ mask[place % 4] for place, byte in enumerate(self._exactly(length)))


@dataclass
class SocketServer:
    """What it gives out, in order, and the links that were made."""

    url: str = ""
    answers: deque[tuple[int, dict[str, Any], dict[str, str]]] = field(default_factory=deque)  # of connections.open
    links: Queue[Link] = field(default_factory=Queue)
    pongs: bool = True  # False: new links never answer a ping, as where the network drops everything

    @property
    def api_url(self) -> str:
        return f"http://{self.url}/api/"

    def link(self, within: float = 10.0) -> Link:
        """The next link, waited for."""
        return self.links.get(timeout=within)

    def refuse(self, error: str, status: int = 200, **headers: str) -> None:
        """The next apps.connections.open is answered with this error."""
        self.answers.append((status, {"ok": False, "error": error}, headers))


class _Handler(socketserver.BaseRequestHandler):
    slack: SocketServer

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            more = self.request.recv(4096)
            if not more:
                return
            head += more
        text, _, rest = head.partition(b"\r\n\r\n")
        lines = text.decode().split("\r\n")
        pairs = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if headers.get("upgrade", "").lower() == "websocket":
            self._upgrade(headers["sec-websocket-key"])
            return
        missing = int(headers.get("content-length", 0)) - len(rest)
        while missing > 0:
            missing -= len(self.request.recv(missing))
        ok = (200, {"ok": True, "url": f"ws://{self.slack.url}/link?ticket=1"}, {})
        status, body, more_headers = self.slack.answers.popleft() if self.slack.answers else ok
        data = json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in more_headers.items()]
        self.request.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode() + data)

    def _upgrade(self, key: str) -> None:
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()  # of the protocol
        accept = base64.b64encode(digest)
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines.append(f"Sec-WebSocket-Accept: {accept.decode()}")
        self.request.sendall("\r\n".join([*lines, "", ""]).encode())
        link = Link(self.request, self.slack.pongs)
        link.send(type="hello", num_connections=1, connection_info={"app_id": "A0"})
        self.slack.links.put(link)
        link.serve()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def socket_server() -> Iterator[SocketServer]:
    """A running server on a free port of 127.0.0.1."""
    slack = SocketServer()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"slack": slack}))
    slack.url = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield slack
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
