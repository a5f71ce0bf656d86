"""Cards and lines to drawn parts, with sandboxed Jinja2. A template that fails is replaced by the built-in one.

A `Pen` writes each part for the place where it stands, so the same templates draw for Slack and for a terminal.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    PrefixLoader,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    meta,
    pass_context,
)
from jinja2.runtime import Context
from markupsafe import Markup

from alertbot.alerts.alert import About, Alert, Fingerprint, Reason, State
from alertbot.alerts.grouping import NAMED
from alertbot.alerts.notice import Notice, NoticeKind
from alertbot.alerts.silence import Matcher, Silence
from alertbot.alerts.transition import close_by_hand
from alertbot.charts.trend import example
from alertbot.errors import FaultsFound
from alertbot.evaluation.measure import Measure
from alertbot.notify.facts import (
    Look,
    card_facts,
    line_facts,
    line_members,
    message_facts,
    shown_members,
    zone_of,
)
from alertbot.notify.notifier import CardContent, LineContent, TemplateFault
from alertbot.notify.pens import Pen, PlainPen, cleaned, clip
from alertbot.notify.sandbox import BoundedEnvironment, TemplateTooLarge, bounded, spend, within_time
from alertbot.rulefiles.faults import Fault
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Level, Origin
from alertbot.rules.slack_ids import is_mention
from alertbot.rules.words import nearest

BUILT_IN = "alert"
ESCALATION = "escalation"
SUFFIX = ".j2"
_MAX_FIELDS = 10  # what a section of Slack holds
_CHECK_SECONDS = 3.0  # of processor time, for all the drawings of a template that is checked
_PUSHED = 10  # names in the notification of a line about several alerts
_MAX_PART = 20_000  # characters; a notifier cuts further, to what its side accepts


@dataclass(frozen=True)
class DrawnCard:
    """The parts of a card, written by a pen: the same parts for Slack and for a terminal."""

    look: Look
    title: str  # one line, plain text
    summary: str  # one sentence, written by the fallback pen
    body: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]
    context: tuple[str, ...]
    mention: tuple[str, ...]  # `<@U…>` and the like, as configured; empty once the card has ended
    members: tuple[int, ...]  # the short ids of its alerts; an alert that was never stored has none
    open: bool  # at least one member has not ended
    acknowledgeable: bool  # at least one member has no owner yet
    drawn_at: datetime
    trend: str = ""  # a line below the body; never in the summary, since it would be read out character by character
    rows: tuple[str, ...] = ()  # one for each alert that is named; () on a card of one
    open_members: tuple[int, ...] = ()  # the short ids of those that have not ended, the worst first
    card_id: int | None = None  # in the store
    closes_at: datetime | None = None  # as in `CardContent`
    silenceable: bool = True  # False: it is about a feed, which no silence matches
    fault: TemplateFault | None = None


@dataclass(frozen=True)
class DrawnLine:
    """A line of a card's thread, written by a pen; `summary` is written by the fallback pen.

    `names`: of the alerts that it is about, if they are several; they follow the text.
    """

    look: Look
    text: str
    summary: str
    mention: tuple[str, ...]
    names: tuple[str, ...] = ()
    fault: TemplateFault | None = None


class Templates:
    """Templates by name: those of `folders`, the first folder first, then the built-in ones.

    A template in a folder may replace the built-in one of the same name, and can extend it as "builtin/alert.j2". With
    `files` (contents by path) the folders are not read: later edits on disk change nothing.
    """

    def __init__(self, folders: Sequence[Path] = (), files: Mapping[str, bytes] | None = None) -> None:
        self.folders = tuple(folders)
        built_in = PackageLoader("alertbot.notify", "templates")
        self._built_in_names = frozenset(name.removesuffix(SUFFIX) for name in built_in.list_templates())
        prefixed = PrefixLoader({"builtin": built_in})
        self._written = FileSystemLoader(self.folders) if files is None else _ReadLoader(self.folders, files)
        self._all = BoundedEnvironment(ChoiceLoader([self._written, prefixed, built_in]), _escaped)
        self._too_large: dict[str, Fault] = {}  # by name: found by `check`, and not drawn again
        self._built_in = BoundedEnvironment(ChoiceLoader([built_in, prefixed]), _escaped)

    def names(self) -> tuple[str, ...]:
        """The names that a rule's `template` can have."""
        found = self._all.list_templates(filter_func=lambda name: name.endswith(SUFFIX) and "/" not in name)
        return tuple(name.removesuffix(SUFFIX) for name in found)

    def is_built_in(self, name: str) -> bool:
        """Whether this name stands for a built-in template that no folder replaces."""
        return name in self._built_in_names and name + SUFFIX not in self._written.list_templates()

    def absent(self, name: str) -> tuple[str, str]:
        """What to say of a template that does not exist, and which one may be meant."""
        near = nearest(name, self.names())
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self.names())}"
        return f"there is no template {name!r}", hint

    def card(self, content: CardContent, pen: Pen, fallback: Pen | None = None) -> DrawnCard:
        """Draw a card. Where its template fails this is the built-in card, and `fault` says why.

        `fallback` writes the summary; without it `pen` does.
        """
        built_in = BUILT_IN if content.escalated is None else ESCALATION
        name = content.alert.about.template if content.escalated is None else ESCALATION
        message, fault = "", None
        try:
            message = message_of(content)
        except Exception as error:  # a template may raise anything, and an alert must be reported all the same
            fault = _message_fault(content.alert.key.rule, error)
        try:
            drawn = _draw_card(self._all, name, content, pen, fallback or pen, message)
            if not drawn.title or not drawn.summary or (len(drawn.open_members) > 1 and not drawn.rows):
                drawn = self._with_words(drawn, content, pen, fallback or pen, message)
        except Exception as error:  # as above
            drawn = _draw_card(self._built_in, built_in, content, pen, fallback or pen, message)
            fault = self._fault(name, error)
        return replace(drawn, fault=fault)

    def _with_words(self, drawn: DrawnCard, content: CardContent, pen: Pen, fallback: Pen, message: str) -> DrawnCard:
        """A card whose template left title, summary or members empty: that part is the built-in one's."""
        built_in = _draw_card(self._built_in, BUILT_IN, content, pen, fallback, message)
        return replace(
            drawn,
            title=drawn.title or built_in.title,
            summary=drawn.summary or built_in.summary,
            rows=drawn.rows or built_in.rows,
        )

    def line(self, content: LineContent, pen: Pen, fallback: Pen | None = None) -> DrawnLine:
        """Draw a line of a thread; faults as for `card`."""
        name = content.alert.about.template
        try:
            drawn = _draw_line(self._all, name, content, pen, fallback or pen)
            if content.shared and not drawn.text:  # a template from before cards had several alerts
                drawn = _draw_line(self._built_in, BUILT_IN, content, pen, fallback or pen)
            return drawn
        except Exception as error:  # as above
            fault = self._fault(name, error)
            return replace(_draw_line(self._built_in, BUILT_IN, content, pen, fallback or pen), fault=fault)

    def check(self, name: str, cards: Sequence[CardContent] = (), *, rule: str = "", strict: bool = False) -> None:
        """Check a template by drawing each card (default: samples of every level and state) and each kind of line.

        `strict`: an empty title or summary is a fault too. Raises FaultsFound when it fails, with each fault once, at
        its file and line. Takes a few seconds of processor time at most, and next to none for a template that was
        found to be too large before.
        """
        if name in self._too_large:
            raise FaultsFound([replace(self._too_large[name], rule=rule)])
        faults: dict[tuple[str, int, str], Fault] = {}
        try:
            with within_time(_CHECK_SECONDS):
                for content in cards or tuple(sample_cards()):
                    members = [replace(alert, about=replace(alert.about, template=name)) for alert in content.members]
                    named = replace(content, members=tuple(members))
                    for fault in self._faults_of(name, named, rule, strict=strict):
                        faults.setdefault((fault.file, fault.line, fault.message), fault)
        except TemplateTooLarge as error:  # drawing it again, for other levels and states, would take as long
            self._too_large[name] = self._fault(name, error).fault
            faults = {("", 0, ""): replace(self._too_large[name], rule=rule)}
        if faults:
            raise FaultsFound(list(faults.values()))

    def _faults_of(self, name: str, content: CardContent, rule: str, *, strict: bool) -> Iterator[Fault]:
        try:
            _must_extend(self._all, name)
            drawn = _draw_card(self._all, name, content, PlainPen(), PlainPen())
        except TemplateTooLarge:
            raise
        except Exception as error:  # as above
            yield replace(self._fault(name, error).fault, rule=rule)
            return
        if strict:
            file, _ = self._place(name, TemplateError())
            for part, text in (("title", drawn.title), ("summary", drawn.summary)):
                if not text:
                    message = f"the block {part} is empty"
                    yield Fault(file, 0, 0, message, rule, "the built-in one is used; write it, or remove the block")
        for line in sample_lines(content):
            try:
                _draw_line(self._all, name, line, PlainPen(), PlainPen())
            except TemplateTooLarge:
                raise
            except Exception as error:  # as above
                yield replace(self._fault(name, error).fault, rule=rule)

    def _fault(self, name: str, error: Exception) -> TemplateFault:
        file, line = self._place(name, error)
        message = " ".join(str(error).split()) or type(error).__name__
        hint = ""
        if isinstance(error, TemplateNotFound):
            message, hint = self.absent((error.name or name).removesuffix(SUFFIX))
        elif not isinstance(error, TemplateError):
            message = f"{type(error).__name__}: {message}"
        return TemplateFault(name, Fault(file=file, line=line, column=0, message=clip(message, 300), hint=hint))

    def _place(self, name: str, error: Exception) -> tuple[str, int]:
        """File and line of a fault: in a template, where the traceback passes through one."""
        if isinstance(error, TemplateSyntaxError):
            return error.filename or error.name or name + SUFFIX, error.lineno
        folders = [*map(str, self.folders), str(Path(__file__).parent / "templates")]
        frames = [
            (frame.filename, frame.lineno or 0)
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename.endswith(SUFFIX) and any(frame.filename.startswith(folder) for folder in folders)
        ]
        if frames:
            return frames[-1]
        if isinstance(error, TemplateNotFound):
            return name + SUFFIX, 0
        for folder in self.folders:
            if (Path(folder) / (name + SUFFIX)).exists():
                return str(Path(folder) / (name + SUFFIX)), 0
        return name + SUFFIX, 0


