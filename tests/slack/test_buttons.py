"""Give back, the Silence menu and its form, from the press to the answer, with a Slack behind them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from slack_bolt import BoltRequest, BoltResponse
from slack_sdk import WebClient

from alertbot.alerts.silence import Matcher
from alertbot.commands.command import Line, Reply, Unacknowledge
from alertbot.errors import StoreError
from alertbot.slack.buttons import buttons
from alertbot.slack.desk import SlackApp
from alertbot.slack.modals import errors, said, silence_form, submitted
from alertbot.slack.permissions import MayChange
from tests.commands.kit import NOW, alert
from tests.golden import check_golden
from tests.slack.slack_server import (
    DROP_BEFORE,
    HTML,
    SERVER_ERROR,
    TOKEN,
    Fault,
    SlackServer,
    problem_of,
    problem_of_view,
    refused,
    slack_server,
)
from tests.web.kit import Desk, choose, press, submit

ANNA, BOB = "U012ANNA", "U034BOB"
ABOUT = Matcher((("tenant", "acme"), ("rule", "longest-wait"), ("name", "Sales EU")))
HOUR = timedelta(hours=1)


@dataclass
class Bot:
    """A SlackApp with a Slack behind it."""

    slack: SlackServer
    app: SlackApp
    desk: Desk
    sent: int = 0

    def send(self, body: bytes) -> Any:
        """The acknowledgement: its JSON, or "" for an empty one."""
        headers = {"content-type": ["application/x-www-form-urlencoded"]}
        answer: BoltResponse = self.app.dispatch(BoltRequest(body=body.decode(), headers=headers))
        assert answer.status == 200
        return json.loads(answer.body) if answer.body else ""

    def press(self, value: str, *, action: str = "give_back", user: str = ANNA, trigger: str = "") -> None:
        self.sent += 1
        more = {"response_url": self.slack.response_url, "trigger_id": trigger or f"t{self.sent}"}
        assert self.send(press(value, action=action, user=user, **more)) == ""

    def choose(self, value: str, *, user: str = ANNA, trigger: str = "", **other: Any) -> None:
        self.sent += 1
        more = {"response_url": self.slack.response_url, "trigger_id": trigger or f"t{self.sent}"}
        assert self.send(choose(value, user=user, **more | other)) == ""

    def open(self, value: str = "other 17", **other: Any) -> dict[str, Any]:
        """The form that an option opened."""
        self.choose(value, **other)
        assert self.slack.answered.acquire(timeout=10)
        return self.slack.views[-1]

    def submit(self, view: dict[str, Any], time: str, reason: str = "", **other: Any) -> dict[str, Any]:
        """The acknowledgement of a form that was filled in."""
        self.sent += 1
        found = self.send(submit(view, time, reason, **{"trigger_id": f"t{self.sent}"} | other))
        assert found["response_action"] in ("errors", "update")
        if "view" in found:
            assert problem_of_view(found["view"]) == ""
        return dict(found)


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with slack_server() as server:
        server.zones = {ANNA: "Europe/Helsinki", BOB: "America/New_York"}
        yield server


def made(slack: SlackServer, **other: Any) -> Bot:
    desk = Desk()
    return Bot(slack, desk.app(WebClient(token=TOKEN, base_url=slack.api_url), **other), desk)


@pytest.fixture
def bot(slack: SlackServer) -> Iterator[Bot]:
    found = made(slack)
    yield found
    found.app.close(10)


def words(view: dict[str, Any]) -> str:
    """What a modal says, its inputs left out."""
    return "\n".join(block["text"]["text"] for block in view["blocks"] if block["type"] == "section")


def test_the_owner_gives_back(bot: Bot) -> None:
    """The card shows it, so there is no other answer; the delivery is woken."""
    bot.desk.alert = alert(acked_by=ANNA)
    bot.press("17")
    assert bot.desk.woken.wait(10)
    assert bot.desk.asked[0][0] == Unacknowledge(17, own=True)
    assert bot.desk.alert.acked_by is None
    bot.press("17")
    assert "is not acknowledged." in bot.slack.answer_sent()["text"]
    assert bot.slack.answers == []


def test_another_may_not_give_back(bot: Bot) -> None:
    """Pressed by another it is refused with the owner's name, and what to type to take it over."""
    bot.desk.alert = alert(acked_by=ANNA, acked_at=NOW - timedelta(minutes=5))
    bot.press("17", user=BOB)
    answer = bot.slack.answer_sent()
    assert (answer["response_type"], answer["replace_original"]) == ("ephemeral", False)
    assert answer["text"] == (
        "#17 (Longest wait in queue: Sales EU) was acknowledged by <@U012ANNA> at 03:55 EST: only they can give it "
        "back with this button.\nTo take it over: unack #17, then ack #17."
    )
    assert bot.desk.alert.acked_by == ANNA
    assert not bot.desk.woken.is_set()


