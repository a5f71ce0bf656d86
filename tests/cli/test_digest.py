"""`digest` in the terminal: what it prints and sends, and its exit status."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from alertbot.alerts.alert import Reason
from alertbot.clock import wall_clock
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level
from alertbot.store.sqlite.store import SqliteStore
from tests.cli.test_cli import CONFIG, configure, ran
from tests.slack.slack_server import TOKEN, limited, refused, slack_server
from tests.store.build import begins, ends, firing, poll, snapshot

NOW = wall_clock().replace(microsecond=0)


def record(store: SqliteStore, hours_ago: float, entity: str = "103", lasted: float = 600, **more: Any) -> None:
    end = NOW - timedelta(hours=hours_ago)
    begun = end - timedelta(seconds=lasted)
    alert = firing(entity, **{"fired_at": begun, "reported": Level.WARNING, **more})
    store.record(poll([begins(alert)], now=begun))
    (opened,) = store.alerts()
    store.record(poll([ends(opened, end, Reason.RESOLVED)], now=end))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four alerts of two queues within a week, and one before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALERTBOT_CONFIG", raising=False)
    configure(tmp_path)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "queues.yaml").write_text(
        "rules:\n"
        "  - {id: longest-wait, title: Longest wait, scope: queue, when: interactionsLongestWaitInQueue.rt > 60s}\n"
        "  - {id: quiet, title: Quiet, scope: queue, when: interactionsWaitInQueue.rt > 99}\n"
    )
    store = SqliteStore(tmp_path / "alertbot.db")
    record(store, 20 * 24)
    for hours in (100, 50, 20):
        record(store, hours)
    record(store, 5, "104", lasted=30)
    store.close()
    return tmp_path


def test_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All findings of the last week, with what to do about them."""
    assert ran("digest") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Alert digest: 7d until ")
    assert lines[1:] == [
        "4 alerts; none acknowledged.",
        "Fired most: rules",
        "• longest-wait: 4 alerts, 2 entities",
        "→ If these are too many to act on: lengthen `for`.",
        "Fired most: entities",
        "• Queue 103: 3 alerts, all of longest-wait",
        "• Queue 104: 1 alert, all of longest-wait",
        "→ If one differs from the rest: give it its own limit (overrides).",
        "Never acknowledged",
        "• longest-wait: 3 alerts",
        "→ If nothing is done about them, lower their level to info.",
        "Ended within a minute",
        "• longest-wait: 1 of 4 alerts",
        "→ A longer `for` avoids these.",
        "Rules that never fired",
        "• quiet",
        "→ Less than a day of polls is recorded: too early to say.",
    ]


@pytest.mark.parametrize(("hours", "tunes"), [(23, False), (25, True)])
def test_tune_is_advised_once_a_day_is_recorded(
    folder: Path, capsys: pytest.CaptureFixture[str], hours: int, tunes: bool
) -> None:
    """Before that it would refuse."""
    store = SqliteStore(folder / "alertbot.db")
    seen = snapshot(NOW - timedelta(hours=hours))
    store.record(poll(now=seen.at, snapshots={seen.scope: seen}))
    store.close()
    assert ran("digest") == 0
    text = capsys.readouterr().out
    assert ("alertbot tune quiet shows which limit would have fired." in text) is tunes
    assert ("alertbot tune longest-wait shows which limit fires less often." in text) is tunes


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran("digest", "--since", "30d", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(each["tenant"], each["alerts"]) for each in found["tenants"]] == [("acme", 5)]
    assert found["rules"] == [
        {
            "kind": "never_fired",
            "advice": "Less than a day of polls is recorded: too early to say.",
            "items": [{"rule": "quiet", "shadow": False}],
        }
    ]


def test_an_empty_window(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A clear sentence, and status 1: there was nothing to report on."""
    assert ran("digest", "--since", "1h") == 1
    assert capsys.readouterr().out.splitlines()[1] == "No alert fired."
    assert ran("digest", "--since", "1h", "--json") == 1
    assert json.loads(capsys.readouterr().out)["tenants"][0]["findings"] == []


REFUSED = {
    "no duration": (["--since", "soon"], "--since takes a duration such as 60s or 2m, not 'soon'"),
    "too long": (["--since", "500d"], "--since takes a duration of 366d at most, not '500d'"),
    "no time": (["--since", "0s"], "--since takes a duration of 366d at most, not '0s'"),
    "no channel": (["--send", "cc"], "--send takes a channel such as \"#cc-alerts\", or its id, not 'cc'"),
}


@pytest.mark.parametrize(("args", "said"), REFUSED.values(), ids=REFUSED)
def test_refused(folder: Path, args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran("digest", *args) == 2
    assert said in capsys.readouterr().err


def test_without_a_token_nothing_is_sent(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (folder / "alertbot.yaml").read_text()
    (folder / "alertbot.yaml").write_text(text.replace("xoxb-of-the-test", '""'))
    assert ran("digest", "--send", "#cc-alerts") == 2
    assert "slack.bot_token: missing" in capsys.readouterr().err


def test_send(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One message under 3,000 characters and the rest in its thread; a 429 is waited out, a refusal is status 1."""
    store = SqliteStore(folder / "alertbot.db")
    for number in range(5):
        record(store, 4 - number / 10, f"20{number}", entity_name=f"Queue {number}")
    store.close()
    with slack_server() as slack:
        config = CONFIG.replace("http://127.0.0.1:9/api/", slack.api_url).replace("xoxb-of-the-test", TOKEN)
        config = config.format(base_url="http://127.0.0.1:9/x", token_url="http://127.0.0.1:9/token", secret="s")
        (folder / "alertbot.yaml").write_text(config)
        slack.next("chat.postMessage", limited("0"))
        assert ran("digest", "--send", "#cc-sales") == 0
        assert capsys.readouterr().out.endswith("sent to #cc-sales\n")
        (message,) = slack.top("cc-sales")
        assert message["text"].splitlines()[1] == "9 alerts; none acknowledged."
        assert sum(len(block["text"]["text"]) for block in message["blocks"]) < 3000
        (reply,) = slack.thread(message["ts"], "cc-sales")
        assert "• Queue 4: 1 alert, all of longest-wait" in reply["text"]
        slack.next("chat.postMessage", refused("not_in_channel"))
        assert ran("digest", "--send", "#cc-sales") == 1
        assert "Could not post in #cc-sales" in capsys.readouterr().err


def test_names_of_agents_are_hidden(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`privacy.agents`, in items and in matches that cover nothing."""
    (folder / "alertbot.yaml").write_text((folder / "alertbot.yaml").read_text() + "privacy: {agents: initials}\n")
    store = SqliteStore(folder / "alertbot.db")
    for number in range(2):
        name = ("Dana Whitfield", "Eve Moneypenny")[number]
        key = firing().key._replace(rule="on-break", scope=Scope.AGENT, entity_id=f"a{number}")
        record(store, 3 - number, key=key, entity_name=name)
    store.close()
    assert ran("digest") == 0
    shown = capsys.readouterr().out
    assert "• DW: 1 alert, all of on-break" in shown
    assert "Whitfield" not in shown