class _ReadLoader(BaseLoader):
    """Templates that were read earlier, found as FileSystemLoader would find them in `folders`."""

    def __init__(self, folders: Sequence[Path], files: Mapping[str, bytes]) -> None:
        self._found: dict[str, tuple[str, bytes]] = {}
        for folder in folders:
            for path, data in files.items():
                if Path(path).is_relative_to(folder):
                    self._found.setdefault(Path(path).relative_to(folder).as_posix(), (path, data))

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        if template not in self._found:
            raise TemplateNotFound(template)
        path, data = self._found[template]
        try:
            return data.decode("utf-8"), path, lambda: True
        except UnicodeDecodeError:
            raise TemplateSyntaxError("not UTF-8 text", 1, template, path) from None

    def list_templates(self) -> list[str]:
        return sorted(self._found)


def check_template(
    name: str, folders: Sequence[Path] = (), cards: Sequence[CardContent] = (), *, rule: str = ""
) -> None:
    """As `Templates.check`, for the templates of `folders`. Raises FaultsFound when the template fails."""
    Templates(folders).check(name, cards, rule=rule)


@pass_context
def _escaped(context: Context, value: Any) -> Any:
    """Called by Jinja2 for each `{{ … }}`: escapes text that no pen has written yet with the pen of this drawing."""
    if not isinstance(value, Markup):
        value = Markup(context["pen_"].escape("" if value is None else str(value)))  # noqa: S704  # the escape itself
    spend(len(value))
    return value


