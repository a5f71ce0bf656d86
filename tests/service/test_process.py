"""Whether a poller is gone: certain only for a process of this boot and this pid namespace."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from alertbot.errors import LeaseHeld
from alertbot.service.lease import DURATION, Lease
from alertbot.service.process import is_alive, is_gone, name_of_poller
from alertbot.store.records import shown_owner
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import T0, at

NAME = "from alertbot.service.process import name_of_poller; print(name_of_poller(), flush=True); input()"
linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def test_no_two_pollers_share_a_name() -> None:
    """Not even two of one process; the host and the process come first in it."""
    names = {name_of_poller() for _ in range(50)}
    assert len(names) == 50
    assert all(f", process {os.getpid()} (" in name for name in names)


def test_a_process_lives_until_it_ends() -> None:
    """While it lives its lease is not taken over, and at once when it has ended."""
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", NAME], cwd=root, stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        assert f"process {other.pid} (" in name
        assert not is_gone(name)
        assert is_alive(name) is Path("/proc/self/stat").exists()
        other.kill()
        other.wait(10)
        assert is_gone(name)
        assert not is_alive(name)


@linux
def test_a_reused_process_id_is_not_the_poller() -> None:
    """The process of that number started at another time: the poller is gone."""
    mine = name_of_poller()
    assert not is_gone(mine)
    another = re.sub(r"at (\d+)\)$", "at 1)", mine)
    assert is_gone(another)
    assert (is_alive(mine), is_alive(another)) == (True, False)


def elsewhere(what: str, instead: str) -> str:
    ended = re.sub(r"process \d+", "process 4194303", name_of_poller())  # no process of that number runs
    changed = re.sub(what, instead, ended)
    assert changed != ended
    return changed


@linux
@pytest.mark.parametrize(
    ("what", "instead"),
    [
        (r"pid:\[\d+\]", "pid:[1]"),
        (r"boot [\w-]+", "boot 0-0"),
        (r"^.*, process", "other, process"),
        (r", pid.*\)", ")"),
        (r" \(.*", ""),
    ],
    ids=["another namespace", "another boot", "another host", "no namespace known", "of an older version"],
)
def test_another_boot_or_namespace_is_unknown(what: str, instead: str) -> None:
    """A process id that does not exist here may exist there."""
    assert is_gone(elsewhere("run ", "run 0"))
    assert not is_gone(elsewhere(what, instead))


def test_a_name_of_any_other_shape_is_not_gone() -> None:
    """A lease whose owner cannot be parsed is left to expire."""
    for name in ("", "a name", f"x, process {'9' * 400} (run a)"):
        assert not is_gone(name)


@linux
def test_leases_of_pollers_that_are_gone_are_taken_over() -> None:
    """All of them, of whichever poller; a lease of a poller that may live blocks another from taking any."""
    gone = [re.sub("run .", f"run {number}", elsewhere("run ", "run 0")) for number in range(2)]
    store = SqliteStore(":memory:")
    for name, owner in zip(("tenant:acme", "tenant:other", "delivery"), [*gone, gone[0]], strict=True):
        store.take_leases([name], owner, T0, DURATION)
    ours = Lease(store, ["acme", "other"], lambda: at(1), lambda: None)
    ours.take()
    for tenants in ([], ["acme"], ["other", "new"]):
        with pytest.raises(LeaseHeld, match=re.escape(f"host {shown_owner(ours.owner)}, since 09:00 UTC")):
            Lease(store, tenants, lambda: at(2), lambda: None).take()
    store.close()
