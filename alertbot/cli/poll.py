"""`poll`: one poll of every tenant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from alertbot import logs
from alertbot.alerts.alert import State
from alertbot.alerts.delivery import HeldBack, in_one_line
from alertbot.cli.shell import PROBLEM, AsJson, Config, leave
from alertbot.cli.show import print_json, say
from alertbot.cli.show_reply import STYLES
from alertbot.config.load import config_path, load
from alertbot.notify.facts import zone_of
from alertbot.poll import Turn
from alertbot.service.app import App, build

MAX_WAIT_S = 30.0
"""Seconds that `poll` waits in all for what has to wait: 429, and one message a second and channel."""

MAX_PICTURES_S = 20.0
"""Seconds that it waits for charts in the threads of cards, after everything else; the next run posts the others."""


def poll(
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do not store or send anything.")] = False,
    as_json: AsJson = False,
) -> None:
    """Poll every tenant once, deliver what is due, and report what was seen and decided. For cron and for testing."""
    settings = load(config_path(config))
    logs.configure(settings.secrets(), quiet=True)
    app = build(settings, dry_run=dry_run)
    posted = 0
    try:
        if not dry_run:
            app.take_lease()
        outcomes = app.poller.once(app.tenants, dry_run=dry_run)
        if not dry_run:
            if app.digest is not None:
                app.digest.run()
            app.courier.deliver_all(MAX_WAIT_S)
            posted = app.fallback.run() if app.fallback is not None else 0
            if app.pictures is not None:
                app.pictures.post_all(MAX_PICTURES_S)
            app.retention.run()
        totals = app.store.totals()
        held_in = [] if dry_run else app.store.held_back(app.clock())
        notified, held_back = (None, None) if dry_run else (app.courier.notified, totals.waiting)
        pending = {name: _pending(app, name) for name in outcomes}
        firing = {} if dry_run else {name: firing_now(app, name) for name in outcomes}
    finally:
        clean = app.stop()
    if as_json:
        print_json(
            {
                name: _poll_json(each, firing.get(name), notified, held_back, held_in, posted)
                for name, each in outcomes.items()
            }
        )
    else:
        for name, each in outcomes.items():
            _show_polled(name, each)
            if not dry_run:
                say(f"  {firing[name]} firing, {pending[name]} pending")
        if not dry_run:
            limited = "; ".join(f"{each.channel}: {in_one_line(each, zone_of(settings.timezone))}" for each in held_in)
            why = totals.waiting_for or app.courier.problem or limited or "not due yet"
            say(f"{notified} notified, {held_back} held back{f': {why}' if held_back else ''}")
            if posted:
                say(f"{posted} posted to the fallback webhook")
            if app.fallback is not None and app.fallback.problem:
                say(app.fallback.problem, style="yellow")
    good = all(isinstance(each, Turn) and each.good for each in outcomes.values())
    if not good or held_back:
        raise typer.Exit(PROBLEM)
    leave(clean)


def firing_now(app: App, tenant: str) -> int:
    """The number of open alerts of a tenant, without those of shadow rules."""
    return sum(alert.open and not alert.shadow for alert in app.store.alerts(tenant))


def _pending(app: App, tenant: str) -> int:
    return sum(alert.state is State.PENDING and not alert.shadow for alert in app.store.alerts(tenant))


def _poll_json(
    polled: Turn | str,
    firing: int | None,
    notified: int | None,
    held_back: int | None,
    held_in: Sequence[HeldBack],
    posted: int,
) -> dict[str, Any]:
    if isinstance(polled, str):
        return {"problems": [polled]}
    fetched = polled.fetched
    assert fetched is not None  # `poll` asks 8x8, or says why not
    would_fire = sum(change.after.open and not change.after.shadow for change in polled.changes)
    return {
        "entities": {scope: len(snapshot) for scope, snapshot in polled.snapshots.items()},
        "requests": [
            {
                "endpoint": each.endpoint,
                "page": each.page,
                "keys": each.keys,
                "entities": each.entities,
                "bytes": each.bytes,
                "took_ms": round(each.took_ms, 1),
                "tries": each.tries,
                "scopes": each.scopes,
                "outcome": each.outcome,
            }
            for each in fetched.requests
        ],
        "took_ms": round(fetched.took_ms, 1),
        "firing": would_fire if firing is None else firing,
        "changes": [
            {
                "rule": each.after.key.rule,
                "entity": each.after.name,
                "from": each.before.state if each.before else State.INACTIVE,
                "to": each.after.state,
                "level": each.after.level.word,
                "reason": each.reason,
                "why": each.why,
                "withheld": each.withheld,  # why it is not reported, null if it is
            }
            for each in polled.changes
            if each.moved
        ],
        "told": notified,
        "held_back": held_back,
        "posted_to_fallback_webhook": posted,  # of all tenants
        "held_back_in": [  # channels that got `max_messages` within the last minute, of all tenants
            {
                "channel": each.channel,
                "messages": each.messages,
                "until": each.until.isoformat(),
                "limit": each.limit,
                "names": each.names,
            }
            for each in held_in
        ],
        "problems": [*polled.problems, *fetched.problems],
        "notes": fetched.notes,
    }


def _show_polled(name: str, polled: Turn | str) -> None:
    if isinstance(polled, str):
        say(f"{name}: {polled}")
        return
    fetched = polled.fetched
    assert fetched is not None  # `poll` asks 8x8, or says why not
    seen = ", ".join(f"{len(each)} {scope.removesuffix('s')}s" for scope, each in polled.snapshots.items()) or "nothing"
    requests = fetched.requests
    asked = f"{len(requests)} request{'' if len(requests) == 1 else 's'}"
    say(f"{name}: saw {seen} in {asked}, {fetched.took_ms:.0f} ms")
    for note in fetched.notes:
        say(f"  note: {note}")
    for problem in (*polled.problems, *fetched.problems):
        say(f"  problem: {problem}", style="yellow")
    for each in polled.changes:
        if each.moved:
            after = each.after
            what = f"{after.about.title}: {after.name}"
            muted = f" (not reported: {each.withheld.replace('_', ' ')})" if each.withheld else ""
            text = f"  {after.state:<10} {after.level.word:<8} {what}: {each.why}{muted}"
            say(text, style=STYLES[after.level] if after.open else "")
