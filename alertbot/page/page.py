"""What a page is: an address, the question that it asks, and what it shows of the view that answers it. PURE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alertbot.commands.command import Command
from alertbot.commands.view import Needs, View
from alertbot.rules.catalogue import Scope


@dataclass(frozen=True)
class Address:
    """The address of a page: the variable parts of its path, and its query. A key without a value is ""."""

    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def wall(self) -> bool:
        """Whether it is for a wall screen: `?wall`."""
        return "wall" in self.query

    def text(self, name: str) -> str:
        """A value of the query, trimmed; "" if there is none."""
        return self.query.get(name, "").strip()

    def number(self, name: str) -> int:
        """A positive integer of the query; 1 if the value is missing or invalid."""
        text = self.text(name)
        return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 7 else 1


@dataclass(frozen=True)
class Link:
    """A text and the address that it links to."""

    text: str
    href: str


@dataclass(frozen=True)
class OverTime:
    """What a page shows over time, since `window` ago: one metric of an entity, or all that are numbers (key "").

    `tenant` and `parent_id` are "" where the address does not say which.
    """

    tenant: str
    scope: Scope
    entity_id: str
    parent_id: str
    key: str
    window: timedelta


@dataclass(frozen=True)
class Question:
    """What a page reads: the view of a command with these needs. Pages with the same question share one view.

    `over_time` is read of the recording once the view is there, and becomes its `series`.
    """

    command: Command
    needs: Needs
    over_time: OverTime | None = None


@dataclass(frozen=True)
class Shown:
    """What a page shows: a template with its values."""

    template: str
    values: Mapping[str, object] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True)
class Page:
    """One row of PAGES. `name` is that of its route, and `path` its pattern, as starlette writes them."""

    name: str
    path: str
    asks: Callable[[Address], Question]
    shows: Callable[[View, Address, datetime], Shown]
    label: str = ""  # in the navigation; "": not listed there


@dataclass(frozen=True)
class Seen:
    """A view, when it was read, and why it could not be read again since; "" if it is current."""

    view: View | None
    at: datetime | None = None
    problem: str = ""
