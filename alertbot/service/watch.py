"""Calls back when rule files may have changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import watchfiles

from alertbot.logs import logger

CHECK_EVERY = 0.5
"""Seconds between two checks of the files, unless a file system event asks for one sooner."""
WATCH_AGAIN = 60.0
"""Seconds until watching is retried if the system refused it (a limit of inotify, a folder that was removed)."""

log = logger("reloader")


def watch(paths: Sequence[Path], stop: threading.Event, check: Callable[[], None]) -> None:
    """Call `check` when something below `paths` changes, and every CHECK_EVERY anyway, until `stop` is set.

    Events only make it faster: on network mounts and in containers some are never sent, and a folder that replaced
    another one sends none. So nothing depends on them, and `check` has to find out what changed.
    """
    refused = False
    while not stop.is_set():
        try:
            for _ in watchfiles.watch(
                *(path for path in paths if path.exists()),
                stop_event=stop,
                debounce=200,
                rust_timeout=int(CHECK_EVERY * 1000),
                yield_on_timeout=True,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                check()
        except (OSError, RuntimeError) as error:  # RuntimeError is what watchfiles raises
            if not refused:
                log.warning("rule files cannot be watched; they are checked at intervals", problem=str(error))
            refused = True
            for _ in range(int(WATCH_AGAIN / CHECK_EVERY)):
                if stop.wait(CHECK_EVERY):
                    return
                check()
