"""The contract of Store: what it keeps of polls and of users' changes. Run for each implementation (conftest.py)."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from alertbot.alerts.alert import About, Outcome, Reason, State
from alertbot.alerts.delivery import PostCard
from alertbot.alerts.notice import NoticeKind
from alertbot.errors import LeaseHeld
from alertbot.evaluation.measure import Measure
from alertbot.feed.health import Feed
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Level
from alertbot.store.records import NoticeState, RunningRules, Service
from alertbot.store.roles import Store
from tests.store.build import (
    ME,
    SALES,
    T0,
    assert_same_snapshot,
    at,
    begin,
    begin_posted,
    begins,
    edits,
    ends,
    firing,
    key,
    line,
    new_value,
    notice,
    one,
    ops,
    pending,
    poll,
    post,
    posts,
    rises,
    snapshot,
)

# Polls


def test_a_new_database_knows_nothing(store: Store) -> None:
    """Reading before the first poll returns empty results, not errors."""
    assert store.alerts() == []
    assert store.alert(1) is None
    assert store.feed("acme") == Feed("acme")
    assert store.feeds() == {}
    assert store.latest("acme") == {}
    assert store.heads() == {}
    assert store.running_versions() == {}
    assert store.cards("acme") == {}
    assert store.due(T0) == []
    assert store.ended(T0) == []
    assert store.totals().polls == 0


def test_a_feed_comes_back_as_it_was(store: Store) -> None:
    """The feed of the last poll replaces the previous one; tenants have their own."""
    feed = Feed("acme", T0, at(-15), "queue: 503", 12.5, 3, {Scope.QUEUE: 40}, {Scope.QUEUE: 0, Scope.AGENT: 2})
    store.record(poll(feed=Feed("acme", at(-30), at(-30)), now=at(-30)))
    store.record(poll(feed=feed))
    assert store.feed("acme") == feed
    assert store.feed("other") == Feed("other")
    assert store.feeds() == {"acme": feed}
    assert store.totals().polls == 2


def test_snapshots_come_back_as_they_were(store: Store) -> None:
    """Numbers, text, each kind of missing, parents and problems; the latest of each scope is kept."""
    store.record(poll(snapshots={Scope.QUEUE: snapshot(T0), Scope.AGENT: snapshot(T0, Scope.AGENT)}))
    store.record(poll(snapshots={Scope.QUEUE: snapshot(at(15))}, now=at(15)))
    latest = store.latest("acme")
    assert set(latest) == {Scope.QUEUE, Scope.AGENT}
    assert_same_snapshot(latest[Scope.QUEUE], snapshot(at(15)))
    assert_same_snapshot(latest[Scope.AGENT], snapshot(T0, Scope.AGENT))
    assert store.latest("other") == {}


def test_a_snapshot_is_read_by_scope_or_by_its_head(store: Store) -> None:
    """`scopes` excludes the others; heads have time, completeness and problems of every tenant's last snapshots."""
    queues, agents = snapshot(T0), replace(snapshot(T0, Scope.AGENT), complete=True, problems=())
    store.record(poll(snapshots={Scope.QUEUE: queues, Scope.AGENT: agents}))
    assert set(store.latest("acme", [Scope.AGENT])) == {Scope.AGENT}
    assert store.latest("acme", [Scope.GROUP]) == store.latest("acme", []) == {}
    assert queues.problems
    assert store.heads() == {"acme": {Scope.QUEUE: queues.head, Scope.AGENT: agents.head}}


def test_a_snapshot_that_did_not_change_has_its_new_time(store: Store) -> None:
    """Identical values are not written again; any other difference is."""
    first = snapshot(T0)
    others = [
        replace(first, complete=True),
        replace(first, problems=()),
        replace(first, names=("Sales EU", "Renamed")),
        replace(first, columns={**first.columns, "waiting.rt": first.columns["slaPercentage.today"]}),
        replace(first, columns={name: first.columns[name] for name in list(first.columns)[:2]}),
        first,
    ]
    for number, changed in enumerate([first, *others]):
        for seconds in (number * 30, number * 30 + 15):
            seen = replace(changed, at=at(seconds))
            store.record(poll(snapshots={Scope.QUEUE: seen}, now=at(seconds)))
            assert_same_snapshot(store.latest("acme")[Scope.QUEUE], seen)
            assert store.heads()["acme"][Scope.QUEUE] == seen.head


