"""The frame of the status page over HTTP: who may see it, its headers, its login, and what it shows without data."""

from __future__ import annotations

import re
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from alertbot.errors import StoreError
from alertbot.page.frame import HEADERS
from alertbot.page.gate import MAX_WRONG, WITHIN, Attempts, Gate
from tests.commands.kit import alert
from tests.page.kit import PASSWORD, Site, settings, site


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Site]:
    """Without a password."""
    with site(tmp_path, alerts=[alert()]) as made:
        yield made


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Site]:
    """With a password."""
    with site(tmp_path, alerts=[alert()], chosen=settings(PASSWORD, "0.0.0.0")) as made:
        yield made


@pytest.mark.parametrize("path", ["/", "/?wall", "/static/page.css", "/static/nothing.css"])
def test_every_answer_has_the_headers(local: Site, path: str) -> None:
    answer = local.get(path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    policy = dict(each.split(" ", 1) for each in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"


def test_nothing_of_a_page_is_inline_or_from_elsewhere(local: Site) -> None:
    """The policy would block it: no style attribute, no script in the page, no address of another host."""
    text = local.get("/").text
    assert re.search(r"style=|<script(?! src=\"/static/)|<style|\son\w+=|https?://", text) is None
    assert re.findall(r'(?:src|href)="(/static/[^"]+)"', text)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_get_and_head_are_answered(local: Site, method: str) -> None:
    answer = local.request(method, "/")
    assert answer.status_code == (200 if method == "HEAD" else 404)
    assert answer.text == ("" if method == "HEAD" else "Not Found\n")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080"])
def test_loopback_hosts_may_ask(local: Site, host: str) -> None:
    assert local.get("/", Host=host).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "10.0.0.1", "localhost.evil.example", "[::2]"])
@pytest.mark.parametrize("path", ["/", "/static/page.js"])
def test_a_foreign_host_is_refused_without_a_password(local: Site, host: str, path: str) -> None:
    """DNS rebinding: the name of another site resolves to 127.0.0.1. Health and metrics stay as they are."""
    answer = local.get(path, Host=host)
    assert answer.status_code == 403
    assert "Sales EU" not in answer.text
    assert "set page.password" in answer.text
    assert local.get("/healthz", Host=host).status_code == 200
    assert local.get("/metrics", Host=host).status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "CF-Connecting-IP", "X-Real-IP"])
def test_a_proxy_is_refused_without_a_password(local: Site, header: str) -> None:
    """A tunnel or proxy on the same machine would publish the page."""
    assert local.get("/", **{header: "for=203.0.113.7"}).status_code == 403


