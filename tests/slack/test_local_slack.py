"""A third-party Slack (local-slack 0.1.8) on both transports: the slash command, the button, and answers to them."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from slack_sdk import WebClient

from alertbot.slack.signed import slack_route
from alertbot.slack.socket_mode import SocketMode
from alertbot.web.routes import http_app
from alertbot.web.server import serve_http
from tests.commands.test_charts import RUSH
from tests.foreign import LocalSlack, free_port, local_slack, lonely_network
from tests.web.kit import Desk

CARD = {
    "type": "actions",
    "elements": [
        {
            "type": "button",
            "action_id": "acknowledge",
            "value": "17",
            "text": {"type": "plain_text", "text": "Acknowledge"},
        }
    ],
}


@contextmanager
def over_socket_mode(desk: Desk, folder: Path) -> Iterator[LocalSlack]:
    with lonely_network(), local_slack(folder, mode="socket") as slack:
        client = WebClient(slack.bot_token, base_url=slack.api_url)
        app = desk.app(client)
        connection = SocketMode(app.bolt, slack.app_token, client)
        connection.start()
        assert connection.wait_until_up(10)
        assert connection.problem == ""
        try:
            yield slack
        finally:
            connection.stop()
            app.close()


@contextmanager
def over_http(desk: Desk, folder: Path) -> Iterator[LocalSlack]:
    with lonely_network():
        port = free_port()
        url = f"http://127.0.0.1:{port}/slack/events"
        with local_slack(folder, mode="events", request_url=url) as slack:
            app = desk.app(WebClient(slack.bot_token, base_url=slack.api_url))
            asgi = http_app(reasons=list, routes=[slack_route(app.dispatch, slack.signing_secret)])
            server = serve_http(asgi, "127.0.0.1", port)
            try:
                yield slack
            finally:
                server.stop()
                app.close()


@pytest.mark.parametrize("transport", [over_socket_mode, over_http], ids=["Socket Mode", "signed HTTP"])
def test_questions_and_buttons(
    transport: Callable[[Desk, Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """status, queue NAME, a typo and the Acknowledge button, typed and pressed in a third-party Slack."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    desk = Desk()
    with transport(desk, tmp_path) as slack:
        slack.command("status")
        slack.command("queue Sales EU")
        slack.command("quue Sales")
        slack.command("status public")
        answers = slack.messages()
        assert [message["text"].splitlines()[0] for message in answers] == [
            "Last good poll 12s ago",
            "Queue Sales EU (id 103)",
            "There is no subcommand “quue”.",
            "Last good poll 12s ago",
        ]
        assert [message.get("ephemeral_to") for message in answers] == ["U01ALICE"] * 3 + [None]
        assert all(message["blocks"] for message in answers)
        assert "7" in answers[1]["blocks"][1]["text"]["text"]

        client = WebClient(slack.bot_token, base_url=slack.api_url)
        client.chat_postMessage(channel="C01ALERTS", text="card", blocks=[CARD])
        card = next(message for message in slack.messages() if message["text"] == "card")
        button = card["blocks"][0]["elements"][0]
        slack.press(card, button, user="alice")
        assert desk.woken.wait(10)
        assert desk.alert.acked_by == "U01ALICE"
        slack.press(card, button, user="bob")
        answers = _until(lambda: [m for m in slack.messages() if m.get("ephemeral_to") == "U02BOB"])
        assert "already acknowledged, by <@U01ALICE>" in answers[0]["text"]
        assert desk.alert.acked_by == "U01ALICE"
        assert [m["text"] for m in slack.messages() if m["ts"] == card["ts"]] == ["card"]  # the card itself stays


@pytest.mark.parametrize("transport", [over_socket_mode, over_http], ids=["Socket Mode", "signed HTTP"])
def test_a_chart(transport: Callable[[Desk, Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed in a third-party Slack: it has the file, and the answer shows it; `public` shows it to the channel."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    desk = Desk(recorded=RUSH.recorded)
    with transport(desk, tmp_path) as slack:
        slack.command("chart longest wait Sales EU")
        slack.command("chart longest wait Sales EU public")

        def images() -> list[dict[str, Any]]:
            shown = [m for m in slack.messages() if any(b["type"] == "image" for b in m.get("blocks") or [])]
            return shown if len(shown) == 2 else []

        answers = _until(images)
        assert sorted(str(message.get("ephemeral_to")) for message in answers) == ["None", "U01ALICE"]
        blocks = [block for message in answers for block in message["blocks"] if block["type"] == "image"]
        assert all(block["alt_text"].startswith("Longest wait, Sales EU, from ") for block in blocks)
        assert len({block["slack_file"]["id"] for block in blocks}) == 2
        uploaded = [path.read_bytes() for path in (tmp_path / "local-slack-files").rglob("*") if path.is_file()]
        assert sum(data.startswith(b"\x89PNG") for data in uploaded) == 2


@pytest.mark.parametrize("transport", [over_socket_mode, over_http], ids=["Socket Mode", "signed HTTP"])
def test_the_home_tab(transport: Callable[[Desk, Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened in a third-party Slack: it is published for that user, and again after a change that they make."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    desk = Desk()
    with transport(desk, tmp_path) as slack:
        slack.open_home(user="alice")
        (shown,) = _until(slack.homes)
        assert shown["type"] == "home"
        assert "🔴 *1 firing, critical.*" in shown["blocks"][0]["text"]["text"]
        slack.command("ack 17")
        _, again = _until(lambda: slack.homes() if len(slack.homes()) == 2 else [])
        assert "acknowledged by <@U01ALICE>" in str(again)
        assert slack.homes(user="bob") == []


def _until(found: Callable[[], list[Any]]) -> list[Any]:
    pause = threading.Event()
    for _ in range(3_000):  # a minute: a busy machine takes ten seconds for a picture
        if result := found():
            return result
        pause.wait(0.02)
    raise AssertionError("the message did not arrive")


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # slack_sdk leaves a socket whose handshake failed
def test_a_lost_connection_is_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Slack is gone, the problem is reported; when it is back, the bot reconnects."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    desk = Desk()
    with lonely_network():
        port = free_port()
        client = WebClient(LocalSlack.bot_token, base_url=f"http://127.0.0.1:{port}/api/")
        app = desk.app(client)
        connection = SocketMode(
            app.bolt,
            LocalSlack.app_token,
            client,
            first_wait=0.05,
            max_wait=0.1,
            check_every=0.05,
            ping_every=0.2,
        )
        try:
            with local_slack(tmp_path, mode="socket", port=port):
                connection.start()
                assert connection.wait_until_up(10)
            _until(lambda: [connection.problem] if connection.problem else [])
            with local_slack(tmp_path, mode="socket", port=port) as slack:
                _until(lambda: [] if connection.problem else ["up"])
                slack.command("status")
                assert "Last good poll" in slack.messages()[0]["text"]
        finally:
            connection.stop()
            app.close()
            gc.collect()  # while the filter above applies
