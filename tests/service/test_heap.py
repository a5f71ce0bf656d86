"""One arena of malloc for all threads, memory that is given back, and garbage: in processes of their own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

ARENAS = """
import ctypes, sys, tempfile, threading
from alertbot.service.heap import limit_arenas, settle
if sys.argv[1] == "limited":
    limit_arenas()
everywhere = threading.Barrier(9)
def allocate():
    kept = [ctypes.create_string_buffer(50_000) for _ in range(20)]
    everywhere.wait()
    everywhere.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
for each in threads:
    each.start()
everywhere.wait()
settle()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as file:
    stream = libc.fopen(file.name.encode(), b"w")
    libc.malloc_info(0, ctypes.c_void_p(stream))
    libc.fclose(ctypes.c_void_p(stream))
    print(file.read().decode().count("<heap nr="))
everywhere.wait()
"""
"""Prints the number of arenas while eight threads hold memory."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no arenas")
@pytest.mark.parametrize(
    ("limited", "environment", "arenas"),
    [("limited", {}, 1), ("limited", {"MALLOC_ARENA_MAX": "3"}, 3), ("as it is", {"MALLOC_ARENA_MAX": "4"}, 4)],
    ids=["one for all threads", "the environment counts", "without the limit"],
)
def test_the_threads_of_run_share_an_arena(limited: str, environment: dict[str, str], arenas: int) -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    done = subprocess.run(
        [sys.executable, "-c", ARENAS, limited],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert int(done.stdout) == arenas


GIVEN_BACK = """
import ctypes, re
from alertbot.service.heap import give_back, limit_arenas
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
limit_arenas()
parts = [ctypes.create_string_buffer(b"x" * 50_000, 50_000) for _ in range(1000)]
del parts[::2]  # what is between others malloc does not give back by itself
before = resident()
give_back()
print(before - resident())
"""
"""Prints the kB that are given back of 25 MB that are free."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no malloc_trim")
def test_free_memory_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", GIVEN_BACK], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) > 20_000


SEARCHES = """
import gc
from alertbot.service.heap import GARBAGE_AFTER, settle
class Node: pass
def cycles(count):
    for _ in range(count):
        node = Node()
        node.itself = node
def searches(work):
    count = []
    gc.callbacks.append(lambda phase, info: count.append(info["collected"]) if phase == "stop" else None)
    kept = work()
    gc.callbacks.clear()
    return len(count), sum(count)
settle()
print(searches(lambda: [[] for _ in range(GARBAGE_AFTER - 1000)])[0])
print(searches(lambda: cycles(2 * GARBAGE_AFTER))[1] > GARBAGE_AFTER)
"""
"""Prints how often garbage was searched for while a poll's worth of objects was made, and whether cycles are freed."""


def test_a_poll_is_not_searched_for_garbage_and_cycles_are_still_freed() -> None:
    done = subprocess.run([sys.executable, "-c", SEARCHES], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["0", "True"]
