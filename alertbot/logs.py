"""Logs on stderr, one line per event: readable on a terminal, JSON otherwise. Secrets are removed from every line."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import threading
import time
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any
from urllib.parse import quote

REDACTED = "[secret]"
REPEAT_AFTER = 600.0
"""Seconds after which a warning or error that repeats is logged again, with the number of times."""
_MAX_KNOWN = 1000
_DIGITS = re.compile(r"\d+")
_NAMESPACE = "alertbot"


_CONTEXT = frozenset({"poll", "notice", "timestamp"})  # they differ from line to line
_BEGINS = "begins"
_MIN_IN_TEXT = 8
"""Characters that a secret must have to be looked for in a whole line: a shorter one may be part of any word."""


def redact(value: Any, secrets: Sequence[str]) -> Any:
    """The value with every secret in it replaced, also inside strings, lists and dicts."""
    return _redact(value, _forms(secrets))


def _forms(secrets: Sequence[str]) -> tuple[str, ...]:
    """Each secret as it is, percent-encoded, and as JSON writes it. The longest first: one may be part of another."""
    found = {
        form
        for secret in secrets
        if secret
        for form in (
            secret,
            quote(secret, safe=""),
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
        )
    }
    return tuple(sorted(found, key=lambda form: (-len(form), form)))


def _redact(value: Any, forms: Sequence[str]) -> Any:
    if isinstance(value, str):
        for form in forms:
            value = value.replace(form, REDACTED)
        return value
    if isinstance(value, dict):
        return {key: _redact(each, forms) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redact(each, forms) for each in value]
    return value


_shown: Callable[[str], str] = str


def show_names(shown: Callable[[str], str]) -> None:
    """From now on every text in a line is `shown(text)`: with names hidden, where they are to be. `str` ends that.

    It is called for each line of any thread, so it must be quick, and log nothing.
    """
    global _shown
    _shown = shown


def with_shown_names(value: Any) -> Any:
    """The value with every text in it as `show_names` said, also in lists and dicts; for what commands print too."""
    if _shown is str:
        return value
    if isinstance(value, str):
        return _shown(str(value))
    if isinstance(value, dict):
        return {key: with_shown_names(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [with_shown_names(each) for each in value]
    return value


def context(**values: object) -> AbstractContextManager[None]:
    """Inside it, every line of this thread has these keys; a line's own keys come first."""
    _import_structlog()
    import structlog  # not at the top: see Logger

    return structlog.contextvars.bound_contextvars(**values)


class Repeats(logging.Filter):
    """Lets a warning or error through when it is new, or was last logged REPEAT_AFTER ago, with how often it repeated.

    Two lines are the same when they differ in digits alone: ids, times and counts differ each time. A line with a
    traceback is always logged. So is one with `begins=True`, which says that a state begins whose end is logged too:
    otherwise the second of two outages would have an end and no beginning. Who logs it does so once for each state.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._known: dict[str, tuple[float, int]] = {}  # when it was logged, and how often it came since

    def filter(self, record: logging.LogRecord) -> bool:
        begins = isinstance(record.msg, dict) and record.msg.pop(_BEGINS, False)
        if record.levelno < logging.WARNING or record.exc_info or _has_traceback(record):
            return True
        said: object = record.getMessage()
        if isinstance(record.msg, dict):
            said = {key: value for key, value in record.msg.items() if key not in _CONTEXT}
        same = _DIGITS.sub("#", f"{record.name} {record.levelno} {said}")
        now = self._monotonic()
        logged, since = self._known.get(same, (-math.inf, 0))
        if now - logged < REPEAT_AFTER and not begins:
            self._known[same] = (logged, since + 1)
            return False
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[same] = (now, 0)
        if since and isinstance(record.msg, dict):
            record.msg = {**record.msg, "repeated": since}
        elif since:
            record.msg, record.args = f"{record.getMessage()} (repeated {since} times)", ()
        return True


def _has_traceback(record: logging.LogRecord) -> bool:
    return isinstance(record.msg, dict) and bool(record.msg.get("exc_info"))


def configure(secrets: Sequence[str] = (), *, verbose: bool = False, quiet: bool = False) -> None:
    """Send the logs of alertbot and the warnings of libraries to stderr; `quiet`: errors only."""

    forms = _forms(secrets)
    in_text = [form for form in forms if len(form) >= _MIN_IN_TEXT]

    def remove_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        redacted = {key: _redact(value, forms) for key, value in event.items()}
        shown: dict[str, Any] = with_shown_names(redacted)
        return shown

    def remove_from_text(_: Any, __: str, line: Any) -> str:
        """What no value had: the names of keys, and objects that became text only now."""
        return str(_redact(line, in_text))

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(remove_secrets, remove_from_text))
    handler.addFilter(Repeats())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.ERROR if quiet else logging.WARNING)
    logging.getLogger(_NAMESPACE).setLevel(logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO)
    # APScheduler warns whenever a job is skipped because the previous one still runs; the poll log covers that.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    global _to_configure
    _to_configure = True
    if "structlog" in sys.modules:
        _configure_structlog()


_to_configure = False
"""Whether `configure` was called and structlog, which was not imported then, does not know of it yet."""


_importing = threading.Lock()


def _import_structlog() -> None:
    """Import structlog; without rich, where stderr is no terminal.

    structlog imports rich if it is installed, to draw tracebacks on a terminal. In a service rich would do nothing, and
    take 4 MiB with what it imports in turn.
    """
    with _importing:  # two lanes of delivery may log for the first time at once
        if "structlog" in sys.modules or "rich.console" in sys.modules or sys.stderr.isatty():
            return
        before = {name: sys.modules.pop(name) for name in ("rich",) if name in sys.modules}
        sys.modules["rich"] = None  # type: ignore[assignment]  # the import system raises ModuleNotFoundError for it
        try:
            import structlog  # noqa: F401
        finally:
            del sys.modules["rich"]
            sys.modules.update(before)


def _configure_structlog() -> None:
    import structlog  # not at the top: see Logger

    global _to_configure
    _to_configure = False
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _shared() -> list[Any]:
    """The processors of alertbot's own lines and of those of libraries."""
    import structlog  # not at the top: see Logger

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


class _Formatter(logging.Formatter):
    """structlog's formatter, made with the first line. `clean` gets the keys of a line, `clean_text` the line."""

    def __init__(self, clean: Any, clean_text: Any) -> None:
        super().__init__()
        self._clean, self._clean_text = clean, clean_text
        self._terminal = sys.stderr.isatty()

    def format(self, record: logging.LogRecord) -> str:
        return self._made.format(record)

    @cached_property
    def _made(self) -> logging.Formatter:
        _import_structlog()
        import structlog  # not at the top: see Logger

        last: Any = structlog.dev.ConsoleRenderer() if self._terminal else structlog.processors.JSONRenderer()
        return structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                self._clean,
                last,
                self._clean_text,
            ],
        )


class Logger:
    """structlog's logger of one name. structlog is imported with the first line.

    Its import takes longer than that of everything else that a command such as `check` needs, and such a command
    writes no line.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Any:
        _import_structlog()
        import structlog

        if _to_configure:
            _configure_structlog()
        return getattr(structlog.stdlib.get_logger(self._name), method)


def logger(name: str) -> Logger:
    """A structured logger: `log.info("poll", tenant=..., took_ms=...)`."""
    return Logger(f"{_NAMESPACE}.{name}")
