"""The threads of requests: they are used again, and a call that hangs holds up no other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from alertbot.sources.eight_by_eight.request_pool import _Threads

LIMIT_S = 10.0


def ran_in(threads: _Threads, call: Callable[[], object] = lambda: None) -> int:
    """The thread in which a call ran."""
    answer: queue.SimpleQueue[int] = queue.SimpleQueue()

    def work() -> None:
        call()
        answer.put(threading.get_ident())

    threads.run(work)
    return answer.get(timeout=LIMIT_S)


def test_a_thread_that_has_finished_runs_the_next_call() -> None:
    """One that has just answered may not wait yet: then another is started, so there are a few."""
    threads = _Threads()
    assert len({ran_in(threads) for _ in range(200)}) < 20


def test_calls_at_the_same_time_have_threads_of_their_own() -> None:
    threads, meeting = _Threads(), threading.Barrier(3)
    for _ in range(2):
        threads.run(lambda: (meeting.wait(LIMIT_S), None)[1])
    ran_in(threads, lambda: meeting.wait(LIMIT_S))


def test_a_call_that_hangs_keeps_its_thread_to_itself() -> None:
    threads, never = _Threads(), threading.Event()
    stuck: queue.SimpleQueue[int] = queue.SimpleQueue()

    def hang() -> None:
        stuck.put(threading.get_ident())
        never.wait(LIMIT_S)

    threads.run(hang)
    ident = stuck.get(timeout=LIMIT_S)
    assert ident not in {ran_in(threads) for _ in range(20)}
    never.set()
