"""The commands as they are typed: their output and exit status."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from alertbot.cli import main
from alertbot.cli.init import MODELINE, write_files
from alertbot.simulator.server import SimulatorOptions, serve
from tests.foreign import free_port

CONFIG = """\
tenants:
  - name: acme
    base_url: {base_url}
    token_url: {token_url}
    api_key: sim-key
    api_secret: {secret}
slack:
  bot_token: xoxb-of-the-test
  default_channel: "#cc-alerts"
  api_url: http://127.0.0.1:9/api/
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that `init` has filled, as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALERTBOT_CONFIG", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["init"])
    assert ended.value.code == 0
    return tmp_path


def ran(*args: str) -> int:
    """The exit status of a command."""
    with pytest.raises(SystemExit) as ended:
        main(list(args))
    code = ended.value.code
    assert isinstance(code, int)
    return code


def configure(folder: Path, base_url: str = "http://127.0.0.1:9/x", token_url: str = "", secret: str = "s") -> None:
    text = CONFIG.format(base_url=base_url, token_url=token_url or "http://127.0.0.1:9/token", secret=secret)
    (folder / "alertbot.yaml").write_text(text)


def test_init_writes_what_is_missing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second `init` leaves what is there; `check` has nothing to say about it."""
    capsys.readouterr()
    (folder / "rules" / "queues.yaml").write_text("# ours\nrules: []\n")
    (folder / "rules" / "tests" / "queues.yaml").unlink()
    (folder / "slack-manifest.json").unlink()
    assert ran("init") == 0
    said = capsys.readouterr().out
    assert "kept  alertbot.yaml" in said
    assert "wrote slack-manifest.json" in said
    assert (folder / "rules" / "queues.yaml").read_text().startswith("# ours")
    assert json.loads((folder / "slack-manifest.json").read_text())["settings"]["socket_mode_enabled"] is True
    assert ran("check") == 0


def test_init_attaches_the_schemas(tmp_path: Path) -> None:
    """Each file names a schema that `init` wrote, by a path relative to itself, and that schema takes it."""
    write_files(tmp_path)
    files = [tmp_path / "alertbot.yaml", *sorted((tmp_path / "rules").rglob("*.yaml"))]
    assert len(files) > 3
    for path in files:
        first, _, _ = path.read_text(encoding="utf-8").partition("\n")
        assert first.startswith(MODELINE)
        schema = json.loads((path.parent / first.removeprefix(MODELINE)).read_text(encoding="utf-8"))
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        jsonschema.validate(document, schema)
    settings = json.loads((tmp_path / ".vscode" / "settings.json").read_text(encoding="utf-8"))
    assert all((tmp_path / name).is_file() for name in settings["yaml.schemas"])


def test_the_configuration_may_be_named_before_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as after it; of two, the one after the command counts. A command without configuration ignores it."""
    assert ran("init") == 0
    monkeypatch.chdir(folder.parent)
    config = str(folder / "alertbot.yaml")
    assert ran("--config", config, "check") == 0
    assert ran("-c", config, "check") == 0
    assert ran("-c", "nowhere.yaml", "check", "--config", config) == 0
    capsys.readouterr()
    assert ran("--config", "nowhere.yaml", "check") == 2
    assert "nowhere.yaml" in capsys.readouterr().err
    assert ran("--config", "nowhere.yaml", "metrics", "longest") == 0


def test_a_wrong_configuration_is_2_for_every_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One report that names the key, no traceback, and exit status 2."""
    (folder / "alertbot.yaml").write_text("tenants: []\nslak: {}\n")
    for command in (["run"], ["poll"], ["check"], ["ask", "status"], ["manifest"]):
        capsys.readouterr()
        assert ran(*command) == 2, command
        said = capsys.readouterr()
        assert 'alertbot.yaml:2:1: slak: unknown key (did you mean "slack"?)' in said.err, command
        assert "Traceback" not in said.err


USAGE = {
    "no such command": (["rnu"], 2, "No such command"),
    "no such option": (["run", "--fast"], 2, "No such option"),
    "no such file": (["run", "-c", "nowhere.yaml"], 2, "nowhere.yaml: no such file"),
    "no such schema": (["schema", "queues"], 2, "no schema of 'queues'"),
    "no duration": (["demo", "--for", "soon"], 2, "--for takes a duration such as 60s or 2m"),
    "no such scenario": (["simulate", "--scenario", "party", "--port", "0"], 2, "party"),
    "a speed of nothing": (["demo", "--speed", "0"], 2, "--speed"),
    "secrets missing": (["run"], 2, "the environment variable EIGHT_BY_EIGHT_KEY is not set"),
    "no database yet": (["ask", "status"], 1, "there is no database yet"),
    "no such path": (["check", "nowhere/"], 1, "nowhere"),
}


@pytest.mark.parametrize(("args", "code", "text"), USAGE.values(), ids=USAGE.keys())
def test_wrong_use(folder: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: int, text: str) -> None:
    """One clear line and the documented exit status."""
    capsys.readouterr()
    assert ran(*args) == code
    said = capsys.readouterr()
    assert text in said.out + said.err
    assert "Traceback" not in said.out + said.err


PAGE = {
    "loopback": ("127.0.0.1", "", False),
    "all interfaces": ("0.0.0.0", "", True),
    "with a password": ("0.0.0.0", "correct horse battery", False),
    "a name": ("alerts.example", "", True),
}


@pytest.mark.parametrize(("host", "password", "hinted"), PAGE.values(), ids=PAGE)
def test_check_says_that_there_is_no_status_page(
    folder: Path, capsys: pytest.CaptureFixture[str], host: str, password: str, *, hinted: bool
) -> None:
    """A hint at http.host: without a password the page is served on loopback only."""
    with (folder / "alertbot.yaml").open("a") as file:
        file.write(f'http:\n  host: "{host}"\npage: {{password: "{password}"}}\n')
    capsys.readouterr()
    assert ran("check") == 0
    said = capsys.readouterr().out
    assert ("the status page is off: without page.password" in said) == hinted
    assert ("set page.password, at least 12 characters" in said) == hinted


def test_check_names_every_fault(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Faults of several files in one run, with file, line and column; `--json` has the same; exit status 1."""
    (folder / "rules" / "a.yaml").write_text(
        "rules:\n"
        "  - id: sla\n    scope: queue\n    when: slaPercentage.int-30m < 80\n"
        "  - id: wait\n    scope: queue\n    treshold: 3\n    when: interactionsLongestWaitInQueue.rt > 120\n"
        "  - id: wait\n    scope: queue\n    when: interactionsWaitInQeue.rt > 3\n"
    )
    (folder / "rules" / "b.yaml").write_text("rules:\n\t- id: tab\n")
    capsys.readouterr()
    assert ran("check", "rules") == 1
    said = capsys.readouterr().out
    for expected in (
        "rules/a.yaml:4:35: rule sla: ",
        "write 80%",
        'rules/a.yaml:7:5: rule wait: unknown key "treshold"',
        "write 120s",
        "rules/a.yaml:9:9: rule wait: ",
        "interactionsWaitInQueue.rt",
        "rules/b.yaml:2:1: ",
    ):
        assert expected in said, said
    assert ran("check", "rules", "--json") == 1
    faults = json.loads(capsys.readouterr().out)
    assert len(faults) >= 6
    assert {"file", "line", "column", "rule", "message", "hint"} <= set(faults[0])


