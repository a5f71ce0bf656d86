"""Pictures in the threads of cards: a real store, the courier's deliveries, and a Slack that fails."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from alertbot.alerts.alert import Alert
from alertbot.charts.png import NOT_INSTALLED, Painter
from alertbot.charts.series import Series
from alertbot.errors import StoreError
from alertbot.evaluation.measure import Measure
from alertbot.feed.health import Feed
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Level, RuleSet
from alertbot.service import pictures
from alertbot.service.pictures import CardPictures
from alertbot.store.records import PollRecord
from tests.charts.test_series import rules
from tests.commands.kit import WAIT, column, snapshot
from tests.notify.world import ME, World, world
from tests.service.bot import until
from tests.slack import slack_server as fake
from tests.slack.slack_server import limited, refused
from tests.slack.test_pictures import AS_TEXT, PNG, Quick

RULES = RuleSet(tuple(replace(each, id="longest-wait") for each in rules(f"critical: {{when: {WAIT} > 2m}}")))
PLOT = "2m 10s |"


@dataclass
class Wall(World):
    """A World with pictures, posted one at a time when `draw` is called."""

    painter: Painter = field(default_factory=Quick)
    rules: RuleSet = RULES
    answers: bool = True
    stopping: threading.Event = field(default_factory=threading.Event)
    pictures: CardPictures = field(init=False)

    def start(self) -> None:
        super().start()
        self.pictures = CardPictures(
            self.store,
            self.notifier,
            lambda: self.now,
            self.stopping,
            lambda tenant: self.rules if tenant == "acme" else RuleSet(()),
            claimant=ME,
            reachable=lambda: self.answers,
            timezone="Europe/Helsinki",
            painter=self.painter,
            waits=(0.0, 0.0),
        )

    def restart(self) -> None:
        self.pictures.stop(5)
        super().restart()

    def recorded(self, *values: float, entities: str = "103") -> Wall:
        """Polls before now, 15 s apart, the last one a second ago."""
        for place, value in enumerate(values):
            now = self.now - timedelta(seconds=1 + 15 * (len(values) - 1 - place))
            ids = dict.fromkeys(entities.split(), "Sales EU")
            seen = replace(snapshot(Scope.QUEUE, ids, {WAIT: column(*[value] * len(ids))}), at=now)
            self.store.record(PollRecord("acme", now, Feed("acme"), snapshots={Scope.QUEUE: seen}))
        return self

    def card(self, entity: str = "103", **more: Any) -> Alert:
        """A card that is posted, and whose channel may get the next message."""
        alert = self.fire(entity, **more)
        self.deliver()
        self.later(1)
        return alert

    def replies(self) -> list[dict[str, Any]]:
        """What is in the thread of the first card."""
        return self.slack.thread(self.slack.top()[0]["ts"])

    def kinds(self) -> list[list[str]]:
        """The blocks of the replies."""
        return [[block["type"] for block in reply["blocks"]] for reply in self.replies()]

    def draw(self) -> bool:
        return self.pictures.post_next()


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Wall]:
    with world(tmp_path, Wall) as made:
        assert isinstance(made, Wall)
        try:
            yield made.recorded(10_000, 40_000, 70_000, 100_000, 130_000)
        finally:
            made.pictures.stop(5)


def test_the_thread_of_a_card_has_a_picture(there: Wall) -> None:
    """Uploaded without a channel and with alt text, shown by `slack_file`, with metadata, and only once."""
    there.card()
    assert there.draw()
    (reply,) = there.replies()
    (file,) = there.slack.files.values()
    about = "Longest wait, Queue 103, from 09:00 to 11:00 EET. Last 2m 10s at 10:59, lowest 10s at 10:58, "
    assert reply["text"].startswith(about)
    assert "Limits: critical above 2m. Alerts: critical from 10:55 until now." in reply["text"]
    assert reply["blocks"] == [
        {
            "type": "section",
            "text": {"type": "mrkdwn", "text": "*Longest wait: Queue 103, last 2h*", "verbatim": True},
        },
        {"type": "image", "slack_file": {"id": "F0000"}, "alt_text": reply["text"]},
    ]
    assert (file.data, file.channel, file.alt) == (PNG, "", reply["text"])
    assert len(reply["metadata"]["event_payload"]["notice_id"]) == 20
    assert "reply_broadcast" not in reply
    there.later(10)
    assert not there.draw()
    there.restart()
    assert not there.draw()
    assert len(there.replies()) == 1


def test_limits_and_name_of_the_entity(there: Wall) -> None:
    """What is drawn is the metric that was measured, with the queue of an agent in the title."""
    there.card(parent_name="North")
    there.draw()
    ((series, zone),) = drawn(there)
    assert (series.name, series.label, zone) == ("Queue 103 (North)", "Longest wait", "Europe/Helsinki")
    assert [(limit.value, limit.level) for limit in series.limits] == [(120_000.0, Level.CRITICAL)]
    assert [span.level for span in series.spans] == [Level.CRITICAL]
    assert len(series.known) == 5


def test_too_few_values_are_no_chart(tmp_path: Path) -> None:
    """Three values, just after the first start; a fourth one comes too late."""
    with world(tmp_path, Wall) as there:
        assert isinstance(there, Wall)
        there.recorded(70_000, 100_000, 130_000).card()
        assert there.draw()
        there.later(15).recorded(130_000)
        assert not there.draw()
        assert there.replies() == []
        assert drawn(there) == []


def test_a_removed_rule_that_measured_an_expression(there: Wall) -> None:
    """Nothing says which key to draw."""
    there.rules = RuleSet(())
    there.card(measure=Measure("a / b", ValueType.NUMBER, ">", 2.0, 1.0))
    assert there.draw()
    assert not there.draw()
    assert (there.replies(), drawn(there)) == ([], [])


@pytest.mark.parametrize("faults", AS_TEXT.values(), ids=AS_TEXT)
def test_without_a_picture_it_is_a_text_plot(there: Wall, faults: dict[str, fake.Fault]) -> None:
    """Whatever fails on the way to Slack: one message, with the plot as a block of code."""
    for method, fault in faults.items():
        there.slack.next(method, fault)
    there.card()
    assert there.draw()
    assert not there.later(60).draw()
    assert there.kinds() == [["section", "section"]]
    (reply,) = there.replies()
    plot = reply["blocks"][1]["text"]["text"]
    assert plot.startswith("```\n")
    assert PLOT in plot
    assert "─ critical above 2m\n= an alert was firing" in plot
    assert max(len(line) for line in plot.splitlines()) <= 40


@pytest.mark.parametrize("why", ["it took too long", "alertbot is stopping"])
def test_a_picture_that_cannot_be_drawn(there: Wall, why: str) -> None:
    there.painter = Quick(why)
    there.restart()
    there.card()
    there.draw()
    assert there.kinds() == [["section", "section"]]
    assert there.slack.called("files.getUploadURLExternal") == []


def test_without_the_extra_it_is_said_once(there: Wall, caplog: pytest.LogCaptureFixture) -> None:
    """It is no fault: charts are text, in the log at the level of information."""
    caplog.set_level(logging.INFO)
    there.painter = Missing()
    there.restart()
    for entity in ("103", "104"):
        there.recorded(1.0, 2.0, 3.0, 4.0, entities=entity).card(entity)
        assert there.draw()
        there.later(5)
    assert [len(there.slack.thread(card["ts"])) for card in there.slack.top()] == [1, 1]
    said = [record for record in caplog.records if "charts are shown as text" in record.getMessage()]
    assert [record.levelname for record in said] == ["INFO"]


def test_a_missing_scope_is_asked_for_once(there: Wall) -> None:
    there.slack.next("files.getUploadURLExternal", refused("missing_scope"))
    for entity in ("103", "104"):
        there.recorded(1.0, 2.0, 3.0, 4.0, entities=entity).card(entity)
        assert there.draw()
        there.later(5)
    assert len(there.slack.called("files.getUploadURLExternal")) == 1
    assert len(drawn(there)) == 1
    assert not there.notifier.contact.lacks("files:write")


def test_a_name_mentions_no_one(there: Wall) -> None:
    """In no part of the message, as a picture and as text."""
    there.card(parent_name="<!channel> @here & *x*")
    there.slack.next("upload", fake.Fault(status=500, body="no"))
    there.draw()
    (reply,) = there.replies()
    assert "<!" not in json.dumps([reply["text"], reply["blocks"]])


# What becomes of the post.


@pytest.mark.parametrize(("early", "picture"), [(1, True), (2, True), (3, False)])
def test_a_file_that_slack_has_not_processed_yet(there: Wall, early: int, picture: bool) -> None:
    """Refused for certain, so it is tried twice more, with the same file; then the chart is text."""
    there.slack.unprocessed = early
    there.card()
    for _ in range(early + 1):
        assert there.draw()
        there.later(1)
    assert not there.later(60).draw()
    assert there.kinds() == [["section", "image" if picture else "section"]]
    assert (len(drawn(there)), len(there.slack.files)) == (1, 1)
    assert len(there.slack.called("chat.postMessage")) == 1 + early + 1


ONCE = {
    "no answer, and it is there": (fake.DROP_AFTER, 1),
    "no answer, and it is not there": (fake.DROP_BEFORE, 0),
    "an answer that is not Slack's": (fake.HTML, 0),
    "5xx": (fake.SERVER_ERROR_AFTER, 1),
    "an internal error": (refused("internal_error"), 0),
    "the card was deleted": (refused("thread_not_found"), 0),
    "the channel was archived": (refused("is_archived"), 0),
    "the token was revoked": (refused("token_revoked"), 0),
}


@pytest.mark.parametrize(("fault", "there_is"), ONCE.values(), ids=ONCE)
def test_a_post_is_never_repeated(there: Wall, fault: fake.Fault, there_is: int) -> None:
    """Not by this process, and not by the next one."""
    there.card()
    there.slack.next("chat.postMessage", fault)
    assert there.draw()
    there.restart()
    for _ in range(30):
        there.later(1)
        there.deliver()
        assert not there.draw()
    assert len(there.replies()) == there_is
    assert len(there.slack.called("chat.postMessage")) == 2


@pytest.mark.parametrize("when", ["before the post", "after the post"])
def test_a_crash(there: Wall, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """After the claim: the next process posts nothing, even where the message was not sent."""
    real = there.notifier.post_picture

    def dies(*args: Any, **named: Any) -> None:
        if when == "after the post":
            real(*args, **named)
        raise KeyboardInterrupt

    there.card()
    monkeypatch.setattr(there.notifier, "post_picture", dies)
    with pytest.raises(KeyboardInterrupt):
        there.draw()
    there.restart()
    for _ in range(30):
        assert not there.later(1).draw()
    assert len(there.replies()) == (when == "after the post")


def test_a_rate_limit_holds_the_channel(there: Wall) -> None:
    """For what matters as well; the picture follows with the file that it has."""
    there.card()
    there.slack.next("chat.postMessage", limited("7"))
    assert there.draw()
    assert there.replies() == []
    there.fire("2")
    assert there.later(6).deliver().cards == 0
    assert not there.draw()
    assert there.later(1).deliver().cards == 1
    assert there.later(1).draw()
    assert there.kinds() == [["section", "image"]]
    assert len(drawn(there)) == 1


def test_slack_is_unavailable(there: Wall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Certainly not posted: tried again, but not at once."""
    there.card()
    there.slack.next("chat.postMessage", refused("service_unavailable"))
    assert there.draw()
    assert not there.later(10).draw()
    monkeypatch.setattr(pictures, "RETRY_AFTER", 0.0)
    there.pictures._not_before = 0.0
    assert there.draw()
    assert there.kinds() == [["section", "image"]]


