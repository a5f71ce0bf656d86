"""Alerts and changes as values."""

from __future__ import annotations

import copy
from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, datetime

import pytest

from alertbot.alerts.alert import About, Alert, Change, Fingerprint, Reason, State, changed
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ALERT = Alert(
    Fingerprint("acme", "long-wait", Scope.QUEUE, "", "103"),
    "Sales EU",
    About("Longest wait", "wait > 2m"),
    State.FIRING,
    Level.WARNING,
    {Level.WARNING: NOW},
    id=17,
    shown_as="Sales",
)


@pytest.mark.parametrize("name", [each.name for each in fields(Alert)])
def test_changed_is_replace(name: str) -> None:
    """Every field can be changed, and the others stay as they are."""
    value = object()
    after = changed(ALERT, {name: value})
    assert getattr(after, name) is value
    assert all(getattr(after, each.name) is getattr(ALERT, each.name) for each in fields(Alert) if each.name != name)
    assert changed(ALERT, {"peak": 5.0, "missed": 1}) == replace(ALERT, peak=5.0, missed=1)


def test_a_changed_alert_is_an_alert() -> None:
    """It is frozen, has the properties of one, and can be copied."""
    after = changed(ALERT, {"missed": 1})
    assert type(after) is Alert
    assert (after.open, after.name) == (True, "Sales")
    assert copy.copy(after) == after == copy.deepcopy(after)
    with pytest.raises(FrozenInstanceError):
        after.missed = 2  # type: ignore[misc]
    assert ALERT.missed == 0


def test_changes_compare_by_their_sentences() -> None:
    """Whether the sentence was written at once or is written when it is read makes no difference."""
    after = replace(ALERT, peak=5.0)
    change = Change(ALERT, after, None, "5 is above 4")
    assert Change(ALERT, after, None, lambda: "5 is above 4") == change
    assert Change(ALERT, after, None, lambda: "5 is above 3") != change
    assert Change(ALERT, after, Reason.FIRED, "5 is above 4") != change
    assert change != "5 is above 4"


def test_a_sentence_is_not_written_before_it_is_read() -> None:
    """Nothing reads why a value alone has changed."""
    written = []

    def write() -> str:
        written.append(True)
        return "5 is above 4"

    change = replace(Change(ALERT, replace(ALERT, peak=5.0), None, write), after=ALERT)
    assert not written
    assert change.why == "5 is above 4"
    assert written
