"""The tables, as numbered steps: steps are added and never edited, so that every database ever written can be opened.

Words in columns are plain, for administrators who look with `sqlite3 alertbot.db`:

- times are ISO text in UTC, all of one width (`2026-03-02T09:00:00.000000Z`): they sort and compare as text;
- levels, states and reasons are the words of the documentation; what has parts (labels, measure) is JSON;
- everything about a contact centre has its `tenant`; `channels` and `leases` belong to the whole database.

sqlite-utils applies the steps. Which of them a database has is read here, without it: almost every database that is
opened has them all, and to import sqlite-utils takes half as long as `import typer, rich`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from textwrap import dedent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database, Migrations

SET = "alertbot"
"""The name of these steps among those that sqlite-utils keeps in a database."""
_STEPS: dict[str, Callable[[Database], None]] = {}


def _step(function: Callable[[Database], None]) -> Callable[[Database], None]:
    """Add a step. It is known by the name of its function."""
    _STEPS[function.__name__] = function
    return function


def migrations() -> Migrations:
    """The steps, for sqlite-utils to apply."""
    from sqlite_utils import Migrations  # not at the top: see above

    steps = Migrations(SET)
    for function in _STEPS.values():
        steps()(function)
    return steps


def applied_steps(conn: sqlite3.Connection) -> list[str]:
    """The steps that this database has, in their order; none where it is not alertbot's. Raises sqlite3.Error."""
    if not conn.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone():
        return []
    rows = conn.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ? ORDER BY rowid", (SET,))
    return [row[0] for row in rows]


def pending_steps(applied: list[str]) -> list[str]:
    """The steps that a database with these still needs."""
    return [name for name in _STEPS if name not in applied]


def unknown_steps(applied: list[str]) -> list[str]:
    """Those of these steps that this version does not know: the database was written by a newer one."""
    return [name for name in applied if name not in _STEPS]


