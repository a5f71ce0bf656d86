"""The Slack client with a small built-in Slack: what is sent, what each failure means, how messages are found."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alertbot.alerts.cards import Posted
from alertbot.alerts.notice import HEADING
from alertbot.errors import DeliveryFailure, NotifyError
from alertbot.slack.client import Contact
from alertbot.slack.notifier import SlackNotifier
from tests.notify.cases import ACKED, FIRING, LONG_ALERT, NASTY, RESOLVED, card, line
from tests.slack import slack_server as fake
from tests.slack.slack_server import TOKEN, SlackServer, slack_server

SENT = datetime.fromtimestamp(fake.FIRST_TS, UTC)


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with slack_server() as server:
        yield server


@pytest.fixture
def notifier(slack: SlackServer) -> SlackNotifier:
    slack.date = lambda: fake.FIRST_TS
    return SlackNotifier(TOKEN, api_url=slack.api_url, post_timeout=1, read_timeout=1, contact=Contact(lambda: SENT))


def post(notifier: SlackNotifier, channel: str = "#cc-alerts", notice_id: str = "n1") -> Posted:
    return notifier.post_card(card(), channel=channel, notice_id=notice_id)


@pytest.mark.parametrize("code", ["invalid_auth", "token_revoked", "no_permission", "missing_scope"])
@pytest.mark.parametrize(
    ("asked", "delivery"),
    [
        (None, DeliveryFailure.CHANNEL),
        (fake.refused("invalid_auth"), DeliveryFailure.CREDENTIALS),
        (fake.DROP_BEFORE, DeliveryFailure.RETRY),
    ],
    ids=["good", "refused", "unknown"],
)
def test_a_token_is_refused_when_auth_test_says_so(
    code: str, asked: fake.Fault | None, delivery: DeliveryFailure, slack: SlackServer, notifier: SlackNotifier
) -> None:
    """The same codes are used for one channel and for the token: auth.test tells them apart."""
    slack.next("chat.postMessage", fake.refused(code))
    if asked:
        slack.next("auth.test", asked)
    with pytest.raises(NotifyError) as caught:
        post(notifier)
    assert (caught.value.failure, caught.value.code) == (delivery, code)
    assert code in str(caught.value)
    assert len(slack.called("chat.postMessage")) == 1


def test_a_card_lives_in_one_message(slack: SlackServer, notifier: SlackNotifier) -> None:
    """Posted once with its notice id, edited in place with full content, closed in place."""
    posted = post(notifier)
    assert posted == Posted("C0ALERTS", slack.top()[0]["ts"])
    sent = slack.called("chat.postMessage")[0]
    assert sent["metadata"] == {"event_type": "alertbot_notice", "event_payload": {"notice_id": "n1"}}
    assert (sent["unfurl_links"], sent["unfurl_media"]) == (False, False)
    notifier.edit_card(card(ACKED), posted)
    assert slack.top()[0]["blocks"][0]["text"]["text"].startswith("👀 Critical, acknowledged")
    notifier.edit_card(card(RESOLVED), posted)
    message = slack.top()[0]
    assert message["text"].startswith("Resolved: Sales EU — Longest wait in queue")
    assert message["attachments"][0]["color"] == "#2eb67d"
    assert "actions" not in json.dumps(message["blocks"])
    assert len(slack.top()) == 1


def test_lines_go_to_the_thread(slack: SlackServer, notifier: SlackNotifier) -> None:
    """A line goes below its card; a broadcast one is shown in the channel as well."""
    posted = post(notifier)
    notifier.post_line(line(), posted, notice_id="l1", broadcast=False)
    notifier.post_line(line(), posted, notice_id="l2", broadcast=True)
    first, second = slack.thread(posted.ts)
    assert "reply_broadcast" not in first
    assert second["reply_broadcast"] is True
    assert second["metadata"]["event_payload"] == {"notice_id": "l2"}


def test_text_shows_as_it_is(slack: SlackServer, notifier: SlackNotifier) -> None:
    """Operational text is posted without markup, and what it quotes mentions no one."""
    notifier.post_text(f"Queue {NASTY}\nbroke *it*", channel="#cc-alerts", notice_id="t1")
    assert slack.called("chat.postMessage")[0]["mrkdwn"] is False
    assert slack.top()[0]["text"] == "Queue &lt;!channel&gt; @here &amp; &lt;http://x|y&gt;\nbroke *it*"


def test_a_text_with_headings(slack: SlackServer, notifier: SlackNotifier) -> None:
    """Each heading is bold and begins a block; what comes from data is shown as it is, and the thread gets the rest."""
    text = f"{HEADING}Fired most\n• {NASTY}: 3 alerts\n{HEADING}*Flapping*\n• a\n→ `for`"
    posted = notifier.post_text(text, channel="#cc-alerts", notice_id="d1")
    reply = notifier.post_text(f"{HEADING}More", channel="#cc-sales", notice_id="d2", thread=posted)
    (message,) = slack.top()
    assert [block["text"]["text"] for block in message["blocks"]] == [
        "*Fired most*\n• &lt;!channel&gt; @here &amp; &lt;http://x|y&gt;: 3 alerts",
        "*\u200b*\u200bFlapping\u200b*\u200b*\n• a\n→ \u200b`\u200bfor\u200b`\u200b",
    ]
    assert message["text"].startswith("Fired most\n• &lt;!channel&gt;")
    assert HEADING not in json.dumps(message, ensure_ascii=False)
    assert reply.channel_id == posted.channel_id
    assert [each["text"] for each in slack.thread(posted.ts)] == ["More"]
    assert notifier.find(channel="#cc-alerts", notice_id="d2", since=SENT, thread=posted) == reply


def test_a_text_with_very_many_headings(slack: SlackServer, notifier: SlackNotifier) -> None:
    """Slack takes 50 blocks."""
    text = "\n".join(f"{HEADING}Heading {number}\nText" for number in range(200))
    notifier.post_text(text, channel="#cc-alerts", notice_id="d1")
    assert len(slack.top()[0]["blocks"]) == 45


def test_the_longest_card_is_accepted(slack: SlackServer, notifier: SlackNotifier) -> None:
    """Long cards are cut to the limits before Slack can refuse them."""
    notifier.post_card(card(LONG_ALERT), channel="#cc-alerts", notice_id="n1")
    notifier.post_text("x" * 50_000, channel="#cc-alerts", notice_id="n2")
    assert "blocks" in slack.top()[0]
    assert slack.top()[1]["text"].endswith("…")
    assert notifier.take_faults() == []


def test_names_become_ids(slack: SlackServer, notifier: SlackNotifier) -> None:
    """The id in a response is remembered, so the name is sent only once."""
    post(notifier)
    post(notifier, notice_id="n2")
    assert [call["channel"] for call in slack.called("chat.postMessage")] == ["#cc-alerts", "C0ALERTS"]


def test_problems_name_channels_as_they_are_configured(slack: SlackServer, notifier: SlackNotifier) -> None:
    """Not by the id that Slack answers with, for edits and lines too."""
    posted = post(notifier)
    slack.next("chat.update", fake.refused("not_in_channel"))
    with pytest.raises(NotifyError, match="Could not edit a card in #cc-alerts: "):
        notifier.edit_card(card(ACKED), posted)
    slack.next("chat.postMessage", fake.refused("not_in_channel"))
    with pytest.raises(NotifyError, match="Could not post in #cc-alerts: "):
        notifier.post_line(line(), posted, notice_id="l1", broadcast=False)


def test_a_name_that_is_refused_is_looked_up(slack: SlackServer, notifier: SlackNotifier) -> None:
    """If `#name` is refused, the id is found in the list of channels (all its pages), once."""
    slack.names_resolve = False
    assert post(notifier, "#cc-sales").channel_id == "C0SALES"
    post(notifier, "#cc-sales", "n2")
    assert len(slack.called("conversations.list")) == 2  # its page is the second one
    with pytest.raises(NotifyError) as caught:
        post(notifier, "#nowhere", "n3")
    assert (caught.value.failure, caught.value.code) == (DeliveryFailure.CHANNEL, "channel_not_found")


def test_a_remembered_id_may_be_out_of_date(slack: SlackServer, notifier: SlackNotifier) -> None:
    """A channel that was deleted and created again with the same name is found."""
    post(notifier)
    slack.channels["cc-alerts"] = "C0ANEW00"
    assert post(notifier, notice_id="n2").channel_id == "C0ANEW00"


FAILURES = {
    "429": (fake.limited("7"), DeliveryFailure.WAIT, 7.0),
    "429-odd-header": (fake.limited("soon"), DeliveryFailure.WAIT, 30.0),
    "ratelimited-200": (fake.refused("ratelimited"), DeliveryFailure.WAIT, 30.0),
    "workspace-cap": (fake.refused("message_limit_exceeded"), DeliveryFailure.WAIT, 30.0),
    "service-unavailable": (fake.refused("service_unavailable"), DeliveryFailure.RETRY, None),
    "internal-error": (fake.refused("internal_error"), DeliveryFailure.UNKNOWN, None),
    "fatal-error": (fake.refused("fatal_error"), DeliveryFailure.UNKNOWN, None),
    "503": (fake.SERVER_ERROR, DeliveryFailure.UNKNOWN, None),
    "500-after": (fake.SERVER_ERROR_AFTER, DeliveryFailure.UNKNOWN, None),
    "dropped-before": (fake.DROP_BEFORE, DeliveryFailure.UNKNOWN, None),
    "dropped-after": (fake.DROP_AFTER, DeliveryFailure.UNKNOWN, None),
    "timeout": (fake.HANG_AFTER, DeliveryFailure.UNKNOWN, None),
    "html-200": (fake.HTML, DeliveryFailure.UNKNOWN, None),
    "json-list": (fake.Fault(body="[1, 2]"), DeliveryFailure.UNKNOWN, None),
    "json-text": (fake.Fault(body='"ok"'), DeliveryFailure.UNKNOWN, None),
    "empty": (fake.Fault(body=""), DeliveryFailure.UNKNOWN, None),
    "ok-without-ts": (fake.Fault(body='{"ok": true}'), DeliveryFailure.UNKNOWN, None),
    "429-nan": (fake.limited("NaN"), DeliveryFailure.WAIT, 30.0),
    "429-infinity": (fake.limited("Infinity"), DeliveryFailure.WAIT, 30.0),
    "429-two": (fake.limited("2, 2"), DeliveryFailure.WAIT, 30.0),
    "429-at-once": (fake.limited("0"), DeliveryFailure.WAIT, 1.0),
    "nested": (fake.Fault(body="[" * 5000), DeliveryFailure.UNKNOWN, None),
    "drips": (fake.DRIP_AFTER, DeliveryFailure.UNKNOWN, None),
    "redirect": (
        fake.Fault(status=302, body="", headers=(("Location", "http://127.0.0.1:9/"),)),
        DeliveryFailure.UNKNOWN,
        None,
    ),
    "scope": (fake.refused("missing_scope"), DeliveryFailure.CHANNEL, None),
    "no-permission": (fake.refused("no_permission"), DeliveryFailure.CHANNEL, None),
    "access-denied": (fake.refused("access_denied"), DeliveryFailure.CHANNEL, None),
    "team-access": (fake.refused("team_access_not_granted"), DeliveryFailure.CHANNEL, None),
    "enterprise": (fake.refused("enterprise_is_restricted"), DeliveryFailure.CHANNEL, None),
    "not-in-channel": (fake.refused("not_in_channel"), DeliveryFailure.CHANNEL, None),
    "archived": (fake.refused("is_archived"), DeliveryFailure.CHANNEL, None),
    "read-only": (fake.refused("restricted_action_read_only_channel"), DeliveryFailure.CHANNEL, None),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_a_failed_post_means(name: str, slack: SlackServer, notifier: SlackNotifier) -> None:
    """Every failure becomes a NotifyError that says what it means, is sent once, and holds no secret."""
    fault, delivery, retry_after = FAILURES[name]
    slack.next("chat.postMessage", fault)
    with pytest.raises(NotifyError) as caught:
        post(notifier)
    assert (caught.value.failure, caught.value.retry_after) == (delivery, retry_after)
    assert len(slack.called("chat.postMessage")) == 1
    assert "post in #cc-alerts" in str(caught.value)
    assert TOKEN not in f"{caught.value!r} {caught.value} {notifier!r}"
    assert "<html>" not in str(caught.value)


def test_a_refused_connection() -> None:
    """A refused connection was certainly not a post: retry, without a search."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    notifier = SlackNotifier(TOKEN, api_url=f"http://127.0.0.1:{port}/api/", post_timeout=1)
    with pytest.raises(NotifyError) as caught:
        post(notifier)
    assert caught.value.failure is DeliveryFailure.RETRY


