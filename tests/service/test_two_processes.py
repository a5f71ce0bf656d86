"""Several processes on one database that deliver at once to a third-party Slack (`emulate`)."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path

from alertbot.store.sqlite.store import SqliteStore
from tests.foreign import emulate
from tests.notify.deliverers import deliver_at_once, fill

CHANNELS = tuple(f"cc-{number}" for number in range(20))
SIZE = 60


def test_three_processes_post_each_notice_once(tmp_path: Path) -> None:
    """60 cards and ops notices in 20 channels; the pause of a second between two posts holds for all processes."""
    path = tmp_path / "alertbot.db"
    with emulate(tmp_path, channels=CHANNELS) as slack:
        ids = fill(path, [slack.channels[name] for name in CHANNELS], SIZE)
        posted, left = deliver_at_once(path, slack.api_url, slack.token, processes=3)
        messages = [message for name in CHANNELS for message in slack.history(name)]
    stored = [(message.get("metadata") or {}).get("event_payload", {}).get("notice_id") for message in messages]
    assert Counter(filter(None, stored)) == Counter(ids)
    assert posted == SIZE
    assert left > 0  # they did compete
    with closing(SqliteStore(path)) as store:
        assert (store.totals().cards_posted, store.totals().waiting, store.totals().given_up) == (40, 0, 0)
