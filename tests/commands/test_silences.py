"""`silence`, `silences`, `unsilence`: the wish, and the answer, whatever is typed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from alertbot.alerts.alert import Mute, MuteKind, Outcome
from alertbot.alerts.silence import Matcher, Silence
from alertbot.commands.answers import changed
from alertbot.commands.command import Asker, CreateSilence, EndSilence, ExtendSilence, Person, SilenceWish
from alertbot.commands.view import View
from alertbot.rules.privacy import Agent, Names
from alertbot.rules.rule import RuleSet
from tests.commands.kit import ANNA, LONGEST_WAIT, NOW, ON_BREAK, RULES, alert, ask, silence, tenant, text_of, view

HOUR = timedelta(hours=1)
LABELLED = RuleSet((replace(LONGEST_WAIT, labels={"team": "sales"}), ON_BREAK, *RULES.rules[2:]), "1")


def known(**other: object) -> View:
    """One open alert, #17, and one silence, #18, that Bob made half an hour ago for two hours."""
    values: dict[str, object] = {"alerts": [alert()], "silences": (silence(),), "rules": LABELLED} | other
    return view(**values)  # type: ignore[arg-type]


WISHES: dict[str, tuple[str, SilenceWish]] = {
    "a rule": (
        "silence rule=longest-wait 2h",
        CreateSilence(
            Matcher((("rule", "longest-wait"),)), NOW, NOW + 2 * HOUR, "", ("It matches 1 open alert: #17 Sales EU.",)
        ),
    ),
    "with a reason": (
        'silence name="Sales EU" level=critical 1h new phones',
        CreateSilence(
            Matcher((("name", "Sales EU"), ("level", "critical"))),
            NOW,
            NOW + HOUR,
            "new phones",
            ("It matches 1 open alert: #17 Sales EU.",),
        ),
    ),
    "nothing open": (
        "silence name=Support 1h",
        CreateSilence(Matcher((("name", "Support"),)), NOW, NOW + HOUR, "", ("It matches no open alert now.",)),
    ),
    "a name that is not known": (
        "silence name=Sails* 1h",
        CreateSilence(
            Matcher((("name", "Sails*"),)),
            NOW,
            NOW + HOUR,
            "",
            (
                "It matches no open alert now.",
                "No queue, group or agent with a name like “Sails*” is known. Did you mean “Sales EU”?",
            ),
        ),
    ),
    "a name that is known in another scope": (
        'silence rule=on-break name="Sales EU" 1h',
        CreateSilence(
            Matcher((("rule", "on-break"), ("name", "Sales EU"))),
            NOW,
            NOW + HOUR,
            "",
            ("It matches no open alert now.", "No agent with a name like “Sales EU” is known."),
        ),
    ),
    "a label": (
        "silence label.team=SALES until tomorrow 8:00",
        CreateSilence(
            Matcher((("label.team", "SALES"),)), NOW, NOW + 23 * HOUR, "", ("It matches no open alert now.",)
        ),
    ),
    "extended": ("silence #18 1h", ExtendSilence(18, NOW + timedelta(hours=2, minutes=30))),
    "extended until": ("silence 18 until 12:00", ExtendSilence(18, NOW + 3 * HOUR)),
    "ended": ("unsilence #18", EndSilence(18)),
    "perhaps ended long ago": ("unsilence 5", EndSilence(5)),
}


@pytest.mark.parametrize(("text", "wish"), WISHES.values(), ids=WISHES)
def test_wishes(text: str, wish: SilenceWish) -> None:
    """What is typed becomes a wish; the store decides it. Times of day are those of the asker."""
    reply = ask(known(timezone="UTC"), text)
    assert (reply.wish, reply.problem) == (wish, False)


