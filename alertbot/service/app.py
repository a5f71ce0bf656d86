"""Builds every real part in one straight function; starts them, stops them in reverse order.

Long because straight: the order in which things are made and let go is read here and nowhere else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from slack_sdk import WebClient

from alertbot import poll
from alertbot.alerts.alert import AckResult, Alert, Change
from alertbot.clock import Clock, wall_clock
from alertbot.commands.command import Asker, View, Wish
from alertbot.config.settings import Settings
from alertbot.errors import AlertbotError, LeaseHeld, NotifyError, StoreError
from alertbot.evaluation.evaluate import Selector
from alertbot.evaluation.past import Past, remember
from alertbot.feed import pace
from alertbot.feed.health import Limits
from alertbot.feed.rules import UNFIT
from alertbot.logs import logger
from alertbot.notify.deliver import DeliveryReport, deliver
from alertbot.notify.notifier import Notifier
from alertbot.rules.rule import RuleSet
from alertbot.rules.units import write_duration
from alertbot.service.factories import limits_of, make_notifier, make_source, open_store, parser, rule_paths
from alertbot.service.process import is_gone, name_of_poller
from alertbot.service.reload import LiveRules
from alertbot.service.scheduler import Scheduler
from alertbot.service.views import change, make_view
from alertbot.service.watch import watch
from alertbot.slack.desk import SlackApp
from alertbot.slack.notifier import SlackNotifier
from alertbot.slack.permissions import MayChange
from alertbot.slack.socket_mode import SocketMode
from alertbot.sources.source import Source
from alertbot.store.roles import Store
from alertbot.web.routes import http_app
from alertbot.web.server import HttpServer, serve_http

LEASE = timedelta(seconds=30)
"""How long a poller that died without a word keeps others out, where nobody can see that it died."""
MOST_AT_ONCE = 512
"""Tenants that may hang at the same moment without keeping any other waiting; a thread is made when it is needed."""
SLACK_CHECK = timedelta(minutes=1)
"""How soon a refused or unreachable Slack is asked again whether it knows us."""
SPARE = 3
"""Threads for jobs that are no polls: the lease must be renewed whatever the polls do."""
LEAST_FOR_LEASE = 0.5
"""Seconds in which the lease is released even when all of `STOP_WITHIN` is over."""
STOP_WITHIN = 4.0
"""Seconds that stopping may take; what still runs then is left, since the store already holds all that matters."""

log = logger("app")


@dataclass
class Tenant:
    """One tenant's parts."""

    name: str
    source: Source
    rules: RuleSet
    poll_every: timedelta
    default_channel: str
    ops_channel: str
    limits: Limits = field(default_factory=Limits)
    selector: Selector = field(default_factory=Selector)
    past: Past | None = None
    polling: threading.Lock = field(default_factory=threading.Lock)
    last: poll.Polled | None = None
    tried: bool = False  # by this process


