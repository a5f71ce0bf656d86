"""Silence: a matcher and an end time. Alerts that it matches are tracked but not reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

from alertbot.alerts.alert import Alert
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import fold, globs
from alertbot.rules.rule import Level, Rule
from alertbot.rules.terms import LABEL, Terms, write_terms

WARN_BEFORE = timedelta(minutes=10)
"""How long before its end a silence is announced to end soon."""
WARN_IF_LONGER = timedelta(hours=1)
"""A silence that lasts at most this long ends without a warning."""
REPEATED_WITHIN = timedelta(minutes=1)
"""The same wish by the same user within this time was delivered twice: it counts once."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """Which alerts are meant. All terms must match.

    A term is its name (`tenant`, `rule`, `name`, `level`, `scope` or `label.KEY`) and a pattern with `*` and `?`.
    """

    terms: Terms

    def __str__(self) -> str:
        return write_terms(self.terms)

    def matches(self, alert: Alert) -> bool:
        """Whether it matches an alert as it is now. Names are compared as everywhere (`rules/match.py`).

        Alerts about a feed match nothing: while it is ill, its alert is all that is known of the tenant.
        """
        return alert.key.scope is not Scope.FEED and all(
            (value := _value(term, alert)) is not None and test(value) for term, test in _tests(self)
        )

    def may_match_rule(self, rule: Rule) -> bool:
        """Whether it can match an alert of this rule: what it says about the rule, its scope and its labels."""
        return all(
            (value := _value_of_rule(term, rule)) is not None and test(value)
            for term, test in _tests(self)
            if term not in _OF_ALERTS
        )

    def for_rule(self, tenant: str, rule: Rule) -> Callable[[Alert], bool] | None:
        """`matches` for alerts of this rule and tenant alone, which asks no more than it must; None: it matches none.

        Labels are those of the rule as it is now.
        """
        tests = _tests(self)
        tenants = [test for term, test in tests if term == "tenant"]
        if rule.scope is Scope.FEED or not self.may_match_rule(rule) or not all(test(tenant) for test in tenants):
            return None
        levels = {each for each in Level if all(test(each.word) for term, test in tests if term == "level")}
        names = [test for term, test in tests if term == "name"]
        if not names:
            return lambda alert: alert.level in levels
        return lambda alert: (
            alert.level in levels and all(test(alert.entity_name or alert.key.entity_id) for test in names)
        )

    def may_match(self, tenant: str, rule: Rule, name: str) -> bool:
        """Whether it matches alerts of this rule for this entity, at some level."""
        known = {"tenant": tenant, "name": name}
        return self.may_match_rule(rule) and all(test(known[term]) for term, test in _tests(self) if term in known)


@lru_cache(maxsize=1024)
def _tests(matcher: Matcher) -> tuple[tuple[str, Callable[[str], bool]], ...]:
    """The terms with their patterns compiled: a matcher is asked about every alert of the rules that it can match."""
    return tuple((name, test) for name, pattern in matcher.terms if (test := globs((pattern,))) is not None)


_OF_ALERTS = ("tenant", "name", "level")  # terms that say nothing about the rule


def _value(term: str, alert: Alert) -> str | None:
    """What an alert is, in the words of a term; None for a label that it does not have."""
    match term:
        case "tenant":
            return alert.key.tenant
        case "rule":
            return alert.key.rule
        case "name":
            return alert.entity_name or alert.key.entity_id
        case "level":
            return alert.level.word
        case "scope":
            return alert.key.scope
    return _label(alert.about.labels, term)


def _value_of_rule(term: str, rule: Rule) -> str | None:
    match term:
        case "rule":
            return rule.id
        case "scope":
            return rule.scope
    return _label(rule.labels, term)


def _label(labels: Mapping[str, str], term: str) -> str | None:
    """The value of the label that a term names; None where there is no such label."""
    wanted = fold(term.removeprefix(LABEL))
    return next((value for key, value in labels.items() if fold(key) == wanted), None)


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence. Times are aware UTC; it is active from `starts_at` until before `ends_at`.

    What has started stays so if the clock is set back to before its start.
    """

    id: int
    matcher: Matcher
    starts_at: datetime
    ends_at: datetime
    author: str  # a Slack user id, or a local user's name
    reason: str
    created_at: datetime
    ended_at: datetime | None = None  # when it was taken off, or its end was announced
    ended_by: str = ""  # who took it off
    started: bool = False  # its start was announced
    warned: bool = False  # that it ends soon was announced
    shown_as: str = field(default="", compare=False)  # instead of its terms, where names are hidden; not stored

    @property
    def what(self) -> str:
        """What output says that it matches: its terms."""
        return self.shown_as or str(self.matcher)

    def active(self, now: datetime) -> bool:
        """Whether it mutes what it matches."""
        return self.ended_at is None and (self.started or self.starts_at <= now) and now < self.ends_at

    def repeats(self, other: Silence) -> bool:
        """Whether it is the same wish as `other`, less than a minute apart, and `other` has not ended.

        Their times may differ by as much: `2h` that is delivered again begins and ends that much later.
        """
        times = ("created_at", "starts_at", "ends_at")
        return (
            other.ended_at is None
            and self.created_at < other.ends_at
            and (self.author, self.matcher, self.reason) == (other.author, other.matcher, other.reason)
            and all(abs(getattr(self, each) - getattr(other, each)) < REPEATED_WITHIN for each in times)
        )

    @property
    def lasts(self) -> timedelta:
        """From its start to its end."""
        return self.ends_at - self.starts_at
