"""A tenant that left the configuration: its alerts end when the bot starts, and its cards are closed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from alertbot.alerts.alert import Reason
from alertbot.alerts.delivery import EditCard, PostLine
from alertbot.config.settings import Settings
from alertbot.feed.rules import STALE
from alertbot.notify.console import ConsoleNotifier
from alertbot.service.app import build
from alertbot.service.departed import end_departed
from alertbot.store.roles import Store
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import T0, at, begin_posted, begins, firing, pending, poll

DEFAULT = "#cc-alerts"


@pytest.fixture
def store() -> Store:
    """Tenant acme has left; it had a card, one about its feed, a pending alert and one that was never reported."""
    made = SqliteStore(":memory:")
    begin_posted(made, firing("1", tenant="acme"))
    begin_posted(made, firing("acme", tenant="acme", rule=STALE), channel="#ops")
    made.record(poll([begins(pending("2", tenant="acme"))], tenant="acme"))
    begin_posted(made, firing("1", tenant="acme-eu"), channel="#eu")
    return made


def test_its_alerts_end_and_its_cards_are_closed(store: Store) -> None:
    """Each card gets a line with the reason and its last edit; other tenants' alerts stay as they are."""
    assert end_departed(store, ["acme-eu"], DEFAULT, at(60)) == 3
    assert [alert.key.tenant for alert in store.alerts()] == ["acme-eu"]
    ended = {alert.key.rule: (alert.end_reason, alert.ended_at) for alert in store.ended(T0)}
    assert ended == {rule: (Reason.TENANT_REMOVED, at(60)) for rule in ("longest-wait", STALE)}
    due = store.due(at(60))
    lines = [item for item in due if isinstance(item, PostLine)]
    edits = [item for item in due if isinstance(item, EditCard)]
    assert {line.notice.reason for line in lines} == {Reason.TENANT_REMOVED}
    assert {edit.card.members[0].key.rule for edit in edits} == {"longest-wait", STALE}
    assert all(not edit.card.members[0].open for edit in edits)


def test_it_happens_once(store: Store) -> None:
    """The next start finds nothing to do."""
    end_departed(store, ["acme-eu"], DEFAULT, at(60))
    assert end_departed(store, ["acme-eu"], DEFAULT, at(120)) == 0
    assert end_departed(store, ["acme-eu", "acme"], DEFAULT, at(180)) == 0


def test_at_the_start_of_the_bot(tmp_path: Path) -> None:
    """A renamed tenant: the card of the alert under the old name is closed with the reason."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "r.yaml").write_text("rules: [{id: r, scope: queue, when: entered.today > 9}]\n")
    kept = SqliteStore(tmp_path / "alertbot.db")
    begin_posted(kept, firing("1", tenant="acme"))
    kept.close()
    settings = Settings.model_validate(
        {
            "tenants": [{"name": "acme-eu", "region": "us"}],
            "slack": {"default_channel": DEFAULT},
            "folder": tmp_path,
        }
    )
    screen = io.StringIO()
    console = Console(width=120, file=screen)
    app = build(settings, notifier=ConsoleNotifier(console), clock=lambda: at(60))
    try:
        app.take_lease()
        app.courier.deliver_all(0)
    finally:
        app.stop()
    assert "its tenant is no longer polled" in " ".join(screen.getvalue().split())
