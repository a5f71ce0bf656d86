"""A storm: 500 queues that fire in one poll, and 50 rule groups in one channel at once.

`python -m benchmarks.storm`. Real polls, store and delivery against a stand-in Slack that takes one message a second in
a channel and refuses any more. Time is simulated: delivery is asked every second. Reported are the messages and edits,
how many Slack refused, and the seconds until every name was reported. The exit status is 1 where the 500 names take
longer than 10 s, a card of the 50 longer than 60 s, or a warning card came before a critical one.

With `--real` the 500 queues are delivered in real time by the Courier of the service, with its threads, and charts are
drawn and posted in the threads of the five cards. None of these may come before the last name.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from alertbot.alerts.alerting import Alerting
from alertbot.clock import wall_clock
from alertbot.service.courier import Courier
from alertbot.service.pictures import CardPictures
from alertbot.service.process import name_of_poller
from alertbot.service.signal import ThreadSignal
from alertbot.slack.notifier import SlackNotifier
from tests.scenarios.storm import CHANNEL, Floor, body_of, floor, named_in, rule_groups
from tests.slack.slack_server import TOKEN

MAX_NAMES_S, MAX_CARDS_S = 10, 60


@dataclass(frozen=True)
class Figures:
    """What one storm cost."""

    cards: int
    lines: int
    edits: int
    refused: int
    names_after_s: int  # every name stands in Slack
    cards_after_s: int
    took_ms: float  # the poll: evaluated, decided and recorded
    deliver_ms: float  # the slowest delivery of one second
    critical_first: bool

    def __str__(self) -> str:
        return (
            f"{self.cards} cards, {self.lines} lines, {self.edits} edits, {self.refused} refused; last card after "
            f"{self.cards_after_s} s, all names after {self.names_after_s} s; the poll took {self.took_ms:.0f} ms, the "
            f"slowest second of delivery {self.deliver_ms:.0f} ms"
        )


def measure(bot: Floor, waits: dict[str, float]) -> Figures:
    """Poll once, and deliver until nothing waits."""
    began = time.perf_counter()
    bot.poll(waits)
    took = time.perf_counter() - began
    start, slowest, named, cards_after = bot.now, 0.0, -1, 0
    for second in range(900):
        before, began = len(bot.cards()), time.perf_counter()
        bot.run(1)
        slowest = max(slowest, time.perf_counter() - began)
        cards_after = second if len(bot.cards()) > before else cards_after
        messages = [message for stored in bot.slack.messages.values() for message in stored]
        if named < 0 and len(named_in(messages, list(waits))) == len(waits):
            named = second
        if bot.store.totals().waiting == 0:
            break
    assert named >= 0, f"not every name was reported within {bot.now - start}"
    words = [headline.split()[1] for headline in bot.headlines()]
    return Figures(
        cards=bot.report.cards,
        lines=bot.report.lines,
        edits=bot.report.edits,
        refused=bot.slack.refused,
        names_after_s=named,
        cards_after_s=cards_after,
        took_ms=took * 1000,
        deliver_ms=slowest * 1000,
        critical_first=words == sorted(words, key=lambda word: word != "Critical:"),
    )


def in_real_time(bot: Floor, waits: dict[str, float]) -> tuple[int, int, float, list[float]]:
    """Poll once, and let the Courier of the service deliver.

    Returns the messages, those that Slack refused, and the seconds until all names were there, and each of the charts.
    """
    bot.slack.clock = bot.slack.date = time.time
    for age in (60, 45, 30, 15):  # a chart needs a past
        bot.now = wall_clock() - timedelta(seconds=age)
        bot.poll(dict.fromkeys(waits, 5.0))
    bot.now = wall_clock()
    notifier = SlackNotifier(TOKEN, api_url=bot.slack.api_url)
    pictures = CardPictures(
        bot.store,
        notifier,
        wall_clock,
        threading.Event(),
        lambda _: bot.rules,
        claimant="the bot",
        reachable=lambda: True,
        timezone="UTC",
    )
    courier = Courier(
        bot.store,
        notifier,
        wall_clock,
        ThreadSignal(),
        threading.Event(),
        claimant=name_of_poller(),
        fallback_channel=CHANNEL,
        ops_channel="#cc-ops",
        timezone="UTC",
        show_tenant=False,
    )
    bot.poll(waits)
    began, took = time.monotonic(), -1.0
    courier.start()
    pictures.start()
    charts: list[float] = []
    while (took < 0 or len(charts) < Alerting.storm_cards) and time.monotonic() - began < 120:
        time.sleep(0.05)
        with bot.slack.lock:
            messages = [message for stored in bot.slack.messages.values() for message in stored]
        if took < 0 and len(named_in(messages, list(waits))) == len(waits):
            took = time.monotonic() - began
        shown = sum(block["type"] == "image" for message in messages for block in message["blocks"])
        charts += [time.monotonic() - began] * (shown - len(charts))
    pictures.stop(5.0)
    courier.stop(5.0)
    return len(messages), bot.slack.refused, took, charts


def queues(count: int) -> dict[str, float]:
    """Queues that wait for longer than the limit of a warning, a third of them than that of a critical alert."""
    return {f"Queue {number:04d}": 61.0 + number % 90 for number in range(count)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queues", type=int, default=500)
    parser.add_argument("--groups", type=int, default=50)
    parser.add_argument("--members", type=int, default=30, help="of each group (default: 30)")
    parser.add_argument("--show", action="store_true", help="print what the reader of the roll-up card sees")
    parser.add_argument("--real", action="store_true", help="deliver the queues in real time, with the Courier")
    options = parser.parse_args(arguments)
    wrong = False
    if options.real:
        with tempfile.TemporaryDirectory() as folder, floor(Path(folder)) as bot:
            posted, refused, took, charts = in_real_time(bot, queues(options.queues))
            print(
                f"{options.queues} queues in real time: {posted} messages, {refused} refused, all names in "
                f"{took:.1f} s, {len(charts)} charts after {', '.join(f'{each:.1f}' for each in charts)} s"
            )
            early = any(each < took for each in charts)
            return int(not 0 <= took <= MAX_NAMES_S or refused > 0 or early)
    with tempfile.TemporaryDirectory() as folder, floor(Path(folder)) as bot:
        found = measure(bot, queues(options.queues))
        print(f"{options.queues} queues of one rule: {found}")
        wrong |= found.names_after_s > MAX_NAMES_S or found.refused > 0
        if options.show:
            card = bot.roll_up()
            print("\n\n".join(body_of(message) for message in (card, *bot.lines(card))))
    waits = {
        f"R{rule} {number:02d}": 90.0 for rule in range(1, options.groups + 1) for number in range(options.members)
    }
    rules = rule_groups(options.groups)
    with tempfile.TemporaryDirectory() as folder, floor(Path(folder), rules) as bot:
        found = measure(bot, waits)
        first = "critical first" if found.critical_first else "NOT critical first"
        print(f"{options.groups} rule groups of {options.members} queues: {found}; {first}")
        wrong |= found.cards_after_s > MAX_CARDS_S or found.refused > 0 or not found.critical_first
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
