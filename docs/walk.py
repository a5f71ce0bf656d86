"""The life of one alert for docs/slack.md: what stands in Slack, what a reader does there, and what alertbot decides.

Nothing of it is typed by hand but the script: real polls, store, delivery, answers and messages, with the clock moved
by hand. Messages are the blocks that Slack gets, written as Markdown.
"""

from __future__ import annotations

import html
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from alertbot import poll
from alertbot.alerts.alert import Change
from alertbot.alerts.cards import Posted
from alertbot.alerts.notice import NoticeKind
from alertbot.charts.png import Painter
from alertbot.commands.answers import answer, changed, press
from alertbot.commands.command import Asker, Command
from alertbot.commands.parse import parse
from alertbot.config.settings import Settings
from alertbot.evaluation.snapshot import Column, Fetched, Snapshot
from alertbot.notify.deliver import deliver
from alertbot.notify.notifier import CardContent, LineContent, no_check
from alertbot.notify.render import Templates
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import Scope
from alertbot.rules.words import listed
from alertbot.service.pictures import CardPictures
from alertbot.service.views import change, make_view
from alertbot.slack.cards import SlackMessage, card_message, line_message, text_about, text_message
from alertbot.slack.replies import slack_message
from alertbot.slack.text import FallbackPen, MrkdwnPen
from alertbot.store.sqlite.store import SqliteStore

RULE = """\
rules:
  - id: longest-wait
    title: Longest wait in queue
    scope: queue
    show: [interactionsWaitInQueue.rt]
    warning: {when: interactionsLongestWaitInQueue.rt > 60s, for: 15s}
    critical: {when: interactionsLongestWaitInQueue.rt > 120s}
    clear: interactionsLongestWaitInQueue.rt < 45s
    keep_firing_for: 30s
    mention: {critical: ["<!subteam^S0FLOOR00>"]}
    remind: 15m
    escalate: [{after: 20m, channel: "#cc-managers"}]
"""
DAY = datetime(2026, 3, 2, tzinfo=UTC)
EVERY = timedelta(seconds=15)
ALERTS, OPS = "#cc-alerts", "#cc-alerts-ops"
DANA, LEE = "U0DANA000", "U0LEE0000"
PEOPLE = {DANA: "Dana", LEE: "Lee", "S0FLOOR00": "floor-leads"}
# The longest wait of the queue in seconds: from a time on, until the next it changes evenly.
WAITS = (
    *(("08:30:00", 15), ("08:50:00", 25), ("08:59:45", 40), ("09:00:00", 70), ("09:01:45", 115), ("09:02:00", 131)),
    *(("09:20:00", 171), ("10:29:45", 140), ("10:30:00", 30), ("11:00:00", 12)),
)
_FIGURES = ("Last ", "**Now**", "today at ")  # lines that change with every edit
_SPAN = re.compile(r"\*(?P<bold>[^*\n]+)\*|`(?P<code>[^`\n]+)`|<(?P<reference>[^<>\n]+)>")
_DATE = re.compile(r"!date\^(\d+)\^([^|^]*)")


@dataclass
class _Message:
    """One message in Slack. `under` is the ts of the card whose thread it is in."""

    channel: str
    shown: SlackMessage
    under: str = ""
    broadcast: bool = False
    before: tuple[str, ...] | None = None  # its lines at the last step; None: it is new


