"""Slack over slack_sdk's WebClient: posts once, edits in place, and finds what it sent by the notice id."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from alertbot.alerts.cards import Posted
from alertbot.alerts.notice import HEADING, PERSON
from alertbot.clock import steady
from alertbot.errors import DeliveryFailure, NotifyError
from alertbot.notify.notifier import GIVE_UP_AFTER, START_WITHIN, CardContent, LineContent, TemplateFault, no_check
from alertbot.notify.render import Templates
from alertbot.rulefiles.faults import Fault
from alertbot.rules.slack_ids import is_channel_id
from alertbot.slack.cards import (
    SlackMessage,
    card_message,
    line_message,
    plain_card_message,
    plain_line_message,
    report_message,
    text_about,
    text_message,
)
from alertbot.slack.client import Contact, SlackClient
from alertbot.slack.errors import notify_error, of_channel
from alertbot.slack.text import FallbackPen, MrkdwnPen

SLACK_API = "https://slack.com/api/"
EVENT_TYPE = "alertbot_notice"  # of the metadata, which every app and member of the workspace can read: ids only
POST_TIMEOUT = int(GIVE_UP_AFTER - START_WITHIN)  # seconds
READ_TIMEOUT = 10
UPLOAD_TIMEOUT = 15
READ_WITHIN = 30.0
"""Seconds for all pages of one search."""
_CLOCK_SKEW = timedelta(
    seconds=60
)  # between this host and Slack beyond what its `Date` says, when looking for a message
_PAGE, _MAX_PAGES = 200, 20  # of messages
_LIST_PAGE, _MAX_LIST_PAGES = 1000, 20  # of channels

DUPLICATE_CARD = "Duplicate: this alert is shown by another message, which is kept up to date."
DUPLICATE = "Duplicate: another message says the same."

_NOT_READABLE = ("missing_scope", "no_permission", "not_allowed_token_type")

T = TypeVar("T")


@dataclass(frozen=True)
class Identity:
    """The workspace and the bot user that a token belongs to."""

    team: str
    user: str
    user_id: str
    bot_id: str


class SlackNotifier:
    """The Notifier for Slack. Safe to use from several threads.

    `template_folders` are searched for templates before the built-in ones. `api_url` is the address of the Web API.
    `proxy` is an HTTP proxy; by default slack_sdk uses HTTPS_PROXY or HTTP_PROXY, unless NO_PROXY names the host.
    Requests are never retried silently: slack_sdk's retry handlers are off. Timeouts are in seconds, for a whole call.

    `contact` is what is known of Slack from its answers: whether it can be reached, and its clock.
    """

    def __init__(
        self,
        bot_token: str,
        *,
        template_folders: Sequence[Path] = (),
        api_url: str = SLACK_API,
        proxy: str | None = None,
        post_timeout: int = POST_TIMEOUT,
        read_timeout: int = READ_TIMEOUT,
        contact: Contact | None = None,
    ) -> None:
        self.contact = contact or Contact()
        # slack_sdk logs every failure. Here each one is raised, and logged once where it is handled.
        quiet = logging.getLogger("alertbot.slack.slack_sdk")
        quiet.setLevel(logging.CRITICAL)
        # No retry handlers: the default one repeats a post after a dropped connection, and the others sleep in this
        # thread while every other channel waits. The store decides when to retry.
        common: dict[str, Any] = {
            "token": bot_token,
            "base_url": api_url,
            "proxy": proxy,
            "logger": quiet,
            "retry_handlers": [],
            "contact": self.contact,
        }
        self._writes = SlackClient(**common, timeout=post_timeout)
        self._reads = SlackClient(**common, timeout=read_timeout)
        self._api_url = api_url
        self._templates = Templates(template_folders)
        self._lock = threading.Lock()
        self._ids: dict[str, str] = {}  # of channels as configured, from Slack's answers
        self._identity: Identity | None = None
        self._faults: dict[str, TemplateFault] = {}
        self._refusals: dict[str, str] = {}  # by what is sent: why the message as drawn was refused, while it is due

    def __repr__(self) -> str:
        return f"SlackNotifier(api_url={self._api_url!r})"

    # The Notifier protocol.

    def post_card(
        self, content: CardContent, *, channel: str, notice_id: str, before_send: Callable[[], None] = no_check
    ) -> Posted:
        drawn = self._templates.card(content, MrkdwnPen(), FallbackPen())
        self._remember(drawn.fault)

        def post(message: SlackMessage) -> Posted:
            return self._post(message, before_send, channel=channel, notice_id=notice_id)

        plain, template = partial(plain_card_message, drawn), content.alert.about.template
        return self._plainer(post, card_message(drawn), plain, template, notice_id)

    def edit_card(self, content: CardContent, posted: Posted, *, before_send: Callable[[], None] = no_check) -> None:
        drawn = self._templates.card(content, MrkdwnPen(), FallbackPen())
        self._remember(drawn.fault)

        def edit(message: SlackMessage) -> None:
            began = steady()
            before_send()
            with self._sending(f"edit a card in {self._called(posted.channel_id)}"), self._writes.call_from(began):
                self._writes.chat_update(
                    channel=posted.channel_id,
                    ts=posted.ts,
                    text=message.text,
                    blocks=list(message.blocks),
                    attachments=[dict(each) for each in message.attachments],
                )

        plain, template = partial(plain_card_message, drawn), content.alert.about.template
        self._plainer(edit, card_message(drawn), plain, template, f"{posted.channel_id} {posted.ts}")

    def post_line(
        self,
        content: LineContent,
        posted: Posted,
        *,
        notice_id: str,
        broadcast: bool,
        before_send: Callable[[], None] = no_check,
    ) -> Posted:
        drawn = self._templates.line(content, MrkdwnPen(), FallbackPen())
        self._remember(drawn.fault)

        def post(message: SlackMessage) -> Posted:
            more: dict[str, Any] = {"thread_ts": posted.ts}
            if broadcast:
                more["reply_broadcast"] = True
            return self._post(message, before_send, channel=posted.channel_id, notice_id=notice_id, **more)

        plain, template = partial(plain_line_message, drawn), content.alert.about.template
        return self._plainer(post, line_message(drawn), plain, template, notice_id)

    def post_text(
        self,
        text: str,
        *,
        channel: str,
        notice_id: str,
        by: str = "",
        thread: Posted | None = None,
        before_send: Callable[[], None] = no_check,
    ) -> Posted:
        more: dict[str, Any] = {"thread_ts": thread.ts} if thread is not None else {}
        where = thread.channel_id if thread is not None else channel
        if HEADING in text:
            message = report_message(text)
        elif PERSON in text:
            message = text_about(text, by)
        else:
            # mrkdwn off: the text may quote templates, conditions and names, and nothing in them is formatting.
            message, more["mrkdwn"] = text_message(text), False
        return self._post(message, before_send, channel=where, notice_id=notice_id, **more)

    def find(self, *, channel: str, notice_id: str, since: datetime, thread: Posted | None) -> Posted | None:
        """As the protocol. Reads at most 20 pages of 200 messages; a busier channel counts as one that is closed."""
        channel_id = thread.channel_id if thread else self._channel_id(channel)
        if channel_id is None:
            raise NotifyError(
                f"Could not read {channel}: this bot sees no such channel", failure=DeliveryFailure.CHANNEL
            )
        self._whoami()
        # The clocks may have been apart when it was sent, or only be so now: the earlier of both times.
        since = min(since, since + self.contact.offset) - _CLOCK_SKEW
        oldest = f"{since.timestamp():.6f}"
        for message in self._messages(channel_id, oldest, thread):
            if self.is_own(message) and notice_of(message) == notice_id:
                return Posted(channel_id, str(message["ts"]))
        return None

    def close_duplicate(self, duplicate: Posted, *, card: bool) -> None:
        message = text_message(DUPLICATE_CARD if card else DUPLICATE)
        with self._sending(f"edit a message in {self._called(duplicate.channel_id)}"):
            self._writes.chat_update(
                channel=duplicate.channel_id, ts=duplicate.ts, text=message.text, blocks=[], attachments=[], metadata={}
            )

    def use_templates(self, folders: Sequence[Path], files: Mapping[str, bytes]) -> None:
        self._templates = Templates(folders, files)

    def take_faults(self) -> Sequence[TemplateFault]:
        with self._lock:
            faults, self._faults = list(self._faults.values()), {}
        return faults

    # Beyond the protocol.

    def check(self) -> Identity:
        """The owner of the token (auth.test). Raises NotifyError, with failure CREDENTIALS when Slack refuses it."""
        with _mapped("check the bot token"):
            answer = self._reads.auth_test()
            identity = Identity(
                team=str(answer.get("team") or ""),
                user=str(answer.get("user") or ""),
                user_id=str(answer.get("user_id") or ""),
                bot_id=str(answer.get("bot_id") or ""),
            )
        with self._lock:
            self._identity = identity
        return identity

    def post_picture(self, message: SlackMessage, posted: Posted, *, notice_id: str) -> Posted:
        """Add a chart to a card's thread once. Never retries by itself; a refusal as drawn is raised like any other."""
        return self._post(message, no_check, channel=posted.channel_id, notice_id=notice_id, thread_ts=posted.ts)

    def uploads(self) -> SlackClient:
        """A client for the same workspace that sends files: its calls may take longer, and nothing depends on them."""
        writes = self._writes
        return SlackClient(
            token=writes.token,
            base_url=writes.base_url,
            proxy=writes.proxy,
            logger=writes.logger,
            retry_handlers=[],
            contact=Contact(observe=self.contact.observe),
            timeout=UPLOAD_TIMEOUT,
        )

    def is_own(self, message: Mapping[str, Any]) -> bool:
        """Whether this bot posted a message. Raises NotifyError if Slack does not say who the bot is."""
        me = self._whoami()
        return bool(message.get("bot_id") == me.bot_id if message.get("bot_id") else message.get("user") == me.user_id)

    def headline(self, content: CardContent) -> str:
        """The headline of a card as it would be drawn now."""
        drawn = card_message(self._templates.card(content, MrkdwnPen(), FallbackPen()))
        return str(drawn.blocks[0]["text"]["text"])

    def read_page(
        self, channel_id: str, *, thread_ts: str = "", doing: str = "read a channel", **args: Any
    ) -> tuple[Sequence[Mapping[str, Any]], str]:
        """One page of a channel, the newest message first, or of a thread, its parent first; and the next cursor.

        Raises NotifyError as `find` does; GONE where there is no such thread.
        """
        with self._reading(doing):
            if thread_ts:
                page = self._reads.conversations_replies(
                    channel=channel_id, ts=thread_ts, include_all_metadata=True, **args
                )
            else:
                page = self._reads.conversations_history(channel=channel_id, include_all_metadata=True, **args)
            messages = [message for message in page.get("messages") or [] if isinstance(message, dict)]
            return messages, _next_cursor(page)

    # Internals.

    @contextmanager
    def _reading(self, doing: str) -> Iterator[None]:
        """As `_sending`; a missing scope and the like are a problem of this channel, not of the credentials."""
        try:
            with self._sending(doing):
                yield
        except NotifyError as error:
            if error.code in _NOT_READABLE:
                # The token may still post: only the history of the channel is closed to it.
                raise NotifyError(str(error), failure=DeliveryFailure.CHANNEL, code=error.code) from None
            raise

    @contextmanager
    def _sending(self, doing: str) -> Iterator[None]:
        """As `_mapped`; refused credentials are believed only when auth.test refuses them too.

        Slack uses the same codes (no_permission, access_denied, …) for one channel and for the token.
        """
        try:
            with _mapped(doing):
                yield
        except NotifyError as error:
            if error.failure is not DeliveryFailure.CREDENTIALS:
                raise
            try:
                self.check()
            except NotifyError as answer:
                if answer.failure is DeliveryFailure.CREDENTIALS:
                    raise error from None
                raise NotifyError(str(error), failure=DeliveryFailure.RETRY, code=error.code) from None
            raise of_channel(error) from None

    def _whoami(self) -> Identity:
        with self._lock:
            known = self._identity
        return known or self.check()

    def _remember(self, fault: TemplateFault | None) -> None:
        if fault is not None:
            with self._lock:
                self._faults.setdefault(str(fault), fault)

    def _plainer(
        self,
        send: Callable[[SlackMessage], T],
        message: SlackMessage,
        plain: Callable[[], SlackMessage],
        template: str,
        key: str,
    ) -> T:
        """Send; when Slack refuses the message as drawn, send it as text only. A refused message was not posted.

        Where the refusal took so long that the claim is too old for a second request, the next attempt starts with the
        text. `key`: what is sent, the same in each attempt.
        """
        with self._lock:
            refusal = self._refusals.pop(key, "")
        if not refusal:
            try:
                return send(message)
            except NotifyError as error:
                if error.failure not in (DeliveryFailure.PAYLOAD, DeliveryFailure.REFUSED):
                    raise
                refusal = str(error)
        try:
            sent = send(plain())
        except NotifyError as error:
            if error.failure is DeliveryFailure.LATE:
                with self._lock:
                    self._refusals[key] = refusal
            raise
        fault = Fault(f"{template}.j2", 0, 0, f"sent as plain text. {refusal}")
        self._remember(TemplateFault(template, fault))
        return sent

    def _post(
        self, message: SlackMessage, before_send: Callable[[], None], *, channel: str, notice_id: str, **more: Any
    ) -> Posted:
        with self._lock:
            target = self._ids.get(channel, channel)
        try:
            return self._send(message, before_send, target, channel, notice_id, more)
        except NotifyError as error:
            if error.code != "channel_not_found":
                raise
            # Nothing was posted. Slack may want the id instead of the name, or the remembered id may be that of a
            # deleted channel whose name another channel has now.
            with self._lock:
                self._ids.pop(channel, None)
            channel_id = self._channel_id(channel)
            if channel_id is None or channel_id == target:
                raise
            return self._send(message, before_send, channel_id, channel, notice_id, more)

    def _send(
        self,
        message: SlackMessage,
        before_send: Callable[[], None],
        target: str,
        channel: str,
        notice_id: str,
        more: Mapping[str, Any],
    ) -> Posted:
        content: dict[str, Any] = {"text": message.text}
        if message.blocks:
            content["blocks"] = list(message.blocks)
        if message.attachments:
            content["attachments"] = list(message.attachments)
        began = steady()
        before_send()
        with self._sending(f"post in {self._called(channel)}"), self._writes.call_from(began):
            answer = self._writes.chat_postMessage(
                channel=target,
                metadata={"event_type": EVENT_TYPE, "event_payload": {"notice_id": notice_id}},
                unfurl_links=False,
                unfurl_media=False,
                **content,
                **more,
            )
            posted = Posted(_text_of(answer, "channel"), _text_of(answer, "ts"))
        with self._lock:
            self._ids[channel] = posted.channel_id
        return posted

    def _called(self, channel: str) -> str:
        """A channel by the name that is configured, where that is known; else by its id."""
        with self._lock:
            return next((name for name, known in self._ids.items() if known == channel and name != channel), channel)

    def _channel_id(self, channel: str) -> str | None:
        """The id of a channel as configured, or None where this bot sees no such channel."""
        with self._lock:
            known = self._ids.get(channel)
        if known:
            return known
        if is_channel_id(channel):
            return channel
        with self._sending(f"find channel {channel}"):
            channel_id = self._listed(channel.removeprefix("#"))
        if channel_id:
            with self._lock:
                self._ids[channel] = channel_id
        return channel_id

    def _listed(self, name: str) -> str | None:
        cursor, end = "", time.monotonic() + READ_WITHIN
        for _ in range(_MAX_LIST_PAGES):
            if time.monotonic() > end:
                raise TimeoutError
            page = self._reads.conversations_list(
                types="public_channel,private_channel", exclude_archived=True, limit=_LIST_PAGE, cursor=cursor
            )
            for channel in page.get("channels") or []:
                if channel.get("name") == name:
                    return str(channel["id"])
            cursor = _next_cursor(page)
            if not cursor:
                break
        return None

    def _messages(self, channel_id: str, oldest: str, thread: Posted | None) -> Iterator[Mapping[str, Any]]:
        cursor, end = "", time.monotonic() + READ_WITHIN
        for _ in range(_MAX_PAGES):
            if time.monotonic() > end:
                raise notify_error(TimeoutError(), "find a message")
            try:
                messages, cursor = self.read_page(
                    channel_id,
                    thread_ts=thread.ts if thread is not None else "",
                    doing="find a message",
                    oldest=oldest,
                    limit=_PAGE,
                    cursor=cursor,
                )
            except NotifyError as error:
                if error.failure is DeliveryFailure.GONE:
                    return  # there is no such thread, so the message is not in it
                raise
            yield from messages
            if not cursor:
                return
        raise NotifyError(
            f"Could not find a message: more than {_PAGE * _MAX_PAGES} messages since then",
            failure=DeliveryFailure.CHANNEL,
        )


class _mapped:  # noqa: N801  # reads as what it does: with _mapped("post in #x"): …
    """Exceptions of slack_sdk become NotifyError here."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, NotifyError):
            # Without its cause, whose text and frames hold the answer and the token.
            raise notify_error(error, self._doing) from None


def _text_of(answer: Any, key: str) -> str:
    """A text that Slack always sends. Without it the outcome of a post is unknown. Raises ValueError when absent."""
    value = answer.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"an answer without {key}")
    return value


def _next_cursor(page: Any) -> str:
    return str((page.get("response_metadata") or {}).get("next_cursor") or "")


def notice_of(message: Mapping[str, Any]) -> str | None:
    """The notice id that a message carries, or None."""
    metadata = message.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("event_type") != EVENT_TYPE:
        return None
    payload = metadata.get("event_payload")
    return str(payload.get("notice_id")) if isinstance(payload, dict) else None
