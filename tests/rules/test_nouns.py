"""Metric keys in words: every key has a noun, and the noun reads well with its period and figure."""

from __future__ import annotations

import pytest

from alertbot.rules.catalogue import Scope, ValueType, catalogue
from alertbot.rules.nouns import Worse, bases, label, noun, order, parts_of, worse

METRICS = {metric.key: metric for known in catalogue().metrics.values() for metric in known.values()}


def test_every_key_has_words_and_no_words_are_left_over() -> None:
    """A key that 8x8 adds needs a row in nouns.csv."""
    assert {parts_of(key).base for key in METRICS} == set(bases())


def test_what_is_counted_has_a_singular() -> None:
    """Counts come after a number, and 1 is a number; nothing else does."""
    counted = {parts_of(key).base for key, metric in METRICS.items() if metric.type is ValueType.COUNT}
    for base in bases():
        key = next(key for key in METRICS if parts_of(key).base == base)
        assert (noun(key, singular=True) != noun(key)) is (base in counted), base


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("interactionsLongestWaitInQueue.rt", "longest wait"),
        ("interactionsLongestWaitInQueue.today", "longest wait today"),
        ("interactionsWaitInQueue.rt", "callers waiting"),
        ("onBreak.rt", "agents on break"),
        ("abandonedPercentage.int-30m", "abandon rate in the last 30 min"),
        ("slaPercentage.int-1h", "service level in the last hour"),
        ("accepted.int-15m.inQueue", "interactions answered for queues in the last 15 min"),
        ("total.interactionsWaitInQueue.rt", "callers waiting in total"),
        ("total.abandoned.today", "interactions abandoned today in total"),
        ("newKeyOf8x8.int-2h", "new key of8x8 int-2h"),
        ("noPeriod", "no period"),
    ],
)
def test_nouns(key: str, expected: str) -> None:
    assert noun(key) == expected


@pytest.mark.parametrize(
    ("key", "figure", "singular", "expected"),
    [
        ("interactionsWaitInQueue.rt", "2", False, "2 callers waiting"),
        ("interactionsWaitInQueue.rt", "1", True, "1 caller waiting"),
        ("interactionsLongestWaitInQueue.rt", "2m 12s", False, "longest wait 2m 12s"),
        ("abandonedPercentage.int-30m", "12%", False, "abandon rate 12% in the last 30 min"),
        ("abandoned.today", "14", False, "14 interactions abandoned today"),
    ],
)
def test_figures_with_their_noun(key: str, figure: str, singular: bool, expected: str) -> None:
    metric = catalogue().lookup(Scope.QUEUE, key)
    assert metric is not None
    assert metric.measured(figure, singular=singular) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("abandonedPercentage.int-30m", "Abandon rate, last 30 min"),
        ("interactionsWaitInQueue.rt", "Callers waiting"),
        ("accepted.today.inQueue", "Interactions answered, today, in queues"),
        ("slaPercentage.int-2h", "Service level, int-2h"),
    ],
)
def test_labels(key: str, expected: str) -> None:
    assert label(key) == expected


def test_what_is_most_urgent_comes_first() -> None:
    """By interest, then by the length of the period; unknown keys last."""
    keys = ["zzz.rt", "abandoned.today", "abandoned.int-15m", "interactionsWaitInQueue.rt", "status.rt"]
    assert sorted(keys, key=order) == [
        *("status.rt", "interactionsWaitInQueue.rt", "abandoned.int-15m", "abandoned.today", "zzz.rt")
    ]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("interactionsLongestWaitInQueue.rt", Worse.HIGH),
        ("slaPercentage.today", Worse.LOW),
        ("eligible.rt", Worse.LOW),
        ("entered.today", Worse.HIGH),
        ("status.rt", Worse.NEITHER),
        ("total.abandonedPercentage.today", Worse.HIGH),
        ("unknown.rt", Worse.NEITHER),
    ],
)
def test_which_values_are_bad(key: str, expected: Worse) -> None:
    assert worse(key) is expected


def test_every_figure_has_a_bad_end() -> None:
    """Texts and times have none, and neither have the two settings that 8x8 sends along."""
    without = {key for key, metric in METRICS.items() if worse(key) is Worse.NEITHER}
    figures = {key for key in without if METRICS[key].type not in (ValueType.TEXT, ValueType.TIMESTAMP)}
    assert {parts_of(key).base for key in figures} == {"slaPercentageTarget", "slaTimeThreshold"}
    assert not {key for key in METRICS if METRICS[key].type is ValueType.TEXT} - without


GUESSES = {
    "words of the key": (Scope.QUEUE, "longestWait.rt", "interactionsLongestWaitInQueue.rt"),
    "of another period": (Scope.QUEUE, "longestWait.int-30m", "interactionsLongestWaitInQueue.int-30m"),
    "words of the noun": (Scope.QUEUE, "abandonRate.int-15m", "abandonedPercentage.int-15m"),
    "another name": (Scope.QUEUE, "serviceLevel.today", "slaPercentage.today"),
    "a plural": (Scope.QUEUE, "callsInQueue.rt", "interactionsWaitInQueue.rt"),
    "a period that it does not have": (Scope.QUEUE, "callersWaiting.today", "interactionsWaitInQueue.rt"),
    "misspelt": (Scope.QUEUE, "interactionsLongestWaitInQueu.rt", "interactionsLongestWaitInQueue.rt"),
    "of agents": (Scope.AGENT, "breakTime.today", "onBreakTime.today"),
    "of totals": (Scope.QUEUE_TOTALS, "total.longestWait.rt", "total.interactionsLongestWaitInQueue.rt"),
    "nothing like any": (Scope.QUEUE, "qqqqqq", None),
}


@pytest.mark.parametrize(("scope", "key", "expected"), GUESSES.values(), ids=GUESSES)
def test_what_a_key_that_does_not_exist_may_mean(scope: Scope, key: str, expected: str | None) -> None:
    """The hint of an unknown key searches words first, then letters."""
    assert catalogue().nearest(scope, key) == expected


SEARCHES = {
    "in the key": (["LongestWait"], None, "interactionsLongestWaitInQueue.rt"),
    "in the noun": (["callers", "waiting"], None, "interactionsWaitInQueue.rt"),
    "in one text": (["longest wait"], Scope.QUEUE, "interactionsLongestWaitInQueue.rt"),
    "in the meaning": (["phone", "line 2"], Scope.AGENT, "line2Status.rt"),
    "with its period": (["abandon", "int-15m", "rate"], Scope.QUEUE, "abandonedPercentage.int-15m"),
}


@pytest.mark.parametrize(("words", "scope", "expected"), SEARCHES.values(), ids=SEARCHES)
def test_search(words: list[str], scope: Scope | None, expected: str) -> None:
    """All words must be found, in key, noun or meaning, in any letter case."""
    found = catalogue().search(words, scope)
    assert expected in {metric.key for metric in found}
    assert len(found) < 60


def test_search_finds_nothing_where_one_word_is_missing() -> None:
    assert catalogue().search(["longest", "zebra"]) == []
    assert catalogue().search(["longest", "wait"], Scope.AGENT) == []
    assert len(catalogue().search([], Scope.GROUP)) == len(catalogue().metrics[Scope.GROUP])
