"""Whether two workers are configured alike: what they compare, and how a difference is named. PURE"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from alertbot.config.settings import Settings
from alertbot.rules.hours import Calendar

_ABSENT = "not set"
_OWN = ("http",)  # what each worker may have for itself
_LONG = 60  # characters of a value that is shown
_SHOWN = 3  # differences that are named; the others are counted


def compared(settings: Settings) -> str:
    """The settings that all workers must share, as JSON: without `http` and without secrets."""
    # Secrets are asterisks in the dump, whatever they are; so are passwords in addresses, which may differ too.
    dump = settings.model_dump(mode="json", exclude=set(_OWN))
    dump.pop("storage", None)  # it is the same database, by whatever address
    # The dump has only the names of calendars.
    dump["hours"] = {name: _calendar(calendar) for name, calendar in settings.hours.items()}
    return json.dumps(dump, sort_keys=True)


def _calendar(calendar: Calendar) -> Any:
    """All that a calendar says, but not in which file."""
    return json.loads(json.dumps(asdict(replace(calendar, where="")), default=_plain))


def _plain(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, frozenset) else str(value)


def difference(mine: str, theirs: str) -> str:
    """In which settings two workers differ, as `KEY is A here and B there`; "" where they do not."""
    found = list(_differences("", json.loads(mine), json.loads(theirs)))
    more = len(found) - _SHOWN
    return "; ".join(found[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _differences(path: str, mine: Any, theirs: Any) -> Iterator[str]:
    if mine == theirs:
        return
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key in sorted({*mine, *theirs}):
            yield from _differences(f"{path}.{key}" if path else key, mine.get(key), theirs.get(key))
    elif path == "tenants" and isinstance(mine, list) and isinstance(theirs, list):
        one, other = ({each["name"]: each for each in side} for side in (mine, theirs))
        for name in sorted({*one, *other}):  # their order means nothing
            yield from _differences(f"tenants {name}", one.get(name), other.get(name))
    else:
        here, there = _told(mine), _told(theirs)
        yield f"{path} is {here} here and {there} there" if here != there else f"{path} differs"


def _told(value: Any) -> str:
    if value is None:
        return _ABSENT
    if isinstance(value, dict):
        return "set" if value else _ABSENT
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONG else "a long value"