@pytest.mark.parametrize("code", ["invalid_blocks", "msg_blocks_too_long", "something_new"])
def test_a_refused_card_is_posted_as_text(code: str, slack: SlackServer, notifier: SlackNotifier) -> None:
    """Slack refuses a message for one bad block; then only its text is posted, and the reason is kept."""
    slack.next("chat.postMessage", fake.refused(code))
    post(notifier)
    message = slack.top()[0]
    assert "blocks" not in message
    assert message["text"].startswith("🔴 Critical: Sales EU: longest wait 2m 10s, limit 2m. Since")
    assert "Worst: 2m 20s" in message["text"]
    (fault,) = notifier.take_faults()
    assert code in str(fault)
    assert notifier.take_faults() == []


def test_refused_as_text_too(slack: SlackServer, notifier: SlackNotifier) -> None:
    """A message that is refused twice is an error of the message."""
    slack.next("chat.postMessage", fake.refused("invalid_blocks"), fake.refused("no_text"))
    with pytest.raises(NotifyError) as caught:
        post(notifier)
    assert (caught.value.failure, caught.value.code) == (DeliveryFailure.PAYLOAD, "no_text")


def test_an_edit_as_text_removes_the_old_blocks(slack: SlackServer, notifier: SlackNotifier) -> None:
    """An update keeps the parts that are absent, so every part is sent."""
    posted = post(notifier)
    slack.next("chat.update", fake.refused("invalid_blocks"))
    notifier.edit_card(card(RESOLVED), posted)
    assert slack.top()[0]["blocks"] == []
    assert slack.top()[0]["attachments"] == []


