"""/metrics: what a running bot shows, in a format that Prometheus accepts, without names and without waiting."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from alertbot import __version__
from alertbot.simulator.faults import ApiFault
from alertbot.web.metrics import Metrics
from tests.service.operated import KEY, SECRET, Operated, operated
from tests.slack.slack_server import DROP_BEFORE, TOKEN, limited, refused

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")


def values(text: str) -> dict[str, float]:
    """Every sample, by its name with its labels as Prometheus writes them."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def scraped(bot: Operated) -> dict[str, float]:
    return values(bot.get("/metrics").text)


def test_what_a_running_bot_shows(tmp_path: Path) -> None:
    """Polls, requests, entities, alerts, notices, Slack and rules are counted as they happened."""
    with operated(tmp_path) as bot:
        bot.poll()
        polled_at = bot.clock().timestamp()
        bot.deliver()
        found = scraped(bot)
        for name, value in {
            'alertbot_polls_total{outcome="complete",tenant="acme"}': 1,
            'alertbot_polls_total{outcome="failed",tenant="acme"}': 0,
            'alertbot_source_requests_total{endpoint="token",outcome="ok",tenant="acme"}': 1,
            'alertbot_source_requests_total{endpoint="/queues",outcome="ok",tenant="acme"}': 1,
            'alertbot_source_retries_total{tenant="acme"}': 0,
            'alertbot_poll_phase_duration_seconds_count{phase="fetch"}': 1,
            'alertbot_poll_phase_duration_seconds_count{phase="record"}': 1,
            'alertbot_entities{scope="queue",tenant="acme"}': 2,
            'alertbot_entities{scope="agent",tenant="acme"}': 3,
            'alertbot_alerts{level="critical",state="firing",tenant="acme"}': 2,
            'alertbot_alerts{level="warning",state="firing",tenant="acme"}': 0,  # the shadow rule fires for each agent
            'alertbot_feed_problem{problem="stale",tenant="acme"}': 0,
            'alertbot_feed_last_good_poll_timestamp_seconds{tenant="acme"}': polled_at,
            'alertbot_notices_total{kind="card",outcome="delivered"}': 2,
            'alertbot_notice_delay_seconds_count{kind="card"}': 2,
            'alertbot_slack_requests_total{method="chat.postMessage",outcome="ok"}': 2,
            "alertbot_alerts_fired_total": 2,
            "alertbot_notices_waiting": 0,
            "alertbot_database_readable": 1,
            'alertbot_rules{tenant="acme"}': 2,
            'alertbot_rule_files_broken{tenant="acme"}': 0,
            'alertbot_problem{part="database"}': 0,
            "alertbot_slack_unreachable_seconds": 0,
        }.items():
            assert found[name] == pytest.approx(value), name
        assert found[f'alertbot_build_info{{python_version="{_python()}",version="{__version__}"}}'] == 1
        version = bot.app.tenants[0].rules.version
        assert found[f'alertbot_rules_info{{tenant="acme",version="{version}"}}'] == 1
        assert found['alertbot_database_size_bytes{file="main"}'] > 0
        assert not [name for name in found if "_created" in name]


def test_what_goes_wrong_is_counted(tmp_path: Path) -> None:
    """Failed polls, refused and limited requests, waits of Slack, broken edits and a stale feed."""
    with operated(tmp_path) as bot:
        bot.slack.next("chat.postMessage", limited("7"), refused("channel_not_found"))
        bot.poll()
        bot.deliver()
        bot.centre.faults.add(ApiFault("status", status=500))
        for _ in range(12):
            bot.poll()
        bot.slack.next("auth.test", DROP_BEFORE)
        bot.app.courier.check_slack()
        (bot.folder / "rules" / "all.yaml").write_text("rules:\n  - id: x\n    scoop: 5\n")
        bot.app.reloader.look(0.0, at_once=True)
        found = scraped(bot)
        assert found['alertbot_slack_requests_total{method="chat.postMessage",outcome="rate_limited"}'] == 1
        assert found["alertbot_slack_retry_after_seconds_total"] == 7
        assert found['alertbot_slack_requests_total{method="auth.test",outcome="unreachable"}'] == 1
        assert found['alertbot_notices_total{kind="card",outcome="put_off"}'] >= 1
        failed = [name for name in found if name.startswith("alertbot_source_requests_total") and '"broken"' in name]
        assert sum(found[name] for name in failed) > 0
        assert found['alertbot_polls_total{outcome="failed",tenant="acme"}'] >= 3
        assert found['alertbot_polls_total{outcome="backed_off",tenant="acme"}'] >= 1
        assert found['alertbot_source_retries_total{tenant="acme"}'] > 0
        assert found['alertbot_feed_problem{problem="stale",tenant="acme"}'] == 1
        assert found['alertbot_rule_reloads_total{outcome="refused"}'] == 1
        assert found['alertbot_rule_files_broken{tenant="acme"}'] == 1
        assert found["alertbot_notices_waiting"] >= 1
        assert found["alertbot_notices_oldest_waiting_seconds"] > 0


