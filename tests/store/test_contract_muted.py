"""The contract of Store: what was reported about an alert, what suppresses it, and shadow rules."""

from __future__ import annotations

from dataclasses import replace

from alertbot.alerts.alert import Alert, Change, Mute, MuteKind, Reason, Withheld
from alertbot.alerts.notice import NoticeKind
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level
from alertbot.store.roles import Store
from tests.store.build import at, begins, edits, ends, firing, key, notice, one, poll, posts


def in_shadow(entity: str) -> Alert:
    alert = firing(entity)
    return replace(alert, about=replace(alert.about, shadow=True))


def test_what_was_reported_is_kept(store: Store) -> None:
    """The level that was reported and the alert that suppresses it, for each alert."""
    speaker = key("7", rule="outage")._replace(scope=Scope.QUEUE_AGENT, parent_id="3")
    known = firing("1", reported=Level.CRITICAL)
    unreported = firing("2", muted=Mute(MuteKind.SUPPRESSED, speaker, at(0)))
    store.record(poll([begins(known), begins(unreported), begins(in_shadow("3"))]))
    found = [(alert.reported, alert.suppressor, alert.shadow) for alert in store.alerts("acme")]
    assert found == [(Level.CRITICAL, None, False), (None, speaker, False), (None, None, True)]


def test_a_suppressed_alert_gets_its_card_when_it_is_reported(store: Store) -> None:
    """Nothing is due while it is not reported; the card is posted once, later, and shows the alert as it is then."""
    unreported = firing("1", muted=Mute(MuteKind.SUPPRESSED, key("1", rule="outage"), at(0)))
    store.record(poll([Change(None, unreported, Reason.FIRED, "it began", Withheld.SUPPRESSED)]))
    assert (posts(store, at(0)), edits(store, at(0)), store.cards("acme")) == ([], [], {})
    reported = replace(one(store, unreported), muted=None, reported=Level.WARNING)
    change = Change(one(store, unreported), reported, Reason.SUPPRESSION_ENDED, "outage has ended")
    card = notice(reported, NoticeKind.CARD, Reason.SUPPRESSION_ENDED, now=at(60))
    store.record(poll([change], [card], now=at(60)))
    (due,) = posts(store, at(60))
    assert (due.notice.reason, due.notice.kind) == (Reason.SUPPRESSION_ENDED, NoticeKind.CARD)


def test_what_was_reported_is_no_reason_to_edit_a_card(store: Store) -> None:
    """A card shows neither what suppresses an alert nor what was reported."""
    alert = firing("1", reported=Level.WARNING)
    store.record(poll([begins(alert)], [notice(alert)]))
    before = one(store, alert)
    store.record(
        poll(
            [
                Change(
                    before, replace(before, muted=Mute(MuteKind.SUPPRESSED, key("1", rule="outage"), at(0))), None, "x"
                )
            ],
            now=at(15),
        )
    )
    assert one(store, alert).suppressor is not None
    (due,) = posts(store, at(15))
    assert due.card.version == 1  # type: ignore[union-attr]


def test_how_often_rules_fired(store: Store) -> None:
    """By rule and name of the entity, most often first; since a given time; for the given rules."""
    for entity, seconds in (("1", 0), ("2", 10), ("1", 20), ("1", 30)):
        alert = replace(in_shadow(entity), fired_at=at(seconds))
        store.record(poll([begins(alert)], now=at(seconds)))
        store.record(poll([ends(one(store, alert), at(seconds + 5))], now=at(seconds + 5)))
    store.record(poll([begins(firing("1", rule="other"))], now=at(40)))
    assert list(store.fired(["longest-wait"], at(0))["longest-wait"].items()) == [("Queue 1", 3), ("Queue 2", 1)]
    assert store.fired(["longest-wait", "none"], at(20)) == {"longest-wait": {"Queue 1": 2}, "none": {}}
    assert store.fired([], at(0)) == {}


def test_shadow_alerts_are_not_counted_as_fired(store: Store) -> None:
    """Totals count what was reported."""
    store.record(poll([begins(in_shadow("1")), begins(firing("2"))]))
    store.record(poll([ends(one(store, in_shadow("1")), at(5))], now=at(5)))
    assert (store.totals().fired, store.totals().resolved) == (1, 0)


def test_an_alert_that_comes_out_of_shadow_counts_as_fired(store: Store) -> None:
    """It is reported from then on, so its end is counted too."""
    store.record(poll([begins(in_shadow("1"))]))
    alert = one(store, in_shadow("1"))
    reported = replace(alert, reported=alert.level, muted=None)
    store.record(poll([Change(alert, reported, Reason.FIRED, "no longer in shadow")], now=at(5)))
    store.record(poll([ends(one(store, reported), at(10))], now=at(10)))
    totals = store.totals()
    assert (totals.fired, totals.resolved) == (1, 1)
