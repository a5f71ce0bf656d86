"""Faults of the simulated API: which requests they affect, for how long, and what is returned instead."""

from __future__ import annotations

import gzip
import json
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

Kind = Literal["status", "slow", "hang", "revoke", "refuse", "malformed", "frozen", "empty", "shrink"]
"""status: returns `status`. slow, hang: responds late. revoke: invalidates all tokens issued so far. refuse: issues no
token. malformed: corrupts the body as `body` says. frozen: repeats the first response. empty: returns no entities.
shrink: has no second page, whatever the first one announced."""

TOKEN_PATH = "/oauth/v2/token"  # noqa: S105  # a path
_OVERSIZE = 64 * 1024 * 1024


@dataclass(frozen=True)
class ApiFault:
    """One fault. `path` is a glob over the path after `.../realtime-metrics`; the token endpoint is affected only by a
    glob that names it. `start` and `until` are on the server's clock, `delay_s` is real time, `times` counts requests.
    """

    kind: Kind
    path: str = "*"
    page: int | None = None
    times: int | None = None
    start: datetime | None = None
    until: datetime | None = None
    tenant: int | None = None
    status: int = 503
    retry_after: float | None = None
    delay_s: float = 3.0
    body: str = "message"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"unknown fault {self.kind!r}; known are {', '.join(get_args(Kind))}")
        known: Mapping[str, object] = BODIES if self.kind == "malformed" else ERROR_BODIES
        if self.kind in ("malformed", "status") and self.body not in known:
            raise ValueError(f"unknown body {self.body!r}; known are {', '.join(known)}")

    def hits(self, path: str, page: int, tenant: int | None, now: datetime) -> bool:
        """Whether this fault applies to a request."""
        if self.start is not None and now < self.start:
            return False
        if self.until is not None and now >= self.until:
            return False
        if self.page is not None and page != self.page:
            return False
        if self.tenant is not None and tenant != self.tenant:
            return False
        if self.kind == "refuse":
            return path == TOKEN_PATH
        if path == TOKEN_PATH:
            return "oauth" in self.path and fnmatchcase(path, self.path)
        return fnmatchcase(path, self.path)


@dataclass
class _Live:
    fault: ApiFault
    left: int | None
    frozen: dict[str, Answer] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What is sent over HTTP. `declared` is a Content-Length that differs from the real one."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    declared: int | None = None


