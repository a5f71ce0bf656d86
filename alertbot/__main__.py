"""The `alertbot` command, also as `python -m alertbot`."""

from __future__ import annotations

import os
import sys

FAILED = 1


def main() -> None:
    """Run the command line. Ctrl-C while its modules are still being imported ends it without a traceback.

    A character that the terminal or pipe has no code for is replaced: what was done must not fail when it is shown.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        from alertbot.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)  # 128 + SIGINT, as shells count
    finally:
        _flush()


def _flush() -> None:
    """Write what is still buffered. Python would report a failure at its end with a traceback, and exit with 120."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError) as error:
        sys.stderr.write(f"the output could not be written: {getattr(error, 'strerror', None) or error}\n")
        sys.stderr.flush()
        os._exit(FAILED)  # not sys.exit: Python would try to write it again


if __name__ == "__main__":
    main()
