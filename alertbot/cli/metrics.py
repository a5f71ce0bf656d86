"""`metrics`: the metric keys in words."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from alertbot.cli.shell import PROBLEM, AsJson
from alertbot.cli.show import err, print_json, say
from alertbot.errors import UsageError
from alertbot.rules.catalogue import RULE_SCOPES, Scope, catalogue
from alertbot.rules.glossary import Entry, entries, notes
from alertbot.rules.words import listed, nearest


def metrics(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORD…]", help="Words that must all be found, in the key or its meaning."),
    ] = None,
    scope: Annotated[str, typer.Option("--scope", metavar="SCOPE", help="Only keys of this scope.")] = "",
    as_json: AsJson = False,
) -> None:
    """List metric keys in words: scopes, periods, type, unit and meaning. With words, only the keys that have them."""
    matching = entries(catalogue().search(words or [], _scope(scope)))
    if as_json:
        print_json([_json(entry) for entry in matching])
    elif matching:
        _show(matching)
    else:
        wanted = f" with {listed([repr(word) for word in words])}" if words else ""
        err.print(f"no metric key{wanted}{f' in {scope}' if scope else ''}", markup=False, soft_wrap=True)
    if not matching:
        raise typer.Exit(PROBLEM)


def _scope(text: str) -> Scope | None:
    """The scope of that name, None for no text. Raises UsageError where there is none."""
    if not text:
        return None
    names = [str(scope) for scope in RULE_SCOPES]
    if text not in names:
        near = nearest(text, names)
        hint = f"did you mean {near[0]}?" if near else f"write {listed(names, 'or')}"
        raise UsageError(f"--scope: there is no scope {text!r} ({hint})")
    return Scope(text)


def _json(entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "keys": list(entry.keys),
        "scopes": [str(scope) for scope in entry.scopes],
        "periods": list(entry.periods),
        "type": str(entry.type),
        "unit": entry.unit,
        "noun": entry.noun,
        "worse": str(entry.worse),
        "meaning": entry.meaning,
    }


def _show(matching: list[Entry]) -> None:
    for entry in matching:
        say(entry.key, style="bold")
        say(f"    {entry.noun}: {entry.meaning}")
        say(f"    {', '.join(entry.scopes)} · {entry.kind} · {', '.join(entry.periods)}")
    for line in notes(matching):
        say(line)