def test_a_proxy_that_adds_no_header_is_refused_without_a_password(local: Site) -> None:
    """nginx by default: its own address as Host, and HTTP/1.0."""
    with socket.create_connection(("127.0.0.1", local.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\nHost: 127.0.0.1:8080\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"Sales EU" not in answer


def test_without_a_password_only_loopback_has_a_page(tmp_path: Path) -> None:
    with site(tmp_path, chosen=settings(host="0.0.0.0")) as made:
        for path in ("/", "/login", "/static/page.css"):
            answer = made.get(path)
            assert (answer.status_code, answer.text) == (404, "Not Found\n")
        assert made.get("/healthz").status_code == 200


def test_an_unknown_address_is_a_page(local: Site) -> None:
    """With the way back; other methods get no page."""
    answer = local.get("/quues/101")
    assert answer.status_code == 404
    assert "There is no page at this address." in answer.text
    assert 'href="/live"' in answer.text
    assert "aria-current" not in answer.text
    assert local.get("/nothing", Host="evil.example").status_code == 403
    assert local.request("POST", "/quues/101").text == "Not Found\n"


def test_an_unknown_address_needs_the_login_too(locked: Site) -> None:
    """Who has no password does not learn which addresses exist."""
    assert locked.get("/nothing").headers["Location"] == "/login?next=%2Fnothing"


def test_without_a_password_there_is_no_login(local: Site) -> None:
    assert local.get("/login").status_code == 404
    assert local.log_in().status_code == 404


# Login


def test_a_page_leads_to_the_login_and_back(locked: Site) -> None:
    """Whatever the Host is: there is a password."""
    answer = locked.get("/", Host="alerts.example")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert locked.get("/?wall").headers["Location"] == "/login?next=%2F%3Fwall"
    form = locked.get("/login?next=%2F%3Fwall")
    assert form.status_code == 200
    assert '<label for="password">' in form.text
    assert 'name="next" value="/?wall"' in form.text
    answer = locked.request("POST", "/login", data={"password": PASSWORD, "next": "/?wall"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?wall")
    assert "Sales EU" in locked.get("/").text
    assert locked.get("/login").headers["Location"] == "/"
    assert locked.get("/healthz").status_code == 200
    assert locked.get("/static/page.css").status_code == 200


@pytest.mark.parametrize("proto", ["", "http", "https", "https,http", "HTTPS"])
def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(locked: Site, proto: str) -> None:
    """HttpOnly and SameSite always; Secure where the browser speaks https."""
    answer = locked.log_in(headers={"X-Forwarded-Proto": proto} if proto else {})
    flags = {part.strip().casefold() for part in answer.headers["Set-Cookie"].split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/"} <= flags
    assert ("secure" in flags) == proto.casefold().startswith("https")
    assert PASSWORD not in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "/login", "evil", "/\n/evil", "/\tx"]
)
def test_the_login_leads_to_no_other_site(locked: Site, target: str) -> None:
    answer = locked.request("POST", "/login", data={"password": PASSWORD, "next": target})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


def test_wrong_passwords_are_counted_by_peer(locked: Site) -> None:
    """After ten, the right one is refused too; what the client says about its address does not matter."""
    for number in range(MAX_WRONG):
        answer = locked.log_in("not the password", headers={"X-Forwarded-For": f"203.0.113.{number}"})
        assert answer.status_code == 401
        assert "Wrong password." in answer.text
        assert "not the password" not in answer.text
    answer = locked.log_in()
    assert answer.status_code == 429
    assert "Set-Cookie" not in answer.headers
    assert int(answer.headers["Retry-After"]) == WITHIN
    locked.clock.monotonic += WITHIN - 1
    assert locked.log_in().status_code == 429
    locked.clock.monotonic += 1
    assert locked.log_in().status_code == 303


def test_attempts_that_arrive_at_the_same_time_are_counted_too(locked: Site) -> None:
    """Requests whose head came before the first wrong password was known are no more attempts than others."""
    head = b"POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"
    with ExitStack() as opened:
        waiting = []
        for _ in range(MAX_WRONG + 5):
            each = opened.enter_context(socket.create_connection(("127.0.0.1", locked.port), timeout=10))
            each.sendall(head)
            assert each.recv(4096).startswith(b"HTTP/1.1 100 ")  # its form is being read
            waiting.append(each)
        statuses = []
        for each in waiting:
            each.sendall(b"password=x")
            statuses.append(int(each.recv(4096).split()[1]))
    assert statuses == [401] * MAX_WRONG + [429] * 5


def test_a_login_outlives_too_many_attempts(locked: Site) -> None:
    locked.log_in()
    for _ in range(MAX_WRONG + 1):
        locked.log_in("not the password")
    assert locked.get("/").status_code == 200


def test_logging_out_ends_it(locked: Site) -> None:
    locked.log_in()
    assert 'action="/logout"' in locked.get("/").text
    answer = locked.request("POST", "/logout")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert locked.get("/").status_code == 303


def test_forms_of_other_sites_are_refused(locked: Site) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert locked.log_in(headers=foreign).status_code == 403
    locked.log_in()
    locked.request("POST", "/logout", headers=foreign)
    assert locked.get("/").status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"password", b"password=", b"\xff\xfe", b"password=%FF", b"&" * 50, b"{}", b"next=/", b"password=a&" * 20],
)
def test_a_malformed_form_is_a_wrong_password(locked: Site, body: bytes) -> None:
    assert locked.request("POST", "/login", data=body).status_code == 401


def test_a_long_form_is_refused(locked: Site) -> None:
    assert locked.request("POST", "/login", data=b"password=" + b"x" * 5000).status_code == 413


COOKIES = {
    "none": "",
    "made up": "page.aaaa.bbbb",
    "not ASCII": "page.é.é",
    "another password": Gate("another password").cookie(),
    "cut": Gate(PASSWORD).cookie()[:-1],
}


@pytest.mark.parametrize("cookie", COOKIES.values(), ids=COOKIES)
def test_a_cookie_that_the_password_did_not_sign_is_no_login(cookie: str) -> None:
    assert not Gate(PASSWORD).is_logged_in(cookie)


def test_a_login_survives_a_restart() -> None:
    """And another process with the same password accepts it."""
    assert Gate(PASSWORD).is_logged_in(Gate(PASSWORD).cookie())


def test_peers_are_forgotten() -> None:
    """Ten thousand of them are remembered, the latest ones."""
    attempts = Attempts(lambda: 0.0)
    for _ in range(MAX_WRONG):
        attempts.add("first")
    assert attempts.wait("first") == WITHIN
    for number in range(10_000):
        attempts.add(str(number))
    assert attempts.wait("first") == 0.0


# What it shows when it cannot read


def test_the_last_state_is_shown_while_the_database_cannot_be_read(local: Site) -> None:
    """With its age and the reason; then the current state again."""
    assert "Not up to date" not in local.get("/").text
    local.error = StoreError("alertbot.db is locked: another process has been writing to it for 5 s")
    local.clock.now += timedelta(minutes=3)
    local.clock.monotonic += 180
    answer = local.get("/")
    assert answer.status_code == 200
    assert "Sales EU" in answer.text
    assert "The database cannot be read: alertbot.db is locked: another process" in answer.text
    assert "09:00 UTC</time>, 3m ago." in answer.text
    local.error = None
    answer = local.get("/")
    assert "Not up to date" not in answer.text
    assert "09:03 UTC</time>." in answer.text


def test_a_page_that_was_never_read_says_so(local: Site) -> None:
    local.error = StoreError("alertbot.db is locked")
    answer = local.get("/")
    assert answer.status_code == 503
    assert "The database cannot be read: alertbot.db is locked." in answer.text


def test_a_database_that_hangs_does_not_hang_a_page(tmp_path: Path) -> None:
    """The page waits for as long as it may; one reading serves all that ask meanwhile, and is not repeated."""
    going, calls = threading.Event(), []
    with site(tmp_path, within=0.05) as made:
        made.wait = lambda: (calls.append(1), going.wait(10))
        for _ in range(3):
            answer = made.get("/")
            assert answer.status_code == 503
            assert "The database has not answered in time" in answer.text
            assert made.get("/healthz").status_code == 200
        assert len(calls) == 1
        going.set()


def test_a_database_that_another_process_has_locked(tmp_path: Path) -> None:
    """A writer does not keep pages from reading; a process that has the file to itself does."""
    with site(tmp_path, alerts=[alert()]) as made:
        other = sqlite3.connect(tmp_path / "alertbot.db", isolation_level=None)
        try:
            other.execute("BEGIN EXCLUSIVE")
            answer = made.get("/")
            assert answer.status_code == 200
            assert "Sales EU" in answer.text
            assert "Not up to date" not in answer.text
        finally:
            other.close()


def test_a_fault_in_a_page_is_no_traceback(local: Site) -> None:
    local.error = RuntimeError("secret detail")
    answer = local.get("/")
    assert answer.status_code == 503
    assert "Unexpected error: see the log of alertbot." in answer.text
    assert "secret detail" not in answer.text
    assert "Traceback" not in answer.text


def test_files_are_kept_by_browsers_until_they_change(local: Site) -> None:
    (address,) = re.findall(r'"(/static/page\.css\?v=\w+)"', local.get("/").text)
    assert "immutable" in local.get(address).headers["Cache-Control"]
    assert "no-cache" in local.get("/static/page.css?v=old").headers["Cache-Control"]
    assert local.get("/").headers["Cache-Control"] == "private, no-store, no-transform"
    assert local.get("/static/..%2Fbase.html").status_code == 404
    assert local.get("/static/%2e%2e/templates/base.html").status_code == 404
