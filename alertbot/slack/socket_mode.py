"""Socket Mode: Slack's requests over a WebSocket that the bot opens.

See docs.slack.dev/apis/events-api/using-socket-mode. slack_sdk keeps the connection alive (ping, reconnect, Slack's own
`disconnect` frames). What is added here: a first connect that fails is logged in one line and retried, and a watchdog
opens a new connection where the library does not reconnect (python-slack-sdk#1701).
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from http.client import HTTPException

from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode import SocketModeClient
from tenacity import Retrying, retry_if_result, sleep_using_event, stop_when_event_set, wait_exponential

from alertbot.slack.client import SlackClient

_log = logging.getLogger(__name__)

_CREDENTIALS = frozenset(
    {"invalid_auth", "not_authed", "not_allowed_token_type", "token_revoked", "token_expired", "account_inactive"}
)


class SocketMode:
    """One Socket Mode connection, kept open from `start()` to `stop()`.

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
        silent_for: float = 60.0,
        ping_every: float = 5.0,
    ) -> None:
        """All in seconds. Retries wait `first_wait`, doubling up to `max_wait`; the connection is checked every
        `check_every` and replaced when it was down for `silent_for`; `ping_every` is the library's, which gives a
        connection up after four missed pings."""
        self._app, self._token = app, app_token
        self._first_wait, self._max_wait = first_wait, max_wait
        self._check_every, self._silent_for, self._ping_every = check_every, silent_for, ping_every
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
        self._handler: SocketModeHandler | None = None
        self._stopping = threading.Event()
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
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _keep_up(self) -> None:
        connecting = Retrying(
            retry=retry_if_result(bool),
            wait=wait_exponential(multiplier=self._first_wait, max=self._max_wait),
            stop=stop_when_event_set(self._stopping),
            sleep=sleep_using_event(self._stopping),
            retry_error_callback=lambda _: None,  # stopped
        )
        while not self._stopping.is_set():
            connecting(self._connect)
            self._watch()
        if self._handler is not None:
            _close(self._handler)

    def _connect(self) -> str:
        """Open a connection; why it failed, or "", as when it is to stop (tenacity tries once more after a wait)."""
        reason = "" if self._stopping.is_set() else self._opened()
        if reason:
            self._report(reason)
        return reason

    def _opened(self) -> str:
        if self._handler is None:
            self._handler = SocketModeHandler(
                self._app, self._token, logger=self._library_log, web_client=self._web, ping_interval=self._ping_every
            )
        try:
            self._handler.client.connect_to_new_endpoint(force=True)
        except SlackApiError as error:
            return _in_words(str(error.response.get("error", "")))
        except (SlackClientError, OSError, HTTPException, ValueError) as error:
            return f"Slack cannot be reached for Socket Mode: {type(error).__name__}"
        return "" if self._handler.client.is_connected() else "Slack did not open a socket for Socket Mode"

    def _watch(self) -> None:
        """Return when the connection has been down for too long, or on `stop`."""
        alive_at = time.monotonic()
        pulse = _Pulse(self._ping_every * 5)
        while not self._stopping.is_set():
            handler = self._handler
            if handler is not None and pulse.beats(handler.client):
                alive_at = time.monotonic()
                if self._problem:
                    self._problem = ""
                    self._up.set()
                    _log.info("connected to Slack over Socket Mode")
            elif time.monotonic() - alive_at > self._silent_for:
                # The library did not reconnect: a new client replaces the old one, which may take its time to end.
                self._report(f"the Socket Mode connection was lost {self._silent_for:g} s ago; reconnecting")
                self._handler = None
                if handler is not None:
                    threading.Thread(
                        target=_close, args=[handler], name="alertbot-socket-mode-old", daemon=True
                    ).start()
                return
            else:
                self._report("the connection to Slack (Socket Mode) is down")
            self._stopping.wait(self._check_every)

    def _report(self, problem: str) -> None:
        if problem != self._problem and not self._stopping.is_set():
            self._problem = problem
            _log.error("%s", problem)


class _Pulse:
    """Whether a connection is alive: its socket is open and pongs arrive.

    A peer that disappears leaves the socket open. The library notices that by the age of the last pong, and never when
    there was none at all.
    """

    def __init__(self, max_age: float) -> None:
        self._max_age = max_age  # of the last pong, in seconds
        self._session = ""
        self._since = 0.0

    def beats(self, client: SocketModeClient) -> bool:
        session = client.current_session
        if session is None or not session.is_active():
            return False
        if session.session_id != self._session:
            self._session, self._since = session.session_id, time.time()
        return time.time() - max(self._since, session.last_ping_pong_time or 0.0) <= self._max_age


def _in_words(code: str) -> str:
    if code in _CREDENTIALS:
        return f"Slack refused the app token ({code}): slack.app_token must be an app-level token, xapp-…"
    if code == "missing_scope":
        return "the app token lacks the scope connections:write (missing_scope): create one that has it"
    if code.startswith("Received a"):  # slack_sdk's message for a body that is not JSON, followed by the whole body
        return "Slack's answer to apps.connections.open could not be read"
    return f"Slack did not open a Socket Mode connection ({code or 'no reason given'})"


def _close(handler: SocketModeHandler) -> None:
    """Close it now: the library waits for its reader, which reads with a timeout of 3 s."""
    client = handler.client
    client.auto_reconnect_enabled = False
    session = client.current_session
    if session is not None:
        session_socket = session.sock
        if session_socket is not None:
            with contextlib.suppress(OSError):
                session_socket.shutdown(socket.SHUT_RDWR)
    _disconnect(client)
    handler.close()  # type: ignore[no-untyped-call]  # Bolt is typed in part
    # The library may have been reconnecting meanwhile: Slack would send requests to a socket that is not read.
    _disconnect(client)


def _disconnect(client: SocketModeClient) -> None:
    # slack_sdk checks the socket before it takes the locks: its reader may have closed it, and set it to None, since.
    with contextlib.suppress(AttributeError):
        client.disconnect()
