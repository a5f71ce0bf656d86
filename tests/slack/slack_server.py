"""A small Slack on loopback, for what the third-party ones lack: faults at the worst moment, limits, history by time.

Faults are scripted for a method and used up one call each: `server.next("chat.postMessage", Fault.DROP_AFTER)`.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from tests.slack.block_kit import code_of as problem_of
from tests.slack.block_kit import view_problems

TOKEN = "xoxb-111-very-secret-token"
BOT_ID, BOT_USER_ID = "B0BOT", "U0BOT"
FIRST_TS = 1_772_442_000  # 2026-03-02 09:00:00 UTC


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one call. `stored`: the call takes effect all the same."""

    status: int = 200
    error: str = ""  # Slack's code, with ok: false
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None  # instead of Slack's JSON
    stored: bool = False
    drop: bool = False  # close the connection instead of answering
    hang: bool = False  # do not answer until the server is released
    drip: bool = False  # a byte now and then, without an end


DROP_AFTER = Fault(stored=True, drop=True)  # stored, but without a response
DROP_BEFORE = Fault(drop=True)
DRIP_AFTER = Fault(stored=True, drip=True)
HANG_AFTER = Fault(stored=True, hang=True)
SERVER_ERROR = Fault(status=503, body="<html>503 Service Unavailable</html>")
SERVER_ERROR_AFTER = Fault(status=500, body="oops", stored=True)
HTML = Fault(body="<html>Please log in to the guest network</html>")


def limited(seconds: str = "7") -> Fault:
    """429."""
    return Fault(status=429, error="ratelimited", headers=(("Retry-After", seconds),))


def refused(code: str) -> Fault:
    """ok: false with this code."""
    return Fault(error=code)


@dataclass
class File:
    """An upload. It can be shown once it is complete."""

    name: str
    length: int
    alt: str
    data: bytes = b""
    complete: bool = False
    channel: str = ""


