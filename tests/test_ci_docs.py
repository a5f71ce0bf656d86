"""docs/ci.md: its jobs are valid for GitHub and GitLab, and what they run of alertbot works; so do the hooks."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from alertbot.cli import main
from alertbot.cli.init import write_files
from tests.foreign import program

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
HOOKS, POLICY, GITHUB, GITLAB = BLOCKS


def read(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        pytest.param("vendor.github-workflows", GITHUB, id="GitHub"),
        pytest.param("vendor.gitlab-ci", GITLAB, id="GitLab"),
    ],
)
def test_the_jobs_are_valid(schema: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(text)
    checked = subprocess.run(  # a program that .ci/foreign installed
        [program("check-jsonschema"), "--builtin-schema", schema, str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def _commands(lines: list[str]) -> list[list[str]]:
    return [shlex.split(line.partition(" > ")[0])[1:] for line in lines if line.startswith("alertbot ")]


JOBS = {
    "GitHub": _commands([step["run"] for step in read(GITHUB)["jobs"]["rules"]["steps"] if "run" in step]),
    "GitLab": _commands(read(GITLAB)["alert-rules"]["script"]),
}


@pytest.mark.parametrize("commands", JOBS.values(), ids=JOBS)
def test_the_commands_of_the_jobs(
    commands: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder as `init` makes it, which has no database yet: `replay` says so, the others find nothing wrong."""
    write_files(tmp_path)
    write_files(tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    assert [command[0] for command in commands] == ["check", "test", "replay"]
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(command)
        said = capsys.readouterr()
        if command[0] == "replay":
            assert "database" in said.err, said.err
        else:
            assert ended.value.code == 0, said


def test_the_hooks(tmp_path: Path) -> None:
    """What docs/ci.md names is there, and passes on rules as `init` writes them."""
    hooks = {hook["id"]: hook for hook in read((ROOT / ".pre-commit-hooks.yaml").read_text())}
    assert [hook["id"] for hook in read(HOOKS)["repos"][0]["hooks"]] == list(hooks)
    write_files(tmp_path)
    for hook in hooks.values():
        assert not hook["pass_filenames"]
        assert re.search(hook["files"], "rules/queues.yaml")
        assert re.search(hook["files"], "ops/alertbot.yaml")
        command = [Path(sys.executable).parent / "alertbot", *hook["entry"].split()[1:], *hook["args"]]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_pre_commit_accepts_the_hooks() -> None:
    checked = subprocess.run(
        [program("pre-commit"), "validate-manifest", str(ROOT / ".pre-commit-hooks.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_policy_is_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "alertbot.yaml"
    config.write_text(config.read_text(encoding="utf-8") + "\n" + POLICY, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["check"])
    said = capsys.readouterr().out
    assert ended.value.code == 1
    assert 'warning: rule longest-wait: no label "team"; policy requires it for every rule' in said
    assert "policy.max_per_day was not checked: there is no recording" in said
