"""The heap of a long-running process: one malloc arena, memory that is given back, few garbage collections.

glibc gives each thread an arena, up to eight for each core, and memory that is freed in an arena is rarely given back
or used by another one. Every delivery runs in a thread of its own, so the arenas fill one after the other. Python holds
its lock while it allocates: more than one arena gains nothing.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from datetime import timedelta

FIRST_GIVE_BACK_AFTER = timedelta(seconds=30)
"""The first polls of a process need the most: templates are compiled, caches filled."""
GIVE_BACK_EVERY = timedelta(minutes=10)

GARBAGE_AFTER = 10_000
"""How many containers more than before there have to be until Python searches for garbage in cycles.

A poll makes thousands, nearly all in no cycle: each is freed when the last reference to it goes. With Python's 700 a
poll of 1,000 entities was searched 2 to 9 times, which took a tenth of its CPU time, a fifth where every value changed.
"""

_M_ARENA_MAX = -8  # malloc.h of glibc
_ARENAS = 1


def _glibc() -> ctypes.CDLL | None:
    """The C library, where it is glibc: others have neither arenas nor the functions called here."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None


def limit_arenas() -> None:
    """Let all threads share one arena; to be called before there are any. MALLOC_ARENA_MAX, where it is set, counts."""
    libc = _glibc()
    if libc is not None and "MALLOC_ARENA_MAX" not in os.environ:
        libc.mallopt(_M_ARENA_MAX, _ARENAS)


def settle() -> None:
    """To be called once, when everything is made: give back what only starting needed, and keep the rest for good.

    What is there now is not searched for garbage again, and what comes later not as often (GARBAGE_AFTER).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER, *gc.get_threshold()[1:])
    give_back()


def give_back() -> None:
    """Give memory that is free back to the system: malloc keeps it otherwise. It takes a few milliseconds."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)
