"""A view with names in place of ids."""

from __future__ import annotations

from dataclasses import replace

from alertbot.commands.people import people_of, with_names
from tests.commands.kit import alert, silence, view


def test_everyone_in_a_view_is_named() -> None:
    """Owners, those who closed something, authors of silences; others keep their ids."""
    owned = replace(alert(), acked_by="U0DANA")
    closed = replace(alert(18), closed_by="U0BOB", acked_by="U0EVE")
    silenced = silence(19, author="U0DANA")
    seen = replace(view(alerts=[owned, alert(20)]), history=(closed,), ended=closed, silences=(silenced,))
    assert people_of(seen) == {"U0DANA", "U0BOB", "U0EVE"}
    named = with_names(seen, {"U0DANA": "Dana", "U0BOB": "Bob"})
    assert [each.acked_by for each in named.alerts] == ["Dana", None]
    assert [(each.closed_by, each.acked_by) for each in named.history] == [("Bob", "U0EVE")]
    assert named.ended == named.history[0]
    assert named.silences[0].author == "Dana"
    assert named.alerts[1] is seen.alerts[1]
    assert with_names(seen, {}) is seen
