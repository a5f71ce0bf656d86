"""The tables in PostgreSQL, in a schema of their own: step FIRST makes them all, later steps are those of SQLite.

The numbers are those of store/sqlite/migrations.py, and so are the tables and columns (tests/store/test_postgres.py
compares them). Words in columns are the same too: times are ISO text, what has parts is JSON.

What differs:

- text is compared by its bytes (COLLATE "C"), as SQLite does: times sort as text, and no index depends on a language;
- flags are BOOLEAN, numbers BIGINT; ids of alerts and silences come from one sequence, `short_ids`;
- `rowid` is the order in which rows were added: a column of the tables whose statements ask for it;
- functions of SQLite that PostgreSQL lacks are made here, in the same schema, so that they concern no other program.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from psycopg import Connection

from alertbot.store.postgres.dialect import Row

FIRST = 22
"""The step whose tables a new database gets at once."""
SCHEMA = "alertbot"

_FUNCTIONS = (
    """
    CREATE FUNCTION json_each(doc TEXT) RETURNS TABLE (key TEXT, value TEXT)
    LANGUAGE sql IMMUTABLE STRICT ROWS 20 AS $$
        SELECT CAST(place - 1 AS TEXT), item FROM jsonb_array_elements_text(
            CASE jsonb_typeof(CAST(doc AS JSONB)) WHEN 'array' THEN CAST(doc AS JSONB) ELSE '[]' END
        ) WITH ORDINALITY AS items (item, place)
        UNION ALL
        SELECT pairs.key, pairs.value FROM jsonb_each_text(
            CASE jsonb_typeof(CAST(doc AS JSONB)) WHEN 'object' THEN CAST(doc AS JSONB) ELSE '{}' END
        ) AS pairs
    $$
    """,
    """
    CREATE FUNCTION json_extract(doc TEXT, path TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE STRICT AS $$
        SELECT jsonb_path_query_first(CAST(doc AS JSONB), CAST(path AS JSONPATH)) #>> '{}'
    $$
    """,
    """
    CREATE FUNCTION json_valid(doc TEXT) RETURNS BOOLEAN LANGUAGE plpgsql IMMUTABLE STRICT AS $$
    BEGIN
        PERFORM CAST(doc AS JSONB);
        RETURN TRUE;
    EXCEPTION WHEN invalid_text_representation OR untranslatable_character THEN
        RETURN FALSE;
    END
    $$
    """,
    "CREATE FUNCTION json_of(items TEXT[]) RETURNS TEXT LANGUAGE sql IMMUTABLE AS 'SELECT array_to_json(items)::TEXT'",
    """
    CREATE AGGREGATE json_group_array(TEXT) (
        SFUNC = array_append, STYPE = TEXT[], INITCOND = '{}', FINALFUNC = json_of
    )
    """,
    """
    CREATE FUNCTION julianday(at TEXT) RETURNS DOUBLE PRECISION LANGUAGE sql STABLE STRICT AS $$
        SELECT CAST(extract(EPOCH FROM CAST(at AS TIMESTAMPTZ)) / 86400 + 2440587.5 AS DOUBLE PRECISION)
    $$
    """,
    """
    CREATE FUNCTION round(number DOUBLE PRECISION, digits INTEGER) RETURNS DOUBLE PRECISION
    LANGUAGE sql IMMUTABLE STRICT AS 'SELECT CAST(round(CAST(number AS NUMERIC), digits) AS DOUBLE PRECISION)'
    """,
    """
    CREATE FUNCTION max(a BIGINT, b BIGINT) RETURNS BIGINT LANGUAGE sql IMMUTABLE STRICT AS 'SELECT greatest(a, b)'
    """,
    """
    CREATE FUNCTION max(a TEXT, b TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE STRICT
    AS 'SELECT greatest(a COLLATE "C", b COLLATE "C")'
    """,
    """
    CREATE FUNCTION min(a TEXT, b TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE STRICT
    AS 'SELECT least(a COLLATE "C", b COLLATE "C")'
    """,
)
# In the order in which rows can be added: a table follows those that it refers to. TEXT and ID are replaced.
_TABLES = (
    """
    CREATE TABLE feeds (
        tenant TEXT PRIMARY KEY,
        tried_at TEXT,
        good_at TEXT,
        error TEXT NOT NULL,
        took_ms DOUBLE PRECISION NOT NULL,
        requests BIGINT NOT NULL,
        entities TEXT NOT NULL,
        empty_polls TEXT NOT NULL,
        health TEXT NOT NULL DEFAULT '{}',
        snapshot_times TEXT NOT NULL DEFAULT '{}',
        turns BIGINT NOT NULL DEFAULT 0,
        polls BIGINT NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE alerts (
        id BIGINT PRIMARY KEY,
        tenant TEXT NOT NULL,
        rule TEXT NOT NULL,
        scope TEXT NOT NULL,
        parent_id TEXT NOT NULL,
        parent_name TEXT NOT NULL,
        entity_id TEXT NOT NULL,
        entity_name TEXT NOT NULL,
        state TEXT NOT NULL,
        level TEXT NOT NULL,
        highest_level TEXT,
        since TEXT NOT NULL,
        pending_since TEXT,
        fired_at TEXT,
        recovering_since TEXT,
        ended_at TEXT,
        end_reason TEXT,
        measure TEXT,
        peak DOUBLE PRECISION,
        peak_at TEXT,
        missed_polls BIGINT NOT NULL,
        seen_at TEXT,
        about TEXT NOT NULL,
        acked_by TEXT,
        acked_at TEXT,
        ack_note TEXT NOT NULL DEFAULT '',
        reported_level TEXT,
        muted TEXT,
        shown TEXT NOT NULL DEFAULT '{}',
        reminded_at TEXT,
        reminders BIGINT NOT NULL DEFAULT 0,
        escalated_s DOUBLE PRECISION,
        nagged BOOLEAN NOT NULL DEFAULT FALSE,
        rises TEXT NOT NULL DEFAULT '[]',
        unstable BOOLEAN NOT NULL DEFAULT FALSE,
        no_data_since TEXT,
        unseen_since TEXT,
        closed_by TEXT NOT NULL DEFAULT '',
        close_note TEXT NOT NULL DEFAULT '',
        latched BOOLEAN NOT NULL DEFAULT FALSE
    )
    """,
    """
    CREATE TABLE cards (
        id ID PRIMARY KEY,
        tenant TEXT NOT NULL,
        group_key TEXT NOT NULL,
        channel TEXT NOT NULL,
        wanted_channel TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'posted', 'given_up', 'gone')),
        posted_channel_id TEXT,
        posted_ts TEXT,
        version BIGINT NOT NULL,
        urgent_version BIGINT NOT NULL,
        sent_version BIGINT NOT NULL,
        edited_at TEXT,
        outdated_since TEXT,
        refresh_seconds DOUBLE PRECISION NOT NULL,
        edit_not_before TEXT,
        edit_attempts BIGINT NOT NULL DEFAULT 0,
        edit_error TEXT NOT NULL DEFAULT '',
        ended_at TEXT,
        picture_at TEXT
    )
    """,
    """
    CREATE TABLE card_alerts (
        card_id BIGINT NOT NULL REFERENCES cards (id),
        alert_id BIGINT NOT NULL REFERENCES alerts (id),
        PRIMARY KEY (card_id, alert_id)
    )
    """,
    # A notice may refer to a later one as its lead: that is checked at the end of the transaction.
    """
    CREATE TABLE notices (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('card', 'line', 'ops')),
        alert_id BIGINT REFERENCES alerts (id),
        card_id BIGINT REFERENCES cards (id),
        channel TEXT NOT NULL,
        reason TEXT NOT NULL,
        level TEXT NOT NULL,
        at TEXT NOT NULL,
        text TEXT NOT NULL,
        measure TEXT,
        mention TEXT NOT NULL,
        broadcast BOOLEAN NOT NULL,
        done_by TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'given_up', 'told_by_card')),
        intent_at TEXT,
        attempts BIGINT NOT NULL DEFAULT 0,
        not_before TEXT,
        error TEXT NOT NULL DEFAULT '',
        settled_at TEXT,
        posted_channel_id TEXT,
        posted_ts TEXT,
        looks BIGINT NOT NULL DEFAULT 0,
        claimant TEXT,
        look_at TEXT,
        lead TEXT REFERENCES notices (id) DEFERRABLE INITIALLY DEFERRED,
        also TEXT NOT NULL DEFAULT '[]',
        replies TEXT NOT NULL DEFAULT '[]',
        thread_channel_id TEXT,
        thread_ts TEXT,
        rowid ID UNIQUE
    )
    """,
    """
    CREATE TABLE channels (
        channel TEXT PRIMARY KEY,
        channel_id TEXT,
        rest_until TEXT,
        held_until TEXT,
        hold_notice TEXT
    )
    """,
    """
    CREATE TABLE snapshots (
        tenant TEXT NOT NULL,
        scope TEXT NOT NULL,
        at TEXT NOT NULL,
        complete BIGINT NOT NULL,
        problems TEXT NOT NULL,
        entities TEXT NOT NULL,
        number_keys TEXT NOT NULL,
        numbers BYTEA NOT NULL,
        number_presence BYTEA NOT NULL,
        text_keys TEXT NOT NULL,
        texts TEXT NOT NULL,
        text_presence BYTEA NOT NULL,
        PRIMARY KEY (tenant, scope)
    )
    """,
    """
    CREATE TABLE counters (
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        value BIGINT NOT NULL,
        PRIMARY KEY (tenant, name)
    )
    """,
    """
    CREATE TABLE running_rules (
        tenant TEXT PRIMARY KEY,
        version TEXT NOT NULL,
        since TEXT NOT NULL,
        files BYTEA NOT NULL
    )
    """,
    """
    CREATE TABLE recorded_layouts (
        id ID PRIMARY KEY,
        tenant TEXT NOT NULL,
        scope TEXT NOT NULL,
        digest TEXT NOT NULL,
        entities BYTEA NOT NULL,
        metric_keys TEXT NOT NULL,
        UNIQUE (tenant, scope, digest)
    )
    """,
    """
    CREATE TABLE recorded_polls (
        id ID PRIMARY KEY,
        tenant TEXT NOT NULL,
        at TEXT NOT NULL,
        scope TEXT NOT NULL,
        layout_id BIGINT,
        key_frame BOOLEAN NOT NULL,
        complete BIGINT NOT NULL,
        problems TEXT NOT NULL,
        packed BYTEA
    )
    """,
    """
    CREATE TABLE leases (
        name TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        since TEXT NOT NULL,
        until TEXT NOT NULL,
        ttl_seconds DOUBLE PRECISION NOT NULL
    )
    """,
    "CREATE TABLE revisions (tenant TEXT PRIMARY KEY, revision BIGINT NOT NULL)",
    """
    CREATE TABLE former_messages (
        card_id BIGINT NOT NULL REFERENCES cards (id),
        posted_channel_id TEXT NOT NULL,
        posted_ts TEXT NOT NULL,
        sent_version BIGINT NOT NULL,
        edit_not_before TEXT,
        edit_attempts BIGINT NOT NULL DEFAULT 0,
        edit_error TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (card_id, posted_channel_id, posted_ts)
    )
    """,
    """
    CREATE TABLE silences (
        id BIGINT PRIMARY KEY,
        matcher TEXT NOT NULL,
        starts_at TEXT NOT NULL,
        ends_at TEXT NOT NULL,
        author TEXT NOT NULL,
        reason TEXT NOT NULL,
        created_at TEXT NOT NULL,
        ended_at TEXT,
        ended_by TEXT NOT NULL DEFAULT '',
        started BOOLEAN NOT NULL DEFAULT FALSE,
        warned BOOLEAN NOT NULL DEFAULT FALSE
    )
    """,
    """
    CREATE TABLE channel_posts (
        channel TEXT NOT NULL,
        at TEXT NOT NULL,
        notice_id TEXT NOT NULL,
        PRIMARY KEY (channel, at, notice_id)
    )
    """,
    """
    CREATE TABLE agents (
        tenant TEXT NOT NULL,
        id TEXT NOT NULL,
        name TEXT NOT NULL,
        rowid ID UNIQUE,
        PRIMARY KEY (tenant, id, name)
    )
    """,
    "CREATE TABLE card_edits (at TEXT NOT NULL, card_id BIGINT NOT NULL)",
    """
    CREATE TABLE fallback_posts (
        id TEXT PRIMARY KEY,
        alert_id BIGINT NOT NULL REFERENCES alerts (id),
        kind TEXT NOT NULL CHECK (kind IN ('firing', 'resolved')),
        level TEXT NOT NULL,
        decided_at TEXT NOT NULL,
        body TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'given_up')),
        maybe_sent BOOLEAN NOT NULL DEFAULT FALSE,
        closed BIGINT NOT NULL DEFAULT 0,
        attempts BIGINT NOT NULL DEFAULT 0,
        not_before TEXT,
        error TEXT NOT NULL DEFAULT '',
        settled_at TEXT,
        rowid ID UNIQUE,
        UNIQUE (alert_id, kind, level)
    )
    """,
    """
    CREATE TABLE usual_layouts (
        id ID PRIMARY KEY,
        tenant TEXT NOT NULL,
        scope TEXT NOT NULL,
        digest TEXT NOT NULL,
        entities BYTEA NOT NULL,
        metric_keys TEXT NOT NULL,
        UNIQUE (tenant, scope, digest)
    )
    """,
    """
    CREATE TABLE usual_means (
        id ID PRIMARY KEY,
        tenant TEXT NOT NULL,
        scope TEXT NOT NULL,
        at TEXT NOT NULL,
        layout_id BIGINT NOT NULL REFERENCES usual_layouts (id),
        packed BYTEA NOT NULL,
        UNIQUE (tenant, scope, at, layout_id)
    )
    """,
    """
    CREATE TABLE usual_keys (
        tenant TEXT NOT NULL,
        scope TEXT NOT NULL,
        metric_key TEXT NOT NULL,
        filled_until TEXT NOT NULL,
        PRIMARY KEY (tenant, scope, metric_key)
    )
    """,
    "CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT NOT NULL)",
)
_INDEXES = """
    CREATE UNIQUE INDEX alerts_one_not_over ON alerts (tenant, rule, scope, parent_id, entity_id)
        WHERE ended_at IS NULL;
    CREATE INDEX alerts_ended ON alerts (ended_at, id) WHERE ended_at IS NOT NULL;
    CREATE INDEX alerts_fired ON alerts (fired_at) WHERE fired_at IS NOT NULL;
    CREATE INDEX alerts_open ON alerts (tenant, id) WHERE ended_at IS NULL;
    CREATE INDEX alerts_by_key ON alerts (tenant, rule, scope, parent_id, entity_id, id);
    CREATE INDEX alerts_latched ON alerts (tenant) WHERE latched;
    CREATE INDEX alerts_ended_by_tenant ON alerts (tenant, ended_at) WHERE ended_at IS NOT NULL;
    CREATE UNIQUE INDEX cards_one_open ON cards (tenant, group_key, wanted_channel) WHERE ended_at IS NULL;
    CREATE INDEX cards_outdated ON cards (id) WHERE state = 'posted' AND version > sent_version;
    CREATE INDEX cards_pictures ON cards (picture_at) WHERE picture_at IS NOT NULL;
    CREATE INDEX cards_of_alert ON card_alerts (alert_id);
    CREATE INDEX notices_waiting ON notices (channel) WHERE state = 'waiting';
    CREATE INDEX notices_claimed ON notices (claimant) WHERE state = 'waiting' AND claimant IS NOT NULL;
    CREATE INDEX notices_of_alert ON notices (alert_id);
    CREATE INDEX notices_of_card ON notices (card_id);
    CREATE INDEX notices_carried ON notices (lead) WHERE lead IS NOT NULL;
    CREATE INDEX notices_operational ON notices (at) WHERE alert_id IS NULL;
    CREATE UNIQUE INDEX recorded_polls_in_time ON recorded_polls (tenant, at, scope);
    CREATE INDEX recorded_key_frames ON recorded_polls (tenant, scope, at, layout_id) WHERE key_frame;
    CREATE INDEX silences_open ON silences (id) WHERE ended_at IS NULL;
    CREATE INDEX fallback_posts_waiting ON fallback_posts (attempts) WHERE state = 'waiting';
    CREATE INDEX fallback_posts_open ON fallback_posts (alert_id) WHERE kind = 'firing' AND closed = 0;
    CREATE INDEX usual_means_of_layout ON usual_means (layout_id);
    CREATE SEQUENCE short_ids
