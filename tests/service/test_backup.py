"""A backup taken in a storm is restored and run: nothing is lost, and what was posted before it is not posted again."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

from alertbot.store.sqlite.backup import back_up
from tests.service.operated import Operated, operated
from tests.slack.slack_server import SlackServer


def entities(slack: SlackServer) -> Counter[str]:
    """How many cards each notice id has: the same alert in the same channel has the same id."""
    return Counter(message["metadata"]["event_payload"]["notice_id"] for message in slack.top())


def settle(bot: Operated) -> None:
    """Poll and deliver until nothing is due."""
    for _ in range(60):
        bot.poll()
        bot.deliver(12)
        if not bot.app.store.totals().waiting:
            return
    raise AssertionError(f"still waiting: {bot.app.store.totals()}")


def test_a_backup_taken_in_a_storm_is_restored_and_run(tmp_path: Path) -> None:
    """Forty alerts begin, half of their cards are posted, and a backup is made while polls and posts go on.

    The bot runs on for a while, and the database is lost. The one that starts on the backup posts what it had not
    posted then; no alert is left without a card.
    """
    copy, folder = tmp_path / "copy.db", tmp_path / "site"
    folder.mkdir()
    with operated(folder, queues=40, agents=3, storm={"cards": 50}) as bot:
        bot.poll()
        bot.deliver(20)
        before = set(entities(bot.slack))
        assert 10 < len(before) < 40
        stop = threading.Event()

        def storm() -> None:
            while not stop.is_set():
                bot.poll()
                bot.deliver(1)

        thread = threading.Thread(target=storm)
        thread.start()
        try:
            back_up(folder / "alertbot.db", copy)
        finally:
            stop.set()
            thread.join(30)
        settle(bot)
        assert len(entities(bot.slack)) == 40
        open_before = {alert.key for alert in bot.app.store.alerts("acme")}
        bot.app.stop()
        for path in folder.glob("alertbot.db*"):  # with -wal and -shm: SQLite would apply them to the copy
            path.unlink()
        copy.rename(folder / "alertbot.db")
        bot.restart()
        settle(bot)
        assert {alert.key for alert in bot.app.store.alerts("acme")} == open_before
        cards = entities(bot.slack)
        assert len(cards) == 40
        assert {notice for notice, times in cards.items() if times == 1} >= before
        status = bot.app.store.totals()
        assert (status.waiting, status.given_up) == (0, 0)
