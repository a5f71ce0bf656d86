"""The Silence menu of a card and its form: what is silenced, until when, and what is said where nothing can be."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alertbot.alerts.alert import Alert, Outcome
from alertbot.alerts.silence import Matcher, Silence
from alertbot.commands.answers import BUTTONS, answer, changed, press
from alertbot.commands.command import Asker, CreateSilence, Reply, Unacknowledge, UnacknowledgeCard
from alertbot.commands.parse import parse
from alertbot.commands.silence_menu import For, chosen
from alertbot.commands.view import View
from alertbot.rules.catalogue import Scope
from alertbot.rules.hours import Calendar, Hours, TimeRange
from alertbot.rules.match import same_name
from alertbot.rules.rule import RuleSet
from tests.commands.kit import (
    ANNA,
    GROUP_BREAK,
    LONGEST_WAIT,
    NOW,
    ON_BREAK,
    alert,
    ask,
    only,
    silence,
    tenant,
    text_of,
    view,
)

HOUR = timedelta(hours=1)
HELSINKI = "Europe/Helsinki"  # two hours ahead in March: it is 11:00 there


def calendar(name: str, *days: tuple[int, int]) -> Calendar:
    """Open every day at these hours (from, until), in Helsinki."""
    ranges = tuple(TimeRange(60 * begin, 60 * end) for begin, end in days)
    return Calendar(name, HELSINKI, (ranges,) * 7)


OFFICE, NIGHTS, ALWAYS = calendar("office", (8, 18)), calendar("nights", (22, 30)), calendar("always", (0, 24))
EIGHT_ON_TUESDAY = datetime(2026, 3, 3, 6, 0, tzinfo=UTC)  # in Helsinki
SIX = datetime(2026, 3, 2, 16, 0, tzinfo=UTC)  # when the office closes


def rules(*calendars: Calendar, during: Calendar | None = None) -> dict[str, RuleSet]:
    """By tenant: the rules, with these calendars."""
    rule = replace(LONGEST_WAIT, during=Hours(during) if during is not None else None)
    return {"acme": RuleSet((rule, ON_BREAK, GROUP_BREAK), "1", {each.name: each for each in calendars})}


def known(*alerts: Alert, **other: Any) -> View:
    """One open alert, #17, with office hours, read by someone in Helsinki."""
    values: dict[str, Any] = {"timezone": HELSINKI, "rules_of": rules(OFFICE)} | other
    return view(alerts=alerts or [alert()], **values)


def pressed(known: View, value: str, *typed: str, asker: Asker = ANNA, action: str = "silence") -> Reply:
    """The answer to an option, made from what its button reads. `typed`: into the form."""
    command = press(action, value)
    assert command is not None
    command = replace(command, args=(*command.args, *typed))
    return answer(only(known, command), command, asker, NOW)


def queue_agent() -> Alert:
    found = alert(rule=ON_BREAK, entity=("a1", "Anna Smith"))
    key = found.key._replace(scope=Scope.QUEUE_AGENT, parent_id="103")
    return replace(found, key=key, parent_name="Sales EU")


ABOUT = (("tenant", "acme"), ("rule", "longest-wait"), ("name", "Sales EU"))
IT = ("It matches 1 open alert: #17 Sales EU.",)
NO_OTHER = "It covers every alert of the rule longest-wait, including those that are not on this card."
THREE = tuple(
    alert(number, entity=(str(number), name)) for number, name in ((17, "Sales EU"), (18, "Sales US"), (19, "Support"))
)

