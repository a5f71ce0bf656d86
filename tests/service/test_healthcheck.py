"""The health check of the container."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from alertbot.service import healthcheck
from alertbot.web.routes import http_app
from alertbot.web.server import HttpServer, serve_http
from tests.foreign import free_port

CONFIG = """\
tenants: [{name: acme, region: us, api_key: "${KEY}", api_secret: "${SECRET}"}]
slack: {bot_token: "${TOKEN}", default_channel: "#cc-alerts"}
http: {host: %s, port: %d}
"""


@pytest.fixture
def server() -> Iterator[HttpServer]:
    running = serve_http(http_app(reasons=lambda: ["not ready"]), "127.0.0.1", 0)
    yield running
    running.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_it_asks_the_configured_address_without_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: HttpServer, host: str
) -> None:
    """Alive although not ready, whatever proxy the environment names, and without the secrets being set."""
    (tmp_path / "alertbot.yaml").write_text(CONFIG % (host, server.port))
    monkeypatch.setenv("ALERTBOT_CONFIG", str(tmp_path / "alertbot.yaml"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert healthcheck.problem() == ""


def test_a_bot_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 1, and the address that was asked."""
    port = free_port()
    (tmp_path / "alertbot.yaml").write_text(CONFIG % ("127.0.0.1", port))
    monkeypatch.setenv("ALERTBOT_CONFIG", str(tmp_path / "alertbot.yaml"))
    with pytest.raises(SystemExit, match=f"http://127.0.0.1:{port}/healthz does not answer: "):
        healthcheck.main()