@dataclass
class App:
    """All parts of a bot, made by `build`. Time comes from `clock`, which runs `speed` times as fast as the wall."""

    settings: Settings
    tenants: Sequence[Tenant]
    store: Store
    notifier: Notifier
    live: LiveRules
    clock: Clock = wall_clock
    speed: float = 1.0

    def __post_init__(self) -> None:
        self.started_at = self.clock()
        self.http: HttpServer | None = None
        self._slack: SlackApp | None = None
        self._socket_mode: SocketMode | None = None
        self.owner = name_of_poller()
        self.told = 0  # posts and thread lines that landed since we started
        self.delivery_problem = ""  # why Slack refuses us, "" while it does not
        self._greeted = False  # Slack knows our token
        self._stopping = threading.Event()
        self._resting = threading.Event()
        self._lost_lease: LeaseHeld | None = None
        self._wake = threading.Event()
        self._reload_at_once = threading.Event()
        self._scheduler = Scheduler(workers=min(len(self.tenants), MOST_AT_ONCE) + SPARE)
        self._deliverer = threading.Thread(target=self._deliver_always, name="delivery", daemon=True)
        self._reloader = threading.Thread(target=self._reload_always, name="reloader", daemon=True)

    # One poll

    def _poll(self, tenant: Tenant, *, dry_run: bool = False) -> poll.Polled:
        rules, now = tenant.rules, self.clock()  # read once: they may be swapped meanwhile
        polled = poll.run(
            tenant.name,
            tenant.source,
            self.store,
            rules,
            default_channel=tenant.default_channel,
            refresh=self.settings.slack.refresh,
            now=now,
            selector=tenant.selector,
            past=self._past(tenant, rules, now),
            wanted=rules.every_metric() if self.settings.record.keys == "all" else None,
            limits=tenant.limits,
            ops_channel=tenant.ops_channel,
            dry_run=dry_run,
        )
        tenant.past = polled.past
        return polled

    def _past(self, tenant: Tenant, rules: RuleSet, now: datetime) -> Past | None:
        """What windows look at: as of the last poll, or after a start or an edit as far as it was recorded."""
        windows = rules.windows()
        if not windows:
            return None
        if tenant.past is not None and tenant.past.windows == windows:
            return tenant.past
        past = Past(tenant.poll_every, windows)
        if past.longest > self.settings.record.keep:
            log.warning(
                "rules look further back than polls are kept",
                tenant=tenant.name,
                longest=write_duration(past.longest),
                keep=write_duration(self.settings.record.keep),
            )
        try:
            recorded = self.store.polls(tenant.name, now - past.longest, now, past.keys)
            return remember(past, (each.snapshots for each in recorded))
        except StoreError as error:  # a window that is unknown for a while is better than no poll at all
            log.error("windows begin empty", tenant=tenant.name, error=str(error))
            return past

    def _pause(self, tenant: Tenant) -> bool:
        """Leave a tenant in peace that is not to be polled now; False where it is."""
        now = self.clock()
        if pace.due(self.store.feed(tenant.name).health, now, first=not tenant.tried):
            return False
        self._pass_by(tenant, now)
        return True

    def _pass_by(self, tenant: Tenant, now: datetime, failed: str = "") -> None:
        """A turn that brought nothing: the time that went by is judged and told. Raises StoreError."""
        changes = poll.pause(
            tenant.name,
            self.store,
            limits=tenant.limits,
            ops_channel=tenant.ops_channel,
            refresh=self.settings.slack.refresh,
            now=now,
            failed=failed,
        )
        _log_changes(tenant.name, changes)
        if changes:
            self._wake.set()

    def _came_to_nothing(self, tenant: Tenant, why: str) -> None:
        """A poll failed in alertbot itself. Where the store is what failed, the log is all there is."""
        try:
            self._pass_by(tenant, self.clock(), why)
        except AlertbotError as error:
            log.error("a failed poll is not in the health of the feed", tenant=tenant.name, error=str(error))
        except Exception:
            log.exception("a failed poll is not in the health of the feed", tenant=tenant.name)

    def tick(self, tenant: Tenant) -> poll.Polled | None:
        """One poll of one tenant on schedule; None when it failed, the last one still runs, or it is not due.

        A tenant is not due while 8x8 asked us to stay away, and, after repeated failure, at some of its turns.
        What nobody foresaw is logged and counts as a poll that brought nothing, and the next poll goes on.
        """
        if self._stopping.is_set() or not tenant.polling.acquire(blocking=False):
            return None
        try:
            if self._pause(tenant):
                return None
            tenant.tried = True
            polled = self._poll(tenant)
        except AlertbotError as error:
            log.error("poll failed", tenant=tenant.name, error=str(error))
            self._came_to_nothing(tenant, str(error))
            return None
        except Exception as error:
            log.exception("poll failed unforeseen; the next one goes on", tenant=tenant.name)
            self._came_to_nothing(tenant, f"alertbot itself failed ({type(error).__name__}), see its log")
            return None
        finally:
            tenant.polling.release()
        tenant.last = polled
        _log_poll(polled)
        self._wake.set()
        return polled

    # Delivery

    def deliver_due(self, stop: Callable[[], bool] = lambda: False) -> DeliveryReport:
        """Deliver what is due now; `stop` is asked before each item. Raises StoreError."""
        report = deliver(
            self.store.due(self.clock()),
            self.notifier,
            self.store,
            self.clock,
            fallback_channel=self.settings.slack.default_channel,
            ops_channel=self.settings.slack.ops,
            timezone=self.settings.timezone,
            stop=stop,
        )
        if not report.credentials_ok:
            self.delivery_problem = "Slack refuses the credentials"
        elif report.delivered:  # with nothing due nothing is known: what was refused stays said
            self.delivery_problem = ""
        self.told += report.cards + report.lines + report.ops
        for error in report.errors:
            log.warning("delivery", problem=error)
        return report

    def _deliver_always(self) -> None:
        pause = max(0.02, min(0.5, 0.5 / self.speed))
        while not self._stopping.is_set() and not self._resting.is_set():
            self._wake.clear()
            try:
                report = self.deliver_due(self._stopping.is_set)
            except AlertbotError as error:
                log.error("delivery failed", error=str(error))
            except Exception:
                log.exception("delivery failed unforeseen; it goes on")
            else:
                if report.delivered:
                    continue
            self._wake.wait(pause)

    def poll_once(self, *, dry_run: bool = False, patience: float = 30.0) -> dict[str, poll.Polled | str]:
        """One poll of every tenant side by side, then all that is due: for each tenant what was polled, or why not.

        Waits at most `patience` seconds in all for what has to wait (429, a channel's one message a second).
        """
        with ThreadPoolExecutor(min(32, len(self.tenants))) as pool:
            outcomes = pool.map(lambda tenant: self._try_poll(tenant, dry_run), self.tenants)
            polled = {tenant.name: outcome for tenant, outcome in zip(self.tenants, outcomes, strict=True)}
        if not dry_run:
            self.deliver_all(patience)
        return polled

    def _try_poll(self, tenant: Tenant, dry_run: bool) -> poll.Polled | str:
        try:
            until = pace.asked_to_wait(self.store.feed(tenant.name).health, self.clock())
            if until is not None:
                return f"8x8 asked us to stay away until {until:%H:%M:%S} UTC"
            return self._poll(tenant, dry_run=dry_run)
        except AlertbotError as error:
            return str(error)

    def deliver_all(self, patience: float) -> None:
        """Deliver until nothing is due, or what is left has to wait longer than `patience` seconds in all."""
        deadline = time.monotonic() + patience
        while True:
            if self.deliver_due().delivered:
                continue
            ready_at = self.store.next_due(self.clock())
            if ready_at is None:
                return
            wait = (ready_at - self.clock()).total_seconds() / self.speed
            if time.monotonic() + wait > deadline:
                return
            time.sleep(max(0.01, wait))

    # Rules

    def look_at_rules(self, moment: float, *, at_once: bool = False) -> bool:
        """Look for edits of the rule files, see `LiveRules.look`; `moment` is in seconds. Raises StoreError."""
        if not self.live.look(self.store, self._swap, self.settings.slack.ops, self.clock(), moment, at_once=at_once):
            return False
        self._wake.set()
        return True

    def _swap(
        self, tenants: Sequence[str], rules: RuleSet, folders: Sequence[Path], templates: Mapping[str, bytes]
    ) -> None:
        # A poll reads its tenant's rules once, so it runs with the old ones or the new ones, never with some of each.
        for tenant in self.tenants:
            if tenant.name in tenants:
                tenant.rules = rules
        self.notifier.use_templates(folders, templates)

    def reload_at_once(self) -> None:
        """Look at the rule files now, without waiting for them to stand still. Safe to call from a signal handler."""
        self._reload_at_once.set()

    def _reload_always(self) -> None:
        def look() -> None:
            at_once = self._reload_at_once.is_set()
            self._reload_at_once.clear()
            try:
                self.look_at_rules(time.monotonic(), at_once=at_once)
            except AlertbotError as error:
                log.error("rules not reloaded; tried again", error=str(error))
            except Exception:
                log.exception("rules not reloaded, unforeseen; tried again")

        watch(self.live.watched(), self._stopping, look)

    # Commands

    def view(self) -> View:
        """What answers may look at."""
        problems = [self.delivery_problem, self._socket_mode.problem if self._socket_mode else ""]
        return make_view(
            self.settings,
            self.store,
            {tenant.name: tenant.rules for tenant in self.tenants},
            self.clock(),
            on_disk=self.live.on_disk(),
            pasts={tenant.name: tenant.past for tenant in self.tenants},
            problems=tuple(problem for problem in problems if problem),
        )

    def change(self, wish: Wish, asker: Asker, now: datetime) -> tuple[AckResult, Alert | None]:
        """Carry out what somebody asked for; the store decides races."""
        result = change(self.store, wish, asker, now)
        self._wake.set()
        return result

    def unready(self) -> list[str]:
        """Why the bot is not ready, nothing when it is: stale feeds, refused Slack credentials, the database."""
        reasons = []
        now = self.clock()
        try:
            ill: dict[str, list[str]] = {}
            for alert in self.store.alerts():
                if alert.open and alert.key.rule in UNFIT:
                    ill.setdefault(alert.key.tenant, []).append(f"{alert.about.title}: {alert.about.detail}")
            for tenant in self.tenants:
                good_at = self.store.feed(tenant.name).good_at
                if tenant.name in ill:
                    reasons += [f"{tenant.name}: {each}" for each in ill[tenant.name]]
                elif good_at is None:
                    reasons.append(f"{tenant.name}: no good poll yet")
                elif now - good_at > tenant.limits.patience:
                    reasons.append(f"{tenant.name}: no good poll for {(now - good_at).total_seconds():.0f} s")
            self.store.check_writable()
        except AlertbotError as error:
            reasons.append(str(error))
        if self.delivery_problem:
            reasons.append(self.delivery_problem)
        if self._socket_mode and self._socket_mode.problem:
            reasons.append(self._socket_mode.problem)
        return reasons

    # Life

    def take_lease(self) -> None:
        """Become the one poller of this database, and say which rules run. LeaseHeld when another one lives."""
        try:
            self.store.take_lease(self.owner, self.clock(), LEASE)
        except LeaseHeld as held:
            if not is_gone(held.owner):
                raise
            self.store.release_lease(held.owner)
            self.store.take_lease(self.owner, self.clock(), LEASE)
        self.live.begin(self.store, self._swap, self.clock())

    def start(self) -> None:
        """Begin to poll and to deliver. `take_lease` comes before."""
        for index, tenant in enumerate(self.tenants):
            period = tenant.poll_every / self.speed
            # Tenants begin spread over one period, so that a hundred of them do not call 8x8 in the same instant.
            after = period * index / len(self.tenants)
            self._scheduler.every(period, partial(self.tick, tenant), name=tenant.name, after=after)
        self._scheduler.every(LEASE / 3, self._renew_lease, name="lease", after=LEASE / 3)
        self._scheduler.every(SLACK_CHECK, self._check_slack, name="slack")
        self._scheduler.start()
        self._deliverer.start()
        self._reloader.start()

    def listen(self) -> None:
        """Answer HTTP, and what people send from Slack: by Socket Mode when there is an app token, else signed HTTP.

        ConfigError where the address cannot be listened on.
        """
        slack, dispatch = self.settings.slack, None
        secret = slack.signing_secret.get_secret_value()
        app_token = slack.app_token.get_secret_value()
        if app_token or secret:
            client = WebClient(slack.bot_token.get_secret_value(), base_url=slack.api_url, timeout=10)
            self._slack = SlackApp(
                client=client,
                command=slack.command,
                view=self.view,
                change=self.change,
                wake=self._wake.set,
                clock=self.clock,
                may_change=MayChange(
                    frozenset(slack.may_change.users),
                    frozenset(slack.may_change.usergroups),
                    frozenset(slack.may_change.channels),
                ),
            )
            if app_token:
                self._socket_mode = SocketMode(self._slack.bolt, app_token, client)
                self._socket_mode.start()
            else:
                dispatch = self._slack.dispatch
        else:
            log.warning("nobody can ask: give slack.app_token (Socket Mode) or slack.signing_secret (HTTP)")
        self.http = serve_http(
            http_app(reasons=self.unready, dispatch=dispatch, signing_secret=secret if dispatch else ""),
            self.settings.http.host,
            self.settings.http.port,
        )
        log.info("listening", host=self.settings.http.host, port=self.http.port)

    def _renew_lease(self) -> None:
        try:
            self.store.take_lease(self.owner, self.clock(), LEASE * self.speed)
        except LeaseHeld as held:
            self._lost_lease = held
            self._stopping.set()
        except AlertbotError as error:
            log.error("lease not renewed", error=str(error))

    def _check_slack(self) -> None:
        """Ask Slack who we are, at the start and while it refuses us: a wrong token is said before the first alert,
        and one that was mended is known before the next."""
        if not isinstance(self.notifier, SlackNotifier) or (self._greeted and not self.delivery_problem):
            return
        try:
            me = self.notifier.check()
        except NotifyError as error:
            if self.delivery_problem != str(error):
                log.error("Slack", problem=str(error))
            self.delivery_problem = str(error)
        else:
            self._greeted, self.delivery_problem = True, ""
            log.info("Slack", bot=me.user_id)

    def wait(self, until: Callable[[float], bool] | None = None) -> None:
        """Wait until `stop` is asked for (or `until(seconds waited)` says so). LeaseHeld when the lease was lost."""
        began = time.monotonic()
        while not self._stopping.wait(0.1):
            if until and until(time.monotonic() - began):
                break
        if self._lost_lease:
            raise self._lost_lease

    def rest(self) -> None:
        """Stop polling and delivering in the background; what is left can be delivered with `deliver_all`."""
        self._scheduler.stop()
        self._resting.set()
        self._wake.set()
        self._deliverer.join(STOP_WITHIN)

    def ask_to_stop(self) -> None:
        """Let `wait` return. Safe to call from a signal handler."""
        self._stopping.set()

    def stop(self) -> bool:
        """Stop polling and delivering, in reverse order of starting. False when something of it still hangs.

        Nothing is lost either way: what was decided is stored, and a post whose outcome is unknown is looked for at
        the next start.
        """
        self._stopping.set()
        self._wake.set()
        deadline = time.monotonic() + STOP_WITHIN
        self._scheduler.stop()
        for part in (self.http, self._socket_mode):
            if part:
                part.stop(1.0)
        if self._slack:
            self._slack.close()
        idle = True
        if self._deliverer.is_alive():
            self._deliverer.join(max(0.0, deadline - time.monotonic()))
            idle = not self._deliverer.is_alive()
        for tenant in self.tenants:
            if tenant.polling.acquire(timeout=max(0.0, deadline - time.monotonic())):
                tenant.polling.release()
            else:
                idle = False
            tenant.source.close()
        # The database may be locked by another process, or by a thread of ours that waits for it. Without its release
        # the lease is taken over all the same: this process is gone then.
        released = threading.Thread(target=self._release_lease, name="release", daemon=True)
        released.start()
        released.join(max(LEAST_FOR_LEASE, deadline - time.monotonic()))
        if released.is_alive():
            log.warning("lease not released: the database is locked")
            return False
        if idle:
            self.store.close()
        return idle

    def _release_lease(self) -> None:
        try:
            self.store.release_lease(self.owner)
        except AlertbotError as error:
            log.warning("lease not released", problem=str(error))


