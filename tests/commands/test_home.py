"""The page of the Home tab: the answers of `status`, `alerts` and `silences` arranged, with what can be done."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from alertbot.alerts.alert import State
from alertbot.commands.answers import COMMANDS
from alertbot.commands.command import Line, Person, Reply, Table
from alertbot.commands.home import READS, Home, home
from alertbot.commands.view import ServiceView, View
from alertbot.commands.wording import MAX_ALERTS
from alertbot.evaluation.measure import Measure
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.hours import Calendar, Hours, TimeRange
from alertbot.rules.privacy import Agent, Names
from alertbot.rules.rule import Level, RuleSet
from tests.commands.kit import ANNA, LONGEST_WAIT, NOW, ON_BREAK, alert, ask, only, silence, tenant, text_of, view

RECOVERING = alert(
    19,
    entity=("105", "Support"),
    state=State.RECOVERING,
    recovering_since=NOW - timedelta(minutes=1),
    measure=Measure("", ValueType.DURATION, ">", 20_000.0, 120_000.0),
)
WARNING = alert(18, entity=("104", "Sales US"), level=Level.WARNING, for_=timedelta(hours=2))
TAKEN = alert(17, acked_by="U034BOB", acked_at=NOW)
PENDING = alert(20, entity=("106", "Nights"), state=State.PENDING)
FEED = alert(21, rule=replace(LONGEST_WAIT, id="feed-stale", scope=Scope.FEED), entity=("acme", "acme"))


def page(seen: View) -> Home:
    """The page from what the service reads for it: a need that is missing shows here."""
    return home(only(seen, READS), ANNA, NOW)


def lines(page: Home, heading: str) -> str:
    (section,) = [section for section in page.sections if section.heading == heading]
    return text_of(Reply(section.parts))


def test_alerts_stand_worst_first() -> None:
    """By level, those that recover last and apart; pending ones are counted, not listed."""
    made = page(view(alerts=[PENDING, RECOVERING, WARNING, TAKEN]))
    assert made.headline.text == "2 firing (1 critical, 1 warning), 1 recovering, 1 acknowledged. 1 pending."
    assert [entry.alert_id for entry in made.entries] == [17, 18, 19]
    assert [(entry.line.level, entry.line.recovering) for entry in made.entries] == [
        (Level.CRITICAL, False),
        (Level.WARNING, False),
        (Level.CRITICAL, True),
    ]
    assert [entry.owned for entry in made.entries] == [True, False, False]
    assert made.more == ()


def test_the_lines_are_those_of_the_answers() -> None:
    """What `alerts`, `status` and `silences` say, the page says in the same words."""
    seen = view(
        alerts=[TAKEN, WARNING, RECOVERING],
        silences=[silence(22, reason="new phones")],
        waiting=3,
        problems=("Slack refuses the bot token.",),
        service=ServiceView("vm, process 1", NOW - timedelta(minutes=9), running=False),
    )
    made = page(seen)
    sections = [line for heading in ("Data and delivery", "Silences") for line in lines(made, heading).splitlines()]
    shown = {*sections, *(text_of(Reply((line,))) for line in (made.headline, *(each.line for each in made.entries)))}
    for command in ("status", "alerts", "silences"):
        said = text_of(ask(seen, command)).splitlines()
        counted = ("2 firing", "Silences: 1 active")  # `alerts` begins with the number; the silences stand below
        assert [line for line in said if line not in shown and not line.startswith(counted)] == []
    assert "#22 until 10:30 UTC (1h30m left), by U034BOB: rule=longest-wait" in lines(made, "Silences")
    assert lines(made, "Data and delivery").startswith("[critical] alertbot is not running (last seen 08:51 UTC")


def test_texts_name_no_agent_where_names_are_hidden() -> None:
    """Notes, reasons, titles and problems, as in the answers."""
    hidden = Names([Agent("acme", "a1", "Anna Smith")], hidden=True)
    noted = alert(acked_by="U034BOB", acked_at=NOW, ack_note="Anna Smith has it")
    titled = alert(18, rule=replace(LONGEST_WAIT, title="The team of Anna Smith"))
    known = view(
        alerts=[noted, titled, alert(21, rule=ON_BREAK, entity=("a1", "Anna Smith"), shown_as="AS")],
        silences=[silence(22, reason="as Anna Smith asked")],
        problems=("Not delivered: Anna Smith",),
        names=hidden,
    )
    made = page(known)
    parts = [made.headline, *(entry.line for entry in made.entries), *made.more]
    parts += [part for section in made.sections for part in section.parts]
    shown = str(parts)
    assert "Anna" not in shown
    for said in ("AS has it", "The team of AS", "as AS asked", "Not delivered: AS"):
        assert said in shown
    assert any(isinstance(piece, Person) for piece in made.entries[0].line.pieces)


def test_nothing_fires() -> None:
    """The page says so, and still how old the data is: no alert from a bot without data is no good news."""
    made = page(view(tenant(good=timedelta(minutes=10), error="timeout")))
    assert (made.headline.text, made.entries) == ("Nothing is firing.", ())
    assert "[critical] STALE: last good poll 10m ago" in lines(made, "Data and delivery")
    assert lines(made, "Silences").startswith("No silences.")


def test_more_than_fit() -> None:
    """The worst are shown; how many more there are, and what lists them, is said."""
    many = [alert(number, entity=(str(number), f"Queue {number}")) for number in range(1, 61)]
    made = page(view(alerts=many))
    assert len(made.entries) == MAX_ALERTS == 20
    assert [part.text for part in made.more] == ["and 40 more; /alertbot alerts RULE or NAME narrows it down"]


def test_a_silence_cannot_match_an_alert_about_data() -> None:
    """So no Silence menu is shown for it."""
    made = page(view(alerts=[TAKEN, FEED]))
    assert {entry.alert_id: entry.silenceable for entry in made.entries} == {17: True, 21: False}


def test_until_close_of_business() -> None:
    """It is offered while the calendar of the rule is open, of the rules of the alert's own tenant."""
    office = Calendar("office", "UTC", ((TimeRange(480, 1080),),) * 7)
    rules = RuleSet((replace(LONGEST_WAIT, during=Hours(office)),), "1")
    made = page(view(alerts=[TAKEN, FEED], rules_of={"acme": rules}))
    assert {entry.alert_id: entry.closes for entry in made.entries} == {17: True, 21: False}
    assert not page(view(alerts=[TAKEN], rules_of={"other": rules})).entries[0].closes


def test_the_help_is_from_the_table_of_commands() -> None:
    """The subcommands that the manifest hints at, with the words of `help`."""
    (table, note) = page(view()).sections[-1].parts
    assert isinstance(table, Table)
    assert table.rows == tuple((row.hint, row.help) for row in COMMANDS if row.hint)
    assert isinstance(note, Line)
    assert note.text == "Type them after /alertbot, in any channel; /alertbot help lists all of them."
