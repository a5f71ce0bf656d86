"""How alerts went within a window, for the digest.

Six statements, whatever the history holds, and each reads only what is in the window (and what is open). They count in
SQL: a storm of a hundred thousand alerts is a row for each rule and entity. Each is a transaction of its own, so that a
poll which wants to read waits for one of them at most.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from alertbot.alerts.quality import BRIEF, NEW, Fired, Interval, Quality, merged
from alertbot.feed.rules import REFUSED, STALE
from alertbot.rules.catalogue import shown_name
from alertbot.rules.privacy import Names
from alertbot.rules.rule import Level
from alertbot.store import codec
from alertbot.store.codec import stamp, unstamp
from alertbot.store.sql.agents import Agents
from alertbot.store.sql.connection import Database, Row

# A difference of days as floats is good to about a millisecond.
_LASTED = "round((julianday(ended_at) - julianday(fired_at)) * 86400, 2)"
# Named indexes: to group by them, SQLite would rather read every alert in the order of the keys.
_FIRED = f"""
    SELECT l.tenant, l.rule, l.scope, l.parent_id, l.entity_id, l.entity_name, l.parent_name,
        json_extract(l.about, '$.title') AS title, g.* FROM (
        SELECT max(id) AS last,
            json_extract(about, '$.shadow') IS NOT NULL AND reported_level IS NULL AS in_shadow,
            max(CASE COALESCE(highest_level, level) WHEN 'critical' THEN 3 WHEN 'warning' THEN 2 ELSE 1 END) AS highest,
            count(*) AS alerts,
            count(*) FILTER (WHERE COALESCE(highest_level, level) = 'critical') AS critical,
            count(*) FILTER (WHERE reported_level IS NOT NULL) AS reported,
            count(*) FILTER (WHERE acked_at IS NOT NULL) AS acknowledged,
            count(*) FILTER (WHERE reported_level IS NOT NULL AND acked_at IS NULL
                AND COALESCE(highest_level, level) <> 'info' AND NOT (ended_at IS NOT NULL AND {_LASTED} < :brief)
            ) AS ignored,
            count(*) FILTER (WHERE ended_at IS NOT NULL AND end_reason = 'resolved'
                AND {_LASTED} < :brief) AS brief,
            count(*) FILTER (WHERE unstable) AS unstable,
            count(*) FILTER (WHERE reminders > 0) AS reminded,
            sum(reminders) AS reminders,
            count(*) FILTER (WHERE escalated_s IS NOT NULL) AS escalated
        FROM alerts INDEXED BY alerts_fired
        WHERE fired_at >= :since AND fired_at < :until AND scope <> 'feed'
        GROUP BY tenant, rule, scope, parent_id, entity_id, in_shadow
    ) AS g CROSS JOIN alerts l ON l.id = g.last
"""  # noqa: S608  # built-in text only
_ACKNOWLEDGED = """
    SELECT tenant, rule, round((julianday(acked_at) - julianday(fired_at)) * 86400, 2) AS after
    FROM alerts INDEXED BY alerts_fired
    WHERE fired_at >= :since AND fired_at < :until AND acked_at IS NOT NULL AND scope <> 'feed'
"""
_OPEN_RULES = """
    SELECT tenant, rule FROM alerts INDEXED BY alerts_ended
    WHERE ended_at >= :since AND ended_at IS NOT NULL AND fired_at < :until
    UNION
    SELECT tenant, rule FROM alerts INDEXED BY alerts_open WHERE ended_at IS NULL AND fired_at < :until
"""
_OUTAGES = f"""
    SELECT tenant, rule, fired_at, ended_at FROM alerts INDEXED BY alerts_ended
    WHERE ended_at >= :since AND ended_at IS NOT NULL AND scope = 'feed' AND rule IN ('{STALE}', '{REFUSED}')
        AND fired_at < :until
    UNION ALL
    SELECT tenant, rule, fired_at, ended_at FROM alerts INDEXED BY alerts_open
    WHERE ended_at IS NULL AND scope = 'feed' AND rule IN ('{STALE}', '{REFUSED}') AND fired_at < :until