@pytest.mark.parametrize("columns", [{}, None], ids=["no columns", "no entities"])
def test_an_empty_snapshot_comes_back_empty(store: Store, columns: dict[str, object] | None) -> None:
    """No entities and no columns are kept as such."""
    empty = replace(snapshot(), columns={})
    if columns is None:
        empty = replace(empty, ids=(), names=(), parent_ids=(), parent_names=(), problems=(), complete=True)
    store.record(poll(snapshots={Scope.QUEUE: empty}))
    assert_same_snapshot(store.latest("acme")[Scope.QUEUE], empty)


def test_what_runs_comes_back_with_its_files(store: Store) -> None:
    """By tenant; the same version continues and keeps its time, another one begins."""
    first = RunningRules("acme", "1f0c2b3a4d5e", T0, {"rules/a.yaml": b"rules: []\n", "rules/\xe4.yaml": b"\xff\x00"})
    assert store.running("acme") is None
    store.set_running([first, replace(first, tenant="other", files={})])
    store.set_running([replace(first, since=at(60), files={"elsewhere/a.yaml": b""})])
    assert store.running("acme") == replace(first, files={"elsewhere/a.yaml": b""})
    assert store.running("other") == replace(first, tenant="other", files={})
    assert store.running_versions() == dict.fromkeys(("acme", "other"), ("1f0c2b3a4d5e", T0))
    second = replace(first, version="2", since=at(60))
    store.set_running([second])
    assert store.running("acme") == second


def test_an_alert_comes_back_as_it_was(store: Store) -> None:
    """Every field is kept, to the microsecond, and the store assigns the id."""
    alert = firing(
        since={Level.WARNING: at(0.000001), Level.CRITICAL: at(30)},
        parent_name="North",
        pending_since=at(-30),
        recovering_since=at(5),
        state=State.RECOVERING,
        measure=Measure("status.rt", ValueType.TEXT, "==", "OnBreak", "OnBreak"),
        peak=None,
        missed=2,
        about=About("Crowd", "waiting.rt > 5", message="{{ value }} waiting", show=("eligible.rt", "status.rt")),
        shown={"eligible.rt": 3.0, "enabled.rt": None, "status.rt": "OnBreak"},
    )
    store.record(poll([begins(alert)]))
    stored = one(store, alert)
    assert stored.id is not None
    assert replace(stored, id=None) == alert
    assert store.alert(stored.id) == stored


@pytest.mark.parametrize(
    "measure",
    [
        None,
        Measure("a.rt", ValueType.COUNT, ">", 5.0, 4.0),
        Measure("a.rt", ValueType.RATIO, "<", 0.1 + 0.2, None),
        Measure("a.rt", ValueType.COUNT, "", None, None),
    ],
    ids=["none", "whole numbers", "fractions", "missing"],
)
def test_measures_come_back_as_they_were(store: Store, measure: Measure | None) -> None:
    """Numbers keep every digit and their type."""
    store.record(poll([begins(firing(measure=measure))]))
    found = store.alerts()[0].measure
    assert found == measure
    if found is not None:
        assert type(found.value) in (float, type(None))


def test_an_alert_that_ends_is_history(store: Store) -> None:
    """It is no longer among the alerts, but is found by id and in `ended`, with its reason."""
    alert = begin(store, firing())
    assert alert.id is not None
    store.record(poll([ends(alert, at(60), Reason.NO_LONGER_REPORTED)], now=at(60)))
    assert store.alerts() == []
    over = store.alert(alert.id)
    assert over is not None
    assert (over.state, over.end_reason, over.ended_at) == (State.INACTIVE, Reason.NO_LONGER_REPORTED, at(60))
    assert store.ended(at(60)) == [over]
    assert store.ended(at(61)) == []