# Foreign keys say what belongs to what: retention.py deletes in their order. A forgotten pending alert has no cards.
_STEP_1 = (
    """
    CREATE TABLE feeds (
        tenant TEXT PRIMARY KEY,
        tried_at TEXT,
        good_at TEXT,
        error TEXT NOT NULL,
        took_ms REAL NOT NULL,
        requests INTEGER NOT NULL,
        entities TEXT NOT NULL,
        empty_polls TEXT NOT NULL
    )
    """,
    # AUTOINCREMENT: a short id is never given twice, not even after its row is gone.
    """
    CREATE TABLE alerts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
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
        peak REAL,
        peak_at TEXT,
        missed_polls INTEGER NOT NULL,
        seen_at TEXT,
        about TEXT NOT NULL,
        acked_by TEXT,
        acked_at TEXT,
        ack_note TEXT NOT NULL DEFAULT ''
    )
    """,
    """
    CREATE UNIQUE INDEX alerts_one_not_over ON alerts (tenant, rule, scope, parent_id, entity_id)
    WHERE ended_at IS NULL
    """,
    "CREATE INDEX alerts_ended ON alerts (ended_at) WHERE ended_at IS NOT NULL",
    # A card goes to `channel`, which is `wanted_channel` (what the rule says) unless that one did not work.
    # `version` is what Slack should show, `sent_version` what it shows, `urgent_version` the newest that cannot wait.
    """
    CREATE TABLE cards (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        alert_id INTEGER NOT NULL REFERENCES alerts (id),
        channel TEXT NOT NULL,
        wanted_channel TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'posted', 'given_up', 'gone')),
        posted_channel_id TEXT,
        posted_ts TEXT,
        version INTEGER NOT NULL,
        urgent_version INTEGER NOT NULL,
        sent_version INTEGER NOT NULL,
        edited_at TEXT,
        outdated_since TEXT,
        refresh_seconds REAL NOT NULL,
        edit_not_before TEXT,
        edit_attempts INTEGER NOT NULL DEFAULT 0,
        edit_error TEXT NOT NULL DEFAULT '',
        UNIQUE (alert_id, wanted_channel)
    )
    """,
    "CREATE INDEX cards_outdated ON cards (id) WHERE state = 'posted' AND version > sent_version",
    # The delivery ledger. `intent_at` with state `waiting`: a post began then, and its outcome is unknown.
    # `told_by_card`: the card came so late that it was posted closed, and says what this line would have said.
    """
    CREATE TABLE notices (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('card', 'line', 'ops')),
        alert_id INTEGER REFERENCES alerts (id),
        card_id INTEGER REFERENCES cards (id),
        channel TEXT NOT NULL,
        reason TEXT NOT NULL,
        level TEXT NOT NULL,
        at TEXT NOT NULL,
        text TEXT NOT NULL,
        measure TEXT,
        mention TEXT NOT NULL,
        broadcast INTEGER NOT NULL,
        done_by TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'given_up', 'told_by_card')),
        intent_at TEXT,
        attempts INTEGER NOT NULL DEFAULT 0,
        not_before TEXT,
        error TEXT NOT NULL DEFAULT '',
        settled_at TEXT,
        posted_channel_id TEXT,
        posted_ts TEXT
    )
    """,
    "CREATE INDEX notices_waiting ON notices (channel) WHERE state = 'waiting'",
    "CREATE INDEX notices_of_alert ON notices (alert_id)",
    "CREATE INDEX notices_of_card ON notices (card_id)",
    """
    CREATE TABLE channels (
        channel TEXT PRIMARY KEY,
        channel_id TEXT,
        rest_until TEXT,
        held_until TEXT
    )
    """,
    """
    CREATE TABLE snapshots (
        tenant TEXT NOT NULL,
        scope TEXT NOT NULL,
        at TEXT NOT NULL,
        complete INTEGER NOT NULL,
        problems TEXT NOT NULL,
        entities TEXT NOT NULL,
        number_keys TEXT NOT NULL,
        numbers BLOB NOT NULL,
        number_presence BLOB NOT NULL,
        text_keys TEXT NOT NULL,
        texts TEXT NOT NULL,
        text_presence BLOB NOT NULL,
        PRIMARY KEY (tenant, scope)
    )
    """,
    """
    CREATE TABLE lease (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        owner TEXT NOT NULL,
        since TEXT NOT NULL,
        until TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE counters (
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        value INTEGER NOT NULL,
        PRIMARY KEY (tenant, name)
    )
    """,
)


@_step
def step_001_first_light(db: Database) -> None:
    """Feeds, alerts, cards, notices, channels, snapshots, lease, counters."""
    for statement in _STEP_1:
        db.execute(dedent(statement).strip())


# `files` is what the rules were read from (msgpack of name to content, zlib): other processes answer from it what runs,
# whatever is being edited on disk.
_RUNNING_RULES = """
    CREATE TABLE running_rules (
        tenant TEXT PRIMARY KEY,
        version TEXT NOT NULL,
        since TEXT NOT NULL,
        files BLOB NOT NULL
    )
"""


@_step
def step_002_running_rules(db: Database) -> None:
    """Which version of the rules runs, since when, and what it says."""
    db.execute(dedent(_RUNNING_RULES).strip())


@_step
def step_003_feed_health(db: Database) -> None:
    """What is remembered of a tenant's polls from one to the next, as JSON."""
    db.execute("ALTER TABLE feeds ADD COLUMN health TEXT NOT NULL DEFAULT '{}'")


@_step
def step_004_told(db: Database) -> None:
    """The level that was last reported, and which alert suppresses this one (its key without the tenant, as JSON)."""
    db.execute("ALTER TABLE alerts ADD COLUMN told_level TEXT")
    db.execute("ALTER TABLE alerts ADD COLUMN suppressor TEXT")
    db.execute("UPDATE alerts SET told_level = level WHERE fired_at IS NOT NULL")  # until now all were reported
    db.execute("CREATE INDEX alerts_fired ON alerts (fired_at) WHERE fired_at IS NOT NULL")


