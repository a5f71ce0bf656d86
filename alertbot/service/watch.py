"""Calls back when rule files may have changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import watchfiles

from alertbot.logs import logger

LOOK_EVERY = 0.5
"""Seconds between two looks at the files, where no event of the file system asks for one sooner."""

WATCH_AGAIN = 60.0
"""Seconds until watching is tried anew where the system refused it (a limit of inotify, a folder that is gone)."""

log = logger("reloader")


def watch(paths: Sequence[Path], stop: threading.Event, look: Callable[[], None]) -> None:
    """Call `look` when something below `paths` changes, and every LOOK_EVERY anyway, until `stop` is set.

    The events only make it quicker: on network mounts and in containers some never come, and a folder that was put in
    place of another one has none. So nothing depends on them, and `look` has to find out by itself what changed.
    """
    refused = False
    while not stop.is_set():
        try:
            for _ in watchfiles.watch(
                *(path for path in paths if path.exists()),
                stop_event=stop,
                debounce=200,
                rust_timeout=int(LOOK_EVERY * 1000),
                yield_on_timeout=True,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                look()
        except (OSError, RuntimeError) as error:  # RuntimeError: what watchfiles calls its own
            if not refused:
                log.warning("rule files are looked at every so often, not watched", problem=str(error))
            refused = True
            for _ in range(int(WATCH_AGAIN / LOOK_EVERY)):
                if stop.wait(LOOK_EVERY):
                    return
                look()
