"""What feed alerts say to an administrator: what, since when, what to do, and when it ends, what changed meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from alertbot.alerts import wording
from alertbot.alerts.alert import Change, State
from alertbot.feed.health import Activity, Health, Limits, Meanwhile, silence
from alertbot.feed.rules import CLOCK, FROZEN, GOOD_AGAIN, PARTIAL, REFUSED, SLOW, STALE
from alertbot.rules.units import write_duration
from alertbot.rules.words import listed

_ADVICE: Mapping[str, str] = {
    STALE: (
        "Until it ends, open alerts stay as they are and no new ones begin. Check whether this machine can reach 8x8 "
        "(proxy, firewall, DNS) and what 8x8's status page says."
    ),
    REFUSED: (
        "There is no data until this is fixed. In 8x8 Admin Console > API Keys, check that the key still exists "
        'and has the product "Analytics for Contact Center"; put a new key and secret where alertbot.yaml reads them, '
        "and restart alertbot."
    ),
    PARTIAL: (
        "Rules are evaluated on the data that came; the rest counts as unknown, and missing data raises no alert. If "
        "it persists, open a case with 8x8 and quote the text above."
    ),
    FROZEN: (
        "8x8 answers, but always with the same values. Compare with 8x8's own wallboard: if that is frozen too, report "
        "it to 8x8; if it changes, look for a proxy that caches."
    ),
    SLOW: "Poll less often (poll_every), use fewer scopes in rules, or check the network between this machine and 8x8.",
    CLOCK: "Synchronise this machine's clock by NTP (check with timedatectl status): alerts show times from it.",
}


def in_words(
    changes: Sequence[Change], health: Health, error: str, took_ms: float, limits: Limits, now: datetime
) -> list[Change]:
    """The changes of feed alerts with texts for an administrator. `error` is that of the last poll.

    `health` is after `with_meanwhile`.
    """
    worded = []
    for change in changes:
        rule = change.after.key.rule
        if change.after.state is State.INACTIVE and change.reason is not None:
            detail = _ended(rule, health)
        else:
            detail = _present(rule, health, error, took_ms, limits, now)
        about = replace(change.after.about, detail=detail, advice=_ADVICE[rule])
        worded.append(replace(change, after=replace(change.after, about=about), words=detail))
    return worded


_WHO = {
    Activity.CALLERS: "there are callers",
    Activity.AGENTS: "agents are logged in",
    Activity.NOBODY: "these are opening hours",
}


def _present(rule: str, health: Health, error: str, took_ms: float, limits: Limits, now: datetime) -> str:
    because = f": {error}" if error else ""
    again = f"ends after {GOOD_AGAIN}"
    match rule:
        case "feed-stale" if health.silent or silence(health, now) > limits.stale_limit:
            return f"no data for {wording.lasting(silence(health, now))}{because}"
        case "feed-stale":
            return f"data again; {again} polls in a row with data"
        case "feed-refused" if health.refused:
            lasted = now - (health.bad_since or now)
            return f"refused{f' for {wording.lasting(lasted)}' if lasted >= timedelta(seconds=1) else ''}{because}"
        case "feed-refused":
            return f"accepted again; {again} accepted polls in a row"
        case "feed-partial" if health.partial:
            return f"{health.partial} polls in a row were incomplete{because}"
        case "feed-partial" if health.good:
            return f"complete again; {again} complete polls in a row"
        case "feed-partial":
            return f"now there is no data at all{because}"
        case "feed-frozen" if health.still and health.moved_at is not None:
            there = _WHO[health.activity]
            return f"no value has changed for {wording.lasting(now - health.moved_at)}, although {there}"
        case "feed-frozen":
            return "values change again" if health.good else f"unknown at the moment{because}"
        case "feed-slow":
            took = f"the last poll took {took_ms / 1000.0:.1f} s (slow: over {write_duration(limits.slow_after)})"
            return f"{health.slow} polls in a row were slow; {took}" if health.slow else took
        case _:
            return _skew(health)


def _skew(health: Health) -> str:
    if health.skew_s is None:
        return "8x8 does not report its time"
    apart = wording.lasting(timedelta(seconds=abs(health.skew_s)))
    return f"8x8's clock is {apart} {'ahead of' if health.skew_s > 0 else 'behind'} this machine's clock"


def _ended(rule: str, health: Health) -> str:
    """The one line at the end: how long it lasted, and what changed meanwhile."""
    match rule:
        case "feed-stale" | "feed-refused":
            lasted = _between(health.blind_since or health.bad_since, health.served_since)
            return f"back after {lasted} without data; {_meanwhile(health.meanwhile)}"
        case "feed-partial":
            lasted = _between(health.bad_since, health.good_at)
            return f"complete again after {lasted}; {_meanwhile(health.meanwhile)}"
        case "feed-frozen":
            return "values change again"
        case "feed-slow":
            return "polls are fast again"
        case _:
            return _skew(health)


def _between(since: datetime | None, until: datetime | None) -> str:
    return wording.lasting(max(until - since, timedelta(0))) if since and until else "a while"


def _meanwhile(meanwhile: Meanwhile) -> str:
    counts = ((meanwhile.began, "began"), (meanwhile.rose, "rose"), (meanwhile.ended, "ended"))
    parts = [f"{number} {word}" for number, word in counts if number]
    if not parts:
        return "no alert changed meanwhile"
    total = sum(number for number, _ in counts)
    more = f" and {total - len(meanwhile.names)} more" if total > len(meanwhile.names) else ""
    first, _, rest = listed(parts).partition(" ")
    alerts = "alert" if first == "1" else "alerts"
    return f"{first} {alerts} {rest} meanwhile: {'; '.join(meanwhile.names)}{more}"
