"""Socket Mode: Slack's requests over WebSockets that the bot opens.

See docs.slack.dev/apis/events-api/using-socket-mode. slack_sdk reads, pings and sends on a connection. This file
decides when one is opened and closed, because the library's own way to replace connections (slack_sdk 3.47, measured)
has three problems. It leaves a new connection unread for up to 3 s, which is all the time that Slack gives for an
acknowledgement. It takes 30 s to notice a connection that the other side has ended, and reads in a busy loop until
then. And when Slack limits the rate of new connections, it sleeps in the thread that hands out requests. So each
connection is a client of its own:

- Slack ends every connection after some hours, and announces it (`disconnect`, with a reason). The next one is opened
  at once, and the old one is read for a while longer: what was sent on it is still acknowledged.
- A connection that ends without notice, or answers no ping, is replaced at once. If connections do not last, the waits
  between them double, as they do while Slack refuses a new one.
- A request that arrives twice, on two connections, is one request: the desk remembers them.
- Everything with an envelope id is acknowledged, even if no listener is for it: otherwise Slack repeats it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Mapping
from http.client import HTTPException
from queue import Empty
from typing import Any

from slack_bolt import App
from slack_bolt.adapter.socket_mode.internals import run_bolt_app, send_response
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from tenacity import RetryCallState, Retrying, retry_if_result, sleep_using_event, stop_when_event_set, wait_exponential

from alertbot.errors import DeliveryFailure
from alertbot.slack.client import SlackClient
from alertbot.slack.errors import notify_error

_log = logging.getLogger(__name__)

_CREDENTIALS = frozenset(
    {"invalid_auth", "not_authed", "not_allowed_token_type", "token_revoked", "token_expired", "account_inactive"}
)
_WORKERS = 32  # requests that are answered at the same time; a command may take 2 s
_LINK_DISABLED = (
    "Slack ended the connection (link_disabled): Socket Mode is turned off in the Slack app > Settings > Socket Mode"
)


class SocketMode:
    """A Socket Mode connection, kept open from `start()` to `stop()`; two for a short time when it is replaced.

    `client` says where the Web API is and how it is reached; `app_token` (xapp-…) is what opens the socket.
    """

    def __init__(
        self,
        app: App,
        app_token: str,
        client: WebClient,
        *,
        first_wait: float = 2.0,
        max_wait: float = 300.0,
        check_every: float = 5.0,
        lasts: float = 30.0,
        read_on_for: float = 10.0,
        ping_every: float = 5.0,
    ) -> None:
        """All in seconds. Retries wait `first_wait`, doubling up to `max_wait`, and so does the replacement of a
        connection that did not last for `lasts`; the connection is checked every `check_every`; a replaced one is read
        for `read_on_for`. `ping_every` is the library's; a connection without an answer to five pings is replaced."""
        self._app, self._token = app, app_token
        self._first_wait, self._max_wait, self._lasts = first_wait, max_wait, lasts
        self._check_every, self._read_on_for, self._ping_every = check_every, read_on_for, ping_every
        # The library logs each failed try in two or three lines; here it is one, and only when the reason changes.
        self._library_log = logging.getLogger("alertbot.web.socket_mode.library")
        self._library_log.setLevel(logging.CRITICAL)
        self._web = SlackClient(
            base_url=client.base_url,
            timeout=10,
            ssl=client.ssl,
            proxy=client.proxy,
            logger=self._library_log,
            retry_handlers=[],  # retries are made here
        )
        self._link: _Link | None = None
        self._retry_after = 0.0  # seconds that Slack asked for when it refused the last try
        self._stopping = threading.Event()
        self._changed = threading.Event()  # a connection ended, or is to be replaced; or it is to stop
        self._up = threading.Event()
        self._problem = "Slack: not connected yet"
        self._thread = threading.Thread(target=self._keep_up, name="alertbot-socket-mode", daemon=True)

    @property
    def problem(self) -> str:
        """Why no request can arrive from Slack, in words; "" while connected."""
        return self._problem

    def start(self) -> None:
        """Connect in the background; returns at once."""
        self._thread.start()

    def wait_until_up(self, timeout: float) -> bool:
        """Whether it was connected at some time within `timeout` seconds."""
        return self._up.wait(timeout)

    def stop(self, timeout: float = 3.0) -> None:
        """Close the connection within `timeout` seconds. Answers in progress are not waited for."""
        self._stopping.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _keep_up(self) -> None:
        connecting = Retrying(
            retry=retry_if_result(bool),
            wait=self._wait,
            stop=stop_when_event_set(self._stopping),
            sleep=sleep_using_event(self._stopping),
            retry_error_callback=lambda _: None,  # stopped
        )
        short_lived = 0
        while not self._stopping.is_set():
            connecting(self._connect)
            opened_at = time.monotonic()
            self._watch()
            short_lived = short_lived + 1 if time.monotonic() - opened_at < self._lasts else 0
            if short_lived:
                self._stopping.wait(min(self._first_wait * 2.0 ** min(short_lived - 1, 20), self._max_wait))
        if self._link is not None:
            self._link.end()

    def _wait(self, state: RetryCallState) -> float:
        backoff: float = wait_exponential(multiplier=self._first_wait, max=self._max_wait)(state)
        return max(backoff, self._retry_after)

    def _connect(self) -> str:
        """Open a connection; why it failed, or "", as when it is to stop (tenacity tries once more after a wait)."""
        self._retry_after = 0.0
        reason = "" if self._stopping.is_set() else self._opened()
        if reason and (self._link is None or not self._link.is_alive()):
            self._report(reason)
        return reason

    def _opened(self) -> str:
        try:
            url = str(self._web.apps_connections_open(app_token=self._token)["url"])
        except SlackApiError as error:
            failed = notify_error(error, "connect")
            self._retry_after = (failed.retry_after or 0.0) if failed.failure is DeliveryFailure.WAIT else 0.0
            return _in_words(str(error.response.get("error", "")))
        except (SlackClientError, OSError, HTTPException, ValueError) as error:
            return f"Slack cannot be reached for Socket Mode: {type(error).__name__}"
        link = _Link(self._app, self._token, url, self._web, self._library_log, self._ping_every, self._changed)
        link.connect()  # the library keeps what goes wrong to itself
        if not link.is_connected():
            link.end()
            return "Slack did not open a socket for Socket Mode"
        self._changed.clear()
        before, self._link = self._link, link
        if before is not None:
            name = "alertbot-socket-mode-old"
            threading.Thread(target=self._retire, args=[before], name=name, daemon=True).start()
        return ""

    def _retire(self, link: _Link) -> None:
        """Read a connection for a little longer, then end it: requests may have been sent on it."""
        if link.is_alive():
            self._stopping.wait(self._read_on_for)
        link.end()

    def _watch(self) -> None:
        """Return when the connection has ended or is to be replaced, or on `stop`."""
        link = self._link
        while link is not None and not self._stopping.is_set():
            if link.is_alive() and not link.farewell:
                if self._problem:
                    self._problem = ""
                    self._up.set()
                    _log.info("connected to Slack over Socket Mode")
            elif link.farewell == "link_disabled":
                self._report(_LINK_DISABLED)
                return
            elif link.farewell:
                _log.info("Slack asked for a new Socket Mode connection (%s)", link.farewell)
                return
            else:
                self._report("the connection to Slack (Socket Mode) was lost; reconnecting")
                return
            self._changed.wait(self._check_every)
            self._changed.clear()

    def _report(self, problem: str) -> None:
        if problem != self._problem and not self._stopping.is_set():
            self._problem = problem
            _log.error("%s", problem)


