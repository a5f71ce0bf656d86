"""The commands, one file each, named as it is typed; the one room that prints and exits."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence

from alertbot.cli.shell import PROBLEM, WRONG_USE, cli
from alertbot.cli.show import err, show_faults
from alertbot.errors import AlertbotError, FaultsFound, OtherVersion, UsageError

__all__ = ["cli", "main"]


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit: no traceback ever reaches a user."""
    try:
        cli(args=args, prog_name="alertbot")
    except FaultsFound as found:
        show_faults(found.faults)
        sys.exit(PROBLEM)
    except (UsageError, OtherVersion) as error:
        err.print(str(error), markup=False, soft_wrap=True)
        sys.exit(WRONG_USE)
    except AlertbotError as error:
        err.print(str(error), markup=False, soft_wrap=True)
        sys.exit(PROBLEM)
    except KeyboardInterrupt:
        sys.exit(130)  # 128 + SIGINT, as shells count
    except BrokenPipeError:  # `alertbot check | head`
        sys.stderr.close()
        sys.exit(PROBLEM)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        err.print(f"the output could not be written: {error.strerror}", markup=False, soft_wrap=True)
        sys.exit(PROBLEM)
