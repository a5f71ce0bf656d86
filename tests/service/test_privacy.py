"""Everything that a full run printed, posted, logged and answered, searched for the name of every agent."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
import structlog

from alertbot import logs
from alertbot.cli import main
from alertbot.config.load import load
from alertbot.rules.match import fold
from alertbot.rules.privacy import initials
from alertbot.service.app import App, build
from alertbot.simulator.server import SimulatorOptions, serve
from tests.simulator.kit import HandClock
from tests.slack.slack_server import TOKEN, slack_server
from tests.web.kit import press, signed, slash

SIGNING_SECRET = "8f742231b10e8888abcd99eeefff85a5"
SEED, AGENTS = 24, 8  # two of these agents have equal initials
RULES = """\
rules:
  - id: away
    title: Away too long
    scope: agent
    message: "{{ entity }} is away"
    critical: {when: status.rt != "NoSuchStatus"}
  - id: together
    title: "The team of %(first)s"
    scope: agent
    group_by: rule
    when: timeOnStatus.rt >= 0s
  - id: in-queue
    scope: queue_agent
    group_by: parent
    when: status.rt != "NoSuchStatus"
  - id: only-one
    title: Only one
    scope: agent
    match: {name: ["%(first)s"]}
    params: {longest: 0s}
    overrides: [{match: {name: "%(second)s"}, params: {longest: 1h}}]
    labels: {lead: %(first)s}
    when: timeOnStatus.rt >= $longest
  - id: hidden
    title: Hidden
    scope: agent
    shadow: true
    when: status.rt != "NoSuchStatus"
  - id: queues
    scope: queue
    when: entered.today >= 0
"""
CONFIG = """\
tenants:
  - {name: acme, base_url: "%s", token_url: "%s", api_key: "%s", api_secret: "%s"}
