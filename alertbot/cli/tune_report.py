"""The results of `tune` in words and in JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from textwrap import wrap
from typing import Any

from alertbot.backtest.limits import Limit
from alertbot.backtest.tune import Odd, Outcome, Row, Survey, Variant, WithOverrides
from alertbot.charts.text import curve
from alertbot.rules.catalogue import ValueType
from alertbot.rules.privacy import Names
from alertbot.rules.rule import Rule
from alertbot.rules.tree import show
from alertbot.rules.units import format_duration, write_number
from alertbot.rules.words import count, listed

_BARS = " ▁▂▃▄▅▆▇█"
_MAX_NAMED = 5
_MAX_SETTING = 24
DEFAULT_TARGET = "2/day"
_ENOUGH = 10  # alerts, to say at which hours they begin


@dataclass(frozen=True)
class LevelReport:
    """The results for the limit of one level. `base`: the values of the other limits at that time."""

    limit: Limit
    rows: Sequence[Row]
    chosen: Row | None
    nearest: Row | None
    base: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Proposal:
    """YAML to paste, the number of alerts predicted for it, the resulting rule, and the outcome of its replay."""

    yaml: str
    row: Row
    promised: int
    rule: Rule
    overrides: WithOverrides | None = None
    checked: Outcome | None = None


@dataclass(frozen=True)
class Report:
    """All results for one rule of one tenant."""

    tenant: str
    rule: Rule
    zone: tzinfo
    survey: Survey
    target: str
    per_day: float
    names: Names
    main: LevelReport
    others: Sequence[LevelReport]
    variants: Sequence[tuple[Variant, Outcome]]
    odd: Sequence[Odd]
    proposals: Sequence[Proposal]

    @property
    def noun(self) -> str:
        return str(self.rule.scope).replace("_", " ")

    def shown(self, entity_id: str) -> str:
        name = self.survey.entities.get(entity_id, entity_id)
        return self.names.of(self.tenant, self.rule.scope, entity_id, name) or entity_id


def unmet(report: Report) -> str:
    """Why no value was chosen; "" if one was."""
    main = report.main
    if main.chosen is not None or main.nearest is None:
        return ""
    low, high = (_written(main.limit, each.value) for each in (main.rows[0], main.rows[-1]))
    near = main.nearest
    return (
        f"No value from {low} to {high} fires at most {report.target}: the nearest is "
        f"{_written(main.limit, near.value)}, with {_rate(near.outcome)} a day ({count(near.outcome.alerts, 'alert')})"
    )


# In words.

_WIDTH = 80
_LABEL = 9  # `Checked: ` and the like


def describe(report: Report) -> Iterator[str]:
    """The report as lines for a terminal of 80 columns: the answer first, then what it is based on, then the YAML."""
    main, seen = report.main, report.survey
    assert seen.first is not None
    assert seen.last is not None
    yield from _wrapped(f"{report.rule.id}: {report.rule.title}")
    yield from _wrapped(
        f"{_time(seen.first, report.zone)} to {_time(seen.last, report.zone)}: {count(seen.polls, 'poll')}, "
        f"{count_days(seen.days)} recorded, {count(len(seen.entities), report.noun)}"
    )
    yield ""
    yield from _summary(report)
    yield ""
    yield from _table(report, main)
    yield from _notes(report, main)
    yield ""
    yield "Alerts a day by value; T: for the target, n: now"
    yield from _plot(report, main)
    if main.chosen is None:
        return
    yield ""
    yield from _result(report, main.chosen)
    yield ""
    yield from _effects(report, main.chosen)
    yield ""
    yield from _odd(report)
    for other in report.others:
        yield ""
        yield from _other(report, other)
    yield from _proposals(report)


def _wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    return wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def _labelled(label: str, text: str) -> list[str]:
    return _wrapped(text, f"{label + ':':<{_LABEL}}", " " * _LABEL)


def _summary(report: Report) -> Iterator[str]:
    """What was tuned, for which target, and the answer with its check."""
    main, limit = report.main, report.main.limit
    yield from _labelled("Limit", _about(limit))
    default = "; --target sets another" if report.target == DEFAULT_TARGET else ""
    yield from _labelled("Target", f"at most {report.target}, all {report.noun}s together{default}")
    now = next((each.outcome for each in main.rows if each.value == limit.present), None)
    if now is not None:
        yield from _labelled("Now", f"{_written(limit, limit.present)}: {_alerts(now)}")
    if main.chosen is None:
        yield from _labelled("Result", "no value meets the target")
    else:
        yield from _labelled("Result", f"{_written(limit, main.chosen.value)}: {_alerts(main.chosen.outcome)}")
        if report.proposals:
            yield from _labelled("Checked", _checked(report, report.proposals[0]) + " The YAML is at the end.")
    if report.rule.shadow:
        yield from _labelled("Shadow", "the rule is in shadow: none of its alerts were reported")


def _alerts(outcome: Outcome) -> str:
    return f"{count(outcome.alerts, 'alert')}, {_rate(outcome)} a day"


def count_days(days: float) -> str:
    text = f"{days:.1f}".removesuffix(".0")
    return f"{text} day{'' if text == '1' else 's'}"


def _about(limit: Limit) -> str:
    assert limit.level is not None
    if limit.param:
        return f"{limit.shown} of {limit.level.word}, in {limit.text}"
    return f"{limit.shown} of {limit.level.word}, a number in {limit.text}"


def _notes(report: Report, level: LevelReport) -> Iterator[str]:
    moved = {name for row in level.rows for name in row.settings if name not in (level.limit.name, *level.base)}
    if moved:
        names = listed([_name(name) for name in sorted(moved)], "or")
        yield from _wrapped(f"Where a value would pass {names}, that limit moves along (last column).")
    if any(each.outcome.suppressed for each in level.rows):
        names = listed(report.rule.suppressed_by, "or")
        yield from _wrapped(f"Not counted: alerts that {names} suppressed until they ended. They are not reported.")


def _name(name: str) -> str:
    return name.split()[0] if " " in name else f"${name}"


def _table(report: Report, level: LevelReport) -> Iterator[str]:
    """At most 80 columns wide: limits that move along are cut there."""
    limit = level.limit
    values = [_written(limit, each.value) for each in level.rows]
    width = max(6, *(len(each) for each in values))
    nouns = f"{report.noun}s"
    yield f"  {'value':>{width}}  {'a day':>6}  {'median':>7}  {'longest':>7}  {nouns}  0h  by 2h 22h"
    for row, value in zip(level.rows, values, strict=True):
        done = row.outcome
        mark = "T" if row is level.chosen else "n" if row.value == _now(level) else " "
        moved = (
            f"{_name(name)} {write_number(moved, _type(report, limit, name))}"
            for name, moved in row.settings.items()
            if name != limit.name and name not in level.base
        )
        lengths = [_length(each, done) for each in (done.median_s, done.longest_s)]
        line = (
            f"{mark} {value:>{width}}  {_rate(done):>6}  {lengths[0]:>7}  {lengths[1]:>7}  "
            f"{len(done.by_entity):>{len(nouns)}}  {_bars(done.by_hour)}    {', '.join(moved)}"
        ).rstrip()
        yield line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"


def _now(level: LevelReport) -> float:
    return level.base.get(level.limit.name, level.limit.present)


def _type(report: Report, limit: Limit, name: str) -> ValueType:
    """The type of a limit that moves too; one that is not a parameter has the same comparison, so the same type."""
    own = report.rule.params.get(name)
    return own.type if own is not None else limit.type


def _plot(report: Report, level: LevelReport) -> list[str]:
    limit = level.limit
    marks = {}
    for index, row in enumerate(level.rows):
        if row.value == limit.present:
            marks[index] = "n"
        if row is level.chosen:
            marks[index] = "T"
    points = [(_written(limit, each.value), each.outcome.per_day) for each in level.rows]
    return curve(points, report.per_day, marks=marks)


def _result(report: Report, chosen: Row) -> Iterator[str]:
    limit = report.main.limit
    sort = "lowest" if limit.rises else "highest"
    rows = [each for each in report.main.rows if limit.keener(each.value, chosen.value)]
    before = (
        f"; the next more sensitive one, {_written(limit, rows[-1].value)}, fires {_rate(rows[-1].outcome)} a day."
        if rows
        else "."
    )
    yield from _wrapped(
        f"{_written(limit, chosen.value)} is the {sort} value tried that fires at most {report.target}{before} "
        f"{_hours(chosen.outcome)}"
    )


def _hours(outcome: Outcome) -> str:
    busiest = sorted(range(24), key=lambda hour: (-outcome.by_hour[hour], hour))[:3]
    named = [f"{hour:02}:00 ({outcome.by_hour[hour]})" for hour in sorted(busiest) if outcome.by_hour[hour]]
    return f"Busiest hours: {listed(named)}." if outcome.alerts >= _ENOUGH else ""


def _effects(report: Report, chosen: Row) -> Iterator[str]:
    limit = report.main.limit
    yield from _wrapped(
        f"With {_written(limit, chosen.value)}, other settings against flapping (again: within 30m of the last end):"
    )
    rows = [(each.key, each.written + (" (now)" if each.present else ""), done) for each, done in report.variants]
    done = chosen.outcome
    if report.rule.clear is not None:
        rows.append(("clear", f"{report.rule.clear_text} (now)", done))
    elif any(key == "clear" for key, _, _ in rows):
        rows.append(("clear", "(not set) (now)", done))
    rows.sort(key=lambda each: ("for", "clear", "keep_firing_for").index(each[0]))
    rows = [(key, _short(value, report), done) for key, value, done in rows]
    width = max(len(f"{key}: {value}") for key, value, _ in rows)
    yield f"  {'':<{width}}  {'a day':>6}  {'again':>5}  {'under 1m':>8}  {'median':>7}"
    for key, value, each in rows:
        yield (
            f"  {f'{key}: {value}':<{width}}  {_rate(each):>6}  {each.again:>5}  {each.short:>8}  "
            f"{_length(each.median_s, each):>7}"
        )


def _short(written: str, report: Report) -> str:
    """A condition for `clear` without its key, which is that of the limit: the column has to be narrow."""
    compared = show(report.main.limit.compared)
    text = written.removeprefix(compared).strip() if written.startswith(compared) else written
    return text if len(text) <= _MAX_SETTING else text[: _MAX_SETTING - 1] + "…"


def _odd(report: Report) -> Iterator[str]:
    chosen = report.main.chosen
    assert chosen is not None
    limit, value = report.main.limit, _written(report.main.limit, chosen.value)
    counts = sorted(chosen.outcome.by_entity.items(), key=lambda pair: (-pair[1], pair[0]))
    named = ", ".join(f"{report.shown(one)} {number}" for one, number in counts[:_MAX_NAMED])
    more = len(counts) - _MAX_NAMED
    if not report.odd:
        if len(report.survey.entities) > 1:
            yield from _wrapped(
                f"No {report.noun} differs much from the rest at {value}"
                + (f": {named}{f' and {more} more' if more > 0 else ''}." if named else ".")
            )
        return
    yield from _wrapped(f"{report.noun.capitalize()}s that differ from the rest at {value}:")
    for each in report.odd:
        need = (
            f"needs an override of {_written(limit, each.row.value)}"
            if each.row is not None
            else f"no value up to {_written(limit, report.main.rows[-1].value)} is enough: "
            "exclude it, or give it a rule of its own"
        )
        yield from _wrapped(
            f"{report.shown(each.entity_id)}: {each.alerts} of {count(chosen.outcome.alerts, 'alert')}, "
            f"the busiest of the others {each.most_of_others}; {need}",
            "  ",
            "    ",
        )


def _other(report: Report, other: LevelReport) -> Iterator[str]:
    limit = other.limit
    assert limit.level is not None
    yield from _labelled("In turn", _about(limit))
    if not other.rows:
        yield f"No alert reached {limit.level.word}."
        return
    yield from _wrapped(f"Counted: alerts that reach {limit.level.word}, with the values above for the rest.")
    yield from _table(report, other)
    kept = _now(other)
    if other.chosen is not None:
        sort = "lowest" if limit.rises else "highest"
        yield from _wrapped(
            f"{_written(limit, other.chosen.value)} is the {sort} value tried that fires at most {report.target}; "
            f"left at {_written(limit, kept)} (--level {limit.level.word} tunes it)."
        )
    else:
        yield from _wrapped(
            f"Every value tried fires more often than {report.target}; left at {_written(limit, kept)}."
        )


def _proposals(report: Report) -> Iterator[str]:
    origin = report.rule.origin
    if not report.proposals:
        yield ""
        yield from _wrapped(f"{origin.file} has changed since it was read: no YAML to paste.")
    for each in report.proposals:
        yield ""
        if each.overrides is None:
            yield from _wrapped(
                f"To paste into rule {report.rule.id} ({origin.file}:{origin.line}), in place of the same keys:"
            )
        else:
            limit = report.main.limit
            words = listed([report.shown(one.entity_id) for one in each.overrides.odd])
            yield from _wrapped(f"Or, with an override for {words} and {_written(limit, each.row.value)} for the rest:")
        yield ""
        for line in each.yaml.splitlines():
            yield f"    {line}"
        yield ""
        if each.checked is not None:
            yield from _labelled("Checked", _checked(report, each))


def _checked(report: Report, each: Proposal) -> str:
    """What the replay of the YAML gave, beside what is promised for it."""
    done = each.checked
    assert done is not None
    if done.alerts == each.promised:
        return f"replayed with the YAML: {_alerts(done)}, as promised."
    promised = f"{count(each.promised, 'alert')}, {_a_day(each.promised / report.survey.days)} a day"
    return f"replayed with the YAML: {_alerts(done)}. NOT as promised: {promised}."


def _written(limit: Limit, value: float) -> str:
    return write_number(value, limit.type)


def _rate(outcome: Outcome) -> str:
    return _a_day(outcome.per_day)


def _a_day(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 100 or not rate else f"{rate:.1f}" if rate >= 1 else f"{rate:.2f}"


def _length(value: float, outcome: Outcome) -> str:
    return format_duration(timedelta(seconds=value)) if outcome.alerts else "-"


def _bars(hours: Sequence[int]) -> str:
    """Two hours a bar."""
    pairs = [one + other for one, other in zip(hours[::2], hours[1::2], strict=True)]
    most = max(pairs) or 1
    return "".join(_BARS[0 if not number else max(1, round(number / most * 8))] for number in pairs)


def _time(at: datetime, zone: tzinfo) -> str:
    local = at.astimezone(zone)
    return f"{local:%a} {local.day} {local:%b %H:%M}"


# JSON.


def report_json(report: Report) -> dict[str, Any]:
    """The report as JSON: values as numbers in column units (ms, 0 to 1) and as rule files write them."""
    seen = report.survey
    main = report.main
    return {
        "rule": report.rule.id,
        "since": _stamp(seen.first),
        "until": _stamp(seen.last),
        "polls": seen.polls,
        "recorded_days": round(seen.days, 3),
        "entities": len(seen.entities),
        "target": report.target,
        "target_per_day": report.per_day,
        **_level_json(report, main),
        "variants": [
            {"key": each.key, "value": each.written, "now": each.present, **_outcome_json(report, done)}
            for each, done in report.variants
        ],
        "differ": [
            {
                "entity": report.shown(each.entity_id),
                "entity_id": each.entity_id,
                "alerts": each.alerts,
                "most_of_others": each.most_of_others,
                "override": _written(main.limit, each.row.value) if each.row is not None else None,
            }
            for each in report.odd
        ],
        "in_turn": [_level_json(report, each) for each in report.others],
        "proposals": [
            {
                "yaml": each.yaml,
                "value": _written(main.limit, each.row.value),
                "overrides": {
                    report.shown(one.entity_id): _written(main.limit, one.row.value)
                    for one in (each.overrides.odd if each.overrides is not None else ())
                    if one.row is not None
                },
                "promised": {"alerts": each.promised, "per_day": round(each.promised / seen.days, 3)},
                "replayed": {"alerts": each.checked.alerts, "per_day": round(each.checked.per_day, 3)}
                if each.checked is not None
                else None,
            }
            for each in report.proposals
        ],
        "problem": unmet(report) or None,
    }


def _level_json(report: Report, level: LevelReport) -> dict[str, Any]:
    limit = level.limit
    assert limit.level is not None
    chosen = level.chosen
    return {
        "level": limit.level.word,
        "param": limit.param or None,
        "condition": limit.text,
        "compared": show(limit.compared),
        "op": limit.op.value,
        "now": _written(limit, limit.present),
        "value": _written(limit, chosen.value) if chosen is not None else None,
        "nearest": _written(limit, level.nearest.value) if chosen is None and level.nearest is not None else None,
        "per_day": round(chosen.outcome.per_day, 3) if chosen is not None else None,
        "values": [
            {
                "value": _written(limit, row.value),
                "number": row.value,
                "moved": {name: value for name, value in row.settings.items() if name != limit.name},
                **_outcome_json(report, row.outcome),
            }
            for row in level.rows
        ],
    }


def _outcome_json(report: Report, outcome: Outcome) -> dict[str, Any]:
    return {
        "alerts": outcome.alerts,
        "suppressed": outcome.suppressed,
        "per_day": round(outcome.per_day, 3),
        "median_s": outcome.median_s,
        "longest_s": outcome.longest_s,
        "again_within_30m": outcome.again,
        "under_1m": outcome.short,
        "entities": {report.shown(one): number for one, number in outcome.by_entity.items()},
        "by_hour": list(outcome.by_hour),
    }


def _stamp(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
