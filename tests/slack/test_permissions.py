"""Who may change something; user groups are read in the background."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from alertbot.slack.permissions import MayChange, Permissions

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


def _becomes(condition: object) -> bool:
    pause = threading.Event()
    for _ in range(500):
        if condition():  # type: ignore[operator]
            return True
        pause.wait(0.01)
    return False