def test_an_unreachable_8x8(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`poll` reports what it could not reach, in words, and exits with 1."""
    configure(folder, base_url=f"http://127.0.0.1:{free_port()}/x", token_url=f"http://127.0.0.1:{free_port()}/t")
    capsys.readouterr()
    assert ran("poll") == 1
    said = capsys.readouterr()
    assert "acme" in said.out
    assert "refused" in said.out
    assert "Traceback" not in said.out + said.err


def test_poll_says_what_it_saw(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run needs no Slack, stores nothing, and as JSON has the documented keys."""
    with serve(SimulatorOptions()) as centre:
        configure(folder, centre.base_url, centre.token_url, centre.options.api_secret)
        capsys.readouterr()
        assert ran("poll", "--dry-run") == 0
        assert "acme: saw 12 queues" in capsys.readouterr().out
        assert ran("poll", "--dry-run", "--json") == 0
        said = capsys.readouterr().out
        acme = json.loads(said)["acme"]
        assert {"entities", "requests", "took_ms", "firing", "changes", "told", "held_back"} <= set(acme)
        assert acme["entities"]["queue"] == 12
        assert {"endpoint", "page", "keys", "entities", "bytes", "took_ms", "scopes"} <= set(acme["requests"][0])
        assert {scope for each in acme["requests"] for scope in each["scopes"]} >= set(acme["entities"])
        assert centre.options.api_secret not in said


def test_poll_says_one_sentence_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused credentials concern every scope; the sentence names what to check, and stands once."""
    with serve(SimulatorOptions()) as centre:
        configure(folder, centre.base_url, centre.token_url, "wrong-secret")
        capsys.readouterr()
        assert ran("poll", "--dry-run") == 1
        said = capsys.readouterr().out
    (problem,) = [line for line in said.splitlines() if line.startswith("  problem: ")]
    assert "the API key and secret were refused; check them, and `region` or `token_url`" in problem


def test_schemas_are_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for what in ("rules", "config"):
        capsys.readouterr()
        assert ran("schema", what) == 0
        assert json.loads(capsys.readouterr().out)["$schema"]


def test_the_manifest_has_the_command_of_the_configuration(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Socket Mode without a URL, request URLs with one; the slash command as configured."""
    text = (folder / "alertbot.yaml").read_text().replace("# command: /alertbot", "command: /cc")
    (folder / "alertbot.yaml").write_text(text)
    capsys.readouterr()
    assert ran("manifest", "--url", "https://bot.example") == 0
    made = json.loads(capsys.readouterr().out)
    (command,) = made["features"]["slash_commands"]
    assert (command["command"], command["url"]) == ("/cc", "https://bot.example/slack/events")
    assert made["settings"]["socket_mode_enabled"] is False


def test_help_reads_well(capsys: pytest.CaptureFixture[str]) -> None:
    """Every command has one sentence, and every option has a help text."""
    assert ran("--help") == 0
    listed = capsys.readouterr().out
    for name in ("run", "poll", "demo", "simulate", "check", "schema", "ask", "init", "manifest"):
        assert name in listed
        assert ran(name, "--help") == 0
        assert "Usage: alertbot" in capsys.readouterr().out


def test_the_demo_tells_a_story(capsys: pytest.CaptureFixture[str]) -> None:
    """Within twenty seconds at 20 times the speed: a card, its rise, its end, and nothing lost."""
    assert ran("demo", "--for", "18s", "--speed", "20") == 0
    said = capsys.readouterr().out
    for text in (
        "Warning: Sales EU — Longest wait",
        "Now critical",
        "Resolved: Sales EU — Longest wait",
        "nothing lost",
    ):
        assert text in said, said
    assert re.search(r"│ Last \d min: [▁▂▃▄▅▆▇█·]{12} \d+s to .*\d+s +│", said), said
