"""The table of subcommands, and the way from a command to its answer: (view, command, asker, now) -> Reply. PURE.

A new subcommand is one function and one row of COMMANDS. The row says what its answer reads, whether it changes
something, which button of a card asks the same and what the Slack manifest shows of it; `help`, the README table, the
view, the listeners of Slack and the manifest are made from the rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from alertbot.alerts.alert import Alert, Outcome
from alertbot.alerts.silence import Silence
from alertbot.commands import chart as charts
from alertbot.commands import digest as digests
from alertbot.commands import history as ended
from alertbot.commands.changes import (
    acknowledge,
    alert_id,
    change_reply,
    give_back,
    no_target,
    refused,
    resolve,
    target,
    unacknowledge,
)
from alertbot.commands.command import (
    AlertWish,
    Asker,
    Command,
    Line,
    Reply,
    Table,
    Wish,
    shown,
)
from alertbot.commands.find import entities, find, find_rules, loose, similar
from alertbot.commands.hours import hours
from alertbot.commands.live import entity
from alertbot.commands.meant import meant
from alertbot.commands.metrics import metrics
from alertbot.commands.rules import named_by_rules, rules
from alertbot.commands.silence_menu import chosen, no_option, silence_chosen
from alertbot.commands.silences import (
    SILENCE_HELP,
    USAGE,
    silence,
    silence_reply,
    silences,
    silences_line,
    unsilence,
)
from alertbot.commands.status import status
from alertbot.commands.top import top
from alertbot.commands.view import Need, Needs, Recorded, View
from alertbot.commands.why import named_by_why, why
from alertbot.commands.wording import (
    MAX_ALERTS,
    alert_line,
    and_more,
    counted,
    echo,
    feed_line,
    problem,
    worst_first,
)
from alertbot.rules.catalogue import RULE_SCOPES, Scope
from alertbot.rules.match import matches
from alertbot.rules.privacy import NAMES_IN_FULL, Names
from alertbot.rules.rule import Rule
from alertbot.rules.words import count, nearest

Answer = Callable[[View, Command, Asker, datetime], Reply]
NamedRules = Callable[[Command, Sequence[Rule], Sequence[Alert]], Sequence[Rule]]


@dataclass(frozen=True)
class Button:
    """What a button or menu of a card asks of the row that it belongs to."""

    action: str  # the action id
    args: Callable[[str], tuple[str, ...]] = target  # the arguments that a value stands for; (): the value is invalid
    wrong: Callable[[str], Reply] = no_target  # the answer to an invalid value, by the slash command
    answer: Answer | None = None  # None: as if it had been typed
    needs: Needs | None = None  # what that reads; None: what the row needs
    shown: bool = False  # the card shows the change, so there is no other answer


@dataclass(frozen=True)
class Subcommand:
    """One row of COMMANDS."""

    name: str
    usage: str  # what comes after the slash command
    help: str  # one sentence
    answer: Answer
    needs: Needs = frozenset()  # what the answer reads
    needs_named: Needs = frozenset()  # what it reads besides where the command has arguments
    named: NamedRules | None = None  # which rules the command names; for Need.EVALUATION and Need.SHADOW_COUNTS
    looks_back: Callable[[Command], timedelta] | None = None  # how far; for Need.HISTORY and Need.QUALITY
    recorded: Callable[[View, Command, datetime], Recorded | None] | None = None  # what of it; for Need.RECORDING
    late: bool = False  # reading or drawing may take long: it is answered after the acknowledgement
    changes: bool = False  # it changes something: refused for those who may not
    hint: str = ""  # what the usage hint of the Slack manifest shows of it; "": nothing
    reads_times: bool = False  # it reads times of day that the asker typed
    details: tuple[str, ...] = ()  # more lines of its help
    button: Button | None = None  # on cards


def subcommand(name: str) -> Subcommand | None:
    """The row of that name; None where there is none."""
    return _BY_NAME.get(name)


def needs_of(command: Command) -> Needs:
    """What the answer to this command reads; of an unknown subcommand nothing."""
    row = _BY_NAME.get(command.name)
    if row is None:
        return frozenset()
    if command.pressed and row.button is not None and row.button.needs is not None:
        return row.button.needs
    return row.needs | row.needs_named if command.args else row.needs


def named_rules(command: Command, rules: Sequence[Rule], alerts: Sequence[Alert]) -> Sequence[Rule]:
    """The rules that a command is about, where its row says how it names them.

    `rules` are those that run, `alerts` those that have not ended.
    """
    row = _BY_NAME.get(command.name)
    return row.named(command, rules, alerts) if row is not None and row.named is not None else ()


def history_since(command: Command, now: datetime) -> datetime:
    """From when on the command asks for ended alerts."""
    row = _BY_NAME.get(command.name)
    return now - row.looks_back(command) if row is not None and row.looks_back is not None else now


def recorded_of(view: View, command: Command, now: datetime) -> Recorded | None:
    """What the answer reads of the recording, or None. `view` holds everything else that it reads."""
    row = _BY_NAME.get(command.name)
    return row.recorded(view, command, now) if row is not None and row.recorded is not None else None


def usage_hint() -> str:
    """What the Slack manifest shows beside the slash command."""
    return " | ".join(row.hint for row in COMMANDS if row.hint)


def answer(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """The answer to what was asked. It reads its arguments alone; a change is a wish in the Reply.

    `view` holds at least what `needs_of` the command names.
    """
    row = _BY_NAME.get(command.name)
    if row is None:
        near = _nearest(command.name)
        hint = f"Did you mean {view.command} {near.usage}?" if near else f"There are: {', '.join(_BY_NAME)}."
        return problem(f"There is no subcommand {echo(command.name)}.", hint, f"{view.command} help says more.")
    if row.changes and not asker.may_change:
        return refused(asker.who_may)
    if command.pressed and row.button is not None and row.button.answer is not None:
        return shown(row.button.answer(view, command, asker, now), view.names)
    return shown(row.answer(view, command, asker, now), view.names)


def press(action_id: str, value: str) -> Command | None:
    """What a button of BUTTONS asks; None if its value is invalid: then `Button.wrong` is the answer."""
    row = BUTTONS[action_id]
    args = row.button.args(value) if row.button is not None else ()
    return Command(row.name, args, pressed=True) if args else None


def changed(
    wish: Wish,
    result: Outcome,
    subject: Alert | Silence | None,
    asker: Asker,
    now: datetime,
    timezone: str,
    names: Names = NAMES_IN_FULL,
) -> Reply:
    """The answer to a wish: what the store decided about it, and the alert or the silence as it is now."""
    if isinstance(wish, AlertWish):
        alert = subject if isinstance(subject, Alert) else None
        return shown(change_reply(wish, result, alert, asker, now=now, timezone=timezone), names)
    silence = subject if isinstance(subject, Silence) else None
    return shown(silence_reply(wish, result, silence, asker, now, timezone), names)


def _nearest(name: str) -> Subcommand | None:
    if (known := meant(name, _BY_NAME)) is not None:
        return _BY_NAME[known]
    completed = [row for row in COMMANDS if len(name) > 1 and row.name.startswith(name)]
    return next(iter([*completed, *(_BY_NAME[near] for near in nearest(name, _BY_NAME, cutoff=0.55))]), None)


def _help(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    if command.args:
        name = command.args[0].casefold()
        row = _BY_NAME.get(name) or _nearest(name)
        if row is None:
            return problem(f"There is no subcommand {echo(name)}.", f"There are: {', '.join(_BY_NAME)}.")
        return Reply(
            (Line(f"{view.command} {row.usage}", code=True), *(Line(text) for text in (row.help, *row.details)))
        )
    rows = tuple((row.usage, row.help) for row in COMMANDS)
    return Reply(
        (
            Line(f"Type {view.command} and one of these:"),
            Table(("What", "Answer"), rows),
            Line("Names may be shortened; use quotes around names with spaces."),
            Line("Only you see the answer: add public at the end to share it with the channel."),
        )
    )


def _alerts(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    terms = [arg for arg in command.args if _LABEL.match(arg)]
    words = " ".join(arg for arg in command.args if arg not in terms)
    wanted = " ".join(command.args)
    alerts = worst_first(
        [alert for alert in view.alerts if (not words or is_about(alert, words)) and _has_labels(alert, terms)]
    )
    opened = [alert for alert in alerts if alert.open]
    pending = len(alerts) - len(opened)
    if words and not alerts and not terms and not _is_known(view, words):
        return _unknown_name(view, words)
    about = f" for {echo(wanted)}" if wanted else ""
    total = counted(opened) if opened else "No open alert"
    lines = [Line(f"{total[:1].upper()}{total[1:]}{about}.", strong=True)]
    lines += [alert_line(alert, view, now) for alert in opened[:MAX_ALERTS]]
    if more := and_more(MAX_ALERTS, len(opened)):
        lines.append(Line(f"{more}; {view.command} alerts RULE or NAME narrows it down"))
    if pending:
        lines.append(Line(f"{count(pending, 'alert is', 'alerts are')} pending: reported if the condition lasts."))
    lines += silences_line(view, now)
    feeds = [feed_line(tenant, view, now) for tenant in view.tenants]
    lines += [line for line in feeds if line.level is not None]  # "no alert" from a bot without data is no good news
    return Reply(tuple(lines))


def _is_known(view: View, wanted: str) -> bool:
    """Whether a rule or an entity is meant, although no alert is; so too while no entity has been seen yet."""
    known = [each for scope in RULE_SCOPES for each in entities(view.tenants, scope)]
    if not known or alert_id(wanted) is not None or find_rules(view.rules.rules, wanted) or find(known, wanted):
        return True
    return any(loose(wanted) in loose(each.snapshot.parent(each.row)[1]) for each in known)


def _unknown_name(view: View, wanted: str, otherwise: str = "") -> Reply:
    rules = [(name, rule.id) for rule in view.rules.rules for name in (rule.id, rule.title)]
    names = [(each.full_name, each.name) for scope in RULE_SCOPES for each in entities(view.tenants, scope)]
    near = dict.fromkeys(similar(wanted, [*rules, *names]))
    hint = (
        f"Did you mean {' or '.join(near)}?" if near else otherwise or f"{view.command} alerts lists all open alerts."
    )
    return problem(f"No rule, queue, group or agent is called {echo(wanted)}.", hint)


def unknown_in_history(view: View, wanted: str) -> Reply | None:
    """The refusal if no rule, queue, group or agent has that name; None if one has."""
    hint = f"{view.command} history lists all ended alerts."
    return None if _is_known(view, wanted) else _unknown_name(view, wanted, hint)


def is_about(alert: Alert, wanted: str) -> bool:
    """Whether an alert is about what was typed: a rule, an entity, or its own id."""
    if f"#{alert.id}" == wanted or alert.key.rule == wanted or is_named(alert, wanted):
        return True
    return any(loose(wanted) in loose(name) for name in (alert.key.rule, alert.about.title))


def is_named(alert: Alert, wanted: str) -> bool:
    """Whether its entity has this id, or this in its name or in that of its parent."""
    if alert.key.entity_id == wanted:
        return True
    return any(loose(wanted) in loose(name) for name in (alert.entity_name, alert.name, alert.parent_name))


_LABEL = re.compile(r"label\.([^=]+)=(.*)", re.DOTALL)


def _has_labels(alert: Alert, terms: list[str]) -> bool:
    """Whether it has the label of every `label.NAME=VALUE`; values are globs, compared as names are."""
    labels = alert.about.labels
    pairs = [parts.groups() for term in terms if (parts := _LABEL.match(term))]
    return all(name in labels and matches(value, labels[name]) for name, value in pairs)


_LIVE: Needs = frozenset(
    {Need.FEEDS, Need.ALERTS, Need.RULES, Need.SILENCES}
)  # with the snapshot of the scope asked about

COMMANDS: tuple[Subcommand, ...] = (
    Subcommand("help", "help [subcommand]", "The subcommands; with a name, how that one is used.", _help, hint="help"),
    Subcommand(
        "status",
        "status",
        "Age of the data, what is firing, what waits for delivery, problems.",
        status,
        needs=frozenset(
            {
                *(Need.FEEDS, Need.HEADS, Need.VERSIONS, Need.ALERTS, Need.OUTBOX, Need.SERVICE, Need.COVERAGE),
                Need.RULES,
                Need.SILENCES,
            }
        ),
        hint="status",
        named=lambda command, rules, alerts: rules,
    ),
    Subcommand(
        "alerts",
        "alerts [rule or name] [label.NAME=VALUE]",
        "Open alerts with value, since when, and who has them.",
        _alerts,
        needs=frozenset({Need.FEEDS, Need.ALERTS, Need.SILENCES}),
        needs_named=frozenset({Need.RULES, *RULE_SCOPES}),
        hint="alerts",
    ),
    Subcommand(
        "history",
        "history [rule or name] [window]",
        "Ended alerts: when, how long, the worst value, and who acknowledged them. Default window: 1d.",
        partial(ended.history, is_about, unknown_in_history),
        needs=frozenset({Need.HISTORY}),
        needs_named=frozenset({Need.RULES, *RULE_SCOPES}),
        looks_back=ended.looks_back,
        hint="history",
    ),
    Subcommand(
        "digest",
        "digest [window]",
        "Alert quality: what fired most, was never acknowledged or flapped, and what to do about it. "
        "Default window: 7d.",
        digests.digest,
        needs=frozenset({Need.QUALITY, Need.RULES, Need.COVERAGE, Need.ALERTS}),
        named=lambda command, rules, alerts: rules,
        looks_back=digests.looks_back,
    ),
    Subcommand(
        "queue",
        "queue NAME",
        "A queue's values now, and its alerts.",
        partial(entity, Scope.QUEUE),
        needs=_LIVE | {Scope.QUEUE},
        hint="queue NAME",
    ),
    Subcommand(
        "group",
        "group NAME",
        "A group's values now, and its alerts.",
        partial(entity, Scope.GROUP),
        needs=_LIVE | {Scope.GROUP},
    ),
    Subcommand(
        "agent",
        "agent NAME",
        "An agent's values now, and their alerts.",
        partial(entity, Scope.AGENT),
        needs=_LIVE | {Scope.AGENT},
    ),
    Subcommand(
        "top",
        "top KEY [n]",
        "The n entities with the worst values of a metric now; 5 by default.",
        top,
        needs=frozenset({Need.FEEDS, *RULE_SCOPES}),
        hint="top KEY",
    ),
    Subcommand(
        "chart",
        "chart KEY NAME [window]",
        "A metric over time, with its limits and alerts; a picture in Slack. Default window: 6h.",
        charts.chart,
        needs=frozenset({Need.FEEDS, Need.ALERTS, Need.RULES, Need.HISTORY, Need.RECORDING, *RULE_SCOPES}),
        looks_back=charts.looks_back,
        recorded=charts.recorded_of,
        late=True,
        hint="chart KEY NAME",
    ),
    Subcommand(
        "rules",
        "rules [id]",
        "The rules that run; with an id, what that rule says.",
        rules,
        needs=frozenset(
            {
                *(Need.RULES, Need.VERSIONS, Need.ALERTS, Need.SHADOW_COUNTS, Need.COVERAGE, Need.TEXT_VALUES),
                Need.SILENCES,
            }
        ),
        named=named_by_rules,
    ),
    Subcommand("metrics", "metrics [WORD]", "Metric keys in words, with scope, unit and periods.", metrics),
    Subcommand(
        "hours",
        "hours [NAME]",
        "Opening hours: open or closed now, and when that changes.",
        hours,
        needs=frozenset({Need.RULES}),
    ),
    Subcommand(
        "why",
        "why RULE NAME",
        "The last decision about that entity, term by term, with values.",
        why,
        needs=frozenset({Need.RULES, Need.ALERTS, Need.EVALUATION, Need.ENDED, Need.LATCHED, Need.SILENCES}),
        named=named_by_why,
        button=Button("why"),
    ),
    Subcommand(
        "ack",
        "ack ID [note]",
        "Acknowledge an alert; its card shows who has it.",
        acknowledge,
        needs=frozenset({Need.ALERTS, Need.SILENCES}),
        changes=True,
        hint="ack ID",
        button=Button("acknowledge", shown=True),
    ),
    Subcommand(
        "unack",
        "unack ID",
        "Give back an alert, so that another user can take it.",
        unacknowledge,
        needs=frozenset({Need.ALERTS, Need.SILENCES}),
        changes=True,
        button=Button("give_back", answer=give_back, shown=True),
    ),
    Subcommand(
        "resolve",
        "resolve ID [why]",
        "Close a stuck alert by hand; it fires again only after its condition has been false.",
        resolve,
        needs=frozenset({Need.ALERTS, Need.SILENCES}),
        changes=True,
    ),
    Subcommand(
        "silence",
        f"silence {USAGE}",
        "Silence matching alerts: they are tracked but not reported. silence ID FOR extends a silence.",
        silence,
        needs=frozenset({Need.ALERTS, Need.RULES, Need.SILENCES, *RULE_SCOPES}),
        changes=True,
        hint="silence MATCH FOR",
        reads_times=True,
        details=SILENCE_HELP,
        button=Button(
            "silence",
            args=chosen,
            wrong=no_option,
            answer=silence_chosen,
            needs=frozenset({Need.ALERTS, Need.CARD, Need.ENDED, Need.RULES, Need.SILENCES}),
        ),
    ),
    Subcommand(
        "silences",
        "silences",
        "Silences, with the time left, the author, and the alerts that they match now.",
        silences,
        needs=frozenset({Need.ALERTS, Need.SILENCES}),
    ),
    Subcommand(
        "unsilence",
        "unsilence ID",
        "End a silence now.",
        unsilence,
        needs=frozenset({Need.ALERTS, Need.SILENCES}),
        changes=True,
    ),
)
BUTTONS = {row.button.action: row for row in COMMANDS if row.button is not None}
"""By action id, the rows that cards ask."""
_BY_NAME = {row.name: row for row in COMMANDS}
