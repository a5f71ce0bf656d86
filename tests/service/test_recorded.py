"""What is read for charts: each poll once, however often a page asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from alertbot.alerts.alert import Fingerprint
from alertbot.errors import StoreError
from alertbot.rules.catalogue import Scope
from alertbot.service.recorded import PORTION, Recordings
from tests.commands.kit import NOW, WAIT

SALES, SUPPORT = (Fingerprint("acme", "", Scope.QUEUE, "", id) for id in ("103", "104"))
HOUR, POLL = timedelta(hours=1), timedelta(seconds=15)


class Recording:
    """A recording of a number that grows by one every 15 s since long ago; `read` counts what was read of it."""

    def __init__(self) -> None:
        self.read = 0
        self.fails_before: datetime | None = None

    def values(
        self, tenant: str, entity: Fingerprint, key: str, since: datetime, until: datetime
    ) -> Iterator[tuple[datetime, float | None]]:
        if self.fails_before is not None and since < self.fails_before:
            raise StoreError("the database is locked")
        first = -((NOW - since) // POLL)
        for place in range(first, (until - NOW) // POLL + 1):
            self.read += 1
            yield NOW + place * POLL, float(place)


@pytest.fixture
def recording() -> Recording:
    return Recording()


def test_a_poll_is_read_once(recording: Recording) -> None:
    """A later request reads what is new, a shorter window nothing, a longer one what is older."""
    kept = Recordings(recording.values, within=60)
    first, _ = kept.samples("acme", SALES, WAIT, NOW - HOUR, NOW)
    assert (recording.read, first.values[0], first.values[-1]) == (241, -240.0, 0.0)
    later = NOW + 2 * POLL
    second, _ = kept.samples("acme", SALES, WAIT, later - HOUR, later)
    assert (recording.read, second.values[0], second.values[-1]) == (243, -238.0, 2.0)
    assert kept.samples("acme", SALES, WAIT, later - HOUR / 2, later)[0].values[0] == -118.0
    assert recording.read == 243
    assert kept.samples("acme", SALES, WAIT, later - 2 * HOUR, later)[0].values[0] == -478.0
    assert recording.read == 243 + 240 - 2


def test_a_clock_that_was_set_back(recording: Recording) -> None:
    """The polls after it are no longer in the recording, so it is read again."""
    kept = Recordings(recording.values, within=60)
    kept.samples("acme", SALES, WAIT, NOW - HOUR, NOW)
    earlier = NOW - HOUR / 2
    assert kept.samples("acme", SALES, WAIT, earlier - HOUR / 2, earlier)[0].times[-1] == earlier
    assert recording.read == 241 + 121


def test_series_without_samples_are_bounded_too() -> None:
    """Where no polls are recorded, each metric of each entity would stay for good."""
    asked = []

    def values(tenant: str, entity: Fingerprint, key: str, *_: datetime) -> Iterator[tuple[datetime, float | None]]:
        asked.append(entity)
        return iter(())

    kept = Recordings(values, within=60, max_series=2)
    others = Fingerprint("acme", "", Scope.QUEUE, "", "105")
    for entity in (SALES, SUPPORT, others, SUPPORT):
        kept.samples("acme", entity, WAIT, NOW - HOUR, NOW)
    before = len(asked)
    kept.samples("acme", SUPPORT, WAIT, NOW - HOUR, NOW)
    assert len(asked) == before + 1  # only what is new
    kept.samples("acme", SALES, WAIT, NOW - HOUR, NOW)
    assert len(asked) == before + 2  # from the begin again


def test_memory_is_bounded(recording: Recording) -> None:
    """The series that was asked for longest ago goes first; the one in use stays."""
    kept = Recordings(recording.values, within=60, max_samples=300)
    for entity in (SALES, SUPPORT, SUPPORT):
        kept.samples("acme", entity, WAIT, NOW - HOUR, NOW)
    assert recording.read == 2 * 241
    kept.samples("acme", SALES, WAIT, NOW - HOUR, NOW)
    assert recording.read == 3 * 241


def test_a_series_that_stays_open_does_not_grow(recording: Recording) -> None:
    """What is older than the longest window is dropped: two series of an hour stay within the bound for ever."""
    kept = Recordings(recording.values, within=60, max_samples=2 * 5760 * 9)
    kept.samples("acme", SALES, WAIT, NOW - HOUR, NOW)
    for day in range(1, 30):
        now = NOW + timedelta(days=day)
        kept.samples("acme", SALES, WAIT, now - HOUR, now)
    read = recording.read
    kept.samples("acme", SUPPORT, WAIT, now - HOUR, now)
    kept.samples("acme", SALES, WAIT, now - timedelta(days=8), now)
    assert recording.read == read + 241


def test_a_request_does_not_wait_for_a_week(recording: Recording) -> None:
    """It gets the newest portion, and the rest is read by a thread, which says when it is there."""
    whole = threading.Event()
    kept = Recordings(recording.values, whole.set, within=0)
    week = NOW - timedelta(days=7)
    samples, since = kept.samples("acme", SALES, WAIT, week, NOW)
    assert since > NOW - PORTION - POLL
    assert samples.times[0] >= since
    assert whole.wait(30)
    samples, since = kept.samples("acme", SALES, WAIT, week, NOW)
    assert (since, samples.times[0], recording.read) == (week, week, 40_321)
    kept.close()


def test_a_recording_that_cannot_be_read(recording: Recording) -> None:
    """The request fails with the store's words; a thread that fails says so in the log, and is tried again."""
    done = threading.Event()
    kept = Recordings(recording.values, done.set, within=0)
    recording.fails_before = NOW - timedelta(hours=5)
    kept.samples("acme", SALES, WAIT, NOW - timedelta(hours=12), NOW)
    assert done.wait(30)
    done.clear()
    with pytest.raises(StoreError):
        kept.samples("acme", SALES, WAIT, NOW - timedelta(hours=12), NOW)
    recording.fails_before = None
    kept.samples("acme", SALES, WAIT, NOW - timedelta(hours=12), NOW)
    assert done.wait(30)
    assert kept.samples("acme", SALES, WAIT, NOW - timedelta(hours=12), NOW)[1] == NOW - timedelta(hours=12)
    kept.close()


def test_the_first_poll_of_an_empty_recording() -> None:
    """A chart that was open before there was any poll shows the polls that come."""
    polls: list[tuple[datetime, float | None]] = []

    def values(
        tenant: str, entity: Fingerprint, key: str, since: datetime, until: datetime
    ) -> list[tuple[datetime, float | None]]:
        return [each for each in polls if since <= each[0] <= until]

    kept = Recordings(values, within=60)
    assert kept.samples("acme", SALES, WAIT, NOW - HOUR, NOW)[0].values == ()
    polls.append((NOW - POLL, 1.0))  # it began before the chart was read, and was recorded after
    assert kept.samples("acme", SALES, WAIT, NOW - HOUR, NOW + POLL)[0].values == (1.0,)
    polls.append((NOW + POLL, 2.0))
    assert kept.samples("acme", SALES, WAIT, NOW - HOUR, NOW + 2 * POLL)[0].values == (1.0, 2.0)