def test_history_is_the_last_end_first_and_no_more_than_asked_for(store: Store) -> None:
    """`ended` returns the newest."""
    alerts = [begin(store, firing(str(entity))) for entity in range(4)]
    for number, alert in enumerate(alerts):
        store.record(poll([ends(alert, at(number))], now=at(number)))
    assert [alert.key.entity_id for alert in store.ended(T0, limit=3)] == ["3", "2", "1"]


def test_how_users_are_called(store: Store) -> None:
    """The last name that was noted."""
    assert store.people() == {}
    for user, name in (("U1", "Anna"), ("U2", "Bob"), ("U1", "Anna K"), ("U1", "Anna K")):
        store.note_name(user, name)
    assert store.people() == {"U1": "Anna K", "U2": "Bob"}


def test_all_that_ended_is_read_in_pages(store: Store) -> None:
    """As `ended`, but without a limit: the last one first, each once, although many ended at the same moment."""
    alerts = [firing(str(number)) for number in range(1201)]
    store.record(poll([begins(alert) for alert in alerts]))
    opened = store.alerts()
    store.record(poll([ends(alert, at(60)) for alert in opened[:1100]], now=at(60)))
    store.record(poll([ends(alert, at(61)) for alert in opened[1100:]], now=at(61)))
    assert list(store.all_ended(T0)) == store.ended(T0, limit=5000)
    assert [alert.id for alert in store.all_ended(T0)] == list(range(1201, 0, -1))
    assert len(list(store.all_ended(at(61)))) == 101
    assert list(store.all_ended(at(62))) == []


def test_an_end_without_a_time_ends_at_the_poll(store: Store) -> None:
    """An inactive alert has ended even if the decision did not say when."""
    alert = begin(store, firing())
    change = ends(alert, at(60))
    store.record(poll([replace(change, after=replace(change.after, ended_at=None))], now=at(60)))
    assert store.alerts() == []
    assert store.ended(at(60))[0].ended_at == at(60)


def test_a_pending_alert_that_did_not_fire_is_forgotten(store: Store) -> None:
    """No history, and its id is not assigned again."""
    store.record(poll([begins(pending())]))
    alert = store.alerts()[0]
    assert alert.id is not None
    store.record(poll([replace(ends(alert, at(15)), reason=None)], now=at(15)))
    assert store.alerts() == []
    assert store.alert(alert.id) is None
    assert store.ended(T0) == []
    again = begin(store, firing(), at(30))
    assert again.id is not None
    assert again.id > alert.id


def test_a_pending_alert_with_a_notice_is_history(store: Store) -> None:
    """An alert that the ledger refers to is kept, and the poll continues."""
    store.record(poll([begins(pending())]))
    alert = store.alerts()[0]
    store.add_notices([line(alert, Reason.OPERATIONS, now=at(1))])
    store.record(poll([replace(ends(alert, at(15)), reason=None)], now=at(15)))
    assert store.alerts() == []
    assert [each.id for each in store.ended(at(15))] == [alert.id]
    assert store.totals().resolved == 0


def test_an_alert_that_comes_back_has_a_new_id(store: Store) -> None:
    """One row per life: the old one stays as it ended."""
    first = begin(store, firing())
    store.record(poll([ends(first, at(60))], now=at(60)))
    second = begin(store, firing(), at(120))
    assert second.id != first.id
    assert [alert.id for alert in store.alerts()] == [second.id]
    assert [alert.id for alert in store.ended(T0)] == [first.id]


def test_an_alert_may_end_and_begin_again_in_one_poll(store: Store) -> None:
    """Both lives are kept."""
    first = begin(store, firing())
    store.record(poll([ends(first, at(60)), begins(firing(fired_at=at(60)))], now=at(60)))
    assert [alert.id for alert in store.ended(T0)] == [first.id]
    assert one(store, first).fired_at == at(60)


