"""The keys of a calendar, as rule files and alertbot.yaml write opening hours; rows as in `fields.py`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from alertbot.rulefiles.document import Node, YamlMapping, YamlScalar, YamlSequence
from alertbot.rulefiles.faults import Place, short
from alertbot.rulefiles.fields import (
    DURATION,
    DURATION_SCHEMA,
    ID,
    TEXT_SCHEMA,
    Field,
    Report,
    read_duration,
    read_fields,
    read_text,
    refuse,
)
from alertbot.rules.hours import MAX_GRACE, MINUTES_OF_A_DAY, Calendar, Country, Hours, TimeRange
from alertbot.rules.units import write_duration
from alertbot.rules.words import nearest
from alertbot.rules.zones import is_zone, zone_hint

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG = dict(zip(("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"), DAYS, strict=True))
# JSON Schema has no way to say "in any letter case".
_ONE_DAY = "|".join("".join(f"[{letter.upper()}{letter}]" for letter in day) for day in [*_LONG, *DAYS])
DAY_KEY = rf"\s*(?:{_ONE_DAY})\s*(?:-\s*(?:{_ONE_DAY})\s*)?"
_TIME = r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9]"
TIME_RANGE = rf"{_TIME}\s*-\s*(?:{_TIME}|24:00)"
DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
FIRST_YEAR, LAST_YEAR = 1970, 2199
CLOSED = "closed"
_HOURS_HINT = 'such as "08:00-18:00", or "22:00-06:00" into the next day, or "00:00-24:00"'
_SEVERAL_DAYS = {
    **dict.fromkeys(("weekdays", "weekday", "workdays", "working days", "workday", "business days"), "mon-fri"),
    **dict.fromkeys(("weekend", "weekends"), "sat-sun"),
    **dict.fromkeys(("daily", "everyday", "every day", "all", "always", "any", "*"), "mon-sun"),
}
_DAYS_HINT = "mon, tue, wed, thu, fri, sat, sun, or a range such as mon-fri"


def read_calendars(key: YamlScalar, node: Node, report: Report) -> dict[str, Calendar | None]:
    """The calendars below `hours:`, by name; None for one that has faults, so that its name is still known."""
    if not isinstance(node, YamlMapping):
        refuse(key, node, report, "a mapping", "a name, and below it timezone: and open:")
        return {}
    return {name.text: _read_calendar(name, value, report) for name, value in node.entries}


def _read_calendar(name: YamlScalar, node: Node, report: Report) -> Calendar | None:
    faults = len(report.faults)
    if not re.fullmatch(ID, name.text):
        hint = "such as office or night-shift"
        report.add(name.place, f'"{name.text}" cannot name a calendar: use a-z, 0-9 and hyphens', hint, name.text)
    if not isinstance(node, YamlMapping):
        refuse(name, node, report, "a mapping", "with timezone: and open:")
        return None
    values = read_fields(node, CALENDAR_KEYS, report, f"the calendar {name.text}")
    for each in ("timezone", "open"):
        if node.key(each) is None:
            report.add(name.place, f"the calendar {name.text} has no {each}", _MISSING[each], name.text)
    weekly, exceptions = values.get("open"), values.get("exceptions", ())
    grace = values.get("grace", {})
    if weekly is not None:
        if len(report.faults) == faults and not any(weekly) and not any(ranges for _, ranges in exceptions):
            report.add(name.place, f"the calendar {name.text} is never open", 'write open: {mon-fri: "08:00-18:00"}')
        _check_grace(node, [*weekly, *(ranges for _, ranges in exceptions)], grace, report)
    if weekly is None or len(report.faults) > faults:
        return None
    holidays = values.get("holidays", _Holidays())
    return Calendar(
        name=name.text,
        timezone=values["timezone"],
        weekly=weekly,
        dates=holidays.dates,
        countries=holidays.countries,
        exceptions=exceptions,
        after_open=grace.get("after_open", timedelta(0)),
        before_close=grace.get("before_close", timedelta(0)),
        where=f"{report.file}:{name.place.line}",
    )


_MISSING = {"timezone": "write timezone: Europe/Helsinki", "open": 'write open: {mon-fri: "08:00-18:00"}'}


def _check_grace(
    node: YamlMapping, days: list[tuple[TimeRange, ...]], grace: dict[str, timedelta], report: Report
) -> None:
    """A grace as long as an opening would disable the rule for all of it."""
    total = sum(grace.values(), timedelta(0))
    key = node.key("grace")
    shortest = min((hours for day in days for hours in day), key=lambda each: each.end - each.start, default=None)
    if key is not None and shortest is not None and total >= timedelta(minutes=shortest.end - shortest.start):
        message = f"a grace of {write_duration(total)} covers all of {shortest}"
        report.add(key.place, message, "nothing is decided within grace: make it shorter", key.text)


def _read_timezone(key: YamlScalar, node: Node, report: Report) -> str | None:
    text = read_text(key, node, report)
    if text is None or is_zone(text):
        return text
    report.add(node.place, f'"{text}" is not a time zone', zone_hint(text), text)
    return None


# Hours of a day.


def _read_open(key: YamlScalar, node: Node, report: Report) -> tuple[tuple[TimeRange, ...], ...] | None:
    if not isinstance(node, YamlMapping):
        refuse(key, node, report, "a mapping", 'such as {mon-fri: "08:00-18:00", sat: "10:00-14:00"}')
        return None
    week: list[tuple[TimeRange, ...]] = [()] * len(DAYS)
    taken: dict[int, YamlScalar] = {}
    for name, value in node.entries:
        days = _days(name, report)
        ranges = _read_ranges(name, value, report)
        for day in days:
            first = taken.setdefault(day, name)
            if first is not name:
                report.add(
                    name.place, f"{DAYS[day]} already has hours from {first.text}", "name each day once", name.text
                )
                break
            week[day] = ranges
    return tuple(week)


def _days(name: YamlScalar, report: Report) -> list[int]:
    """The days that a key names: `sat`, `mon-fri`, `fri-mon`, or several of these separated by commas."""
    found: list[int] = []
    for part in name.text.casefold().split(","):
        first, _, last = (_LONG.get(each.strip(), each.strip()) for each in part.partition("-"))
        last = last or first
        for each in (first, last):
            if each not in DAYS:
                near = nearest(each, [*_LONG, *DAYS])
                hint = f'did you mean "{near[0]}"?' if near else _DAYS_HINT
                if each in _SEVERAL_DAYS:
                    hint = f"write {_SEVERAL_DAYS[each]}"
                report.add(name.place, f'"{each or name.text}" is not a day of the week', hint, name.text)
                return []
        begin, end = DAYS.index(first), DAYS.index(last)
        found += [day % len(DAYS) for day in range(begin, end + 1 if end >= begin else end + 1 + len(DAYS))]
    return found


def _read_ranges(key: YamlScalar, node: Node, report: Report) -> tuple[TimeRange, ...]:
    """One time range, a list of them, or `closed`; what was refused is left out."""
    if isinstance(node, YamlScalar) and node.text.strip().casefold() == CLOSED:
        return ()
    items = node.items if isinstance(node, YamlSequence) else (node,)
    if not items:
        report.add(node.place, f"no hours for {key.text}", f"write {CLOSED}, or remove the day")
    found: list[tuple[TimeRange, Place]] = []
    for item in items:
        hours = _read_range(key, item, report)
        if hours is None:
            continue
        other = next((each for each, _ in found if each.start < hours.end and hours.start < each.end), None)
        if other is not None:
            text = item.text if isinstance(item, YamlScalar) else ""
            report.add(item.place, f"{hours} overlaps {other} on the same day", "join the two", text)
            continue
        found.append((hours, item.place))
    return tuple(sorted(hours for hours, _ in found))


_LOOSE = re.compile(
    r"([0-9]{1,2})(?:[:.h]?([0-9]{2}))?\s*([ap]m)?\s*(?:-|–|—|to|until)\s*([0-9]{1,2})(?:[:.h]?([0-9]{2}))?\s*([ap]m)?"
)


def _read_range(key: YamlScalar, node: Node, report: Report) -> TimeRange | None:
    if not isinstance(node, YamlScalar) or node.kind in ("null", "bool"):
        refuse(key, node, report, "hours", _HOURS_HINT)
        return None
    text = node.text.strip()
    found = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})", text)
    if not found:
        report.add(node.place, f'"{text}" is not a range of hours', _range_hint(text), text)
        return None
    hour, minute, end_hour, end_minute = (int(each) for each in found.groups())
    start, end = hour * 60 + minute, end_hour * 60 + end_minute
    for value, minutes, written in (
        (start, minute, found[0].partition("-")[0]),
        (end, end_minute, found[0].partition("-")[2]),
    ):
        if minutes > 59 or value > MINUTES_OF_A_DAY:
            report.add(node.place, f"{written.strip()} is not a time of day", "write 00:00 to 24:00", text)
            return None
    if start == MINUTES_OF_A_DAY:
        report.add(
            node.place,
            f"{text} begins at the end of the day",
            f"write 00:00-{found[3]}:{found[4]} on the next day",
            text,
        )
        return None
    if start == end:
        report.add(node.place, f"{text} ends when it begins", 'write "00:00-24:00" for the whole day', text)
        return None
    return TimeRange(start, end if end > start else end + MINUTES_OF_A_DAY)


def _range_hint(text: str) -> str:
    """`8-18`, `8.00 – 18.00` and `8am to 6pm`, as they should be written."""
    if "," in text:
        return 'write several as a list: ["08:00-12:00", "13:00-18:00"]'
    found = _LOOSE.fullmatch(text.casefold())
    if not found:
        return _HOURS_HINT
    times = []
    for hour, minute, half in (found.group(1, 2, 3), found.group(4, 5, 6)):
        number = int(hour) % 12 + 12 * (half == "pm") if half else int(hour)
        if number > 24 or int(minute or 0) > 59:
            return _HOURS_HINT
        times.append(f"{number:02}:{minute or '00'}")
    return f'write "{"-".join(times)}"'


# Single dates.


@dataclass(frozen=True, slots=True)
class _Holidays:
    dates: frozenset[date] = frozenset()
    countries: tuple[Country, ...] = ()


def _read_holidays(key: YamlScalar, node: Node, report: Report) -> _Holidays | None:
    """Dates, `{country: FI}`, or a list of both."""
    dates: set[date] = set()
    countries: list[Country] = []
    for item in node.items if isinstance(node, YamlSequence) else (node,):
        if isinstance(item, YamlMapping):
            values = read_fields(item, HOLIDAY_KEYS, report, "holidays")
            if item.key("country") is None and item.key("dates") is None:
                report.add(item.place, "holidays without a country or dates", "write country: FI")
            if "country" in values and (country := _country(item, values, report)) is not None:
                countries.append(country)
            dates |= set(values.get("dates", ()))
        elif (day := _read_date(key, item, report)) is not None:
            dates.add(day)
    return _Holidays(frozenset(dates), tuple(countries))


def _read_dates(key: YamlScalar, node: Node, report: Report) -> tuple[date, ...]:
    items = node.items if isinstance(node, YamlSequence) else (node,)
    return tuple(day for item in items if (day := _read_date(key, item, report)) is not None)


def _read_date(key: YamlScalar, node: Node, report: Report) -> date | None:
    if not isinstance(node, YamlScalar) or node.kind in ("null", "bool"):
        refuse(key, node, report, "a date", "such as 2026-12-24")
        return None
    return _date(node, report)


def _date(scalar: YamlScalar, report: Report) -> date | None:
    text = scalar.text.strip()
    if not re.fullmatch(DATE, text):
        found = re.fullmatch(r"([0-9]{1,2})[./-]([0-9]{1,2})[./-]([0-9]{4})", text)
        hint = (
            f"write the year first: {found[3]}-{'MM-DD' if '/' in text else f'{int(found[2]):02}-{int(found[1]):02}'}"
            if found
            else "such as 2026-12-24"
        )
        if re.fullmatch(r"[A-Z]{2}", text):
            hint = f"write {{country: {text}}} for the public holidays of a country"
        report.add(scalar.place, f'"{text}" is not a date', hint, text)
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        report.add(scalar.place, f"there is no date {text}", "write year-month-day", text)
        return None
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        report.add(scalar.place, f"the year {day.year} is out of range", f"from {FIRST_YEAR} to {LAST_YEAR}", text)
        return None
    return day


def _country(node: YamlMapping, values: dict[str, Any], report: Report) -> Country | None:
    from holidays import country_holidays, list_supported_countries  # takes 0.15 s to import
    from holidays.registry import COUNTRIES

    code, subdivision = values["country"], values.get("subdivision", "")
    known = list_supported_countries(include_aliases=True)
    scalar = node.get("country")
    assert isinstance(scalar, YamlScalar)
    if code not in known:
        names = {name.replace("_", " "): each[1] for name, each in COUNTRIES.items()}
        named = names.get(code.casefold())
        near = nearest(code, names, cutoff=0.8) if len(code) > 3 else []
        hint = f"write {code.upper()}" if code.upper() in known else "an ISO 3166 code such as FI, DE or US"
        if named or near:
            hint = f"write {named or names[near[0]]}"
        report.add(scalar.place, f'no public holidays are known for "{code}"', hint, code)
        return None
    try:
        country_holidays(code, subdiv=subdivision or None)
    except NotImplementedError:  # what `holidays` raises for a subdivision that it does not know
        place = node.get("subdivision")
        assert isinstance(place, YamlScalar)
        listed = ", ".join(known[code][:20])
        hint = f"{code} has {listed}" + (" and more" if len(known[code]) > 20 else "") if listed else f"{code} has none"
        report.add(place.place, f'{code} has no subdivision "{subdivision}"', hint, place.text)
        return None
    return Country(code, subdivision)


def _read_exceptions(
    key: YamlScalar, node: Node, report: Report
) -> tuple[tuple[date, tuple[TimeRange, ...]], ...] | None:
    if not isinstance(node, YamlMapping):
        refuse(key, node, report, "a mapping", 'such as {2026-12-31: "08:00-12:00", 2026-01-02: closed}')
        return None
    found = {}
    for name, value in node.entries:
        day, hours = _date(name, report), _read_ranges(name, value, report)
        if day is not None:
            found[day] = hours
    return tuple(sorted(found.items()))


def _read_grace(key: YamlScalar, node: Node, report: Report) -> dict[str, timedelta] | None:
    if not isinstance(node, YamlMapping):
        refuse(key, node, report, "a mapping", "such as {after_open: 5m, before_close: 10m}")
        return None
    values = read_fields(node, GRACE_KEYS, report, "grace")
    for name, value in values.items():
        if value > MAX_GRACE:
            place = node.get(name)
            assert isinstance(place, YamlScalar)
            report.add(place.place, f"{name} is longer than a day", "a few minutes are enough", place.text)
    return values


_RANGE = {
    "type": "string",
    "pattern": rf"^\s*{TIME_RANGE}\s*$",
    "examples": ["08:00-18:00", "00:00-24:00"],
}
_CLOSED = {"type": "string", "pattern": r"^\s*[Cc][Ll][Oo][Ss][Ee][Dd]\s*$", "examples": [CLOSED]}
_RANGES: dict[str, Any] = {"anyOf": [_RANGE, _CLOSED, {"type": "array", "items": _RANGE, "minItems": 1}]}
_A_DATE = {"type": "string", "pattern": rf"^\s*{DATE}\s*$"}
_DATES: dict[str, Any] = {"anyOf": [_A_DATE, {"type": "array", "items": _A_DATE}]}

HOLIDAY_KEYS = (
    Field("country", read_text, TEXT_SCHEMA, "The ISO 3166 code of a country whose public holidays apply."),
    Field("subdivision", read_text, TEXT_SCHEMA, "A part of that country, such as BY or CA."),
    Field("dates", _read_dates, _DATES, "More dates."),
)
_HOLIDAY_MAPPING: dict[str, Any] = {
    "type": "object",
    "anyOf": [{"required": ["country"]}, {"required": ["dates"]}],
    "additionalProperties": False,
    "properties": {each.name: {**each.schema, "description": each.help} for each in HOLIDAY_KEYS},
}
GRACE_KEYS = (
    Field("after_open", read_duration, DURATION_SCHEMA, "For how long after opening nothing is decided."),
    Field("before_close", read_duration, DURATION_SCHEMA, "For how long before closing nothing is decided."),
)
CALENDAR_KEYS = (
    Field("timezone", _read_timezone, {"type": "string"}, "The time zone of the hours, such as Europe/Helsinki."),
    Field(
        "open",
        _read_open,
        {
            "type": "object",
            "additionalProperties": False,
            "patternProperties": {f"^{DAY_KEY}(?:,{DAY_KEY})*$": _RANGES},
        },
        "The hours of a week: days or ranges of days, with their hours.",
    ),
    Field(
        "holidays",
        _read_holidays,
        {"anyOf": [_A_DATE, _HOLIDAY_MAPPING, {"type": "array", "items": {"anyOf": [_A_DATE, _HOLIDAY_MAPPING]}}]},
        "Days on which it does not open, by date or by country.",
    ),
    Field(
        "exceptions",
        _read_exceptions,
        {"type": "object", "additionalProperties": False, "patternProperties": {rf"^\s*{DATE}\s*$": _RANGES}},
        "Other hours on single dates, or closed; they override weekdays and holidays.",
    ),
    Field(
        "grace",
        _read_grace,
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {each.name: {**each.schema, "description": each.help} for each in GRACE_KEYS},
        },
        "For how long after opening and before closing nothing is decided.",
    ),
)


def calendars_schema() -> dict[str, Any]:
    """The JSON Schema of the mapping below `hours:`."""
    calendar = {
        "type": "object",
        "additionalProperties": False,
        "required": ["timezone", "open"],
        "properties": {each.name: {**each.schema, "description": each.help} for each in CALENDAR_KEYS},
    }
    return {"type": "object", "propertyNames": {"pattern": f"^{ID}$"}, "additionalProperties": calendar}


# How a rule refers to a calendar.


def read_shift(key: YamlScalar, node: Node, report: Report) -> timedelta | None:
    """A duration, with a minus for earlier."""
    earlier = isinstance(node, YamlScalar) and node.text.strip().startswith("-")
    if earlier and isinstance(node, YamlScalar):
        at = node.text.index("-") + 1
        node = YamlScalar(node.text[at:], node.kind, node.place_of(at), node.quoted)
    found = _up_to_a_day(key, node, report)
    return -found if earlier and found is not None else found


def _up_to_a_day(key: YamlScalar, node: Node, report: Report) -> timedelta | None:
    found = read_duration(key, node, report)
    if found is not None and found > MAX_GRACE:
        assert isinstance(node, YamlScalar)
        report.add(node.place, f"{key.text} is longer than a day", "a few minutes are enough", node.text)
        return None
    return found


_CALENDAR = Field("calendar", lambda _, node, __: node, TEXT_SCHEMA, "The name of a calendar of hours.")
_SHIFT = Field(
    "shift",
    read_shift,
    {"type": "string", "pattern": rf"^\s*-?\s*{DURATION}\s*$", "examples": ["-10m", "15m"]},
    "Moves all its openings: -10m is ten minutes earlier.",
)
OUTSIDE_KEYS = (_CALENDAR, _SHIFT)
DURING_KEYS = (
    *OUTSIDE_KEYS,
    Field("before_open", _up_to_a_day, DURATION_SCHEMA, "Only for this long before each opening, until it opens."),
)


def read_hours(key: YamlScalar, node: Node, report: Report) -> Hours | None:
    """The name of a calendar, or a mapping with it; None where it was refused, or the calendar itself has faults."""
    values: dict[str, Any] = {"calendar": node}
    if isinstance(node, YamlMapping):
        keys = DURING_KEYS if key.text == "during" else OUTSIDE_KEYS
        faults = len(report.faults)
        values = read_fields(node, keys, report, key.text)
        if node.key("calendar") is None:
            if len(report.faults) == faults:  # else a misspelt key was reported
                report.add(node.place, f"{key.text} without a calendar", "such as {calendar: office, shift: -10m}")
            return None
    name = values.get("calendar")
    if not isinstance(name, YamlScalar) or name.kind == "null":
        refuse(key, name if name is not None else node, report, "the name of a calendar", "such as office")
        return None
    if name.text not in report.calendars:
        near = nearest(name.text, report.calendars, cutoff=0.5)
        names = ", ".join(sorted(report.calendars))
        hint = f"there are: {names}" if names else "write it under hours:"
        hint = f'did you mean "{near[0]}"?' if near else hint
        report.add(name.place, f'there is no calendar "{short(name.text)}"', hint, name.text)
        return None
    if "shift" in values and "before_open" in values:
        report.add(node.place, "both shift and before_open", "before_open: 10m alone sets when it begins and ends")
        return None
    calendar = report.calendars[name.text]
    if calendar is None:
        return None  # its own faults were reported
    return Hours(calendar, values.get("shift", timedelta(0)), values.get("before_open"))
