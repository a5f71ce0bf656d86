"""Cards and lines about several alerts: whole messages, within Slack's limits, with templates old and new."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from alertbot.alerts.alert import Alert, Reason, State
from alertbot.alerts.cards import Posted
from alertbot.notify.console import ConsoleNotifier
from alertbot.notify.notifier import CardContent, LineContent
from alertbot.notify.pens import PlainPen, size
from alertbot.notify.render import DrawnCard, Templates, check_template
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level
from alertbot.slack.cards import SlackMessage, card_message, line_message, plain_card_message, plain_line_message
from alertbot.slack.text import FallbackPen, MrkdwnPen
from tests.golden import check_golden
from tests.notify.cases import FIRING, NASTY, NOW, ZONE, notice
from tests.slack.slack_server import problem_of

TEMPLATES = Templates()
TEAM = ("<!subteam^S0123>",)
MARKUP = "<&*_`@here>"


def storm(count: int, name: str = "Queue {}", **more: Any) -> list[Alert]:
    """Alerts of one rule: waits of 1m to 4m 19s, those above two minutes critical."""
    found = []
    for number in range(count):
        value = 60_000.0 + number * 37 % 200 * 1000
        level, limit = (Level.CRITICAL, 120_000.0) if value > 120_000 else (Level.WARNING, 60_000.0)
        assert FIRING.measure is not None
        alert = replace(
            FIRING,
            id=17 + number,
            key=FIRING.key._replace(entity_id=str(number)),
            entity_name=name.format(number),
            measure=replace(FIRING.measure, value=value, threshold=limit),
            level=level,
            highest=level,
            peak=value,
            fired_at=NOW - timedelta(minutes=5 + number % 3),
        )
        found.append(replace(alert, **more))
    return found


def ended(alerts: list[Alert]) -> list[Alert]:
    return [
        replace(alert, state=State.INACTIVE, ended_at=NOW + timedelta(minutes=number), end_reason=Reason.RESOLVED)
        for number, alert in enumerate(alerts)
    ]


def mixed() -> list[Alert]:
    """Firing, with an owner, recovering and ended."""
    alerts = storm(6)
    alerts[2] = replace(alerts[2], acked_by="U0ALICE00", acked_at=NOW)
    alerts[3] = replace(alerts[3], state=State.RECOVERING, recovering_since=NOW)
    alerts[4:] = ended(alerts[4:])
    return alerts


def of_agents(parents: list[str]) -> list[Alert]:
    alerts = storm(len(parents), "Agent {}")
    return [
        replace(alert, key=alert.key._replace(scope=Scope.QUEUE_AGENT, parent_id=parent), parent_name=parent)
        for alert, parent in zip(alerts, parents, strict=True)
    ]


def content(alerts: list[Alert], **more: Any) -> CardContent:
    return CardContent(tuple(alerts), NOW, timezone=ZONE, **{"card_id": 4} | more)


def line(alerts: list[Alert], reason: Reason = Reason.FIRED, **more: Any) -> LineContent:
    return LineContent(notice(reason, alert=alerts[0], **more), alerts[0], ZONE, others=tuple(alerts[1:]), shared=True)


CARDS = {
    "one-of-a-group": storm(1),
    "three": storm(3),
    "twenty": storm(20),
    "five-hundred": storm(500),
    "mixed": mixed(),
    "all-owned": storm(3, acked_by="U0ALICE00", acked_at=NOW, ack_note="on it"),
    "last-of-three": [*ended(storm(2)), storm(3)[2]],
    "resolved": ended(storm(12)),
    "agents-of-a-queue": of_agents(["Sales EU"] * 3),
    "agents-of-queues": of_agents(["Sales EU", "Support", "Support"]),
    "nasty": storm(3, NASTY + " {}"),
}
LINES = {
    "fired": line(storm(3), mention=TEAM),
    "fired-one": line(storm(1)),
    "fired-many": line(storm(165)),
    "level-up": line(storm(5)[4:] + storm(3)[2:], Reason.LEVEL_UP),
    "resolved": line(ended(storm(3)), Reason.RESOLVED),
    "resolved-one": line(ended(storm(1)), Reason.RESOLVED, text="10s is no longer above 1m"),
    "gone": line(ended(storm(2)), Reason.NO_LONGER_REPORTED),
    "acknowledged": line(storm(3), Reason.ACKNOWLEDGED, by="U0ALICE00", text="on it"),
    "reminder": line(storm(3), Reason.REMINDER),
    "nasty": line(storm(3, NASTY + " {}")),
}


def drawn(alerts: list[Alert], templates: Templates = TEMPLATES, **more: Any) -> DrawnCard:
    return templates.card(content(alerts, **more), MrkdwnPen(), FallbackPen())


def slack_line(about: LineContent) -> SlackMessage:
    return line_message(TEMPLATES.line(about, MrkdwnPen(), FallbackPen()))


def arguments(message: SlackMessage) -> dict[str, Any]:
    return {"text": message.text, "blocks": list(message.blocks), "attachments": list(message.attachments)}


def written(message: SlackMessage) -> str:
    return json.dumps(arguments(message), indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("name", CARDS)
def test_card_in_slack(name: str) -> None:
    """The whole message of each kind of card of several."""
    check_golden(f"slack/shared-card-{name}.json", written(card_message(drawn(CARDS[name], mention=TEAM))))


@pytest.mark.parametrize("name", LINES)
def test_line_in_slack(name: str) -> None:
    """The whole message of each kind of line on a card that alerts share."""
    check_golden(f"slack/shared-line-{name}.json", written(slack_line(LINES[name])))


def test_in_a_terminal() -> None:
    """The same cards and lines, drawn for a terminal."""
    output = io.StringIO()
    console = Console(file=output, width=100, force_terminal=False, legacy_windows=False)
    notifier = ConsoleNotifier(console)
    for name, alerts in CARDS.items():
        console.print(f"{name}:", markup=False)
        notifier.post_card(content(alerts), channel="#cc-alerts", notice_id=name)
    for name, about in LINES.items():
        notifier.post_line(about, Posted("#cc-alerts", "1.0"), notice_id=f"line {name}", broadcast=False)
    notifier.edit_card(content(storm(3)), Posted("#cc-alerts", "2.0"))
    check_golden("console/shared-cards.txt", output.getvalue())


@pytest.mark.parametrize("count", [1, 20, 500])
@pytest.mark.parametrize("name", ["Q{:0>99}", MARKUP * 9 + "{}", "🐢" * 97 + "{}"], ids=["long", "markup", "emoji"])
def test_within_the_limits_of_slack(count: int, name: str) -> None:
    """Cards and lines with names of a hundred characters are accepted, as drawn and as plain text."""
    alerts = storm(count, name)
    about = replace(alerts[0].about, title="A title that goes on and on " * 20, labels={"x": "y" * 400})
    for members in (alerts, ended(alerts), [replace(alert, about=about) for alert in alerts]):
        card = drawn(members, mention=TEAM * 30)
        for message in (card_message(card), plain_card_message(card)):
            assert problem_of(arguments(message)) == ""
            assert size(message.text) < 4000
    for about_many in (line(alerts[:165], mention=TEAM * 30), line(ended(alerts[:165]), Reason.RESOLVED)):
        text = TEMPLATES.line(about_many, MrkdwnPen(), FallbackPen())
        for message in (line_message(text), plain_line_message(text)):
            assert problem_of(arguments(message)) == ""
            assert size(message.text) < 4000


def test_every_name_is_in_the_line() -> None:
    """165 names of a hundred characters are cut evenly: each of them is there."""
    message = slack_line(line(storm(165, "{:0>3}" + "x" * 97)))
    text = "".join(block["text"]["text"] for block in message.blocks)
    assert [number for number in range(165) if f"{number:0>3}xxxxxxxxxxxx" not in text] == []


def test_no_name_mentions_anyone() -> None:
    """Whatever a queue is called, on the card, in its line and in the notification."""
    alerts = storm(3, "<!channel> @here *{}*")
    for message in (card_message(drawn(alerts)), slack_line(line(alerts))):
        assert "<!channel>" not in json.dumps(arguments(message)["blocks"][1:], ensure_ascii=False) + message.text


def test_an_old_template_knows_one_alert(tmp_path: Path) -> None:
    """Its title and body say how many there are, and the list is added; a line of the thread is the built-in one."""
    (tmp_path / "mine.j2").write_text(
        '{% extends "alert.j2" %}\n'
        "{% block title %}{{ card.headline }} at {{ card.where }}{% endblock %}\n"
        "{% block body %}{{ card.where }}: {{ card.value }} {{ card.comparison }}, {{ card.owner }}{% endblock %}\n"
        "{% block thread %}{{ card.where }} {{ line.value }}{% endblock %}\n",
        encoding="utf-8",
    )
    mine = Templates([tmp_path])
    check_template("mine", [tmp_path])
    alerts = [replace(alert, about=replace(alert.about, template="mine")) for alert in storm(3)]
    card = drawn(alerts, mine)
    assert card.fault is None
    assert (card.title, card.body) == ("Critical at 3 queues", ("3 queues: 2m 14s above 2m,",))
    assert len(card.rows) == 3
    text = mine.line(line(alerts), PlainPen())
    assert text.text.endswith("3 queues: 1 critical, 2 warning:")
    assert text.names == ("Queue 2 (2m 14s)", "Queue 1 (1m 37s)", "Queue 0 (1m)")


def test_a_template_in_place_of_the_built_in_one(tmp_path: Path) -> None:
    """One that replaces alert.j2 and has no part for members, or for their lines: the built-in parts are used."""
    (tmp_path / "alert.j2").write_text("{% if part == 'title' %}Mine{% endif %}", encoding="utf-8")
    mine = Templates([tmp_path])
    card = drawn(storm(3), mine)
    assert (card.title, len(card.rows), card.fault) == ("Mine", 3, None)
    assert "3 queues: " in mine.line(line(storm(3)), PlainPen()).text


def test_a_template_can_write_the_list(tmp_path: Path) -> None:
    """The block `members`, with one alert per line; a fault in it is found by `check`."""
    (tmp_path / "mine.j2").write_text(
        '{% extends "alert.j2" %}\n'
        "{% block members %}{% for member in card.members %}{{ member.id }} {{ member.name }}\n{% endfor %}"
        "{{ card.more }} more{% endblock %}\n",
        encoding="utf-8",
    )
    alerts = [replace(alert, about=replace(alert.about, template="mine")) for alert in storm(25)]
    rows = drawn(alerts, Templates([tmp_path])).rows
    assert (rows[0], rows[-1], len(rows)) == ("#33 Queue 16", "5 more", 21)
    (tmp_path / "broken.j2").write_text(
        '{% extends "alert.j2" %}\n{% block members %}{{ card.members[0].nmae }}{% endblock %}\n', encoding="utf-8"
    )
    with pytest.raises(Exception, match="nmae"):
        check_template("broken", [tmp_path])


MENU = ("1h", "tomorrow", "other")
CLOSES = NOW + timedelta(hours=6)
FEED = [replace(alert, key=alert.key._replace(scope=Scope.FEED)) for alert in storm(1)]
BUTTONS: dict[str, tuple[list[Alert], dict[str, Any], list[tuple[str, str, tuple[str, ...]]]]] = {
    "one": (
        storm(1),
        {},
        [("acknowledge", "Acknowledge", ("17",)), ("silence", "Silence", MENU), ("why", "Why", ("17",))],
    ),
    "one with an owner": (
        [replace(storm(1)[0], acked_by="U0ALICE00")],
        {},
        [("give_back", "Give back", ("17",)), ("silence", "Silence", MENU), ("why", "Why", ("17",))],
    ),
    "while a business is open": (
        storm(1),
        {"closes_at": CLOSES},
        [
            ("acknowledge", "Acknowledge", ("17",)),
            ("silence", "Silence", ("1h", "close", "tomorrow", "other")),
            ("why", "Why", ("17",)),
        ],
    ),
    "three": (
        storm(3),
        {},
        [
            ("acknowledge", "Acknowledge all", ("card:4",)),
            ("silence", "Silence", MENU),
            ("why", "Why the worst", ("19",)),
        ],
    ),
    "three, of which one has an owner": (
        [replace(storm(3)[0], acked_by="U0ALICE00"), *storm(3)[1:]],
        {},
        [
            ("acknowledge", "Acknowledge all", ("card:4",)),
            ("silence", "Silence", MENU),
            ("why", "Why the worst", ("19",)),
        ],
    ),
    "all have an owner": (
        CARDS["all-owned"],
        {},
        [("give_back", "Give back all", ("card:4",)), ("silence", "Silence", MENU), ("why", "Why the worst", ("19",))],
    ),
    "the last of three": (
        CARDS["last-of-three"],
        {},
        [("acknowledge", "Acknowledge", ("19",)), ("silence", "Silence", MENU), ("why", "Why", ("19",))],
    ),
    "several on a message that is not stored": (storm(3), {"card_id": None}, [("why", "Why the worst", ("19",))]),
    "about the data itself": (FEED, {}, [("acknowledge", "Acknowledge", ("17",)), ("why", "Why", ("17",))]),
    "ended": (CARDS["resolved"], {"closes_at": CLOSES}, []),
}


@pytest.mark.parametrize(("alerts", "more", "expected"), BUTTONS.values(), ids=BUTTONS)
def test_buttons(alerts: list[Alert], more: dict[str, Any], expected: list[tuple[str, str, tuple[str, ...]]]) -> None:
    """By action id, label and values. A card of several is acknowledged, given back and silenced as a whole."""
    message = card_message(drawn(alerts, **more))
    elements = [each for block in message.blocks if block["type"] == "actions" for each in block["elements"]]
    found = []
    for each in elements:
        if each["action_id"] == "silence":
            values = [option["value"].split(" ") for option in each["options"]]
            target = elements[0]["value"] if elements[0]["action_id"] != "why" else ""
            assert {value[1] for value in values} == {target}
            found.append((each["action_id"], each["placeholder"]["text"], tuple(value[0] for value in values)))
        else:
            found.append((each["action_id"], each["text"]["text"], (each["value"],)))
    assert found == expected
    assert problem_of({"text": message.text, "blocks": message.blocks, "attachments": message.attachments}) == ""


def test_a_menu_is_reset_by_each_edit() -> None:
    """Slack keeps what was chosen while the id of the block is the same, and reports only another choice."""
    now = content(storm(1))
    first, same, later = (
        card_message(TEMPLATES.card(each, PlainPen())).blocks[-1]["block_id"]
        for each in (now, now, replace(now, now=NOW + timedelta(seconds=1)))
    )
    assert first == same != later


def test_a_card_that_had_more_alerts_than_are_loaded() -> None:
    """The number, and since when, are those of all of them."""
    began = NOW - timedelta(hours=30)
    still = replace(content(mixed()), entities=2000, began=began)
    card = TEMPLATES.card(still, PlainPen())
    assert "1996 more have ended." in card.body
    over = TEMPLATES.card(replace(content(ended(storm(12))), entities=2000, began=began), PlainPen())
    assert "2,000 queues" in over.title
    assert over.body[0].startswith("Resolved after 1d 6h: 2,000 queues; worst: Queue 5, ")


def test_the_message_of_an_escalation_for_several() -> None:
    """It names them without values, which it would not follow, and says who has them."""
    alerts = storm(22)
    alerts[2] = replace(alerts[2], acked_by="U0ALICE00", acked_at=NOW)
    card = TEMPLATES.card(replace(content(alerts), escalated=timedelta(minutes=10)), PlainPen())
    assert card.fault is None
    assert card.title == "🔴 Critical, escalated: 22 queues — Longest wait in queue"
    assert card.body == (
        "22 queues — Longest wait in queue: 15 critical, 7 warning.",
        "Since 2026-03-02 10:53 EET, escalated after 10m.",
        "1 of 22 acknowledged.",
    )
    assert (card.rows[0], card.rows[-1]) == ("🔴 #33 Queue 16, critical, since 10:54 EET", "and 2 more")


def test_recovering_is_said_of_all_or_of_none() -> None:
    """While one still fires the card is not recovering, whatever its level; with the last one it is, since then."""
    alerts = [
        replace(alert, state=State.RECOVERING, recovering_since=NOW - timedelta(minutes=number))
        for number, alert in enumerate(storm(3))
    ]
    some = TEMPLATES.card(
        content([replace(alerts[0], state=State.FIRING, recovering_since=None), *alerts[1:]]), PlainPen()
    )
    assert "recovering since" not in " ".join(some.body)
    every = TEMPLATES.card(content(alerts), PlainPen())
    assert every.title.startswith("🟡 Recovering: 3 queues")
    assert "recovering since 2026-03-02 11:00 EET" in every.body[1]