# One row per scope and poll, or, without layout, why none of it was received. `packed` (see packing.py) is complete in
# a key frame, and in the others the difference to the row before. Entities and keys are stored once per change.
_RECORDING = (
    """
    CREATE TABLE recorded_layouts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        scope TEXT NOT NULL,
        digest TEXT NOT NULL,
        entities BLOB NOT NULL,
        metric_keys TEXT NOT NULL,
        UNIQUE (tenant, scope, digest)
    )
    """,
    """
    CREATE TABLE recorded_polls (
        id INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        at TEXT NOT NULL,
        scope TEXT NOT NULL,
        layout_id INTEGER,
        key_frame INTEGER NOT NULL,
        complete INTEGER NOT NULL,
        problems TEXT NOT NULL,
        packed BLOB
    )
    """,
    "CREATE UNIQUE INDEX recorded_polls_in_time ON recorded_polls (tenant, at, scope)",
    "CREATE INDEX recorded_key_frames ON recorded_polls (tenant, scope, at, layout_id) WHERE key_frame",
)


@_step
def step_005_recording(db: Database) -> None:
    """What each poll saw."""
    for statement in _RECORDING:
        db.execute(dedent(statement).strip())


@_step
def step_006_looks(db: Database) -> None:
    """How often the message of a post with an unknown outcome was looked for in vain."""
    db.execute("ALTER TABLE notices ADD COLUMN looks INTEGER NOT NULL DEFAULT 0")


# `group_key` says what a card collects: `alert:17` is the card of that one alert; a rule, a parent or a storm has its
# own key. `ended_at` is when the last member ended; until then a group has at most one card in a channel.
_CARDS_WITH_MEMBERS = """
    CREATE TABLE cards_with_members (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        group_key TEXT NOT NULL,
        channel TEXT NOT NULL,
        wanted_channel TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'posted', 'given_up', 'gone')),
        posted_channel_id TEXT,
        posted_ts TEXT,
        version INTEGER NOT NULL,
        urgent_version INTEGER NOT NULL,
        sent_version INTEGER NOT NULL,
        edited_at TEXT,
        outdated_since TEXT,
        refresh_seconds REAL NOT NULL,
        edit_not_before TEXT,
        edit_attempts INTEGER NOT NULL DEFAULT 0,
        edit_error TEXT NOT NULL DEFAULT '',
        ended_at TEXT
    )
"""
_CARD_MEMBERS = (
    _CARDS_WITH_MEMBERS,
    """
    INSERT INTO cards_with_members SELECT
        c.id, c.tenant, 'alert:' || c.alert_id, c.channel, c.wanted_channel, c.state, c.posted_channel_id, c.posted_ts,
        c.version, c.urgent_version, c.sent_version, c.edited_at, c.outdated_since, c.refresh_seconds,
        c.edit_not_before, c.edit_attempts, c.edit_error, a.ended_at
    FROM cards c JOIN alerts a ON a.id = c.alert_id
    """,
    """
    CREATE TABLE card_alerts (
        card_id INTEGER NOT NULL REFERENCES cards (id),
        alert_id INTEGER NOT NULL REFERENCES alerts (id),
        PRIMARY KEY (card_id, alert_id)
    ) WITHOUT ROWID
    """,
    "INSERT INTO card_alerts SELECT id, alert_id FROM cards",
    "DROP TABLE cards",
    "ALTER TABLE cards_with_members RENAME TO cards",
    "CREATE INDEX cards_of_alert ON card_alerts (alert_id)",
    "CREATE UNIQUE INDEX cards_one_open ON cards (tenant, group_key, wanted_channel) WHERE ended_at IS NULL",
    "CREATE INDEX cards_outdated ON cards (id) WHERE state = 'posted' AND version > sent_version",
)


@_step
def step_007_card_members(db: Database) -> None:
    """A card has one or many member alerts; so far each card has had exactly one.

    `cards` is built again without `alert_id`, so foreign keys are off while the steps are taken (see database.py).
    """
    for statement in _CARD_MEMBERS:
        db.execute(dedent(statement).strip())