def test_a_fingerprint_has_one_alert_that_has_not_ended(store: Store) -> None:
    """A poll that does not know of the open alert continues it instead of creating a second."""
    alert = begin(store, firing())
    store.record(poll([begins(firing(value=99_000.0))], now=at(15)))
    assert [each.id for each in store.alerts()] == [alert.id]
    assert store.alerts()[0].peak == 99_000.0


def test_tenants_do_not_mix(store: Store) -> None:
    """The same rule and entity of two tenants are two alerts."""
    begin(store, firing())
    begin(store, firing(tenant="other"))
    assert [alert.key.tenant for alert in store.alerts()] == ["acme", "other"]
    assert [alert.key for alert in store.alerts("other")] == [key(tenant="other")]
    assert set(store.cards("other")) == {key(tenant="other")}


def test_cards_are_those_of_alerts_that_have_not_ended(store: Store) -> None:
    """Waiting and posted cards of open alerts count, under the channel that the rule named."""
    first, second = begin_posted(store, firing("1")), begin(store, firing("2"))
    both = notice(second, channel="#cc-floor", now=at(1))
    store.record(poll(notices=[both], now=at(1)))
    assert store.cards("acme") == {first.key: {SALES}, second.key: {SALES, "#cc-floor"}}
    store.reroute(both.id, "#cc-alerts", claimant=ME)
    assert store.cards("acme")[second.key] == {SALES, "#cc-floor"}
    store.record(poll([ends(first, at(2))], now=at(2)))
    assert set(store.cards("acme")) == {second.key}


def test_a_poll_is_written_whole_or_not_at_all(store: Store) -> None:
    """If one part cannot be written, no part of the poll is."""
    bad = replace(notice(firing()), level=None)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        store.record(poll([begins(firing())], [bad], snapshots={Scope.QUEUE: snapshot()}))
    assert store.alerts() == []
    assert store.latest("acme") == {}
    assert store.feed("acme") == Feed("acme")
    begin(store, firing())  # and the store still works


def test_totals_count_what_happened(store: Store) -> None:
    """Polls, fired, resolved, cards, lines and edits over all tenants."""
    alert = begin_posted(store, firing())
    store.record(poll([begins(pending("7"))], now=at(1)))
    store.record(poll([rises(alert, at(2))], [line(alert, Reason.LEVEL_UP, now=at(2))], now=at(2)))
    store.record(poll([begins(firing(tenant="other"))], tenant="other", now=at(3)))
    post(store, posts(store, at(4))[0], at(4))
    card = edits(store, at(4))[0].card
    store.edited(card, at(4))
    raised = one(store, alert)
    store.record(poll([ends(raised, at(5))], [line(raised, Reason.RESOLVED, now=at(5))], now=at(5)))
    totals = store.totals()
    assert (totals.polls, totals.fired, totals.resolved) == (5, 2, 1)
    assert (totals.cards_posted, totals.lines_posted, totals.edits) == (1, 1, 1)
    assert (totals.waiting, totals.given_up) == (1, 0)


# Users


def test_acknowledge_stores_who_has_it(store: Store) -> None:
    """The alert has its owner, the card is due for an edit at once, and its thread gets a line."""
    alert = begin_posted(store, firing())
    assert alert.id is not None
    result, owned = store.acknowledge(alert.id, "U1", "on it", at(5))
    assert result is Outcome.DONE
    assert owned == store.alert(alert.id)
    assert owned is not None
    assert (owned.acked_by, owned.acked_at, owned.ack_note) == ("U1", at(5), "on it")
    assert [edit.card.version for edit in edits(store, at(5))] == [2]
    (due,) = posts(store, at(5))
    assert due.notice.kind is NoticeKind.LINE
    assert (due.notice.reason, due.notice.by, due.notice.text) == (Reason.ACKNOWLEDGED, "U1", "on it")


def test_the_first_acknowledge_wins(store: Store) -> None:
    """The second gets the name of the first, and changes nothing."""
    alert = begin_posted(store, firing())
    assert alert.id is not None
    store.acknowledge(alert.id, "U1", "", at(5))
    result, owned = store.acknowledge(alert.id, "U2", "mine", at(6))
    assert result is Outcome.ALREADY
    assert owned is not None
    assert (owned.acked_by, owned.acked_at, owned.ack_note) == ("U1", at(5), "")
    assert len(store.notices_of(alert.id)) == 2


