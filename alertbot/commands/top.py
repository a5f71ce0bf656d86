"""`top KEY [n]`: the entities with the worst values of one metric. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from alertbot.commands.command import Asker, Command, Line, Reply, Table
from alertbot.commands.find import Entity, entities
from alertbot.commands.keys import NamedKey, also_of, kind_of, named_key
from alertbot.commands.live import named
from alertbot.commands.view import View
from alertbot.commands.wording import age, clock, figure, is_stale, problem
from alertbot.rules.catalogue import RULE_SCOPES, Scope, ValueType
from alertbot.rules.ignore import is_ignored
from alertbot.rules.nouns import Worse, label, worse
from alertbot.rules.rule import Level
from alertbot.rules.words import count, listed

DEFAULT, MAX_SHOWN = 5, 20


def top(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """The n worst entities, the worst first; a scope among the words narrows it."""
    usage = f"{view.command} top KEY [n]"
    words, scope, number = _taken_apart(command.args)
    if not words:
        return problem(f"Which metric? {usage}", f"{view.command} metrics WORD finds keys, such as longest wait.")
    if not 1 <= number <= MAX_SHOWN:
        return problem(f"The number of entities is {number}: write 1 to {MAX_SHOWN}.", usage)
    found = named_key(words, view, usage)
    if isinstance(found, Reply):
        return found
    if found.used < len(words):
        found = named_key([" ".join(words)], view, usage)  # all of it has to be the name
        if isinstance(found, Reply):
            return found
    if scope is not None and scope not in found.scopes:
        return problem(f"The scope {scope} does not have {found.key}: use {listed(found.scopes, 'or')}.")
    chosen = scope or found.scopes[0]
    kind = kind_of(found.key, found.scopes)
    if kind is ValueType.TEXT or (kind is None and _is_text(view, chosen, found.key)):
        return problem(f"{found.key} is text: its values cannot be ranked.", f"{view.command} metrics WORD")
    return Reply(tuple(_shown(view, found, chosen, kind or ValueType.NUMBER, number, now)))


def _taken_apart(args: Sequence[str]) -> tuple[list[str], Scope | None, int]:
    """The words of the key, the scope and the number."""
    words, number = list(args), DEFAULT
    if len(words) > 1 and words[-1].isascii() and words[-1].lstrip("-").isdigit():
        number = int(words.pop()[:6])
    scopes = {scope.value: scope for scope in RULE_SCOPES}
    scope = None
    if len(words) > 1:
        scope = next((scopes[word.casefold()] for word in words if word.casefold() in scopes), None)
        words = [word for word in words if scope is None or word.casefold() != scope.value]
    return words, scope, number


def _is_text(view: View, scope: Scope, key: str) -> bool:
    columns = [tenant.snapshots[scope].columns.get(key) for tenant in view.tenants if scope in tenant.snapshots]
    return any(column is not None and column.is_text for column in columns)


def _shown(
    view: View, found: NamedKey, scope: Scope, kind: ValueType, number: int, now: datetime
) -> Iterator[Line | Table]:
    which = worse(found.key)
    valued: list[tuple[float, Entity]] = []
    every = [
        each
        for each in entities(view.tenants, scope)
        if found.key in each.snapshot.columns and not is_ignored(each.tenant.ignore, scope, each.id, each.full_name)
    ]
    for each in every:
        value, _ = each.snapshot.reading(found.key, each.row)
        if isinstance(value, float):
            valued.append((value, each))
    valued.sort(key=lambda pair: (pair[0] if which is Worse.LOW else -pair[0], pair[1].name.casefold(), pair[1].id))
    order = "lowest" if which is Worse.LOW else "highest"
    shown = valued[:number]
    yield Line(f"{label(found.key)}: the {order} of {count(len(every), scope.replace('_', ' '))}", strong=True)
    yield from _ages(view, scope, now)
    if shown:
        zone = ZoneInfo(view.timezone)
        rows = tuple((_name(each, view), figure(value, kind, zone)) for value, each in shown)
        yield Table((scope.value.replace("_", " ").capitalize(), "Now"), rows)
    if len(valued) < len(every):
        without = len(every) - len(valued)
        yield Line(f"{count(without, scope.replace('_', ' '))} {'has' if without == 1 else 'have'} no value.")
    if which is Worse.NEITHER:
        yield Line("Neither a high nor a low value of this metric is bad in itself.")
    if also := also_of(found, scope):
        other = next(each for each in found.scopes if each is not scope)
        yield Line(f"{also}: {view.command} top {found.key} {other}")


def _name(each: Entity, view: View) -> str:
    parent = each.snapshot.parent(each.row)[1] if each.snapshot.scope in (Scope.QUEUE_AGENT, Scope.GROUP_AGENT) else ""
    return f"{named(each, view)} ({parent})" if parent else named(each, view)


def _ages(view: View, scope: Scope, now: datetime) -> Iterator[Line]:
    """How old the values are: the oldest, marked where that is stale."""
    times = [tenant.snapshots[scope].at for tenant in view.tenants if scope in tenant.snapshots]
    at = min(times)
    if is_stale(at, view, now):
        yield Line(
            f"STALE: values are {age(at, now)} old (of {clock(at, view.timezone, now)}).",
            level=Level.CRITICAL,
            strong=True,
        )
    else:
        yield Line(f"As of {age(at, now)} ago.")
