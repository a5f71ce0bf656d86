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
from alertbot.page.updates import KEEP_ALIVE
from alertbot.service.app import STOP_WITHIN
from alertbot.sources.eight_by_eight.plan import REGIONS, TOKEN_URL
from tests.foreign import FOLDER

ROOT = Path(__file__).parent.parent
COMPOSE, KUBERNETES = ROOT / "compose.yaml", ROOT / "deploy" / "kubernetes.yaml"
COMPOSE_WORKERS = ROOT / "deploy" / "compose.workers.yaml"
KUBERNETES_WORKERS = ROOT / "deploy" / "kubernetes.workers.yaml"
HAPROXY = ROOT / "deploy" / "haproxy.cfg"
UNIT, SECRETS = ROOT / "deploy" / "alertbot.service", ROOT / "secrets.env.example"


def _documents(path: Path) -> list[Any]:
    return list(YAML(typ="safe", pure=True).load_all(path.read_text(encoding="utf-8")))


def _kubernetes(path: Path, kind: str) -> Any:
    (found,) = (each for each in _documents(path) if each["kind"] == kind)
    return found


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


@pytest.mark.parametrize(
    ("path", "storage"),
    [
        pytest.param(KUBERNETES, "/data/alertbot.db", id="one process"),
        pytest.param(KUBERNETES_WORKERS, "postgresql://alertbot:xoxb-1@postgres/alertbot", id="workers"),
    ],
)
def test_the_configuration_in_the_config_map_is_one(path: Path, storage: str, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    written = tmp_path / "alertbot.yaml"
    written.write_text(_kubernetes(path, "ConfigMap")["data"]["alertbot.yaml"], encoding="utf-8")
    settings = load(written, dict.fromkeys([*_secrets(), "DATABASE_PASSWORD"], "xoxb-1"))
    assert settings.storage == storage
    assert (settings.http.host, settings.http.port) == ("0.0.0.0", 8080)  # inside the container


@pytest.mark.parametrize(
    ("path", "command", "replicas", "folders"),
    [
        pytest.param(KUBERNETES, "run", 1, {"/data", "/tmp"}, id="one process"),
        pytest.param(KUBERNETES_WORKERS, "worker", 3, {"/tmp"}, id="workers"),
    ],
)
def test_kubernetes_asks_whether_it_is_alive(path: Path, command: str, replicas: int, folders: set[str]) -> None:
    """Replaced and not doubled; `/readyz` is for monitoring alone; the user is that of the image, and writes to these
    folders alone."""
    deployment = _kubernetes(path, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (replicas, {"type": "Recreate"})
    (container,) = pod["containers"]
    assert container["args"] == [command]
    probes = [container[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe")]
    assert probes == ["/healthz", "/healthz"]
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"]) == (_user_of_the_image(), True)
    assert pod["terminationGracePeriodSeconds"] > STOP_WITHIN
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounted = {each["mountPath"]: each.get("readOnly", False) for each in container["volumeMounts"]}
    read_only = {"/config/alertbot.yaml", "/config/rules"}
    assert mounted == {**dict.fromkeys(folders, False), **dict.fromkeys(read_only, True)}  # in the container
    assert _kubernetes(path, "Service")["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]


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


def test_compose_runs_three_workers_that_write_nowhere() -> None:
    """They wait for a database that answers; one port leads to all of them."""
    (file,) = _documents(COMPOSE_WORKERS)
    worker, database, front = (file["services"][name] for name in ("worker", "database", "front"))
    assert (worker["command"], worker["deploy"]) == (["worker"], {"replicas": 3})
    assert (worker["restart"], worker["read_only"], worker["cap_drop"]) == ("unless-stopped", True, ["ALL"])
    assert [each for each in worker["volumes"] if not each.endswith(":ro")] == []
    assert worker["env_file"] == "../" + SECRETS.name.removesuffix(".example")
    assert int(worker["stop_grace_period"].removesuffix("s")) > STOP_WITHIN
    assert worker["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert database["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]
    assert [name for name, service in file["services"].items() if "ports" in service] == ["front"]
    for volume in [*worker["volumes"], *front["volumes"]]:  # relative to the file
        source = (COMPOSE_WORKERS.parent / volume.split(":")[0]).resolve()
        assert source == ROOT / "alertbot.yaml" or source.exists()


def test_the_configuration_that_compose_asks_for_is_one(tmp_path: Path) -> None:
    """The settings named at the top of the file; the password in them is the one that the database gets."""
    text = COMPOSE_WORKERS.read_text(encoding="utf-8")
    wanted = "".join(line.removeprefix("#   ") + "\n" for line in re.findall(r"^#   \w+: .*$", text, re.MULTILINE))
    (tmp_path / "rules").mkdir()
    path = tmp_path / "alertbot.yaml"
    path.write_text(re.sub(r"^(storage|http|page): .*$", "", CONFIG, flags=re.MULTILINE) + wanted, encoding="utf-8")
    secrets = {**dict.fromkeys(_secrets(), "xoxb-1"), "DATABASE_PASSWORD": "s3cret", "PAGE_PASSWORD": "twelve letters"}
    settings = load(path, secrets)
    assert settings.storage == "postgresql://alertbot:s3cret@database/alertbot"
    assert (settings.http.host, settings.http.port) == ("0.0.0.0", 8080)  # inside the container
    assert settings.page.password.get_secret_value() == "twelve letters"
    (environment,) = (file["services"]["database"]["environment"] for file in _documents(COMPOSE_WORKERS))
    assert (environment["POSTGRES_USER"], environment["POSTGRES_DB"]) == ("alertbot", "alertbot")
    assert environment["POSTGRES_PASSWORD"].startswith("${DATABASE_PASSWORD:?")
    for name in ("DATABASE_PASSWORD", "PAGE_PASSWORD"):
        assert f"\n# {name}=\n" in SECRETS.read_text(encoding="utf-8")


def test_the_front_knows_the_workers() -> None:
    """It asks whether they are alive, and keeps a page connected that waits for updates."""
    text = HAPROXY.read_text(encoding="utf-8")
    assert "option httpchk GET /healthz\n" in text
    (places,) = re.findall(r"server-template worker (\d+) worker:8080 check ", text)
    (file,) = _documents(COMPOSE_WORKERS)
    assert int(places) >= file["services"]["worker"]["deploy"]["replicas"]
    seconds = [60 * int(minutes) for minutes in re.findall(r"timeout (?:client|server) (\d+)m", text)]
    assert len(seconds) == 2
    assert min(seconds) > 2 * KEEP_ALIVE


def test_haproxy_understands_its_configuration() -> None:
    program = shutil.which("haproxy")
    if program is None:
        pytest.skip("haproxy is not installed")
    done = subprocess.run([program, "-c", "-f", str(HAPROXY)], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


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
        pytest.param(
            "check-jsonschema", ["--builtin-schema", "vendor.compose-spec", str(COMPOSE_WORKERS)], id="Compose, workers"
        ),
        pytest.param("kubernetes-validate", ["--strict", str(KUBERNETES)], id="Kubernetes"),
        pytest.param("kubernetes-validate", ["--strict", str(KUBERNETES_WORKERS)], id="Kubernetes, workers"),
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