"""  # noqa: S608  # built-in names only
# Times of polls from the index alone. The poll before the window is one of them, and the end of the window is like one,
# so that a gap over either edge is found. Where nothing is recorded there is no gap.
_GAPS = """
    WITH asked (tenant, longest) AS (SELECT key, CAST(value AS DOUBLE PRECISION) FROM json_each(:longest)),
    polls (tenant, longest, at) AS (
        SELECT a.tenant, a.longest, p.at FROM asked a CROSS JOIN recorded_polls p INDEXED BY recorded_polls_in_time
            ON p.tenant = a.tenant AND p.at < :until AND p.at >= COALESCE(
                (SELECT max(at) FROM recorded_polls WHERE tenant = a.tenant AND at < :since), :since
            )
        UNION ALL SELECT tenant, longest, :until FROM asked
    ),
    steps AS (SELECT *, lag(at) OVER (PARTITION BY tenant ORDER BY at) AS earlier FROM polls)
    SELECT tenant, earlier, at FROM steps
    WHERE earlier < at AND (julianday(at) - julianday(earlier)) * 86400 > longest
"""
_BEGINNINGS = """
    SELECT key AS tenant,
        (SELECT min(at) FROM recorded_polls INDEXED BY recorded_polls_in_time WHERE tenant = key) AS at
    FROM json_each(:longest)
"""


def quality(
    db: Database,
    agents: Agents,
    since: datetime,
    until: datetime,
    longest: Mapping[str, timedelta],
) -> Quality:
    """As `History.quality`."""
    window = {"since": stamp(since), "until": stamp(until), "brief": BRIEF.total_seconds()}
    with db.read() as conn:
        names = agents.read(conn)
    fired = [_fired(row, names) for row in _rows(db, _FIRED, window)]
    after: dict[tuple[str, str], list[float]] = {}
    for row in _rows(db, _ACKNOWLEDGED, window):
        after.setdefault((row["tenant"], row["rule"]), []).append(max(row["after"], 0.0))
    open_rules = frozenset((row["tenant"], row["rule"]) for row in _rows(db, _OPEN_RULES, window))
    without: dict[str, list[Interval]] = {}
    for row in _rows(db, _OUTAGES, window):
        without.setdefault(row["tenant"], []).append(_outage(row, longest, until))
    seconds = json.dumps({tenant: span.total_seconds() for tenant, span in longest.items()})
    for row in _rows(db, _GAPS, {**window, "longest": seconds}):
        without.setdefault(row["tenant"], []).append((unstamp(row["earlier"]), unstamp(row["at"])))
    begun = _rows(db, _BEGINNINGS, {"longest": seconds})
    return Quality(
        since,
        until,
        tuple(fired),
        {key: tuple(sorted(seconds)) for key, seconds in after.items()},
        {tenant: merged(intervals, since, until) for tenant, intervals in without.items()},
        open_rules,
        frozenset(row["tenant"] for row in begun if row["at"] is None or until - unstamp(row["at"]) < NEW),
    )


def _rows(db: Database, statement: str, values: Mapping[str, object]) -> list[Row]:
    with db.read() as conn:
        return conn.execute(statement, values).fetchall()


def _fired(row: Row, names: Names) -> Fired:
    key = codec.fingerprint(row["tenant"], row)
    return Fired(
        key=key,
        name=names.of(key.tenant, key.scope, key.entity_id, row["entity_name"]) or shown_name(key.scope, key.entity_id),
        parent=row["parent_name"],
        title=row["title"],
        highest=Level(row["highest"]),
        shadow=bool(row["in_shadow"]),
        alerts=row["alerts"],
        critical=row["critical"],
        reported=row["reported"],
        acknowledged=row["acknowledged"],
        ignored=row["ignored"],
        brief=row["brief"],
        unstable=row["unstable"],
        reminded=row["reminded"],
        reminders=row["reminders"],
        escalated=row["escalated"],
    )


def _outage(row: Row, longest: Mapping[str, timedelta], until: datetime) -> Interval:
    """While the feed was stale (which fires when there was no data for `longest`) or the credentials were refused."""
    before = longest.get(row["tenant"], timedelta(0)) if row["rule"] == STALE else timedelta(0)
    end = until if row["ended_at"] is None else unstamp(row["ended_at"])
    return unstamp(row["fired_at"]) - before, end
