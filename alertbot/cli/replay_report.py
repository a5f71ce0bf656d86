"""The results of a replay in words and in JSON: what fired, and what a change would add and remove."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any

from alertbot.backtest.episodes import Difference, Episode, ReplayResult, RuleResult
from alertbot.rules.units import format_duration, format_value
from alertbot.rules.words import count

_MAX_NAMED = 8  # entities, or changed alerts, that are listed by name
_BARS = " ▁▂▃▄▅▆▇█"


def describe(history: ReplayResult, zone: tzinfo) -> Iterator[str]:
    """What every rule did, the busiest first."""
    if history.first is None or history.last is None:
        yield "There are no recorded polls in this period."
        return
    yield f"{period(history, zone)}: {_polls(history)}"
    fired = [each for each in history.rules if each.episodes]
    for each in sorted(fired, key=lambda one: (-len(one.episodes), one.rule.id)):
        yield ""
        yield from _rule(each, history, zone)
    quiet = [each.rule.id for each in history.rules if not each.episodes]
    if quiet:
        yield ""
        yield f"never fired: {', '.join(quiet)}"
    total = sum(len(each.episodes) for each in history.rules)
    yield ""
    yield f"In all: {count(total, 'alert')}, {_a_day(sum(each.notice_count for each in history.rules), history)}"


def period(history: ReplayResult, zone: tzinfo) -> str:
    assert history.first is not None
    assert history.last is not None
    return f"{_time(history.first, zone)} to {_time(history.last, zone)}"


def _polls(history: ReplayResult) -> str:
    failed = f", {history.failed} of them incomplete" if history.failed else ""
    return f"{count(history.polls, 'poll')}{failed}"


def _rule(each: RuleResult, history: ReplayResult, zone: tzinfo) -> Iterator[str]:
    assert history.last is not None
    episodes = each.episodes
    names = Counter(_name(episode) for episode in episodes)
    longest = max(episodes, key=lambda episode: episode.lasted(history.last or episode.fired))
    total = sum((episode.lasted(history.last) for episode in episodes), timedelta(0))
    yield f"{each.rule.id}  {each.rule.title}"
    still = sum(episode.ended is None for episode in episodes)
    yield (
        f"  fired {_times(len(episodes))} for {count(len(names), str(each.rule.scope).replace('_', ' '))}, "
        f"{format_duration(total)} in all" + (f"; {still} still open" if still else "")
    )
    yield f"  longest: {episode_in_words(longest, history, zone)}"
    worst = _worst(episodes)
    if worst is not None and worst is not longest:
        yield f"  worst:   {episode_in_words(worst, history, zone)}"
    if each.rule.shadow:
        yield "  no notices: it is a shadow rule"
    else:
        reasons = ", ".join(f"{reason} {number}" for reason, number in each.notices.items())
        yield f"  would send {_a_day(each.notice_count, history)}" + (f" ({reasons})" if reasons else "")
    yield f"  by hour 0  |{_bars(each.by_hour(zone))}|  23"
    more = len(names) - _MAX_NAMED
    listed = ", ".join(f"{name} {number}" for name, number in names.most_common(_MAX_NAMED))
    yield f"  {listed}" + (f" and {more} more" if more > 0 else "")


def describe_changes(
    changes: Sequence[Difference], old: ReplayResult, new: ReplayResult, zone: tzinfo
) -> Iterator[str]:
    """What the new rules would add and remove, in words."""
    differing = [each for each in changes if each.any or each.old is None or each.new is None]
    if not any(each.any for each in changes):
        yield "No alert would be added, removed or changed."
    silent = [each for each in differing if not each.any]
    for each in differing:
        if each.any:
            yield from _change(each, old, new, zone)
    added_ids = [each.rule_id for each in silent if each.old is None]
    removed_ids = [each.rule_id for each in silent if each.new is None]
    if silent:
        yield ""
    if added_ids:
        yield f"new, and would never have fired: {', '.join(added_ids)}"
    if removed_ids:
        yield f"removed, and no alert would be lost: {', '.join(removed_ids)}"
    added, removed = (sum(len(getattr(each, name)) for each in changes) for name in ("added", "removed"))
    before, after = (sum(each.notice_count for each in history.rules) for history in (old, new))
    yield ""
    were = "as before" if _per_day(after, new) == (past := _per_day(before, old)) else f"instead of {past}"
    yield f"In all: {count(added, 'alert')} more, {removed} fewer; {_a_day(after, new)} {were}"


def _change(each: Difference, old: ReplayResult, new: ReplayResult, zone: tzinfo) -> Iterator[str]:
    yield ""
    if each.old is None:
        yield f"{each.rule_id} is new: {_fires(len(each.added))}"
    elif each.new is None:
        yield f"{each.rule_id} is removed: {count(len(each.removed), 'alert')} would not be reported"
    else:
        parts = [
            f"{len(each.added)} more" if each.added else "",
            f"{len(each.removed)} fewer" if each.removed else "",
            f"{len(each.changed)} changed" if each.changed else "",
            f"{each.same} unchanged",
        ]
        after, before = len(each.new.episodes), len(each.old.episodes)
        yield (
            f"{each.rule_id}: {_fires(after)} instead of {_times(before)} ({', '.join(part for part in parts if part)})"
        )
    yield from _named([f"  + {episode_in_words(one, new, zone)}" for one in each.added])
    yield from _named([f"  - {episode_in_words(one, old, zone)}" for one in each.removed])
    yield from _named([f"  ~ {altered(*pair, old, new, zone)}" for pair in each.changed])


def _named(lines: list[str]) -> Iterator[str]:
    yield from lines[:_MAX_NAMED]
    if len(lines) > _MAX_NAMED:
        yield f"  {lines[0].strip()[0]} and {len(lines) - _MAX_NAMED} more"


def altered(before: Episode, after: Episode, old: ReplayResult, new: ReplayResult, zone: tzinfo) -> str:
    words = []
    if before.level is not after.level:
        words.append(f"{after.level.word} instead of {before.level.word}")
    ends = (before.ended or old.last, after.ended or new.last)
    for verb, first, then in (("begins", before.fired, after.fired), ("ends", *ends)):
        if first is not None and then is not None and first != then:
            words.append(f"{verb} {format_duration(abs(then - first))} {'later' if then > first else 'earlier'}")
    return f"{_name(before)}, {_time(before.fired, zone)}: {', '.join(words)}"


def episode_in_words(episode: Episode, history: ReplayResult, zone: tzinfo) -> str:
    lasted = episode.lasted(history.last or episode.fired)
    length = (
        f"for {format_duration(lasted)}" if episode.ended is not None else f"still open ({format_duration(lasted)})"
    )
    worst = _peak(episode)
    return f"{_name(episode)}, {_time(episode.fired, zone)}, {length}, {episode.level.word}" + (
        f", worst {worst}" if worst else ""
    )


def _name(episode: Episode) -> str:
    return f"{episode.name} ({episode.parent_name})" if episode.parent_name else episode.name


def _peak(episode: Episode) -> str:
    if episode.peak is None or episode.measure is None:
        return ""
    return format_value(episode.peak, episode.measure.type)


def _worst(episodes: Sequence[Episode]) -> Episode | None:
    """The episode with the worst value; None where they measured different things, or nothing."""
    known = [each for each in episodes if each.peak is not None and each.measure is not None]
    kinds = {(each.measure.label, each.measure.rises) for each in known if each.measure is not None}
    if len(kinds) != 1:
        return None
    rises = next(iter(kinds))[1]
    return (max if rises else min)(known, key=lambda each: each.peak or 0.0)


def _a_day(notices: int, history: ReplayResult) -> str:
    return f"{_per_day(notices, history)} notices a day" if history.days >= 1 else count(notices, "notice")


def _per_day(count: int, history: ReplayResult) -> str:
    return f"{count / history.days:.1f}" if history.days >= 1 else str(count)


def _bars(hours: Sequence[int]) -> str:
    most = max(hours) or 1
    return "".join(_BARS[0 if not count else max(1, round(count / most * 8))] for count in hours)


def _time(at: datetime, zone: tzinfo) -> str:
    local = at.astimezone(zone)
    return f"{local:%a} {local.day} {local:%b %H:%M}"


def _fires(count: int) -> str:
    return f"fires {_times(count)}" if count else "never fires"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count:,} times")


# JSON.


def result_json(history: ReplayResult, zone: tzinfo) -> dict[str, Any]:
    return {
        "since": _stamp(history.first),
        "until": _stamp(history.last),
        "polls": history.polls,
        "polls_not_whole": history.failed,
        "rules": [_rule_json(each, history, zone) for each in history.rules],
    }


def _rule_json(each: RuleResult, history: ReplayResult, zone: tzinfo) -> dict[str, Any]:
    until = history.last
    lasted = [episode.lasted(until or episode.fired).total_seconds() for episode in each.episodes]
    return {
        "rule": each.rule.id,
        "fired": len(each.episodes),
        "open": sum(episode.ended is None for episode in each.episodes),
        "lasted_s": sum(lasted),
        "longest_s": max(lasted, default=0.0),
        "entities": dict(Counter(_name(episode) for episode in each.episodes)),
        "notices": {str(reason): count for reason, count in each.notices.items()},
        "notices_a_day": round(each.notice_count / history.days, 2) if history.days >= 1 else None,
        "by_hour": list(each.by_hour(zone)),
        "alerts": [_episode_json(episode) for episode in each.episodes],
    }


def _episode_json(episode: Episode) -> dict[str, Any]:
    return {
        "entity": episode.name,
        "entity_id": episode.key.entity_id,
        "parent": episode.parent_name,
        "level": episode.level.word,
        "fired": _stamp(episode.fired),
        "ended": _stamp(episode.ended),
        "reason": str(episode.end_reason) if episode.end_reason is not None else None,
        "metric": episode.measure.label if episode.measure is not None else None,
        "peak": episode.peak,
    }


def changes_json(changes: Sequence[Difference]) -> list[dict[str, Any]]:
    return [
        {
            "rule": each.rule_id,
            "new": each.old is None,
            "gone": each.new is None,
            "added": [_episode_json(one) for one in each.added],
            "removed": [_episode_json(one) for one in each.removed],
            "changed": [{"before": _episode_json(a), "after": _episode_json(b)} for a, b in each.changed],
            "same": each.same,
        }
        for each in changes
    ]


def _stamp(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