def _must_extend(environment: BoundedEnvironment, name: str) -> None:
    loader = environment.loader
    assert loader is not None
    source, filename, _ = loader.get_source(environment, name + SUFFIX)
    if name != BUILT_IN and not any(meta.find_referenced_templates(environment.parse(source, name + SUFFIX, filename))):
        raise TemplateSyntaxError('it must begin with {% extends "alert.j2" %}', 1, name + SUFFIX, filename)


def _render(
    environment: BoundedEnvironment,
    name: str,
    part: str,
    pen: Pen,
    timezone: str,
    facts: Mapping[str, Any],
    *,
    push: bool = False,
) -> list[str]:
    """The lines of one part; empty lines are left out. `push`: for a notification, which shows no card around it."""
    zone = zone_of(timezone)
    template = environment.get_template(name + SUFFIX)
    render = partial(
        template.render,
        facts,
        part=part,
        push=push,
        pen_=pen,
        strong=partial(_mark, pen.strong),
        code=partial(_mark, pen.code),
        person=partial(_mark, pen.person),
        link=lambda url, label: Markup(pen.link(str(url), str(label))),  # noqa: S704  # written by the pen
        when=lambda moment: Markup(pen.when(moment, zone=zone)),  # noqa: S704
        clock=lambda moment: Markup(pen.clock(moment, zone=zone)),  # noqa: S704
        minute=lambda moment: Markup(pen.minute(moment, zone=zone)),  # noqa: S704
    )
    lines = (line.strip() for line in bounded(render)[:_MAX_PART].splitlines())
    return [line for line in lines if line]


