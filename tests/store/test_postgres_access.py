"""Who may use a PostgreSQL database: what a server refuses is a sentence with the remedy, never with the password."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alertbot.errors import StoreError
from alertbot.store.postgres.store import PostgresStore
from tests.store.postgres import OwnServer, own_server

PASSWORD, WRITTEN = "s3cret@/pw%20", "s3cret%40%2Fpw%2520"
OWNER = "host all postgres 127.0.0.1/32 trust"


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    """A server that asks `bot` for a password, and nobody else; its database has tables of `bot`."""
    with own_server() as made:
        made.run(f"ALTER ROLE bot PASSWORD '{PASSWORD}'")
        PostgresStore(made.address).close()
        for guest in ("guest", "reader"):
            made.run(f"CREATE ROLE {guest} LOGIN")
        made.run("GRANT USAGE ON SCHEMA alertbot TO reader")
        made.run("GRANT SELECT ON ALL TABLES IN SCHEMA alertbot TO reader")
        made.run("CREATE DATABASE closed", "postgres")
        made.run("REVOKE CONNECT ON DATABASE closed FROM PUBLIC", "postgres")
        made.run("CREATE ROLE retired NOLOGIN")
        made.run("CREATE ROLE busy LOGIN CONNECTION LIMIT 0")
        made.allow(
            OWNER,
            "host all bot 127.0.0.1/32 scram-sha-256",
            "host all reader,guest,retired,busy 127.0.0.1/32 trust",
            "host all rejected 127.0.0.1/32 reject",
        )
        yield made


REFUSED = "the server refuses the user or the password of `storage`: .*"
REFUSALS = {
    "a wrong password": (f"bot:{WRITTEN}x", "alertbot", f'{REFUSED}password authentication failed for user "bot"'),
    "no password": ("bot", "alertbot", "the server asks for a password, and `storage` has none; add it to `storage`"),
    "another user": ("stranger", "alertbot", f"{REFUSED}no pg_hba.conf entry for host"),
    "a rejected user": ("rejected", "alertbot", f"{REFUSED}pg_hba.conf rejects connection for host"),
    "a user who may not log in": ("retired", "alertbot", f'{REFUSED}role "retired" is not permitted to log in'),
    "a database that is not there": (f"bot:{WRITTEN}", "alerts", "there is no database alerts; create it: createdb"),
    "a database that is closed to it": (
        "guest",
        "closed",
        "the user guest may not connect to the database closed; its owner allows it with "
        'GRANT CONNECT ON DATABASE "closed" TO "guest"',
    ),
    "tables of another user": (
        "guest",
        "alertbot",
        r"the user guest may not use the tables \(permission denied for schema alertbot\); name the user who owns",
    ),
}


@pytest.mark.parametrize(("user", "database", "said"), REFUSALS.values(), ids=REFUSALS)
def test_what_a_server_refuses(own: OwnServer, user: str, database: str, said: str) -> None:
    """A retry cannot help."""
    with pytest.raises(StoreError, match=said) as caught:
        PostgresStore(own.address.replace("bot@", f"{user}@").replace("/alertbot", f"/{database}"))
    assert not caught.value.retryable
    assert_no_password(caught.value)


def test_too_many_connections(own: OwnServer) -> None:
    """That may pass."""
    with pytest.raises(
        StoreError, match=r"cannot be reached: .*too many connections for role.*; raise max_connections"
    ) as caught:
        PostgresStore(own.address.replace("bot@", "busy@"))
    assert caught.value.retryable


def test_a_user_who_may_only_read(own: OwnServer) -> None:
    store = PostgresStore(own.address.replace("bot@", "reader@"), reading=True)
    assert store.alerts() == []
    with pytest.raises(StoreError, match=r"the user reader may not use the tables \(permission denied for table"):
        store.check_writable()
    store.close()


def test_the_right_password(own: OwnServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the address, or where libpq looks for it."""
    PostgresStore(own.address.replace("bot@", f"bot:{WRITTEN}@")).close()
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    PostgresStore(own.address).close()


def test_a_password_that_is_changed_while_connected(own: OwnServer) -> None:
    """Connections that are open go on; a new one is refused, and the reason is the same sentence."""
    store = PostgresStore(own.address.replace("bot@", f"bot:{WRITTEN}@"))
    store.check_writable()
    own.run("ALTER ROLE bot PASSWORD 'other'")
    try:
        store.check_writable()
        own.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bot'", "postgres")
        with pytest.raises(StoreError, match=f"{REFUSED}password authentication failed") as caught:
            store.check_writable()
        assert_no_password(caught.value)
    finally:
        own.run(f"ALTER ROLE bot PASSWORD '{PASSWORD}'")
    store.close()


def assert_no_password(error: BaseException | None) -> None:
    """Not in the error, nor in what caused it: a traceback would show both."""
    while error is not None:
        assert "s3cret" not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__
