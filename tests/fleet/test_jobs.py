"""The app of Procrastinate: it is made again when PostgreSQL was down."""

from __future__ import annotations

from alertbot.fleet.jobs import make_app


def test_every_app_of_a_process_knows_the_same_tasks() -> None:
    for _ in range(3):
        assert {"alertbot:own", "alertbot:chore"} <= set(make_app("host=nowhere").tasks)
