"""What holds for all tests."""

from __future__ import annotations

import os
import sys

# Processes that tests start, dozens of them, take the compiled modules that are there instead of compiling all again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
