"""What people send from Slack: the slash command and the Acknowledge button, answered alike over both transports.

Slack waits 3 s for the acknowledgement of either (docs.slack.dev/interactivity/handling-user-interaction). An answer
that takes longer than that leaves room for is sent afterwards, through the request's `response_url`.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any

from slack_bolt import Ack, App, BoltRequest, BoltResponse, Respond
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient

from alertbot.alerts.alert import Alert
from alertbot.commands.answers import answer, settle
from alertbot.commands.changes import alert_id, refused
from alertbot.commands.command import Acknowledge, Asker, Command, Line, Reply, View, Wish, parse
from alertbot.slack.permissions import MayChange, Permissions
from alertbot.slack.replies import slack_message, text_message

_log = logging.getLogger(__name__)

ACTION_ACKNOWLEDGE, ACTION_WHY = "acknowledge", "why"  # action_ids of the buttons of a card; values are alert ids

Message = dict[str, Any]
Change = Callable[[Wish, Asker, datetime], tuple[str, Alert | None]]

_THREADS = 16
_GIVE_UP_AFTER = 60.0  # seconds; an answer later than that helps nobody
_REMEMBERED = 500
_FAILED = Reply((Line("Could not answer: something went wrong inside alertbot. Its log says what."),), problem=True)


class SlackApp:
    """Bolt's App with our listeners. Answers come from `view`, changes go through `change`, both handed in.

    `view()` gives what the last polls left and must be quick; `change(wish, asker, now)` gives one of `AckResult`'s
    words and the alert as it is then; `wake()` says that cards are due. Whatever these raise is logged and answered
    with one sentence. Nothing here calls Slack but for the members of user groups and late answers.
    """

    def __init__(
        self,
        *,
        client: WebClient,
        command: str,
        view: Callable[[], View],
        change: Change,
        wake: Callable[[], None],
        clock: Callable[[], datetime],
        may_change: MayChange | None = None,
        answer_within: float = 2.0,
    ) -> None:
        """`command` with its slash. `answer_within` is in seconds: what is not answered by then is answered late."""
        self._command = command
        self._view, self._change, self._wake, self._clock = view, change, wake, clock
        self._answer_within = answer_within
        self._asking = _short_client(client)
        self._permissions = Permissions(may_change or MayChange(), self._members)
        self._answers = ThreadPoolExecutor(_THREADS, thread_name_prefix="alertbot-answer")
        self._listeners = ThreadPoolExecutor(_THREADS, thread_name_prefix="alertbot-slack")
        self._seen: OrderedDict[str, Future[Message | None]] = OrderedDict()
        self._seen_lock = threading.Lock()
        self.bolt = self._bolt(client)

    def dispatch(self, request: BoltRequest) -> BoltResponse:
        """Answer a request whose origin is already proven (http.py verifies signatures; Socket Mode needs none)."""
        return self.bolt.dispatch(request)

    def close(self) -> None:
        """Take no more; what is being answered is not waited for."""
        self._permissions.close()
        self._listeners.shutdown(wait=False, cancel_futures=True)
        self._answers.shutdown(wait=False, cancel_futures=True)

    def _bolt(self, client: WebClient) -> App:
        # Bolt repeats whole request bodies in its warnings; only its errors are worth a line.
        log = logging.getLogger("alertbot.web.bolt")
        log.setLevel(logging.ERROR)
        # Without a token, and with an `authorize` that asks nobody, Bolt makes no call of its own: its auth.test would
        # stand between a question and its answer.
        app = App(
            name="alertbot",
            logger=log,
            client=WebClient(base_url=client.base_url, ssl=client.ssl, proxy=client.proxy),
            authorize=_nobody_asks,
            token_verification_enabled=False,
            request_verification_enabled=False,  # http.py has done it, on the raw body
            ignoring_self_events_enabled=False,
            signing_secret="",
            listener_executor=self._listeners,
        )
        app.command(self._command)(self._on_command)
        app.command(re.compile(".*"))(self._on_other_command)
        app.action(ACTION_ACKNOWLEDGE)(self._on_acknowledge)
        app.action(ACTION_WHY)(self._on_why)
        app.action(re.compile(".*"))(_on_other_action)
        return app

    def _on_command(self, ack: Ack, body: dict[str, Any], respond: Respond) -> None:
        work, first = self._once(body, lambda: self._answered(body))
        try:
            ack(work.result(self._answer_within) or "")
        except TimeoutError:
            ack(text_message("This takes longer than usual; the answer follows."))
            if first:
                _send(respond, _result(work))

    def _on_other_command(self, ack: Ack, body: dict[str, Any]) -> None:
        other = str(body.get("command", ""))
        ack(text_message(f"alertbot is set to answer {self._command}, not {other}: see slack.command."))

    def _on_acknowledge(self, ack: Ack, body: dict[str, Any], action: dict[str, Any], respond: Respond) -> None:
        ack()
        work, first = self._once(body, lambda: self._pressed(body, action))
        message = _result(work)
        if first and message is not None:
            _send(respond, message)

    def _on_why(self, ack: Ack, body: dict[str, Any], action: dict[str, Any], respond: Respond) -> None:
        ack()
        work, first = self._once(body, lambda: self._explained(action))
        message = _result(work)
        if first:
            _send(respond, message)

    def _explained(self, action: Mapping[str, Any]) -> Message:
        """The last decision about the alert of a card, for whoever pressed the button alone."""
        number = alert_id(str(action.get("value") or ""))
        if number is None:
            return slack_message(Reply((Line("This button belongs to no alert."),), problem=True))
        view = self._view()
        return slack_message(answer(view, Command("why", (f"#{number}",)), Asker(""), self._clock()))

    def _once(self, body: Mapping[str, Any], work: Callable[[], Message | None]) -> tuple[Future[Any], bool]:
        """Begin the work, but for a request that was seen before: the same envelope may come twice, and by a second
        socket. Gives what becomes of it, and whether it was begun here."""
        key = str(body.get("trigger_id") or "")
        with self._seen_lock:
            known = self._seen.get(key) if key else None
            if known is not None:
                return known, False
            begun = self._answers.submit(_guarded, work)
            if key:
                self._seen[key] = begun
                while len(self._seen) > _REMEMBERED:
                    self._seen.popitem(last=False)
            return begun, True

    def _answered(self, body: Mapping[str, Any]) -> Message:
        command = parse(_unescaped(str(body.get("text") or "")))
        asker = self._asker(
            str(body["user_id"]), str(body.get("channel_id") or ""), asks_only=command.name not in _CHANGES
        )
        view = self._view()
        reply = answer(view, command, asker, self._clock())
        if reply.wish is not None:
            reply = self._changed(reply.wish, asker, view.timezone)
        return slack_message(reply, public=command.public)

    def _pressed(self, body: Mapping[str, Any], action: Mapping[str, Any]) -> Message | None:
        """None when the card itself will show what happened."""
        channel = body.get("channel") or body.get("container") or {}
        asker = self._asker(str(body["user"]["id"]), str(channel.get("id") or channel.get("channel_id") or ""))
        number = alert_id(str(action.get("value") or ""))
        if number is None:
            return slack_message(Reply((Line("This button belongs to no alert."),), problem=True))
        if not asker.may_change:
            return slack_message(refused())
        reply = self._changed(Acknowledge(number), asker, "UTC")
        return slack_message(reply) if reply.problem else None

    def _changed(self, wish: Wish, asker: Asker, timezone: str) -> Reply:
        now = self._clock()
        result, alert = self._change(wish, asker, now)
        if result == "done":
            self._wake()
        return settle(wish, result, alert, asker, now=now, timezone=timezone)

    def _asker(self, user: str, channel: str, *, asks_only: bool = False) -> Asker:
        return Asker(user, may_change=asks_only or self._permissions.allows(user, channel))

    def _members(self, usergroup: str) -> list[str]:
        return [str(user) for user in self._asking.usergroups_users_list(usergroup=usergroup)["users"]]


_CHANGES = frozenset({"ack", "unack"})


def _short_client(client: WebClient) -> WebClient:
    """The same workspace with less patience: somebody waits for the answer."""
    return WebClient(
        token=client.token, base_url=client.base_url, timeout=5, ssl=client.ssl, proxy=client.proxy, retry_handlers=[]
    )


def _nobody_asks(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
    return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id)


def _on_other_action(ack: Ack) -> None:
    """A button with an address, say: Slack tells of those too, and shows a warning where nobody acknowledges."""
    ack()


def _guarded(work: Callable[[], Message | None]) -> Message | None:
    """The one place where any failure ends: the person is told that there was one, the log says which."""
    try:
        return work()
    except Exception:
        _log.exception("a request from Slack could not be answered")
        return slack_message(_FAILED)


def _result(work: Future[Any]) -> Message | None:
    try:
        message: Message | None = work.result(_GIVE_UP_AFTER)
    except TimeoutError:
        _log.error("a request from Slack was not answered within %g s", _GIVE_UP_AFTER)
        return slack_message(_FAILED)
    return message


def _send(respond: Respond, message: Message | None) -> None:
    """Say something after the acknowledgement; the message with the button stays as it is."""
    if message is None:
        return
    try:
        sent = respond(**message, replace_original=False)
    except (OSError, ValueError) as error:
        _log.warning("a late answer could not be sent to Slack: %s", type(error).__name__)
    else:
        if sent.status_code != 200:
            _log.warning("a late answer was refused by Slack: HTTP %s", sent.status_code)


def _unescaped(text: str) -> str:
    """Slack writes `& < >` of messages as entities."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