def test_resolve_beats_acknowledge(store: Store) -> None:
    """An alert that has ended no longer has an owner, and nothing is reported."""
    alert = begin_posted(store, firing())
    assert alert.id is not None
    store.record(poll([ends(alert, at(5))], now=at(5)))
    result, over = store.acknowledge(alert.id, "U1", "", at(6))
    assert result is Outcome.ENDED
    assert over is not None
    assert over.acked_by is None
    assert store.unacknowledge(alert.id, "U1", at(6))[0] is Outcome.ENDED
    assert len(store.notices_of(alert.id)) == 1


def test_acknowledging_nothing(store: Store) -> None:
    """An id that was never assigned."""
    assert store.acknowledge(17, "U1", "", T0) == (Outcome.UNKNOWN_ID, None)
    assert store.unacknowledge(17, "U1", T0) == (Outcome.UNKNOWN_ID, None)


def test_an_acknowledgement_can_be_taken_back(store: Store) -> None:
    """Then it can be given again; every step is reported."""
    alert = begin_posted(store, firing())
    assert alert.id is not None
    assert store.unacknowledge(alert.id, "U2", at(1))[0] is Outcome.NOT_ACKNOWLEDGED
    store.acknowledge(alert.id, "U1", "on it", at(2))
    result, free = store.unacknowledge(alert.id, "U2", at(3))
    assert result is Outcome.DONE
    assert free is not None
    assert (free.acked_by, free.acked_at, free.ack_note) == (None, None, "")
    assert store.acknowledge(alert.id, "U1", "", at(4))[0] is Outcome.DONE
    steps = [(entry.notice.reason, entry.notice.by) for entry in store.notices_of(alert.id)[1:]]
    assert steps == [(Reason.ACKNOWLEDGED, "U1"), (Reason.UNACKNOWLEDGED, "U2"), (Reason.ACKNOWLEDGED, "U1")]


def test_giving_back_is_for_the_owner(store: Store) -> None:
    """Another user learns whose it is; nothing changes and nothing is reported."""
    alert = begin_posted(store, firing())
    assert alert.id is not None
    assert store.unacknowledge(alert.id, "U1", at(1), own=True)[0] is Outcome.NOT_ACKNOWLEDGED
    store.acknowledge(alert.id, "U1", "on it", at(2))
    result, theirs = store.unacknowledge(alert.id, "U2", at(3), own=True)
    assert (result, theirs and theirs.acked_by, theirs and theirs.acked_at) == (Outcome.OTHER_OWNER, "U1", at(2))
    assert len(store.notices_of(alert.id)) == 2
    result, free = store.unacknowledge(alert.id, "U1", at(4), own=True)
    assert (result, free and free.acked_by) == (Outcome.DONE, None)
    store.record(poll([ends(one(store, alert), at(5))], now=at(5)))
    assert store.unacknowledge(alert.id, "U1", at(6), own=True)[0] is Outcome.ENDED
    assert store.unacknowledge(99, "U1", at(6), own=True) == (Outcome.UNKNOWN_ID, None)


def test_a_poll_never_overwrites_who_acknowledged(store: Store) -> None:
    """A poll that read the alert before the acknowledgement writes only what polls own."""
    alert = begin_posted(store, firing())
    assert alert.id is not None
    store.acknowledge(alert.id, "U1", "on it", at(5))
    store.record(poll([new_value(alert, 80_000.0, at(15))], now=at(15)))
    owned = store.alert(alert.id)
    assert owned is not None
    assert (owned.peak, owned.acked_by, owned.acked_at, owned.ack_note) == (80_000.0, "U1", at(5), "on it")
    store.record(poll([ends(alert, at(30))], now=at(30)))
    assert store.ended(T0)[0].acked_by == "U1"