WISHES: dict[str, tuple[View, str, tuple[str, ...], CreateSilence]] = {
    "an hour": (known(), "1h 17", (), CreateSilence(Matcher(ABOUT), NOW, NOW + HOUR, "", IT)),
    "until the only calendar closes": (known(), "close 17", (), CreateSilence(Matcher(ABOUT), NOW, SIX, "", IT)),
    "until the calendar of the rule closes": (
        known(rules_of=rules(OFFICE, NIGHTS, ALWAYS, during=OFFICE)),
        "close 17",
        (),
        CreateSilence(Matcher(ABOUT), NOW, SIX, "", IT),
    ),
    "until tomorrow where they are": (
        known(),
        "tomorrow 17",
        (),
        CreateSilence(Matcher(ABOUT), NOW, EIGHT_ON_TUESDAY, "", IT),
    ),
    "until tomorrow elsewhere": (
        known(timezone="America/New_York"),
        "tomorrow 17",
        (),
        CreateSilence(Matcher(ABOUT), NOW, EIGHT_ON_TUESDAY + 7 * HOUR, "", IT),
    ),
    "typed": (
        known(),
        "other 17",
        ("2h", " new\nphones "),
        CreateSilence(Matcher(ABOUT), NOW, NOW + 2 * HOUR, "new phones", IT),
    ),
    "typed, to begin later": (
        known(),
        "other 17",
        ("from 22:00 until 06:00", ""),
        CreateSilence(Matcher(ABOUT), SIX + 4 * HOUR, SIX + 12 * HOUR, "", IT),
    ),
    "typed with what a phone adds": (
        known(),
        "other 17",
        ("\u200buntil\u00a0tomorrow  8:00 ", ""),
        CreateSilence(Matcher(ABOUT), NOW, EIGHT_ON_TUESDAY, "", IT),
    ),
    "longer than a month": (
        known(),
        "other 17",
        ("40d long", ""),
        CreateSilence(Matcher(ABOUT), NOW, NOW + timedelta(days=40), "", IT),
    ),
    "a card of several": (
        known(*THREE, card=THREE),
        "1h card:4",
        (),
        CreateSilence(
            Matcher(ABOUT[:2]),
            NOW,
            NOW + HOUR,
            "",
            ("It matches 3 open alerts: #17 Sales EU, #18 Sales US, #19 Support.", NO_OTHER),
        ),
    ),
    "a card of several of which one is left": (
        known(THREE[2], card=THREE[2:]),
        "1h card:4",
        (),
        CreateSilence(Matcher(ABOUT[:2]), NOW, NOW + HOUR, "", ("It matches 1 open alert: #19 Support.", NO_OTHER)),
    ),
    "an agent of a queue": (
        known(queue_agent()),
        "1h 17",
        (),
        CreateSilence(
            Matcher((("tenant", "acme"), ("rule", "on-break"), ("name", "Anna Smith"))),
            NOW,
            NOW + HOUR,
            "",
            ("It matches 1 open alert: #17 Anna Smith (Sales EU).", "It covers Anna Smith in every queue."),
        ),
    ),
    "an entity without a name": (
        known(alert(entity=("103", ""))),
        "1h 17",
        (),
        CreateSilence(
            Matcher((*ABOUT[:2], ("name", "103"))), NOW, NOW + HOUR, "", ("It matches 1 open alert: #17 103.",)
        ),
    ),
    "a shorter silence of the same is active": (
        known(silences=(silence(terms=ABOUT, lasts=timedelta(minutes=40)),)),
        "1h 17",
        (),
        CreateSilence(Matcher(ABOUT), NOW, NOW + HOUR, "", IT),
    ),
}


@pytest.mark.parametrize(("known", "value", "typed", "wish"), WISHES.values(), ids=WISHES)
def test_wishes(known: View, value: str, typed: tuple[str, ...], wish: CreateSilence) -> None:
    """An option is a wish for `tenant= rule= name=`; times of day are those of the one who chose."""
    reply = pressed(known, value, *typed)
    assert (reply.wish, reply.problem) == (wish, False)


