"""Time zones as files name them: what to write in place of one that does not exist, or that has no summer time."""

from __future__ import annotations

import re
from functools import cache
from zoneinfo import available_timezones

from alertbot.rules.words import nearest

WRITE_THE_PLACE = "write the place, such as Europe/Helsinki"
# Abbreviations that are zones of their own: the same offset all year, which is seldom what is meant.
_PLACES = {
    "EST": "write the place, such as America/New_York",
    "MST": "write the place, such as America/Denver; America/Phoenix has no summer time",
    "HST": "write Pacific/Honolulu",
}
_OFFSET = re.compile(r"Etc/GMT([+-])([0-9]+)")


def is_zone(text: str) -> bool:
    """Whether the tz database has a zone of exactly this name."""
    return text in available_timezones()


def zone_hint(text: str) -> str:
    """What to write in place of a name that is no zone.

    A zone is proposed only for a misspelt Area/City, or for a city. For an abbreviation or an offset the nearest name
    would be another zone: no proposal is better than a wrong one.
    """
    cities = _cities()
    if text.casefold() in cities:
        return f"did you mean {cities[text.casefold()]}?"
    if "/" in text:
        near = nearest(text, cities.values(), cutoff=0.8)
    else:
        near = [cities[each] for each in nearest(text, cities, cutoff=0.8)] if len(text) > 5 and text.isalpha() else []
    return f"did you mean {near[0]}?" if near else WRITE_THE_PLACE


def fixed_offset(text: str) -> tuple[str, str] | None:
    """Message and hint for a zone that has the same offset all year and is no place; None for any other.

    UTC and its other names are meant as written.
    """
    offset = _OFFSET.fullmatch(text)
    if offset and int(offset[2]):
        side = "behind" if offset[1] == "+" else "ahead of"
        hours = f"{int(offset[2])} hour{'' if int(offset[2]) == 1 else 's'}"
        return (
            f"{text} is {hours} {side} UTC all year: it has no summer time, and its sign is reversed",
            WRITE_THE_PLACE,
        )
    if text in _PLACES:
        return f"{text} has no summer time: it is the same offset from UTC all year", _PLACES[text]
    return None


@cache
def _cities() -> dict[str, str]:
    """Zones named Area/City, by the city in lower case."""
    names = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/")))
    cities: dict[str, str] = {}
    for name in names:
        city = name.rpartition("/")[2].casefold()
        for spelling in (city, city.replace("_", " ")):
            cities.setdefault(spelling, name)
    return cities
