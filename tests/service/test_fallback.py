"""The fallback webhook: what Slack does not get is posted, at least once and with the same id, and nothing leaks."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import structlog

from alertbot.rules.rule import Level
from alertbot.service.fallback import FallbackWebhook
from alertbot.store.sqlite.store import SqliteStore
from alertbot.web.metrics import FALLBACK_OUTCOMES, Metrics
from tests.service.bot import alertbot
from tests.service.loopback import serving
from tests.service.operated import KEY, RULES, SECRET, Operated, operated
from tests.simulator.kit import HandClock
from tests.slack.slack_server import DROP_BEFORE, TOKEN, Fault, limited, refused
from tests.store.build import T0, at, begin, ends, firing, one, poll, post, posts

CODE = "5a0d2c1e-very-secret"


@dataclass
class Receiver:
    """The other side: it keeps what it was sent, and answers with `statuses`, then with 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    received: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    page: bytes = b""  # with every answer
    drop: bool = False  # take the post, and close the connection instead of answering

    @property
    def said(self) -> list[tuple[str, str, int]]:
        return [(each["kind"], each["alert"]["level"], each["alert"]["id"]) for each in self.received]


@contextmanager
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.received.append(json.loads(body))
            kept.keys.append(self.headers["Idempotency-Key"])
            kept.paths.append(self.path)
            if kept.drop:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(kept.statuses.pop(0) if kept.statuses else 200)
            for name, value in kept.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(kept.page)))
            self.end_headers()
            with suppress(OSError):  # the other side need not read it
                self.wfile.write(kept.page)

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as url:
        kept.url = f"{url}/{CODE}"
        yield kept


@dataclass
class World:
    store: SqliteStore
    clock: HandClock
    metrics: Metrics = field(default_factory=Metrics)

    def webhook(self, url: str) -> FallbackWebhook:
        return FallbackWebhook(
            url,
            self.store,
            self.clock,
            self.metrics,
            after=timedelta(minutes=2),
            levels=[Level.CRITICAL],
            timezone="UTC",
            show_tenant=False,
            monotonic=lambda: self.clock.now.timestamp(),
        )

    def run(self, webhook: FallbackWebhook, seconds: float) -> int:
        """One look, that many seconds after T0."""
        self.clock.now = at(seconds)
        return webhook.run()

    def counted(self) -> dict[str, int]:
        lines = self.metrics.render("")[0].decode().splitlines()
        found = dict(line.split(" ") for line in lines if line.startswith("alertbot_fallback_posts_total"))
        counts = {
            each: int(float(found[f'alertbot_fallback_posts_total{{outcome="{each}"}}'])) for each in FALLBACK_OUTCOMES
        }
        return {outcome: number for outcome, number in counts.items() if number}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = SqliteStore(tmp_path / "alertbot.db", busy_timeout=0.1)
    yield World(store, HandClock(T0))
    store.close()


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """What is logged, before secrets are removed."""
    with structlog.testing.capture_logs() as captured:
        yield captured


def test_an_alert_and_its_end(world: World, lines: list[Any]) -> None:
    """Posted after two minutes, once; its end too, after Slack has taken the alert; the log says so."""
    alert = begin(world.store, firing(level=Level.CRITICAL))
    with receiver() as other:
        webhook = world.webhook(other.url)
        assert [world.run(webhook, second) for second in (5, 119, 120, 125, 300)] == [0, 0, 1, 0, 0]
        for each in posts(world.store, at(301)):
            post(world.store, each, at(301))
        world.store.record(poll([ends(one(world.store, alert), at(310))], now=at(310)))
        assert [world.run(webhook, second) for second in (311, 316)] == [1, 0]
        assert webhook.close(1)
    assert other.said == [("firing", "critical", 1), ("resolved", "critical", 1)]
    assert other.keys == [each["id"] for each in other.received]
    assert other.received[0]["incident"] == other.received[1]["incident"]
    assert other.received[0]["slack"]["waiting_since"] == "2026-03-02T09:00:00Z"
    assert world.counted() == {"sent": 2}
    assert webhook.problem == ""
    logged = str(lines)
    assert "an alert could not be delivered to Slack: posted to the fallback webhook" in logged
    assert "the end of an alert was posted to the fallback webhook" in logged
    assert CODE not in logged


ANSWERS = {
    "an error of the server": ([500], {}, 5.0, "127.0.0.1:PORT answered 500"),
    "too many requests": ([429], {"Retry-After": "42"}, 42.0, "127.0.0.1:PORT answered 429"),
    "refused": ([404], {}, 5.0, "127.0.0.1:PORT answered 404"),
    "a redirect": (
        [302],
        {"Location": "http://127.0.0.1:9/elsewhere"},
        5.0,
        "127.0.0.1:PORT answered 302, a redirect, which is not followed",
    ),
}


