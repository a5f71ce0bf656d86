"""The outer form of the API: query parameters and their 400s, pages and their headers, JSON and XML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from xml.sax.saxutils import escape

import msgspec

from alertbot.simulator.faults import Answer

MAX_SIZE = 1000
DEFAULT_SIZE = 100  # guide; the OpenAPI file says 10 on one endpoint (fact sheet, section 11.5)
_Item = TypeVar("_Item")


class Refused(Exception):
    """The request is answered with `status` and this body."""

    def __init__(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def bad_request(text: str) -> Refused:
    """400 in the shape of the two documented ones (fact sheet, section 6)."""
    return Refused(400, {"message": f"Bad request: {text}"})


def gateway_fault(text: str, code: str, status: int = 401) -> Refused:
    """An error of the gateway in front of the API: Apigee's shape (fact sheet, section 6)."""
    return Refused(status, {"fault": {"faultstring": text, "detail": {"errorcode": code}}})


class Query:
    """The query parameters of a request, read strictly."""

    def __init__(self, items: Iterable[tuple[str, str]]) -> None:
        self._items = list(items)

    def many(self, name: str) -> list[str]:
        """All values, repeated or comma-separated; [] if absent."""
        values = [part.strip() for key, value in self._items if key == name for part in value.split(",")]
        return list(dict.fromkeys(value for value in values if value))

    def one(self, name: str) -> str | None:
        return next((value for key, value in reversed(self._items) if key == name), None)

    def flag(self, name: str) -> bool:
        value = (self.one(name) or "false").lower()
        if value not in ("true", "false"):
            raise bad_request(f"Field '{name}' must be true or false")
        return value == "true"

    def number(self, name: str, default: int) -> int:
        value = self.one(name)
        if value is None:
            return default
        try:
            return int(value)
        except ValueError:
            raise bad_request(f"Field '{name}' must be a number") from None


@dataclass(frozen=True)
class Page:
    """The requested slice of a list; invalid pages are rejected as the guide says."""

    number: int
    size: int
    pages: int
    elements: int

    @classmethod
    def of(cls, query: Query, elements: int) -> Page:
        size = query.number("size", DEFAULT_SIZE)
        if size > MAX_SIZE:
            raise bad_request(f"Field 'size' must be less than or equal to {MAX_SIZE}")
        if size < 1:
            raise bad_request("Field 'size' must be greater than or equal to 1")
        number = query.number("page", 0)
        pages = -(-elements // size)
        # Read literally, the rule would reject page 0 of an empty list too; that is unlikely and not done.
        if number < 0 or (number >= pages and number > 0):
            raise beyond_last_page(pages)
        return cls(number, size, pages, elements)

    def slice(self, items: Sequence[_Item]) -> Sequence[_Item]:
        return items[self.number * self.size : (self.number + 1) * self.size]

    def headers(self) -> dict[str, str]:
        return {
            "X-Page-Size": str(self.size),
            "X-Page": str(self.number),
            "X-Total-Pages": str(self.pages),
            "X-Total-Elements": str(self.elements),
        }


def beyond_last_page(pages: int) -> Refused:
    """The 400 for a page that does not exist."""
    return bad_request(
        "Field 'page' must be greater than or equal to 0 and less than the total number of pages, "
        f"which is {pages} for this request"
    )


def wants_json(accept: str | None) -> bool:
    """JSON is sent only if requested; what 8x8 sends without the header is not documented."""
    return any(part.split(";")[0].strip().lower() == "application/json" for part in (accept or "").split(","))


def answer(
    body: object, *, json: bool, root: str = "", status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """`body` as JSON, or as XML under `root`."""
    if json:
        return Answer(status, msgspec.json.encode(body), {"Content-Type": "application/json", **(headers or {})})
    text = f"<{root}>{_xml(msgspec.to_builtins(body))}</{root}>"
    return Answer(status, text.encode(), {"Content-Type": "application/xml", **(headers or {})})


def _xml(value: Any, name: str = "item") -> str:
    """Members as elements; a list repeats its own name, at the root the name `item`."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return "".join(
            f"<{key}>{_xml(member, key)}</{key}>" if member is not None else f"<{key}/>"
            for key, member in value.items()
        )
    if isinstance(value, list):
        return "".join(f"<{name}>{_xml(member, name)}</{name}>" for member in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(str(value))
