"""`status`: age of the data, what fires, what waits for delivery, problems. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from alertbot.alerts.alert import Alert, State
from alertbot.alerts.delivery import in_one_line
from alertbot.commands.command import Asker, Command, Line, Reply
from alertbot.commands.silences import silences_line
from alertbot.commands.view import ServiceView, View
from alertbot.commands.wording import (
    alert_line,
    and_more,
    clock,
    counted,
    feed_line,
    listed,
    of_tenant,
    rules_lines,
    worst_first,
)
from alertbot.rules.rule import Level
from alertbot.rules.words import count

MAX_PROBLEMS = 10
MAX_WORST = 5  # alerts that `status` lists


def status(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """`status`."""
    lines = [*data_lines(view, now), *_firing(view, now), *silences_line(view, now), *trouble_lines(view, now)]
    return Reply(tuple(lines))


def data_lines(view: View, now: datetime) -> Iterator[Line]:
    """Whether alertbot runs, and how old the data of each tenant is."""
    if view.service is not None and not view.service.running:
        yield _not_running(view.service, view, now)
    if not view.tenants:
        yield Line("No tenant is configured.")
    for tenant in view.tenants:
        yield feed_line(tenant, view, now)


def _not_running(service: ServiceView, view: View, now: datetime) -> Line:
    seen = clock(service.seen_at, view.timezone, now)
    text = f"alertbot is not running (last seen {seen} on host {service.name})."
    if service.stuck:
        text = (
            f"alertbot runs on host {service.name}, but has not written to its database since {seen}: "
            "nothing is decided or reported. Its log and /readyz say why."
        )
    return Line(text, level=Level.CRITICAL, strong=True)


def _firing(view: View, now: datetime) -> Iterator[Line]:
    """What is open, in numbers, and the worst of it."""
    opened = worst_first([alert for alert in view.alerts if alert.open])
    yield headline(view.alerts, opened)
    for alert in opened[:MAX_WORST]:
        yield alert_line(alert, view, now)
    if more := and_more(MAX_WORST, len(opened)):
        yield Line(f"{more}; {view.command} alerts lists them")


def headline(alerts: Sequence[Alert], opened: Sequence[Alert]) -> Line:
    """What is open, in numbers. `opened` are the open ones of all alerts, the worst first."""
    pending = len(alerts) - len(opened)
    also = f" {pending:,} pending." if pending else ""
    if not opened:
        return Line(f"Nothing is firing.{also}")
    acknowledged = sum(alert.acked_by is not None for alert in opened)
    taken = f", {acknowledged:,} acknowledged" if acknowledged else ""
    recovering = opened[0].state is State.RECOVERING
    return Line(f"{counted(opened)}{taken}.{also}", level=opened[0].level, strong=True, recovering=recovering)


def trouble_lines(view: View, now: datetime) -> Iterator[Line]:
    """What waits for delivery or is held back, rules that are not as they are meant, and problems."""
    if view.waiting:
        waiting = count(view.waiting, "message or edit waits", "messages and edits wait")
        trouble = view.problems or view.held_back  # else it only has not been its turn yet
        yield Line(f"To be delivered: {waiting}.", level=Level.WARNING if trouble else None)
    for held in view.held_back:
        said = in_one_line(held, ZoneInfo(view.timezone))
        yield Line(f"{held.channel}: {said}.", level=Level.WARNING)
    yield from (line for line in rules_lines(view, now) if line.level is not None)
    if view.uncovered:
        idle = sorted(view.uncovered)
        yield Line(
            f"A match covers no entity of the last poll in {count(len(idle), 'rule')}: {listed(idle)}; "
            f"{view.command} rules ID says which."
        )
    problems = list(_problems(view))
    yield from (Line(f"Problem: {text}", level=Level.WARNING) for text in problems[:MAX_PROBLEMS])
    if more := and_more(MAX_PROBLEMS, len(problems)):
        yield Line(more)


def _problems(view: View) -> Iterator[str]:
    yield from view.problems
    for tenant in view.tenants:
        for rule, error in tenant.failing.items():
            yield f"{tenant.name}: the rule {rule} failed and makes no decision: {error}"
        for scope, head in tenant.heads.items():
            if not head.complete:
                yield of_tenant(f"the last answer about {scope} is incomplete.", tenant, view)
            yield from (of_tenant(f"{scope}: {text}", tenant, view) for text in head.problems)
