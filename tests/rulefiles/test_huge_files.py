"""Files that would use up memory or time: in each kind of file one clear fault, soon, and no traceback."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from alertbot.config.load import load
from alertbot.config.load import parse as parse_config
from alertbot.errors import ConfigError, FaultsFound
from alertbot.rulefiles import document
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rulefiles.parse_tests import parse_tests
from tests.service.bot import environment

CPU_S = 5.0  # of a busy machine; none takes a tenth of it on an idle one
LETTERS = "abcdefghijkl"
RULES = """\
rules:
  - id: waiting
    scope: queue
    when: interactionsWaitInQueue.rt > 1
"""
TESTS = """\
tests:
  - name: nobody waits
    rule: waiting
    series: {interactionsWaitInQueue.rt: 0 0}
    expect: [{at: 0s, state: inactive}]
"""
CONFIG = """\
tenants: [{name: acme, region: us, api_key: k, api_secret: s}]
slack: {bot_token: xoxb-1, default_channel: "#cc-alerts"}
"""


def rules(text: str) -> list[str]:
    """The faults of a text, read as a rule file."""
    try:
        parse_files({"a.yaml": text.encode()})
    except FaultsFound as found:
        return [str(fault) for fault in found.faults]
    return []


def rule_tests(text: str) -> list[str]:
    """The faults of a text, read as a file of rule tests."""
    try:
        parse_tests({"a.yaml": text.encode()}, parse_files({"rules.yaml": RULES}))
    except FaultsFound as found:
        return [str(fault) for fault in found.faults]
    return []


def config(text: str) -> list[str]:
    """The problems of a text, read as alertbot.yaml."""
    try:
        parse_config(text, "a.yaml", {})
    except ConfigError as error:
        return list(error.problems)
    return []


KINDS: dict[str, tuple[Callable[[str], list[str]], str]] = {
    "rules": (rules, RULES),
    "rule tests": (rule_tests, TESTS),
    "alertbot.yaml": (config, CONFIG),
}


def grown(item: str, of: str) -> str:
    """Each line has nine aliases of the one above it: twelve lines stand for 9**11 values."""
    lines = [f"x-a: &a {item}"]
    for a, b in pairwise(LETTERS):
        lines.append(
            f"x-{b}: &{b} " + of.format(", ".join(f"k{n}: *{a}" if ":" in item else f"*{a}" for n in range(9)))
        )
    return "\n".join(lines) + "\n"


KEYS = ", ".join(f"k{number}: 1" for number in range(1000))
DEEP = "lists and mappings are nested too deeply (at most 50 levels)"
WRITTEN_OUT = "its aliases stand for more than 100,000 values (use fewer aliases)"
# What stands before the rest of the file, and the only fault of that.
HUGE: dict[str, tuple[str, str]] = {
    "aliases of aliases": (grown("[x]", "[{}]"), f"a.yaml:6:6: {WRITTEN_OUT}"),
    "aliases of aliases in mappings": (grown("{k: v}", "{{{}}}"), f"a.yaml:6:6: {WRITTEN_OUT}"),
    "one mapping merged again and again": (
        f"x-a: &a {{{KEYS}}}\nx-b: {{<<: [{', '.join(['*a'] * 200)}]}}\n",
        f"a.yaml:2:11: {WRITTEN_OUT}",
    ),
    "one mapping merged into many": (
        f"x-a: &a {{{KEYS}}}\nx-b:\n" + "- {<<: *a}\n" * 200,
        f"a.yaml:1:6: {WRITTEN_OUT}",
    ),
    "lists in lists": (f"x-a: {'[' * 9999}{']' * 9999}\n", f"a.yaml:1:55: {DEEP}"),
    "lists that are not closed": (f"x-a: {'[' * 99999}\n", f"a.yaml:1:55: {DEEP}"),
    "mappings in mappings": (f"x-a: {'{a: ' * 9999}{'}' * 9999}\n", f"a.yaml:1:199: {DEEP}"),
    "dashes": (f"x-a:\n{'- ' * 9999}1\n", f"a.yaml:2:99: {DEEP}"),
    "question marks": (f"{'? ' * 9999}1\n", f"a.yaml:1:101: {DEEP}"),
    "indented keys": ("".join(f"{' ' * level}x-a:\n" for level in range(999)), f"a.yaml:50:50: {DEEP}"),
    "each alias one level deeper": (
        "x-0: &a0 [x]\n" + "".join(f"x-{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 99)),
        f"a.yaml:50:7: {DEEP}",
    ),
    "an anchor in itself": ("x-a: &a [*a]\n", "a.yaml:1:6: an anchor that contains itself"),
    "many characters": (" " * 4_194_304 + "\n", "a.yaml:1:1: more than 4,194,304 characters (split the file)"),
    "a long tag": (f"x-a: !{'t' * 999_999} 1\n", "a.yaml:1:6: a tag of more than 10,000 characters (remove it)"),
    "a control character": (
        "\0" * 999_999 + "\n",
        "a.yaml:1:1: the control character U+0000 is not allowed (remove it)",
    ),
    "many documents": ("--- 1\n" * 99_999, "a.yaml:2:1: a second document (a file has one document: remove the ---)"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", HUGE)
def test_one_fault_soon(name: str, kind: str) -> None:
    """Whatever kind of file it is."""
    read, rest = KINDS[kind]
    before, expected = HUGE[name]
    began = time.thread_time()
    assert read(before + rest) == [expected]
    assert time.thread_time() - began < CPU_S


def test_many_values_are_one_fault() -> None:
    """The file is not read to its end: what one value costs is far more than its character."""
    found = document.read("a.yaml", f"x-a: [{'1,' * 500_000}]\n")
    assert found[0] is None
    assert [str(fault) for fault in found[1]] == ["a.yaml:1:200001: more than 100,000 keys and values (split the file)"]


@pytest.mark.parametrize("kind", KINDS)
def test_below_the_limits_nothing_is_refused(kind: str) -> None:
    """Half a megabyte in one value, hundreds of anchors, and 40 levels."""
    read, rest = KINDS[kind]
    anchors = "".join(f"x-{number}: &a{number} {number}\n" for number in range(500))
    before = f"x-text: '{'text ' * 100_000}'\n{anchors}x-deep: {'[' * 40}{']' * 40}\n"
    assert read(before + rest) == []


LONG = "k" * 1_000_000
# What stands after the rest of the file, and a part of its fault; for each kind of file.
LONG_TEXTS = {
    "a key": f'"{LONG[:900]}": 1\n? {LONG}\n: 1\n',
    "a key that comes twice": f"? {LONG}\n: 1\n? {LONG}\n: 1\n",
    "a tag": f"x-a: !{'t' * 9000} 1\n",
    "an alias": f"x-a: *{LONG}\n",
    "an escape": f'x-a: "\\q{LONG}"\n',
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LONG_TEXTS)
def test_a_fault_does_not_repeat_what_is_long(name: str, kind: str) -> None:
    """It is cut: a report has to be readable, and fits into a message."""
    read, rest = KINDS[kind]
    began = time.thread_time()
    found = read(rest + LONG_TEXTS[name])
    assert time.thread_time() - began < CPU_S
    assert found
    assert max(map(len, found)) <= 1000


def test_many_mistakes_in_alertbot_yaml_are_counted() -> None:
    """Fifteen lines, soon, however many keys there are."""
    for text in ("".join(f"key{number}: 1\n" for number in range(5000)), "x-a: 1\n" * 5000):
        began = time.thread_time()
        found = config(CONFIG + text)
        assert time.thread_time() - began < 2 * CPU_S
        assert len(found) == 15
        assert found[-1] in ("a.yaml: and 4986 more", "a.yaml: and 4985 more")


def test_an_endless_file_is_a_problem(tmp_path: Path) -> None:
    """alertbot.yaml, or a file that a value is read from, as a link to a device."""
    (tmp_path / "alertbot.yaml").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=r"cannot be read: larger than 4,096 KiB"):
        load(tmp_path / "alertbot.yaml")
    with pytest.raises(ConfigError, match=r"api_secret: cannot read /dev/zero: larger than 64 KiB"):
        parse_config(CONFIG.replace("api_secret: s", "api_secret: '${file:/dev/zero}'"), "a.yaml", {})


@pytest.mark.parametrize(
    ("command", "status"), [("check", 2), ("check rules", 1), ("test rules", 1)], ids=lambda each: str(each)
)
def test_memory_is_bounded(tmp_path: Path, command: str, status: int) -> None:
    """The command has one GiB of address space for everything, and says what is wrong in one line."""
    bomb = f"x-a: &a {{{', '.join(f'k{number}: 1' for number in range(5000))}}}\nx-b:\n" + "- {<<: *a}\n" * 4000
    (tmp_path / "rules" / "tests").mkdir(parents=True)
    texts = {"alertbot.yaml": CONFIG, "rules/a.yaml": RULES, "rules/tests/a.yaml": TESTS}
    huge = {"check": "alertbot.yaml", "check rules": "rules/a.yaml", "test rules": "rules/tests/a.yaml"}[command]
    for name, text in texts.items():
        (tmp_path / name).write_text(bomb + text if name == huge else text)
    done = subprocess.run(
        [sys.executable, "-m", "alertbot", *command.split()],
        cwd=tmp_path,
        env=environment(OPENBLAS_NUM_THREADS="1"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert f"{huge}:1:6: {WRITTEN_OUT}" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_limits_are_those_of_the_documents() -> None:
    """docs/rules.md names them."""
    text = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
    for limit in ("4 MiB", f"{document.MAX_VALUES:,} keys and values", f"{document.MAX_DEPTH} levels"):
        assert limit in text
