"""The Slack client and delivery against `emulate`, a third-party Slack (`.ci/foreign` installs it)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alertbot.alerts.alert import Change, Reason, State
from alertbot.alerts.notice import Notice, NoticeKind
from alertbot.charts.png import Painter
from alertbot.commands.command import Line, Reply
from alertbot.errors import ChartFailed, DeliveryFailure, NotifyError
from alertbot.feed.health import Feed
from alertbot.notify.deliver import deliver
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level, RuleSet
from alertbot.service.pictures import CardPictures
from alertbot.slack.client import SlackClient
from alertbot.slack.home import HomeTab
from alertbot.slack.notifier import SlackNotifier
from alertbot.slack.pictures import NO_SCOPE, Pictures
from alertbot.store.records import PollRecord
from alertbot.store.sqlite.store import SqliteStore
from tests.commands.kit import WAIT, column, snapshot
from tests.foreign import Emulate, emulate
from tests.notify.cases import ACKED, FIRING, NASTY, RESOLVED, card, line, notice
from tests.notify.test_shared_cards import content, ended, storm
from tests.notify.test_shared_cards import line as shared_line
from tests.service.bot import until
from tests.slack.test_home import page_of
from tests.slack.test_pictures import PNG, Quick


@pytest.fixture(scope="module")
def slack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulate]:
    with emulate(tmp_path_factory.mktemp("emulate")) as running:
        yield running


@pytest.fixture
def notifier(slack: Emulate) -> SlackNotifier:
    return SlackNotifier(slack.token, api_url=slack.api_url)


ADMIN = "U000000001"  # a user that every workspace of emulate has


def now() -> datetime:
    return datetime.now(UTC)


def test_who_the_bot_is(slack: Emulate, notifier: SlackNotifier) -> None:
    """auth.test names the bot. A token that may not post, but that auth.test accepts, is no refused token."""
    me = notifier.check()
    assert (me.user_id, me.bot_id) == (slack.bot_user_id, slack.bot_id)
    with pytest.raises(NotifyError) as caught:
        SlackNotifier("xoxb-nobody", api_url=slack.api_url).post_text("x", channel="#cc-alerts", notice_id="no")
    assert (caught.value.failure, caught.value.code) == (DeliveryFailure.CHANNEL, "missing_scope")


def test_a_card_from_firing_to_resolved(slack: Emulate, notifier: SlackNotifier) -> None:
    """Post, line, edit, found again by its metadata, closed in place."""
    began = now()
    posted = notifier.post_card(card(), channel="#cc-sales", notice_id="card-1")
    assert posted.channel_id == slack.channels["cc-sales"]
    said = notifier.post_line(line(Reason.LEVEL_UP), posted, notice_id="line-1", broadcast=False)
    notifier.edit_card(card(ACKED), posted)
    assert notifier.find(channel="#cc-sales", notice_id="card-1", since=began, thread=None) == posted
    assert notifier.find(channel="#cc-sales", notice_id="line-1", since=began, thread=posted) == said
    assert notifier.find(channel="#cc-sales", notice_id="card-2", since=began, thread=None) is None
    notifier.edit_card(card(RESOLVED), posted)
    (message,) = slack.history("cc-sales")
    assert message["blocks"][0]["text"]["text"] == "🟢 Resolved: Sales EU — Longest wait in queue"
    assert message["metadata"]["event_payload"] == {"notice_id": "card-1"}
    assert message["attachments"][0]["color"] == "#2eb67d"
    assert not any(block["type"] == "actions" for block in message["blocks"])
    (reply,) = slack.replies("cc-sales", posted.ts)
    assert "Now critical" in reply["text"]


def test_a_hostile_name(slack: Emulate, notifier: SlackNotifier) -> None:
    """It is shown as it is, and mentions no one."""
    notifier.post_card(card(replace(FIRING, entity_name=NASTY)), channel="#cc-alerts-ops", notice_id="nasty")
    message = slack.history("cc-alerts-ops")[-1]
    assert message["blocks"][0]["text"]["text"].endswith(f"{NASTY} — Longest wait in queue")
    assert "<!channel>" not in json.dumps([message["text"], message["blocks"][1:], message["attachments"]])


def test_a_card_of_500_and_a_line_of_165(slack: Emulate, notifier: SlackNotifier) -> None:
    """Both are accepted, found again, and edited in place: from 500 alerts to resolved."""
    began, alerts = now(), storm(500, "<&*_`@here>" * 9 + "{}")
    posted = notifier.post_card(content(alerts), channel="#cc-sales", notice_id="storm")
    said = notifier.post_line(shared_line(alerts[:165]), posted, notice_id="names", broadcast=True)
    assert notifier.find(channel="#cc-sales", notice_id="names", since=began, thread=posted) == said
    (reply,) = slack.replies("cc-sales", posted.ts)
    assert reply["text"].startswith("165 queues — Longest wait in queue: 115 critical, 50 warning: ")
    notifier.edit_card(content(ended(alerts)), posted)
    (message,) = [each for each in slack.history("cc-sales") if each["ts"] == posted.ts]
    assert message["blocks"][0]["text"]["text"] == "🟢 Resolved: 500 queues — Longest wait in queue"


def test_channels_and_messages_that_are_not_there(slack: Emulate, notifier: SlackNotifier) -> None:
    """Its responses mean what the table of errors says."""
    with pytest.raises(NotifyError) as caught:
        notifier.post_card(card(), channel="#nowhere", notice_id="x")
    assert caught.value.failure is DeliveryFailure.CHANNEL
    posted = notifier.post_text("soon gone", channel="#cc-alerts-ops", notice_id="gone")
    slack.call("chat.delete", channel=posted.channel_id, ts=posted.ts)
    with pytest.raises(NotifyError) as caught:
        notifier.edit_card(card(), posted)
    assert caught.value.failure is DeliveryFailure.GONE


def test_a_picture_is_uploaded_without_a_channel(slack: Emulate) -> None:
    """In three steps; the file is then known to Slack, in no channel. Without the scope, pictures alone are off."""
    client = SlackClient(slack.token, base_url=slack.api_url, retry_handlers=[])
    file_id = Pictures(client, Painter()).upload(PNG, "Longest wait, Sales EU")
    assert [(file["id"], file["size"], file["channels"]) for file in slack.files()] == [(file_id, len(PNG), [])]
    narrow = Pictures(SlackClient(slack.narrow_token, base_url=slack.api_url, retry_handlers=[]), Painter())
    with pytest.raises(ChartFailed, match="files:write"):
        narrow.upload(PNG, "Longest wait, Sales EU")
    assert narrow.problem == NO_SCOPE
    SlackNotifier(slack.narrow_token, api_url=slack.api_url).check()  # raises where the token is refused


@pytest.mark.parametrize("scope", ["files:write", "no files:write"])
def test_a_picture_in_the_thread_of_a_card(slack: Emulate, tmp_path: Path, scope: str) -> None:
    """Shown by an image block with the uploaded file, with metadata, in the thread alone; a text plot without it."""
    began = now()
    store = SqliteStore(tmp_path / "alertbot.db")
    notifier = SlackNotifier(slack.token if scope == "files:write" else slack.narrow_token, api_url=slack.api_url)
    for age in (50, 35, 20, 5):
        at = began - timedelta(seconds=age)
        seen = replace(snapshot(Scope.QUEUE, {"103": "Sales EU"}, {WAIT: column(age * 1000.0)}), at=at)
        store.record(PollRecord("acme", at, Feed("acme"), snapshots={Scope.QUEUE: seen}))
    alert = replace(FIRING, id=None)
    sent = notice(alert=alert, at=began, channel="#cc-sales")
    store.record(PollRecord("acme", began, Feed("acme"), [Change(None, alert, Reason.FIRED, "it holds")], [sent]))
    store.claim(sent.id, "me", began)
    posted = notifier.post_card(card(alert), channel="#cc-sales", notice_id=sent.id)
    store.delivered(sent.id, posted, 1, began)
    pictures = CardPictures(
        store,
        notifier,
        lambda: began + timedelta(seconds=2),
        threading.Event(),
        lambda _: RuleSet(()),
        claimant="me",
        reachable=lambda: True,
        timezone="Europe/Helsinki",
        painter=Quick(),
    )
    assert pictures.post_next()
    assert not pictures.post_next()
    (reply,) = slack.replies("cc-sales", posted.ts)
    assert reply["text"].startswith("Longest wait, Sales EU, from ")
    heading, chart = reply["blocks"]
    assert heading["text"]["text"] == "*Longest wait: Sales EU, last 2h*"
    if scope == "files:write":
        assert chart["type"] == "image"
        assert [file["channels"] for file in slack.files() if file["id"] == chart["slack_file"]["id"]] == [[]]
    else:
        assert chart["text"]["text"].startswith("```")
    (metadata,) = [each["metadata"] for each in slack.replies("cc-sales", posted.ts)]
    assert metadata["event_type"] == "alertbot_notice"
    store.close()


def test_an_alert_through_store_and_delivery(slack: Emulate, notifier: SlackNotifier, tmp_path: Path) -> None:
    """One post per alert, edits in place, its thread, the resolved card; a mark that was lost causes no second card."""
    store, at = SqliteStore(tmp_path / "alertbot.db"), now()

    def clock() -> datetime:
        return at

    def settle() -> int:
        nonlocal at
        adopted = 0
        for _ in range(20):
            due = store.due(at)
            report = deliver(
                due, notifier, store, clock, claimant="me", fallback_channel="#cc-alerts", ops_channel="#cc-ops"
            )
            adopted += report.adopted
            assert report.errors == []
            at += timedelta(seconds=2)
        assert store.totals().waiting == 0
        return adopted

    def record(change: Change, notice: Notice) -> None:
        store.record(PollRecord("acme", at, Feed("acme"), [change], [notice]))

    alert = replace(FIRING, id=None, level=Level.WARNING)
    sent = notice(alert=alert, at=at)
    record(Change(None, alert, Reason.FIRED, "it holds"), sent)
    # As if the bot had been killed after Slack took the card and before that was stored.
    store.claim(sent.id, "a process that has ended", at)
    lost = notifier.post_card(card(store.alerts()[0]), channel="#cc-alerts", notice_id=sent.id)
    at += timedelta(seconds=6)
    assert settle() == 1
    steps = [
        (Reason.LEVEL_UP, {"level": Level.CRITICAL}),
        (Reason.RESOLVED, {"state": State.INACTIVE, "ended_at": at, "end_reason": Reason.RESOLVED}),
    ]
    for reason, change in steps:
        before = store.alerts()[0]
        after = replace(before, **change)  # type: ignore[arg-type]
        record(Change(before, after, reason, "because"), notice(reason, alert=after, at=at, kind=NoticeKind.LINE))
        settle()
    (message,) = slack.history("cc-alerts")
    assert message["ts"] == lost.ts
    assert message["text"].startswith("Resolved: Sales EU — Longest wait in queue")
    assert [reply["text"].split("Longest wait in queue: ")[1][:8] for reply in slack.replies("cc-alerts", lost.ts)] == [
        "Now crit",
        "Resolved",
    ]
    totals = store.totals()
    assert (totals.cards_posted, totals.lines_posted, totals.given_up) == (1, 2, 0)
    store.close()


def test_the_home_tab(slack: Emulate, caplog: pytest.LogCaptureFixture) -> None:
    """Published for a user of the workspace; a user that it does not know is logged, and nothing else is affected."""
    published: list[Any] = []

    class Client(SlackClient):
        def views_publish(self, **args: Any) -> Any:
            published.append(super().views_publish(**args))

    tab = HomeTab(Client(slack.token, base_url=slack.api_url, retry_handlers=[]), page_of)
    tab.opened("U0NOBODY")
    until("the refusal is logged", lambda: "user_not_found" in caplog.text, within=10)
    tab.answered(ADMIN, Reply((Line("Acknowledged <!here>."),)))
    until("the tab is published", lambda: bool(published), within=10)
    tab.close(wait=True)
    view = published[0]["view"]
    assert view["type"] == "home"
    assert view["blocks"][0]["text"]["text"] == "Acknowledged &lt;!here&gt;."
    assert tab.problem == ""
    assert [record.getMessage() for record in caplog.records if record.name == "alertbot.slack.home"] == [
        "Could not publish a Home tab: Slack refuses it (user_not_found)"
    ]
