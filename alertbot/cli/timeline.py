"""A failing rule test drawn for people: what happened poll by poll, against what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta

from alertbot.backtest.trial import Miss, RuleTestResult, TimelinePoint
from alertbot.rulefiles.rule_test import EntitySeries
from alertbot.rules.catalogue import ValueType
from alertbot.rules.units import format_value, write_duration

FLAG = ">"  # stands before a point at which something was not as expected
_WIDTH = 14
_MAX_ROWS = 40  # points of one entity; a longer test shows those around what moved


def draw_failure(outcome: RuleTestResult) -> list[str]:
    """Plain lines. What was missed comes first, then one table for each entity."""
    test = outcome.test
    lines = [f"FAILED {test.file}:{test.line}: {test.name} (rule {test.rule})", ""]
    for miss in outcome.misses:
        lines += _missed(miss, outcome)
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
        lines += ["", f"  The rule also reads {', '.join(test.unread)}, of which this test has no samples."]
    return [line.rstrip() for line in lines]


def _missed(miss: Miss, outcome: RuleTestResult) -> Iterator[str]:
    at = write_duration(miss.at)
    several = len(outcome.test.entities) > 1
    of = f" {_called(miss.entity)}:" if several and miss.entity is not None else ""
    found = miss.found.splitlines()
    line = f" (line {miss.place.line})" if miss.place.line else ""
    if len(found) == 1:
        yield f"  at {at}{line}:{of} expected {miss.expected}, found {found[0]}"
        return
    yield f"  at {at}{line}:{of} expected {miss.expected}, found"
    yield from (f"      {each}" for each in found)


def _called(entity: EntitySeries) -> str:
    return entity.name if not entity.parent_name else f"{entity.name} ({entity.parent_name})"


def _table(entity: EntitySeries, points: Sequence[TimelinePoint], misses: Sequence[Miss]) -> list[str]:
    """`at`, the keys, the state, and what was decided and told; blank where nothing is to be said."""
    kinds = {series.key: series.type for series in entity.series}
    flagged = {miss.at for miss in misses}
    rows: list[list[str]] = []
    last: TimelinePoint | None = None
    skipped = 0
    for place, point in enumerate(points):
        if len(points) > _MAX_ROWS and not _matters(points, place, flagged):
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
    told = [f"told: {each.reason} {each.level.word}, {each.kind} in {each.channel}" for each in point.notices]
    said = [point.why] if point.why else []
    if point.idle and (last is None or last.idle != point.idle):
        said.append(point.idle)
    if point.suppressors and (last is None or last.suppressors != point.suppressors):
        said.append(f"fires too: {', '.join(point.suppressors)}")
    decision, *more = [*said, *told] or [""]
    yield [mark, write_duration(point.at), *cells, state, decision]
    for each in more:
        yield ["", "", *([""] * (len(kinds) + 1)), each]


def _matters(points: Sequence[TimelinePoint], place: int, flagged: set[timedelta]) -> bool:
    near = points[max(0, place - 1) : place + 2]
    return place in (0, len(points) - 1) or any(each.why or each.notices or each.at in flagged for each in near)


def _value(sample: float | str | None, kind: ValueType) -> str:
    return "_" if sample is None else format_value(sample, kind)


def _wrapped(key: str) -> list[str]:
    """A metric key over several lines, broken where its words and parts begin."""
    lines = [""]
    for part in re.findall(r"[A-Z]?[^A-Z.]+\.?|[A-Z]+\.?|\.", key):
        if lines[-1] and len(lines[-1]) + len(part) > _WIDTH:
            lines.append("")
        lines[-1] += part
    return lines
