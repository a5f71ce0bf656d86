"""Who may change something; user groups are read in the background."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from slack_sdk.errors import SlackApiError

from alertbot.commands.changes import refused
from alertbot.commands.command import Line, WhoMay
from alertbot.slack.permissions import MayChange, Permissions
from alertbot.slack.replies import slack_message

GROUPS = MayChange(usergroups=frozenset({"S1", "S2"}))


class Workspace:
    """Answers for usergroups.users.list."""

    def __init__(self) -> None:
        self.members: dict[str, list[str]] = {"S1": ["U1"], "S2": ["U2"]}
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def fetch(self, group: str) -> list[str]:
        self.asked.append(group)
        self.gate.wait(10)
        if self.error:
            raise self.error
        return self.members[group]


@contextmanager
def permissions(workspace: Workspace, may: MayChange = GROUPS, **times: float) -> Iterator[Permissions]:
    made = Permissions(may, workspace.fetch, **{"first_wait": 5.0} | times)
    yield made
    workspace.gate.set()
    made.close()


def test_members_of_any_group_may() -> None:
    """A member of one of the groups may, others may not; the members are requested once."""
    workspace = Workspace()
    with permissions(workspace) as may:
        assert [may.allows(user, "C1") for user in ("U1", "U2", "U3")] == [True, True, False]
    assert workspace.asked == ["S1", "S2"]


def test_slack_is_not_asked_if_no_group_matters() -> None:
    """Every user, a named user and a named channel are decided without Slack."""
    workspace = Workspace()
    with permissions(workspace, MayChange()) as may:
        assert may.allows("U9", "C9")
    named = MayChange(frozenset({"U1"}), frozenset({"S1"}), frozenset({"C1"}))
    with permissions(workspace, named) as may:
        assert may.allows("U1", "C9")
        assert may.allows("U9", "C1")
    assert workspace.asked == []


def test_an_unresponsive_slack_delays_no_answer() -> None:
    """The first read is waited for only briefly; until it is done, no group permits anything."""
    workspace = Workspace()
    workspace.gate.clear()
    with permissions(workspace, first_wait=0.05) as may:
        assert not may.allows("U1", "C1")
        workspace.gate.set()
        assert _becomes(lambda: may.allows("U1", "C1"))


def test_old_members_are_used_meanwhile() -> None:
    """When it is time to read again, the old members are used until the response arrives, and while Slack is down."""
    workspace = Workspace()
    with permissions(workspace, keep=0.0, retry_after=0.0) as may:
        assert may.allows("U1", "C1")
        workspace.error = OSError("down")
        assert may.allows("U1", "C1")
        workspace.error = None
        workspace.members["S1"] = ["U5"]
        assert _becomes(lambda: may.allows("U5", "C1"))
        assert not may.allows("U1", "C1")


def test_a_failed_read_is_retried() -> None:
    """Groups that cannot be read permit nothing, and are read again later."""
    workspace = Workspace()
    workspace.error = OSError("down")
    with permissions(workspace, retry_after=0.0) as may:
        assert not may.allows("U1", "C1")
        workspace.error = None
        assert _becomes(lambda: may.allows("U1", "C1"))


REFUSALS = {
    "a user": (WhoMay(users=("U111",)), "Only <@U111> can change alerts."),
    "two users": (WhoMay(users=("U111", "U222")), "Only <@U111> and <@U222> can change alerts."),
    "a group": (WhoMay(usergroups=("S1",)), "Only members of <!subteam^S1> can change alerts."),
    "a channel": (
        WhoMay(channels=("C0123456", "C0123457")),
        "Only users in <#C0123456> or <#C0123457> can change alerts.",
    ),
    "all three": (
        WhoMay(("U111", "U222"), ("S1", "S2"), ("C0123456",)),
        "Only <@U111>, <@U222>, members of <!subteam^S1> or <!subteam^S2> and users in <#C0123456> can change alerts.",
    ),
    "many users": (
        WhoMay(users=tuple(f"U{number}" for number in range(101, 1113))),
        f"Only {', '.join(f'<@U{number}>' for number in range(101, 111))} and 1,002 other users can change alerts.",
    ),
    "what is no id": (
        WhoMay(users=("<!channel>",), channels=("#cc",)),
        "Only &lt;!channel&gt; and users in #cc can change alerts.",
    ),
    "a group that is not known": (
        WhoMay(("U111",), ("S1",), unread={"S1": "Slack could not be reached"}),
        "Only <@U111> and members of <!subteam^S1> can change alerts.\n"
        "🟠 The members of <!subteam^S1> are not known, so none of them can: Slack could not be reached.",
    ),
}


@pytest.mark.parametrize(("who", "says"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_says_who_may(who: WhoMay, says: str) -> None:
    """As names in Slack, for the asker alone: mentions in an ephemeral message notify no one. In a terminal as ids."""
    message = slack_message(refused(who), public=True)
    assert message["response_type"] == "ephemeral"
    shown = message["blocks"][0]["text"]["text"].replace("\u200b", "")
    refusal, where = (
        "*You are not allowed to change alerts from here.*",
        "This is set in alertbot.yaml: slack.may_change.",
    )
    assert shown == f"{refusal}\n{says}\n{where}"
    ids = " ".join(part.text for part in refused(who).parts if isinstance(part, Line))
    assert all(each in ids for each in (*who.users[:10], *who.usergroups, *who.channels))
    assert "<@" not in ids


def _slack_says(code: str) -> SlackApiError:
    return SlackApiError("refused, with the token xoxb-1", {"ok": False, "error": code})  # type: ignore[no-untyped-call]


UNREAD = {
    "no scope": (_slack_says("missing_scope"), "the Slack app lacks the scope usergroups:read"),
    "no such group": (_slack_says("no_such_subteam"), "Slack knows no such user group"),
    "another refusal": (_slack_says("account_inactive"), "Slack refused to list them (account_inactive)"),
    "no answer": (OSError("xoxb-1"), "Slack could not be reached"),
}


@pytest.mark.parametrize(("error", "why"), UNREAD.values(), ids=UNREAD)
def test_a_group_that_cannot_be_read_allows_no_one_and_says_why(error: Exception, why: str) -> None:
    """In the refusal and in `status`, until it was read; a user who is allowed otherwise is not affected."""
    workspace = Workspace()
    workspace.error = error
    may_change = MayChange(users=frozenset({"U9"}), usergroups=frozenset({"S1"}))
    with permissions(workspace, may_change, retry_after=0.0) as may:
        assert may.allows("U9", "C1")
        assert not may.allows("U1", "C1")
        assert may.who_may().unread["S1"].startswith(why)
        assert may.problem.startswith(f"The members of user groups in slack.may_change are not known: S1: {why}")
        assert "xoxb" not in f"{may.problem} {may.who_may()}"
        workspace.error = None
        assert _becomes(lambda: may.allows("U1", "C1"))
        assert may.who_may() == WhoMay(("U9",), ("S1",))
        assert not may.problem


def _becomes(condition: object) -> bool:
    pause = threading.Event()
    for _ in range(500):
        if condition():  # type: ignore[operator]
            return True
        pause.wait(0.01)
    return False