# The rule's own sentence.


def _counted(value: Any) -> str:
    text = "" if value is None else str(value)
    spend(len(text))
    return text


_MESSAGES = BoundedEnvironment(None, _counted, escapes=False)
_compiled = lru_cache(maxsize=1024)(_MESSAGES.from_string)


def message_of(content: CardContent) -> str:
    """The sentence of the rule's `message`, as plain text on one line; "" without one, and while it does not fire.

    A card escapes all of it, the author's words too. Raises whatever a template raises.
    """
    alert = content.alert
    if not alert.about.message or alert.state is not State.FIRING:
        return ""
    render = partial(_compiled(alert.about.message).render, message_facts(alert, content))
    return cleaned(bounded(render))


def message_fault(rule: str, origin: Origin | None, error: Exception) -> Fault:
    """A fault of a rule's `message`, at the place where it is written."""
    message = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, TemplateError):
        message = f"{type(error).__name__}: {message}"
    at = origin or Origin("message", 0)
    return Fault(at.file, at.line, at.column, clip(f"message: {message}", 300), rule)


def _message_fault(rule: str, error: Exception) -> TemplateFault:
    return TemplateFault("message", message_fault(rule, None, error))


def _mark(write: Any, text: object) -> Markup:
    return Markup(write("" if text is None else str(text)))  # noqa: S704  # written by the pen


def _draw_card(
    environment: BoundedEnvironment, name: str, content: CardContent, pen: Pen, fallback: Pen, message: str = ""
) -> DrawnCard:
    look = Look.of(content.members)
    facts = {"card": card_facts(content, message)}
    draw = partial(_render, environment, name, timezone=content.timezone, facts=facts)
    fields = [_field(line) for line in draw("fields", pen)]
    if len(fields) > _MAX_FIELDS:
        more = len(fields) - _MAX_FIELDS + 1
        fields = [*fields[: _MAX_FIELDS - 1], ("", f"… and {more} more")]
    is_open = look is not Look.RESOLVED
    return DrawnCard(
        look=look,
        title=" ".join(draw("title", PlainPen())),
        summary=" ".join(draw("summary", fallback)),
        body=tuple(draw("body", pen)),
        fields=tuple(fields),
        context=tuple(draw("context", pen)),
        mention=tuple(each for each in content.mention if is_mention(each)) if is_open else (),
        members=tuple(alert.id for alert in content.members if alert.id is not None),
        open=is_open,
        rows=tuple(draw("members", pen)) if facts["card"].members and is_open else (),
        open_members=tuple(alert.id for alert in shown_members(content.members) if alert.open and alert.id is not None),
        card_id=content.card_id,
        closes_at=content.closes_at,
        silenceable=content.alert.key.scope is not Scope.FEED,
        drawn_at=content.now,
        trend=" ".join(draw("trend", pen)) if facts["card"].trend else "",
        acknowledgeable=any(alert.open and alert.id is not None and not alert.acked_by for alert in content.members),
    )


