"""Pictures of charts in Slack: drawn, and uploaded in three steps (docs.slack.dev/messaging/working-with-files).

A file is uploaded without a channel: it belongs to the bot alone, until a message shows it by an image block with
`slack_file`. Nothing else depends on pictures: without the extra, the scope or an answer of Slack the chart is text.
That is so for the answer to `chart`, and for the chart in the thread of a card.
"""

from __future__ import annotations

import logging
import time
from zoneinfo import ZoneInfo

from slack_sdk.errors import SlackApiError

from alertbot.charts.png import Painter
from alertbot.charts.series import Series
from alertbot.charts.text import described
from alertbot.commands.chart import drawing, heading
from alertbot.commands.command import Drawing, Reply
from alertbot.errors import ChartFailed
from alertbot.notify.pens import clip
from alertbot.rules.plain import one_line
from alertbot.slack.cards import SlackMessage
from alertbot.slack.client import SlackClient
from alertbot.slack.errors import notify_error
from alertbot.slack.replies import slack_message
from alertbot.slack.text import clip_mrkdwn, escape

_log = logging.getLogger(__name__)

NO_SCOPE = "charts are shown as text, not as pictures: the Slack app lacks the scope files:write"
_SCOPE = "files:write"
MAX_TEXT = 3_000
MAX_ALT = 1_000
"""Characters of `alt_txt` (docs.slack.dev/reference/methods/files.getUploadURLExternal)."""


def thread_message(series: Series, timezone: str, picture: str = "") -> SlackMessage:
    """A chart in the thread of a card. `picture` is the id of its file; "": a text plot.

    The text for notifications and screen readers says the same in sentences.
    """
    message = slack_message(Reply((heading(series), drawing(series, timezone))), picture=picture)
    text = clip_mrkdwn(escape(one_line(described(series, ZoneInfo(timezone)))), MAX_TEXT)
    return SlackMessage(text, message["blocks"])


class Pictures:
    """Charts as files in Slack. An app without the scope files:write is not asked with for `keep` seconds."""

    def __init__(self, client: SlackClient, painter: Painter, *, keep: float = 6 * 3600.0) -> None:
        self._client = client
        self._painter = painter
        self._keep = keep
        self._refused_until = 0.0
        self._said = False  # that no picture can be drawn here

    @property
    def problem(self) -> str:
        """Why Slack takes no pictures; "" where it does, has not said yet, or none can be drawn here anyway."""
        if self._painter.problem:
            return ""
        return NO_SCOPE if self._refused or self._client.contact.lacks(_SCOPE) else ""

    @property
    def _refused(self) -> bool:
        return time.monotonic() < self._refused_until

    def of(self, drawing: Drawing) -> str:
        """The id of a file with the picture of this chart; "" where there can be none: the log says why."""
        if self._refused:
            return ""
        if problem := self._painter.problem:
            if not self._said:
                _log.info("charts are shown as text: %s", problem)
            self._said = True
            return ""
        zone = ZoneInfo(drawing.timezone)
        try:
            return self.upload(self._painter.draw(drawing.series, zone), described(drawing.series, zone))
        except ChartFailed as error:
            if not self._painter.closed:  # when alertbot stops, the chart of a card is left for the next process
                _log.warning("a chart is shown as text: %s", error)
            return ""

    def upload(self, png: bytes, alt: str) -> str:
        """Upload a picture; the id of its file. Raises ChartFailed with the reason.

        `alt` is what screen readers say instead.
        """
        try:
            place = self._client.files_getUploadURLExternal(
                filename="chart.png", length=len(png), alt_txt=clip(alt, MAX_ALT)
            )
            file_id, url = str(place["file_id"]), str(place["upload_url"])
            self._client.upload(url, png)
            self._client.files_completeUploadExternal(files=[{"id": file_id, "title": "Chart"}])
        except SlackApiError as error:
            if error.response.get("error") == "missing_scope":
                self._refused_until = time.monotonic() + self._keep
                _log.warning("%s", NO_SCOPE)
                raise ChartFailed(NO_SCOPE) from None
            raise ChartFailed(str(notify_error(error, "upload a picture"))) from error
        except Exception as error:  # whatever the network does, or an answer of another shape: the chart is text then
            raise ChartFailed(str(notify_error(error, "upload a picture"))) from error
        return file_id

    def close(self) -> None:
        """Draw no more."""
        self._painter.close()