FEED = replace(alert(), key=alert().key._replace(scope=Scope.FEED))
ENDED = alert(ended_at=NOW - timedelta(minutes=3))
PROBLEMS: dict[str, tuple[View, str, tuple[str, ...], str]] = {
    "it ended meanwhile": (
        known(alert(99), ended=ENDED),
        "1h 17",
        (),
        "#17 has already ended, at 10:57 EET: nothing was silenced.\nTo silence such alerts: "
        '/alertbot silence tenant=acme rule=longest-wait name="Sales EU" 2h',
    ),
    "the form is submitted after its end": (
        known(alert(99), ended=ENDED),
        "other 17",
        ("2h", ""),
        "#17 has already ended, at 10:57 EET: nothing was silenced.\nTo silence such alerts: "
        '/alertbot silence tenant=acme rule=longest-wait name="Sales EU" 2h',
    ),
    "all of a card ended": (
        known(),
        "1h card:4",
        (),
        "All alerts on this card have already ended: nothing was silenced.",
    ),
    "there never was such an alert": (known(), "1h 99", (), "There is no alert #99."),
    "about the data itself": (
        known(FEED),
        "1h 17",
        (),
        "#17 is about the data from 8x8 itself: it cannot be silenced.",
    ),
    "the office has closed": (
        known(rules_of=rules(calendar("office", (8, 10)))),
        "close 17",
        (),
        "office is closed now: choose another time.",
    ),
    "it never closes": (
        known(rules_of=rules(ALWAYS)),
        "close 17",
        (),
        "always does not close within a day: choose another time.",
    ),
    "no calendar": (
        known(rules_of=rules()),
        "close 17",
        (),
        "No opening hours apply to this alert: choose another time.",
    ),
    "several calendars, none of the rule": (
        known(rules_of=rules(OFFICE, NIGHTS)),
        "close 17",
        (),
        "No opening hours apply to this alert: choose another time.",
    ),
    "a tenant that left": (
        known(rules_of={}),
        "close 17",
        (),
        "No opening hours apply to this alert: choose another time.",
    ),
    "nothing typed": (known(), "other 17", ("", ""), "For how long? Write something like 2h, "),
    "no time": (known(), "other 17", ("soon", ""), "“soon” is not a duration: write something like 2h, "),
    "a time that has passed": (
        known(),
        "other 17",
        ("until 8:00", ""),
        "08:00 has already passed (it is 11:00 EET): write until tomorrow 08:00.",
    ),
    "longer than a month by mistake": (known(), "other 17", ("40d", ""), "That is 40 days, more than 30: "),
    "a reason in the wrong field": (
        known(),
        "other 17",
        ("2h new phones", ""),
        "“new phones” is not part of a time: write the reason in the field below.",
    ),
    "a reason that is too long": (
        known(),
        "other 17",
        ("2h", "x" * 501),
        "The reason is too long: 500 characters at most.",
    ),
    "a name that is too long": (
        known(alert(entity=("103", "x" * 600))),
        "1h 17",
        (),
        "The name is too long for a silence: 500 characters at most.\n"
        "Type its beginning and a *: /alertbot silence tenant=acme rule=longest-wait name=… 2h",
    ),
}


@pytest.mark.parametrize(("known", "value", "typed", "says"), PROBLEMS.values(), ids=PROBLEMS)
def test_problems(known: View, value: str, typed: tuple[str, ...], says: str) -> None:
    """Where nothing can be silenced the answer says why, and what to do; nothing is changed."""
    reply = pressed(known, value, *typed)
    assert reply.wish is None
    assert reply.problem
    assert text_of(reply).startswith(says)


def test_the_form_does_not_ask_for_quotes() -> None:
    """Only a time is typed there; a command says so, since the word may be part of a name."""
    about = "not a duration: write something like 2h, until 18:00, until tomorrow 8:00, from 22:00 until 06:00 or from"
    typed = "“a” is " + about + " tomorrow 8:00 for 2h."
    assert text_of(pressed(known(), "other 17", "for a while", "")) == typed
    command = text_of(ask(known(), "silence name=Sales EU 1h"))
    assert command.startswith("“EU” is " + about + " tomorrow 8:00 for 2h. Names with spaces need quotes.")


