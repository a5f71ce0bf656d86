"""The results of a replay as Markdown, for a comment on a pull request: the alerts that a change adds and removes.

Names come from 8x8, so they are written in code spans: nothing in them is markup, and `@team` mentions no one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo

from alertbot.backtest.episodes import Difference, Episode, ReplayResult, RuleResult
from alertbot.cli.replay_report import altered, episode_in_words, period
from alertbot.rules.units import format_duration
from alertbot.rules.words import count

_MAX_EXAMPLES = 3  # of each kind and rule: a comment has room for a few
_HEADER = "| rule | alerts before | after | added | removed | changed | notices {each} before | after |"


def changes_markdown(
    changes: Sequence[Difference], old: ReplayResult, new: ReplayResult, zone: tzinfo, title: str
) -> Iterator[str]:
    """What the new rules would add and remove, by rule, with the worst alerts of each kind as examples."""
    added, removed, changed = (
        sum(len(getattr(each, kind)) for each in changes) for kind in ("added", "removed", "changed")
    )
    yield f"### {title}: {_headline(added, removed, changed, new.days)}"
    yield ""
    if new.first is None:
        yield "There are no recorded polls in this period, so nothing could be compared."
        return
    yield f"{_recorded(new, zone)}, through the rules before and after the change."
    differing = [each for each in changes if each.any]
    if differing:
        yield ""
        yield _HEADER.format(each="a day" if new.days >= 1 else "in all")
        yield f"| --- |{' ---: |' * 7}"
        for each in differing:
            yield _row(each, old, new)
    silent = [each for each in changes if not each.any and (each.old is None or each.new is None)]
    for words, ids in (
        ("New, and would not have fired", [each.rule_id for each in silent if each.old is None]),
        ("Removed, and no alert would be lost", [each.rule_id for each in silent if each.new is None]),
    ):
        if ids:
            yield ""
            yield f"{words}: {', '.join(map(_code, ids))}."
    for each in differing:
        yield ""
        yield from _examples(each, old, new, zone)


def _headline(added: int, removed: int, changed: int, days: float) -> str:
    if not added and not removed:
        words = "no alert would be added or removed"
        return f"{words}, {changed:,} changed" if changed else words
    a_day = f" ({added / days:.1f} more and {removed / days:.1f} fewer a day)" if days >= 1 else ""
    return f"{count(added, 'alert')} more, {removed:,} fewer{a_day}"


def _row(each: Difference, old: ReplayResult, new: ReplayResult) -> str:
    before, after = _fired(each.old), _fired(each.new)
    numbers = [before, after, f"{len(each.added):,}", f"{len(each.removed):,}", f"{len(each.changed):,}"]
    return f"| {_code(each.rule_id)} | {' | '.join(numbers)} | {_notices(each.old, old)} | {_notices(each.new, new)} |"


def _fired(result: RuleResult | None) -> str:
    return "no rule" if result is None else f"{len(result.episodes):,}"


def _notices(result: RuleResult | None, history: ReplayResult) -> str:
    if result is None:
        return "0"
    return f"{result.notice_count / history.days:.1f}" if history.days >= 1 else f"{result.notice_count:,}"


def _examples(each: Difference, old: ReplayResult, new: ReplayResult, zone: tzinfo) -> Iterator[str]:
    """The worst alerts of each kind, folded: GitHub and GitLab both show `details`."""
    yield "<details>"
    yield f"<summary>{each.rule_id}: examples</summary>"
    yield ""
    for kind, episodes, history in (("added", each.added, new), ("removed", each.removed, old)):
        until = history.last or datetime.max.replace(tzinfo=zone)
        yield from _listed(kind, [episode_in_words(one, history, zone) for one in _worst_first(episodes, until)])
    pairs = sorted(each.changed, key=lambda pair: -abs(_shift(pair, old, new)))
    yield from _listed("changed", [altered(*pair, old, new, zone) for pair in pairs])
    yield ""
    yield "</details>"


def _listed(kind: str, lines: Sequence[str]) -> Iterator[str]:
    for line in lines[:_MAX_EXAMPLES]:
        yield f"- {kind}: {_code(line)}"
    if len(lines) > _MAX_EXAMPLES:
        yield f"- {kind}: {len(lines) - _MAX_EXAMPLES:,} more"


def _worst_first(episodes: Sequence[Episode], until: datetime) -> list[Episode]:
    return sorted(episodes, key=lambda each: (-each.level, -each.lasted(until)))


def _shift(pair: tuple[Episode, Episode], old: ReplayResult, new: ReplayResult) -> timedelta:
    """By how much an alert became longer or shorter."""
    before, after = pair
    return after.lasted(new.last or after.fired) - before.lasted(old.last or before.fired)


def result_markdown(history: ReplayResult, zone: tzinfo, title: str) -> Iterator[str]:
    """What every rule would have reported, the busiest first."""
    total = sum(len(each.episodes) for each in history.rules)
    yield f"### {title}: {count(total, 'alert')}"
    yield ""
    if history.first is None or history.last is None:
        yield "There are no recorded polls in this period."
        return
    yield f"{_recorded(history, zone)}."
    fired = sorted((each for each in history.rules if each.episodes), key=lambda one: (-len(one.episodes), one.rule.id))
    if fired:
        yield ""
        yield f"| rule | alerts | entities | in all | longest | notices {'a day' if history.days >= 1 else 'in all'} |"
        yield f"| --- |{' ---: |' * 5}"
    for each in fired:
        lasted = [episode.lasted(history.last) for episode in each.episodes]
        entities = len({(one.key.parent_id, one.key.entity_id) for one in each.episodes})
        cells = [f"{len(lasted):,}", f"{entities:,}", *(format_duration(part) for part in (_sum(lasted), max(lasted)))]
        yield f"| {_code(each.rule.id)} | {' | '.join(cells)} | {_notices(each, history)} |"
    quiet = [_code(each.rule.id) for each in history.rules if not each.episodes]
    if quiet:
        yield ""
        yield f"Never fired: {', '.join(quiet)}."


def _sum(parts: Sequence[timedelta]) -> timedelta:
    return sum(parts, timedelta(0))


def _recorded(history: ReplayResult, zone: tzinfo) -> str:
    failed = f", {history.failed:,} of them incomplete" if history.failed else ""
    return f"{count(history.polls, 'recorded poll')}{failed}, {period(history, zone)} ({zone})"


def _code(text: str) -> str:
    """A code span: its fence is longer than any run of backticks inside."""
    text = text.replace("\n", " ")
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{padding}{text}{padding}{fence}"