@pytest.mark.parametrize(
    ("fault", "delivery"),
    [
        (fake.refused("message_not_found"), DeliveryFailure.GONE),
        (fake.refused("cant_update_message"), DeliveryFailure.REFUSED),
        (fake.refused("edit_window_closed"), DeliveryFailure.REFUSED),
        (fake.refused("external_channel_migrating"), DeliveryFailure.REFUSED),
        (fake.refused("invalid_arguments"), DeliveryFailure.PAYLOAD),
        (fake.limited("3"), DeliveryFailure.WAIT),
    ],
    ids=["deleted", "not-ours", "closed", "migrating", "arguments", "429"],
)
def test_what_a_failed_edit_means(
    fault: fake.Fault, delivery: DeliveryFailure, slack: SlackServer, notifier: SlackNotifier
) -> None:
    """An edit of a deleted message fails differently from one that has to wait."""
    posted = post(notifier)
    slack.next("chat.update", fault, fault)
    with pytest.raises(NotifyError) as caught:
        notifier.edit_card(card(), posted)
    assert caught.value.failure is delivery


def test_nothing_is_repeated_silently(slack: SlackServer, notifier: SlackNotifier) -> None:
    """Posts must not be retried silently; edits could be, but the store decides when, not a sleeping thread."""
    posted = post(notifier)
    slack.next("chat.update", fake.DROP_AFTER)
    with pytest.raises(NotifyError) as caught:
        notifier.edit_card(card(RESOLVED), posted)
    assert caught.value.retryable
    assert len(slack.called("chat.update")) == 1


