"""What holds for all tests."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator

import pytest
import structlog

# Processes that tests start, dozens of them, take the compiled modules that are there instead of compiling all again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A test that configures logging does not leave its stream, closed by then, to the next one."""
    root, own = logging.getLogger(), logging.getLogger("alertbot")
    kept = (root.handlers[:], root.level, own.level, structlog.get_config())
    yield
    root.handlers[:], level, own_level, config = kept
    root.setLevel(level)
    own.setLevel(own_level)
    structlog.configure(**config)
