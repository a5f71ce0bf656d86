"""What counts as a Slack channel, user or mention."""

from __future__ import annotations

import pytest

from alertbot.rules.slack_ids import is_channel, is_channel_id, is_mention, is_user_id

CASES = {
    "#cc-alerts": {"channel"},
    "#käyttö": {"channel"},
    "#": set(),
    "#two words": set(),
    "cc-alerts": set(),
    "C0123ABCD": {"channel", "channel id"},
    "G0123ABCD": {"channel", "channel id"},
    "D0123ABCD": {"channel", "channel id"},
    "c0123abcd": set(),
    "C1": set(),
    "U0ALICE00": {"user id"},
    "W0ALICE00": {"user id"},
    "alice": set(),
    "U0ALICE00 ": set(),
    "<@U0123>": {"mention"},
    "<!subteam^S0123>": {"mention"},
    "<!here>": {"mention"},
    "<!channel>": {"mention"},
    "<!everyone>": {"mention"},
    "@here": set(),
    "<!everyone|x>": set(),
    "<!here> hello": set(),
    "<http://x|y>": set(),
}


@pytest.mark.parametrize("text", CASES)
def test_what_it_is(text: str) -> None:
    """Each text is of the kinds named, and of no other."""
    tests = {"channel": is_channel, "channel id": is_channel_id, "user id": is_user_id, "mention": is_mention}
    assert {kind for kind, test in tests.items() if test(text)} == CASES[text]