@dataclass
class SlackServer:
    """The server's memory. Messages by channel id, in the order of their ts."""

    url: str = ""
    channels: dict[str, str] = field(
        default_factory=lambda: {"cc-alerts": "C0ALERTS", "cc-sales": "C0SALES", "cc-ops": "C0CCOPS"}
    )
    files: dict[str, File] = field(default_factory=dict)  # by id
    scopes: str = ""  # those of the token, as the header `X-OAuth-Scopes` names them; "": no such header
    unprocessed: int = 0  # how many messages that show a file come too early
    homes: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))  # views, by user id
    published: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    answers: list[dict[str, Any]] = field(default_factory=list)  # what was sent to `response_url`
    views: list[dict[str, Any]] = field(default_factory=list)  # modals, each as it is shown now
    triggers: set[str] = field(default_factory=set)  # that opened a modal
    zones: dict[str, str | None] = field(default_factory=dict)  # by user id
    users: dict[str, dict[str, Any]] = field(default_factory=dict)  # more of users.info, by user id
    names_resolve: bool = True  # `#name` is understood by chat.postMessage
    archived: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    without_bot: set[str] = field(default_factory=set)  # channels that the bot is not a member of
    app_token: str = "xapp-1-very-secret-token"
    socket_url: str = ""
    user_groups: dict[str, list[str]] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)  # channels whose history the bot may not read
    one_a_second: bool = False  # a second post in a channel within a second of `clock` is a 429
    edits_a_minute: int = 0  # one more within a minute of `clock`, in all channels, is a 429; 0: any number
    edited_at: deque[float] = field(default_factory=deque)
    retry_after: int = 1  # seconds, of a 429 that no fault has asked for
    refused: int = 0  # posts and edits that were one too many
    posted_at: dict[str, float] = field(default_factory=dict)  # by channel id
    messages: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    always: dict[tuple[str, str], Fault] = field(default_factory=dict)  # by method and channel id, where none is next
    pause: Callable[[], float] = lambda: 0.0  # seconds before an answer, once the call took effect
    go_on: threading.Event = field(default_factory=threading.Event)
    answered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    lock: threading.RLock = field(default_factory=threading.RLock)
    clock: Callable[[], float] = lambda: FIRST_TS
    date: Callable[[], float] = time.time  # for the header `Date`
    ticks: int = 0

    @property
    def api_url(self) -> str:
        return self.url + "/api/"

    @property
    def response_url(self) -> str:
        """What a slash command is answered through, after its acknowledgement."""
        return self.url + "/response/1"

    def next(self, method: str, *faults: Fault) -> None:
        """These faults, in this order, for the next calls of a method."""
        self.faults[method].extend(faults)

    def called(self, method: str) -> list[dict[str, Any]]:
        """The arguments of every call of a method."""
        return [args for name, args in self.calls if name == method]

    def top(self, channel: str = "cc-alerts") -> list[dict[str, Any]]:
        """The messages of a channel that are in no thread."""
        return [message for message in self.messages[self.channels[channel]] if not message.get("thread_ts")]

    def thread(self, ts: str, channel: str = "cc-alerts") -> list[dict[str, Any]]:
        """The replies to a message."""
        return [message for message in self.messages[self.channels[channel]] if message.get("thread_ts") == ts]

    def delete(self, ts: str) -> None:
        """As a user does it in Slack."""
        for stored in self.messages.values():
            stored[:] = [message for message in stored if message["ts"] != ts]

    def say(self, text: str, channel: str = "cc-alerts", **more: Any) -> None:
        """As a user, or another bot, posts something."""
        with self.lock:
            self.messages[self.channels[channel]].append({"ts": self._ts(), "user": "U0ALICE", "text": text} | more)

    # What the Web API does.

    def answer(self, method: str, args: dict[str, Any], token: str) -> dict[str, Any]:
        if method == "apps.connections.open" and token == self.app_token:
            return _ok(url=self.socket_url)
        if token != TOKEN:
            return {"ok": False, "error": "invalid_auth"}
        handler: Callable[[dict[str, Any]], dict[str, Any]] | None = {
            "auth.test": lambda _: _ok(team="Acme", user="alertbot", user_id=BOT_USER_ID, bot_id=BOT_ID),
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.list": self._list,
            "conversations.info": self._info,
            "usergroups.users.list": self._user_group,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
            "users.info": self._user,
            "views.open": self._open_view,
            "views.update": self._update_view,
            "views.publish": self._publish,
            "files.getUploadURLExternal": self._upload_url,
            "files.completeUploadExternal": self._complete,
        }.get(method)
        with self.lock:
            return handler(args) if handler else {"ok": False, "error": "unknown_method"}

    def _ts(self) -> str:
        self.ticks += 1
        return f"{self.clock() + self.ticks / 10_000:.6f}"

    def _channel(self, wanted: str, names: bool = False) -> str | None:
        if wanted in self.channels.values():
            return wanted
        return self.channels.get(wanted.removeprefix("#")) if names and self.names_resolve else None

    def place(self, wanted: str) -> str:
        """The id of a channel, by name or id; "" where there is none."""
        return self._channel(wanted, names=True) or ""

    def _post(self, args: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel(str(args.get("channel")), names=True)
        if channel is None:
            return {"ok": False, "error": "channel_not_found"}
        if channel in self.archived:
            return {"ok": False, "error": "is_archived"}
        problem = problem_of(args)
        if problem or not self._can_show(args):
            return {"ok": False, "error": problem or "invalid_blocks"}
        if self.one_a_second and self.clock() - self.posted_at.get(channel, 0.0) < 1:
            self.refused += 1
            self.retry_after = 1
            return {"ok": False, "error": "ratelimited"}
        self.posted_at[channel] = self.clock()
        kept = ("text", "blocks", "attachments", "metadata", "thread_ts", "reply_broadcast")
        message = {key: args[key] for key in kept if key in args}
        message |= {"ts": self._ts(), "bot_id": BOT_ID, "user": BOT_USER_ID}
        self.messages[channel].append(message)
        return _ok(channel=channel, ts=message["ts"], message=message)

    def _update(self, args: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel(str(args.get("channel")))  # chat.update wants the id
        if channel is None:
            return {"ok": False, "error": "channel_not_found"}
        if channel in self.archived:
            return {"ok": False, "error": "is_archived"}
        problem = problem_of(args)
        if problem:
            return {"ok": False, "error": problem}
        if self.edits_a_minute:
            while self.edited_at and self.edited_at[0] <= self.clock() - 60:
                self.edited_at.popleft()
            if len(self.edited_at) >= self.edits_a_minute:
                self.refused += 1
                self.retry_after = max(1, int(self.edited_at[0] + 60 - self.clock()))
                return {"ok": False, "error": "ratelimited"}
            self.edited_at.append(self.clock())
        for message in self.messages[channel]:
            if message["ts"] == args.get("ts"):
                # text without blocks removes the blocks; attachments that are not given stay
                message.pop("blocks", None)
                message |= {key: args[key] for key in ("text", "blocks", "attachments", "metadata") if key in args}
                return _ok(channel=channel, ts=message["ts"], text=message["text"])
        return {"ok": False, "error": "message_not_found"}

    def _list(self, args: dict[str, Any]) -> dict[str, Any]:
        listed = [self._described(name, id) for name, id in self.channels.items()]
        if str(args.get("exclude_archived")).lower() in ("1", "true"):
            listed = [channel for channel in listed if not channel["is_archived"]]
        return self._paged(listed, "channels", args, at_most=1)  # one a page: cursors have to be followed

    def _described(self, name: str, id: str) -> dict[str, Any]:
        kinds = {"is_archived": id in self.archived, "is_private": id in self.private}
        return {"id": id, "name": name, "is_member": id not in self.without_bot, **kinds}

    def _info(self, args: dict[str, Any]) -> dict[str, Any]:
        named = [(name, id) for name, id in self.channels.items() if id == args["channel"]]
        return _ok(channel=self._described(*named[0])) if named else {"ok": False, "error": "channel_not_found"}

    def _user_group(self, args: dict[str, Any]) -> dict[str, Any]:
        users = self.user_groups.get(args["usergroup"])
        return {"ok": False, "error": "no_such_subteam"} if users is None else _ok(users=users)

    def _history(self, args: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel(str(args.get("channel")))
        if channel is None:
            return {"ok": False, "error": "channel_not_found"}
        if channel in self.unreadable or channel in self.without_bot:
            return {"ok": False, "error": "not_in_channel"}
        oldest = float(args.get("oldest") or 0)
        edge = str(args.get("inclusive")).lower() in ("1", "true")
        found = [
            m
            for m in self.messages[channel]
            if not m.get("thread_ts") and (float(m["ts"]) > oldest or (edge and float(m["ts"]) == oldest))
        ]
        return self._paged([_as_read(m, args) for m in reversed(found)], "messages", args)

    def _replies(self, args: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel(str(args.get("channel")))
        if channel is None:
            return {"ok": False, "error": "channel_not_found"}
        if channel in self.unreadable:
            return {"ok": False, "error": "not_in_channel"}
        oldest = float(args.get("oldest") or 0)
        thread = [m for m in self.messages[channel] if args["ts"] in (m["ts"], m.get("thread_ts"))]
        if not thread:
            return {"ok": False, "error": "thread_not_found"}
        found = [_as_read(m, args) for m in thread if m["ts"] == args["ts"] or float(m["ts"]) > oldest]
        return self._paged(found, "messages", args)

    def _user(self, args: dict[str, Any]) -> dict[str, Any]:
        if args["user"] not in self.zones:
            return {"ok": False, "error": "user_not_found"}
        return _ok(user={"id": args["user"], "tz": self.zones[args["user"]], **self.users.get(args["user"], {})})

    def _open_view(self, args: dict[str, Any]) -> dict[str, Any]:
        if args["trigger_id"] in self.triggers:
            return {"ok": False, "error": "exchanged_trigger_id"}
        self.triggers.add(args["trigger_id"])
        self.views.append({})
        return self._update_view(args | {"view_id": f"V{len(self.views)}"})

    def _update_view(self, args: dict[str, Any]) -> dict[str, Any]:
        view: dict[str, Any] = json.loads(args["view"]) if isinstance(args["view"], str) else args["view"]
        if problem := problem_of_view(view):
            return {"ok": False, "error": problem}
        self.views[int(args["view_id"][1:]) - 1] = view = view | {"id": args["view_id"]}
        self.answered.release()
        return _ok(view=view)

    def _publish(self, args: dict[str, Any]) -> dict[str, Any]:
        if problem := problem_of_home(args["view"]):
            return {"ok": False, "error": problem}
        self.homes[args["user_id"]].append(args["view"])
        self.published.release()
        return _ok(view=args["view"] | {"id": f"V{len(self.homes)}"})

    def home(self, user: str) -> dict[str, Any]:
        """The next Home tab that is published, waited for: the last one of this user."""
        assert self.published.acquire(timeout=30)
        with self.lock:
            return self.homes[user][-1]

    def _upload_url(self, args: dict[str, Any]) -> dict[str, Any]:
        if not args.get("filename") or len(args.get("alt_txt", "")) > 1000:
            return {"ok": False, "error": "invalid_arguments"}
        file_id = f"F{len(self.files):04}"
        self.files[file_id] = File(args["filename"], int(args["length"]), args.get("alt_txt", ""))
        return _ok(upload_url=f"{self.url}/upload/{file_id}", file_id=file_id)

    def take_upload(self, path: str, data: bytes) -> int:
        """The second step, which needs no token: the status of the answer."""
        file = self.files.get(path.removeprefix("/upload/"))
        if file is None or file.data or len(data) != file.length:
            return 400
        file.data = data
        return 200

    def _complete(self, args: dict[str, Any]) -> dict[str, Any]:
        for each in json.loads(args["files"]):
            file = self.files.get(each["id"])
            if file is None or not file.data:
                return {"ok": False, "error": "file_not_found"}
            file.complete, file.channel = True, args.get("channel_id") or ""
        return _ok(files=json.loads(args["files"]))

    def take_answer(self, message: dict[str, Any]) -> int:
        """An answer through `response_url`; 400 for one that shows a file too early, or is over the limits."""
        with self.lock:
            if not self._can_show(message) or problem_of(message):
                return 400
            self.answers.append(message)
            self.answered.release()
        return 200

    def _can_show(self, message: dict[str, Any]) -> bool:
        """Whether the files in a message are complete, and processed."""
        for block in message.get("blocks") or []:
            if block["type"] == "image":
                file = self.files.get(block["slack_file"]["id"])
                if file is None or not file.complete:
                    return False
                if self.unprocessed:
                    self.unprocessed -= 1
                    return False
        return True

    def answer_sent(self) -> dict[str, Any]:
        """The next answer through `response_url`, waited for."""
        assert self.answered.acquire(timeout=30)
        return self.answers.pop(0)

    def _paged(
        self, found: list[dict[str, Any]], key: str, args: dict[str, Any], at_most: int = 1000
    ) -> dict[str, Any]:
        start, limit = int(args.get("cursor") or 0), min(int(args.get("limit") or 100), at_most)
        end = start + limit
        cursor = str(end) if end < len(found) else ""
        return _ok(**{key: found[start:end]}, response_metadata={"next_cursor": cursor})


def problem_of_view(view: dict[str, Any]) -> str:
    """The code with which Slack refuses a modal, "" if it accepts it."""
    return "invalid_arguments" if view["type"] != "modal" or view_problems(view) or _is_large(view) else ""


def problem_of_home(view: dict[str, Any]) -> str:
    """The code with which Slack refuses a Home tab, "" if it accepts it."""
    unknown = set(view) - {"type", "blocks", "callback_id", "private_metadata", "external_id"}
    if view.get("type") != "home" or unknown or view_problems(view):
        return "invalid_arguments"
    return "view_too_large" if _is_large(view) else ""


def _is_large(view: dict[str, Any]) -> bool:
    return len(json.dumps(view)) > 250_000


def _as_read(message: dict[str, Any], args: dict[str, Any]) -> dict[str, Any]:
    """Without include_all_metadata only the event_type of the metadata is given."""
    if str(args.get("include_all_metadata")).lower() in ("1", "true") or "metadata" not in message:
        return message
    return message | {"metadata": {"event_type": message["metadata"].get("event_type")}}


def _ok(**more: Any) -> dict[str, Any]:
    return {"ok": True, **more}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    slack: SlackServer

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self._answer(path, dict(parse_qsl(query, keep_blank_values=True)))

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith(("/upload/", "/response/")):
            self._answer_plain(raw)
            return
        if self.headers.get("Content-Type", "").startswith("application/json"):
            args = json.loads(raw or b"{}")
        else:
            args = dict(parse_qsl(raw.decode(), keep_blank_values=True))
        self._answer(self.path, args)

    def _answer(self, path: str, args: dict[str, Any]) -> None:
        method = path.removeprefix("/api/")
        slack = self.slack
        with slack.lock:
            slack.calls.append((method, args))
            place = slack.place(str(args.get("channel")))
            fault = slack.faults[method].popleft() if slack.faults[method] else slack.always.get((method, place))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if fault is None or fault.stored:
            answer = slack.answer(method, args, token)
        else:
            answer = {"ok": False, "error": fault.error} if fault.error else {"ok": True}
        slack.go_on.wait(slack.pause())
        if fault is None:
            limit = limited(str(slack.retry_after)) if answer.get("error") == "ratelimited" else Fault()
            self._send(limit.status, json.dumps(answer), limit.headers)
            return
        if fault.hang:
            slack.go_on.wait(20)
        if fault.drip:
            self._drip()
            return
        if fault.drop or fault.hang:
            self.close_connection = True
            self.connection.close()
            return
        self._send(fault.status, fault.body if fault.body is not None else json.dumps(answer), fault.headers)

    def _answer_plain(self, raw: bytes) -> None:
        """What is no method of the Web API; faults are scripted for "upload" and "response"."""
        slack, what = self.slack, self.path.split("/")[1]
        with slack.lock:
            slack.calls.append((what, {"authorization": self.headers.get("Authorization", ""), "size": len(raw)}))
            fault = slack.faults[what].popleft() if slack.faults[what] else None
        if fault is not None and fault.hang:
            slack.go_on.wait(20)
        if fault is not None and (fault.drop or fault.hang):
            self.close_connection = True
            self.connection.close()
            return
        if fault is not None:
            self._send(fault.status, fault.body or fault.error, fault.headers)
            return
        status = slack.take_upload(self.path, raw) if what == "upload" else slack.take_answer(json.loads(raw))
        self._send(status, "ok" if status == 200 else "invalid_blocks", ())

    def _send(self, status: int, body: str, headers: tuple[tuple[str, str], ...]) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        if self.slack.scopes:
            self.send_header("X-OAuth-Scopes", self.slack.scopes)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _drip(self) -> None:
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        with contextlib.suppress(OSError):
            while not self.slack.go_on.wait(0.1):
                self.wfile.write(b" ")

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(self.slack.date() if timestamp is None else timestamp)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed reads no answer."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def slack_server() -> Iterator[SlackServer]:
    """A running server on a free port of 127.0.0.1."""
    slack = SlackServer()
    handler = type("Handler", (_Handler,), {"slack": slack})
    server = _Server(("127.0.0.1", 0), handler)
    slack.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield slack
    finally:
        slack.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
