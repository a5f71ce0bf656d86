"""`metrics [WORD]`: the metric keys in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from alertbot.commands.command import Asker, Command, Line, Reply
from alertbot.commands.view import View
from alertbot.commands.wording import and_more, echo, problem
from alertbot.rules.catalogue import RULE_SCOPES, catalogue
from alertbot.rules.glossary import Entry, entries, notes

MAX_ENTRIES = 12


def metrics(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """The keys whose name or meaning has all the words, the most interesting first; a scope among them narrows it."""
    scopes = [scope for scope in RULE_SCOPES if scope.value in command.args]
    words = [word for word in command.args if not scopes or word != scopes[0].value]
    matching = entries(catalogue().search(words, scopes[0] if scopes else None))
    if not matching:
        wanted = " ".join(command.args)
        return problem(
            f"No metric key has {echo(wanted)} in its name or meaning.",
            f"Fewer or shorter words find more, such as {view.command} metrics wait",
        )
    return Reply(tuple(_lines(view, matching)))


def _lines(view: View, matching: list[Entry]) -> Iterator[Line]:
    shown = matching[:MAX_ENTRIES]
    for entry in shown:
        yield Line(entry.key, code=True)
        periods = f" · {', '.join(entry.periods)}" if len(entry.periods) > 1 else ""
        yield Line(f"{entry.noun}: {entry.meaning}. {', '.join(entry.scopes)} · {entry.kind}{periods}")
    if more := and_more(len(shown), len(matching)):
        yield Line(f"{more}; {view.command} metrics WORD narrows it down")
    yield from (Line(text) for text in notes(shown))
