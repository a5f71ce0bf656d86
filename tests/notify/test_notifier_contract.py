"""What every notifier promises, run for each of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from alertbot.errors import DeliveryFailure, NotifyError
from alertbot.notify.console import ConsoleNotifier
from alertbot.notify.notifier import Notifier
from alertbot.slack.notifier import SlackNotifier
from tests.notify.cases import ACKED, FIRING, LONG_ALERT, NASTY, RESOLVED, card, line
from tests.slack import slack_server as fake
from tests.slack.slack_server import TOKEN, slack_server

SENT = datetime.fromtimestamp(fake.FIRST_TS, UTC)


@dataclass
class Subject:
    notifier: Notifier
    secret: str


@contextmanager
def on_slack(folder: Path) -> Iterator[Subject]:
    with slack_server() as server:
        yield Subject(SlackNotifier(TOKEN, api_url=server.api_url, template_folders=[folder]), TOKEN)


@contextmanager
def on_console(folder: Path) -> Iterator[Subject]:
    console = Console(file=io.StringIO(), width=80)
    yield Subject(ConsoleNotifier(console, template_folders=[folder]), "no secret at all")


@pytest.fixture(params=[on_slack, on_console], ids=["slack", "console"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    with request.param(tmp_path) as made:
        yield made


def test_what_was_sent_can_be_found(subject: Subject) -> None:
    """Cards, lines and texts are found by their notice id; what was never sent is not."""
    notifier = subject.notifier
    posted = notifier.post_card(card(), channel="#cc-alerts", notice_id="card")
    said = notifier.post_line(line(), posted, notice_id="line", broadcast=True)
    text = notifier.post_text("hello", channel="#cc-alerts", notice_id="text")
    assert len({posted, said, text}) == 3
    assert notifier.find(channel="#cc-alerts", notice_id="card", since=SENT, thread=None) == posted
    assert notifier.find(channel="#cc-alerts", notice_id="line", since=SENT, thread=posted) == said
    assert notifier.find(channel="#cc-alerts", notice_id="text", since=SENT, thread=None) == text
    assert notifier.find(channel="#cc-alerts", notice_id="never", since=SENT, thread=None) is None


def test_edits_may_be_repeated(subject: Subject) -> None:
    """Editing a card twice is harmless."""
    posted = subject.notifier.post_card(card(), channel="#cc-alerts", notice_id="card")
    for alert in (ACKED, ACKED, RESOLVED, RESOLVED):
        subject.notifier.edit_card(card(alert), posted)


@pytest.mark.parametrize("alert", [LONG_ALERT, replace(FIRING, entity_name=NASTY)], ids=["long", "nasty"])
def test_no_content_is_refused(subject: Subject, alert: object) -> None:
    """An alert with any text is sent."""
    view = card(alert)  # type: ignore[arg-type]
    posted = subject.notifier.post_card(view, channel="#cc-alerts", notice_id="card")
    subject.notifier.edit_card(view, posted)
    subject.notifier.post_line(line(alert=view.alert), posted, notice_id="line", broadcast=False)
    subject.notifier.post_text("x" * 100_000, channel="#cc-alerts", notice_id="text")
    assert list(subject.notifier.take_faults()) == []


def test_an_invalid_channel(subject: Subject) -> None:
    """An invalid channel is an error of the right kind that names it, without the secret."""
    with pytest.raises(NotifyError) as caught:
        subject.notifier.post_card(card(), channel="", notice_id="card")
    assert caught.value.failure is DeliveryFailure.CHANNEL
    assert not caught.value.retryable
    assert subject.secret not in f"{caught.value} {caught.value!r} {subject.notifier!r}"


def test_broken_templates_are_reported_once(subject: Subject, tmp_path: Path) -> None:
    """A card is sent in spite of a broken template, and each fault is reported once."""
    (tmp_path / "bad.j2").write_text('{% extends "alert.j2" %}{% block body %}{{ 1 / 0 }}{% endblock %}')
    broken = replace(FIRING, about=replace(FIRING.about, template="bad"))
    posted = subject.notifier.post_card(card(broken), channel="#cc-alerts", notice_id="card")
    subject.notifier.edit_card(card(broken), posted)
    assert len(subject.notifier.take_faults()) == 1
    assert len(subject.notifier.take_faults()) == 0