def test_two_give_back_at_once(bot: Bot) -> None:
    """The owner gives it back once, even if others press too, and each of them is answered."""
    bot.desk.alert = alert(acked_by=ANNA)
    users = [ANNA, ANNA, BOB, "U9"]
    threads = [
        threading.Thread(target=bot.press, args=["17"], kwargs={"user": user, "trigger": f"g{number}"})
        for number, user in enumerate(users)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    answers = [bot.slack.answer_sent()["text"] for _ in range(3)]
    assert all("is not acknowledged." in text or "was acknowledged by <@U012ANNA>" in text for text in answers)
    assert bot.desk.alert.acked_by is None
    assert len(bot.desk.asked) == 4


CHOSEN = {
    "an hour": ("1h 17", "Silence #20 until 12:00 EET (1h left), by <@U012ANNA>: "),
    "until tomorrow": ("tomorrow 17", "Silence #20 until 2026-03-03 08:00 EET (21h left), by <@U012ANNA>: "),
    "of a card that ended": ("1h card:5", "All alerts on this card have already ended: nothing was silenced."),
    "no calendar": ("close 17", "No opening hours apply to this alert: choose another time."),
    "of another version": ("3h 17", "This menu option does not exist: choose another one."),
    "made up": ("1h 17; drop", "This menu option does not exist: choose another one."),
    "an alert that never was": ("1h 99", "There is no alert #99."),
}


@pytest.mark.parametrize(("value", "says"), CHOSEN.values(), ids=CHOSEN)
def test_an_option_is_answered(bot: Bot, value: str, says: str) -> None:
    """For the one who chose alone, and the card stays; what was made names its end and what it matches."""
    bot.choose(value)
    answer = bot.slack.answer_sent()
    assert answer["text"].startswith(says)
    assert (answer["response_type"], answer["replace_original"]) == ("ephemeral", False)
    assert len(bot.desk.silences) == says.startswith("Silence #20")
    assert bot.desk.woken.is_set() is says.startswith("Silence #20")
    if bot.desk.silences:
        assert bot.desk.silences[0].matcher == ABOUT
        assert "It matches 1 open alert: #17 Sales EU." in answer["text"]


def test_nothing_chosen(bot: Bot) -> None:
    """A menu that was cleared, or a button that says it is the menu: a sentence, not a failure."""
    for actions in (
        [{"type": "static_select", "action_id": "silence", "block_id": "b", "selected_option": None}],
        [{"type": "button", "action_id": "silence", "block_id": "b", "value": "17"}],
    ):
        bot.choose("", actions=actions)
        assert bot.slack.answer_sent()["text"].startswith("This menu option does not exist")
    assert bot.desk.asked == []


def test_the_same_press_twice_is_one_silence(bot: Bot) -> None:
    """A repeated delivery has the same trigger_id."""
    for _ in range(3):
        bot.choose("1h 17", trigger="same")
    assert bot.slack.answer_sent()["text"].startswith("Silence #20 ")
    assert (len(bot.desk.silences), bot.slack.answers) == (1, [])


def test_the_form(bot: Bot) -> None:
    """What is silenced in words; a time and a reason make the silence, and the modal says which one."""
    form = bot.open()
    assert words(form) == '*Longest wait in queue: Sales EU*\n`tenant=acme rule=longest-wait name="Sales EU"`'
    assert [block["block_id"] for block in form["blocks"] if block["type"] == "input"] == ["time", "reason"]
    found = bot.submit(form, "until 13:00", "new phones")
    assert found["response_action"] == "update"
    assert words(found["view"]).startswith("*Silence #20 until 13:00 EET (2h left), by <@U012ANNA>: tenant=acme ")
    assert "submit" not in found["view"]
    (silence,) = bot.desk.silences
    assert (silence.matcher, silence.ends_at, silence.reason) == (ABOUT, NOW + 2 * HOUR, "new phones")
    assert bot.desk.woken.is_set()
    assert bot.slack.answers == []


def test_the_whole_form_and_its_answer(bot: Bot) -> None:
    """As Slack gets them; a name that looks like markup is shown as it is."""
    bot.desk.alert = alert(entity=("103", "<!channel> *Sales* & `Co`"))
    form = bot.open()
    answer = bot.submit(form, "2h", "new <phones>")["view"]
    check_golden("slack/silence-form.json", json.dumps(form, indent=2, ensure_ascii=False) + "\n")
    check_golden("slack/silence-form-answered.json", json.dumps(answer, indent=2, ensure_ascii=False) + "\n")


def test_the_menu_while_a_business_is_open() -> None:
    """Every option, for an alert with an owner."""
    drawn = buttons([17], owned=True, closes=True)
    check_golden("slack/buttons-owned.json", json.dumps(drawn, indent=2, ensure_ascii=False) + "\n")
    assert problem_of({"text": "x", "blocks": [{"type": "actions", "elements": drawn}]}) == ""


def test_what_is_wrong_is_shown_in_the_form(bot: Bot) -> None:
    """Beside the field, as plain text; corrected, the same form makes the silence."""
    form = bot.open()
    wrong = bot.submit(form, "until 8:00")
    said = "08:00 has already passed (it is 11:00 EET): write until tomorrow 08:00."
    assert wrong == {"response_action": "errors", "errors": {"time": said}}
    assert bot.submit(form, "<b>2h</b> & more")["errors"]["time"].startswith("“<b>2h</b>” is not a duration: ")
    assert bot.desk.silences == []
    assert bot.submit(form, "until tomorrow 8:00")["response_action"] == "update"
    assert len(bot.desk.silences) == 1


@pytest.mark.parametrize("trigger", ["same", ""], ids=["delivered twice", "submitted twice"])
def test_a_form_makes_one_silence(bot: Bot, trigger: str) -> None:
    """Slack may deliver it twice, and invites to submit again when the first answer was late."""
    form = bot.open()
    more = {"trigger_id": trigger} if trigger else {}
    first, second = (bot.submit(form, "2h", **more) for _ in range(2))
    assert first == second
    assert len(bot.desk.silences) == 1
    third = bot.submit(bot.open(), "3h")
    assert "#21 " in words(third["view"])


def test_a_form_at_once_by_many_connections(bot: Bot) -> None:
    """The same envelope over several sockets."""
    form = bot.open()
    threads = [threading.Thread(target=bot.submit, args=[form, "2h"], kwargs={"trigger_id": "x"}) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(bot.desk.silences) == 1


def test_the_alert_ended_while_the_form_was_open(bot: Bot) -> None:
    """The state is read again: nothing is silenced for what is not there."""
    form = bot.open()
    bot.desk.alert = alert(99)
    assert bot.submit(form, "2h")["errors"] == {"time": "There is no alert #17."}
    assert bot.desk.silences == []


def test_who_may_not_change_gets_no_form(slack: SlackServer) -> None:
    """Refused where it is chosen, and again where a form is submitted by someone else."""
    bot = made(slack, may_change=MayChange(users=frozenset({ANNA})))
    try:
        bot.choose("other 17", user=BOB)
        assert "slack.may_change" in slack.answer_sent()["text"]
        assert slack.views == []
        form = bot.open(user=ANNA)
        assert "slack.may_change" in bot.submit(form, "2h", user=BOB)["errors"]["time"]
        bot.choose("1h 17", user=BOB)
        assert "slack.may_change" in slack.answer_sent()["text"]
        assert bot.desk.silences == []
        assert bot.submit(form, "2h")["response_action"] == "update"
    finally:
        bot.app.close(10)


def test_a_channel_that_may_change(slack: SlackServer) -> None:
    """The form remembers the channel of its card: Slack does not say it again when the form is submitted."""
    bot = made(slack, may_change=MayChange(channels=frozenset({"C01ALERTS"})))
    try:
        form = bot.open()
        assert bot.submit(form, "2h")["response_action"] == "update"
        bot.choose("other 17", channel={"id": "C9"})
        assert "slack.may_change" in slack.answer_sent()["text"]
    finally:
        bot.app.close(10)


def test_a_slow_database_does_not_delay_the_form(bot: Bot) -> None:
    """It opens within Slack's 3 s, without what it is about; that is read when it is submitted."""
    bot.desk.wait_for = threading.Event()
    form = bot.open()
    assert words(form) == "This silences what the card is about."
    bot.desk.wait_for.set()
    assert 'name="Sales EU"' in words(bot.submit(form, "2h")["view"])


def test_a_slow_change_is_shown_later(slack: SlackServer) -> None:
    """The form is acknowledged in time and says so; it is updated when the silence is made."""
    bot = made(slack, answer_within=0.05)
    try:
        form = bot.open()
        bot.desk.change_waits_for = threading.Event()
        assert words(bot.submit(form, "2h")["view"]) == "This takes longer than usual; the answer follows here."
        assert words(bot.submit(form, "2h")["view"]) == "This takes longer than usual; the answer follows here."
        bot.desk.change_waits_for.set()
        assert slack.answered.acquire(timeout=10)
        assert words(slack.views[-1]).startswith("*Silence #20 until ")
        assert (len(bot.desk.silences), len(slack.called("views.update"))) == (1, 1)
    finally:
        bot.app.close(10)


AGAIN = {
    "a form, which may be cancelled": ("other 17", ("17", "other")),
    "a refusal": ("close 17", ("17", "close")),
    "of a card": ("1h card:5", ("card:5", "1h")),
}


@pytest.mark.parametrize(("value", "args"), AGAIN.values(), ids=AGAIN)
def test_the_menu_is_drawn_again(bot: Bot, value: str, args: tuple[str, ...]) -> None:
    """Slack keeps what was chosen, and reports no second choice of the same option: so the card is edited."""
    bot.choose(value)
    assert bot.slack.answered.acquire(timeout=10)
    bot.app.close(10)
    assert [command.args for command in bot.desk.redrawn] == [args]


def test_a_menu_that_cannot_be_drawn_again(bot: Bot, caplog: pytest.LogCaptureFixture) -> None:
    """The answer comes all the same."""
    bot.desk.redraw_error = StoreError("the database is locked")
    bot.choose("1h 17")
    assert bot.slack.answer_sent()["text"].startswith("Silence #20 until ")
    assert "a card was not drawn again: the database is locked" in caplog.text
    bot.press("17", action="why")
    assert "longest-wait" in bot.slack.answer_sent()["text"]


def test_a_failure_keeps_the_form(bot: Bot, caplog: pytest.LogCaptureFixture) -> None:
    """One sentence beside the field, the rest in the log; submitted again, it works."""
    form = bot.open()
    bot.desk.error = StoreError("the database is locked")
    found = bot.submit(form, "2h")
    assert found["errors"]["time"].startswith("Could not answer: the database cannot be used now.")
    assert "the database is locked" in caplog.text
    assert "Traceback" not in caplog.text
    bot.desk.error = None
    assert bot.submit(form, "2h")["response_action"] == "update"


FAULTS = {
    "too late": refused("expired_trigger_id"),
    "Slack is down": SERVER_ERROR,
    "no answer": DROP_BEFORE,
    "not Slack": HTML,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_form_that_cannot_be_opened(bot: Bot, fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    """The one who chose learns it, and can choose again."""
    bot.slack.next("views.open", fault)
    bot.choose("other 17")
    assert bot.slack.answer_sent()["text"].startswith("The form could not be opened: ")
    assert TOKEN not in caplog.text
    assert bot.open()["id"] == "V1"


BROKEN: dict[str, dict[str, Any]] = {
    "no metadata": {"private_metadata": ""},
    "metadata of another form": {"private_metadata": "[]"},
    "metadata without a target": {"private_metadata": '{"channel": "C1"}'},
    "a target that is none": {"private_metadata": '{"channel": "C1", "target": "17; drop"}'},
    "metadata that is not text": {"private_metadata": None},
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_a_form_that_cannot_be_read(bot: Bot, change: dict[str, Any]) -> None:
    """Whatever is sent as a form, the answer is a sentence, and nothing is changed."""
    found = bot.submit(bot.open() | change, "2h")
    shown = words(found["view"]) if "view" in found else found["errors"]["time"]
    assert shown == "This form cannot be read: open it again from the card."
    assert bot.desk.asked == []


def test_modals_are_within_the_limits_of_slack() -> None:
    """Also with names and sentences that are far too long."""
    text = "<&*_`@here> " * 2000
    about = Reply(tuple(Line(text, strong=True, code=number % 2 == 0) for number in range(200)))
    form = silence_form(about, "card:" + "9" * 15, "C" + "9" * 20)
    assert problem_of_view(form) == ""
    assert problem_of_view(said(about)) == ""
    assert 0 < len(errors(about)["time"]) <= 500
    values = {"time": {"text": {"value": "2h"}}, "reason": {"text": {"value": None}}}
    read = submitted(form | {"state": {"values": values}})
    assert read is not None
    assert (read.target, read.channel, read.time, read.reason) == ("card:" + "9" * 15, "C" + "9" * 20, "2h", "")


def test_old_buttons_still_work(bot: Bot) -> None:
    """Cards that were posted by an earlier version: Acknowledge and Why, with the ids of alerts as values."""
    bot.press("17", action="acknowledge")
    assert bot.desk.woken.wait(10)
    assert bot.desk.alert.acked_by == ANNA
    bot.press("17", action="why")
    assert "longest-wait" in bot.slack.answer_sent()["text"]