def test_an_acknowledgement_before_the_card_is_posted_after_it(store: Store) -> None:
    """The line waits for its card."""
    alert = begin(store, firing())
    assert alert.id is not None
    store.acknowledge(alert.id, "U1", "", at(1))
    (card,) = posts(store, at(1))
    assert isinstance(card, PostCard)
    assert card.card.members[0].acked_by == "U1"
    post(store, card, at(1))
    (due,) = posts(store, at(3))
    assert due.notice.reason is Reason.ACKNOWLEDGED


def test_two_threads_acknowledge_and_one_wins(store: Store) -> None:
    """In any order of the threads, one is first and all others get its name."""
    alert = begin_posted(store, firing())
    assert alert.id is not None
    alert_id = alert.id
    people = [f"U{number}" for number in range(8)]
    barrier = threading.Barrier(len(people), timeout=10)
    results: dict[str, tuple[Outcome, str | None]] = {}

    def acknowledge(who: str) -> None:
        barrier.wait()
        result, owned = store.acknowledge(alert_id, who, "", at(5))
        results[who] = result, owned.acked_by if owned else None

    threads = [threading.Thread(target=acknowledge, args=(who,)) for who in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    winners = [who for who, (result, _) in results.items() if result is Outcome.DONE]
    assert len(results) == len(people)
    assert len(winners) == 1
    assert {owner for _, owner in results.values()} == set(winners)
    assert len(store.notices_of(alert_id)) == 2


# Notices


def test_the_same_notice_twice_is_one(store: Store) -> None:
    """A notice id stands for what is reported: deciding it again reports nothing again."""
    alert = begin_posted(store, firing())
    store.record(poll([], [notice(alert)], now=at(15)))
    store.add_notices([ops("no data"), ops("no data")])
    store.add_notices([ops("no data")])
    assert [entry.state for entry in store.notices_of(alert.id)] == [NoticeState.DELIVERED]
    assert len(store.notices_of(None)) == 1


def test_a_notice_comes_back_as_it_was(store: Store) -> None:
    """All the data that a line is rendered from."""
    alert = begin(store, firing())
    sent = line(
        alert,
        Reason.LEVEL_UP,
        now=at(1),
        text="worse",
        measure=alert.measure,
        mention=("<@U1>",),
        broadcast=True,
        by="U2",
    )
    store.record(poll(notices=[sent], now=at(1)))
    store.add_notices([ops("no data", now=at(2))])
    assert store.notices_of(alert.id)[1].notice == sent
    assert store.notices_of(None)[0].notice == ops("no data", now=at(2))


def test_a_second_card_in_a_channel_is_a_line(store: Store) -> None:
    """One card per channel and alert, however often it is decided."""
    alert = begin_posted(store, firing())
    store.record(poll(notices=[notice(alert, now=at(9))], now=at(9)))
    (due,) = posts(store, at(9))
    assert due.notice.kind is NoticeKind.LINE


@pytest.mark.parametrize("known", [True, False], ids=["no card in that channel", "no such alert"])
def test_a_line_with_nowhere_to_go_is_kept_as_given_up(store: Store, known: bool) -> None:
    """Nothing disappears without a reason, and the poll continues."""
    alert = begin_posted(store, firing())
    lost = line(alert if known else firing("999"), Reason.LEVEL_UP, now=at(1), channel="#elsewhere")
    store.record(poll(notices=[lost], now=at(1)))
    assert store.due(at(1)) == []
    assert store.totals().given_up == 1
    if known:
        entry = store.notices_of(alert.id)[-1]
        assert (entry.state, entry.error) == (NoticeState.GIVEN_UP, "there is no card of this alert in this channel")


def test_a_line_for_an_alert_that_has_ended_finds_its_card(store: Store) -> None:
    """The latest alert of the fingerprint is meant."""
    alert = begin_posted(store, firing())
    store.record(poll([ends(alert, at(5))], [line(alert, Reason.RESOLVED, now=at(5))], now=at(5)))
    late = line(alert, Reason.OPERATIONS, now=at(6))
    store.add_notices([late])
    assert store.notices_of(alert.id)[-1].state is NoticeState.WAITING


# Leases

TTL = timedelta(seconds=30)
ALL = ("tenant:acme", "tenant:other", "delivery")


def test_one_poller_a_database(store: Store) -> None:
    """The second is refused with the first one's name, and since when."""
    store.take_leases(ALL, "host-a, process 1", T0, TTL)
    store.take_leases(ALL, "host-a, process 1", at(10), TTL)
    with pytest.raises(LeaseHeld, match=r"host host-a, process 1, since 09:00 UTC\. Stop it") as held:
        store.take_leases(ALL, "host-b, process 2", at(39), TTL)
    assert held.value.owner == "host-a, process 1"


def test_who_serves_remains_known(store: Store) -> None:
    """While it runs, when it stopped, and when it died: since when, and when it was last seen."""
    assert store.service(T0) is None
    store.take_leases(ALL, "vm, process 1 (run a)", T0, TTL)
    store.take_leases(ALL, "vm, process 1 (run a)", at(10), TTL)
    running = store.service(at(12))
    assert running is not None
    assert running == Service("vm, process 1 (run a)", T0, at(10), running=True)
    assert store.service(at(10) + TTL) == replace(running, running=False)
    store.release_leases("vm, process 1 (run a)")
    assert store.service(at(12)) == replace(running, running=False)
    store.take_leases(ALL, "another", at(13), TTL)
    assert store.service(at(13)) == Service("another", at(13), at(13), running=True)


@pytest.mark.parametrize("name", ALL)
def test_all_leases_or_none(store: Store, name: str) -> None:
    """Another owner's lease of one of the names is enough; the refused owner gets none of the others."""
    store.take_leases([name], "a", T0, TTL)
    with pytest.raises(LeaseHeld, match=r"runs on this database .*: host a,"):
        store.take_leases(ALL, "b", at(1), TTL)
    store.take_leases(ALL, "a", at(2), TTL)


def test_owners_hold_different_leases_side_by_side(store: Store) -> None:
    """Leases are by name, not by database."""
    store.take_leases(["tenant:acme"], "a", T0, TTL)
    store.take_leases(["tenant:other"], "b", T0, TTL)
    store.release_leases("a")
    with pytest.raises(LeaseHeld, match=r"runs on this database .*: host b,"):
        store.take_leases(["tenant:other"], "c", at(1), TTL)
    store.take_leases(["tenant:acme"], "c", at(1), TTL)


def test_an_expired_lease_is_taken_over(store: Store) -> None:
    """A poller that died blocks others no longer than its lease lasts."""
    store.take_leases(ALL, "a", T0, TTL)
    store.take_leases(ALL, "b", at(30), TTL)
    with pytest.raises(LeaseHeld, match="host b, since 09:00 UTC"):
        store.take_leases(ALL, "a", at(31), TTL)


@pytest.mark.parametrize(
    ("set_back", "void"), [(1, False), (3, True), (6 * 3600, True)], ids=["a second", "three", "six hours"]
)
def test_a_lease_from_before_the_clock_was_set_back(store: Store, set_back: float, void: bool) -> None:
    """One that expires later than its duration allows blocks no one; an ordinary adjustment voids none."""
    store.take_leases(ALL, "a", T0, TTL)
    if void:
        store.take_leases(ALL, "b", at(-set_back), TTL)
    else:
        with pytest.raises(LeaseHeld):
            store.take_leases(ALL, "b", at(-set_back), TTL)


def test_a_lease_is_released_by_its_owner_only(store: Store) -> None:
    """Releasing another's lease does nothing."""
    store.take_leases(ALL, "a", T0, TTL)
    store.release_leases("b")
    with pytest.raises(LeaseHeld):
        store.take_leases(ALL, "b", at(1), TTL)
    store.release_leases("a")
    store.take_leases(ALL, "b", at(1), TTL)


def test_a_working_database_is_writable(store: Store) -> None:
    """`check_writable` returns without an error, and is not counted."""
    store.check_writable()
    assert store.totals() == type(store.totals())()
