"""A failing rule test as a table: what happened poll by poll, and what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta

from alertbot.backtest.trial import Miss, RuleTestResult, TimelinePoint
from alertbot.rulefiles.rule_test import EntitySeries
from alertbot.rules.catalogue import ValueType
from alertbot.rules.units import format_value, write_duration

FLAG = ">"  # marks a poll at which something was not as expected
_WIDTH = 14
_MAX_ROWS = 40  # polls of one entity; a longer test shows only those around a change


def draw_failure(outcome: RuleTestResult) -> list[str]:
    """Plain lines: first the misses, then one table per entity."""
    test = outcome.test
    lines = [f"FAILED {test.file}:{test.line}: {test.name} (rule {test.rule})", ""]
    for miss in outcome.misses:
        lines += _miss_lines(miss, outcome)
    entities = dict.fromkeys(point.entity for point in outcome.timeline)
    for entity in entities:
        own = [each for each in outcome.timeline if each.entity is entity]
        misses = [each for each in outcome.misses if each.entity in (entity, None)]
        if len(entities) > 1:
            if not misses:
                continue
            lines += ["", f"  {_called(entity)}"]
        lines += ["", *(f"  {line}" for line in _table(entity, own, misses))]
    if test.unread:
        lines += ["", f"  The rule also reads {', '.join(test.unread)}, for which this test has no samples."]
    return [line.rstrip() for line in lines]


def _miss_lines(miss: Miss, outcome: RuleTestResult) -> Iterator[str]:
    at = write_duration(miss.at)
    several = len(outcome.test.entities) > 1
    of = f" {_called(miss.entity)}:" if several and miss.entity is not None else ""
    actual = miss.actual.splitlines()
    line = f" (line {miss.place.line})" if miss.place.line else ""
    if len(actual) == 1:
        yield f"  at {at}{line}:{of} expected {miss.expected}, got {actual[0]}"
        return
    yield f"  at {at}{line}:{of} expected {miss.expected}, got"
    yield from (f"      {each}" for each in actual)


def _called(entity: EntitySeries) -> str:
    return entity.name if not entity.parent_name else f"{entity.name} ({entity.parent_name})"


def _table(entity: EntitySeries, points: Sequence[TimelinePoint], misses: Sequence[Miss]) -> list[str]:
    """The columns `at`, one per key, `state`, and `decision` with the notices; empty where nothing happened."""
    kinds = {series.key: series.type for series in entity.series}
    flagged = {max(point.at for point in points if point.at <= miss.at) for miss in misses}  # some are between polls
    rows: list[list[str]] = []
    last: TimelinePoint | None = None
    skipped = 0
    for index, point in enumerate(points):
        if len(points) > _MAX_ROWS and not _matters(points, index, flagged):
            skipped += 1
            continue
        if skipped:
            rows.append(["", f"({skipped} more)", *([""] * (len(kinds) + 2))])
            skipped = 0
        rows += _row(point, last, kinds, flagged)
        last = point
    if skipped:
        rows.append(["", f"({skipped} more)", *([""] * (len(kinds) + 2))])
    heads = [[""], ["at"], *(_wrapped(key) for key in kinds), ["state"], ["decision"]]
    depth = max(len(head) for head in heads)
    padded = [[""] * (depth - len(head)) + head for head in heads]
    grid = [*(list(line) for line in zip(*padded, strict=True)), *rows]
    widths = [max(len(line[column]) for line in grid) for column in range(len(heads))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in grid]


def _row(
    point: TimelinePoint, last: TimelinePoint | None, kinds: dict[str, ValueType], flagged: set[timedelta]
) -> Iterator[list[str]]:
    mark = FLAG if point.at in flagged else ""
    if point.failed:
        cells = ["poll failed", *([""] * (len(kinds) - 1))][: len(kinds)]
    elif point.gone:
        cells = ["gone", *([""] * (len(kinds) - 1))][: len(kinds)]
    else:
        cells = [_value(point.samples.get(key), kind) for key, kind in kinds.items()]
    state = f"{point.state} {point.level.word}" if point.level is not None else point.state
    notices = [f"notified: {each.reason} {each.level.word}, {each.kind} in {each.channel}" for each in point.notices]
    reasons = [*point.done, *([point.why] if point.why else [])]
    if point.idle and (last is None or last.idle != point.idle):
        reasons.append(point.idle)
    if point.suppressors and (last is None or last.suppressors != point.suppressors):
        reasons.append(f"also firing: {', '.join(point.suppressors)}")
    decision, *more = [*reasons, *notices] or [""]
    yield [mark, write_duration(point.at), *cells, state, decision]
    for each in more:
        yield ["", "", *([""] * (len(kinds) + 1)), each]


def _matters(points: Sequence[TimelinePoint], index: int, flagged: set[timedelta]) -> bool:
    near = points[max(0, index - 1) : index + 2]
    return index in (0, len(points) - 1) or any(
        each.why or each.done or each.notices or each.at in flagged for each in near
    )


def _value(sample: float | str | None, kind: ValueType) -> str:
    return "_" if sample is None else format_value(sample, kind)


def _wrapped(key: str) -> list[str]:
    """A metric key on several lines, broken before its words and segments."""
    lines = [""]
    for part in re.findall(r"[A-Z]?[^A-Z.]+\.?|[A-Z]+\.?|\.", key):
        if lines[-1] and len(lines[-1]) + len(part) > _WIDTH:
            lines.append("")
        lines[-1] += part
    return lines