# Finding a message again.


def test_find_by_notice_id(slack: SlackServer, notifier: SlackNotifier) -> None:
    """The message with the notice id, on any page, and only one that the bot sent."""
    slack.say("a copycat", metadata={"event_type": "alertbot_notice", "event_payload": {"notice_id": "n1"}})
    posted = post(notifier)
    for n in range(230):  # more than a page of 200
        slack.say(f"chatter {n}")
    assert notifier.find(channel="#cc-alerts", notice_id="n1", since=SENT, thread=None) == posted
    assert notifier.find(channel="#cc-alerts", notice_id="n2", since=SENT, thread=None) is None
    assert notifier.find(channel="C0ALERTS", notice_id="n1", since=SENT, thread=None) == posted
    assert all(call["include_all_metadata"] == "1" for call in slack.called("conversations.history"))


def test_find_searches_no_further_back_than_the_claim(slack: SlackServer, notifier: SlackNotifier) -> None:
    """`oldest` is a minute before the claim, for clocks that differ."""
    post(notifier)
    late = SENT + timedelta(minutes=5)
    assert notifier.find(channel="#cc-alerts", notice_id="n1", since=late, thread=None) is None
    assert float(slack.called("conversations.history")[0]["oldest"]) == late.timestamp() - 60


@pytest.mark.parametrize(("ahead", "from_s"), [(-70, -130), (50, -60)], ids=["behind", "ahead"])
def test_find_knows_the_clock_of_slack(ahead: float, from_s: float, slack: SlackServer) -> None:
    """By its `Date`: a message of a Slack whose clock is behind is found; one that is ahead widens nothing."""
    slack.clock = slack.date = lambda: fake.FIRST_TS + ahead
    notifier = SlackNotifier(TOKEN, api_url=slack.api_url, contact=Contact(lambda: SENT))
    posted = post(notifier)
    restarted = SlackNotifier(TOKEN, api_url=slack.api_url, contact=Contact(lambda: SENT))
    assert restarted.find(channel="C0ALERTS", notice_id="n1", since=SENT, thread=None) == posted
    assert float(slack.called("conversations.history")[0]["oldest"]) == SENT.timestamp() + from_s


