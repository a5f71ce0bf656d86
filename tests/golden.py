"""Whole outputs kept as files. `UPDATE_GOLDEN=1 pytest …` rewrites them: review the difference before you commit it."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(__file__).parent / "data"


def check_golden(name: str, found: str) -> None:
    """Compare with tests/data/NAME; the assertion shows the difference."""
    path = DATA / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(found, encoding="utf-8")
    assert path.exists(), f"tests/data/{name} is missing: UPDATE_GOLDEN=1 writes it"
    assert found == path.read_text(encoding="utf-8")
