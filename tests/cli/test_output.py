"""Output that cannot be shown as it is: another encoding, a full disk, a pipe that was closed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.bot import environment

FULL = Path("/dev/full")
RULES = "rules:\n  - {id: r, title: Zürich → Süd, scope: queue, when: entered.today > 9}\n"


def run(folder: Path, *args: str, encoding: str = "utf-8", stdout: int | None = None) -> tuple[int, bytes, str]:
    """Status, stdout and stderr of a command with this encoding of its output."""
    done = subprocess.run(
        [sys.executable, "-m", "alertbot", *args],
        cwd=folder,
        env=environment(PYTHONIOENCODING=encoding),
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout or b"", done.stderr.decode("utf-8", "replace")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
def test_characters_without_a_code_are_replaced(tmp_path: Path, encoding: str) -> None:
    """The command does what it does; only the character is lost."""
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    status, shown, errors = run(tmp_path, "preview", "r", "--rules", "rules.yaml", encoding=encoding)
    assert (status, errors) == (0, "")
    assert "Z?rich ? S?d" in shown.decode(encoding).replace("ü", "?")


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("args", [["--version"], ["--help"], ["schema", "rules"]], ids=" ".join)
def test_a_full_disk_is_one_sentence(tmp_path: Path, args: list[str]) -> None:
    """Status 1 and why, without a traceback."""
    with FULL.open("wb") as full:
        status, _, errors = run(tmp_path, *args, stdout=full.fileno())
    assert status == 1
    assert errors == "the output could not be written: No space left on device\n"