# `ttl_seconds`: for how long it was taken. A lease that lasts longer than that from now was written before the clock
# was set back.
_LEASES = """
    CREATE TABLE leases (
        name TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        since TEXT NOT NULL,
        until TEXT NOT NULL,
        ttl_seconds REAL NOT NULL
    )
"""

# `revision` is raised by every change of a tenant's open alerts: what was read before it is read again.
_REVISIONS = """
    CREATE TABLE revisions (
        tenant TEXT PRIMARY KEY,
        revision INTEGER NOT NULL
    )
"""
# When a snapshot was last seen, apart from its values: a poll that saw the same values again writes only this row.
_SNAPSHOT_TIMES = """
    CREATE TABLE snapshot_times (
        tenant TEXT NOT NULL,
        scope TEXT NOT NULL,
        at TEXT NOT NULL,
        digest BLOB NOT NULL,
        PRIMARY KEY (tenant, scope)
    )
"""


@_step
def step_008_claims(db: Database) -> None:
    """Leases have names: the owner of the whole database holds each tenant of it, and delivery. Notices are claimed.

    `claimant` claimed the notice at `intent_at`; from `look_at` on the claim may be settled by looking. Without a
    claimant it was given up.

    The old table goes, so that an older version that still runs can write nothing more: it would not see the claims.
    """
    db.execute(dedent(_LEASES).strip())
    db.execute(
        "INSERT INTO leases (name, owner, since, until, ttl_seconds) "
        "SELECT names.name, owner, since, until, 30 FROM lease, "
        "(SELECT 'delivery' AS name UNION SELECT 'tenant:' || tenant FROM feeds) AS names"
    )
    db.execute("DROP TABLE lease")
    db.execute("ALTER TABLE notices ADD COLUMN claimant TEXT")
    db.execute("ALTER TABLE notices ADD COLUMN look_at TEXT")
    db.execute(
        "UPDATE notices SET look_at = strftime('%Y-%m-%dT%H:%M:%f', intent_at, '+20 seconds') || '000Z' "
        "WHERE state = 'waiting' AND intent_at IS NOT NULL"
    )
    db.execute("CREATE INDEX notices_claimed ON notices (claimant) WHERE state = 'waiting' AND claimant IS NOT NULL")
    db.execute(dedent(_REVISIONS).strip())
    db.execute(dedent(_SNAPSHOT_TIMES).strip())
    db.execute("INSERT INTO snapshot_times (tenant, scope, at, digest) SELECT tenant, scope, at, x'' FROM snapshots")
    db.execute("CREATE INDEX alerts_open ON alerts (tenant, id) WHERE ended_at IS NULL")
    db.execute("CREATE INDEX alerts_by_key ON alerts (tenant, rule, scope, parent_id, entity_id, id)")


@_step
def step_009_muted(db: Database) -> None:
    """Why an alert is not reported, as [kind, what mutes it, since], in place of the suppressing alert alone.

    Since when a suppression had lasted was not kept: it counts from the poll that last decided about the alert.
    """
    db.execute("ALTER TABLE alerts RENAME COLUMN told_level TO reported_level")
    db.execute("ALTER TABLE alerts ADD COLUMN muted TEXT")
    db.execute(
        "UPDATE alerts SET muted = json_array('suppressed', json(suppressor), "
        "COALESCE(seen_at, fired_at, pending_since)) WHERE suppressor IS NOT NULL"
    )
    db.execute("ALTER TABLE alerts DROP COLUMN suppressor")


# `sent_version` is what that message shows. A row goes when the message shows the end of its card, or is gone itself.
_FORMER_MESSAGES = """
    CREATE TABLE former_messages (
        card_id INTEGER NOT NULL REFERENCES cards (id),
        posted_channel_id TEXT NOT NULL,
        posted_ts TEXT NOT NULL,
        sent_version INTEGER NOT NULL,
        edit_not_before TEXT,
        edit_attempts INTEGER NOT NULL DEFAULT 0,
        edit_error TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (card_id, posted_channel_id, posted_ts)
    ) WITHOUT ROWID
"""


