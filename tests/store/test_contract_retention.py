"""`history`: what has ended long enough ago is deleted with everything about it, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from alertbot.alerts.alert import Reason
from alertbot.alerts.silence import Matcher
from alertbot.rules.rule import Level
from alertbot.store.roles import Store
from tests.store.build import at, begin, begin_posted, begins, ends, firing, line, notice, one, ops, poll, post, posts

BEFORE = at(1000)


def end(store: Store, entity: str, now: datetime, *, report: bool = False) -> None:
    alert = one(store, firing(entity))
    notices = [line(alert, Reason.RESOLVED, now=now)] if report else []
    store.record(poll([ends(alert, now)], notices, now=now))


def deliver_all(store: Store, now: datetime) -> None:
    while due := posts(store, now):
        for each in due:
            post(store, each, now)


def _ended(store: Store) -> int | None:
    alert = begin_posted(store, firing("1"))
    end(store, "1", at(900), report=True)
    deliver_all(store, at(910))
    return alert.id


def _ended_later(store: Store) -> int | None:
    alert = begin_posted(store, firing("1"))
    end(store, "1", at(1001))
    return alert.id


def _open(store: Store) -> int | None:
    return begin_posted(store, firing("1")).id


def _never_reported(store: Store) -> int | None:
    store.record(poll([begins(firing("1"))]))
    alert = one(store, firing("1"))
    end(store, "1", at(900))
    return alert.id


def _waiting(store: Store) -> int | None:
    alert = begin_posted(store, firing("1"))
    end(store, "1", at(900), report=True)
    return alert.id


def _posted_to_the_webhook(store: Store, *, sent: bool) -> int | None:
    """Slack was down for ten minutes, so that the alert was posted to the fallback webhook too."""
    alert = begin(store, firing("1"))
    store.decide_fallback(list(Level), timedelta(minutes=2), lambda new: new.id, at(600))
    (due,) = store.due_fallback(at(600))
    if sent:
        store.sent_fallback(due.id, at(600))
    deliver_all(store, at(700))
    end(store, "1", at(900))
    return alert.id


def _webhook_removed(store: Store) -> int | None:
    alert = begin(store, firing("1"))
    store.decide_fallback(list(Level), timedelta(minutes=2), lambda new: new.id, at(600))
    deliver_all(store, at(700))
    end(store, "1", at(900))
    return alert.id


def _latched(store: Store) -> int | None:
    alert = begin_posted(store, firing("1"))
    assert alert.id is not None
    store.resolve(alert.id, "U1", "stuck", at(900))
    deliver_all(store, at(910))
    return alert.id


def _shared(store: Store, other_ends_at: datetime) -> int | None:
    """A card of two alerts: the first ended long ago."""
    both = [firing("1"), firing("2")]
    first, second = (notice(alert, group="rule:longest-wait") for alert in both)
    store.record(poll([begins(alert) for alert in both], [first, replace(second, lead=first.id)]))
    deliver_all(store, at(0))
    found = one(store, firing("1")).id
    end(store, "1", at(900))
    end(store, "2", other_ends_at)
    deliver_all(store, at(1500))
    return found


GOES = {
    "ended": _ended,
    "never reported": _never_reported,
    "posted to the fallback webhook": lambda store: _posted_to_the_webhook(store, sent=True),
    "shared card, all ended": lambda store: _shared(store, at(950)),
}
STAYS = {
    "ended later": _ended_later,
    "open": _open,
    "a message waits": _waiting,
    "a post to the fallback webhook waits": lambda store: _posted_to_the_webhook(store, sent=False),
    "closed by hand, not clear since": _latched,
    "shared card, a member ended later": lambda store: _shared(store, at(1001)),
}


@pytest.mark.parametrize("make", GOES.values(), ids=GOES)
def test_what_ended_long_ago_goes_with_all_that_was_sent(store: Store, make: Callable[[Store], int | None]) -> None:
    alert_id = make(store)
    assert alert_id is not None
    expected = store.old_alerts(BEFORE)
    assert store.delete_old(BEFORE, 10) == expected > 0
    assert store.alert(alert_id) is None
    assert store.notices_of(alert_id) == []
    assert store.ended(at(0)) == []
    assert store.cards("acme") == {}
    assert store.old_alerts(BEFORE) == store.delete_old(BEFORE, 10) == 0


@pytest.mark.parametrize("make", STAYS.values(), ids=STAYS)
def test_what_is_still_needed_stays(store: Store, make: Callable[[Store], int | None]) -> None:
    alert_id = make(store)
    assert alert_id is not None
    before, sent = store.alert(alert_id), store.notices_of(alert_id)
    assert store.old_alerts(BEFORE) == store.delete_old(BEFORE, 10) == 0
    assert (store.alert(alert_id), store.notices_of(alert_id)) == (before, sent)


def test_a_post_that_is_never_received_keeps_its_alert_for_a_day(store: Store) -> None:
    """As long as its end would be posted: the webhook may have been taken out of the configuration."""
    alert_id = _webhook_removed(store)
    assert alert_id is not None
    day = timedelta(days=1)
    assert store.delete_old(at(899) + day, 10) == 0
    assert store.old_alerts(at(900) + day) == store.delete_old(at(900) + day, 10) == 1
    assert store.alert(alert_id) is None


def test_what_stays_goes_when_nothing_keeps_it_any_more(store: Store) -> None:
    """A message that waited is deleted with its alert once it was delivered; so is a latched alert that cleared."""
    alert_id = _waiting(store)
    deliver_all(store, at(1100))
    assert store.delete_old(BEFORE, 10) == 1
    assert alert_id is not None
    assert store.alert(alert_id) is None


def test_operational_messages_and_silences_go_when_they_are_settled(store: Store) -> None:
    store.add_notices([ops("delivered"), ops("waits", now=at(1), channel="#other")])
    delivered, waits = posts(store, at(1))
    post(store, delivered, at(1))
    matcher = Matcher((("rule", "x"),))
    gone = store.silence(matcher, at(0), at(60), "U1", "", at(0))
    active = store.silence(matcher, at(0), at(9000), "U1", "", at(0))
    store.announce_silences(at(70))
    assert store.delete_old(BEFORE, 10) >= 2
    left = store.notices_of(None)
    assert [each.notice.id for each in left if each.notice.text in ("delivered", "waits")] == [waits.notice.id]
    assert [silence.id for silence in store.silences()] == [active.id]
    later = store.silence(matcher, at(0), at(9000), "U1", "", at(1001))
    assert gone.id < active.id < later.id


def test_a_batch_is_limited_and_the_oldest_go_first(store: Store) -> None:
    ids = [begin(store, firing(str(number)), channel=f"#{number}").id or 0 for number in range(5)]
    deliver_all(store, at(1))
    for place, number in enumerate((3, 1, 4, 0, 2)):
        end(store, str(number), at(100 + place))
    assert store.old_alerts(BEFORE) == 5
    left = []
    while store.delete_old(BEFORE, 2):
        left.append([number for number in range(5) if store.alert(ids[number]) is not None])
    assert left == [[0, 2, 4], [2], []]


def test_a_short_id_is_not_given_again(store: Store) -> None:
    """Not even when every alert is gone: an old card in Slack still shows its number."""
    first = _ended(store)
    store.delete_old(BEFORE, 10)
    second = begin(store, firing("1"), at(2000)).id
    assert first is not None
    assert second is not None
    assert second > first


def test_a_rule_still_knows_its_recent_rises(store: Store) -> None:
    """Flap damping reads ended alerts of the last minutes: they are younger than any `history`."""
    begin_posted(store, firing("1", rises=(at(0),)))
    end(store, "1", at(1500))
    store.delete_old(at(1500) - timedelta(days=1), 10)
    assert store.rises("acme", at(0)) == {firing("1").key: (at(0),)}