@pytest.mark.parametrize(("statuses", "headers", "wait", "said"), ANSWERS.values(), ids=ANSWERS)
def test_what_is_not_received_is_sent_again(
    world: World, statuses: list[int], headers: dict[str, str], wait: float, said: str, lines: list[Any]
) -> None:
    """The same JSON, after a while, and after a restart; the reason names the host alone, and `status` shows it."""
    begin(world.store, firing(level=Level.CRITICAL))
    with receiver() as other:
        other.statuses, other.headers = list(statuses), headers
        webhook = world.webhook(other.url)
        assert world.run(webhook, 120) == 0
        said = said.replace("PORT", other.url.split(":")[2].split("/")[0])
        assert webhook.problem == f"1 post waits for the fallback webhook: {said}"
        assert world.run(webhook, 120 + wait - 1) == 0
        webhook = world.webhook(other.url)
        assert world.run(webhook, 120 + wait - 0.5) == 0
        assert world.run(webhook, 120 + wait + 1) == 1
    assert len(other.received) == 2
    assert other.received[0] == other.received[1]
    assert other.paths == [f"/{CODE}"] * 2
    assert world.counted() == {"failed": 1, "sent": 1}
    assert said in str(lines)
    assert CODE not in str(lines)


def test_a_page_of_any_size_is_an_answer(world: World) -> None:
    """The status counts: what is on the page is not needed, so it is not read to its end."""
    begin(world.store, firing(level=Level.CRITICAL))
    with receiver() as other:
        other.page = b"<p>Thank you." * 100_000
        webhook = world.webhook(other.url)
        assert (world.run(webhook, 120), webhook.problem) == (1, "")


def test_one_that_is_refused_holds_up_no_other(world: World) -> None:
    """A 400 is about that alert; the next one is sent at once."""
    for entity in ("1", "2", "3"):
        begin(world.store, firing(entity, level=Level.CRITICAL))
    with receiver() as other:
        other.statuses = [400]
        webhook = world.webhook(other.url)
        assert world.run(webhook, 120) == 2
        assert "1 post waits for the fallback webhook: 127.0.0.1" in webhook.problem
        assert world.run(webhook, 126) == 1
        assert webhook.problem == ""
    assert [alert for _, _, alert in other.said] == [1, 2, 3, 1]


def test_an_address_that_does_not_answer_is_not_asked_for_each_alert(world: World) -> None:
    """One attempt, and then a growing wait; all of them once it answers."""
    for entity in ("1", "2", "3"):
        begin(world.store, firing(entity, level=Level.CRITICAL))
    with receiver() as other:
        other.statuses = [503] * 4
        webhook = world.webhook(other.url)
        tries = []
        for second in range(120, 240):
            world.run(webhook, second)
            tries.append(len(other.received))
        assert [tries[after] for after in (0, 4, 5, 14, 15, 34, 35, 74)] == [1, 1, 2, 2, 3, 3, 4, 4]
        assert tries[75] == 7  # the fifth attempt is received, and so are the others
    assert world.counted() == {"failed": 4, "sent": 3}


def test_a_storm_is_decided_in_pieces(world: World) -> None:
    """Each piece is a transaction of its own, so polls can write between them; all of it is sent in one run."""
    for number in range(250):
        begin(world.store, firing(str(number), level=Level.CRITICAL))
    sizes = [world.store.decide_fallback([Level.CRITICAL], timedelta(minutes=2), lambda new: "{}", at(120))[0]]
    with receiver() as other:
        assert world.run(world.webhook(other.url), 120) == 250
    assert sizes == [100]
    assert len(set(other.keys)) == 250


def test_nobody_listens_and_slack_takes_it(world: World, lines: list[Any]) -> None:
    """It was certainly not received, so neither it nor its end is sent."""
    alert = begin(world.store, firing(level=Level.CRITICAL))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    webhook = world.webhook(f"http://127.0.0.1:{port}/{CODE}")
    assert world.run(webhook, 120) == 0
    assert f"127.0.0.1:{port} refused the connection" in webhook.problem
    for each in posts(world.store, at(121)):
        post(world.store, each, at(121))
    world.store.record(poll([ends(one(world.store, alert), at(130))], now=at(130)))
    assert world.run(webhook, 131) == 0
    assert webhook.problem == ""
    assert world.counted() == {"failed": 1, "dropped": 1}
    assert CODE not in str(lines)


def test_one_whose_answer_was_lost_is_sent_again_with_its_end(world: World) -> None:
    """It may have been received: so it is repeated with the same id, and then it is closed."""
    alert = begin(world.store, firing(level=Level.CRITICAL))
    with receiver() as other:
        other.drop = True
        webhook = world.webhook(other.url)
        assert world.run(webhook, 120) == 0
        world.store.record(poll([ends(alert, at(121))], now=at(121)))
        other.drop = False
        assert world.run(webhook, 126) == 2
    assert [kind for kind, _, _ in other.said] == ["firing", "firing", "resolved"]
    assert other.keys[0] == other.keys[1] != other.keys[2]