def build(
    settings: Settings,
    *,
    notifier: Notifier | None = None,
    clock: Clock = wall_clock,
    speed: float = 1.0,
) -> App:
    """Every part, from settings. Raises FaultsFound (rules), StoreError (database)."""
    live = LiveRules(rule_paths(settings), parser(settings))
    store = open_store(settings)
    tenants = [
        Tenant(
            name=tenant.name,
            source=make_source(tenant, speed=speed),
            rules=live.rules(tenant.name),
            poll_every=tenant.poll_every,
            default_channel=tenant.default_channel or settings.slack.default_channel,
            ops_channel=tenant.ops_channel or settings.slack.ops,
            limits=limits_of(settings, tenant, speed=speed),
        )
        for tenant in settings.tenants
    ]
    return App(settings, tenants, store, notifier or make_notifier(settings), live, clock, speed)


def _log_poll(polled: poll.Polled) -> None:
    moved = _log_changes(polled.tenant, polled.changes)
    for note in polled.fetched.notes:
        log.info("8x8", tenant=polled.tenant, note=note)
    for problem in polled.fetched.problems:
        log.warning("8x8", tenant=polled.tenant, problem=problem)
    line = log.info if polled.good else log.warning
    line(
        "poll",
        tenant=polled.tenant,
        entities=sum(len(snapshot) for snapshot in polled.snapshots.values()),
        requests=len(polled.fetched.requests),
        took_ms=round(polled.fetched.took_ms),
        changes=moved,
        notices=len(polled.notices),
        **({} if polled.good else {"problems": "; ".join(polled.problems)}),
    )


def _log_changes(tenant: str, changes: Sequence[Change]) -> int:
    """A line for each alert that moved; how many did."""
    moved = [change for change in changes if change.moved]
    for each in moved:
        log.info(
            "alert",
            tenant=tenant,
            rule=each.after.key.rule,
            entity=each.after.entity_name,
            state=str(each.after.state),
            severity=each.after.level.word,  # `level` is the line's own
            reason=str(each.reason) if each.reason else None,
            why=each.why,
            **({"withheld": str(each.withheld)} if each.withheld else {}),
        )
    return len(moved)
