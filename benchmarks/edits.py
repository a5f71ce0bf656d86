"""Many open cards whose values change with every poll, while others end: edits against Slack's limit of 50 a minute.

`python -m benchmarks.edits`. Real polls every 15 s, store and delivery against a stand-in Slack that accepts 50 edits
in any minute, in all channels, and refuses any more (429, with the seconds until there is room). Time is simulated.
After five minutes one alert in each poll rises to critical and one ends, for ten minutes; then all end. It prints the
number of edits, how many Slack refused, and for how long the cards of alerts that had ended or risen still showed the
earlier state. The exit status is 1 if Slack refused any, or if such a card was out of date for longer than a poll while
single alerts ended.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from alertbot.alerts.alerting import Alerting
from tests.scenarios.storm import Floor, floor

EVERY = 15


@dataclass(frozen=True)
class Figures:
    """What ten minutes cost, and the end of all of it. Times are seconds."""

    edits: int
    refused: int
    oldest_end: int  # the longest that a card showed an alert as open that had ended
    oldest_rise: int  # or as a warning, that was critical
    all_closed: int  # from the end of all of them to the last card that showed it

    def __str__(self) -> str:
        return (
            f"{self.edits} edits, {self.refused} refused; the oldest card of an ended alert was out of date for "
            f"{self.oldest_end} s, of one that rose for {self.oldest_rise} s; all closed {self.all_closed} s after the "
            "last end"
        )


def measure(bot: Floor, cards: int, minutes: int = 10) -> Figures:
    bot.tenant = replace(bot.tenant, alerting=Alerting(storm_cards=cards))
    names = [f"Queue {n:04}" for n in range(cards)]
    bot.poll(dict.fromkeys(names, 70.0))
    bot.settle(limit=2 * cards)
    bot.slack.edits_a_minute = 50
    open_now, since, worst = list(names), {}, {"Resolved": 0, "Critical": 0}
    refused, edits, turn, closed = bot.slack.refused, bot.report.edits, 0, -1
    end_of_quiet, end = 5 * 60, (5 + minutes) * 60
    for second in range(end + 3600):
        if second % EVERY == 0 and second <= end:
            turn += 1
            waits = {name: bot.waits[name] + (1 if turn % 2 else -1) for name in open_now}
            if second == end:
                since |= dict.fromkeys(((name, "Resolved") for name in open_now), second)
                waits, open_now = dict.fromkeys(open_now, 10.0), []
            elif second > end_of_quiet:
                ended, risen = open_now.pop(0), open_now[-1 - turn % 20]
                waits[ended] = 10.0
                since[ended, "Resolved"] = second
                if waits[risen] < 100:
                    waits[risen] = 130.0
                    since[risen, "Critical"] = second
            bot.poll(waits)
        bot.deliver()
        if second % 5 == 0 or second > end:
            texts = {card["text"].split(": ")[1].split(" —")[0]: card["text"].split(":")[0] for card in bot.cards()}
            for (name, word), began in list(since.items()):
                if texts[name] in (word, "Resolved"):
                    del since[name, word]
                elif second < end or word == "Critical":
                    worst[word] = max(worst[word], second - began)
        if second > end and not since:
            closed = second - end
            break
        bot.now += timedelta(seconds=1)
    return Figures(bot.report.edits - edits, bot.slack.refused - refused, worst["Resolved"], worst["Critical"], closed)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cards", type=int, default=200)
    parser.add_argument("--minutes", type=int, default=10)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, floor(Path(folder)) as bot:
        found = measure(bot, options.cards, options.minutes)
        print(f"{options.cards} open cards whose values change with every poll: {found}")
        return int(found.refused > 0 or max(found.oldest_end, found.oldest_rise) > EVERY or found.all_closed < 0)


if __name__ == "__main__":
    sys.exit(main())
