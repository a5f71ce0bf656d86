"""Logs: one line an event, on stderr; for people on a terminal, else JSON. Secrets are struck out of every line."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any

import structlog

STRUCK_OUT = "[secret]"
_OURS = "alertbot"


def redact(value: Any, secrets: Sequence[str]) -> Any:
    """The value with every secret in it struck out, inside strings, lists and dicts too."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, STRUCK_OUT)
        return value
    if isinstance(value, dict):
        return {key: redact(each, secrets) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(each, secrets) for each in value]
    return value


def configure(secrets: Sequence[str] = (), *, verbose: bool = False, quiet: bool = False) -> None:
    """Send our logs, and the warnings of libraries, to stderr; `quiet`: only errors, where stdout tells the rest."""

    def strike(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {key: redact(value, secrets) for key, value in event.items()}

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    terminal = sys.stderr.isatty()
    last: Any = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                strike,
                last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.ERROR if quiet else logging.WARNING)
    logging.getLogger(_OURS).setLevel(logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO)
    # APScheduler warns each time a job is skipped because the last one still runs; poll lines say it better.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def logger(name: str) -> Any:
    """A structured logger: `log.info("poll", tenant=..., took_ms=...)`."""
    return structlog.stdlib.get_logger(f"{_OURS}.{name}")