def test_a_silence_that_lasts_long_enough_is_not_made_again() -> None:
    """Chosen twice, or by two: the second learns that it is silenced, by whom, and until when."""
    reply = pressed(known(silences=(silence(terms=ABOUT),)), "1h 17")
    assert (reply.wish, reply.problem) == (None, False)
    assert text_of(reply) == (
        "Already silenced: #18 until 12:30 EET (1h30m left), by U034BOB: "
        'tenant=acme rule=longest-wait name="Sales EU"\n'
        "silence 18 1h extends it by an hour, unsilence 18 ends it."
    )


@pytest.mark.parametrize(("seconds", "made"), [(20, False), (59, False), (60, True), (600, True)])
def test_an_hour_chosen_twice_is_one_silence(seconds: int, made: bool) -> None:
    """The second choice comes later, so its hour ends later: that counts from a minute on."""
    first = silence(terms=ABOUT, starts=-timedelta(seconds=seconds), lasts=HOUR)
    reply = pressed(known(silences=(first,)), "1h 17")
    assert (reply.wish is not None) is made
    assert made or text_of(reply).startswith("Already silenced: #18 until ")


HOSTILE = {
    "a star": "Sales *",
    "stars alone": "***",
    "a star of full width": "VIP＊",
    "question marks": "Who??",
    "brackets": "[Sales] {EU}",
    "double quotes": 'The "A" team',
    "smart quotes": "The “A” team",
    "an apostrophe": "'O'Brien's",
    "a term": "name=x rule=y",
    "a flag": "Sales public",
    "a mention": "<!channel> @here",
    "a backslash": "a\\*b",
    "a line end": "Sales\nEU",
    "no-break spaces": "Sales\u00a0EU",
    "an accent that combines": "Zu\u0308rich",
}
OTHERS = ("Sales EU", "Sales US", "VIP gold", "Support", "The B team", "x", "Zürich West")


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names(name: str) -> None:
    """The silence matches that entity and no other, and so does what its text says, typed as a command."""
    mine = alert(entity=("103", name))
    wish = pressed(known(mine), "1h 17").wish
    assert isinstance(wish, CreateSilence)
    others = [alert(entity=(str(number), each)) for number, each in enumerate(OTHERS) if not same_name(each, name)]
    again = ask(known(mine), f"silence {wish.matcher} 1h").wish
    assert isinstance(again, CreateSilence)
    for matcher in (wish.matcher, again.matcher):
        assert matcher.matches(mine)
        assert not any(matcher.matches(other) for other in others)


FORMS = {
    "one": (known(), "other 17", 'Longest wait in queue: Sales EU\ntenant=acme rule=longest-wait name="Sales EU"'),
    "several tenants": (
        replace(known(), tenants=(tenant("acme"), tenant("beta"))),
        "other 17",
        'Longest wait in queue of acme: Sales EU\ntenant=acme rule=longest-wait name="Sales EU"',
    ),
    "a card of several": (
        known(*THREE, card=THREE),
        "other card:4",
        f"Longest wait in queue: 3 alerts on this card\n{NO_OTHER}\ntenant=acme rule=longest-wait",
    ),
    "an agent of a queue": (
        known(queue_agent()),
        "other 17",
        "On break too long: Anna Smith\nIt covers Anna Smith in every queue.\n"
        'tenant=acme rule=on-break name="Anna Smith"',
    ),
}


@pytest.mark.parametrize(("known", "value", "says"), FORMS.values(), ids=FORMS)
def test_what_the_form_says(known: View, value: str, says: str) -> None:
    """Before a time was typed: what would be silenced, in words and as terms."""
    reply = pressed(known, value)
    assert (text_of(reply), reply.wish, reply.problem) == (says, None, False)


