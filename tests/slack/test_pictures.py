"""Charts in Slack: acknowledged at once, then a picture through the response_url, or the chart as text."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from PIL import Image
from slack_bolt import BoltRequest, BoltResponse
from slack_sdk import WebClient

from alertbot.charts.png import Painter
from alertbot.charts.series import Series
from alertbot.errors import ChartFailed, StoreError
from alertbot.slack.client import SlackClient
from alertbot.slack.desk import SlackApp
from alertbot.slack.pictures import NO_SCOPE, Pictures
from tests.commands.test_charts import RUSH
from tests.slack.slack_server import (
    DROP_BEFORE,
    HANG_AFTER,
    HTML,
    SERVER_ERROR,
    TOKEN,
    Fault,
    SlackServer,
    limited,
    refused,
    slack_server,
)
from tests.web.kit import Desk, slash

PNG = b"\x89PNG\r\n\x1a\n" + b"not really" * 100
CHART = "chart longest wait Sales EU"
PLOT = "2m 30s |"


class Quick(Painter):
    """A Painter that draws at once, or fails; what it was given is in `drawn`."""

    def __init__(self, fails: str = "") -> None:
        super().__init__()
        self.fails = fails
        self.drawn: list[tuple[Series, str]] = []

    def draw(self, series: Series, zone: Any) -> bytes:
        self.drawn.append((series, str(zone)))
        if self.fails:
            raise ChartFailed(self.fails)
        return PNG


@dataclass
class Asking:
    """A SlackApp with a Slack behind it."""

    slack: SlackServer
    app: SlackApp
    desk: Desk
    asked: int = 0

    def ask(self, text: str, **other: str) -> BoltResponse:
        """The acknowledgement."""
        self.asked += 1
        body = slash(text, response_url=self.slack.response_url, **{"trigger_id": f"t{self.asked}"} | other).decode()
        return self.app.dispatch(
            BoltRequest(body=body, headers={"content-type": ["application/x-www-form-urlencoded"]})
        )

    def answer(self, text: str) -> dict[str, Any]:
        """What the asker gets after the acknowledgement, which is empty."""
        acknowledged = self.ask(text)
        assert (acknowledged.status, acknowledged.body) == (200, "")
        return self.slack.answer_sent()


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with slack_server() as server:
        server.zones = {"U012ANNA": "Europe/Helsinki"}
        yield server


def asking(slack: SlackServer, painter: Painter, **other: Any) -> Iterator[Asking]:
    desk = Desk(recorded=RUSH.recorded)
    app = desk.app(
        WebClient(token=TOKEN, base_url=slack.api_url), painter=painter, **{"picture_waits": (0.01, 0.01)} | other
    )
    try:
        yield Asking(slack, app, desk)
    finally:
        app.close(10)


@pytest.fixture
def painter() -> Quick:
    return Quick()


@pytest.fixture
def bot(slack: SlackServer, painter: Quick) -> Iterator[Asking]:
    yield from asking(slack, painter)


def kinds(message: dict[str, Any]) -> list[str]:
    return [block["type"] for block in message["blocks"]]


def test_a_chart_is_a_picture(bot: Asking, painter: Quick) -> None:
    """Uploaded in three steps without a channel and without a token for the bytes, with alt text; then shown."""
    message = bot.answer(CHART)
    (file,) = bot.slack.files.values()
    assert (file.data, file.complete, file.channel, file.name) == (PNG, True, "", "chart.png")
    assert file.alt.startswith("Longest wait, Sales EU, from 05:00 to 11:00 EET. Last 2m 5s at 11:00")
    assert kinds(message) == ["section", "image", "section"]
    assert message["blocks"][1] == {"type": "image", "slack_file": {"id": "F0000"}, "alt_text": file.alt}
    assert message["response_type"] == "ephemeral"
    assert message["replace_original"] is False
    assert message["text"].startswith("Longest wait: Sales EU, last 6h\nLast 2m 5s at 11:00")
    assert PLOT not in json.dumps(message, ensure_ascii=False)
    assert [name for name, _ in bot.slack.calls if name != "users.info"] == [
        "files.getUploadURLExternal",
        "upload",
        "files.completeUploadExternal",
        "response",
    ]
    assert bot.slack.called("upload") == [{"authorization": "", "size": len(PNG)}]
    assert [zone for _, zone in painter.drawn] == ["Europe/Helsinki"]


def test_a_public_chart_is_shown_to_the_channel(bot: Asking) -> None:
    """In the configured zone, since it has many readers; what cannot be drawn is for the asker alone."""
    message = bot.answer(f"{CHART} public")
    assert message["response_type"] == "in_channel"
    assert "Last 2m 5s at 09:00" in message["text"]
    assert bot.answer("chart longest wait nowhere public")["response_type"] == "ephemeral"


AS_TEXT = {
    "the scope is missing": {"files.getUploadURLExternal": refused("missing_scope")},
    "the rate limit": {"files.getUploadURLExternal": limited()},
    "an answer that is not Slack's": {"files.getUploadURLExternal": HTML},
    "no answer": {"files.getUploadURLExternal": DROP_BEFORE},
    "an answer without an address": {"files.getUploadURLExternal": Fault(body='{"ok": true}')},
    "an address that is not safe": {
        "files.getUploadURLExternal": Fault(body='{"ok": true, "file_id": "F1", "upload_url": "file:///etc/passwd"}')
    },
    "the upload is refused": {"upload": Fault(status=413, body="too large")},
    "the upload is redirected": {"upload": Fault(status=302, headers=(("Location", "http://127.0.0.1:9/"),))},
    "the upload is dropped": {"upload": DROP_BEFORE},
    "it cannot be completed": {"files.completeUploadExternal": refused("internal_error")},
    "5xx": {"files.completeUploadExternal": SERVER_ERROR},
}


@pytest.mark.parametrize("faults", AS_TEXT.values(), ids=AS_TEXT)
def test_without_a_picture_the_chart_is_text(bot: Asking, faults: dict[str, Fault]) -> None:
    """Whatever fails on the way: one answer, with the plot."""
    for method, fault in faults.items():
        bot.slack.next(method, fault)
    message = bot.answer(CHART)
    assert kinds(message) == ["section", "section", "section"]
    assert PLOT in message["blocks"][1]["text"]["text"]
    assert bot.slack.answers == []


def test_a_missing_scope_disables_pictures_alone(bot: Asking, painter: Quick) -> None:
    """Slack is asked once; `status` names it, everything else works, and it is no refused token."""
    bot.slack.next("files.getUploadURLExternal", refused("missing_scope"))
    for _ in range(2):
        assert PLOT in bot.answer(CHART)["blocks"][1]["text"]["text"]
    assert len(bot.slack.called("files.getUploadURLExternal")) == 1
    assert len(painter.drawn) == 1
    assert f"Problem: {NO_SCOPE}" in json.loads(bot.ask("status").body)["text"]
    assert "acknowledged by" in json.loads(bot.ask("ack 17").body)["text"]


def test_status_names_a_missing_scope_before_a_chart_is_asked_for(bot: Asking) -> None:
    """Slack names the scopes of the token in a header of each answer; it is asked all the same, in case that is old."""
    bot.slack.scopes = "chat:write,users:read"
    assert f"Problem: {NO_SCOPE}" in json.loads(bot.ask("status").body)["text"]
    bot.slack.scopes = "chat:write,users:read,files:write"
    assert "image" in kinds(bot.answer(CHART))
    assert NO_SCOPE not in json.loads(bot.ask("status").body)["text"]


def test_a_scope_that_was_added_is_noticed(slack: SlackServer) -> None:
    """After `keep`, Slack is asked again."""
    slack.next("files.getUploadURLExternal", refused("missing_scope"))
    pictures = Pictures(SlackClient(TOKEN, base_url=slack.api_url, retry_handlers=[]), Quick(), keep=0.0)
    with pytest.raises(ChartFailed, match="files:write"):
        pictures.upload(PNG, "alt")
    assert pictures.problem == ""
    assert pictures.upload(PNG, "x" * 5_000) == "F0000"
    assert len(slack.files["F0000"].alt) <= 1_000


def test_a_picture_that_slack_has_not_processed_yet(bot: Asking) -> None:
    """The answer is tried again; where that is in vain, it is the chart as text."""
    bot.slack.unprocessed = 2
    assert "image" in kinds(bot.answer(CHART))
    bot.slack.unprocessed = 3
    assert "image" not in kinds(bot.answer(CHART))
    assert len(bot.slack.called("response")) == 3 + 4
    assert bot.slack.answers == []


@pytest.mark.parametrize("why", ["it took too long", "pictures need the extra `charts`"])
def test_a_picture_that_cannot_be_drawn(slack: SlackServer, why: str) -> None:
    """Slack is not asked for an address."""
    for bot in asking(slack, Quick(fails=why)):
        assert PLOT in bot.answer(CHART)["blocks"][1]["text"]["text"]
    assert slack.called("files.getUploadURLExternal") == []


def test_without_the_extra_a_missing_scope_is_no_problem(slack: SlackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who shows charts as text has to add a scope for pictures."""
    monkeypatch.setattr(Quick, "problem", "not installed")
    slack.scopes = "chat:write"
    for bot in asking(slack, Quick(fails="not installed")):
        assert "files:write" not in json.loads(bot.ask("status").body)["text"]


