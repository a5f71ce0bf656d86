"""The whole bot used from a third-party Slack (`local-slack`), with commands and buttons, over both transports."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from slack_sdk.signature import SignatureVerifier

from alertbot.simulator.server import SimulatorOptions, serve
from tests.foreign import LocalSlack, free_port, local_slack, lonely_network
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
            rules = RULES % centre.centre.find_queue("#1").id
            with bot(folder, centre, settings, port=port, rules=rules) as made:
                clock.forward(seconds=100)
                made.start()
                until("ready", lambda: get(port, "/readyz")[0] == 200)
                yield slack, made, port


def texts(slack: LocalSlack) -> list[str]:
    return [message["text"] for message in slack.messages()]


def button(message: dict[str, Any]) -> dict[str, Any]:
    blocks = [*message["blocks"], *(b for a in message.get("attachments", ()) for b in a.get("blocks", ()))]
    return next(
        element
        for block in blocks
        if block["type"] == "actions"
        for element in block["elements"]
        if element.get("action_id") == "acknowledge"
    )


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
        slack.press(card, button(card), user="alice")
        until("the line in the thread", lambda: any("U01ALICE" in text for text in texts(slack)))
        slack.press(card, button(card), user="bob")
        until("the loser sees who won", lambda: sum("U01ALICE" in text for text in texts(slack)) >= 2)
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
    """A silence is announced, and shown by the card; another user ends it, and both are named."""
    with asked(tmp_path, transport) as (slack, made, _):
        (card,) = until("a card", slack.messages)
        slack.command("silence nmae=Sales 2h")
        until("what is wrong with it", lambda: any("did you mean name=?" in text for text in texts(slack)))
        slack.command("silence rule=longest-wait 2h new phones")
        silenced = until(
            "the answer", lambda: re.findall(r"Silence #([0-9]+) until .*by <@U01ALICE>", str(texts(slack)))
        )
        number = silenced[0]
        start = f"Silence #{number} by <@U01ALICE> until "
        until("the announcement", lambda: any(text.startswith(start) for text in texts(slack)))

        def shown() -> str:
            return str(next(message for message in slack.messages() if message["ts"] == card["ts"]))

        until("the card says so", lambda: "Silenced until " in shown() and "by <@U01ALICE>: new phones" in shown())
        slack.command("silences", user="bob")
        until("the list", lambda: any(text.startswith(f"#{number} until ") for text in texts(slack)))
        slack.command(f"unsilence {number}", user="bob")
        end = f"Silence #{number} was ended by <@U02BOB>: rule=longest-wait (new phones)."
        until("the announcement of the end", lambda: any(text.startswith(end) for text in texts(slack)))
        until("the card no longer says so", lambda: "Silenced until" not in shown())
        assert not made.logged("Traceback")


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