@_step
def step_010_former_messages(db: Database) -> None:
    """Where a card stood before its channel stopped working: that message is closed too, when the channel works again.

    In `channels`, the row `chat.update` holds all edits, and `chat.update C0123` those of that channel.
    """
    db.execute(dedent(_FORMER_MESSAGES).strip())


@_step
def step_012_shown(db: Database) -> None:
    """The values that the card of an alert shows beside what was measured, by metric key, as JSON."""
    db.execute("ALTER TABLE alerts ADD COLUMN shown TEXT NOT NULL DEFAULT '{}'")


# `matcher` is a list of [term, pattern], as JSON. `started`, `warned` and `ended` say which announcements were made.
# `ended_at` is when it was taken off by hand, or when its end was announced.
_SILENCES = """
    CREATE TABLE silences (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        matcher TEXT NOT NULL,
        starts_at TEXT NOT NULL,
        ends_at TEXT NOT NULL,
        author TEXT NOT NULL,
        reason TEXT NOT NULL,
        created_at TEXT NOT NULL,
        ended_at TEXT,
        ended_by TEXT NOT NULL DEFAULT '',
        started INTEGER NOT NULL DEFAULT 0,
        warned INTEGER NOT NULL DEFAULT 0
    )
"""
_ALERT_LIFE = (
    "ALTER TABLE alerts ADD COLUMN reminded_at TEXT",
    "ALTER TABLE alerts ADD COLUMN reminders INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE alerts ADD COLUMN escalated_s REAL",
    "ALTER TABLE alerts ADD COLUMN nagged INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE alerts ADD COLUMN rises TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE alerts ADD COLUMN unstable INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE alerts ADD COLUMN no_data_since TEXT",
    "ALTER TABLE alerts ADD COLUMN unseen_since TEXT",
    "ALTER TABLE alerts ADD COLUMN closed_by TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE alerts ADD COLUMN close_note TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE alerts ADD COLUMN latched INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX alerts_latched ON alerts (tenant) WHERE latched",
    "CREATE INDEX alerts_ended_by_tenant ON alerts (tenant, ended_at) WHERE ended_at IS NOT NULL",
    "ALTER TABLE channels ADD COLUMN hold_notice TEXT",
    _SILENCES,
    "CREATE INDEX silences_open ON silences (id) WHERE ended_at IS NULL",
    "ALTER TABLE notices ADD COLUMN lead TEXT REFERENCES notices (id)",
    "ALTER TABLE notices ADD COLUMN also TEXT NOT NULL DEFAULT '[]'",
    "CREATE INDEX notices_carried ON notices (lead) WHERE lead IS NOT NULL",
    """
    CREATE TABLE channel_posts (
        channel TEXT NOT NULL,
        at TEXT NOT NULL,
        notice_id TEXT NOT NULL,
        PRIMARY KEY (channel, at, notice_id)
    ) WITHOUT ROWID
    """,
)


@_step
def step_013_alert_life(db: Database) -> None:
    """Reminders, escalation, flapping, silences, cards with members, the budget of a channel.

    - `alerts.rises`: when the alert rose to firing lately, with those of earlier alerts of the same fingerprint, as
      JSON; `escalated_s`: the `after` of the last step of `escalate` that was taken. `latched`: it was closed by hand,
      and its condition was not false since; it does not fire again before.
    - `notices.lead`: the notice whose message carries this one as well; it has no message of its own. `also`: the
      ids of other alerts that the line names, as JSON.
    - `channel_posts`: what was posted in the last minute, for `max_messages`; older rows are deleted.
      `channels.hold_notice`: the notice that reports what is held back there, as long as something is.
    """
    for statement in _ALERT_LIFE:
        db.execute(dedent(statement).strip())


