"""The work that requests from Slack begin: each once, waited for as long as its acknowledgement may, answered at last.

Threads that Bolt lends for the acknowledgement are returned at once: late answers are waited for in other threads.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from slack_bolt import Respond

from alertbot.commands.command import Line, Reply
from alertbot.errors import StoreError
from alertbot.slack.replies import slack_message

_log = logging.getLogger(__name__)

Message = dict[str, Any]

THREADS = 16
_MAX_LATE_ANSWERS = 64  # that are waited for at once; more wait for their turn
_MAX_REMEMBERED = 500  # requests
GIVE_UP_AFTER = 60.0
"""Seconds; a later answer is of no use."""
FAILED = Reply((Line("Could not answer: unexpected error in alertbot. Its log has the details."),), problem=True)
NO_DATABASE = Reply(
    (Line("Could not answer: the database cannot be used now. Try again in a minute; the log of alertbot says why."),),
    problem=True,
)


class Work:
    """Begins the work of requests, and remembers the latest of them: the same envelope may come twice, by two sockets.

    `answer_within` is in seconds: an answer that takes longer is sent late.
    """

    def __init__(self, answer_within: float) -> None:
        self._answer_within = answer_within
        self.answers = ThreadPoolExecutor(THREADS, thread_name_prefix="alertbot-answer")
        self.waiting = ThreadPoolExecutor(_MAX_LATE_ANSWERS, thread_name_prefix="alertbot-late")
        self._seen: OrderedDict[str, Future[Any]] = OrderedDict()
        self._seen_lock = threading.Lock()
        self._in_progress = 0  # answers that are not late ones; with more than THREADS none is waited for

    @property
    def within(self) -> float:
        """How many seconds to wait for an answer: none if too many are in progress, or Slack would time out."""
        return self._answer_within if self._in_progress <= THREADS else 0.0

    def once(
        self,
        body: Mapping[str, Any],
        work: Callable[[], Any],
        workers: ThreadPoolExecutor | None = None,
        key: str = "",
    ) -> tuple[Future[Any], bool]:
        """Begin the work, unless the request was seen before. Returns the work, and whether it was begun here.

        `key` tells requests apart; by default their `trigger_id` does. `workers` are other threads than those of the
        answers that are waited for.
        """
        key = key or str(body.get("trigger_id") or "")
        with self._seen_lock:
            known = self._seen.get(key) if key else None
            if known is not None:
                return known, False
            self._in_progress += workers is None
            begun = (workers or self.answers).submit(_guarded, work)
            if key:
                self._seen[key] = begun
                while len(self._seen) > _MAX_REMEMBERED:
                    self._seen.popitem(last=False)
        if workers is None:
            begun.add_done_callback(self._ended)
        return begun, True

    def forget(self, key: str) -> None:
        """The next request with this key is another one."""
        with self._seen_lock:
            self._seen.pop(key, None)

    def send_later(self, respond: Respond, work: Future[Any]) -> None:
        """Send the answer when there is one, or that there is none."""
        self.waiting.submit(lambda: send(respond, _result(work)))

    def shut_down(self, *, wait: bool) -> None:
        """Begin nothing more."""
        self.waiting.shutdown(wait=wait, cancel_futures=True)
        self.answers.shutdown(wait=wait, cancel_futures=True)

    def _ended(self, _: Future[Any]) -> None:
        with self._seen_lock:
            self._in_progress -= 1


def send(respond: Respond, message: Message | None) -> bool:
    """Answer after the acknowledgement; the message with the button stays as it is. Whether Slack took it."""
    if message is None:
        return True
    try:
        sent = respond(**message, replace_original=False)
    except (OSError, ValueError) as error:
        _log.warning("a late answer could not be sent to Slack: %s", type(error).__name__)
    else:
        if sent.status_code != 200:
            _log.warning("Slack refused a late answer: HTTP %s", sent.status_code)
        return bool(sent.status_code == 200)
    return False


def failed(error: Exception, what: str = "a request from Slack could not be answered") -> Reply:
    """The answer after this error: where every unexpected one ends. The log has its traceback.

    A database that cannot be used, as when PostgreSQL restarts, is not unexpected: the log has its reason.
    """
    if isinstance(error, StoreError):
        _log.error("%s: %s", what, error)
        return NO_DATABASE
    _log.error("%s", what, exc_info=error)
    return FAILED


def _guarded(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception as error:
        return slack_message(failed(error))


def _result(work: Future[Any]) -> Message | None:
    try:
        message: Message | None = work.result(GIVE_UP_AFTER)
    except TimeoutError:
        _log.error("a request from Slack was not answered within %g s", GIVE_UP_AFTER)
        return slack_message(FAILED)
    return message
