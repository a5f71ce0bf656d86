"""A SlackApp over a small contact centre, and requests signed as Slack signs them."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from slack_sdk import WebClient
from slack_sdk.signature import SignatureVerifier

from alertbot.alerts.alert import Alert, Outcome
from alertbot.alerts.silence import Silence
from alertbot.commands.command import (
    Acknowledge,
    AcknowledgeCard,
    Asker,
    Command,
    CreateSilence,
    Unacknowledge,
    UnacknowledgeCard,
    Wish,
)
from alertbot.commands.view import Recorded, View
from alertbot.slack.desk import SlackApp
from alertbot.slack.permissions import MayChange
from tests.commands.kit import NOW, RULES, alert, only, view

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
NOWHERE = "http://127.0.0.1:9/api/"  # the discard port: nothing answers there


@dataclass
class Desk:
    """Holds one alert and decides as the store does: the first acknowledge wins."""

    alert: Alert = field(default_factory=alert)
    asked: list[tuple[Wish, Asker]] = field(default_factory=list)
    woken: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    silences: list[Silence] = field(default_factory=list)  # that were made
    wait_for: threading.Event | None = None  # views are returned only when this is set
    change_waits_for: threading.Event | None = None  # changes are made only when this is set
    error: Exception | None = None
    redraw_error: Exception | None = None
    recorded: Recorded | None = None
    redrawn: list[Command] = field(default_factory=list)  # what the cards are about whose menus are drawn again

    def view(self, command: Command) -> View:
        if self.wait_for is not None:
            self.wait_for.wait(10)
        if self.error:
            raise self.error
        return only(view(alerts=[self.alert], recorded=self.recorded, rules_of={"acme": RULES}), command)

    def change(self, wish: Wish, asker: Asker, now: datetime) -> tuple[Outcome, Alert | Silence | None]:
        if self.change_waits_for is not None:
            self.change_waits_for.wait(10)
        if self.error:
            raise self.error
        with self.lock:
            self.asked.append((wish, asker))
            if isinstance(wish, AcknowledgeCard):
                if wish.card_id != 4:
                    return Outcome.UNKNOWN_ID, None
                self.alert = replace(self.alert, acked_by=asker.user, acked_at=now)
                return Outcome.DONE, self.alert
            if isinstance(wish, CreateSilence):
                made = Silence(
                    20 + len(self.silences), wish.matcher, wish.starts_at, wish.ends_at, asker.user, wish.reason, now
                )
                self.silences.append(made)
                return Outcome.DONE, made
            if isinstance(wish, UnacknowledgeCard):
                own = self.alert.acked_by == asker.user
                self.alert = replace(self.alert, acked_by=None) if own else self.alert
                return (Outcome.DONE if own else Outcome.OTHER_OWNER), self.alert
            assert isinstance(wish, Acknowledge | Unacknowledge)
            if wish.alert_id != self.alert.id:
                return Outcome.UNKNOWN_ID, None
            taken = self.alert.acked_by is not None
            if isinstance(wish, Acknowledge):
                if not taken:
                    self.alert = replace(self.alert, acked_by=asker.user, acked_at=now, ack_note=wish.note)
                return (Outcome.ALREADY if taken else Outcome.DONE), self.alert
            if taken and wish.own and self.alert.acked_by != asker.user:
                return Outcome.OTHER_OWNER, self.alert
            self.alert = replace(self.alert, acked_by=None, acked_at=None)
            return (Outcome.DONE if taken else Outcome.NOT_ACKNOWLEDGED), self.alert

    def redraw(self, command: Command) -> None:
        if self.redraw_error:
            raise self.redraw_error
        self.redrawn.append(command)

    def app(self, client: WebClient | None = None, may_change: MayChange | None = None, **other: Any) -> SlackApp:
        return SlackApp(
            client=client or WebClient(token="xoxb-test", base_url=NOWHERE),
            command="/alertbot",
            view=self.view,
            change=self.change,
            wake=self.woken.set,
            redraw=self.redraw,
            clock=lambda: NOW,
            may_change=may_change,
            **other,
        )


def signed(body: bytes, *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """Headers as Slack sends them."""
    timestamp = str(int(time.time() if at is None else at))
    signature = SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=body)
    assert signature
    return {
        "X-Slack-Signature": signature,
        "X-Slack-Request-Timestamp": timestamp,
        "Content-Type": "application/x-www-form-urlencoded",
    }


def slash(text: str, *, command: str = "/alertbot", user: str = "U012ANNA", **other: str) -> bytes:
    """The body of a slash command."""
    fields = {
        "team_id": "T0ACME",
        "channel_id": "C01ALERTS",
        "channel_name": "cc-alerts",
        "user_id": user,
        "user_name": "anna",
        "command": command,
        "text": text,
        "api_app_id": "A0ALERTBOT",
        "is_enterprise_install": "false",
    }
    return urlencode(fields | other).encode()


def press(value: str = "17", *, action: str = "acknowledge", user: str = "U012ANNA", **other: Any) -> bytes:
    """The body of a pressed button."""
    payload = {
        "type": "block_actions",
        "user": {"id": user, "team_id": "T0ACME"},
        "team": {"id": "T0ACME"},
        "channel": {"id": "C01ALERTS"},
        "container": {"type": "message", "message_ts": "1.2", "channel_id": "C01ALERTS"},
        "api_app_id": "A0ALERTBOT",
        "actions": [{"type": "button", "action_id": action, "block_id": "b", "value": value, "action_ts": "1.3"}],
        "is_enterprise_install": False,
    }
    return urlencode({"payload": json.dumps(payload | other)}).encode()


def choose(value: str, *, user: str = "U012ANNA", **other: Any) -> bytes:
    """The body of an option that was chosen in the Silence menu of a card."""
    option = {"text": {"type": "plain_text", "text": "1 hour"}, "value": value}
    chosen = {"type": "static_select", "action_id": "silence", "block_id": "b", "selected_option": option}
    return press(user=user, **{"actions": [chosen]} | other)


def submit(view: dict[str, Any], time: str, reason: str = "", *, user: str = "U012ANNA", **other: Any) -> bytes:
    """The body of a form that was filled in. `view` is the form as Slack shows it."""
    fields = {"time": time, "reason": reason}
    values = {block: {"text": {"type": "plain_text_input", "value": text or None}} for block, text in fields.items()}
    payload = {
        "type": "view_submission",
        "user": {"id": user, "team_id": "T0ACME"},
        "team": {"id": "T0ACME"},
        "api_app_id": "A0ALERTBOT",
        "view": view | {"state": {"values": values}},
        "is_enterprise_install": False,
    }
    return urlencode({"payload": json.dumps(payload | other)}).encode()
