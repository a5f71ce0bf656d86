"""What DESIGN.md promises about announcements of silences: at its start, before its end, at its end. See model.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.proof.shapes import Silence

WARN_BEFORE, WARN_IF_LONGER, REPEATED_WITHIN = 600, 3600, 60

Announcement = tuple[int, str, str]  # the id of the silence, what happened, where
ChannelsOf = Callable[[Silence], set[str]]  # the channels with an open card of an alert that it matches


@dataclass
class SilenceModel:
    """Silences that have not ended, by id. `started` and `warned`: those of which that was announced."""

    silences: dict[int, Silence] = field(default_factory=dict)
    started: set[int] = field(default_factory=set)
    warned: set[int] = field(default_factory=set)

    def create(self, number: int, silence: Silence, now: float, channels: ChannelsOf) -> Counter[Announcement]:
        """It is announced at once if it begins at once; its author has read the answer to the command."""
        self.silences[number] = silence
        return self._start(number, silence, now, channels(silence)) if silence.begins <= now else Counter()

    def end(self, number: int, channels: ChannelsOf) -> Counter[Announcement]:
        """Its author takes it off."""
        silence = self.silences.pop(number)
        heard = channels(silence) if number in self.started else set()
        return Counter((number, "ended", channel) for channel in heard)

    def time(self, now: float, channels: ChannelsOf) -> Counter[Announcement]:
        """What is announced at `now`. Where no channel shows a matching alert, the author is notified."""
        found = Counter[Announcement]()
        for number, silence in list(self.silences.items()):
            if silence.ends <= now:
                del self.silences[number]
                heard = channels(silence) if number in self.started else set()
                found.update((number, "ended", channel) for channel in heard or {silence.author})
            elif silence.begins <= now and number not in self.started:
                found += self._start(number, silence, now, channels(silence) or {silence.author})
            elif number in self.started - self.warned and self._ends_soon(silence, now):
                self.warned.add(number)
                found.update((number, "ends soon", channel) for channel in channels(silence) or {silence.author})
        return found

    def _start(self, number: int, silence: Silence, now: float, where: set[str]) -> Counter[Announcement]:
        self.started.add(number)
        if self._ends_soon(silence, now):
            self.warned.add(number)
        return Counter((number, "started", channel) for channel in where)

    def _ends_soon(self, silence: Silence, now: float) -> bool:
        return silence.ends - silence.begins > WARN_IF_LONGER and now >= silence.ends - WARN_BEFORE
