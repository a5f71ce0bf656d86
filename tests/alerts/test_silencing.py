"""What silences match, what they mute, and what is reported when they no longer do; what is announced about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from alertbot.alerts.advance import advance
from alertbot.alerts.alert import Alert, Change, Fingerprint, Reason
from alertbot.alerts.alerting import Situation
from alertbot.alerts.announce import Event, announced, announcements, due
from alertbot.alerts.decide import decide
from alertbot.alerts.mute import Poll, Silencing
from alertbot.alerts.notice import PERSON, Notice
from alertbot.alerts.silence import Matcher, Silence
from alertbot.alerts.standing import Standing
from alertbot.evaluation.evaluate import evaluate_all
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level, Rule, RuleSet
from alertbot.rules.terms import Terms
from tests.alerts.kit import NOW, POLL, TENANT, WAIT, keep, rule, snapshot
from tests.alerts.test_any_life import restart
from tests.store.build import firing

LONGEST = rule(labels={"Team": "Sales"})
OTHER = rule(id="other")
EVERYTHING: Terms = (("rule", "*"),)
HOUR = timedelta(hours=1)


def silence(terms: Terms = EVERYTHING, *, starts: float = 0, lasts: float = 60, id: int = 7, **more: object) -> Silence:
    """From `starts` for `lasts`, in polls."""
    begins = NOW + starts * POLL
    values = {"author": "U012ANNA", "reason": "", "created_at": NOW} | more
    return Silence(id, Matcher(terms), begins, begins + lasts * POLL, **values)  # type: ignore[arg-type]


MATCHING: dict[str, tuple[Terms, bool]] = {
    "the tenant": ((("tenant", "acme"),), True),
    "another tenant": ((("tenant", "beta"),), False),
    "the rule": ((("rule", "longest-*"),), True),
    "another rule": ((("rule", "longest"),), False),
    "the name": ((("name", "sales  EU"),), True),
    "a wildcard": ((("name", "S?les*"),), True),
    "other quotes": ((("name", "Sales “EU”"),), False),
    "another name": ((("name", "Sales"),), False),
    "the level": ((("level", "Warning"),), True),
    "a higher level": ((("level", "critical"),), False),
    "the scope": ((("scope", "queue"),), True),
    "another scope": ((("scope", "queue_*"),), False),
    "a label": ((("label.team", "sales"),), True),
    "another value": ((("label.team", "service"),), False),
    "any value": ((("label.TEAM", "*"),), True),
    "no such label": ((("label.floor", "*"),), False),
    "all terms": ((("tenant", "acme"), ("rule", "longest-wait"), ("name", "Sales*"), ("level", "warning")), True),
    "all terms but one": ((("tenant", "acme"), ("rule", "longest-wait"), ("name", "Support")), False),
    "the same term twice": ((("name", "*EU"), ("name", "Sales*")), True),
}


@pytest.mark.parametrize(("terms", "expected"), MATCHING.values(), ids=MATCHING)
def test_matching(terms: Terms, expected: bool) -> None:
    """All terms must match; names, labels and their values are compared as everywhere, for one alert and for a rule."""
    alert = firing(entity_name="Sales EU")
    assert Matcher(terms).matches(alert) is expected
    of_rule = Matcher(terms).for_rule("acme", rule(labels={"team": "sales"}))
    assert (of_rule is not None and of_rule(alert)) is expected
    feed = replace(alert, key=alert.key._replace(scope=Scope.FEED))
    assert not Matcher(terms).matches(feed)


class Bot:
    """Polls by a bot that restarts before each one, with silences."""

    def __init__(self, *silences: Silence, rules: tuple[Rule, ...] = (LONGEST,)) -> None:
        self.silences, self.rules = silences, RuleSet(rules)
        self.now = NOW
        self.alerts: list[Alert] = []
        self.cards: dict[Fingerprint, frozenset[str]] = {}
        self.changes: list[Change] = []

    def poll(self, wait: float | None) -> str:
        """What is reported, one word a notice; None: a turn without a fetch."""
        seen = {} if wait is None else {Scope.QUEUE: snapshot({WAIT: [wait * 1000.0]}, names=["Sales EU"])}
        situation = Situation(silences=tuple(each for each in self.silences if each.ended_at is None))
        verdicts = evaluate_all(self.rules, seen)
        self.changes = advance(restart(self.alerts), verdicts, self.rules, self.now, tenant=TENANT, situation=situation)
        notices = decide(self.changes, self.rules, self.cards, "#cc", self.now)
        for notice in notices:
            assert notice.alert is not None
            if notice.kind == "card":
                self.cards[notice.alert] = frozenset({notice.channel})
        self.alerts = keep(self.alerts, self.changes)
        open_keys = {alert.key for alert in self.alerts}
        self.cards = {key: each for key, each in self.cards.items() if key in open_keys}
        self.now += POLL
        return " ".join(_word(notice) for notice in notices) or "-"


def _word(notice: Notice) -> str:
    return f"{notice.kind}:{notice.reason}" + ("!" if notice.broadcast else "")


LIVES = {
    # silences, waits in seconds (None: no fetch), what is reported
    "from the start": ((silence(lasts=3),), (70, 70, 70, 70, 70), "- - - card:silence_ended -"),
    "ends on a turn without a fetch": ((silence(lasts=2),), (70, 70, None, 70), "- - card:silence_ended -"),
    "it ends unseen": ((silence(lasts=3),), (70, 10, 10, 10), "- - - -"),
    "reported before": ((silence(starts=1, lasts=3),), (70, 70, 70, 70, 70, 10), "card:fired - - - - line:resolved"),
    "reported before, ends meanwhile": ((silence(starts=1, lasts=9),), (70, 70, 10), "card:fired - line:resolved"),
    "rises meanwhile": (
        (silence(starts=1, lasts=2),),
        (70, 130, 130, 130, 130),
        "card:fired - - line:silence_ended! -",
    ),
    "rises and falls meanwhile": ((silence(starts=1, lasts=3),), (70, 130, 70, 70, 70), "card:fired - - - -"),
    "warnings do not hide a rise": (
        (silence((("level", "warning"),)),),
        (70, 130, 130, 10),
        "- card:silence_ended - line:resolved",
    ),
    "a rise of what was reported": (
        (silence((("level", "warning"),), starts=1),),
        (70, 70, 130),
        "card:fired - line:level_up!",
    ),
    "criticals": ((silence((("level", "critical"),)),), (70, 130, 130), "card:fired - -"),
    "another takes over": (
        (silence(lasts=2), silence(id=9, starts=1, lasts=3)),
        (70,) * 6,
        "- - - - card:silence_ended -",
    ),
    "a gap between two": ((silence(lasts=2), silence(id=9, starts=3)), (70,) * 4, "- - card:silence_ended -"),
    "not this one": ((silence((("name", "Support"),)),), (70, 70), "card:fired -"),
    "later": ((silence(starts=5),), (70, 70), "card:fired -"),
    "long ended": ((silence(starts=-9, lasts=9),), (70, 70), "card:fired -"),
    "taken off": ((silence(ended_at=NOW),), (70, 70), "card:fired -"),
}


@pytest.mark.parametrize(("silences", "waits", "expected"), LIVES.values(), ids=LIVES)
def test_what_is_reported(silences: tuple[Silence, ...], waits: tuple[float | None, ...], expected: str) -> None:
    """Tracked while it is silenced; what still fires at the end is reported then, once."""
    bot = Bot(*silences)
    assert " ".join(bot.poll(wait) for wait in waits) == expected


def test_the_reason_is_written_down() -> None:
    """In the alert, since when, and in the words of the report."""
    bot = Bot(silence(lasts=2, id=17))
    bot.poll(70)
    (change,) = bot.changes
    assert (change.withheld, change.why) == ("silenced", "1m 10s is above 1m")
    began = bot.alerts[0].muted
    bot.poll(70)
    assert (bot.alerts[0].silence, bot.alerts[0].muted) == (17, began)
    assert bot.poll(70) == "card:silence_ended"
    (change,) = bot.changes
    assert change.reason is Reason.SILENCE_ENDED
    assert change.why == "1m 10s is above 1m for 30s"


def test_rules_that_no_silence_can_match_cost_nothing() -> None:
    """A muter without silences, or with silences of other rules, need not be asked about single alerts."""
    none = Silencing(Poll(Standing(), (), {}, NOW))
    of_other = Situation(silences=(silence((("rule", "other"), ("name", "x"))), silence((("label.team", "x"),), id=8)))
    some = Silencing(Poll(Standing(), (), {}, NOW, of_other))
    assert [each.may_mute_again(one) for each in (none, some) for one in (LONGEST, OTHER)] == [
        False,
        False,
        False,
        True,
    ]


# Announcements.

AT = {
    "before": -1.0,
    "at its start": 0.0,
    "after": 10.0,
    "ten minutes left": 110.0,
    "at its end": 120.0,
    "later": 999.0,
}
DUE = {
    "before": (silence(), "before", None),
    "starts": (silence(lasts=480), "at its start", Event.STARTED),
    "started": (silence(lasts=480, started=True), "after", None),
    "ends soon": (silence(lasts=480, started=True), "ten minutes left", Event.ENDS_SOON),
    "warned": (silence(lasts=480, started=True, warned=True), "ten minutes left", None),
    "an hour has no warning": (silence(starts=240, lasts=240, started=True), "ten minutes left", None),
    "starts and ends soon": (silence(lasts=480), "ten minutes left", Event.STARTED),
    "ends": (silence(lasts=480, started=True, warned=True), "at its end", Event.ENDED),
    "ended while alertbot was down": (silence(lasts=480), "later", Event.ENDED),
}


@pytest.mark.parametrize(("one", "when", "event"), DUE.values(), ids=DUE)
def test_what_is_due(one: Silence, when: str, event: Event | None) -> None:
    """One thing at a time, and nothing twice: what was announced is no longer due."""
    now = NOW + timedelta(minutes=AT[when])
    assert due(one, now) is event
    if event is not None and event is not Event.ENDED:
        assert due(announced(one, event, now), now) is None
    if event is Event.ENDED:
        assert announced(one, event, now).ended_at == now


def test_a_silence_that_is_extended_is_announced_to_end_again() -> None:
    longer = announced(silence(lasts=720, started=True, warned=True), Event.EXTENDED, NOW + timedelta(minutes=115))
    assert due(longer, NOW + timedelta(minutes=115)) is None
    assert due(longer, NOW + timedelta(minutes=170)) is Event.ENDS_SOON


SALES = firing(entity_name="Sales EU", id=17)
CARDS: Mapping[Fingerprint, frozenset[str]] = {SALES.key: frozenset({"#b", "#a"})}


def told(one: Silence, event: Event, *alerts: Alert, by: str = "") -> list[tuple[str, str, str]]:
    later = NOW + timedelta(minutes=15)
    found = announcements(one, event, alerts, CARDS, later, by=by, timezone="Europe/Helsinki")
    return [(notice.channel, notice.by, notice.text.replace(PERSON, "PERSON")) for notice in found]


def test_where_and_what_is_announced() -> None:
    """In each channel with an open card of a matching alert, with the zone of the times; else to the author alone."""
    one = silence((("name", "Sales EU"),), lasts=480, reason="new phones", started=True)
    what = 'name="Sales EU" (new phones)'
    start = "Silence #7 by PERSON until 13:00 EET: " + what
    assert [(where, by) for where, by, _ in told(one, Event.STARTED, SALES)] == [("#a", "U012ANNA"), ("#b", "U012ANNA")]
    assert told(one, Event.STARTED, SALES)[0][2].startswith(start)
    assert told(one, Event.STARTED)[0][:2] == ("U012ANNA", "U012ANNA")
    assert told(one, Event.STARTED, by="U012ANNA") == []
    assert told(replace(one, author="anna"), Event.STARTED) == []
    assert told(one, Event.ENDS_SOON, SALES)[0][2] == (
        f"Silence #7 by PERSON ends in 1h 45m, at 13:00 EET: {what}. To extend it by an hour: silence 7 1h"
    )
    assert told(one, Event.EXTENDED, SALES, by="U2")[0][1:] == (
        "U2",
        f"Silence #7 was extended by PERSON until 13:00 EET: {what}.",
    )
    still = " 1 alert is still open: #17 Sales EU · Longest wait in queue."
    assert told(one, Event.ENDED, SALES)[0][2] == f"Silence #7 by PERSON has ended, at 13:00 EET: {what}.{still}"
    assert told(one, Event.ENDED, SALES, by="U2")[0][1:] == ("U2", f"Silence #7 was ended by PERSON: {what}.{still}")
    assert told(one, Event.ENDED, by="U2")[0][0] == "U012ANNA"
    assert [where for where, _, _ in told(replace(one, started=False), Event.ENDED, SALES)] == ["U012ANNA"]


def test_an_alert_that_does_not_match_or_has_no_card_gets_no_announcement() -> None:
    one = silence((("level", "critical"),), started=True)
    assert [where for where, _, _ in told(one, Event.ENDED, SALES)] == ["U012ANNA"]
    unreported = firing("9", level=Level.CRITICAL)
    assert [where for where, _, _ in told(one, Event.ENDED, unreported)] == ["U012ANNA"]


def test_one_that_has_started_stays_active_when_the_clock_is_set_back() -> None:
    """Otherwise what it matches would be reported until the clock reaches its start once more."""
    begun = announced(silence(lasts=60), Event.STARTED, NOW)
    back = NOW - HOUR

    assert begun.active(back)
    assert due(begun, back) is None
    assert not silence(lasts=60).active(back)
    assert due(silence(lasts=60), back) is None
    assert not begun.active(begun.ends_at)
