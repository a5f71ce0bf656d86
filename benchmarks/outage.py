"""An hour without Slack: what a reader sees when it works again.

`python -m benchmarks.outage`. Real polls every 15 s, store and delivery against a stand-in Slack that does not answer
for an hour. `--fault refused`: every call is refused at once; `down`: server errors, so it is unknown what was posted,
and reading fails too; `lost`: the same, with dropped connections. In that hour 40 alerts begin and end (six of them
critical), four begin and stay open, and five that already had a card get worse, recover, are reminded of and end. The
messages in the channels afterwards are printed. The exit status is 1 if there are more than one message for each alert
that is still open or was critical and one summary per channel, or more than one line in the thread of a card.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.rule import Level
from tests.scenarios.storm import CHANNEL, WAIT, Floor, floor
from tests.slack.slack_server import DROP_BEFORE, SERVER_ERROR, refused

EVERY = 15
RULES = parse_files(
    {
        "rules.yaml": f"""
rules:
  - id: longest-wait
    title: Longest wait in queue
    scope: queue
    warning: {{when: {WAIT} > 60s}}
    critical: {{when: {WAIT} > 120s}}
    mention: {{critical: ["<!subteam^S0123>"]}}
    remind: 15m
    escalate: [{{after: 5m, channel: "#cc-sales"}}]
"""
    }
)
FAULTS = {"refused": refused("service_unavailable"), "lost": DROP_BEFORE, "down": SERVER_ERROR}
METHODS = ("chat.postMessage", "chat.update", "conversations.history", "conversations.replies")


@dataclass(frozen=True)
class Course:
    """The waits of a queue during the hour: from which second on, how long."""

    name: str
    steps: tuple[tuple[int, float], ...]

    def at(self, second: int) -> float:
        return next((wait for since, wait in reversed(self.steps) if since <= second), 10.0)


def courses() -> list[Course]:
    """40 that come and go, six of them critical; four that stay; and five with a card from before."""
    passing = [
        Course(f"Passing {n:02}", ((60 + 80 * n, 130.0 if n % 7 == 0 else 70.0), (60 + 80 * n + 60 + 9 * n, 10.0)))
        for n in range(40)
    ]
    staying = [Course(f"Staying {n}", ((600 * n + 300, 130.0 if n == 2 else 70.0),)) for n in range(4)]
    return [
        *passing,
        *staying,
        Course("Before, ends", ((0, 70.0), (900, 10.0))),
        Course("Before, rises and ends", ((0, 70.0), (300, 130.0), (900, 10.0))),
        Course("Before, rises", ((0, 70.0), (1800, 130.0))),
        Course("Before, rises and falls", ((0, 70.0), (900, 130.0), (1800, 70.0))),
        Course("Before, stays", ((0, 70.0),)),
    ]


@dataclass(frozen=True)
class Seen:
    """What stands in Slack since it is back: messages by channel, and the new lines in the threads of cards."""

    messages: dict[str, list[dict[str, Any]]]
    lines: dict[str, list[str]]  # by the text of the card
    took_s: int  # until nothing waited any more

    @property
    def total(self) -> int:
        return sum(map(len, self.messages.values()))

    @property
    def summaries(self) -> list[str]:
        return [each["text"] for found in self.messages.values() for each in found if "began and ended" in each["text"]]


def hour(bot: Floor, fault: str, minutes: int = 60, max_settle: int = 1800) -> Seen:
    """The hour, and what stands in Slack when nothing waits any more."""
    bot.slack.channels["cc-boss"] = "C0BOSS"
    queues = courses()
    bot.poll({each.name: 70.0 if each.name.startswith("Before") else 10.0 for each in queues})
    bot.run(20)
    old = {message["ts"] for stored in bot.slack.messages.values() for message in stored}
    broken = {(method, place): FAULTS[fault] for method in METHODS for place in bot.slack.channels.values()}
    bot.slack.always.update(broken)
    began = bot.now
    while (second := int((bot.now - began).total_seconds())) < minutes * 60:
        bot.poll({each.name: each.at(second) for each in queues})
        bot.deliver()
        bot.now += timedelta(seconds=EVERY)
    bot.slack.always.clear()
    back = bot.now
    for second in range(max_settle):
        if second % EVERY == 0:
            bot.poll()
        bot.deliver()
        bot.now += timedelta(seconds=1)
        if bot.store.totals().waiting == 0 and not bot.store.due(bot.now + timedelta(minutes=10)) and second > EVERY:
            break
    took = int((bot.now - back).total_seconds())
    messages, lines = {}, {}
    for name in bot.slack.channels:
        messages[name] = [each for each in bot.slack.top(name) if each["ts"] not in old]
        for card in bot.slack.top(name):
            new = [each["text"] for each in bot.slack.thread(card["ts"], name) if each["ts"] not in old]
            if new:
                lines[card["text"]] = new
    return Seen(messages, lines, took)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fault", choices=sorted(FAULTS), default="refused")
    parser.add_argument("--minutes", type=int, default=60, help="how long Slack is down (default: 60)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, floor(Path(folder), RULES) as bot:
        seen = hour(bot, options.fault, options.minutes)
        for name, messages in seen.messages.items():
            print(f"#{name}: {len(messages)} messages")
            for message in messages:
                print(f"  {message['text']}")
        print(f"threads: {sum(map(len, seen.lines.values()))} lines")
        for card, lines in seen.lines.items():
            print(f"  {card}")
            for line in lines:
                print(f"    {line}")
        print(
            f"{seen.total} messages, {len(seen.summaries)} of them summaries, and "
            f"{sum(map(len, seen.lines.values()))} lines in {len(seen.lines)} threads, in {seen.took_s} s"
        )
        ended = bot.store.ended(bot.now - timedelta(hours=3), 1000)
        critical = {alert.entity_name for alert in ended if alert.highest is Level.CRITICAL}
        still = {alert.entity_name for alert in bot.store.alerts() if alert.open}
        allowed = len({name for name in critical | still if not name.startswith("Before")}) + 1
        of_channel = len(seen.messages[CHANNEL.removeprefix("#")])
        return int(of_channel > allowed or any(len(lines) > 1 for lines in seen.lines.values()))


if __name__ == "__main__":
    sys.exit(main())