PROBLEMS = {
    "nothing": ("silence", "Which alerts? /alertbot silence MATCH FOR [why]"),
    "no terms": ("silence 2h", "Which alerts? /alertbot silence MATCH FOR [why]"),
    "a rule without a term": ("silence longest-wait 2h", "“longest-wait” is not a term: write rule=longest-wait."),
    "an unknown term": ("silence queue=Sales 2h", "There is no term “queue”: "),
    "a misspelt term": ("silence nmae=Sales 2h", "There is no term “nmae”: did you mean name=?"),
    "an unknown rule": (
        "silence rule=longest-weight 2h",
        "There is no rule “longest-weight”: did you mean rule=longest-wait?",
    ),
    "a title": ('silence rule="Longest wait in queue" 2h', "did you mean rule=longest-wait?"),
    "a rule like nothing": ("silence rule=zzz 2h", "There is no rule “zzz”: /alertbot rules lists them."),
    "an unknown tenant": ("silence tenant=acne 2h", "There is no tenant “acne”: did you mean tenant=acme?"),
    "a tenant like nothing": ("silence tenant=zzz 2h", "There is no tenant “zzz”: the only one is acme."),
    "an unknown level": ("silence level=waning 2h", "There is no level “waning”: did you mean level=warning?"),
    "an unknown scope": ("silence scope=queues 2h", "There is no scope “queues”: did you mean scope=queue?"),
    "the feed": ("silence scope=feed 2h", "There is no scope “feed”"),
    "an unknown label": ("silence label.tean=sales 2h", "No rule has the label “tean”: did you mean label.team=?"),
    "an unknown value": (
        "silence label.team=zzz 2h",
        "No rule has the label team with the value “zzz”: its values are sales.",
    ),
    "terms that exclude each other": (
        "silence rule=longest-wait scope=agent 2h",
        "No rule matches all of rule=longest-wait scope=agent",
    ),
    "two levels": (
        "silence level=warning level=critical 2h",
        "No alert has level=warning and level=critical: write one of them.",
    ),
    "everything": ("silence all 2h", "“all” is not a term: write name=* for every alert."),
    "a star": ("silence * 2h", "“*” is not a term: write name=* for every alert."),
    "terms too long": (f"silence name={'x' * 500} 2h", "The terms are too long: 500 characters at most."),
    "too many terms": (f"silence {'name=a ' * 100} 2h", "The terms are too long: 500 characters at most."),
    "no time": ("silence rule=longest-wait", "For how long? Write something like 2h"),
    "no unit": ("silence rule=longest-wait 2", "“2” has no unit: write 2h for hours, or 2m for minutes."),
    "a name without quotes": ("silence name=Sales EU 2h", "Names with spaces need quotes."),
    "past": (
        "silence rule=longest-wait until 8:00",
        "08:00 has already passed (it is 09:00 UTC): write until tomorrow 08:00.",
    ),
    "too long": ("silence rule=longest-wait 60d", "That is 60 days, more than 30: if you mean it, append long."),
    "a reason too long": (
        f"silence rule=longest-wait 1h {'x' * 501}",
        "The reason is too long: 500 characters at most.",
    ),
    "an alert": (
        "silence 17 2h",
        "#17 is an alert, not a silence.\nTo silence such alerts: "
        '/alertbot silence tenant=acme rule=longest-wait name="Sales EU" 2h',
    ),
    "no such silence": ("silence 99 2h", "There is no silence #99, or it has ended."),
    "a silence, without a time": ("silence 18", "For how much longer?"),
    "a silence, earlier": ("silence 18 until 10:00", "It already lasts until 10:30 UTC"),
    "a silence, with a reason": ("silence 18 1h more", "The reason of a silence cannot be changed: leave out “more”."),
    "which one": ("unsilence", "Which silence? /alertbot unsilence ID\nSilences: #18."),
    "no id": ("unsilence all", "“all” is not the id of a silence: write it as 17 or #17."),
    "two ids": ("unsilence 18 19", "One silence at a time: /alertbot unsilence 18"),
    "an alert's id": ("unsilence 17", "#17 is an alert, not a silence."),
    "an argument": ("silences all", "/alertbot silences takes no arguments."),
}


