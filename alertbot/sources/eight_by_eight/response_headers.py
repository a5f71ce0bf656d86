"""The headers of a response, read without the e-mail parser that http.client uses.

That parser is written for folded lines, attachments and broken mail, and takes a sixth of the CPU of a request. Here
plain headers are split at their colons. All others still go to it, so what is read is the same in any case.
"""

from __future__ import annotations

import http.client
import re
from email.parser import Parser
from http.client import HTTPMessage, HTTPResponse
from types import FunctionType
from typing import Any, Final

# Lines of a name and a value, then an empty one: no line is folded, or ends in anything but CR LF.
_PLAIN: Final = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n]*\r\n)*\r\n")


def parse_headers(fp: Any, *limits: Any, **options: Any) -> HTTPMessage:
    """As `http.client.parse_headers`, with its limits."""
    lines: list[bytes] = http.client._read_headers(fp, *limits, **options)  # type: ignore[attr-defined]
    block = b"".join(lines)
    if _PLAIN.fullmatch(block) is None:
        return Parser(_class=HTTPMessage).parsestr(block.decode("iso-8859-1"))
    message = HTTPMessage()
    for line in block.decode("iso-8859-1").split("\r\n")[:-2]:
        name, _, value = line.partition(":")
        message.set_raw(name, value.lstrip(" \t"))
    return message


def _with_parse_headers(begin: Any) -> Any:
    """`HTTPResponse.begin` as it is, but for the function that it calls to parse headers."""
    names = {**begin.__globals__, "parse_headers": parse_headers}
    copy = FunctionType(begin.__code__, names, begin.__name__, begin.__defaults__, begin.__closure__)
    copy.__kwdefaults__ = begin.__kwdefaults__
    return copy


begin: Final = _with_parse_headers(HTTPResponse.begin)
"""Reads status and headers, for a subclass of HTTPResponse. No other user of http.client in this process has it."""
