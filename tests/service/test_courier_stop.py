"""The courier, stopped while Slack hangs."""

from __future__ import annotations

import threading
from contextlib import closing

from alertbot.clock import wall_clock
from alertbot.service.courier import Courier
from alertbot.service.signal import ThreadSignal
from alertbot.slack.notifier import Identity, SlackNotifier
from alertbot.store.sqlite.store import SqliteStore


class HangingSlack(SlackNotifier):
    """A Slack that is asked who we are and does not answer until `answer` is set."""

    def __init__(self) -> None:
        super().__init__("xoxb-test", api_url="http://127.0.0.1:9/")
        self.asked, self.answer = threading.Event(), threading.Event()

    def check(self) -> Identity:
        self.asked.set()
        self.answer.wait(10.0)
        return Identity("Acme", "alertbot", "U1", "B1")


def test_stopping_says_that_a_check_of_the_token_hangs() -> None:
    """Where that is not said, the process is not ended at once: Python waits for its thread."""
    slack = HangingSlack()
    with closing(SqliteStore(":memory:")) as store:
        courier = Courier(
            store,
            slack,
            wall_clock,
            ThreadSignal(),
            threading.Event(),
            claimant="test",
            fallback_channel="#cc-alerts",
            ops_channel="#cc-alerts",
            timezone="UTC",
        )
        check = threading.Thread(target=courier.check_slack)
        check.start()
        assert slack.asked.wait(5.0)
        assert not courier.stop(0.05)
        slack.answer.set()
        check.join(5.0)
        assert courier.stop(0.05)
