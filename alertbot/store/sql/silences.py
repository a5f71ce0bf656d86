"""Silences: what is active or still to come, and changes of it. Each function works inside the caller's transaction.

Whatever changes here raises the revision of all tenants, so that every poller reads the silences again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from alertbot.alerts.alert import Alert, Outcome
from alertbot.alerts.announce import Event, announced, announcements, due
from alertbot.alerts.shown import shown_alert, shown_silence
from alertbot.alerts.silence import Matcher, Silence
from alertbot.rules.privacy import Names
from alertbot.store import codec
from alertbot.store.sql import record
from alertbot.store.sql.connection import Connection

_COLUMNS = (
    *("id", "matcher", "starts_at", "ends_at", "author", "reason", "created_at", "ended_at", "ended_by", "started"),
    "warned",
)
_WRITE = f"""
    INSERT INTO silences ({", ".join(_COLUMNS)}) VALUES ({", ".join(f":{name}" for name in _COLUMNS)})
    ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])}
"""  # noqa: S608  # built-in names only


def to_come(conn: Connection) -> tuple[Silence, ...]:
    """Those that have not ended, by id."""
    rows = conn.execute("SELECT * FROM silences WHERE ended_at IS NULL ORDER BY id").fetchall()
    return tuple(codec.silence_of(row) for row in rows)


def one(conn: Connection, silence_id: int) -> Silence | None:
    """One silence, ended or not."""
    row = conn.execute("SELECT * FROM silences WHERE id = ?", (silence_id,)).fetchone()
    return None if row is None else codec.silence_of(row)


def of(conn: Connection, alerts: Iterable[Alert]) -> tuple[Silence, ...]:
    """Those that mute one of these alerts and have not ended."""
    found = (one(conn, each) for each in sorted({alert.silence for alert in alerts if alert.silence is not None}))
    return tuple(silence for silence in found if silence is not None and silence.ended_at is None)


def create(
    conn: Connection,
    matcher: Matcher,
    starts_at: datetime,
    ends_at: datetime,
    author: str,
    reason: str,
    now: datetime,
    timezone: str,
    names: Names,
) -> Silence:
    silence = Silence(next(conn.new_ids()), matcher, starts_at, ends_at, author, reason, created_at=now)
    repeated = next((each for each in to_come(conn) if silence.repeats(each)), None)
    if repeated is not None:
        return repeated
    if due(silence, now) is Event.STARTED:
        return _announce(conn, silence, Event.STARTED, now, timezone, names, author)
    _write(conn, silence)
    return silence


def extend(
    conn: Connection, silence_id: int, ends_at: datetime, by: str, now: datetime, timezone: str, names: Names
) -> tuple[Outcome, Silence | None]:
    silence = one(conn, silence_id)
    if silence is None:
        return Outcome.UNKNOWN_ID, None
    if silence.ended_at is not None or silence.ends_at <= now:
        return Outcome.ENDED, silence
    if ends_at <= silence.ends_at:
        return Outcome.ALREADY, silence
    longer = _announce(conn, replace(silence, ends_at=ends_at), Event.EXTENDED, now, timezone, names, by)
    muted = [alert.id for alert in _open_alerts(conn) if alert.silence == silence_id and alert.id is not None]
    record.bump_cards(conn, muted, now)  # they show until when
    return Outcome.DONE, longer


def end(
    conn: Connection, silence_id: int, by: str, now: datetime, timezone: str, names: Names
) -> tuple[Outcome, Silence | None]:
    silence = one(conn, silence_id)
    if silence is None:
        return Outcome.UNKNOWN_ID, None
    if silence.ended_at is not None:
        return Outcome.ENDED, silence
    return Outcome.DONE, _announce(conn, replace(silence, ended_by=by), Event.ENDED, now, timezone, names, by)


def is_due(conn: Connection, now: datetime) -> bool:
    """Whether time brought about anything to announce. Asked on every turn: most of the time there is no silence."""
    return any(due(silence, now) is not None for silence in to_come(conn))


def announce(conn: Connection, now: datetime, timezone: str, names: Names) -> int:
    """Announce what time brought about; the number of events."""
    events = [(silence, event) for silence in to_come(conn) if (event := due(silence, now)) is not None]
    for silence, event in events:
        _announce(conn, silence, event, now, timezone, names)
    return len(events)


def _announce(
    conn: Connection,
    silence: Silence,
    event: Event,
    now: datetime,
    timezone: str,
    names: Names,
    by: str = "",
) -> Silence:
    """Write the silence as it is after the event, with the notices of the event."""
    after = announced(silence, event, now)
    _write(conn, after)
    alerts = _open_alerts(conn)
    cards = {
        key: channels
        for tenant in {alert.key.tenant for alert in alerts}
        for key, channels in record.channels(conn, tenant).items()
    }
    alerts = [shown_alert(alert, names) for alert in alerts]
    notices = announcements(shown_silence(silence, names), event, alerts, cards, now, by=by, timezone=timezone)
    record.add_notices(conn, "", list(notices), {}, now)
    return after


def _open_alerts(conn: Connection) -> list[Alert]:
    rows = conn.execute("SELECT * FROM alerts WHERE ended_at IS NULL ORDER BY +id").fetchall()
    return [codec.alert_of(row) for row in rows]


def _write(conn: Connection, silence: Silence) -> None:
    conn.execute(_WRITE, codec.silence_values(silence))
    record.raise_every_revision(conn)
