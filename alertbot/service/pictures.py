"""Charts in the threads of cards: what was measured, with its limits, drawn and posted when nothing else is due.

A chart is a picture, or a text plot. Here and in the store "picture" means either.

Theory. The store says whose turn it is (store/sql/outbox.py): only while no post of any channel waits. One process
reserves the picture, so that others do not draw it as well. It is drawn and uploaded before it is claimed, in a thread
of its own: that takes seconds, in which everything else is delivered as usual. Then it is claimed. The claim fails if
anything else has become due; it is tried again later, with the same file. Once claimed it is sent, once. If the outcome
is unknown, it stays unknown: a picture is not worth a duplicate.

Only what Slack certainly did not post is sent again: after a 429, if Slack could not be reached, and if it refused the
message as drawn, which usually means that it has not processed the file yet. If it keeps refusing, the chart is text.
It is text, too, if no picture can be drawn or uploaded: without the extra, without the scope, or after a failure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from alertbot.alerts.delivery import Claimed, PostPicture
from alertbot.charts.png import Painter
from alertbot.charts.series import Series, chart_of, measured_key, samples_of
from alertbot.clock import Clock
from alertbot.commands.chart import drawing
from alertbot.errors import AlertbotError, DeliveryFailure, NotifyError, StoreError
from alertbot.logs import context, logger
from alertbot.rules.rule import RuleSet
from alertbot.slack.notifier import SlackNotifier
from alertbot.slack.pictures import Pictures as Uploads
from alertbot.slack.pictures import thread_message
from alertbot.store.roles import Pictures
from alertbot.web.metrics import Metrics

WINDOW = timedelta(hours=2)
"""What a picture shows: from this long before it is drawn."""
MIN_VALUES = 4
"""With fewer recorded values, as just after the first start, a chart would say less than the card: there is none."""
ENDS_WITHIN = 1.0
"""Seconds that a post in progress gets when the bot stops."""
MAX_ENDED = 500
"""Ended alerts of the window that are read for their spans."""
PAUSE = 1.0
"""Seconds between two checks of what is due."""
RETRY_AFTER = 30.0
"""Seconds until a picture is retried when Slack is unavailable or cannot be reached."""
REFUSED_WAITS = (1.0, 3.0)
"""Seconds after which a picture that Slack refused is tried again: it may not have been processed yet."""

log = logger("pictures")


class _Phase(Enum):
    """What a picture in progress is waiting for."""

    DATABASE = "the database"
    UPLOAD = "the painter, or Slack for the file"
    POST = "Slack for the message"


@dataclass
class _Prepared:
    """A chart that is ready to be sent. `file`: the id of its picture; "": it is text. `refusals`: of the picture."""

    series: Series
    file: str
    refusals: int = 0


class CardPictures:
    """Draws and posts what `store.picture_due` says, one picture at a time.

    `rules` gives the rules that run for a tenant. `reachable` says whether it is worth trying to post anything.
    `claimant` is the name of this process in the store. `timezone` is that of the time axis: a thread has many readers.
    """

    def __init__(
        self,
        store: Pictures,
        notifier: SlackNotifier,
        clock: Clock,
        stopping: threading.Event,
        rules: Callable[[str], RuleSet],
        *,
        claimant: str,
        reachable: Callable[[], bool],
        timezone: str,
        metrics: Metrics | None = None,
        painter: Painter | None = None,
        waits: Sequence[float] = REFUSED_WAITS,
    ) -> None:
        self._store, self._notifier, self._clock, self._stopping = store, notifier, clock, stopping
        self._rules, self._reachable, self._timezone = rules, reachable, timezone
        self._claimant, self._metrics = claimant, metrics or Metrics()
        self._uploads = Uploads(notifier.uploads(), painter or Painter())
        self._waits = tuple(waits)
        self._prepared: tuple[str, _Prepared] | None = None  # with the id of its notice
        self._not_before = 0.0  # on the monotonic clock
        self._resting = threading.Event()
        self._busy = threading.Lock()  # held while a picture is drawn and posted
        self._phase = _Phase.DATABASE
        self._thread = threading.Thread(target=self._run, name="pictures", daemon=True)

    def start(self) -> None:
        """Post pictures in the background until `stop`."""
        self._thread.start()

    def stop(self, within: float) -> bool:
        """Draw no more, and give a post in progress a second. False when the database is still being read.

        What still hangs in a call of Slack after that is left: nothing follows when it ends.
        """
        self._resting.set()
        self._uploads.close()
        deadline = time.monotonic() + min(within, ENDS_WITHIN)
        while not self._busy.acquire(timeout=0.02):
            if self._phase is _Phase.UPLOAD or time.monotonic() > deadline:
                return self._phase is not _Phase.DATABASE
        self._busy.release()
        return True

    def post_all(self, max_wait: float) -> None:
        """Post what is due now or in a second, for `max_wait` seconds at most. Raises StoreError."""
        deadline = time.monotonic() + max_wait
        while time.monotonic() < deadline and not self._must_stop():
            soon = self._clock() + timedelta(seconds=1)
            if not self.post_next() and self._store.picture_due(soon, claimant=self._claimant) is None:
                return
            time.sleep(0.05)

    def post_next(self) -> bool:
        """Draw and post the picture whose turn it is; False where there is none, or it has to wait.

        Raises StoreError.
        """
        with self._busy:
            if time.monotonic() < self._not_before or self._must_stop() or not self._reachable():
                return False
            picture = self._store.picture_due(self._clock(), claimant=self._claimant)
            if picture is None or not self._store.reserve_picture(picture, self._clock(), claimant=self._claimant):
                return False
            with context(card=picture.card.id):
                return self._post(picture)

    def _run(self) -> None:
        while not self._must_stop():
            posted = False
            try:
                posted = self.post_next()
            except AlertbotError as error:
                log.error("a chart was not posted", error=str(error))
            except Exception:
                log.exception("a chart was not posted: unexpected error")
            if not posted:
                self._resting.wait(PAUSE)

    @contextmanager
    def _in(self, phase: _Phase) -> Iterator[None]:
        self._phase = phase
        try:
            yield
        finally:
            self._phase = _Phase.DATABASE

    def _must_stop(self) -> bool:
        return self._stopping.is_set() or self._resting.is_set()

    def _post(self, picture: PostPicture) -> bool:
        try:
            ready = self._ready(picture)
        except StoreError:
            raise
        except Exception:  # of any kind: one chart that cannot be made must not keep the others waiting
            log.exception("no chart: unexpected error")
            ready = None
        if ready is None:
            self._store.drop_picture(picture, claimant=self._claimant)
            return True
        if self._must_stop() or not self._reachable():
            return False
        claimed = self._store.claim_picture(picture, self._clock())
        if claimed is Claimed.NOT_DUE:
            return False
        if claimed is Claimed.DONE:
            self._send(picture, ready)
        return True

    def _send(self, picture: PostPicture, ready: _Prepared) -> None:
        assert picture.card.posted is not None, "only a posted card has a picture that is due"
        message = thread_message(ready.series, self._timezone, ready.file)
        try:
            with self._in(_Phase.POST):
                self._notifier.post_picture(message, picture.card.posted, notice_id=picture.notice_id)
        except NotifyError as error:
            if not self._must_stop():
                self._failed(picture, ready, error)
            return
        if self._must_stop():
            return
        self._store.picture_posted(picture, self._clock(), claimant=self._claimant)
        self._metrics.noticed("chart", "delivered", (self._clock() - picture.wanted_at).total_seconds())

    def _failed(self, picture: PostPicture, ready: _Prepared, error: NotifyError) -> None:
        if error.failure is DeliveryFailure.WAIT:
            wait = timedelta(seconds=error.retry_after or PAUSE)
            self._store.hold_channel(picture.card.channel, self._clock() + wait)
            self._store.put_back_picture(picture)
            self._metrics.noticed("chart", "put_off")
        elif error.failure is DeliveryFailure.RETRY:
            self._not_before = time.monotonic() + RETRY_AFTER
            self._store.put_back_picture(picture)
            self._metrics.noticed("chart", "put_off")
        elif error.failure in (DeliveryFailure.PAYLOAD, DeliveryFailure.REFUSED) and ready.file:
            if ready.refusals < len(self._waits):
                self._not_before = time.monotonic() + self._waits[ready.refusals]
                ready.refusals += 1
            else:
                log.warning("a chart is shown as text", problem=str(error))
                ready.file = ""
            self._store.put_back_picture(picture)
            self._metrics.noticed("chart", "put_off")
        else:
            log.warning("a chart was not posted; will not retry", problem=str(error))
            self._metrics.noticed("chart", "dropped")

    def _ready(self, picture: PostPicture) -> _Prepared | None:
        """The chart, drawn and uploaded; None where there is nothing to draw."""
        if self._prepared is not None and self._prepared[0] == picture.notice_id:
            return self._prepared[1]
        series = self._series(picture, self._clock())
        if series is None:
            return None
        with self._in(_Phase.UPLOAD):
            ready = _Prepared(series, self._uploads.of(drawing(series, self._timezone)))
        self._prepared = (picture.notice_id, ready)
        return ready

    def _series(self, picture: PostPicture, now: datetime) -> Series | None:
        alert = picture.alert
        rules = self._rules(alert.key.tenant)
        key = measured_key(alert, rules.by_id(alert.key.rule))
        if key is None:
            log.info("no chart: what the rule measures cannot be drawn", rule=alert.key.rule)
            return None
        begin, entity = now - WINDOW, alert.key
        recorded = samples_of(self._store.values(entity.tenant, entity, key, begin, now))
        known = sum(value is not None for value in recorded.values)
        if known < MIN_VALUES:
            log.info("no chart: too few values were recorded", key=key, values=known)
            return None
        alerts = [*self._store.ended(begin, MAX_ENDED), *self._store.alerts(entity.tenant)]
        title = f"{alert.name} ({alert.parent_name})" if alert.parent_name else alert.name
        return chart_of(entity, alert.entity_name, key, rules.rules, alerts, recorded, begin, now, title=title)