@dataclass
class _Slack:
    """The Notifier that keeps Slack's messages, by ts, as it would have sent them."""

    messages: dict[str, _Message] = field(default_factory=dict)
    sent: dict[str, Posted] = field(default_factory=dict)  # by notice id
    templates: Templates = field(default_factory=Templates)

    def post_card(
        self, content: CardContent, *, channel: str, notice_id: str, before_send: Callable[[], None] = no_check
    ) -> Posted:
        return self._new(_Message(channel, self._card(content)), notice_id)

    def edit_card(self, content: CardContent, posted: Posted, *, before_send: Callable[[], None] = no_check) -> None:
        self.messages[posted.ts].shown = self._card(content)

    def post_line(
        self,
        content: LineContent,
        posted: Posted,
        *,
        notice_id: str,
        broadcast: bool,
        before_send: Callable[[], None] = no_check,
    ) -> Posted:
        shown = line_message(self.templates.line(content, MrkdwnPen(), FallbackPen()))
        return self._new(_Message(posted.channel_id, shown, posted.ts, broadcast), notice_id)

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
        return self._new(_Message(channel, text_about(text, by) if by else text_message(text)), notice_id)

    def post_picture(self, message: SlackMessage, posted: Posted, *, notice_id: str) -> Posted:
        return self._new(_Message(posted.channel_id, replace(message, blocks=()), posted.ts), notice_id)

    def find(self, *, channel: str, notice_id: str, since: datetime, thread: Posted | None) -> Posted | None:
        return self.sent.get(notice_id)

    def uploads(self) -> None:
        """Nothing is uploaded: the page has the text that says the same as the picture."""

    def use_templates(self, folders: Sequence[Path], files: Mapping[str, bytes]) -> None:
        self.templates = Templates(folders, files)

    def take_faults(self) -> Sequence[Any]:
        return ()

    def _card(self, content: CardContent) -> SlackMessage:
        return card_message(self.templates.card(content, MrkdwnPen(), FallbackPen()))

    def _new(self, message: _Message, notice_id: str) -> Posted:
        posted = Posted(message.channel, f"{len(self.messages) + 1}.0")
        self.messages[posted.ts], self.sent[notice_id] = message, posted
        return posted


class _NoPicture(Painter):
    """The page has the text of a chart."""

    @property
    def problem(self) -> str:
        return "not drawn"


class Walk:
    """The bot, its database and its Slack; `now` is moved by hand."""

    def __init__(self, path: Path) -> None:
        self.rules = parse_files({"rules.yaml": RULE})
        self.store = SqliteStore(path, synchronous="NORMAL")
        self.slack = _Slack()
        self.tenant = poll.Tenant("acme", self.rules, ALERTS, OPS)
        self.now = DAY + timedelta(hours=8, minutes=30)
        self.turns: list[Change] = []  # what was decided since the last step
        self.listed: set[str] = set()  # ids of the notices of earlier steps
        self.pictures = CardPictures(
            self.store,
            self.slack,  # type: ignore[arg-type]  # what it uses of a SlackNotifier
            lambda: self.now,
            threading.Event(),
            lambda tenant: self.rules,
            claimant="alertbot",
            reachable=lambda: True,
            timezone="UTC",
            painter=_NoPicture(),
        )
        tenant = {"name": "acme", "region": "us", "api_key": "k", "api_secret": "s"}
        self.settings = Settings.model_validate(
            {"tenants": [tenant], "slack": {"bot_token": "xoxb-1", "default_channel": ALERTS}, "rules": "rules"}
        )

    def poll_until(self, time: str) -> None:
        """Poll and deliver until then. Time that only passes is polled more rarely."""
        end = _at(time)
        while self.now < end:
            self._turn()
            self.now += EVERY if end - self.now <= timedelta(minutes=2) else timedelta(minutes=1)
        self.now = end
        self._turn()

    def choose(self, user: str, action_id: str, value: str) -> str:
        """A button or an option of a menu; the answer, as the one who pressed it sees it."""
        command = press(action_id, value)
        assert command is not None
        return self._answer(user, command)

    def type(self, user: str, text: str) -> str:
        return self._answer(user, parse(text))

    def _answer(self, user: str, command: Command) -> str:
        view = make_view(
            command,
            self.settings,
            self.store,
            self.now,
            rules=lambda: ({"acme": self.rules}, {}),
            pasts=lambda rules: {},
        )
        asker = Asker(user)
        reply = answer(view, command, asker, self.now)
        if reply.wish is not None:
            result, subject = change(self.store, reply.wish, asker, self.now)
            reply = changed(reply.wish, result, subject, asker, self.now, "UTC")
        self._deliver()
        return _text(slack_message(reply)["blocks"])

    def _turn(self) -> None:
        turn = poll.run(self.tenant, self.store, self.now, Fetched(self.now, {Scope.QUEUE: _snapshot(self.now)}))
        self.tenant = replace(self.tenant, memory=turn.memory)
        self.turns += [each for each in turn.changes if each.moved or each.reason is not None]
        self.store.announce_silences(self.now)
        self._deliver()

    def _deliver(self) -> None:
        """For three seconds: a channel takes one message a second."""
        before = self.now
        for _ in range(3):
            deliver(
                self.store.due(self.now),
                self.slack,
                self.store,
                lambda: self.now,
                claimant="alertbot",
                fallback_channel=ALERTS,
                ops_channel=OPS,
                show_tenant=False,
            )
            self.now += timedelta(seconds=1)
        self.now = before

    def chart(self) -> None:
        """Nothing else is due, so the chart comes."""
        self.now += timedelta(seconds=3)
        assert self.pictures.post_next()

    # What a step shows.

    def news(self) -> Iterator[str]:
        """What is new in Slack, then what alertbot decided and stored."""
        for message in self.slack.messages.values():
            if shown := _shown(message):
                yield shown
            message.before = _lines(message)
        decided, self.turns = [_decided(each) for each in self.turns], []
        stored = list(self._stored())
        said = [f"decides: {'; '.join(decided)}"] if decided else []
        said += [f"stores {listed(stored)}"] if stored else []
        if said:
            yield f"*alertbot* {'. It '.join(said)}."

    def _stored(self) -> Iterator[str]:
        for entry in (entry for number in (1, None) for entry in self.store.notices_of(number)):
            notice = entry.notice
            if notice.id not in self.listed:
                kind = {NoticeKind.CARD: "a card", NoticeKind.LINE: "a line", NoticeKind.OPS: "a message"}[notice.kind]
                yield f"{kind} for {notice.channel} (`{notice.reason.value}`)"
            self.listed.add(notice.id)


