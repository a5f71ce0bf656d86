"""The Home tab: drawn as a view, and published for one user at a time.

It is published when its reader opens it, and after a change that the reader made. Publishing causes no event, so there
is no loop. A user has at most one call in progress; all requests during that call become one more call. It has threads
of its own, so no answer waits for it, and a failure for one user does not affect others.

Limits of a view (docs.slack.dev/surfaces/app-home): 100 blocks, 250 kB. views.publish needs no scope, but the Home tab
must be enabled in the app; an app that was created without it sends no event, and keeps working.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from zoneinfo import ZoneInfo

from slack_sdk import WebClient

from alertbot.commands.command import Line, Reply
from alertbot.commands.home import Entry, Home
from alertbot.errors import DeliveryFailure, NotifyError, StoreError
from alertbot.slack.buttons import buttons
from alertbot.slack.errors import notify_error
from alertbot.slack.replies import blocks_of
from alertbot.slack.text import MrkdwnPen

_log = logging.getLogger(__name__)

Block = dict[str, Any]

NOT_ENABLED = (
    "the Home tab cannot be shown: enable it in the Slack app > App Home > Show Tabs, or apply `alertbot manifest`"
)
_REFUSED = "the Home tab cannot be shown: {}"
_MAX_SAID, _MAX_SECTION, _MAX_HELP = 10, 10, 4  # blocks; with 20 alerts, two blocks each, the view has fewer than 100
_THREADS = 2
_MAX_WAITING = 1_000  # users
_MAX_OPENED = 500  # users
_OPEN_FOR = 900.0  # seconds in which a tab that was opened may still be on the screen
_MAX_WAIT = 60.0  # seconds of a Retry-After
_FAILED = Line("This page could not be drawn: unexpected error in alertbot. Its log has the details.")
_NO_DATABASE = Line("This page could not be drawn: the database cannot be used now. Open it again in a minute.")


# What is shown.


def home_view(page: Home, said: Reply | None = None) -> dict[str, Any]:
    """The view of a Home tab. `said` stands on top: the answer to the button that was pressed in it."""
    drawn_at = f"{page.at:%Y%m%dT%H%M%S%f}"
    blocks: list[Block] = _said(said)
    blocks += blocks_of([page.headline])
    for entry in page.entries:
        blocks += _entry(entry, drawn_at)
    blocks += blocks_of(page.more)
    for section in page.sections:
        blocks += [{"type": "divider"}, {"type": "header", "text": _plain(section.heading)}]
        blocks += blocks_of(section.parts, most=_MAX_HELP if section is page.sections[-1] else _MAX_SECTION)
    return _view([*blocks, _as_of(page)])


def plain_view(page: Home, said: Reply | None = None) -> dict[str, Any]:
    """A view without the alerts and their buttons, for when Slack refuses the other one."""
    instead = Line("Slack refused the full page. The slash command gives the same answers, and more.")
    return _view([*_said(said), *blocks_of([page.headline, instead]), _as_of(page)])


def _failed_view(why: Line, said: Reply | None) -> dict[str, Any]:
    return _view([*_said(said), *blocks_of([why])])


def _view(blocks: list[Block]) -> dict[str, Any]:
    return {"type": "home", "blocks": blocks}


def _said(said: Reply | None) -> list[Block]:
    return [*blocks_of(said.parts, most=_MAX_SAID), {"type": "divider"}] if said is not None and said.parts else []


def _entry(entry: Entry, drawn_at: str) -> list[Block]:
    # Slack keeps what was chosen in a menu while the id of its block stays the same: each drawing has ids of its own.
    elements = buttons([entry.alert_id], owned=entry.owned, closes=entry.closes, silenceable=entry.silenceable)
    return [
        *blocks_of([entry.line]),
        {"type": "actions", "block_id": f"alert-{entry.alert_id}-{drawn_at}", "elements": elements},
    ]


def _as_of(page: Home) -> Block:
    moment = MrkdwnPen().when(page.at, zone=ZoneInfo(page.timezone))
    text = f"As of {moment}. To update this page, open it again."
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text, "verbatim": True}]}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


# When it is published.


class HomeTab:
    """Publishes Home tabs. `draw(user)` makes the page of a reader; what it raises is logged, and the page says so."""

    def __init__(self, client: WebClient, draw: Callable[[str], Home]) -> None:
        """`client` is used as it is: its timeout bounds how long one of the few threads is kept."""
        self._client, self._draw = client, draw
        self._workers = ThreadPoolExecutor(_THREADS, thread_name_prefix="alertbot-home")
        self._wanted: dict[str, Reply | None] = {}  # by user: what the next page says on top
        self._busy: set[str] = set()  # users whose page is being published, or is to be
        self._opened: OrderedDict[str, float] = OrderedDict()  # by user, on the monotonic clock
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._problem = ""
        self._logged = ""

    @property
    def problem(self) -> str:
        """Why Slack accepts no Home tab at all; "" if it does, or has not been asked yet."""
        return self._problem

    def opened(self, user: str) -> None:
        """The user opened the tab: publish it."""
        self._remember(user)
        self._publish(user, None)

    def answered(self, user: str, said: Reply) -> None:
        """The user pressed a button in the tab: publish it again, with the answer on top, since it has no channel."""
        self._remember(user)
        self._publish(user, said)

    def changed_by(self, user: str) -> None:
        """The user changed something elsewhere: publish the tab if it was opened a short time ago."""
        with self._lock:
            recent = time.monotonic() - self._opened.get(user, -_OPEN_FOR) < _OPEN_FOR
        if recent:
            self._publish(user, None)

    def close(self, *, wait: bool = False) -> None:
        """Publish no more; calls in progress are abandoned, or waited for."""
        with self._lock:
            self._closing.set()
        self._workers.shutdown(wait=wait, cancel_futures=True)

    def _remember(self, user: str) -> None:
        with self._lock:
            self._opened[user] = time.monotonic()
            self._opened.move_to_end(user)
            while len(self._opened) > _MAX_OPENED:
                self._opened.popitem(last=False)

    def _publish(self, user: str, said: Reply | None) -> None:
        with self._lock:
            if self._closing.is_set():
                return
            if user not in self._busy and len(self._busy) >= _MAX_WAITING:
                self._log_once("more Home tabs are opened than can be published: some are not updated")
                return
            self._wanted[user] = said or self._wanted.get(user)
            if user not in self._busy:
                self._busy.add(user)
                self._workers.submit(self._work, user)

    def _work(self, user: str) -> None:
        with self._lock:
            said = self._wanted.pop(user, None)
        try:
            self._publish_now(user, said)
        except Exception:  # a bug in alertbot: it must not keep this user's page from being published again
            _log.exception("the Home tab could not be published")
        with self._lock:
            if user in self._wanted and not self._closing.is_set():
                self._workers.submit(self._work, user)
            else:
                self._busy.discard(user)

    def _publish_now(self, user: str, said: Reply | None) -> None:
        draw = home_view
        for last in (False, True):
            page = self._drawn(user)
            try:
                self._client.views_publish(
                    user_id=user, view=draw(page, said) if isinstance(page, Home) else _failed_view(page, said)
                )
            except Exception as failed:  # slack_sdk lets exceptions of urllib, http.client and json through
                error = notify_error(failed, "publish a Home tab")
            else:
                self._problem = self._logged = ""
                return
            if not last and error.failure is DeliveryFailure.PAYLOAD:
                _log.warning("%s; it is published without its alerts", error)
                draw = plain_view
            elif last or error.failure is not DeliveryFailure.WAIT or self._closing.wait(_pause(error)):
                self._report(error)
                return

    def _drawn(self, user: str) -> Home | Line:
        """The page, or why there is none."""
        try:
            return self._draw(user)
        except StoreError as error:
            _log.error("a Home tab could not be drawn: %s", error)
            return _NO_DATABASE
        except Exception:  # where every unexpected error ends: the page says that there was one
            _log.exception("a Home tab could not be drawn")
            return _FAILED

    def _report(self, error: NotifyError) -> None:
        if error.code == "not_enabled":
            self._problem = NOT_ENABLED
        elif error.failure is DeliveryFailure.CREDENTIALS:  # such as a missing scope
            self._problem = _REFUSED.format(error)
        self._log_once(self._problem or str(error))

    def _log_once(self, text: str) -> None:
        """Log it, unless it was the last problem and nothing has been published since."""
        if text != self._logged and not self._closing.is_set():
            self._logged = text
            _log.warning("%s", text)


def _pause(error: NotifyError) -> float:
    return min(error.retry_after or 1.0, _MAX_WAIT)