@pytest.mark.parametrize(("text", "says"), PROBLEMS.values(), ids=PROBLEMS)
def test_problems(text: str, says: str) -> None:
    """One clear sentence with what to write, and no wish: nothing is changed."""
    reply = ask(known(timezone="UTC"), text)
    assert says in text_of(reply)
    assert (reply.wish, reply.problem) == (None, True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("silence 17 2h", "/alertbot silence tenant=acme rule=on-break name=M 2h"),
        ("silence rule=on-break scope=queue name=M 2h", "No rule matches all of rule=on-break scope=queue name=M:"),
    ],
    ids=["how to silence an alert", "what matches nothing"],
)
def test_terms_that_are_proposed_have_initials(text: str, says: str) -> None:
    """A name of one word is found in no text, so terms are shown with it hidden from the start."""
    hidden = Names([Agent("acme", "a1", "Madonna")], hidden=True)
    reply = ask(view(alerts=[alert(rule=ON_BREAK, entity=("a1", "Madonna"))], names=hidden), text)
    assert says in text_of(reply)
    assert "Madonna" not in text_of(reply)


def test_those_who_may_not_change_anything_may_read() -> None:
    guest = Asker("U099", may_change=False)
    for text in ("silence rule=longest-wait 2h", "silence 18 1h", "unsilence 18"):
        assert ask(known(), text, guest).wish is None
        assert text_of(ask(known(), text, guest)).startswith("You are not allowed to change alerts from here.")
    assert text_of(ask(known(), "silences", guest)).startswith("#18")


def test_the_list() -> None:
    """Time left, author and what it matches now; what is active first, by its end."""
    later = silence(19, (("name", "Support*"),), starts=HOUR, lasts=8 * HOUR, author="anna", reason="move")
    shown = ask(known(silences=(later, silence())), "silences")
    assert text_of(shown) == (
        "#18 until 10:30 UTC (1h30m left), by U034BOB: rule=longest-wait\n"
        "    It matches 1 open alert: #17 Sales EU.\n"
        "#19 from 10:00 UTC until 18:00 UTC (starts in 1h), by anna: name=Support*\n"
        "    move. It matches no open alert now."
    )
    assert Person("U034BOB") in shown.parts[0].pieces  # type: ignore[union-attr]
    assert text_of(ask(known(silences=()), "silences")).startswith("No silences.")


MINE = silence(18, author="U012ANNA", starts=timedelta(0))
REPLIES: dict[str, tuple[SilenceWish, Outcome, Silence | None, str, bool]] = {
    "made": (
        CreateSilence(MINE.matcher, NOW, MINE.ends_at, remarks=("It matches no open alert now.",)),
        Outcome.DONE,
        MINE,
        "Silence #18 until 11:00 UTC (2h left), by U012ANNA: rule=longest-wait\n"
        "It matches no open alert now.\n"
        "silence 18 1h extends it by an hour, unsilence 18 ends it.",
        False,
    ),
    "extended": (
        ExtendSilence(18, MINE.ends_at),
        Outcome.DONE,
        replace(MINE, author="U034BOB"),
        "Silence #18 until 11:00 UTC (2h left), by U034BOB: rule=longest-wait\nExtended by U012ANNA.",
        False,
    ),
    "extended twice": (
        ExtendSilence(18, MINE.ends_at),
        Outcome.ALREADY,
        MINE,
        "Silence #18 already lasts until 11:00 UTC: it may have just been extended.",
        True,
    ),
    "ended": (
        EndSilence(18),
        Outcome.DONE,
        MINE,
        "Silence #18 ended by U012ANNA: rule=longest-wait\nAlerts that still fire are reported with the next poll.",
        False,
    ),
    "another was first": (
        EndSilence(18),
        Outcome.ENDED,
        replace(MINE, ended_at=NOW - timedelta(minutes=5), ended_by="U034BOB"),
        "Silence #18 was already ended at 08:55 UTC by U034BOB.",
        True,
    ),
    "time was first": (
        ExtendSilence(18, NOW + HOUR),
        Outcome.ENDED,
        replace(MINE, ended_at=NOW),
        "Silence #18 already ended at 09:00 UTC.",
        True,
    ),
    "time was first, announced later": (
        EndSilence(18),
        Outcome.ENDED,
        replace(MINE, ends_at=NOW - timedelta(minutes=5), ended_at=NOW),
        "Silence #18 already ended at 08:55 UTC.",
        True,
    ),
    "unknown": (EndSilence(18), Outcome.UNKNOWN_ID, None, "There is no silence #18.", True),
}