def test_find_in_a_thread(slack: SlackServer, notifier: SlackNotifier) -> None:
    """A line is searched for in its thread; a deleted thread holds nothing."""
    posted = post(notifier)
    said = notifier.post_line(line(), posted, notice_id="l1", broadcast=False)
    assert notifier.find(channel="#cc-alerts", notice_id="l1", since=SENT, thread=posted) == said
    assert notifier.find(channel="#cc-alerts", notice_id="l2", since=SENT, thread=posted) is None
    slack.delete(posted.ts)
    slack.delete(said.ts)
    assert notifier.find(channel="#cc-alerts", notice_id="l1", since=SENT, thread=posted) is None


@pytest.mark.parametrize("code", ["missing_scope", "not_in_channel"])
def test_a_closed_history_is_not_refused_credentials(code: str, slack: SlackServer, notifier: SlackNotifier) -> None:
    """Where reading is not allowed, posting may still be."""
    post(notifier)
    slack.next("conversations.history", fake.refused(code))
    with pytest.raises(NotifyError) as caught:
        notifier.find(channel="#cc-alerts", notice_id="n1", since=SENT, thread=None)
    assert caught.value.failure is DeliveryFailure.CHANNEL


def test_check_names_the_owner_of_the_token(slack: SlackServer, notifier: SlackNotifier) -> None:
    """auth.test, for readiness: the bot's identity, or CREDENTIALS."""
    assert notifier.check().user_id == fake.BOT_USER_ID
    with pytest.raises(NotifyError) as caught:
        SlackNotifier("xoxb-wrong", api_url=slack.api_url).check()
    assert caught.value.failure is DeliveryFailure.CREDENTIALS
    assert "xoxb-wrong" not in str(caught.value)


def test_templates_next_to_the_rules(slack: SlackServer, tmp_path: Path) -> None:
    """A custom template draws the card; a broken one is replaced by the built-in card and reported once."""
    (tmp_path / "mine.j2").write_text('{% extends "alert.j2" %}{% block title %}Mine: {{ card.where }}{% endblock %}')
    (tmp_path / "bad.j2").write_text('{% extends "alert.j2" %}{% block title %}{{ card.nothing }}{% endblock %}')
    notifier = SlackNotifier(TOKEN, api_url=slack.api_url, template_folders=[tmp_path])
    for n, template in enumerate(["mine", "bad", "bad"]):
        alert = replace(FIRING, about=replace(FIRING.about, template=template))
        notifier.post_card(card(alert), channel="#cc-alerts", notice_id=f"n{n}")
    titles = [message["blocks"][0]["text"]["text"] for message in slack.top()]
    assert titles == ["Mine: Sales EU", *["🔴 Critical: Sales EU — Longest wait in queue"] * 2]
    (fault,) = notifier.take_faults()
    assert str(tmp_path / "bad.j2") in str(fault)