@pytest.mark.parametrize(
    "value",
    ["", "1h", "1h ", "2h 17", "1H 17", "close", "17", "17 1h", "1h 17 18", "1h card:0", "1h -1", "other x", "1h  17"],
)
def test_options_that_do_not_exist(value: str) -> None:
    """Made up, or of a message that another version drew: they stand for nothing."""
    assert chosen(value) == ()
    assert press("silence", value) is None
    button = BUTTONS["silence"].button
    assert button is not None
    assert text_of(button.wrong("/alertbot")) == (
        "This menu option does not exist: choose another one.\nOr type it: /alertbot help silence shows how."
    )


def test_values_that_are_in_slack_stay_what_they_are() -> None:
    """Cards in Slack keep their options: these are a contract."""
    assert [str(each) for each in For] == ["1h", "close", "tomorrow", "other"]
    assert [each.label for each in For] == ["1 hour", "until close of business", "until tomorrow 8:00", "other …"]
    assert chosen("close 17") == ("17", "close")
    assert chosen("other card:5") == ("card:5", "other")


@pytest.mark.parametrize(("action", "value"), [("silence", "1h 17"), ("silence", "other 17"), ("give_back", "17")])
def test_who_may_not_change(action: str, value: str) -> None:
    """Permissions are those of the subcommand."""
    reply = pressed(known(), value, action=action, asker=Asker("U9", may_change=False))
    assert reply.wish is None
    assert "slack.may_change" in text_of(reply)


def test_give_back_is_for_the_owner() -> None:
    """The button wishes for the asker's own acknowledgement; typed, `unack` is for any."""
    assert pressed(known(), "17", action="give_back").wish == Unacknowledge(17, own=True)
    assert pressed(known(), "card:4", action="give_back").wish == UnacknowledgeCard(4)
    assert ask(known(), "unack 17").wish == Unacknowledge(17)


def test_a_typed_id_still_extends() -> None:
    """`silence 17 1h` is about silence 17, whatever the menu's values look like."""
    assert "#17 is an alert, not a silence." in text_of(ask(known(), "silence 17 1h"))
    assert parse("silence 17 1h").pressed is False


def test_the_hint_names_exactly_that_entity() -> None:
    """A name with a star in it is proposed so that it matches no other."""
    assert 'name="Sales ?" 2h' in text_of(ask(known(alert(entity=("103", "Sales *"))), "silence 17 1h"))


def test_the_answer_says_what_was_made() -> None:
    """Until when in the reader's zone, what it matches, what else it covers, and how to end it."""
    wish = pressed(known(*THREE, card=THREE), "close card:4").wish
    assert isinstance(wish, CreateSilence)
    made = Silence(20, wish.matcher, wish.starts_at, wish.ends_at, ANNA.user, wish.reason, NOW)
    assert text_of(changed(wish, Outcome.DONE, made, ANNA, NOW, HELSINKI)) == (
        "Silence #20 until 18:00 EET (7h left), by U012ANNA: tenant=acme rule=longest-wait\n"
        "It matches 3 open alerts: #17 Sales EU, #18 Sales US, #19 Support.\n"
        f"{NO_OTHER}\n"
        "silence 20 1h extends it by an hour, unsilence 20 ends it."
    )


HOURS = {
    "of the rule": (rules(OFFICE, NIGHTS, during=NIGHTS)["acme"], "longest-wait", NIGHTS),
    "the only one": (rules(OFFICE)["acme"], "longest-wait", OFFICE),
    "the only one, of a rule that was removed": (rules(OFFICE)["acme"], "gone", OFFICE),
    "several": (rules(OFFICE, NIGHTS)["acme"], "longest-wait", None),
    "none": (rules()["acme"], "longest-wait", None),
}


@pytest.mark.parametrize(("of", "rule", "expected"), HOURS.values(), ids=HOURS)
def test_whose_close_of_business(of: RuleSet, rule: str, expected: Calendar | None) -> None:
    """The calendar of the rule's `during`, or the only one there is."""
    assert of.business_hours(rule) == expected
    assert of.closes_at(rule, NOW) == (SIX if expected is OFFICE else None)
