"""What comes from Slack: the slash command, buttons and the Home tab, over both transports. Forms: forms.py.

Slack waits 3 s for the acknowledgement of each (docs.slack.dev/interactivity/handling-user-interaction). An answer
that takes longer is sent afterwards, through the `response_url` of the request; that of a command whose row is `late`
always is (late.py). Each request is answered once, however often it comes (work.py).

A button in the Home tab has no `response_url`: the tab is published again, with the answer on top.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

from slack_bolt import Ack, App, BoltRequest, BoltResponse, Respond
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient

from alertbot.alerts.alert import Alert, Outcome
from alertbot.alerts.silence import Silence
from alertbot.charts.png import Painter
from alertbot.commands.answers import BUTTONS, answer, changed, needs_of, press, subcommand
from alertbot.commands.command import Asker, Command, Reply, Wish
from alertbot.commands.home import READS, Home, home
from alertbot.commands.parse import parse
from alertbot.commands.silence_menu import For
from alertbot.commands.view import View
from alertbot.errors import AlertbotError
from alertbot.slack.buttons import SILENCE
from alertbot.slack.client import Contact, SlackClient
from alertbot.slack.forms import Forms
from alertbot.slack.home import HomeTab
from alertbot.slack.late import LateAnswers
from alertbot.slack.manifest import HOME_EVENT
from alertbot.slack.modals import SILENCE_FORM
from alertbot.slack.permissions import MayChange, Permissions
from alertbot.slack.pictures import Pictures
from alertbot.slack.replies import slack_message, text_message
from alertbot.slack.work import THREADS, Message, Work, failed
from alertbot.slack.zones import Zones

_log = logging.getLogger(__name__)

Change = Callable[[Wish, Asker, datetime], tuple[Outcome, Alert | Silence | None]]

_ZONE_WITHIN = 5.0  # seconds that an answer may wait for the zone of times that were typed
ENDS_WITHIN = 0.5
"""Seconds that an answer in progress gets when the bot stops."""


def _not_noted(user: str, name: str) -> None:
    """Ignore the name of a user."""


class SlackApp:
    """Bolt's App with the listeners for the slash command and the buttons of COMMANDS.

    `view(command)` gives what the answer reads and must be quick; `change(wish, asker, now)` carries out a wish and
    gives the alert as it is then; `wake()` says that cards are due; `redraw(command)` makes those due that a menu is
    about. Whatever these raise is logged and answered with one sentence. Slack is called only for the members of user
    groups, for the time zones of those who ask, for forms, for late answers and for the Home tab.
    """

    def __init__(
        self,
        *,
        client: WebClient,
        command: str,
        view: Callable[[Command], View],
        change: Change,
        wake: Callable[[], None],
        redraw: Callable[[Command], None],
        clock: Callable[[], datetime],
        may_change: MayChange | None = None,
        answer_within: float = 2.0,
        painter: Painter | None = None,
        picture_waits: Sequence[float] = (1.0, 3.0),
        called: Callable[[str, str], None] = _not_noted,
    ) -> None:
        """`command` has its slash. `answer_within` is in seconds: an answer that takes longer is sent late.

        `called(user, name)` notes how Slack shows a user who asked; it is called when their time zone is read.

        Slack may not have processed a picture yet when the answer shows it: that is tried again after each of
        `picture_waits` (s), and then the answer has the chart as text.
        """
        self._command = command
        self._view, self._change, self._wake, self._clock = view, change, wake, clock
        self._redraw, self._called = redraw, called
        self._work = Work(answer_within)
        contact = Contact()
        self._asking = _short_client(client, contact)
        self._permissions = Permissions(may_change or MayChange(), self._members)
        self._zones = Zones(self._zone_of)
        self._pictures = Pictures(_short_client(client, contact, timeout=15), painter or Painter())
        self._late = LateAnswers(self._work, self._pictures, picture_waits, self._asked)
        self._home = HomeTab(_short_client(client, contact), self._home_of)
        self._forms = Forms(
            self._asking, self._work, self._zones, clock, view=view, asker=self._asker, reply=self._reply
        )
        self._listeners = ThreadPoolExecutor(THREADS, thread_name_prefix="alertbot-slack")
        self.bolt = self._bolt(client)

    def dispatch(self, request: BoltRequest) -> BoltResponse:
        """Answer a request whose origin is verified (signed.py checks signatures; Socket Mode needs none)."""
        return self.bolt.dispatch(request)

    def close(self, within: float = 0.0) -> bool:
        """Accept no more requests; a chart in progress becomes text.

        False where an answer is still in progress after ENDS_WITHIN, or `within`.
        """
        self._late.close()
        self._shut_down(wait=False)
        ends = threading.Thread(target=self._shut_down, kwargs={"wait": True}, name="alertbot-answers-end", daemon=True)
        ends.start()
        ends.join(min(within, ENDS_WITHIN))
        return not ends.is_alive()

    def _shut_down(self, *, wait: bool) -> None:
        self._permissions.close(wait=wait)
        self._zones.close(wait=wait)
        self._home.close(wait=wait)
        self._listeners.shutdown(wait=wait, cancel_futures=True)
        self._work.shut_down(wait=wait)
        self._late.shut_down(wait=wait)

    def _bolt(self, client: WebClient) -> App:
        # Bolt repeats whole request bodies in its warnings: only its errors are logged.
        log = logging.getLogger("alertbot.web.bolt")
        log.setLevel(logging.ERROR)
        # Without a token, and with an `authorize` that makes no call, Bolt makes none either: its auth.test would
        # delay every answer.
        app = App(
            name=log.name,  # Bolt sets the level of the logger of this name when the first request comes
            logger=log,
            client=SlackClient(base_url=client.base_url, ssl=client.ssl, proxy=client.proxy),
            authorize=_authorize,
            token_verification_enabled=False,
            request_verification_enabled=False,  # signed.py has done it, on the raw body
            ignoring_self_events_enabled=False,
            signing_secret="",
            listener_executor=self._listeners,
        )
        app.command(self._command)(self._on_command)
        app.command(re.compile(".*"))(self._on_other_command)
        for action_id in BUTTONS:
            app.action(action_id)(self._on_button)
        app.action(re.compile(".*"))(_on_other_action)
        app.event(HOME_EVENT)(self._on_home_opened)
        app.view(SILENCE_FORM)(self._forms.on_submitted)
        app.event(re.compile(".*"))(_on_other_event)
        return app

    def _on_command(self, ack: Ack, body: dict[str, Any], respond: Respond) -> None:
        row = subcommand(_command_of(body).name)
        if row is not None and row.late:
            self._late.on_command(ack, body, respond)
            return
        work, first = self._work.once(body, lambda: self._answered(body))
        try:
            ack(work.result(self._work.within) or "")
        except TimeoutError:
            ack(text_message("This takes longer than usual; the answer follows."))
            if first:
                self._work.send_later(respond, work)

    def _on_other_command(self, ack: Ack, body: dict[str, Any]) -> None:
        other = str(body.get("command", ""))
        ack(text_message(f"alertbot is set to answer {self._command}, not {other}: see slack.command."))

    def _on_button(self, ack: Ack, body: dict[str, Any], action: dict[str, Any], respond: Respond) -> None:
        ack()
        if _is_home(body):
            self._work.once(body, lambda: self._pressed_at_home(body, action))
            return
        work, first = self._work.once(body, lambda: self._pressed(body, action))
        if first:
            self._work.send_later(respond, work)

    def _on_home_opened(self, event: Mapping[str, Any]) -> None:
        """Bolt has acknowledged the event already. The tab with messages is opened with the same event."""
        user = str(event.get("user") or "")
        if event.get("tab") == "home" and user:
            self._home.opened(user)

    def _answered(self, body: Mapping[str, Any]) -> Message:
        command, reply = self._asked(body)
        return slack_message(reply, public=command.public)

    def _asked(self, body: Mapping[str, Any]) -> tuple[Command, Reply]:
        command = _command_of(body)
        return command, self._reply(command, str(body["user_id"]), str(body.get("channel_id") or ""))

    def _pressed(self, body: Mapping[str, Any], action: Mapping[str, Any]) -> Message | None:
        """The answer to a button, for the one who pressed it; None where the card itself shows what was changed."""
        reply, shown = self._press(body, action)
        return None if reply is None or (shown and not reply.problem) else slack_message(reply)

    def _pressed_at_home(self, body: Mapping[str, Any], action: Mapping[str, Any]) -> None:
        """The answer, and the refusal, stand on top of the Home tab of the one who pressed the button."""
        reply: Reply | None
        try:
            reply, _ = self._press(body, action, at_home=True)
        except Exception as error:
            reply = failed(error)
        if reply is not None:
            self._home.answered(str(body["user"]["id"]), reply)
        else:  # a form was opened
            self._home.opened(str(body["user"]["id"]))

    def _press(
        self, body: Mapping[str, Any], action: Mapping[str, Any], *, at_home: bool = False
    ) -> tuple[Reply | None, bool]:
        """The answer to a button, None where a form was opened; and whether the card itself shows what was changed."""
        selected = action.get("selected_option") or {}
        value = str(selected.get("value") or "") if "selected_option" in action else str(action.get("value") or "")
        channel = body.get("channel") or body.get("container") or {}
        user, channel_id = str(body["user"]["id"]), str(channel.get("id") or channel.get("channel_id") or "")
        action_id = str(action["action_id"])
        button = BUTTONS[action_id].button
        command = press(action_id, value)
        assert button is not None, "BUTTONS has the rows with one"
        if command is None:
            return button.wrong(self._command), False
        reply: Reply | None
        if command.args[1:] == (For.OTHER,):
            reply, shown = self._forms.open(command, user, channel_id, str(body.get("trigger_id") or "")), False
        else:
            reply, shown = self._reply(command, user, channel_id, at_home=at_home), button.shown
        if action_id == SILENCE and not at_home:
            self._draw_menu_again(command)
        return reply, shown

    def _draw_menu_again(self, command: Command) -> None:
        """Slack keeps what was chosen, and the same option chosen again is no event: the menu has to be drawn again.

        A silence changes the card anyway. A refusal does not, nor does a form that its reader cancels.
        """
        try:
            self._redraw(command)
        except AlertbotError as error:
            _log.warning("a card was not drawn again: %s", error)

    def _reply(self, command: Command, user: str, channel: str, *, at_home: bool = False) -> Reply:
        row = subcommand(command.name)
        asker = self._asker(user, channel) if row is not None and row.changes else Asker(user)
        if row is not None and row.reads_times:
            self._zones.of(user, _ZONE_WITHIN)  # the view is read after that wait: another user may decide meanwhile
        view = self._in_the_zone_of(user, command, self._view(command))
        reply = answer(view, command, asker, self._clock())
        if reply.wish is None:
            return reply
        decided = self._changed(reply.wish, asker, view)
        if not at_home:  # where the tab is published with the answer
            self._home.changed_by(user)
        return decided

    def _home_of(self, user: str) -> Home:
        return home(self._in_the_zone_of(user, READS, self._view(READS)), Asker(user), self._clock())

    def _asker(self, user: str, channel: str) -> Asker:
        """A user who wants to change something from this channel ("": from none)."""
        if self._permissions.allows(user, channel):
            return Asker(user)
        return Asker(user, may_change=False, who_may=self._permissions.who_may())

    def _in_the_zone_of(self, user: str, command: Command, view: View) -> View:
        """The view with the times of the reader; a public answer has many readers, and keeps the configured zone.

        But times that the reader typed are always of their own zone, which is worth a longer wait.
        """
        row = subcommand(command.name)
        typed = row is not None and row.reads_times
        if (command.public and not typed) or not needs_of(command):
            return view
        zone = (self._zones.of(user, _ZONE_WITHIN) if typed else self._zones.of(user)) or view.timezone
        own = tuple(problem for problem in self._problems() if problem)
        return replace(view, timezone=zone, problems=(*view.problems, *own))

    def _problems(self) -> tuple[str, ...]:
        return self._zones.problem, self._pictures.problem, self._permissions.problem, self._home.problem

    def _changed(self, wish: Wish, asker: Asker, view: View) -> Reply:
        now = self._clock()
        result, subject = self._change(wish, asker, now)
        if result is Outcome.DONE:
            self._wake()
        return changed(wish, result, subject, asker, now, view.timezone, view.names)

    def _zone_of(self, user: str) -> str:
        found = self._asking.users_info(user=user)["user"]
        profile = found.get("profile") or {}
        name = profile.get("display_name") or profile.get("real_name") or found.get("real_name") or found.get("name")
        if name:
            self._called(user, str(name))
        return str(found.get("tz") or "")

    def _members(self, usergroup: str) -> list[str]:
        return [str(user) for user in self._asking.usergroups_users_list(usergroup=usergroup)["users"]]


def _command_of(body: Mapping[str, Any]) -> Command:
    return parse(_unescaped(str(body.get("text") or "")))


def _short_client(client: WebClient, contact: Contact, timeout: int = 5) -> SlackClient:
    """The same workspace with a short timeout and without retries: an answer waits for it."""
    quiet = logging.getLogger("alertbot.slack.slack_sdk")  # it logs whole answers, also those of a proxy
    quiet.setLevel(logging.CRITICAL)
    return SlackClient(
        token=client.token,
        base_url=client.base_url,
        timeout=timeout,
        ssl=client.ssl,
        proxy=client.proxy,
        retry_handlers=[],
        logger=quiet,
        contact=contact,
    )


def _authorize(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
    return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id)


def _on_other_action(ack: Ack) -> None:
    """Such as a link button: Slack reports those too, and shows a warning unless they are acknowledged."""
    ack()


def _on_other_event() -> None:
    """For apps with more subscriptions. Bolt acknowledges the event: Slack repeats, then stops, what is not."""


def _is_home(body: Mapping[str, Any]) -> bool:
    """Whether a button was pressed in the Home tab, which has no channel to answer in."""
    return bool((body.get("view") or {}).get("type") == "home")


def _unescaped(text: str) -> str:
    """Slack writes `& < >` of messages as entities."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
