"""Ended alerts as rows: CSV that a spreadsheet opens, and JSON; for `alertbot history` and the status page. PURE.

The columns are a contract: files that were written once are compared with later ones. Rows go in and out one at a time,
so that a table of any length needs little memory.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from alertbot.alerts.alert import Alert
from alertbot.rules.catalogue import ValueType

BOM = "\ufeff"
"""Without it, spreadsheets read the file in the encoding of their locale."""
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins with one of these for a formula, even if it is the name of a queue."""


class Row(NamedTuple):
    """One ended alert; the fields are the columns, in their order.

    Times have the zone of the tenant. `worst` is a plain number, None where nothing was measured: seconds for a
    duration, 0 to 1 for a ratio, seconds since 1970 for a timestamp. `owner` is "" and `acknowledged_after_s` None
    where the alert was not acknowledged.
    """

    rule: str
    entity: str
    level: str  # the highest level that it reached
    begun: datetime
    ended: datetime
    duration_s: float
    worst: float | None
    owner: str  # the display name where it is known, else the id
    acknowledged_after_s: float | None
    reason: str  # of its end
    tenant: str
    parent: str


def is_listed(alert: Alert) -> bool:
    """Whether `history` has this ended alert: it fired, and its rule was not in shadow."""
    return alert.fired_at is not None and alert.ended_at is not None and not alert.shadow


def rows(
    alerts: Iterable[Alert], zones: Mapping[str, tzinfo], otherwise: tzinfo, owner: Callable[[str], str] = str
) -> Iterator[Row]:
    """The rows of those alerts that are listed, in their order.

    `zones`: by tenant; `otherwise` for a tenant that is no longer configured. `owner`: how a user is called, by id.
    """
    for alert in alerts:
        if is_listed(alert):
            yield _row(alert, zones.get(alert.key.tenant, otherwise), owner)


def _row(alert: Alert, zone: tzinfo, owner: Callable[[str], str]) -> Row:
    assert alert.fired_at is not None
    assert alert.ended_at is not None
    return Row(
        rule=alert.key.rule,
        entity=alert.name,
        level=(alert.highest or alert.level).word,
        begun=alert.fired_at.astimezone(zone),
        ended=alert.ended_at.astimezone(zone),
        duration_s=_seconds(alert.fired_at, alert.ended_at),
        worst=_worst(alert),
        owner=owner(alert.acked_by) if alert.acked_by else "",
        acknowledged_after_s=_seconds(alert.fired_at, alert.acked_at) if alert.acked_by and alert.acked_at else None,
        reason=str(alert.end_reason or ""),
        tenant=alert.key.tenant,
        parent=alert.parent_name,
    )


def _seconds(begin: datetime, end: datetime) -> float:
    return max(round((end - begin).total_seconds(), 3), 0.0)


def _worst(alert: Alert) -> float | None:
    measure = alert.measure
    if alert.peak is None or measure is None or not measure.op or not math.isfinite(alert.peak):
        return None
    in_ms = measure.type in (ValueType.DURATION, ValueType.TIMESTAMP)
    return alert.peak / 1000 if in_ms else alert.peak


def csv_lines(table: Iterable[Row]) -> Iterator[str]:
    """The table as CSV, line by line, each with its end of line; the first one begins with a BOM."""
    line = _Line()
    writer = csv.writer(line)  # the dialect of spreadsheets: commas, quotes where needed, CR LF
    writer.writerow(Row._fields)
    yield BOM + line.text
    for row in table:
        writer.writerow([_cell(value) for value in row])
        yield line.text


class _Line:
    """The target of `csv.writer`: it holds the last line."""

    text = ""

    def write(self, text: str) -> None:
        self.text = text


def _cell(value: str | float | datetime | None) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULAS) else value
    return _plain(value)


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _plain(value: float) -> str:
    """A number without exponent, thousands separators or unit: `72.5`, `0.853`, `12`."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if value != round(value) else f"{value:.0f}"


def json_of(row: Row) -> dict[str, Any]:
    """The same fields for JSON: numbers as numbers, null where there is none, times as text."""
    return {
        name: _time(value) if isinstance(value, datetime) else _number(value) if isinstance(value, float) else value
        for name, value in row._asdict().items()
    }


def _number(value: float) -> float | int:
    return int(value) if value == round(value) else round(value, 6)
