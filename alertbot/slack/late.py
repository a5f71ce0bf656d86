"""Commands whose row is `late` (a chart: the recording is read, a picture drawn and uploaded): answered afterwards.

They are acknowledged at once. Their work has threads of its own, so that it delays no other answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from slack_bolt import Ack, Respond

from alertbot.commands.command import Command, Reply
from alertbot.slack.pictures import Pictures
from alertbot.slack.replies import slack_message, text_message
from alertbot.slack.work import Message, Work, send

_THREADS = 2
_MAX_LATE = 8  # that are in progress or wait for a thread


class LateAnswers:
    """Answers commands with pictures. `asked(body)` gives the command and its reply.

    Slack may not have processed a picture yet when the answer shows it: that is tried again after each of
    `picture_waits` (s), and then the answer has the chart as text.
    """

    def __init__(
        self,
        work: Work,
        pictures: Pictures,
        picture_waits: Sequence[float],
        asked: Callable[[Mapping[str, Any]], tuple[Command, Reply]],
    ) -> None:
        self._work, self._pictures, self._asked = work, pictures, asked
        self._picture_waits = tuple(picture_waits)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="alertbot-chart")
        self._free = threading.BoundedSemaphore(_MAX_LATE)
        self._closing = threading.Event()

    def on_command(self, ack: Ack, body: dict[str, Any], respond: Respond) -> None:
        """Acknowledge it, and answer it afterwards."""
        if not self._free.acquire(blocking=False):
            ack(text_message("Too many charts are being drawn: try again in a minute."))
            return
        ack()
        work, first = self._work.once(body, lambda: self._answer(body, respond), self._threads)
        if not first:
            self._free.release()
            return

        def ended(work: Future[Message | None]) -> None:
            self._free.release()
            if not work.cancelled():
                send(respond, work.result())

        work.add_done_callback(ended)

    def close(self) -> None:
        """A chart in progress becomes text."""
        self._closing.set()
        self._pictures.close()

    def shut_down(self, *, wait: bool) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=wait, cancel_futures=True)

    def _answer(self, body: Mapping[str, Any], respond: Respond) -> Message | None:
        """The answer as text; None where it was shown with its picture."""
        command, reply = self._asked(body)
        picture = self._pictures.of(reply.drawing) if reply.drawing is not None else ""
        if picture and self._shown(respond, slack_message(reply, public=command.public, picture=picture)):
            return None
        return slack_message(reply, public=command.public)

    def _shown(self, respond: Respond, message: Message) -> bool:
        """Whether Slack took a message with a picture. A response_url may be used five times: this leaves one."""
        for wait in (0.0, *self._picture_waits[:3]):
            if wait and self._closing.wait(wait):
                return False
            if send(respond, message):
                return True
        return False
