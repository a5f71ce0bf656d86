"""Claims of work other than posts, so that only one process does it. Functions work in the caller's transaction.

Theory. What must happen once, or in order, is claimed before it begins: a compare-and-set in one transaction. Posts
have their claims in their own rows (outbox.py). Here is the rest: an edit of one message, since an older state must not
be sent after a newer one (edits.py), and the drawing of a picture, since it takes seconds and a place for its file
(pictures.py). A claim is a row of `claims` that exists only as long as the work takes, so an idle bot writes nothing.

A claim ends when its claimant gives it back, or at `until`, whatever the claimant does: by then nothing of it is on its
way any more. For a claimant that has ended it ends 5 s later (`claimant_ended`), as for posts. A claimant may take its
own claim again, which renews it: it does one thing at a time itself. A row whose time is over holds nothing, and is
deleted with the next claim, or when it is known that its claimant has ended.

Times that lie further ahead than any that this program writes were written before the clock was set back, and hold
nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from alertbot.alerts.cards import Posted
from alertbot.store import codec
from alertbot.store.codec import stamp
from alertbot.store.sql.cards import CLOCK_WAS_SET_BACK
from alertbot.store.sql.connection import Connection

EDIT = "edit"
"""A kind of work: the edit of one message."""
PICTURE = "picture"
"""A kind of work: to draw and upload the picture of one card. Doing it twice is harmless, but a waste."""
CLAIM_HOLDS = timedelta(seconds=20)
"""For how long a claim keeps others from a message while its claimant may be alive: twice what its call takes."""
CALL_TAKES = timedelta(seconds=10)
"""How long after its claim a call may still be on its way (notify/deliver.py)."""
DRAWING_HOLDS = timedelta(seconds=60)
"""As CLAIM_HOLDS, for a picture: drawing and uploading have their own deadlines, and may have to wait for a post."""
MESSAGE_APPEARS = timedelta(seconds=5)
"""How long after its claimant ended what it sent may take to appear."""

_HELD = "until > :now AND until <= :ahead"
_TAKE = """
    INSERT INTO claims (work, place, claimant, since, until) VALUES (:work, :place, :claimant, :now, :until)
    ON CONFLICT (work, place) DO UPDATE SET since = excluded.since, until = excluded.until
        WHERE claims.claimant = excluded.claimant
"""
_OWN = "FROM claims WHERE work = ? AND place = ? AND claimant = ?"
_FORGET = f"DELETE FROM claims WHERE NOT ({_HELD})"  # noqa: S608


def _times(now: datetime) -> dict[str, object]:
    return {"now": stamp(now), "ahead": stamp(now + DRAWING_HOLDS + CLOCK_WAS_SET_BACK)}


def take(conn: Connection, work: str, place: str, claimant: str, now: datetime) -> bool:
    """Claim this work; False while another claimant holds it."""
    conn.execute(_FORGET, _times(now))
    until = now + (DRAWING_HOLDS if work == PICTURE else CLAIM_HOLDS)
    values = {**_times(now), "work": work, "place": place, "claimant": claimant, "until": stamp(until)}
    return conn.execute(_TAKE, values).rowcount > 0


def since(conn: Connection, work: str, place: str, claimant: str) -> datetime | None:
    """When this claimant claimed it; None where it has not, or the claim has ended."""
    row = conn.execute(f"SELECT since {_OWN}", (work, place, claimant)).fetchone()
    return None if row is None else codec.unstamp(row["since"])


def give_back(conn: Connection, work: str, place: str, claimant: str) -> datetime | None:
    """End this claim, if it is still the claimant's: when it began, or None where there is none."""
    rows = conn.execute(f"DELETE {_OWN} RETURNING since", (work, place, claimant)).fetchall()
    return codec.unstamp(rows[0]["since"]) if rows else None


def held(conn: Connection, work: str, now: datetime, but: str = "") -> dict[str, datetime]:
    """The places at which this work is claimed, other than by `but`, and until when at most."""
    rows = conn.execute(
        f"SELECT place, until FROM claims WHERE work = :work AND claimant <> :but AND {_HELD}",  # noqa: S608
        {**_times(now), "work": work, "but": but},
    ).fetchall()
    return {row["place"]: codec.unstamp(row["until"]) for row in rows}


def claimants(conn: Connection) -> list[str]:
    """All who have claimed something."""
    return [row["claimant"] for row in conn.execute("SELECT DISTINCT claimant FROM claims").fetchall()]


def claimant_ended(conn: Connection, claimant: str, now: datetime, *, certain: bool) -> None:
    """What this claimant holds ends in 5 s. Not `certain`: pictures, and edits whose call has certainly ended."""
    conn.execute(_FORGET, _times(now))
    conn.execute(
        "UPDATE claims SET until = MIN(until, :until) WHERE claimant = :claimant "
        "AND (:certain OR work = :picture OR (work = :edit AND since <= :over))",
        {
            "until": stamp(now + MESSAGE_APPEARS),
            "claimant": claimant,
            "certain": certain,
            "edit": EDIT,
            "picture": PICTURE,
            "over": stamp(now - CALL_TAKES),
        },
    )


def message(posted: Posted) -> str:
    """The place of an edit: one message."""
    return f"{posted.channel_id} {posted.ts}"