class _Link(SocketModeClient):
    """One connection, by a URL that serves for one. It never opens another: `changed` is set instead."""

    def __init__(
        self,
        app: App,
        app_token: str,
        url: str,
        web: WebClient,
        log: logging.Logger,
        ping_every: float,
        changed: threading.Event,
    ) -> None:
        self.farewell = ""
        """Why Slack wants the connection replaced, in its own word: `refresh_requested`, `warning`, `link_disabled`."""
        self._app, self._changed = app, changed
        self._max_age = ping_every * 5  # of the last pong, in seconds
        self._connected_at = 0.0  # seconds since 1970, as the library has them of pongs
        self._ended = False
        super().__init__(
            app_token,
            logger=log,
            web_client=web,
            proxy=web.proxy,
            auto_reconnect_enabled=False,
            ping_interval=ping_every,
            concurrency=_WORKERS,
            on_error_listeners=[self._failed],
            on_close_listeners=[lambda _code, _reason: self._is_over()],
        )
        self.wss_uri = url

    def connect(self) -> None:
        """Open the connection; `is_connected` says whether that worked."""
        super().connect()
        session = self.current_session
        if session is not None and session.sock is not None:
            self._connected_at = time.time()
            session.sock = _EndIsAnError(session.sock)  # type: ignore[assignment]  # it does what the library asks

    def _failed(self, error: Exception) -> None:
        if isinstance(error, OSError):  # a frame that cannot be read does not end the connection
            self._is_over()

    def _is_over(self) -> None:
        self._ended = True
        self._changed.set()

    def is_alive(self) -> bool:
        """Whether the socket is open and pongs arrive: a peer that disappears leaves it open."""
        session = self.current_session
        if self._ended or session is None or not session.is_active():
            return False
        return time.time() - max(self._connected_at, session.last_ping_pong_time or 0.0) <= self._max_age

    def process_message(self) -> None:
        """One frame from the queue. It must not wait: the next one may have to be acknowledged."""
        try:
            raw = self.message_queue.get(timeout=1)
        except Empty:
            return
        message = json.loads(raw) if raw and raw.startswith("{") else {}
        if message.get("type") == "disconnect":
            self.farewell = str(message.get("reason") or "disconnect")
            self._changed.set()
        elif message.get("envelope_id"):
            self.message_workers.submit(self._answer, message)

    def _answer(self, message: Mapping[str, Any]) -> None:
        begun = time.time()
        try:
            request = _request(message)
            answer = run_bolt_app(self._app, request) if request is not None else None
            if request is not None and answer is not None and answer.status == 200:
                send_response(self, request, answer, begun)
            elif answer is None or answer.status == 404:  # no listener is for it
                self.send_socket_mode_response(SocketModeResponse(envelope_id=str(message["envelope_id"])))
        except SlackClientError:
            _log.warning("a request from Slack was answered after its connection had ended")
        except Exception:  # whatever the content does to Bolt: the other requests are not affected
            _log.exception("a request from Slack could not be answered")

    def end(self) -> None:
        """Close it now: the library waits for its reader, which reads with a timeout of 3 s, and for the queue, 1 s."""
        session = self.current_session
        if session is not None and (session_socket := session.sock) is not None:
            with contextlib.suppress(OSError):
                session_socket.shutdown(socket.SHUT_RDWR)
        # slack_sdk checks the socket before it takes the locks: its reader may have closed it, and set it to None.
        with contextlib.suppress(AttributeError):
            self.disconnect()
        self.closed = True
        self.enqueue_message("")
        self.close()


class _EndIsAnError:
    """A socket whose end is an error to its reader: the library takes it for "nothing yet", and reads on at once."""

    def __init__(self, connected: Any) -> None:
        self._connected = connected

    def recv(self, size: int) -> bytes:
        data: bytes = self._connected.recv(size)
        if not data:
            raise ConnectionResetError("the connection was ended")
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connected, name)


def _request(message: Mapping[str, Any]) -> SocketModeRequest | None:
    """The request in an envelope; None where it has no payload, or one of a form that Bolt cannot take."""
    return SocketModeRequest.from_dict(dict(message)) if isinstance(message.get("payload"), dict) else None


def _in_words(code: str) -> str:
    if code in _CREDENTIALS:
        return f"Slack refused the app token ({code}): slack.app_token must be an app-level token, xapp-…"
    if code == "missing_scope":
        return "the app token lacks the scope connections:write (missing_scope): create one that has it"
    if code.startswith("Received a"):  # slack_sdk's message for a body that is not JSON, followed by the whole body
        return "Slack's answer to apps.connections.open could not be read"
    return f"Slack did not open a Socket Mode connection ({code or 'no reason given'})"