def test_slack_cannot_be_reached(there: Wall) -> None:
    """Nothing is drawn in vain, and nothing is lost."""
    there.card()
    there.answers = False
    assert not there.draw()
    assert drawn(there) == []
    there.answers = True
    assert there.draw()


# Nothing waits for a picture.


class Busy(Quick):
    """While it draws, something happens."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__()
        self.happens = happens
        self.begun = False

    def draw(self, series: Series, zone: Any) -> bytes:
        self.begun = True
        self.happens()
        return super().draw(series, zone)


def test_what_becomes_due_while_it_is_drawn_comes_first(there: Wall) -> None:
    """The picture follows, and is not drawn again."""
    there.painter = Busy(lambda: there.fire("2"))
    there.restart()
    there.card()
    assert not there.draw()
    assert there.deliver().cards == 1
    assert there.later(1).draw()
    assert there.kinds() == [["section", "image"]]
    assert len(drawn(there)) == 1


def test_an_alert_that_ends_while_it_is_drawn(there: Wall) -> None:
    """Its thread has the line of the end, and no picture."""
    there.painter = Busy(there.resolve)
    there.restart()
    there.card()
    there.draw()
    there.settle()
    assert not there.later(1).draw()
    (reply,) = there.replies()
    assert "Resolved" in reply["text"]


def test_drawing_delays_no_post_of_its_channel(there: Wall) -> None:
    """While the painter hangs, cards and lines are posted; then comes the picture."""
    hold = threading.Event()
    painter = there.painter = Busy(lambda: hold.wait(30))
    there.restart()
    there.card()
    there.pictures.start()
    until("it is being drawn", lambda: painter.begun)
    there.fire("2")
    assert there.deliver().cards == 1
    there.later(1).rise("2")
    assert there.deliver().lines == 1
    assert len(there.slack.top()) == 2
    there.later(1)
    hold.set()
    until("the picture", there.replies)
    assert there.pictures.stop(5)


def test_five_cards_of_a_storm(there: Wall) -> None:
    """One message a second in the channel, all cards before the first picture."""
    there.slack.one_a_second = True
    there.recorded(1.0, 2.0, 3.0, 4.0, entities="1 2 3 4 5")
    for entity in "12345":
        there.fire(entity)
    posted = []
    for _ in range(20):
        posted += ["card"] * there.deliver().cards
        posted += ["picture"] * there.draw()
        there.later(1)
    assert posted == ["card"] * 5 + ["picture"] * 5
    assert there.slack.refused == 0
    assert [len(there.slack.thread(card["ts"])) for card in there.slack.top()] == [1] * 5


def test_for_cron_pictures_are_posted_after_everything_else(there: Wall) -> None:
    """`post_all` waits for the rest of a channel, and returns at once where there is nothing."""
    began = time.monotonic()
    there.pictures.post_all(20)
    assert time.monotonic() - began < 1
    there.fire()
    there.deliver()
    moves = threading.Timer(0.2, lambda: there.later(1))
    moves.start()
    there.pictures.post_all(20)
    assert there.kinds() == [["section", "image"]]
    assert time.monotonic() - began < 10


def test_pictures_wait_for_posts_that_are_held_back(there: Wall) -> None:
    """`post_all` does not wait for those: the next run posts the pictures."""
    there.card()
    there.fire("2")
    began = time.monotonic()
    there.pictures.post_all(20)
    assert time.monotonic() - began < 1
    assert there.replies() == []


def test_stopping_while_it_is_drawn(there: Wall) -> None:
    """The process that draws is ended, nothing is posted, and the next start draws it again."""
    painter = there.painter = Painter(deadline=60.0, command=(sys.executable, "-c", "import time; time.sleep(60)"))
    there.restart()
    there.card()
    there.pictures.start()
    until("it is being drawn", lambda: painter._process)
    began = time.monotonic()
    assert there.pictures.stop(5)
    assert time.monotonic() - began < 2
    until("its thread has ended", lambda: not there.pictures._thread.is_alive())
    assert there.replies() == []
    there.painter = Quick()
    there.restart()
    assert there.draw()
    assert there.kinds() == [["section", "image"]]


def test_stopping_while_the_upload_hangs(there: Wall) -> None:
    """It is left: it belongs to the bot alone, and nothing follows."""
    there.slack.next("upload", fake.HANG_AFTER)
    there.card()
    there.pictures.start()
    until("it is being uploaded", lambda: there.slack.called("upload"))
    assert there.pictures.stop(5)
    there.slack.go_on.set()
    until("its thread has ended", lambda: not there.pictures._thread.is_alive())
    assert there.replies() == []


def test_stopping_while_the_post_hangs(there: Wall) -> None:
    """It gets a second, is never repeated, and stores nothing more: the database may be closed."""
    there.card()
    there.slack.next("chat.postMessage", fake.HANG_AFTER)
    there.notifier._writes.timeout = 5
    there.pictures.start()
    until("it is being posted", lambda: len(there.slack.called("chat.postMessage")) == 2)
    began = time.monotonic()
    assert there.pictures.stop(5)
    assert time.monotonic() - began < 3
    there.slack.go_on.set()
    until("its thread has ended", lambda: not there.pictures._thread.is_alive())
    assert len(there.replies()) == 1
    there.restart()
    assert not there.later(10).draw()


def test_an_unexpected_error_costs_one_picture(there: Wall) -> None:
    """The next one is drawn; the first is not tried again."""
    there.painter = Busy(failing_once())
    there.restart()
    there.recorded(1.0, 2.0, 3.0, 4.0, entities="1 2")
    for entity in "12":
        there.fire(entity)
        there.deliver()
        there.later(1)
    assert [there.draw(), there.draw(), there.later(2).draw()] == [True, True, False]
    assert [len(there.slack.thread(card["ts"])) for card in there.slack.top()] == [0, 1]


def test_a_database_that_cannot_be_read_costs_none(there: Wall, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again."""

    def fails(*_: object) -> None:
        raise StoreError("locked")

    there.card()
    with monkeypatch.context() as broken:
        broken.setattr(there.store, "ended", fails)
        with pytest.raises(StoreError):
            there.draw()
    assert there.draw()
    assert there.kinds() == [["section", "image"]]


def test_a_real_picture(there: Wall) -> None:
    """With matplotlib, from the card to the bytes that Slack has."""
    there.painter = Painter(deadline=60.0)
    there.restart()
    there.card()
    assert there.draw()
    (file,) = there.slack.files.values()
    image = Image.open(io.BytesIO(file.data))
    assert (image.format, image.size, image.info["Description"]) == ("PNG", (1120, 672), file.alt)


class Missing(Quick):
    """Where matplotlib is not installed."""

    problem = NOT_INSTALLED


def drawn(there: Wall) -> list[tuple[Series, str]]:
    assert isinstance(there.painter, Quick)
    return there.painter.drawn


def failing_once() -> Callable[[], object]:
    errors = [RuntimeError("something nobody thought of")]

    def fail() -> None:
        if errors:
            raise errors.pop()

    return fail