def test_what_cannot_be_charted_is_answered_alike(bot: Asking, painter: Quick) -> None:
    assert bot.answer("chart longest wait Suport")["text"].endswith("Did you mean Support?")
    assert painter.drawn == []


@pytest.mark.parametrize(
    ("error", "says", "traceback"),
    [
        (RuntimeError("locked"), "unexpected error", True),
        (StoreError("locked"), "the database cannot be used now", False),
    ],
    ids=["unexpected", "no database"],
)
def test_an_error_is_answered(
    bot: Asking, caplog: pytest.LogCaptureFixture, error: Exception, says: str, traceback: bool
) -> None:
    """One sentence. The log has the rest: a database that cannot be used is no bug, so it has no traceback."""
    bot.desk.error = error
    assert says in bot.answer(CHART)["text"]
    assert "locked" in caplog.text
    assert ("Traceback" in caplog.text) is traceback


def test_a_chart_delays_no_other_answer(slack: SlackServer) -> None:
    """While drawing hangs, charts are acknowledged at once, others are answered, and too many charts are refused."""
    hold = threading.Event()

    class Slow(Quick):
        def draw(self, series: Series, zone: Any) -> bytes:
            hold.wait(30)
            return super().draw(series, zone)

    for bot in asking(slack, Slow()):
        for _ in range(8):
            assert bot.ask(CHART).body == ""
        assert "try again in a minute" in json.loads(bot.ask(CHART).body)["text"]
        assert "Longest wait: the highest" in json.loads(bot.ask("top longest wait").body)["text"]
        assert slack.answers == []
        hold.set()
        assert all("image" in kinds(slack.answer_sent()) for _ in range(8))
        assert "image" in kinds(bot.answer(CHART))