def _draw_line(environment: BoundedEnvironment, name: str, content: LineContent, pen: Pen, fallback: Pen) -> DrawnLine:
    notice = content.notice
    card = CardContent((content.alert,), notice.at, timezone=content.timezone, show_tenant=content.show_tenant)
    facts = {"card": card_facts(card), "line": line_facts(content)}
    part = "thread_members" if content.shared else "thread"
    draw = partial(_render, environment, name, part, timezone=content.timezone, facts=facts)
    members = line_members(content) if content.others else ()
    texts = [f"{each.name} ({each.text})" if each.text and len(members) <= NAMED else each.name for each in members]
    more = f" and {len(texts) - _PUSHED} more." if len(texts) > _PUSHED else "." if texts else ""
    summary = " ".join((*draw(fallback, push=True), ", ".join(fallback.escape(text) for text in texts[:_PUSHED])))
    return DrawnLine(
        look=Look.of_level(notice.level),
        text="\n".join(draw(pen)),
        summary=f"{summary.strip()}{more}",
        mention=tuple(each for each in notice.mention if is_mention(each)),
        names=tuple(pen.escape(text) for text in texts),
    )


def _field(line: str) -> tuple[str, str]:
    """Label and value, separated by the first colon and space. A line without them is a value."""
    label, colon, value = line.partition(": ")
    return (label, value.strip()) if colon and value.strip() else ("", line)


def sample_cards(
    about: About | None = None, *, now: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
) -> Iterator[CardContent]:
    """Cards to check templates with: every level and state, with and without the parts that may be missing."""
    about = about or About(
        title="Longest wait in queue",
        condition="interactionsLongestWaitInQueue.rt > 2m",
        runbook="https://wiki.example/longest-wait",
        labels={"team": "sales"},
    )
    for level in Level:
        firing = Alert(
            key=Fingerprint("acme", "longest-wait", Scope.QUEUE, "", "103"),
            entity_name="Sales EU",
            about=about,
            state=State.FIRING,
            level=level,
            since={level: now - timedelta(minutes=5)},
            id=17,
            fired_at=now - timedelta(minutes=4),
            measure=Measure("interactionsLongestWaitInQueue.rt", ValueType.DURATION, ">", 130_000.0, 120_000.0),
            peak=140_000.0,
            peak_at=now - timedelta(minutes=2),
            highest=Level.CRITICAL,
            seen_at=now,
        )
        yield from sample_states(firing, now)


def sample_states(firing: Alert, now: datetime) -> Iterator[CardContent]:
    """A firing alert, then acknowledged, recovering, resolved, plain, silenced, and on a card of two."""
    acked = replace(firing, acked_by="U0123456", acked_at=now - timedelta(minutes=1), ack_note="calling in Sam")
    about = replace(firing.about, runbook="", labels={})
    states = (
        firing,
        acked,
        replace(firing, state=State.RECOVERING, recovering_since=now - timedelta(seconds=30)),
        replace(acked, state=State.INACTIVE, ended_at=now, end_reason=Reason.RESOLVED),
        close_by_hand(firing, "U0123456", "a call is stuck", now),
        replace(firing, about=about, measure=None, peak=None, peak_at=None),
    )
    for alert in states:
        yield CardContent((alert,), now, trend=example(alert, now))
    matcher = Matcher((("rule", firing.key.rule),))
    ends = now + timedelta(hours=2)
    yield CardContent((firing,), now, silence=Silence(17, matcher, now, ends, "U0123456", "maintenance", now))
    several = (firing, replace(acked, key=firing.key._replace(entity_id="104"), entity_name="Support"))
    yield CardContent(several, now)


def sample_lines(content: CardContent) -> Iterator[LineContent]:
    """One line for each reason, about the alerts of a card."""
    alert = content.alert
    for reason in Reason:
        notice = Notice(
            id="sample",
            kind=NoticeKind.LINE,
            alert=alert.key,
            channel="#sample",
            reason=reason,
            level=alert.level,
            at=content.now,
            text="because the condition held for 30s",
            measure=alert.measure,
            by="U0123456",
        )
        others = tuple(member for member in content.members if member is not alert)
        yield LineContent(notice, alert, content.timezone, others=others, shared=bool(others))