def test_the_number_of_series_does_not_grow_with_the_contact_centre(tmp_path: Path) -> None:
    """No name of a queue, agent or rule, no channel and no secret is in the text; 40 agents make no more series."""
    seen = []
    for agents in (3, 40):
        folder = tmp_path / str(agents)
        folder.mkdir()
        with operated(folder, queues=agents, agents=agents) as bot:
            bot.poll()
            bot.deliver()
            text = bot.get("/metrics").text
            turn = bot.app.tenants[0].last
            assert turn is not None
            names = {name for snapshot in turn.snapshots.values() for name in snapshot.names}
            assert len(names) > agents
            for word in (*names, KEY, SECRET, TOKEN, "anything-entered", "agents-there", "cc-alerts"):
                assert word not in text, word
            seen.append({name for name in values(text) if not name.startswith("process_")})
    few, many = seen
    assert {name.partition(',version="')[0] for name in few} == {name.partition(',version="')[0] for name in many}


def test_methods_of_slack_are_bounded() -> None:
    """However many methods there are, the labels stay few: the rest is `other`."""
    metrics = Metrics()
    for number in range(200):
        metrics.called_slack(f"files.upload{number}", "ok", 0.1, None)
    found = values(metrics.render("")[0].decode())
    methods = [name for name in found if name.startswith("alertbot_slack_requests_total")]
    assert len(methods) == 41
    assert found['alertbot_slack_requests_total{method="other",outcome="ok"}'] == 160


def test_a_scrape_does_not_wait_for_the_database(tmp_path: Path) -> None:
    """While nothing can be read from the database, a scrape is answered within a second, from memory."""
    with operated(tmp_path) as bot:
        bot.poll()
        reading, done = threading.Event(), threading.Event()

        def read() -> None:
            with bot.app.store._db.read():  # type: ignore[attr-defined]  # as a long question does
                reading.set()
                done.wait(30)

        holder = threading.Thread(target=read)
        holder.start()
        try:
            assert reading.wait(10)
            for _ in range(3):
                began = time.monotonic()
                found = scraped(bot)
                assert time.monotonic() - began < 2
                assert found["alertbot_database_readable"] == 0
                assert "alertbot_notices_waiting" not in found
                assert found['alertbot_alerts{level="critical",state="firing",tenant="acme"}'] == 2
            waiting = [thread for thread in threading.enumerate() if thread.name == "metrics-store"]
            assert len(waiting) == 1  # scrapes do not pile up
        finally:
            done.set()
            holder.join(10)
        waiting[0].join(10)
        assert scraped(bot)["alertbot_database_readable"] == 1


def test_the_format_is_the_one_that_is_asked_for(tmp_path: Path) -> None:
    """OpenMetrics for those that accept it, else Prometheus's text format."""
    with operated(tmp_path) as bot:
        plain = bot.get("/metrics")
        assert plain.headers["Content-Type"].startswith("text/plain; version=")
        other = bot.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert other.headers["Content-Type"].startswith("application/openmetrics-text")
        assert other.text.endswith("# EOF\n")


@needs_promtool
def test_promtool_accepts_it(tmp_path: Path) -> None:
    """`promtool check metrics` finds nothing to complain about: neither syntax nor names."""
    with operated(tmp_path) as bot:
        bot.poll()
        bot.deliver()
        text = bot.get("/metrics").text
    checked = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def _python() -> str:
    import platform

    return platform.python_version()
