"""The whole bot used from a third-party Slack (`local-slack`), with commands and buttons, over both transports."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from slack_sdk.signature import SignatureVerifier

from alertbot.simulator.server import SimulatorOptions, serve
from tests.foreign import Form, LocalSlack, free_port, local_slack, lonely_network
from tests.service.bot import RULES, Bot, bot, get, until
from tests.simulator.kit import HandClock

QUEUE = "Sales EU"


@contextmanager
def asked(folder: Path, transport: str) -> Iterator[tuple[LocalSlack, Bot, int]]:
    """A running bot with one firing alert; the port is where it listens for HTTP."""
    clock = HandClock(datetime.now(UTC))
    with lonely_network(), serve(SimulatorOptions(clock=clock, scenario="demo", queue_names={0: QUEUE})) as centre:
        port = free_port()
        url = f"http://127.0.0.1:{port}/slack/events"
        mode = {"Socket Mode": "socket", "signed HTTP": "events"}[transport]
        with local_slack(folder, mode=mode, request_url=url if mode == "events" else "") as slack:  # type: ignore[arg-type]
            settings = {"bot_token": slack.bot_token, "api_url": slack.api_url}
            if mode == "socket":
                settings["app_token"] = slack.app_token
            else:
                settings["signing_secret"] = slack.signing_secret
            rules = open_now() + RULES % centre.centre.find_queue("#1").id
            with bot(folder, centre, settings, port=port, rules=rules) as made:
                clock.forward(seconds=100)
                made.start()
                until("ready", lambda: get(port, "/readyz")[0] == 200)
                yield slack, made, port


def open_now() -> str:
    """A calendar that is open from an hour ago until in three hours."""
    now = datetime.now(UTC)
    begin, end = (f"{now + timedelta(hours=hours):%H}:00" for hours in (-1, 3))
    return f'hours:\n  office: {{timezone: UTC, open: {{mon-sun: "{begin}-{end}"}}}}\n'


def texts(slack: LocalSlack) -> list[str]:
    return [message["text"] for message in slack.messages()]


def button(message: dict[str, Any], action: str = "acknowledge") -> dict[str, Any]:
    blocks = [*message["blocks"], *(b for a in message.get("attachments", ()) for b in a.get("blocks", ()))]
    return next(
        element
        for block in blocks
        if block["type"] == "actions"
        for element in block["elements"]
        if element.get("action_id") == action
    )


def shown(slack: LocalSlack, card: dict[str, Any], words: str) -> dict[str, Any] | None:
    """The card as it is now, where it has these words, or a button with this action id."""
    now = next(message for message in slack.messages() if message["ts"] == card["ts"])
    return now if words in json.dumps(now) else None


def _saying(slack: LocalSlack, *words: str) -> int:
    """How many messages have all of these words."""
    return sum(all(word in text for word in words) for text in texts(slack))


@pytest.mark.parametrize("transport", ["Socket Mode", "signed HTTP"])
def test_users_ask_and_acknowledge(tmp_path: Path, transport: str) -> None:
    """status, queue NAME, a typo with its nearest subcommand, and the button: one owner, and the card names them."""
    with asked(tmp_path, transport) as (slack, made, _):
        (card,) = until("a card", slack.messages)
        assert card["text"].startswith("Warning: ")
        assert ": longest wait " in card["text"]
        began = time.monotonic()
        slack.command("status")
        slack.command(f"queue {QUEUE}")
        slack.command("sttus")
        took = time.monotonic() - began
        answers = until("three answers", lambda: texts(slack)[1:] if len(texts(slack)) == 4 else None)
        assert "Last good poll" in answers[0]
        assert answers[1].startswith(f"Queue {QUEUE}")
        assert "status" in answers[2]
        assert took < 9  # three answers, each within Slack's 3 s
        slack.open_home(user="bob")
        (home,) = until("the Home tab", lambda: slack.homes("bob"))
        assert f"{QUEUE} · Longest wait" in str(home)
        slack.press(card, button(card), user="alice")
        until("the line in the thread", lambda: any("U01ALICE" in text for text in texts(slack)))
        slack.press(card, button(card), user="bob")
        until("the loser sees who won", lambda: sum("U01ALICE" in text for text in texts(slack)) >= 2)
        owned = until("Give back in place of Acknowledge", lambda: shown(slack, card, '"give_back"'))
        slack.press(owned, button(owned, "give_back"), user="bob")
        until("whose it is", lambda: _saying(slack, "was acknowledged by <@U01ALICE> at ", "unack #2"))
        slack.press(owned, button(owned, "give_back"), user="alice")
        until("the line in the thread", lambda: _saying(slack, "Given back by U01ALICE"))
        until("Acknowledge in place of Give back", lambda: shown(slack, card, '"acknowledge"'))
        slack.command("resolve 2 a call is stuck")
        until("the answer and the thread say who and why", lambda: _saying(slack, "closed by ", "a call is stuck") >= 2)
        until("the card is closed", lambda: _saying(slack, "Resolved: ", "because it was closed by hand") == 1)
        slack.command("ack 2")
        until("the answer says who was first", lambda: _saying(slack, "#2 ", "was closed at"))
        assert not made.logged("Traceback")


@pytest.mark.parametrize("transport", ["Socket Mode", "signed HTTP"])
def test_a_chart_of_what_was_polled(tmp_path: Path, transport: str) -> None:
    """From the recording to a picture in Slack: acknowledged at once, drawn, uploaded, shown with its alert."""
    with asked(tmp_path, transport) as (slack, made, _):
        until("a card", slack.messages)
        began = time.monotonic()
        slack.command(f"chart longest wait {QUEUE} 30m")
        acknowledged = time.monotonic() - began
        shown = until("the chart", lambda: [m for m in slack.messages() if m["text"].startswith("Longest wait")])[0]
        assert acknowledged < 3  # seconds, of Slack
        (image,) = [block for block in shown["blocks"] if block["type"] == "image"]
        assert image["alt_text"].startswith(f"Longest wait, {QUEUE}, from ")
        assert "Limits: warning above 1m, critical above 2m. Alerts: warning from " in image["alt_text"]
        files = (tmp_path / "local-slack-files").rglob("*")
        assert [path for path in files if path.is_file() and path.read_bytes().startswith(b"\x89PNG")]
        assert shown["ephemeral_to"] == slack.USERS["alice"]
        slack.command("top longest wait")
        assert f"{QUEUE}: " in texts(slack)[-1]
        assert not made.logged("Traceback")


@pytest.mark.parametrize("transport", ["Socket Mode", "signed HTTP"])
def test_users_silence(tmp_path: Path, transport: str) -> None:
    """By command, by an option of the card and by its form: announced, shown by the card, ended with its author."""
    with asked(tmp_path, transport) as (slack, made, _), slack.form() as form:
        (card,) = until("a card", slack.messages)
        _by_command(slack, card)
        _from_the_card(slack, form, card)
        assert not made.logged("Traceback")


def _by_command(slack: LocalSlack, card: dict[str, Any]) -> None:
    """Another user ends it, and both are named."""
    slack.command("silence nmae=Sales 2h")
    until("what is wrong with it", lambda: _saying(slack, "did you mean name=?"))
    slack.command("silence rule=longest-wait 2h new phones")
    (number,) = until("the answer", lambda: re.findall(r"Silence #([0-9]+) until .*by <@U01ALICE>", str(texts(slack))))
    until("the announcement", lambda: _saying(slack, f"Silence #{number} by <@U01ALICE> until "))
    until("the card says so", lambda: shown(slack, card, "by <@U01ALICE>: new phones"))
    assert shown(slack, card, "Silenced until ")
    slack.command("silences", user="bob")
    until("the list", lambda: any(text.startswith(f"#{number} until ") for text in texts(slack)))
    slack.command(f"unsilence {number}", user="bob")
    end = f"Silence #{number} was ended by <@U02BOB>: rule=longest-wait (new phones)."
    until("the announcement of the end", lambda: any(text.startswith(end) for text in texts(slack)))
    until("the card no longer says so", lambda: not shown(slack, card, "Silenced until"))


def _from_the_card(slack: LocalSlack, form: Form, card: dict[str, Any]) -> None:
    """What is wrong is said in the form; the menu is gone with the end of the alert."""
    menu = button(card, "silence")
    options = [option["text"]["text"] for option in menu["options"]]
    assert options == ["1 hour", "until close of business", "until tomorrow 8:00", "other …"]
    about = f'tenant=acme rule=longest-wait name="{QUEUE}"'
    slack.choose(card, menu, "close 2")
    until("the answer", lambda: _saying(slack, " left), by <@U01ALICE>", about, "It matches 1 open alert: #2 "))
    until("the announcement", lambda: _saying(slack, " by <@U01ALICE> until ", about))
    silenced = until("the card says so", lambda: shown(slack, card, "Silenced until"))
    slack.choose(silenced, button(silenced, "silence"), "other 2", user="bob")
    opened = until("the form", lambda: form.modal)
    assert f"Longest wait in queue: {QUEUE}" in json.dumps(opened)
    form.submit({"time": "until yesterday", "reason": ""}, slack.USERS["bob"])
    assert form.errors.get(timeout=10)["time"].startswith("yesterday is in the past: write something like 2h")
    form.submit({"time": "2d", "reason": "new phones"}, slack.USERS["bob"])
    answer = until("the answer in the form", lambda: "by <@U02BOB>" in json.dumps(form.modal) and form.modal)
    assert "submit" not in answer
    until("the announcement", lambda: _saying(slack, " by <@U02BOB> until ", about, "(new phones)"))
    slack.command("silences")
    assert texts(slack)[-1].count(about) == 2
    slack.command("resolve 2")
    until("the card is closed", lambda: not shown(slack, card, '"silence"'))
    slack.choose(card, menu, "1h 2")
    until("what is stale is refused", lambda: _saying(slack, "#2 has already ended, at ", "nothing was silenced"))


def test_only_slack_is_answered(tmp_path: Path) -> None:
    """A request that Slack did not sign, in any form, is 401; a signed one is answered."""
    with asked(tmp_path, "signed HTTP") as (slack, made, port):
        verifier = SignatureVerifier(slack.signing_secret)
        body = b"command=%2Falertbot&text=status&user_id=U01ALICE&channel_id=C01ALERTS&team_id=T0ACME&trigger_id=1.2"
        now = str(int(time.time()))
        signed = verifier.generate_signature(timestamp=now, body=body)
        old = str(int(time.time()) - 3600)
        not_text = b"command=%2Falertbot\xff\xfe"
        requests_ = {
            "wrong signature": (body, now, "v0=" + "0" * 64),
            "old timestamp": (body, old, verifier.generate_signature(timestamp=old, body=body)),
            "timestamp is no number": (body, "yesterday", signed),
            "signature is not ASCII": (body, now, "v0=é".encode("latin-1").decode("latin-1")),
            "body is not UTF-8": (not_text, now, signed),
            "nothing": (body, None, None),
        }
        with requests.Session() as session:
            session.trust_env = False
            url = f"http://127.0.0.1:{port}/slack/events"

            def status(body: bytes, timestamp: str | None, signature: str | None) -> int:
                headers = {"Content-Type": "application/x-www-form-urlencoded"}
                if timestamp:
                    headers["X-Slack-Request-Timestamp"] = timestamp
                if signature:
                    headers["X-Slack-Signature"] = signature
                return session.post(url, data=body, headers=headers, timeout=5).status_code

            assert {name: status(*request) for name, request in requests_.items()} == dict.fromkeys(requests_, 401)
            assert status(body, now, signed) == 200
        assert not made.logged("Traceback")