@_step
def step_015_pictures(db: Database) -> None:
    """`cards.picture_at`: since when a picture of what is measured waits for its turn in the thread of the card.

    It is null where none is wanted, and again as soon as it is sent. Cards that are in Slack already get none.
    """
    db.execute("ALTER TABLE cards ADD COLUMN picture_at TEXT")
    db.execute("CREATE INDEX cards_pictures ON cards (picture_at) WHERE picture_at IS NOT NULL")


@_step
def step_016_agents(db: Database) -> None:
    """`agents`: every agent that was seen, with each name it had, so that initials are told apart once and for all.

    It begins with the agents that alerts are about; each poll adds those that are new.
    """
    db.execute(
        "CREATE TABLE agents (tenant TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, "
        "PRIMARY KEY (tenant, id, name))"
    )
    db.execute(
        "INSERT INTO agents (tenant, id, name) SELECT DISTINCT tenant, entity_id, entity_name FROM alerts "
        "WHERE scope IN ('agent', 'queue_agent', 'group_agent')"
    )


@_step
def step_017_card_edits(db: Database) -> None:
    """The edits of cards within the last minute, for their limit; older rows are deleted."""
    db.execute("CREATE TABLE card_edits (at TEXT NOT NULL, card_id INTEGER NOT NULL)")


# One row for each alert and level that was posted, and one for the end of each alert. `body` is the JSON, the same at
# each attempt. `maybe_sent`: an attempt had no answer, so it may have been received. `closed`, of a row `firing`: what
# becomes of the end of its alert is decided.
_FALLBACK_POSTS = (
    """
    CREATE TABLE fallback_posts (
        id TEXT PRIMARY KEY,
        alert_id INTEGER NOT NULL REFERENCES alerts (id),
        kind TEXT NOT NULL CHECK (kind IN ('firing', 'resolved')),
        level TEXT NOT NULL,
        decided_at TEXT NOT NULL,
        body TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'given_up')),
        maybe_sent INTEGER NOT NULL DEFAULT 0,
        closed INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        not_before TEXT,
        error TEXT NOT NULL DEFAULT '',
        settled_at TEXT,
        UNIQUE (alert_id, kind, level)
    )
    """,
    "CREATE INDEX fallback_posts_waiting ON fallback_posts (attempts) WHERE state = 'waiting'",
    "CREATE INDEX fallback_posts_open ON fallback_posts (alert_id) WHERE kind = 'firing' AND closed = 0",
)


@_step
def step_018_fallback_posts(db: Database) -> None:
    """What was posted to `slack.fallback_webhook`, and what still waits to be posted there."""
    for statement in _FALLBACK_POSTS:
        db.execute(dedent(statement).strip())


@_step
def step_019_history(db: Database) -> None:
    """Operational messages by time, so that `history` finds the old ones without reading the others."""
    db.execute("CREATE INDEX notices_operational ON notices (at) WHERE alert_id IS NULL")


_ONE_ROW_A_TURN = (
    "ALTER TABLE feeds ADD COLUMN snapshot_times TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE feeds ADD COLUMN turns INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE feeds ADD COLUMN polls INTEGER NOT NULL DEFAULT 0",
    """
    UPDATE feeds SET
        snapshot_times = (
            SELECT json_group_object(scope, json_array(at, lower(hex(digest)))) FROM snapshot_times t
            WHERE t.tenant = feeds.tenant
        ),
        polls = COALESCE((SELECT value FROM counters c WHERE c.tenant = feeds.tenant AND c.name = 'polls'), 0)
    """,
    "DELETE FROM counters WHERE name = 'polls' AND tenant IN (SELECT tenant FROM feeds)",
    "DROP TABLE snapshot_times",
)


@_step
def step_020_one_row_a_turn(db: Database) -> None:
    """What every turn writes about its tenant is one row: a turn in which nothing changed writes few pages.

    - `feeds.snapshot_times`: when each scope was last seen, and the digest of its snapshot, as JSON
      {scope: [at, digest]};
    - `feeds.turns`: how many turns were recorded, a part of the tenant's revision; `revisions` counts other writes;
    - `feeds.polls`: how many of them were polls; until now a counter.

    The old table goes, so that an older version that still runs can record nothing more: it does not count turns.
    """
    for statement in _ONE_ROW_A_TURN:
        db.execute(dedent(statement).strip())