slack: {default_channel: "#cc-alerts", bot_token: "%s", api_url: "%s", signing_secret: "%s"}
http: {port: 0}
max_messages: 8
privacy: {agents: initials}
"""
COMMANDS = """\
status|alerts|alerts away|alerts {first}|alerts {unlike}|history|history {first} 1d|agent {first}|agent {short}|agent
agent {unlike}|agent {word}|top timeOnStatus.rt 20|top timeOnStatus.rt queue_agent|why away {first}|why away {short}
why away|why in-queue {first}|why {id}|why hidden {first}|chart timeOnStatus.rt {first}|chart timeOnStatus.rt {unlike}
chart timeOnStatus.rt|rules|rules only-one|rules hidden|silence name="{first}" 2h as {first} asked
silence name="{short}" rule=hidden 2h|silence name="{unlike}" 2h|silence {id} 2h|silences|ack {id} {first} has it
ack {id}|ack {other} note of {SECOND}|unack {other}|silence 34 4h|resolve {last} {first} is back|why {last}|silence 1
help|metrics time"""

COMMAND_LINES = (
    ("poll", "--json"),
    ("replay", "--since", "1d", "--plot", "away {first}"),
    ("replay", "--since", "1d", "--json"),
    ("preview", "away", "--entity", "{first}"),
    ("ask", "agent {first}"),
    ("ask", "history"),
    ("check",),
)


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("alertbot")
    kept = root.handlers[:], root.level, own.level, structlog.get_config()
    yield
    root.handlers[:], level, own_level, config = kept
    root.setLevel(level)
    own.setLevel(own_level)
    structlog.configure(**config)
    logs.show_names(str)


def request(app: App, body: bytes) -> str:
    """The answer to a request from Slack."""
    assert app.listener is not None
    with requests.Session() as session:
        session.trust_env = False
        url = f"http://127.0.0.1:{app.listener.port}/slack/events"
        answer = session.post(url, data=body, headers=signed(body, secret=SIGNING_SECRET), timeout=20)
    assert answer.status_code == 200
    return answer.text


@pytest.mark.timeout(240)
def test_no_name_of_an_agent_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cards, threads, storms, what is held back, silences, every answer, every command and every log line."""
    clock = HandClock(datetime.now(UTC) - timedelta(hours=1))
    options = SimulatorOptions(seed=SEED, queues=2, groups=1, agents=AGENTS, clock=clock, warm=timedelta(minutes=5))
    with serve(options) as centre, slack_server() as slack:
        names = [agent.name for agent in centre.tenants[0].centre.layout.agents]
        ids = {agent.name: agent.id for agent in centre.tenants[0].centre.layout.agents}
        first, second = names[:2]
        keys = (centre.base_url, centre.token_url, options.api_key, options.api_secret)
        (tmp_path / "alertbot.yaml").write_text(CONFIG % (*keys, TOKEN, slack.api_url, SIGNING_SECRET))
        (tmp_path / "rules").mkdir()
        rules = RULES % {"first": first, "second": second}
        (tmp_path / "rules" / "all.yaml").write_text(rules)
        logs.configure(verbose=True)
        app = build(load(tmp_path / "alertbot.yaml"), clock=clock)
        app.take_lease()
        app.listen()

        def poll(times: int = 1) -> None:
            for _ in range(times):
                clock.forward(seconds=15)
                app.poller.tick(app.tenants[0])
                for _ in range(8):
                    app.courier.deliver_due()
                    clock.forward(seconds=1.1)

        poll(3)
        opened = {(alert.key.rule, alert.entity_name): alert for alert in app.store.alerts()}
        typed = {
            "first": first,
            "SECOND": second.upper(),
            "short": initials(first),
            "unlike": f"{first.split()[0]} Xx{first.split()[1][2:]}",
            "word": first[:3],
            "id": opened["away", first].id,
            "other": opened["away", second].id,
            "last": opened["only-one", first].id,
        }
        answers = {}
        for line in COMMANDS.replace("\n", "|").split("|"):
            text = line.format(**typed)
            answers[text] = request(app, slash(text, response_url=slack.response_url))
            if text.startswith("chart"):  # answered afterwards
                answers[text] = json.dumps(slack.answer_sent(), ensure_ascii=False)
        poll(4)
        answers["unsilence"] = request(app, slash("unsilence 34", response_url=slack.response_url))
        request(app, press(str(typed["other"]), response_url=slack.response_url, trigger_id="1"))
        request(app, press(str(typed["other"]), action="why", response_url=slack.response_url, trigger_id="2"))
        (tmp_path / "rules" / "all.yaml").write_text(rules + "  - id: Broken\n")
        app.reloader.look(0.0, at_once=True)
        (tmp_path / "rules" / "all.yaml").write_text(rules.replace("in-queue", "instead"))
        app.reloader.look(0.0, at_once=True)
        poll(6)
        clock.forward(seconds=3 * 3600)
        poll(2)
        app.stop()
        logged = capsys.readouterr().err
        monkeypatch.chdir(tmp_path)
        for args in COMMAND_LINES:
            with suppress(SystemExit):
                main([arg.format(first=first) for arg in args])
        printed = capsys.readouterr()
        calls = [json.dumps(call, ensure_ascii=False) for call in [*slack.calls, *slack.answers]]
        for name in names:
            for text in (logged, *answers.values(), *printed, *calls):
                assert fold(name) not in fold(text), (name, text[max(0, fold(text).find(fold(name)) - 200) :][:400])
        sent = "".join(calls)
        for name in names:  # there was something to hide, and equal initials have the id
            equal = [other for other in names if initials(other) == initials(name)]
            shown = initials(name) if len(equal) == 1 else f"{initials(name)} ({ids[name]})"
            assert shown in sent
            assert f'"entity": "{shown}"' in logged
        assert any(len([1 for other in names if initials(other) == initials(name)]) > 1 for name in names)
        assert answers[f"agent {first}"] == answers[f"agent {initials(first)}"]
        assert f"name={initials(first)}" in answers["silences"]
        assert answers[f"chart timeOnStatus.rt {first}"].count(initials(first)) > 1
        assert f"longest: {initials(first)}, " in printed.out
        # Every change names who made it: in the thread of its card, on the card, or in the channel.
        changes = ("Acknowledged by", "Given back by", "closed by", "Silence #34 by", "was extended by", "was ended by")
        for said in changes:
            assert any(f"{said} <@U012ANNA>" in call for call in calls), said
