"""What the documents claim is true: generated blocks, examples, links, the picture of a card."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from alertbot.cli import main
from alertbot.cli.init import CONFIG
from alertbot.commands.parse import parse
from alertbot.config.load import parse as parse_config
from alertbot.errors import FaultsFound
from alertbot.notify.render import check_template
from alertbot.rulefiles.parse_rules import parse_files

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
OUTDATED = "out of date: run `python docs/generate.py`"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_blocks_are_what_the_code_says(path: Path, generate: ModuleType) -> None:
    """Tables of commands, settings, subcommands and states agree with the code."""
    text = path.read_text(encoding="utf-8")
    assert generate.filled(text) == text, OUTDATED


def test_every_block_stands_somewhere(generate: ModuleType) -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    for name in generate.BLOCKS:
        assert f"<!-- {name} -->" in texts, f"no document shows the block {name}"


def test_the_picture_is_the_card(generate: ModuleType) -> None:
    """The card in the README is the message that Slack gets today: the picture holds the hash of what it shows."""
    slack, picture = generate.slack_picture(), generate.PICTURE.read_bytes()
    assert slack["shown_by"](picture) == slack["hash_of"](generate.picture()), OUTDATED
    assert len(picture) < 150_000
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f'src="docs/{generate.PICTURE.name}"' in readme


def test_the_picture_names_people_and_times_as_slack_does(generate: ModuleType) -> None:
    """No id, no markup and no code of a date is left in it, and what it does not know it refuses."""
    page = generate.picture()
    assert re.search(r"[<!@]U0|subteam|\^|\*|&amp;lt;|\{", page.partition("</style>")[2]) is None
    for text in ("@Dana Whitfield", "@floor-leads", "Since today at 08:56.", "Acknowledge</div>", "Last 30 min: ▂"):
        assert text in page
    slack = generate.slack_picture()
    post = slack["Post"]([{"type": "carousel"}], [], datetime(2026, 3, 2, 9, 0, tzinfo=UTC))
    with pytest.raises(ValueError, match="carousel"):
        slack["page"]([post], {}, "cc-alerts")


def test_the_life_of_an_alert_is_whole() -> None:
    """Every kind of step is in it, and no id, markup or code of a date is left. What it says is compared as a block."""
    text = (ROOT / "docs" / "slack.md").read_text(encoding="utf-8")
    _, _, life = text.partition("<!-- walk -->\n")[2].partition("```\n")
    life = life.partition("<!-- /walk -->")[0]
    reasons = ("fired", "level_up", "acknowledged", "unacknowledged", "reminder", "escalated", "operations", "resolved")
    for part in (*(f"(`{reason}`)" for reason in reasons), "Last 29 min: ▂", "`Give back`", "Silenced until today"):
        assert part in life, part
    assert re.search(r"(?<!\\)<|U0|S0|subteam|\^|&\w+;|\{", life) is None


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_tests_that_a_document_names_exist(path: Path) -> None:
    """`tests/room/test_file.py::test_name`, as docs/security.md names the test of each of its lines."""
    for file, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", path.read_text(encoding="utf-8")):
        assert (ROOT / file).exists(), f"{path.name}: {file} does not exist"
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8") or not name, f"{path.name}: {file}::{name}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (path.parent / target).exists(), f"{path.name}: {target} is not there"


def examples() -> list[tuple[str, str]]:
    """YAML blocks of the documents that are whole rule files."""
    found = []
    for path in DOCUMENTS:
        for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)):
            if re.search(r"^rules:$", block, re.MULTILINE):
                found.append((f"{path.name}-{number}", block))
    return found


@pytest.mark.parametrize(("name", "text"), examples(), ids=[name for name, _ in examples()])
def test_rules_of_the_documents_are_rules(name: str, text: str) -> None:
    """Every whole rule file in a document has no fault."""
    assert parse_files({name: text}).rules


def test_the_template_of_the_documents_is_one(tmp_path: Path) -> None:
    """The example of a template draws every sample card without a fault."""
    (example,) = re.findall(r"```jinja\n(.*?)```", (ROOT / "docs" / "rules.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "floor.j2").write_text(example)
    check_template("floor", [tmp_path])


def test_the_mistake_in_the_readme_is_reported_so() -> None:
    """The README shows the real output of `check`."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"^rules/queues\.yaml:.*$", readme, re.MULTILINE)
    assert shown
    wrong = "rules:\n  - id: longest-wait\n    scope: queue\n    # the unit is missing\n"
    wrong += "    warning: {when: interactionsLongestWaitInQueue.rt > 60, for: 30s}\n"
    with pytest.raises(FaultsFound) as caught:
        parse_files({"rules/queues.yaml": wrong})
    assert shown[0] in str(caught.value)


def test_the_commands_of_the_readme_are_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Every `alertbot NAME` in a document is a command, and each of them has help."""
    names = set()
    for path in DOCUMENTS:
        names |= set(re.findall(r"`(?:\.venv/bin/)?alertbot ([a-z]+(?:-[a-z]+)*)", path.read_text(encoding="utf-8")))
    assert len(names) >= 6
    for name in sorted(names):
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0, name
    capsys.readouterr()


def test_subcommands_of_the_readme_are_understood() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for text in re.findall(r'alertbot ask "([^"]+)"', readme):
        assert parse(text).name


def test_the_lock_holds_what_the_project_needs() -> None:
    """Each dependency of pyproject.toml is locked at one exact version, within its bounds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    locked = dict(
        line.split(" ;")[0].split("==")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if "==" in line
    )
    for requirement in wanted:
        name = re.split(r"[<>=\[]", requirement)[0].lower().replace(".", "-")
        assert name in locked, f"{name} is not in requirements.lock"


def test_the_licence_is_the_one_that_the_package_names() -> None:
    """LICENSE, pyproject.toml and the README agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License\n\nCopyright (c) 2026 the alertbot contributors\n")
    assert (project["license"], project["license-files"]) == ("MIT", ["LICENSE"])
    assert "MIT: see [LICENSE](LICENSE)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_init_writes_is_a_configuration() -> None:
    """The commented alertbot.yaml is valid once the secrets are set, and so are its commented lines."""
    secrets = dict.fromkeys(re.findall(r"\$\{([A-Z0-9_]+)", CONFIG), "x")
    secrets["PAGE_PASSWORD"] = "at least 12 characters"
    secrets["HEARTBEAT_URL"] = "https://hc.example/x"
    secrets["FALLBACK_WEBHOOK_URL"] = "https://hook.example/x"
    assert parse_config(CONFIG, "alertbot.yaml", secrets).tenants[0].name == "main"
    everything = re.sub(r"^( *)# (\w+: )", r"\1\2", CONFIG, flags=re.MULTILINE)
    assert everything != CONFIG
    assert parse_config(everything, "alertbot.yaml", secrets).slack.ops == "#cc-alerts-ops"