def _at(time: str) -> datetime:
    hours, minutes, seconds = map(int, time.split(":"))
    return DAY + timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _snapshot(now: datetime) -> Snapshot:
    wait = next(
        first + (second - first) * ((now - _at(begin)) / (_at(end) - _at(begin)))
        for (begin, first), (end, second) in pairwise(WAITS)
        if _at(begin) <= now <= _at(end)
    )
    values = {"interactionsLongestWaitInQueue.rt": round(wait) * 1000.0, "interactionsWaitInQueue.rt": wait // 20}
    columns = {key: Column(np.array([value]), np.zeros(1, dtype=np.uint8)) for key, value in values.items()}
    return Snapshot(Scope.QUEUE, now, ("103",), ("Sales EU",), columns)


def _decided(each: Change) -> str:
    old, new = each.before, each.after
    if old is not None and not each.moved:
        return _escaped(each.why)
    if old is None or old.state is not new.state:
        return f"`{old.state.value if old is not None else 'inactive'} → {new.state.value}`: {_escaped(each.why)}"
    return f"`{old.level.word} → {new.level.word}`: {_escaped(each.why)}"


# Slack's messages as Markdown.


def _shown(message: _Message) -> str:
    """A new message, or the lines of an edited one that are new; "" where there are none."""
    lines, before = _lines(message), message.before
    if before is None:
        where = "In the thread and in the channel" if message.broadcast else "In the thread" if message.under else "In"
        where = f"{where}:" if message.under else f"{where} {message.channel}:"
        if message.shown.blocks and (not message.under or message.broadcast):
            where = f"{where[:-1]}, notified as “{_escaped(_plain(message.shown.text))}”:"
    else:
        lines = tuple(line for line in lines if line not in before and not line.startswith(_FIGURES))
        where = f"The {'card' if message.channel == ALERTS else 'message'} in {message.channel} now says:"
    return "\n".join((where, "", "  \n".join(f"> {line}" for line in lines))) if lines else ""


def _lines(message: _Message) -> tuple[str, ...]:
    text = "\n".join(_text(part["blocks"]) for part in ({"blocks": message.shown.blocks}, *message.shown.attachments))
    return tuple((text or _markdown(message.shown.text)).splitlines())


def _text(blocks: Sequence[Mapping[str, Any]]) -> str:
    """Blocks, a line each or more."""
    lines: list[str] = []
    for block in blocks:
        match block["type"]:
            case "header":
                lines.append(f"**{_escaped(block['text']['text'])}**")
            case "section" if "text" in block:
                lines += _markdown(block["text"]["text"]).splitlines()
            case "section":
                lines += [_markdown(each["text"]).replace("\n", ": ") for each in block["fields"]]
            case "context":
                lines += [_markdown(each["text"]) for each in block["elements"]]
            case "actions":
                lines.append(" ".join(f"`{_label(element)}`" for element in block["elements"]))
            case other:
                raise ValueError(f"the walk does not know the block {other}")
    return "\n".join(lines)


def _label(element: Mapping[str, Any]) -> str:
    return f"{element['placeholder']['text']} ▾" if "placeholder" in element else str(element["text"]["text"])


def _markdown(text: str) -> str:
    parts, at = [], 0
    for span in _SPAN.finditer(text):
        parts.append(_escaped(text[at : span.start()]))
        inner = span[str(span.lastgroup)]
        match span.lastgroup:
            case "bold":
                parts.append(f"**{_markdown(inner)}**")
            case "code":
                parts.append(f"`{html.unescape(inner)}`")
            case _:
                parts.append(_escaped(_reference(inner)))
        at = span.end()
    return "".join([*parts, _escaped(text[at:])])


def _plain(text: str) -> str:
    return re.sub(r"<([^<>\n]+)>", lambda found: _reference(found[1]), text)


def _reference(text: str) -> str:
    """What stands between angle brackets: a time, a person or a group, a link."""
    date = _DATE.match(text)
    if date:
        moment = datetime.fromtimestamp(int(date[1]), UTC)
        shown = date[2].replace("{date_short_pretty}", "today").replace("{time_secs}", f"{moment:%H:%M:%S}")
        return shown.replace("{time}", f"{moment:%H:%M}")
    if text.startswith(("@", "!")):
        who = text.lstrip("@!").removeprefix("subteam^").partition("|")[0]
        return f"@{PEOPLE.get(who, who)}"
    return text.partition("|")[2] or text


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\*_\[\]<>`|#])", r"\\\1", html.unescape(text).replace("\u200b", ""))


# The script.


def walk() -> str:
    """The page."""
    with tempfile.TemporaryDirectory() as folder:
        return "\n\n".join(_walk(Walk(Path(folder) / "alertbot.db")))


def _walk(it: Walk) -> Iterator[str]:
    yield f"```yaml\n{RULE}```"

    def step(time: str, title: str, *answers: str) -> Iterator[str]:
        yield f"**{time[:5] if time.endswith('00') else time} {title}**"
        yield from answers
        yield from it.news()

    def only(user: str, text: str) -> str:
        return f"Only {PEOPLE[user]} sees: {' '.join(text.splitlines())}"

    with closing(it.store):
        it.poll_until("09:00:00")
        yield from step("09:00:00", "A caller has waited longer than a minute. Nothing in Slack yet: `for` is 15 s.")
        it.poll_until("09:00:15")
        yield from step("09:00:15", "It fires.")
        it.chart()
        yield from step("09:00:18", "A chart follows in the thread, here as a screen reader reads it.")
        it.poll_until("09:02:00")
        yield from step("09:02:00", "It rises to critical.")
        it.poll_until("09:03:00")
        it.choose(DANA, "acknowledge", "1")
        yield from step("09:03:00", "Dana presses Acknowledge: no reminder and no escalation while she has it.")
        it.poll_until("09:05:00")
        it.choose(DANA, "give_back", "1")
        yield from step("09:05:00", "She presses Give back.")
        it.poll_until("09:06:00")
        said = it.type(LEE, "ack 1 two agents are coming back")
        yield from step("09:06:00", "Lee types `/alertbot ack 1 two agents are coming back`.", only(LEE, said))
        it.poll_until("09:08:00")
        said = it.type(LEE, "unack 1")
        yield from step("09:08:00", "They cannot come: `/alertbot unack 1`.", only(LEE, said))
        it.poll_until("09:15:15")
        yield from step("09:15:15", "15 minutes after it fired it has no owner: a reminder is posted.")
        it.poll_until("09:20:15")
        yield from step("09:20:15", "Five minutes later it is escalated.")
        it.poll_until("09:22:00")
        said = it.choose(DANA, "silence", "1h 1")
        it.poll_until("09:22:15")
        yield from step("09:22:00", "Dana chooses Silence > 1 hour.", only(DANA, said))
        it.poll_until("10:22:00")
        yield from step("10:22:00", "The silence ends, and the alert still fires.")
        it.poll_until("10:30:00")
        yield from step("10:30:00", "The wait is below 45 s: it recovers.")
        it.poll_until("10:30:30")
        yield from step("10:30:30", "It has stayed there for 30 s: it is resolved.")
