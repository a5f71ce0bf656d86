"""What DESIGN.md promises about the life of an alert and who hears of it, in as few lines as possible.

Written from DESIGN.md and not from the code: it imports nothing of alertbot, and is slow and simple. Times are seconds.
"""

from __future__ import annotations

from collections import Counter

from tests.proof.shapes import DEFAULT_CHANNEL, LEVELS, WARNING, Alert, Key, Report, Silence, Watch

NAG_AFTER, FLAP_RISES, FLAP_WINDOW, POLL_EVERY = 7200, 4, 1800, 15


class Model:
    """The pending and open alerts of one tenant."""

    def __init__(self, silences: dict[int, Silence] | None = None, begun: set[int] | None = None) -> None:
        self.watches: dict[str, Watch] = {}
        self.alerts: dict[Key, Alert] = {}
        self.silences = {} if silences is None else silences  # those that have not ended, by id
        self.begun = set() if begun is None else begun  # of these: setting the clock back does not undo that one began
        self.latched: dict[Key, int] = {}  # closed by hand: polls in a row without the entity
        self.rises: dict[Key, tuple[float, ...]] = {}  # of alerts that have ended
        self.reports: Counter[Report] = Counter()

    def turn(self, now: float, values: dict[str, int | None] | None, *, blind: bool) -> Counter[Report]:
        """What is reported at `now`. `values`: None without a fetch, or without an answer; without a key: absent.

        `blind`: data is missing for a reason that the feed reports, so what is missing means nothing.
        """
        self.reports, news, before = Counter(), {}, {*self.alerts, *self.latched}
        for key in list(self.alerts):
            watch = self.watches.get(key[0])
            if watch is None or key[1] not in watch.covers:
                self._end(key, "rule_removed" if watch is None else "not_covered")
            elif values is not None and (reason := self._step(key, watch, values, now, blind)):
                news[key] = reason
        for watch in self.watches.values() if values is not None else ():
            for key in [(watch.id, each) for each in values or () if each in watch.covers]:
                if key not in before and (reason := self._step(key, watch, values or {}, now, blind)):
                    news[key] = reason
        for key in list(self.latched) if values is not None else ():
            self._unlatch(key, self.watches.get(key[0]), values or {}, blind)
        for key, alert in [each for each in self.alerts.items() if self._open(each[0])]:
            self._notify(key, alert, self.watches[key[0]], news.get(key, ""), now)
        return self.reports

    def clock_set_back(self, by: float) -> None:
        """How long something has lasted stays as it was."""
        for alert in self.alerts.values():
            alert.since = {level: since - by for level, since in alert.since.items()}
            alert.clear_since = None if alert.clear_since is None else alert.clear_since - by
            alert.reminded = None if alert.reminded is None else alert.reminded - by
            alert.fired -= by
            alert.rises = tuple(each - by for each in alert.rises)

    def acknowledge(self, key: Key, who: str, now: float) -> None:
        """By somebody; `who` is "" when it is given back."""
        self.alerts[key].owner, self.alerts[key].owned, self.alerts[key].nagged = who, now, False

    def close_by_hand(self, key: Key) -> None:
        self._end(key, "closed_by_hand")
        self.latched[key] = 0

    def channels_of(self, silence: Silence) -> set[str]:
        """The channels with an open card of an alert that it matches."""
        open_now = [(key, alert) for key, alert in self.alerts.items() if self._open(key)]
        return {channel for key, alert in open_now if silence.matches(key, alert.level) for channel in alert.cards}

    def _unlatch(self, key: Key, watch: Watch | None, values: dict[str, int | None], blind: bool) -> None:
        """It fires again only after its condition was false."""
        value = values.get(key[1])
        if key[1] in values or not blind:
            self.latched[key] = 0 if key[1] in values else self.latched[key] + 1
        covered = watch is not None and key[1] in watch.covers
        if not covered or self.latched[key] == 3 or (watch and value is not None and value <= watch.limits[0]):
            del self.latched[key]

    def _step(self, key: Key, watch: Watch, values: dict[str, int | None], now: float, blind: bool) -> str:
        """What happened to the alert, if that is worth a report."""
        value, alert = values.get(key[1]), self.alerts.setdefault(key, Alert(self.rises.get(key, ())))
        if key[1] in values or not blind:
            alert.missed = 0 if key[1] in values else alert.missed + 1
        if alert.missed == 3:
            self._end(key, "no_longer_reported")
            return ""
        meaning = "" if value is not None else "keep" if blind else watch.no_data  # of a value that is missing
        unknown = False if meaning == "clear" else None
        holds = {each: unknown if value is None else value > limit for each, limit in _by_level(watch.limits)}
        holds[WARNING] = holds[WARNING] or meaning == "fire" or holds[WARNING]
        kept = [each for each in LEVELS if holds[each] or (holds[each] is None and each in alert.since)]
        alert.since = {each: min(alert.since.get(each, now), now) for each in kept}
        ready = [each for each, hold in _by_level(watch.holds) if holds[each] and now - alert.since[each] >= hold]
        if alert.state == "pending":
            if ready:
                self._fire(alert, max(ready), now)
                alert.fired = now
            elif alert.since:
                alert.level = max(alert.since)
            else:
                del self.alerts[key]
            return "fired" if ready else ""
        clear = {"keep": None, "fire": False, "clear": True, "": not holds[alert.level]}[meaning]
        if value is not None and watch.clear is not None:
            clear = value < watch.clear
        unstable = len([each for each in alert.rises if now - FLAP_WINDOW < each <= now]) > FLAP_RISES
        keep = max(2 * watch.keep, 2 * POLL_EVERY) if unstable else watch.keep
        if ready and max(ready) > alert.level:
            self._fire(alert, max(ready), now)
            return "level_up"
        if holds[alert.level] or clear is False:
            self._fire(alert, alert.level, now)
        elif clear:
            alert.clear_since = now if alert.clear_since is None else min(alert.clear_since, now)
            if now - alert.clear_since < keep:
                if holds[WARNING] and alert.level > WARNING:
                    self._fire(alert, alert.level, now, alert.clear_since)
                else:
                    alert.state = "recovering"
            elif ready:
                self._fire(alert, max(ready), now)
                return "level_down"
            else:
                self._end(key, "resolved")
        return ""

    def _fire(self, alert: Alert, level: int, now: float, clear_since: float | None = None) -> None:
        if alert.state != "firing":
            alert.rises += (now,)
        alert.state, alert.level, alert.clear_since = "firing", level, clear_since

    def _notify(self, key: Key, alert: Alert, watch: Watch, news: str, now: float) -> None:
        """Nothing is reported of a muted alert; what was not is reported when that ends."""
        was, cards = alert.muted, alert.cards
        alert.muted = self._silenced(key, alert, now) or any(self._open((each, key[1])) for each in watch.suppressed_by)
        if alert.muted:
            return
        own = watch.channels[alert.level - WARNING] or (DEFAULT_CHANNEL,)
        if not alert.reported or (was and not news and alert.level != alert.reported):
            news = "began" if alert.state == "firing" or alert.reported else ""
        if news:
            rises, alert.reported = alert.level > alert.reported, alert.level
            self._lines(key, news, cards)
            new = tuple(channel for channel in own if rises and channel not in cards)
            self.reports.update((*key, news, channel) for channel in new)
            alert.cards += new
        if alert.state != "firing":
            return
        if alert.owner and not alert.nagged and now - alert.owned >= NAG_AFTER:
            alert.nagged = True
            self._lines(key, "reminder", cards)
        if alert.owner:
            return
        for after, channels in watch.escalate:
            if after > alert.escalated and now - alert.fired >= after:
                alert.escalated = after
                self._lines(key, "escalated", cards)
                self.reports.update((*key, "escalated", channel) for channel in channels or own)
        every, most = watch.remind
        due = (alert.fired if alert.reminded is None else alert.reminded) + min(every * 2**alert.reminders, most)
        if every and now >= due:
            alert.reminders, alert.reminded = alert.reminders + 1, due if now - due <= 60 else now
            self._lines(key, "reminder", cards)

    def _silenced(self, key: Key, alert: Alert, now: float) -> bool:
        begun = [each for number, each in self.silences.items() if number in self.begun or each.begins <= now]
        return any(now < each.ends and each.matches(key, alert.level) for each in begun)

    def _lines(self, key: Key, reason: str, cards: tuple[str, ...]) -> None:
        self.reports.update((*key, reason, channel) for channel in cards)

    def _end(self, key: Key, reason: str) -> None:
        alert = self.alerts.pop(key)
        if alert.state != "pending":
            self.rises[key] = alert.rises
        if alert.reported:
            self._lines(key, reason, alert.cards)

    def _open(self, key: Key) -> bool:
        return key in self.alerts and self.alerts[key].state != "pending"


def _by_level(pair: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple(zip(LEVELS, pair, strict=True))
