"""The `alertbot` command, also as `python -m alertbot`."""

from __future__ import annotations

import gc
import os
import sys
import warnings

FAILED = 1

FOR_LIBRARIES = {
    "OPENBLAS_NUM_THREADS": "1",  # numpy's threads for products of matrices: there are none here, and they take 50 ms
    "PYDANTIC_DISABLE_PLUGINS": "__all__",  # to look for plugins is to read about every installed package
}
"""Variables of the environment that libraries read when they are imported. One that is set already stays."""

NOT_NEEDED = ("chardet", "charset_normalizer")
"""What requests imports, where it is there, to guess how a text is encoded. All that is read from it are bytes: JSON.

Without them `run` takes 3 MiB less, a thirtieth. requests warns where both are missing.
"""


def main() -> None:
    """Run the command line. Ctrl-C while its modules are still being imported ends it without a traceback.

    A character that the terminal or pipe has no code for is replaced: what was done must not fail when it is shown.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    for name, value in FOR_LIBRARIES.items():
        os.environ.setdefault(name, value)
    for name in NOT_NEEDED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # None: as if it were not installed
    warnings.filterwarnings("ignore", "Unable to find acceptable character detection")
    gc.disable()  # what modules make while they are imported stays; cli/table.py enables it when that is done
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