@pytest.mark.parametrize(("wish", "result", "found", "says", "problem"), REPLIES.values(), ids=REPLIES)
def test_replies(wish: SilenceWish, result: Outcome, found: Silence | None, says: str, problem: bool) -> None:
    """Each decision of the store has its sentence, with who and when."""
    reply = changed(wish, result, found, ANNA, NOW, "UTC")
    assert (text_of(reply), reply.problem) == (says, problem)


def test_other_answers_show_silences() -> None:
    """`status` and `alerts` count them, lines of alerts name theirs, and so do `why` and `rules ID`."""
    muted = alert(muted=Mute(MuteKind.SILENCED, 18, NOW))
    seen = known(alerts=[muted], silences=(silence(reason="move"), silence(19, starts=HOUR)))
    total = "Silences: 1 active, 1 scheduled; 1 open alert is silenced. /alertbot silences lists them."
    of_alert = "not reported: silenced by #18 until 10:30 UTC"
    for text in ("status", "alerts"):
        assert total in text_of(ask(seen, text))
        assert of_alert in text_of(ask(seen, text))
    assert "silenced by #18" in text_of(ask(seen, "queue Sales EU"))
    why = text_of(ask(seen, "why longest-wait Sales EU"))
    assert "Silenced: #18 until 10:30 UTC (1h30m left), by U034BOB: rule=longest-wait (move). It is tracked, not" in why
    assert "A silence matches it: #19 from 10:00 UTC until 12:00 UTC (starts in 1h)" in why
    assert "A silence matches it: #18" in text_of(ask(replace(seen, alerts=()), "why longest-wait Sales US"))
    assert "Silence #18 until 10:30 UTC (1h30m left), by U034BOB" in text_of(ask(seen, "rules longest-wait"))
    assert "ilence" not in text_of(ask(seen, "rules on-break"))
    assert "ilence" not in text_of(ask(known(silences=()), "status"))


def test_several_tenants() -> None:
    """A tenant is one that is configured, and what matches is named with its tenant."""
    two = known(alerts=[alert(tenant="beta")])
    two = replace(two, tenants=(tenant("acme"), tenant("beta")))
    assert ask(two, "silence tenant=beta 1h").wish == CreateSilence(
        Matcher((("tenant", "beta"),)), NOW, NOW + HOUR, "", ("It matches 1 open alert: #17 beta: Sales EU.",)
    )
    assert "It matches no open alert now." in ask(two, "silence tenant=acme 1h").wish.remarks  # type: ignore[union-attr]


def test_the_help_has_the_terms_and_the_times() -> None:
    shown = text_of(ask(view(), "help silence"))
    assert shown.splitlines()[0] == "/alertbot silence MATCH FOR [why]"
    for words in ("label.KEY=", "from 22:00 until 06:00", "append long"):
        assert words in shown


def test_an_answer_about_a_rule_names_few_of_many_silences() -> None:
    seen = known(silences=tuple(silence(id) for id in range(18, 30)))
    for text in ("rules longest-wait", 'why longest-wait "Sales EU"'):
        answer = text_of(ask(seen, text))
        assert "#22 until" in answer
        assert "#23" not in answer
        assert "And 7 more silences: /alertbot silences lists them." in answer


@pytest.mark.parametrize("text", ["ack 18", "unack #18", "resolve 18 done"])
def test_the_id_of_a_silence_is_not_one_of_an_alert(text: str) -> None:
    """Alerts and silences share their ids: the answer says which of them it is."""
    answer = ask(known(silences=(silence(18),)), text)
    assert text_of(answer).startswith("#18 is a silence: /alertbot unsilence 18 ends it.")
    assert answer.wish is None


@pytest.mark.parametrize("text", ["ack 17 18", "resolve 17 #18"])
def test_one_alert_at_a_time(text: str) -> None:
    """A second id would become the note, and that alert would not be changed."""
    answer = ask(known(alerts=[alert()], silences=()), text)
    assert text_of(answer).startswith(f"One id at a time: /alertbot {text.split()[0]} 17")
    assert answer.wish is None
