"""Flap damping: when an alert is unstable, until when, and how long it has to stay clear."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from alertbot.alerts import flapping
from alertbot.alerts.alert import Alert
from alertbot.alerts.alerting import Alerting, Situation
from tests.alerts.kit import NOW, POLL, WAIT, fingerprint, keep, poll, rule, snapshot

MINUTE = timedelta(minutes=1)
SETTINGS = Alerting(flap_rises=2, flap_window=10 * MINUTE)


def minutes(*numbers: float) -> tuple[datetime, ...]:
    return tuple(NOW + number * MINUTE for number in numbers)


@pytest.mark.parametrize(
    ("rises", "now", "unstable", "settles"),
    [
        pytest.param((), 0, False, None, id="it never rose"),
        pytest.param((0, 1), 1, False, None, id="as often as allowed"),
        pytest.param((0, 1, 2), 2, True, 10, id="once more than allowed"),
        pytest.param((0, 1, 2), 9.9, True, 10, id="until the oldest of them leaves the window"),
        pytest.param((0, 1, 2), 10, False, 10, id="and no longer"),
        pytest.param((0, 9, 18), 18, False, 10, id="spread out"),
        pytest.param((5, 6, 7), 3, False, 15, id="what is from before the clock was set back"),
    ],
)
def test_unstable(rises: tuple[float, ...], now: float, unstable: bool, settles: float | None) -> None:
    """More than `flap_rises` within the window."""
    (moment,) = minutes(now)
    assert flapping.is_unstable(minutes(*rises), moment, SETTINGS) is unstable
    expected = None if settles is None else NOW + settles * MINUTE
    assert flapping.settles_at(minutes(*rises), SETTINGS) == expected


def test_only_what_a_decision_needs_is_kept() -> None:
    """One more than allowed, and none from before the window."""
    rises: tuple[datetime, ...] = ()
    for number in range(20):
        rises = flapping.risen(rises, *minutes(number), SETTINGS)
    assert rises == minutes(17, 18, 19)
    assert flapping.risen(rises, *minutes(28), SETTINGS) == minutes(19, 28)


@pytest.mark.parametrize(
    ("keep_firing_for", "every", "clear"),
    [(0, 15, 30), (60, 15, 120), (20, 60, 120), (0, 300, 600)],
    ids=["at least two polls", "twice as long", "two polls are longer", "two slow polls"],
)
def test_how_long_it_must_be_clear(keep_firing_for: int, every: int, clear: int) -> None:
    """Doubled once, to at least two polls."""
    settings = Alerting(poll_every=timedelta(seconds=every))
    assert flapping.stays_clear_for(timedelta(seconds=keep_firing_for), settings) == timedelta(seconds=clear)


def flap(
    letters: str, *, keep_firing_for: int = 0, situation: Situation | None = None
) -> tuple[list[str], list[Alert]]:
    """The states after polls of 15 s at which the condition is true (T), false (F) or unknown (?), and what ended.

    With u where the alert is unstable.
    """
    values = {"T": 70_000.0, "F": 0.0, "?": None}
    watched = rule(keep_firing_for=timedelta(seconds=keep_firing_for))
    alerts: list[Alert] = []
    ended: list[Alert] = []
    words = []
    settings = Alerting(flap_rises=2, flap_window=10 * MINUTE)
    for index, letter in enumerate(letters):
        rises = {alert.key: alert.rises for alert in ended}
        known = situation or Situation(settings, rises=rises)
        changes = poll(alerts, [watched], [snapshot({WAIT: [values[letter]]})], NOW + index * POLL, situation=known)
        ended += [change.after for change in changes if change.after.ended_at is not None]
        alerts = keep(alerts, changes)
        words.append((alerts[0].state[0].upper() + ("u" if alerts[0].unstable else "")) if alerts else "-")
    return words, ended


@pytest.mark.parametrize(
    ("letters", "keep_firing_for", "expected"),
    [
        pytest.param("TFTFTFFFT", 0, "F - F - Fu Ru Ru - Fu", id="over alerts: the third stays clear for two polls"),
        pytest.param("TFTFTFF", 15, "F R F R Fu Ru Ru", id="a return from recovering is a rise too"),
        pytest.param("TFTFTFFF", 15, "F R F R Fu Ru Ru -", id="then for 30 s instead of 15 s"),
        pytest.param("T?T?T?TF", 0, "F F F F F F F -", id="data that comes and goes is no rise"),
        pytest.param("TTTTTTTF", 0, "F F F F F F F -", id="an alert that stays is stable"),
    ],
)
def test_a_life(letters: str, keep_firing_for: int, expected: str) -> None:
    """At most two rises are allowed in ten minutes."""
    assert " ".join(flap(letters, keep_firing_for=keep_firing_for)[0]) == expected


def test_each_entity_counts_for_itself() -> None:
    """The rises of one queue make no other unstable."""
    many = Situation(SETTINGS, rises={fingerprint("q2"): minutes(-1, -2, -3)})
    assert flap("TF", situation=many)[0] == ["F", "-"]
