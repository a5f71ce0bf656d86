"""The form behind "other …" of the Silence menu: opened while Slack still allows it, and answered, once.

A form can be opened only within 3 s of the press (`trigger_id`), so what it says is read with a deadline. A form
creates one silence, however often it is submitted: Slack offers to submit it again if the answer was late.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from typing import Any

from slack_bolt import Ack

from alertbot.commands.answers import answer, press
from alertbot.commands.changes import refused
from alertbot.commands.command import Asker, Command, Line, Reply
from alertbot.commands.silence_menu import For, option
from alertbot.commands.view import View
from alertbot.slack.buttons import SILENCE
from alertbot.slack.client import SlackClient
from alertbot.slack.errors import notify_error
from alertbot.slack.modals import Submitted, errors, said, silence_form, submitted
from alertbot.slack.work import FAILED, GIVE_UP_AFTER, Work, failed
from alertbot.slack.zones import Zones

_log = logging.getLogger(__name__)

_READ_WITHIN = 1.0  # seconds; a form is opened without what it is about after that
_LATE = Reply((Line("This takes longer than usual; the answer follows here."),))
_NOT_READ = Reply((Line("This silences what the card is about."),))
_UNREADABLE = Reply((Line("This form cannot be read: open it again from the card."),), problem=True)
_NOT_OPENED = Line("The form could not be opened: choose “other …” again, or choose another time.")


class Forms:
    """Opens forms, and answers them.

    `view(command)` gives what a form is about, `asker(user, channel)` who wants to change something from there, and
    `reply(command, user, channel)` carries out what was filled in.
    """

    def __init__(
        self,
        client: SlackClient,
        work: Work,
        zones: Zones,
        clock: Callable[[], datetime],
        *,
        view: Callable[[Command], View],
        asker: Callable[[str, str], Asker],
        reply: Callable[[Command, str, str], Reply],
    ) -> None:
        self._client, self._work, self._zones, self._clock = client, work, zones, clock
        self._view, self._asker, self._reply = view, asker, reply

    def open(self, command: Command, user: str, channel: str, trigger_id: str) -> Reply | None:
        """Open the form of the Silence menu; an answer where that is refused, or fails."""
        reading = self._work.answers.submit(self._view, command)
        began = time.monotonic()
        self._zones.of(user, 0.0)  # its times are read in that zone: Slack is asked for it meanwhile
        asker = self._asker(user, channel)
        try:
            view = reading.result(max(0.0, _READ_WITHIN - (time.monotonic() - began)))
        except TimeoutError:
            about = _NOT_READ if asker.may_change else refused(asker.who_may)
        else:
            about = answer(view, command, asker, self._clock())
        if about.problem:
            return about
        try:
            self._client.views_open(trigger_id=trigger_id, view=silence_form(about, command.args[0], channel))
        except Exception as error:  # whatever Slack or the network does: the reader chooses another way
            _log.warning("%s", notify_error(error, "open a form"))
            return Reply((_NOT_OPENED,), problem=True)
        return None

    def on_submitted(self, ack: Ack, body: dict[str, Any], view: dict[str, Any]) -> None:
        """Bolt's listener: the answer takes the place of the form, or stands in it where something is wrong."""
        form = submitted(view)
        if form is None:
            ack(response_action="update", view=said(_UNREADABLE))
            return
        view_id = str(view.get("id") or "")
        work, first = self._work.once(body, lambda: self._filled_in(body, form, view_id), key=view_id)
        try:
            reply: Reply = work.result(self._work.within)
        except TimeoutError:
            ack(response_action="update", view=said(_LATE))
            if first:
                self._work.waiting.submit(self._show_late, view_id, work)
            return
        if reply.problem:
            ack(response_action="errors", errors=errors(reply))
        else:
            ack(response_action="update", view=said(reply))

    def _show_late(self, view_id: str, work: Future[Reply]) -> None:
        try:
            reply = work.result(GIVE_UP_AFTER)
        except TimeoutError:
            _log.error("a form from Slack was not answered within %g s", GIVE_UP_AFTER)
            reply = FAILED
        try:
            self._client.views_update(view_id=view_id, view=said(reply))
        except Exception as error:  # whatever Slack or the network does: a silence is announced, and in `silences`
            _log.warning("%s", notify_error(error, "answer a form"))

    def _filled_in(self, body: Mapping[str, Any], form: Submitted, view_id: str) -> Reply:
        """The answer to a form. Of one that changed nothing, the next submission is another one."""
        reply = FAILED
        try:
            command = press(SILENCE, option(For.OTHER, form.target))
            if command is None:
                return _UNREADABLE
            typed = replace(command, args=(*command.args, form.time, form.reason))
            reply = self._reply(typed, str(body["user"]["id"]), form.channel)
        except Exception as error:
            reply = failed(error, "a form from Slack could not be answered")
        finally:
            if reply.problem:
                self._work.forget(view_id)
        return reply
