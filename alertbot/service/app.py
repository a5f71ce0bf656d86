"""The running bot: `build` makes every part from the settings; App starts, wakes and stops them.

A bot is alone with its database, or one of several workers. Alone it holds the lease, polls every tenant and does every
chore. A worker polls the tenants and does the chores that its fleet gives it (fleet/fleet.py); all else is the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from alertbot.alerts.alert import Alert, Outcome
from alertbot.alerts.silence import Silence
from alertbot.charts.png import Painter
from alertbot.clock import Clock, wall_clock
from alertbot.commands.command import Asker, Command, Wish
from alertbot.commands.view import Needs, View
from alertbot.config.settings import Settings
from alertbot.errors import StoreError, UsageError
from alertbot.fleet.chore import Chore
from alertbot.logs import logger
from alertbot.notify.notifier import Notifier
from alertbot.page.updates import Updates
from alertbot.rules.recurring import parse_recurring
from alertbot.rules.rule import Level, RuleSet
from alertbot.service import heap
from alertbot.service.auditor import AUDIT_EVERY, Auditor
from alertbot.service.closers import Closers, at_once
from alertbot.service.courier import Courier
from alertbot.service.database_check import CHECK_EVERY, DatabaseCheck
from alertbot.service.databases import NEEDS_EXTRA, open_for_dry_run, open_store
from alertbot.service.departed import end_departed
from alertbot.service.digest import CHECK_EVERY as CHECK_DIGEST_EVERY
from alertbot.service.digest import ScheduledDigest
from alertbot.service.factories import make_notifier, make_tenants
from alertbot.service.fallback import CHECK_EVERY as CHECK_FALLBACK_EVERY
from alertbot.service.fallback import FIRST_AFTER, FallbackWebhook
from alertbot.service.figures import FiguresReader
from alertbot.service.heartbeat import Heartbeat
from alertbot.service.lease import MIN_TO_RELEASE, RENEW_EVERY, Lease
from alertbot.service.listener import Listener
from alertbot.service.live_rules import LiveRules
from alertbot.service.of_settings import parser, rule_paths
from alertbot.service.owned import Owned, name_of_job
from alertbot.service.pictures import CardPictures
from alertbot.service.poller import Poller
from alertbot.service.readiness import unready
from alertbot.service.reload import Reloader
from alertbot.service.retention import DELETE_EVERY, HistoryRetention
from alertbot.service.scheduler import Scheduler
from alertbot.service.signal import ThreadSignal
from alertbot.service.tenant import LiveTenant
from alertbot.service.views import change, make_view, redraw
from alertbot.slack.notifier import SlackNotifier
from alertbot.store.roles import Store
from alertbot.web.metrics import Metrics, WorkerFigures

if TYPE_CHECKING:  # only workers need Procrastinate
    from alertbot.fleet.fleet import Fleet

MAX_THREADS = 512
"""Tenants that may hang at the same moment without keeping any other waiting; a thread is made when it is needed."""
SPARE_THREADS = 7
"""For jobs that are no polls: the lease must be renewed whatever the polls do."""
CHECK_SLACK_EVERY = timedelta(seconds=15)
"""How often the courier may ask whether Slack answers and accepts the token."""
STOP_WITHIN = 4.0
"""Seconds that stopping may take; what still runs then is abandoned, since the store already holds all that matters."""

log = logger("app")


class App:
    """All parts of a bot. Time comes from `clock`, which runs `speed` times as fast as real time."""

    def __init__(
        self,
        settings: Settings,
        tenants: Sequence[LiveTenant],
        store: Store,
        notifier: Notifier,
        live: LiveRules,
        clock: Clock = wall_clock,
        speed: float = 1.0,
        metrics: Metrics | None = None,
        painter: Painter | None = None,
        max_tenants: int | None = None,
    ) -> None:
        """`painter` draws the pictures in the threads of cards; by default with matplotlib, where that is installed.

        `max_tenants`: it is a worker, and owns at most that many tenants; `store` is a PostgresStore then.
        """
        self.settings, self.tenants, self.store, self.live = settings, tenants, store, live
        show_tenant = len(settings.tenants) > 1
        self.clock, self._speed = clock, speed
        self.metrics = metrics or Metrics(tenant.name for tenant in tenants)
        self._stopping = threading.Event()
        self._updates = Updates()
        self._wake = ThreadSignal(self._updates.changed)
        self._closers = Closers()
        self._closers.push("database", at_once(store.close), if_clean=True)
        self.lease = Lease(store, (tenant.name for tenant in tenants), clock, self._stopping.set, speed=speed)
        if max_tenants is None:  # a worker has none
            self._closers.push("lease", self.lease.release, at_least=MIN_TO_RELEASE)
        for tenant in tenants:
            self._closers.push(f"tenant {tenant.name}", partial(_close_tenant, tenant))
        self.fleet: Fleet | None = None
        self.poller = Poller(store, clock, self._wake, self._stopping, self.metrics, lost=self._lost)
        self.courier = Courier(
            store,
            notifier,
            clock,
            self._wake,
            self._stopping,
            claimant=self.lease.owner,
            fallback_channel=settings.slack.default_channel,
            ops_channel=settings.slack.ops,
            timezone=settings.timezone,
            show_tenant=show_tenant,
            closes_at=live.closes_at,
            speed=speed,
            metrics=self.metrics,
            is_silent=lambda name: self.fleet is not None and self.fleet.is_silent(name),
        )
        self._closers.push("delivery", self.courier.stop)
        self.pictures: CardPictures | None = None
        if isinstance(notifier, SlackNotifier):  # a terminal has no threads
            self.pictures = CardPictures(
                store,
                notifier,
                clock,
                self._stopping,
                self._rules_of,
                claimant=self.lease.owner,
                reachable=lambda: self.courier.answers,
                timezone=settings.timezone,
                metrics=self.metrics,
                painter=painter,
            )
            self._closers.push("pictures", self.pictures.stop)
        self.database = DatabaseCheck(
            store,
            notifier,
            clock,
            lambda: self.poller.store_problem,
            ops_channel=settings.slack.ops,
            reports=self._reports,
        )
        self.retention = HistoryRetention(store, settings.history, clock, self._stopping.is_set)
        self.heartbeat: Heartbeat | None = None
        if url := settings.heartbeat.url.get_secret_value():
            self.heartbeat = Heartbeat(url, store, tenants, clock, self.metrics)
            self._closers.push("heartbeat", at_once(self.heartbeat.close))
        self.fallback: FallbackWebhook | None = None
        if url := settings.slack.fallback_webhook.url.get_secret_value():
            self.fallback = FallbackWebhook(
                url,
                store,
                clock,
                self.metrics,
                after=settings.slack.fallback_webhook.after,
                levels=[Level.of(level) for level in settings.slack.fallback_webhook.levels],
                timezone=settings.timezone,
                show_tenant=show_tenant,
                stopping=self._stopping,
            )
            self._closers.push("fallback webhook", self.fallback.close)
        self.auditor = Auditor(
            store,
            notifier,
            clock,
            self._wake,
            self.metrics,
            claimant=self.lease.owner,
            ops_channel=settings.slack.ops,
            timezone=settings.timezone,
            show_tenant=show_tenant,
            slack_problem=lambda: self.courier.problem,
        )
        self.digest: ScheduledDigest | None = None
        if every := settings.digest.every:
            self.digest = ScheduledDigest(
                store,
                clock,
                self._wake,
                lambda command, at: self.view(command, at=at),
                every=parse_recurring(every),
                zone=settings.zone(),
                channel=settings.digest.channel or settings.slack.ops,
            )
        self.reloader = Reloader(
            live,
            store,
            tenants,
            notifier,
            clock,
            self._wake,
            self._stopping,
            ops_channel=settings.slack.ops,
            reports=self._reports,
        )
        self.listener: Listener | None = None
        self.metrics.read_from(
            FiguresReader(
                self.polled,
                live,
                store,
                self.courier,
                clock,
                self._shown_problems,
                None if settings.server else settings.path(settings.storage),
                self._worker_figures,
            )
        )
        self._scheduler = Scheduler(workers=min(len(tenants), max_tenants or MAX_THREADS, MAX_THREADS) + SPARE_THREADS)
        if max_tenants is not None:
            self.fleet = self._make_fleet(store, max_tenants)

    def _make_fleet(self, store: Store, max_tenants: int) -> Fleet:
        # Not at the top: only workers need Procrastinate, which is an extra.
        try:
            from alertbot.fleet.fleet import Fleet
        except ImportError as error:
            raise UsageError(f"workers share their work with Procrastinate, and {NEEDS_EXTRA}") from error
        from alertbot.store.postgres.store import PostgresStore

        assert isinstance(store, PostgresStore), "workers share a PostgreSQL database"
        landlord = Owned(self.tenants, store, self.poller, self._scheduler, self.clock)
        names = [tenant.name for tenant in self.tenants]
        return Fleet(
            store,
            self.lease.owner,
            names,
            landlord,
            self.clock,
            self._chores(),
            max_tenants=max_tenants,
            changed=self._wake.set,
            on_outdated=self._stopping.set,
        )

    # Life

    def take_lease(self) -> None:
        """Become the one poller of this database, or one of its workers.

        Ends the alerts of tenants that left, and writes down which rules run. Raises LeaseHeld, UsageError where a
        worker is configured otherwise than the others, StoreError.
        """
        if self.fleet is not None:
            self.fleet.join(self.settings)
            # Its thread does that too. This is for a start that fails before there is one, and for one that hangs.
            self._closers.push("worker", self.fleet.leave, at_least=MIN_TO_RELEASE)
        else:
            self.lease.take()
        names = [tenant.name for tenant in self.tenants]
        end_departed(self.store, names, self.settings.slack.default_channel, self.clock())
        self.reloader.begin()

    def listen(self) -> None:
        """Answer HTTP and Slack. Raises ConfigError if the address cannot be listened on."""
        self.listener = Listener(
            self.settings,
            view=self.view,
            values=self.store.values,
            change=self.change,
            redraw=lambda command: redraw(self.store, command, self.clock()),
            ended=self.store.all_ended,
            unready=self.unready,
            metrics=self.metrics,
            updates=self._updates,
            wake=self._wake,
            clock=self.clock,
            closers=self._closers,
            called=self._note_name,
            people=self.store.people,
        )

    def start(self) -> None:
        """Begin to poll and to deliver. `take_lease` comes before."""
        self._scheduler.every(CHECK_EVERY, self.database.check, name="database", after=CHECK_EVERY)
        self._scheduler.every(CHECK_SLACK_EVERY, self.courier.check_slack, name="slack")
        self._scheduler.every(heap.GIVE_BACK_EVERY, heap.give_back, name="heap", after=heap.FIRST_GIVE_BACK_AFTER)
        if self.fleet is None:
            for index, tenant in enumerate(self.tenants):
                period = tenant.poll_every / self._speed
                # Tenants start spread over one period, so that a hundred of them do not call 8x8 at the same moment.
                after = period * index / len(self.tenants)
                tick = partial(self.poller.tick, tenant)
                self._scheduler.every(period, tick, name=name_of_job(tenant), after=after)
            self._scheduler.every(RENEW_EVERY, self.lease.renew, name="lease", after=RENEW_EVERY)
            for chore in self._chores():
                self._scheduler.every(chore.every, chore.run, name=chore.name, after=chore.after or chore.every)
        self._scheduler.start()
        self._closers.push("schedule", at_once(self._scheduler.stop))
        if self.fleet is not None:
            self.fleet.start()
            self._closers.push("fleet", self.fleet.stop)  # first: it hands over what is polled here
        self.courier.start()
        if self.pictures is not None:
            self.pictures.start()
        self.reloader.start()

    def _chores(self) -> list[Chore]:
        """What is done once for the whole installation, however many workers it has."""
        chores = [Chore("history", DELETE_EVERY, self.retention.run), Chore("audit", AUDIT_EVERY, self.auditor.run)]
        if self.heartbeat is not None:
            chores.append(Chore("heartbeat", self.settings.heartbeat.every, self.heartbeat.beat))
        if self.fallback is not None:
            chores.append(Chore("fallback", CHECK_FALLBACK_EVERY, self.fallback.run, after=FIRST_AFTER))
        if self.digest is not None:
            chores.append(Chore("digest", CHECK_DIGEST_EVERY, self.digest.run))
        return chores

    def polled(self) -> Sequence[LiveTenant]:
        """The tenants that this process polls now: all of them, or those that this worker owns."""
        if self.fleet is None:
            return self.tenants
        owned = self.fleet.owned
        return [tenant for tenant in self.tenants if tenant.name in owned]

    def _worker_figures(self) -> WorkerFigures | None:
        if self.fleet is None:
            return None
        seen = self.fleet.seen
        return WorkerFigures(len(self.fleet.owned), seen.lag_seconds, len(seen.workers), seen.unowned)

    def _reports(self) -> bool:
        """Whether this process tells Slack what all workers notice."""
        return self.fleet is None or self.fleet.seen.first

    def _lost(self, tenant: str) -> None:
        if self.fleet is not None:
            self.fleet.lost(tenant)

    def wait(self, until: Callable[[float], bool] | None = None) -> None:
        """Wait for `ask_to_stop`, or until `until(seconds waited)` is true.

        Raises LeaseHeld when the lease is lost, NewerDatabase when a newer version has upgraded the database.
        """
        began = time.monotonic()
        while not self._stopping.wait(0.1):
            if until and until(time.monotonic() - began):
                break
        if self.lease.lost:
            raise self.lease.lost
        if self.fleet is not None and self.fleet.outdated:
            raise self.fleet.outdated

    def rest(self) -> None:
        """Stop polling and delivering in the background; the rest can be delivered with `courier.deliver_all`.

        Turns that have begun end first, since they may still decide something.
        """
        self._scheduler.stop()
        for tenant in self.tenants:
            tenant.wait(STOP_WITHIN)
        self.courier.stop(STOP_WITHIN)

    def reload_at_once(self) -> None:
        """Look at the rule files now. Safe to call from a signal handler."""
        self.reloader.look_at_once()

    def ask_to_stop(self) -> None:
        """Let `wait` return. Safe to call from a signal handler."""
        self._stopping.set()

    def stop(self) -> bool:
        """Stop everything, in reverse order of starting. False if a part still hangs.

        Nothing is lost either way: what was decided is stored, and a post whose outcome is unknown is looked for at
        the next start.
        """
        self._stopping.set()
        self._wake.set()
        return self._closers.close(STOP_WITHIN)

    # Questions

    def view(self, command: Command, needs: Needs | None = None, *, at: datetime | None = None) -> View:
        """What the answer to this command reads, now or as if it was asked `at` a moment. Raises StoreError.

        With `needs`, what a page of it reads.
        """
        return make_view(
            command,
            self.settings,
            self.store,
            at or self.clock(),
            rules=lambda: ({tenant.name: tenant.rules for tenant in self.tenants}, self.live.on_disk()),
            pasts=lambda _: {tenant.name: tenant.memory.past for tenant in self.tenants},
            problems=tuple(
                problem for problem in (*self._problems(), self.database.note, self._fallback_problem()) if problem
            ),
            needs=needs,
        )

    def change(self, wish: Wish, asker: Asker, now: datetime) -> tuple[Outcome, Alert | Silence | None]:
        """Make the change that was asked for; the store decides races. Raises StoreError."""
        result = change(self.store, wish, asker, now)
        self._wake.set()
        if self.fleet is not None:
            self.fleet.tell_others()
        return result

    def unready(self) -> list[str]:
        """Why the bot is not ready, a sentence each, or an empty list."""
        return unready(self.store, self.polled(), self._problems(), self.clock())

    def _note_name(self, user: str, name: str) -> None:
        try:
            self.store.note_name(user, name)
        except StoreError as error:  # their answer does not wait for it
            log.warning("the name of a user could not be stored", user=user, problem=str(error))

    def _rules_of(self, tenant: str) -> RuleSet:
        """The rules that run for a tenant; none for one that is no longer polled."""
        return next((each.rules for each in self.tenants if each.name == tenant), RuleSet(()))

    def _shown_problems(self) -> dict[str, str]:
        """All problems by part, including those that do not make the bot unready."""
        more = {"fallback_webhook": self._fallback_problem()} if self.fallback is not None else {}
        return {**self._problems_by_part(), **more}

    def _fallback_problem(self) -> str:
        return self.fallback.problem if self.fallback is not None else ""

    def _problems(self) -> tuple[str, ...]:
        return tuple(self._problems_by_part().values())

    def _problems_by_part(self) -> dict[str, str]:
        return {
            "slack": self.courier.problem,
            "socket_mode": self.listener.problem if self.listener else "",
            "database": self.database.problem,
            **({"fleet": self.fleet.problem} if self.fleet is not None else {}),
        }


def _close_tenant(tenant: LiveTenant, within: float) -> bool:
    """Wait for its turn to end, then close its connections; also those of a turn that hangs."""
    idle = tenant.wait(within)
    tenant.source.close()
    return idle


def build(
    settings: Settings,
    *,
    notifier: Notifier | None = None,
    clock: Clock = wall_clock,
    speed: float = 1.0,
    dry_run: bool = False,
    painter: Painter | None = None,
    max_tenants: int | None = None,
) -> App:
    """Every part, from settings. Raises FaultsFound (rules), StoreError (database).

    `dry_run`: nothing will be stored, so no database is made, and one that is there need not be writable. For
    `max_tenants` see App.
    """
    live = LiveRules(rule_paths(settings), parser(settings))
    store = open_for_dry_run(settings) if dry_run else open_store(settings)
    tenants = make_tenants(settings, live, speed=speed, lent=max_tenants is not None)
    metrics = Metrics(tenant.name for tenant in tenants)
    notifier = notifier or make_notifier(settings, observe=metrics.called_slack)
    return App(settings, tenants, store, notifier, live, clock, speed, metrics, painter, max_tenants)
