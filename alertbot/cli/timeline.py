"""A failing rule test drawn for people: what happened poll by poll, against what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta

from alertbot.backtest.trial import Miss, Moment, TrialResult
from alertbot.rulefiles.rule_test import Subject
from alertbot.rules.catalogue import ValueType
from alertbot.rules.units import format_value, write_duration

FLAG = ">"  # stands before a moment at which something was not as expected
_WIDTH = 14
_MOST = 40  # moments of one entity; a longer test shows those around what moved


def draw_failure(outcome: TrialResult) -> list[str]:
    """Plain lines. What was missed comes first, then one table for each entity."""
    case = outcome.case
    lines = [f"FAILED {case.file}:{case.line}: {case.name} (rule {case.rule})", ""]
    for miss in outcome.misses:
        lines += _missed(miss, outcome)
    subjects = dict.fromkeys(moment.subject for moment in outcome.moments)
    for subject in subjects:
        own = [each for each in outcome.moments if each.subject is subject]
        misses = [each for each in outcome.misses if each.subject in (subject, None)]
        if len(subjects) > 1:
            if not misses:
                continue
            lines += ["", f"  {_called(subject)}"]
        lines += ["", *(f"  {line}" for line in _table(subject, own, misses))]
    if case.unread:
        lines += ["", f"  The rule also reads {', '.join(case.unread)}, of which this test has no samples."]
    return [line.rstrip() for line in lines]


def _missed(miss: Miss, outcome: TrialResult) -> Iterator[str]:
    at = write_duration(miss.at)
    several = len(outcome.case.subjects) > 1
    of = f" {_called(miss.subject)}:" if several and miss.subject is not None else ""
    found = miss.found.splitlines()
    line = f" (line {miss.place.line})" if miss.place.line else ""
    if len(found) == 1:
        yield f"  at {at}{line}:{of} expected {miss.expected}, found {found[0]}"
        return
    yield f"  at {at}{line}:{of} expected {miss.expected}, found"
    yield from (f"      {each}" for each in found)


def _called(subject: Subject) -> str:
    return subject.name if not subject.parent_name else f"{subject.name} ({subject.parent_name})"


def _table(subject: Subject, moments: Sequence[Moment], misses: Sequence[Miss]) -> list[str]:
    """`at`, the keys, the state, and what was decided and told; blank where nothing is to be said."""
    kinds = {series.key: series.type for series in subject.series}
    flagged = {miss.at for miss in misses}
    rows: list[list[str]] = []
    last: Moment | None = None
    skipped = 0
    for place, moment in enumerate(moments):
        if len(moments) > _MOST and not _matters(moments, place, flagged):
            skipped += 1
            continue
        if skipped:
            rows.append(["", f"({skipped} more)", *([""] * (len(kinds) + 2))])
            skipped = 0
        rows += _row(moment, last, kinds, flagged)
        last = moment
    if skipped:
        rows.append(["", f"({skipped} more)", *([""] * (len(kinds) + 2))])
    heads = [[""], ["at"], *(_wrapped(key) for key in kinds), ["state"], ["decision"]]
    depth = max(len(head) for head in heads)
    padded = [[""] * (depth - len(head)) + head for head in heads]
    grid = [*(list(line) for line in zip(*padded, strict=True)), *rows]
    widths = [max(len(line[column]) for line in grid) for column in range(len(heads))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in grid]


def _row(
    moment: Moment, last: Moment | None, kinds: dict[str, ValueType], flagged: set[timedelta]
) -> Iterator[list[str]]:
    mark = FLAG if moment.at in flagged else ""
    if moment.failed:
        cells = ["poll failed", *([""] * (len(kinds) - 1))][: len(kinds)]
    elif moment.gone:
        cells = ["gone", *([""] * (len(kinds) - 1))][: len(kinds)]
    else:
        cells = [_value(moment.samples.get(key), kind) for key, kind in kinds.items()]
    state = f"{moment.state} {moment.level.word}" if moment.level is not None else moment.state
    told = [f"told: {each.reason} {each.level.word}, {each.kind} in {each.channel}" for each in moment.notices]
    said = [moment.why] if moment.why else []
    if moment.idle and (last is None or last.idle != moment.idle):
        said.append(moment.idle)
    if moment.suppressors and (last is None or last.suppressors != moment.suppressors):
        said.append(f"fires too: {', '.join(moment.suppressors)}")
    decision, *more = [*said, *told] or [""]
    yield [mark, write_duration(moment.at), *cells, state, decision]
    for each in more:
        yield ["", "", *([""] * (len(kinds) + 1)), each]


def _matters(moments: Sequence[Moment], place: int, flagged: set[timedelta]) -> bool:
    near = moments[max(0, place - 1) : place + 2]
    return place in (0, len(moments) - 1) or any(each.why or each.notices or each.at in flagged for each in near)


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