def test_an_end_is_given_up_after_a_day(world: World, lines: list[Any]) -> None:
    alert = begin(world.store, firing(level=Level.CRITICAL))
    with receiver() as other:
        webhook = world.webhook(other.url)
        world.run(webhook, 120)
        world.store.record(poll([ends(alert, at(130))], now=at(130)))
        other.statuses = [404] * 2
        world.run(webhook, 131)
        world.run(webhook, 131 + 86_401)
    assert world.counted() == {"sent": 1, "failed": 1, "given_up": 1}
    assert world.store.waiting_fallback() == 0


def test_the_database_cannot_be_used(world: World, lines: list[Any]) -> None:
    """It is logged; the next look is the next attempt."""
    world.store.close()
    assert world.run(world.webhook("http://127.0.0.1:9/x"), 120) == 0
    assert "could not decide what to post" in str(lines)


# The whole bot.


def critical_after(bot: Operated, seconds: int) -> None:
    """Alerts fire, and Slack is tried for that long."""
    bot.poll()
    for _ in range(seconds // 10):
        bot.app.courier.deliver_due()
        bot.clock.forward(seconds=10)


SLACK_IS_DOWN = {
    "it cannot be reached": DROP_BEFORE,
    "the token is revoked": refused("account_inactive"),
    "the channel is archived": refused("is_archived"),
    "it asks to wait": limited("3000"),
    "it is broken": Fault(status=503, body="<html>503</html>"),
}


@pytest.mark.parametrize("fault", SLACK_IS_DOWN.values(), ids=SLACK_IS_DOWN)
def test_slack_is_down(tmp_path: Path, fault: Fault) -> None:
    """Whatever the reason: each critical alert is posted, with why; then Slack works, and gets its cards as ever."""
    with receiver() as other, operated(tmp_path, **webhook_settings(other.url)) as bot:
        assert bot.app.fallback is not None
        for method in ("chat.postMessage", "auth.test"):
            bot.slack.always[method, ""] = bot.slack.always[method, bot.slack.channels["cc-alerts"]] = fault
        critical_after(bot, 130)
        assert bot.app.fallback.run() == 2
        assert sorted(each["alert"]["entity"] for each in other.received) == sorted(
            alert.entity_name for alert in bot.app.store.alerts() if not alert.shadow
        )
        assert all(each["slack"]["channels"] == ["#cc-alerts"] for each in other.received)
        assert any(each["slack"]["problem"] for each in other.received)
        bot.slack.always.clear()
        bot.clock.forward(seconds=3001)
        bot.app.courier._refused_until = 0.0
        bot.deliver(20)
        assert len(bot.slack.top()) == 2
        assert bot.app.fallback.run() == 0
        for alert in bot.app.store.alerts():
            bot.app.store.resolve(alert.id or 0, "U0ALICE00", "", bot.clock())
        assert bot.app.fallback.run() == 2
        assert [each["kind"] for each in other.received] == ["firing"] * 2 + ["resolved"] * 2


def webhook_settings(url: str) -> dict[str, Any]:
    return {"slack": {"fallback_webhook": {"url": url}}}


def test_the_running_bot_looks_every_five_seconds(tmp_path: Path) -> None:
    with operated(tmp_path, **webhook_settings("http://127.0.0.1:9/x")) as bot:
        bot.app.start()
        jobs = {job.id: job for job in bot.app._scheduler._scheduler.get_jobs()}
        assert "fallback" in jobs
        assert 'alertbot_problem{part="fallback_webhook"} 0.0' in bot.get("/metrics").text
    without = tmp_path / "without"
    without.mkdir()
    with operated(without) as bot:
        assert bot.app.fallback is None


def test_poll_from_cron_posts_too(tmp_path: Path) -> None:
    """Slack refuses the token; the second run, two minutes later, posts, and its JSON says how many."""
    with receiver() as other, operated(tmp_path) as bot:
        settings = {
            "tenants": [{"name": "acme", "base_url": bot.centre.base_url, "token_url": bot.centre.token_url,
                         "api_key": KEY, "api_secret": SECRET}],
            "slack": {"default_channel": "#cc-alerts", "bot_token": TOKEN + "-revoked", "api_url": bot.slack.api_url,
                      "fallback_webhook": {"url": other.url, "after": "2m"}},
            "storage": "cron.db",
        }  # fmt: skip
        (tmp_path / "alertbot.yaml").write_text(json.dumps(settings))
        (tmp_path / "rules" / "all.yaml").write_text(RULES)
        first = json.loads(alertbot("poll", "--json", cwd=tmp_path).stdout)
        assert first["acme"]["posted_to_fallback_webhook"] == 0
        store = SqliteStore(tmp_path / "cron.db")
        with store._db.write() as conn:  # as if two minutes had passed since
            conn.execute("UPDATE notices SET at = '2026-01-01T00:00:00.000000Z'")
        store.close()
        second = alertbot("poll", "--json", cwd=tmp_path)
        assert json.loads(second.stdout)["acme"]["posted_to_fallback_webhook"] == 2
        assert second.returncode == 1
        assert CODE not in second.stdout + second.stderr
    assert [kind for kind, _, _ in other.said] == ["firing"] * 2
