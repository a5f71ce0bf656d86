"""Several processes on one database deliver at once: each notice is posted once, whichever holds the lease."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path

from alertbot.store.sqlite.store import SqliteStore
from tests.notify.deliverers import deliver_at_once, fill
from tests.slack.slack_server import TOKEN, slack_server

SIZE = 60


def test_two_processes_post_each_notice_once(tmp_path: Path) -> None:
    """Both start with the same list of 60 cards and ops notices, each in its own channel."""
    path = tmp_path / "alertbot.db"
    with slack_server() as slack:
        slack.channels = {f"c{number}": f"C{number:07}" for number in range(SIZE)}
        ids = fill(path, list(slack.channels.values()), SIZE)
        posted, left = deliver_at_once(path, slack.api_url, TOKEN)
        stored = Counter(
            message["metadata"]["event_payload"]["notice_id"]
            for messages in slack.messages.values()
            for message in messages
        )
    assert stored == Counter(ids)
    assert posted == SIZE
    assert left > 0  # they did compete
    with closing(SqliteStore(path)) as store:
        assert (store.totals().cards_posted, store.totals().waiting, store.totals().given_up) == (40, 0, 0)
