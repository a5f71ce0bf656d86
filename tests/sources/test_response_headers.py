"""Headers are read as http.client reads them, whatever a server sends."""

from __future__ import annotations

import http.client
import io
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alertbot.sources.eight_by_eight import response_headers

names = st.sampled_from(
    ["Date", "X-Total-Pages", "x-total-pages", "Content-Length", "Content-Type", "From ", "a b", ""]
)
values = st.text(st.characters(max_codepoint=255), max_size=8) | st.sampled_from(
    [" 1", "\t2 ", "", " multipart/mixed; boundary=x", " message/rfc822", "\x85", " a: b"]
)
lines = st.builds(
    lambda name, colon, value, end: (name + colon + value + end).encode("iso-8859-1"),
    names,
    st.sampled_from([":", ":", ":", " :", ""]),
    values,
    st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n folded\r\n"]),
)


@given(lines=st.lists(lines, max_size=5), end=st.sampled_from([b"\r\n", b"\n", b""]))
@example([b"Date: Mon, 02 Mar 2026 09:00:00 GMT\r\n", b"X-Total-Pages:2 \r\n", b"x-total-pages: \t3\r\n"], b"\r\n")
def test_any_headers_are_read_as_before(lines: list[bytes], end: bytes) -> None:
    """Names, values, their order and the body after them; plain lines, folded ones, odd ends and odd names."""
    block = b"".join(lines) + end + b"[]"
    ours, theirs = io.BytesIO(block), io.BytesIO(block)
    read, expected = response_headers.parse_headers(ours), http.client.parse_headers(theirs)
    assert read.items() == expected.items()
    assert (read.get_payload() or "") == (expected.get_payload() or "")
    assert [type(defect) for defect in read.defects] in ([type(defect) for defect in expected.defects], [])
    assert ours.read() == theirs.read()


@pytest.mark.parametrize(
    "block",
    [b"X: " + b"1" * 70_000 + b"\r\n\r\n", b"X: 1\r\n" * 101 + b"\r\n"],
    ids=["a line that is too long", "too many lines"],
)
def test_limits_are_those_of_http_client(block: bytes) -> None:
    with pytest.raises(http.client.HTTPException):
        response_headers.parse_headers(io.BytesIO(block))


class _Response(http.client.HTTPResponse):
    begin = response_headers.begin


RESPONSES = {
    "a length": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
    "until it is closed": b"HTTP/1.0 200 OK\r\n\r\n[]",
    "a status before the status": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("raw", RESPONSES.values(), ids=RESPONSES)
def test_a_whole_response_is_read_as_before(raw: bytes) -> None:
    found = []
    for kind in (_Response, http.client.HTTPResponse):
        here, there = socket.socketpair()
        with here, there:
            there.sendall(raw)
            there.shutdown(socket.SHUT_WR)
            response = kind(here)
            response.begin()
            found.append(
                (response.status, response.headers.items(), response.length, response.will_close, response.read())
            )
    assert found[0] == found[1]