def test_the_same_command_twice_is_one_chart(bot: Asking, painter: Quick) -> None:
    """Delivered by two sockets: acknowledged twice, drawn and answered once."""
    for _ in range(2):
        assert bot.ask(CHART, trigger_id="same").body == ""
    assert "image" in kinds(bot.slack.answer_sent())
    assert bot.answer("chart longest wait Suport")
    assert len(painter.drawn) == 1


def test_stopping_while_a_picture_is_drawn(slack: SlackServer, caplog: pytest.LogCaptureFixture) -> None:
    """The process that draws is ended, and the answer is the chart as text. Nothing is logged: it did not fail."""
    painter = Painter(deadline=60.0, command=(sys.executable, "-c", "import time; time.sleep(60)"))
    for bot in asking(slack, painter):
        assert bot.ask(CHART).body == ""
        pause = threading.Event()
        while painter._process is None:
            pause.wait(0.01)
        bot.app.close(10)
        assert PLOT in slack.answer_sent()["blocks"][1]["text"]["text"]
    assert "shown as text" not in caplog.text


def test_stopping_while_slack_does_not_answer(slack: SlackServer, painter: Quick) -> None:
    slack.next("upload", HANG_AFTER)
    for bot in asking(slack, painter):
        bot.ask(CHART)
        pause = threading.Event()
        while not slack.called("upload"):
            pause.wait(0.01)
        assert not bot.app.close(0.05)
        slack.go_on.set()


def test_a_real_picture(slack: SlackServer) -> None:
    """With matplotlib, from the command to the bytes that Slack has."""
    for bot in asking(slack, Painter(deadline=60.0)):
        assert "image" in kinds(bot.answer(CHART))
    (file,) = slack.files.values()
    image = Image.open(io.BytesIO(file.data))
    assert (image.format, image.size) == ("PNG", (1120, 672))
    assert image.info["Description"] == file.alt
