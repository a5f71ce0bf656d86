"""Release files: the same commit gives the same files, whatever the folder, the time and the umask are."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from datetime import date
from pathlib import Path

import pytest

from alertbot import __version__
from tests.foreign import FOLDER

ROOT = Path(__file__).parent.parent
SOURCES = ("alertbot", "rules", "pyproject.toml", "README.md", "LICENSE")
PYTHON = FOLDER / "checkers" / "bin" / "python"


def built(folder: Path, mtime: int, umask: int) -> dict[str, str]:
    """The files that a copy of the sources in this folder is built to, with their digests."""
    source = folder / "source"
    source.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    for path in source.rglob("*"):
        path.chmod(0o777 & ~umask if path.is_dir() else 0o666 & ~umask)
        os.utime(path, (mtime, mtime))
    command = [str(PYTHON), "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(source)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1767225600"}
    done = subprocess.run(command, env=environment, umask=umask, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "dist").iterdir()}


def test_the_same_sources_give_the_same_files(tmp_path: Path) -> None:
    """A wheel and an sdist, byte for byte; the wheel has the rules for the demo, and no tests."""
    probe = [str(PYTHON), "-c", "import build, hatchling"]
    if not PYTHON.exists() or subprocess.run(probe, capture_output=True).returncode != 0:
        pytest.skip("build is not installed: run .ci/foreign")
    first = built(tmp_path / "a", mtime=1_700_000_000, umask=0o022)
    second = built(tmp_path / "b" / "deeper", mtime=1_800_000_000, umask=0o077)
    assert first == second
    assert sorted(Path(name).suffix for name in first) == [".gz", ".whl"]
    (wheel,), (sdist,) = (list((tmp_path / "a" / "dist").glob(pattern)) for pattern in ("*.whl", "*.tar.gz"))
    names = zipfile.ZipFile(wheel).namelist()
    assert "alertbot/shipped_rules/queues.yaml" in names
    pages = {f"alertbot/page/{path}" for path in ("templates/base.html", "static/page.css", "static/page.js")}
    assert pages <= set(names)
    assert not [name for name in names if name.startswith("tests/")]
    with tarfile.open(sdist) as archive:
        assert {member.mtime for member in archive.getmembers()} == {1767225600}


def test_the_version_is_the_newest_of_the_changelog() -> None:
    """pyproject.toml, `alertbot --version`, docs/ci.md and the first section of CHANGELOG.md agree; it has a date."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (first, day), *_ = re.findall(r"^## (\S+) \((.*)\)$", changelog, re.MULTILINE)
    assert (first, __version__) == (version, version)
    date.fromisoformat(day)
    assert f"rev: v{version}\n" in (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")


def test_files_of_secrets_are_in_no_commit() -> None:
    """The files that the documents tell users to fill in: .gitignore has them, so no release does either."""
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"/alertbot.yaml", "/secrets.env"} <= set(ignored)
