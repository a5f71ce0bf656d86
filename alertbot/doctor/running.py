"""The service as it runs: its HTTP port, whether it is ready, its status page, and the hosts that it reports to."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

from alertbot.config.settings import Settings
from alertbot.doctor.finding import Finding, fine, note, problem
from alertbot.doctor.network import connection_problem, through_proxy
from alertbot.service.of_settings import serves_page
from alertbot.store.records import Service

TIMEOUT_S = 4.0
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # read, not listened on


def check_http(settings: Settings, service: Service | None) -> Iterator[Finding]:
    """Whether the port is free for `run`, or the bot answers there, and what its `/readyz` says."""
    host, port = _ANY.get(settings.http.host, settings.http.host), settings.http.port
    what, place = "http", f"{settings.http.host}:{port}"
    if port == 0:
        yield fine(what, "any free port")
        return
    running = service is not None and service.running
    ready = _readiness(host, port)
    if ready is None:
        if not connection_problem(host, port, tls=False):
            yield problem(what, f"another program listens on {place}", "stop it, or set http.port to another port")
        elif running:
            yield problem(
                what,
                f"the service is running, but nothing answers on {place}",
                "check http in the alertbot.yaml of the service; in a container, run doctor inside it",
            )
        else:
            yield fine(what, f"{place} is free")
        return
    yield fine(what, f"alertbot answers on {place}")
    for reason in ready:
        yield problem("service: readiness", reason, "see the other findings, and the log of the service")
    if not ready:
        yield fine("service: readiness", "ready")


def check_page(settings: Settings) -> Iterator[Finding]:
    """Whether there is a status page, and who can see it."""
    what = "status page"
    if not serves_page(settings):
        yield note(what, "off: without page.password it is served only on loopback hosts", "set page.password")
    elif settings.page.password.get_secret_value():
        yield fine(what, "at /, for users with page.password")
    else:
        yield fine(what, "at /, only for browsers on this machine: page.password is not set")


def _readiness(host: str, port: int) -> list[str] | None:
    """What /readyz says, or None where no alertbot answers."""
    address = f"[{host}]" if ":" in host else host
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://{address}:{port}/readyz", timeout=TIMEOUT_S) as answer:
            body = answer.read(65_536)
    except urllib.error.HTTPError as error:
        body = error.read(65_536)
    except (OSError, ValueError):
        return None
    except Exception:  # http.client raises what a program that does not speak HTTP causes
        return None
    try:
        found = json.loads(body)
        return [str(each) for each in found["reasons"]]
    except (ValueError, TypeError, KeyError):
        return None


def check_heartbeat(settings: Settings) -> Iterator[Finding]:
    """Whether the host of the heartbeat can be reached. It is not pinged: a ping would report that alertbot works."""
    yield from _reachable("heartbeat", "heartbeat.url", settings.heartbeat.url.get_secret_value())


def check_fallback(settings: Settings) -> Iterator[Finding]:
    """Whether the host of the fallback webhook can be reached. Nothing is posted: that would raise an alarm."""
    url = settings.slack.fallback_webhook.url.get_secret_value()
    yield from _reachable("fallback webhook", "slack.fallback_webhook.url", url)


def _reachable(what: str, key: str, url: str) -> Iterator[Finding]:
    """Whether the host of an address that may hold a secret can be reached; nothing where there is no address."""
    if not url:
        return
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if through_proxy(host, parts.scheme):
        yield fine(what, f"{host} is reached through a proxy")
    elif failed := connection_problem(host, port, tls=parts.scheme == "https"):
        yield problem(
            what,
            f"{host} cannot be reached: {failed}",
            f"correct {key}, or allow connections to {host}, port {port}, in the firewall",
        )
    else:
        yield fine(what, f"{host} can be reached")