class Faults:
    """The active faults. Tests add and clear them from their own thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: list[_Live] = []

    def add(self, fault: ApiFault) -> ApiFault:
        with self._lock:
            times = 1 if fault.kind == "revoke" and fault.times is None else fault.times
            self._live.append(_Live(fault, times))
        return fault

    def remove(self, fault: ApiFault) -> None:
        with self._lock:
            self._live = [live for live in self._live if live.fault is not fault]

    def clear(self) -> None:
        with self._lock:
            self._live.clear()

    def take(self, path: str, page: int, tenant: int | None, now: datetime) -> list[ApiFault]:
        """The faults that apply to this request; each use counts. Faults that have ended are removed."""
        with self._lock:
            self._live = [live for live in self._live if not _has_ended(live, now)]
            hit = [live for live in self._live if live.fault.hits(path, page, tenant, now)]
            for live in hit:
                if live.left is not None:
                    live.left -= 1
            return [live.fault for live in hit]

    def freeze(self, fault: ApiFault, url: str, make: Callable[[], Answer]) -> Answer:
        """The response that `url` had when the freeze began."""
        with self._lock:
            live = next((live for live in self._live if live.fault is fault), None)
        if live is None:
            return make()
        if url not in live.frozen:
            live.frozen[url] = make()
        return live.frozen[url]


def _has_ended(live: _Live, now: datetime) -> bool:
    until = live.fault.until
    return live.left == 0 or (until is not None and now >= until)


# -- bodies ------------------------------------------------------------------------------------------------------------

_HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"
_JSON = "application/json"

ERROR_BODIES: Mapping[str, Callable[[int], tuple[str, bytes]]] = {
    "message": lambda status: (_JSON, _dump({"message": f"Simulated failure {status}"})),
    "fault": lambda status: (
        _JSON,
        _dump(
            {"fault": {"faultstring": f"Simulated failure {status}", "detail": {"errorcode": f"simulated.{status}"}}}
        ),
    ),
    "error": lambda status: (
        "application/problem+json",
        _dump({"ErrorCode": "simulated", "Error": f"Simulated failure {status}"}),
    ),
    "html": lambda status: ("text/html", _HTML),
    "empty": lambda status: (_JSON, b""),
}


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def error_answer(fault: ApiFault) -> Answer:
    """The response of a `status` fault."""
    kind, body = ERROR_BODIES[fault.body](fault.status)
    headers = {"Content-Type": kind}
    if fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    return Answer(fault.status, body, headers)


def _rows(change: Callable[[list[Any]], Any]) -> Callable[[bytes], bytes]:
    """A corruption that works on the decoded rows; a response that is not a JSON list stays unchanged."""

    def corrupt(body: bytes) -> bytes:
        return _dump(change(json.loads(body))) if body.startswith(b"[") else body

    return corrupt


def _values(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """A corruption that changes the value of every second metric."""

    def corrupt(rows: list[Any]) -> list[Any]:
        for row in rows:
            for metric in row.get("metrics", ())[::2]:
                metric["value"] = change(metric["value"])
        return rows

    return _rows(corrupt)


def _repeat_keys(rows: list[Any]) -> list[Any]:
    for row in rows:
        row["metrics"] = row.get("metrics", []) + [{"key": m["key"], "value": 0} for m in row.get("metrics", [])]
    return rows


def _drop_keys(rows: list[Any]) -> list[Any]:
    for row in rows[::2]:
        row["metrics"] = row.get("metrics", [])[:-1]
    return rows


def _unknown_status(rows: list[Any]) -> list[Any]:
    for row in rows:
        for metric in row.get("metrics", ()):
            if metric["key"] == "status.rt":
                metric["value"] = "Levitating"
    return rows


def _as_map(rows: list[Any]) -> list[Any]:
    return [{**row, "metrics": {m["key"]: m["value"] for m in row.get("metrics", ())}} for row in rows]


BODIES: Mapping[str, Callable[[bytes], bytes]] = {
    "html": lambda body: _HTML,
    "truncated": lambda body: body[: len(body) // 2],
    "cut_off": lambda body: body[: len(body) // 2],  # with the Content-Length of the whole body: the connection breaks
    "not_json": lambda body: b"OK",
    "empty_body": lambda body: b"",
    "null": lambda body: b"null",
    "not_utf8": lambda body: body.replace(b"a", b"\xff"),
    "bad_gzip": lambda body: gzip.compress(body)[:-12],
    "xml": lambda body: b"<UnmodifiableRandomAccessList><item><id>1</id></item></UnmodifiableRandomAccessList>",
    "deep": lambda body: b"[" * 100_000,
    "oversize": lambda body: b" " * _OVERSIZE + body,
    "error_200": lambda body: _dump({"message": "Simulated failure in a body that was sent with status 200"}),
    "object_root": _rows(lambda rows: {"items": rows}),
    "nan": _values(lambda value: math.nan),
    "huge": _values(lambda value: 10**400),
    "wrong_types": _values(lambda value: {"unexpected": [value]}),
    "booleans": _values(lambda value: True),
    "strings": _values(str),
    "nulls": _values(lambda value: None),
    "duplicate_ids": _rows(lambda rows: rows + rows[:1]),
    "no_ids": _rows(lambda rows: [{k: v for k, v in row.items() if k != "id"} for row in rows]),
    "repeated_keys": _rows(_repeat_keys),
    "missing_keys": _rows(_drop_keys),
    "unknown_status": _rows(_unknown_status),
    "metrics_map": _rows(_as_map),
}
"""Ways to corrupt a body."""

_CONTENT_TYPES = {"html": "text/html", "xml": "application/xml"}


def corrupted(fault: ApiFault, answer: Answer) -> Answer:
    """The response with its body corrupted as a `malformed` fault says."""
    body = BODIES[fault.body](answer.body)
    headers = {**answer.headers, "Content-Type": _CONTENT_TYPES.get(fault.body, answer.headers["Content-Type"])}
    if fault.body == "bad_gzip":
        headers["Content-Encoding"] = "gzip"
    return Answer(answer.status, body, headers, declared=len(answer.body) if fault.body == "cut_off" else None)
