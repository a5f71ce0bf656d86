"""The files for containers and services agree with the code and with each other, and are valid in their own formats."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from alertbot.cli.init import CONFIG
from alertbot.config.load import load
from alertbot.service.app import STOP_WITHIN
from alertbot.sources.eight_by_eight.plan import REGIONS, TOKEN_URL
from tests.foreign import FOLDER

ROOT = Path(__file__).parent.parent
COMPOSE, KUBERNETES = ROOT / "compose.yaml", ROOT / "deploy" / "kubernetes.yaml"
UNIT, SECRETS = ROOT / "deploy" / "alertbot.service", ROOT / "secrets.env.example"


def _documents(path: Path) -> list[Any]:
    return list(YAML(typ="safe", pure=True).load_all(path.read_text(encoding="utf-8")))


def _kubernetes(kind: str) -> Any:
    (found,) = (each for each in _documents(KUBERNETES) if each["kind"] == kind)
    return found


def _pod() -> Any:
    return _kubernetes("Deployment")["spec"]["template"]["spec"]


def _user_of_the_image() -> int:
    return int(re.findall(r"--uid (\d+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))[0])


def _secrets() -> dict[str, str]:
    lines = SECRETS.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_example_of_secrets_names_those_of_the_configuration() -> None:
    """Each secret of the alertbot.yaml that `init` writes, without a value."""
    written = set(re.findall(r"\$\{([A-Z][A-Z0-9_]*)", "\n".join(_without_comments(CONFIG))))
    assert _secrets() == dict.fromkeys(written, "")


def _without_comments(text: str) -> list[str]:
    return [line.split("#", 1)[0] for line in text.splitlines()]


def test_the_configuration_in_the_config_map_is_one(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    path = tmp_path / "alertbot.yaml"
    path.write_text(_kubernetes("ConfigMap")["data"]["alertbot.yaml"], encoding="utf-8")
    settings = load(path, dict.fromkeys(_secrets(), "xoxb-1"))
    assert settings.storage == "/data/alertbot.db"
    assert (settings.http.host, settings.http.port) == ("0.0.0.0", 8080)  # inside the container


def test_kubernetes_runs_one_and_asks_whether_it_is_alive() -> None:
    """One replica, replaced and not doubled; `/readyz` is for monitoring alone; the user is that of the image."""
    deployment, pod = _kubernetes("Deployment"), _pod()
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})
    (container,) = pod["containers"]
    probes = [container[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe")]
    assert probes == ["/healthz", "/healthz"]
    assert pod["securityContext"]["runAsUser"] == _user_of_the_image()
    assert pod["terminationGracePeriodSeconds"] > STOP_WITHIN
    mounted = {each["mountPath"] for each in container["volumeMounts"]}
    assert mounted == {"/data", "/tmp", "/config/alertbot.yaml", "/config/rules"}  # in the container


def test_the_image_installs_the_locked_versions() -> None:
    """As do both ways of the README; each package of pyproject.toml is in the lock file with its exact version."""
    installing = re.findall(r"^.*\bpip install .*$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    installing += re.findall(r"pip install [^&`]*|uv run [^`]*", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(installing) >= 5
    assert [line for line in installing if "requirements.lock" not in line] == []
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    names = {re.split(r"[<>=\[ ;]", each, maxsplit=1)[0].lower().replace(".", "-") for each in wanted}
    assert names <= locked


def test_the_image_runs_as_a_number() -> None:
    """That of its user: Kubernetes cannot tell from a name that it is not root."""
    (user,) = re.findall(r"^USER (.*)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert int(user) == _user_of_the_image() > 0


def test_compose_restarts_and_writes_to_its_volume_alone() -> None:
    (service,) = (each["services"]["alertbot"] for each in _documents(COMPOSE))
    assert (service["restart"], service["read_only"], service["cap_drop"]) == ("unless-stopped", True, ["ALL"])
    assert [each for each in service["volumes"] if not each.endswith(":ro")] == ["data:/data"]
    assert service["env_file"] == SECRETS.name.removesuffix(".example")
    assert int(service["stop_grace_period"].removesuffix("s")) > STOP_WITHIN


def test_the_unit_leaves_time_to_stop() -> None:
    settings = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE))
    assert int(settings["TimeoutStopSec"]) > STOP_WITHIN
    assert settings["Restart"] == "always"
    assert settings["ExecReload"] == "/bin/kill -HUP $MAINPID"


def test_the_hosts_are_those_that_are_contacted() -> None:
    """docs/deploy.md names every host of 8x8's API."""
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    for url in (*REGIONS.values(), TOKEN_URL):
        assert f"`{url.split('/')[2]}`" in text


def _checker(name: str) -> str:
    program = FOLDER / "bin" / name
    if not program.exists():
        pytest.skip(f"{name} is not installed: .ci/foreign installs it")
    return str(program)


@pytest.mark.parametrize(
    ("checker", "arguments"),
    [
        pytest.param("check-jsonschema", ["--builtin-schema", "vendor.compose-spec", str(COMPOSE)], id="Compose"),
        pytest.param("kubernetes-validate", ["--strict", str(KUBERNETES)], id="Kubernetes"),
        pytest.param("hadolint", [str(ROOT / "Dockerfile")], id="Dockerfile"),
    ],
)
def test_the_checkers_find_nothing(checker: str, arguments: list[str]) -> None:
    """The schemas that the Compose specification and Kubernetes publish, and hadolint's rules for Dockerfiles."""
    done = subprocess.run([_checker(checker), *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    text = UNIT.read_text(encoding="utf-8")
    for placed, here in (
        ("/opt/alertbot/bin/alertbot", shutil.which("true") or "/bin/true"),
        ("=alertbot\n", "=root\n"),
    ):
        text = text.replace(placed, here)
    unit = tmp_path / "alertbot.service"
    unit.write_text(text, encoding="utf-8")
    done = subprocess.run([program, "verify", str(unit)], capture_output=True, text=True, check=False, timeout=60)
    mine = [line for line in (done.stdout + done.stderr).splitlines() if "alertbot.service" in line]
    assert (done.returncode, mine) == (0, [])


def test_the_unit_is_restricted() -> None:
    """Below 2 of 10 on systemd's scale of exposure."""
    program = shutil.which("systemd-analyze")
    if program is None or "--offline" not in subprocess.run([program, "--help"], capture_output=True, text=True).stdout:
        pytest.skip("systemd-analyze of systemd 250 or newer is not installed")
    command = [program, "security", "--offline=true", "--threshold=20", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
