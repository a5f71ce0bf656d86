"""From what was typed to a metric key: its exact spelling, its name without the period, its words, or the nearest.

PURE. On a phone, `longest wait` is typed, not `interactionsLongestWaitInQueue.rt`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from alertbot.commands.command import Reply
from alertbot.commands.find import loose, similar
from alertbot.commands.view import View
from alertbot.commands.wording import MAX_NAMES, echo, listed, problem
from alertbot.rules.catalogue import RULE_SCOPES, Scope, ValueType, catalogue
from alertbot.rules.nouns import label, noun, order, parts_of

_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")  # `timeOnStatus` is typed `time on status` too
Keys = Mapping[Scope, Collection[str]]
"""By scope, metric keys."""


@dataclass(frozen=True)
class NamedKey:
    """A metric key, the scopes that have it in the order of `Scope`, and how many of the words named it."""

    key: str
    scopes: tuple[Scope, ...]
    used: int


def keys_of(view: View) -> Keys:
    """The keys of which the last polls have values, by scope."""
    found: dict[Scope, set[str]] = {}
    for tenant in view.tenants:
        for scope, snapshot in tenant.snapshots.items():
            found.setdefault(scope, set()).update(snapshot.columns)
    return {scope: found[scope] for scope in RULE_SCOPES if scope in found}


def named_key(words: Sequence[str], view: View, usage: str) -> NamedKey | Reply:
    """The key that these words begin with, as many of them as name one; or why there is none, and what to ask.

    Exact names first: the key as 8x8 spells it, also in words, its noun or its label; each of them without its period
    too (`entered` is the shortest one that was polled). Otherwise all words, or the first one, may be a part of a name
    that only one key has.
    """
    keys = keys_of(view)
    names = _names(keys)
    for used in range(len(words), 0, -1):
        key = names.get(loose(" ".join(words[:used])))
        if key is not None:
            return NamedKey(key, _scopes(key, keys), used)
    for used in dict.fromkeys((len(words), 1)):
        wanted = loose(" ".join(words[:used]))
        partly = sorted({key for name, key in names.items() if wanted in name}, key=order)
        if len({parts_of(key).base for key in partly}) == 1:
            return NamedKey(partly[0], _scopes(partly[0], keys), used)
        if partly:
            shown = [f"{key} ({noun(key)})" for key in partly]
            return problem(f"{echo(' '.join(words[:used]))} may mean several metrics:", *_bullets(shown), usage)
    return _unknown(words, view, names, usage)


def _bullets(names: Sequence[str]) -> list[str]:
    more = [f"and {len(names) - MAX_NAMES} more"] if len(names) > MAX_NAMES else []
    return [f"• {name}" for name in names[:MAX_NAMES]] + more


def _scopes(key: str, keys: Keys) -> tuple[Scope, ...]:
    return tuple(scope for scope, known in keys.items() if key in known)


def _names(keys: Keys) -> Mapping[str, str]:
    """What keys may be called, folded, with the key; a key as it is spelt comes before what others are called."""
    every = sorted({key for known in keys.values() for key in known}, key=order)
    names: dict[str, str] = {loose(key): key for key in every}
    for key in every:  # shortest period first, so that `entered` is the one of now
        base = parts_of(key).base
        for name in (base, _CAPITAL.sub(" ", base), noun(f"{base}.rt"), noun(key), label(key)):
            names.setdefault(loose(name), key)
    return names


def _unknown(words: Sequence[str], view: View, names: Mapping[str, str], usage: str) -> Reply:
    """A key that the catalogue knows and no rule reads, or a name that is no key at all."""
    if not names:
        errors = [tenant.error for tenant in view.tenants if tenant.error]
        return problem("No values have been polled yet.", *(errors or ["The first poll may not have finished."]))
    typed = words[0]
    known = {key for scope in RULE_SCOPES for key in catalogue().metrics.get(scope, {})}
    exact = next((key for key in known if loose(key) == loose(typed)), None)
    if exact is not None:
        return problem(
            f"{exact} is not polled: no rule reads it.",
            "record: {keys: all} in alertbot.yaml polls every key of the scopes that rules read.",
        )
    near = similar(" ".join(words), names.items()) or similar(typed, names.items())
    if not near:
        scopes = [scope for scope in RULE_SCOPES if scope in keys_of(view)]
        near = [key for scope in scopes if (key := catalogue().nearest(scope, typed)) in set(names.values()) and key]
    near = list(dict.fromkeys(near))
    hint = f"Did you mean {' or '.join(near)}?" if near else f"{view.command} metrics WORD finds keys."
    return problem(f"No metric is called {echo(typed)}.", hint)


def kind_of(key: str, scopes: Iterable[Scope]) -> ValueType | None:
    """The type of a key in the first of these scopes whose catalogue has it; None for a key it does not know."""
    metrics = (catalogue().lookup(scope, key) for scope in scopes)
    return next((metric.type for metric in metrics if metric is not None), None)


def also_of(named: NamedKey, chosen: Scope) -> str:
    """`queue and agent have it too`, or ""."""
    others = [scope.value for scope in named.scopes if scope is not chosen]
    return f"{listed(others)} {'has' if len(others) == 1 else 'have'} this metric too" if others else ""