# `usual_means`: a row for the quarter-hour that begins at `at`; `packed` are the means of all keys and entities of its
# layout. A key that was filled in later has a row of its own. Of two rows with the same key the newer one is valid.
# `usual_keys`: until when all that was recorded of a key is in its means.
_USUAL = (
    """
    CREATE TABLE usual_layouts (
        id INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        scope TEXT NOT NULL,
        digest TEXT NOT NULL,
        entities BLOB NOT NULL,
        metric_keys TEXT NOT NULL,
        UNIQUE (tenant, scope, digest)
    )
    """,
    """
    CREATE TABLE usual_means (
        id INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        scope TEXT NOT NULL,
        at TEXT NOT NULL,
        layout_id INTEGER NOT NULL REFERENCES usual_layouts (id),
        packed BLOB NOT NULL,
        UNIQUE (tenant, scope, at, layout_id)
    )
    """,
    "CREATE INDEX usual_means_of_layout ON usual_means (layout_id)",
    """
    CREATE TABLE usual_keys (
        tenant TEXT NOT NULL,
        scope TEXT NOT NULL,
        metric_key TEXT NOT NULL,
        filled_until TEXT NOT NULL,
        PRIMARY KEY (tenant, scope, metric_key)
    ) WITHOUT ROWID
    """,
)


@_step
def step_021_usual(db: Database) -> None:
    """The means of quarter-hours that `usual` reads. They begin empty, and are filled from the recording."""
    for statement in _USUAL:
        db.execute(dedent(statement).strip())


@_step
def step_022_digest(db: Database) -> None:
    """What the digest and the history need: messages with a thread, and the names of those who acknowledge.

    - `notices.replies`: of an operational message, the texts that follow in its thread, as JSON. They become notices of
      their own when it is delivered; `thread_channel_id` and `thread_ts` say where its message stands.
    - `people`: how users are called, by their Slack ids, as Slack last said.
    """
    db.execute("ALTER TABLE notices ADD COLUMN replies TEXT NOT NULL DEFAULT '[]'")
    db.execute("ALTER TABLE notices ADD COLUMN thread_channel_id TEXT")
    db.execute("ALTER TABLE notices ADD COLUMN thread_ts TEXT")
    db.execute("CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT NOT NULL)")


@_step
def step_023_owners(db: Database) -> None:
    """Which worker polls which tenant, see store/sql/owners.py. A single process that polls all needs no row."""
    db.execute(
        dedent(
            """
            CREATE TABLE owners (
                tenant TEXT PRIMARY KEY,
                number INTEGER NOT NULL,
                worker TEXT NOT NULL,
                since TEXT NOT NULL,
                memory TEXT NOT NULL
            ) WITHOUT ROWID
            """
        ).strip()
    )


@_step
def step_024_claims(db: Database) -> None:
    """What a process does that no other one may do at the same time, see store/sql/claims.py. Posts have theirs."""
    db.execute(
        dedent(
            """
            CREATE TABLE claims (
                work TEXT NOT NULL,
                place TEXT NOT NULL,
                claimant TEXT NOT NULL,
                since TEXT NOT NULL,
                until TEXT NOT NULL,
                PRIMARY KEY (work, place)
            ) WITHOUT ROWID
            """
        ).strip()
    )


@_step
def step_025_possible_duplicates(db: Database) -> None:
    """The notices that may have a second message, until an audit has looked for it: see store/sql/duplicates.py."""
    db.execute(
        dedent(
            """
            CREATE TABLE possible_duplicates (
                notice_id TEXT PRIMARY KEY,
                since TEXT NOT NULL,
                check_at TEXT NOT NULL
            ) WITHOUT ROWID
            """
        ).strip()
    )
