"""`hours`, and how hours, suppressors, labels and shadow appear in other answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from alertbot.alerts.alert import About, Alert, Fingerprint, Mute, MuteKind
from alertbot.rules.catalogue import Scope
from alertbot.rules.hours import Calendar, Country, Hours, TimeRange
from alertbot.rules.rule import Level, RuleSet
from tests.commands.kit import LONGEST_WAIT, NOW, ON_BREAK, alert, ask, text_of, view

# The kit's NOW is Monday 2026-03-02, 09:00 UTC: 11:00 in Helsinki, 04:00 in New York.
DAY, SATURDAY = (TimeRange(8 * 60, 18 * 60),), (TimeRange(10 * 60, 14 * 60), TimeRange(16 * 60, 20 * 60))
OFFICE = Calendar(
    "office",
    "Europe/Helsinki",
    ((DAY,) * 5 + (SATURDAY, ())),
    dates=frozenset({date(2026, 3, 6)}),
    countries=(Country("FI"),),
    exceptions=((date(2026, 3, 4), (TimeRange(8 * 60, 12 * 60),)),),
    after_open=timedelta(minutes=5),
    where="rules/hours.yaml:3",
)
ABROAD = Calendar("abroad", "America/New_York", (DAY,) * 7)
ALWAYS = Calendar("always", "UTC", ((TimeRange(0, 1440),),) * 7)
EARLY = replace(LONGEST_WAIT, during=Hours(OFFICE, shift=timedelta(minutes=-10)), labels={"team": "sales"})
BEFORE = replace(ON_BREAK, during=Hours(OFFICE, before_open=timedelta(minutes=10)))
RULES = RuleSet((EARLY, BEFORE), "1", {"office": OFFICE, "abroad": ABROAD, "always": ALWAYS})


def asked(text: str, rules: RuleSet = RULES) -> list[str]:
    return text_of(ask(view(rules=rules), text)).splitlines()


def test_all_calendars_in_a_line_each() -> None:
    """Open or closed now, and when that changes, in the zone of the calendar."""
    assert asked("hours") == [
        "abroad: closed, opens 08:00 EST (in 4h)",
        "always: open, and that does not change",
        "office: open, closes 18:00 EET (in 7h)",
        "/alertbot hours NAME shows the days ahead.",
    ]


@pytest.mark.parametrize("text", ["hours office", "hours OFF", "hours"], ids=["by name", "in part", "the only one"])
def test_one_calendar_in_full(text: str) -> None:
    """The week ahead as written, with holidays and exceptions; grace, who uses it, and where it is written."""
    rules = replace(RULES, calendars={"office": OFFICE}) if text == "hours" else RULES
    assert asked(text, rules) == [
        "office: open, closes 18:00 EET (in 7h)",
        "Day | Hours | ",
        "Mon 2026-03-02, today | 08:00-18:00 | ",
        "Tue 2026-03-03 | 08:00-18:00 | ",
        "Wed 2026-03-04 | 08:00-12:00 | exception",
        "Thu 2026-03-05 | 08:00-18:00 | ",
        "Fri 2026-03-06 | closed | holiday",
        "Sat 2026-03-07 | 10:00-14:00, 16:00-20:00 | ",
        "Sun 2026-03-08 | closed | ",
        "Next holiday: Fri 2026-03-06",
        "Grace period, without decisions: 5m after opening.",
        "Rules: longest-wait (during, 10m earlier), on-break (during, 10m before it opens)",
        "Time zone: Europe/Helsinki; defined in rules/hours.yaml:3",
    ]


def test_grace_is_said() -> None:
    """Within grace it is open, and nothing is decided."""
    early = replace(OFFICE, weekly=((TimeRange(10 * 60 + 58, 18 * 60),),) * 7)
    assert asked("hours", RuleSet((), "1", {"office": early}))[0] == (
        "office: open, within the grace period: no decision yet, closes 18:00 EET (in 7h)"
    )


@pytest.mark.parametrize(
    ("text", "rules", "says"),
    [
        pytest.param("hours offcie", RULES, "Did you mean office?", id="misspelt"),
        pytest.param("hours zebra", RULES, "There are: abroad, always, office.", id="unknown"),
        pytest.param("hours a", RULES, "“a” matches 2 calendars:", id="ambiguous"),
    ],
)
def test_what_cannot_be_answered(text: str, rules: RuleSet, says: str) -> None:
    reply = ask(view(rules=rules), text)
    assert reply.problem
    assert says in text_of(reply)


def test_a_rule_says_when_it_is_active() -> None:
    """Hours, whether it is active now, suppressors and labels."""
    rules = RuleSet((replace(EARLY, suppressed_by=("outage", "nobody")), BEFORE), "1")
    shown = asked("rules longest-wait", rules)
    assert "Active only during office, 10m earlier." in shown
    assert "It is active now." in shown
    assert "Not reported while outage or nobody fires for the same queue." in shown
    assert "Labels: team=sales" in shown
    assert "It is not active now." in asked("rules on-break", rules)


def test_alerts_say_who_speaks_for_them() -> None:
    """The id of the suppressor, and whether the alert itself was reported."""
    by = alert(12, rule=ON_BREAK, entity=("a1", "Anna"))
    outage = Fingerprint("acme", "outage", Scope.QUEUE, "", "105")
    unreported = alert(17, muted=Mute(MuteKind.SUPPRESSED, by.key, NOW))
    reported = alert(
        18, entity=("104", "Sales US"), muted=Mute(MuteKind.SUPPRESSED, by.key, NOW), reported=Level.CRITICAL
    )
    gone = alert(19, entity=("105", "Support"), muted=Mute(MuteKind.SUPPRESSED, outage, NOW))
    shown = text_of(ask(view(alerts=[by, unreported, reported, gone]), "alerts"))
    lines = {each.split()[1]: each for each in shown.splitlines()}
    assert lines["#17"].endswith("not reported: suppressed by #12")
    assert lines["#18"].endswith("· suppressed by #12")
    assert lines["#19"].endswith("not reported: suppressed by outage")


def _with(number: int, labels: dict[str, str]) -> Alert:
    made = alert(number, entity=(str(number), f"Queue {number}"))
    return replace(made, about=About(made.about.title, made.about.condition, labels=labels))


LABELLED = (_with(1, {"team": "Sales", "site": "hel"}), _with(2, {"team": "support"}), _with(3, {}))


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        pytest.param("label.team=sales", {1}, id="without regard to case"),
        pytest.param("label.team=s*", {1, 2}, id="a glob"),
        pytest.param("label.team=s* label.site=hel", {1}, id="all of them"),
        pytest.param("label.team=s* 2", {2}, id="and a name"),
        pytest.param("label.tea=sales", set(), id="a label that no alert has"),
        pytest.param("label.tea=*", set(), id="nor with any value"),
    ],
)
def test_alerts_by_label(text: str, ids: set[int]) -> None:
    shown = text_of(ask(view(alerts=LABELLED), f"alerts {text}"))
    assert {each.id for each in LABELLED if f"#{each.id} " in shown} == ids


def test_a_rule_in_shadow_says_what_it_would_have_reported() -> None:
    """How often, of whom most, and what would be open now; the list says that it is in shadow."""
    rules = RuleSet((replace(LONGEST_WAIT, shadow=True),), "1")
    fired = {"longest-wait": {"Sales EU": 12, "Sales US": 3}}
    seen = view(rules=rules, shadows=(alert(30),), shadow_fired=fired)
    assert "longest-wait | queue | critical or warning | in shadow, 1 would be" in text_of(ask(seen, "rules"))
    shown = text_of(ask(seen, "rules longest-wait")).splitlines()
    assert "In shadow: not reported. It would have fired 15 times in 7 days." in shown
    assert "Most often: Sales EU (12), Sales US (3)" in shown
    assert any("#30 critical" in each for each in shown)
    assert not [each for each in shown if each.startswith(("Reported in", "Open now"))]
    assert text_of(ask(seen, "alerts")).splitlines()[0] == "No open alert."


def test_no_hours_are_no_mistake() -> None:
    """Without a calendar the answer says where one is written."""
    reply = ask(view(rules=RuleSet()), "hours")
    assert "There are no opening hours." in text_of(reply)
    assert not reply.problem
