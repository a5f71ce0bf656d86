"""What feed alerts say to an administrator: what, since when, what to do, and at the end what changed meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from alertbot.alerts import wording
from alertbot.alerts.alert import Change, State
from alertbot.feed.health import Activity, Health, Limits, Meanwhile, silence
from alertbot.feed.rules import CLOCK, FROZEN, GOOD_AGAIN, PARTIAL, REFUSED, SLOW, STALE
from alertbot.rules.units import write_duration

_ADVICE: Mapping[str, str] = {
    STALE: (
        "Nothing can be seen meanwhile: open alerts stay as they are, and no new ones come. See whether this machine "
        "reaches 8x8 (proxy, firewall, name lookup) and what 8x8's status page says."
    ),
    REFUSED: (
        "Nothing can be seen until that is mended. In 8x8 Admin Console > API Keys, see whether the key is still there "
        'and has the product "Analytics for Contact Center"; put a new key and secret where alertbot.yaml reads them, '
        "and start alertbot again."
    ),
    PARTIAL: (
        "What came is watched; what did not come counts as unknown, and nothing is told for being missing. If it "
        "stays so, open a case with 8x8 and quote the words above."
    ),
    FROZEN: (
        "8x8 answers, but always the same. Compare with its own wallboard: if that stands still too, tell 8x8; if it "
        "moves, look for a proxy that caches."
    ),
    SLOW: "Poll less often (poll_every), watch fewer scopes, or see what stands between this machine and 8x8.",
    CLOCK: "Set this machine's clock by NTP (timedatectl status shows whether it is): alerts show times by it.",
}


def in_words(
    changes: Sequence[Change], health: Health, error: str, took_ms: float, limits: Limits, now: datetime
) -> list[Change]:
    """The feed's changes in words for an administrator: what, since when, what came of it. `error`: of the last poll.

    `health` is the one that `gathered` returned.
    """
    told = []
    for change in changes:
        rule = change.after.key.rule
        if change.after.state is State.INACTIVE and change.reason is not None:
            detail = _over(rule, change, health)
        else:
            detail = _is(rule, health, error, took_ms, limits, now)
        about = replace(change.after.about, detail=detail, advice=_ADVICE[rule])
        told.append(replace(change, after=replace(change.after, about=about), why=detail))
    return told


_WHO = {
    Activity.CALLERS: "callers are there",
    Activity.AGENTS: "agents are logged in",
    Activity.NOBODY: "these are opening hours",
}


def _is(rule: str, health: Health, error: str, took_ms: float, limits: Limits, now: datetime) -> str:
    because = f": {error}" if error else ""
    again = f"over when {GOOD_AGAIN} polls in a row"
    match rule:
        case "feed-stale" if health.silent or silence(health, now) > limits.patience:
            return f"nothing has come for {wording.lasting(silence(health, now))}{because}"
        case "feed-stale":
            return f"values come again; {again} brought some"
        case "feed-refused" if health.refused:
            span = now - (health.bad_since or now)
            return f"refused{f' for {wording.lasting(span)}' if span >= timedelta(seconds=1) else ''}{because}"
        case "feed-refused":
            return f"accepted again; {again} were"
        case "feed-partial" if health.partial:
            return f"{health.partial} polls in a row brought only a part{because}"
        case "feed-partial" if health.good:
            return f"whole again; {again} were"
        case "feed-partial":
            return f"now nothing comes at all{because}"
        case "feed-frozen" if health.still and health.moved_at is not None:
            there = _WHO[health.activity]
            return f"no figure has moved for {wording.lasting(now - health.moved_at)}, though {there}"
        case "feed-frozen":
            return "figures move again" if health.good else f"not known at the moment{because}"
        case "feed-slow":
            took = f"the last poll took {took_ms / 1000.0:.1f} s, {write_duration(limits.slow_after)} is slow"
            return f"{health.slow} polls in a row were slow; {took}" if health.slow else took
        case _:
            return _skew(health)


def _skew(health: Health) -> str:
    if health.skew_s is None:
        return "8x8 does not say what time it is"
    apart = wording.lasting(timedelta(seconds=abs(health.skew_s)))
    return f"the clock of 8x8 is {apart} {'ahead of' if health.skew_s > 0 else 'behind'} that of this machine"


def _over(rule: str, change: Change, health: Health) -> str:
    """The one line at the end: how long, and what changed meanwhile."""
    match rule:
        case "feed-stale" | "feed-refused":
            blind = _between(health.blind_since or health.bad_since, health.served_since)
            return f"blind for {blind}; meanwhile {_meanwhile(health.meanwhile)}"
        case "feed-partial":
            span = _between(health.bad_since, health.good_at)
            return f"not all came for {span}; meanwhile {_meanwhile(health.meanwhile)}"
        case "feed-frozen":
            return "figures move again"
        case "feed-slow":
            return "polls are quick again"
        case _:
            return _skew(health)


def _between(since: datetime | None, until: datetime | None) -> str:
    return wording.lasting(max(until - since, timedelta(0))) if since and until else "a while"


def _meanwhile(found: Meanwhile) -> str:
    parts = [
        f"{count} {word}"
        for count, word in ((found.began, "began"), (found.rose, "rose"), (found.ended, "ended"))
        if count
    ]
    if not parts:
        return "no alert changed"
    total = found.began + found.rose + found.ended
    more = f" and {total - len(found.names)} more" if total > len(found.names) else ""
    return f"of the alerts {', '.join(parts)} ({'; '.join(found.names)}{more})"