"""

STEPS: Mapping[int, Sequence[str]] = {
    23: (
        """
        CREATE TABLE owners (
            tenant TEXT PRIMARY KEY,
            number BIGINT NOT NULL,
            worker TEXT NOT NULL,
            since TEXT NOT NULL,
            memory TEXT NOT NULL
        )
        """,
    ),
    24: (
        """
        CREATE TABLE claims (
            work TEXT NOT NULL,
            place TEXT NOT NULL,
            claimant TEXT NOT NULL,
            since TEXT NOT NULL,
            until TEXT NOT NULL,
            PRIMARY KEY (work, place)
        )
        """,
    ),
    25: (
        """
        CREATE TABLE possible_duplicates (
            notice_id TEXT PRIMARY KEY,
            since TEXT NOT NULL,
            check_at TEXT NOT NULL
        )
        """,
    ),
}
"""The statements of the steps after FIRST, by number."""

TABLES: tuple[str, ...] = tuple(
    re.findall(r"CREATE TABLE (\w+)", " ".join([*_TABLES, *(each for step in STEPS.values() for each in step)]))
)
"""All tables, each after those that it refers to."""

COUNTED = ("cards", "recorded_layouts", "recorded_polls", "usual_layouts", "usual_means")
"""Tables that count their ids themselves."""
IN_ORDER = ("notices", "agents", "fallback_posts")
"""Tables with a `rowid`."""


def _typed(statement: str) -> str:
    """Types of columns as PostgreSQL knows them. `text TEXT` is a column too: only words in capitals are types."""
    statement = re.sub(r"\bID\b", "BIGINT GENERATED BY DEFAULT AS IDENTITY", statement)
    return re.sub(r"(?<=\w )TEXT\b", 'TEXT COLLATE "C"', statement)


def newest() -> int:
    """The number of the last step that this version knows."""
    return max([FIRST, *STEPS])


def applied(conn: Connection[Row]) -> int | None:
    """The number of the last step that was taken; None where the schema is missing or has no tables of alertbot."""
    if conn.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.migrations",)).fetchone() == (None,):
        return None
    row = conn.execute(f"SELECT max(step) FROM {SCHEMA}.migrations").fetchone()  # noqa: S608  # a constant
    return None if row is None or row[0] is None else int(str(row[0]))


def migrate(conn: Connection[Row], before: int | None) -> None:
    """Take the steps after this one, or make a new database; in the caller's transaction."""
    if before is None:
        # A user who may not create one can be given one: then this statement would fail.
        if conn.execute("SELECT to_regnamespace(%s)", (SCHEMA,)).fetchone() == (None,):
            conn.execute(f"CREATE SCHEMA {SCHEMA}")
        conn.execute(f"SET LOCAL search_path = {SCHEMA}, pg_catalog")
        conn.execute("CREATE TABLE migrations (step BIGINT PRIMARY KEY, at TIMESTAMPTZ NOT NULL DEFAULT now())")
        for statement in (*_FUNCTIONS, *map(_typed, _TABLES), *_INDEXES.split(";")):
            conn.execute(statement)
        conn.execute("INSERT INTO migrations (step) VALUES (%s)", (FIRST,))
    conn.execute(f"SET LOCAL search_path = {SCHEMA}, pg_catalog")
    for step in range((before or FIRST) + 1, newest() + 1):
        for statement in STEPS.get(step, ()):
            conn.execute(_typed(statement))
        conn.execute("INSERT INTO migrations (step) VALUES (%s)", (step,))
