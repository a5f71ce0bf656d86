"""What somebody asked, what answers may look at, and what an answer is; and the way from text to `Command`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alertbot.alerts.alert import Alert
from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level, RuleSet


@dataclass(frozen=True)
class TenantView:
    """One tenant as the last poll left it."""

    name: str
    good_at: datetime | None  # the last good poll
    tried_at: datetime | None
    error: str  # why the last poll was not good; "" when it was
    snapshots: Mapping[Scope, Snapshot] = field(default_factory=dict)
    next_try_at: datetime | None = None  # where it is not polled at its usual pace
    past: Past | None = None  # up to the last poll, for windows; None: they are unknown


SHADOW_DAYS = 7


@dataclass(frozen=True)
class RulesView:
    """Which version of the rules one tenant is polled with, and since when (None: it does not run)."""

    tenant: str
    version: str
    since: datetime | None
    rules: int
    on_disk: str = ""  # what stands on disk instead, where that is not what runs: a version, or its first fault


@dataclass(frozen=True)
class View:
    """All that an answer may look at: values, no I/O behind them.

    `alerts` are those that are not over, without those of rules in shadow, which are in `shadows`. `shadow_fired`: how
    often each rule in shadow would have fired in the last `SHADOW_DAYS` days, by rule and name of the entity.
    """

    tenants: tuple[TenantView, ...]
    alerts: tuple[Alert, ...]
    rules: RuleSet
    shadows: tuple[Alert, ...] = ()
    shadow_fired: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    versions: tuple[RulesView, ...] = ()  # of each tenant
    waiting: int = 0  # notices and edits that are not delivered yet
    command: str = "/alertbot"
    timezone: str = "UTC"  # in which times are shown
    stale_after: timedelta = timedelta(minutes=2)  # values older than this are said to be stale, loudly
    problems: tuple[str, ...] = ()  # what is wrong with alertbot itself, a sentence each; `status` shows them


@dataclass(frozen=True)
class Asker:
    """Who asks. `may_change` was decided by the shell from the configuration."""

    user: str  # a Slack user id (U…), or a local user's name
    may_change: bool = True
    local: bool = False  # from a terminal, not from Slack


@dataclass(frozen=True)
class Command:
    """The text after the slash, taken apart. `public`: `… public` was asked for."""

    name: str
    args: tuple[str, ...] = ()
    public: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings; every row as long as the head."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Person:
    """A person in a line: a Slack user id or a local name. Data, so that only the shell makes a mention of it."""

    id: str


@dataclass(frozen=True)
class Line:
    """A line of plain text; whoever shows it escapes it. `level` colours it, `code` shows it as typed.

    `pieces` is the same line with its people as data, for those who can show them; () when nobody is named.
    """

    text: str
    level: Level | None = None
    code: bool = False
    strong: bool = False
    pieces: tuple[str | Person, ...] = ()


def line(*pieces: str | Person, level: Level | None = None, strong: bool = False) -> Line:
    """A line of text and people; for those who cannot show people, their ids stand in `text`."""
    text = "".join(piece.id if isinstance(piece, Person) else piece for piece in pieces)
    named = any(isinstance(piece, Person) for piece in pieces)
    return Line(text, level=level, strong=strong, pieces=pieces if named else ())


@dataclass(frozen=True)
class Acknowledge:
    """A wish to change something, as data: the shell asks the store and then words the answer."""

    alert_id: int
    note: str = ""


@dataclass(frozen=True)
class Unacknowledge:
    """A wish to take an acknowledgement back."""

    alert_id: int


Wish = Acknowledge | Unacknowledge


@dataclass(frozen=True)
class Reply:
    """An answer: what to show, and what to change, if anything. Plain text everywhere; nothing is escaped yet."""

    parts: tuple[Line | Table, ...] = ()
    wish: Wish | None = None
    problem: bool = False  # the question could not be answered as asked: `alertbot ask` exits with 1


_DOUBLE = frozenset('"“”„‟«»＂')
_SINGLE = frozenset("'‘’‚‛")
_UNSEEN = frozenset("\u200b\u2060\ufeff")  # pasted along with text; they look like nothing and are no letters


def parse(text: str) -> Command:
    """The text after the slash, taken apart; never fails. No text is `help`.

    Words are parted by blanks of any kind. Quotes (`"`, `'`, and the smart ones that phones write) keep blanks; a
    quote without its partner, and an apostrophe inside a word, is a letter. A bare `public` at the end is a flag.
    """
    words = _words("".join(" " if char in _UNSEEN else char for char in text))
    if not words:
        return Command("help")
    (name, _), *rest = words
    public = bool(rest) and not rest[-1][1] and rest[-1][0].casefold() == "public"
    if public:
        rest.pop()
    return Command(name.casefold(), tuple(word for word, _ in rest), public)


def _words(text: str) -> list[tuple[str, bool]]:
    """The words, and whether a quote was in them."""
    words: list[tuple[str, bool]] = []
    word: list[str] = []
    quoted = begun = False
    unmatched = False  # no single quote closes from here on: do not look again
    at = 0
    while at < len(text):
        char = text[at]
        if char.isspace():
            if begun:
                words.append(("".join(word), quoted))
                word, quoted, begun = [], False, False
            at += 1
            continue
        end = None
        if char in _DOUBLE:
            end = next((i for i in range(at + 1, len(text)) if text[i] in _DOUBLE), None)
        elif char in _SINGLE and not begun and not unmatched:
            end = _single_end(text, at)
            unmatched = end is None
        begun = True
        if end is None:
            word.append(char)
            at += 1
        else:
            word.append(text[at + 1 : end])
            quoted = True
            at = end + 1
    if begun:
        words.append(("".join(word), quoted))
    return words


def _single_end(text: str, start: int) -> int | None:
    """Where a single quote that opens a word closes one: `'O'Brien'` has an apostrophe inside."""
    for at in range(start + 1, len(text)):
        if text[at] in _SINGLE and (at + 1 == len(text) or text[at + 1].isspace()):
            return at
    return None
