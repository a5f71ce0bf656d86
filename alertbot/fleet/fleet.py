"""This process as one worker of a fleet: which tenants it owns, and which chores it does for all.

Theory. Procrastinate is the engine: its queue in PostgreSQL says which job runs where, its heartbeats which workers are
alive, and its locks keep a job from running twice. A tenant is one long job, `own`: while it runs, this worker polls
the tenant on its own schedule. When it ends it puts itself into the queue again, and some worker begins it.

Each worker looks after the fleet in the same way, every LOOK_EVERY, and needs no leader for that (`_look`):

- jobs of workers without a heartbeat for GONE_AFTER are deleted, and put into the queue again. They get a new id: a
  worker that was only paused ends its job later, and must not end the new one by that;
- each configured tenant and chore has a job, else one is put into the queue;
- a worker that owns more than its share (share.py) hands the surplus over. One at its share takes no further tenants
  from the queue (`_choose_queues`), and puts back for later what it took at that moment.

A worker that was paused continues without knowing. It may own nothing any more, and finds out where it matters: each
turn is recorded with the number of the ownership (store/sql/owners.py), so what it decided is refused. It also compares
the time between two heartbeats: after a pause as long as GONE_AFTER it drops all tenants at once.

When PostgreSQL is down, the connection that listens is cut, or the heartbeat fails, and the worker of Procrastinate
ends; so do the ownerships of this process. It is started again once it can connect, which is tried twice a second. Its
former jobs are then those of a dead worker, as above; the worker says so itself, so no other one has to find out
(`_former`).

The queue may list a job as running here when it is not: the answer was lost when it was taken from the queue, or its
end could not be recorded. Such strays are found by comparing, and put into the queue again (`_find_strays`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Protocol

import psycopg
from procrastinate import App, exceptions
from procrastinate.worker import Worker

from alertbot import __version__
from alertbot.clock import Clock
from alertbot.config.settings import Settings
from alertbot.errors import AlertbotError, ConfigError, NewerDatabase, StoreError
from alertbot.fleet import agreement
from alertbot.fleet.chore import Chore
from alertbot.fleet.jobs import CHORE, OWN, jobs_of, make_app, put, put_anew, put_missing
from alertbot.fleet.share import MAX_TENANTS, shares, with_share
from alertbot.logs import logger
from alertbot.store.postgres.living import WorkerRow
from alertbot.store.postgres.store import PostgresStore
from alertbot.store.postgres.workers import CHANNEL, GONE_AFTER, Pulse
from alertbot.store.records import Owner, shown_owner

LOOK_EVERY = 1.0
"""Seconds between two heartbeats, and between two looks at the fleet."""
TERM = timedelta(minutes=30), timedelta(minutes=60)
"""For how long a tenant is owned, between these two: then it is handed over, usually to the same worker."""
HAND_OVER_WITHIN = 4.0
"""Seconds in which all tenants are handed over when the worker is stopped."""
_TURNS_END_WITHIN = 1.5
"""Seconds for which turns are waited for then. One that takes longer is refused when the next owner has begun."""
FETCH_EVERY = 0.5
"""Seconds between two looks at a queue without jobs. (A notification for each job would wake every worker for each.)"""
SPARE_JOBS = 8
"""Jobs beside those that own tenants: chores, and tenants that are refused."""
_LATER = 0.5, 10.0
"""Seconds after which a tenant that was refused is tried again: at first, and, where no worker has room, at most."""
_FIND_MISSING_EVERY = 10  # looks
_REPORT_AFTER = 6  # looks in a row that failed
_REPORT_NO_ROOM_AFTER = 10  # looks in a row: as long as a fleet may take to start, or a worker to be replaced
_BEAT_WITHIN = 4.0  # seconds
_CONNECT_EVERY = 0.5  # seconds, while PostgreSQL is down
_CONNECT_WITHIN = 5.0  # seconds, where it has just accepted a connection
_THREADS = 32  # for calls that wait: a turn that must end, a transaction

log = logger("worker")

# What fails there is logged by this module, in one line.
logging.getLogger("procrastinate").setLevel(logging.CRITICAL)


class Landlord(Protocol):
    """What a fleet does with the tenants of this process. Called from its threads; each may take a moment."""

    def begin(self, tenant: str, owner: Owner) -> None:
        """Poll this tenant from now on, as this owner."""

    def end(self, tenant: str, within: float) -> None:
        """Stop polling it: when this returns, none of its turns is running, unless one hangs for `within` seconds."""

    def lag(self) -> float:
        """By how many seconds the turn that is most overdue is late."""


@dataclass(frozen=True)
class Seen:
    """What the last look saw: live workers, tenants that no worker owns, and by how many seconds it is late."""

    workers: frozenset[str] = frozenset()
    first: bool = True  # this worker is the first of them, by name
    unowned: int = 0
    lag_seconds: float = 0.0


@dataclass
class _Owning:
    """A tenant that this worker owns, or is about to."""

    number: int = 0  # of the ownership; 0: not yet
    over: asyncio.Event = field(default_factory=asyncio.Event)  # set: it is to be handed over
    lost: bool = False  # its job is no longer ours: another worker has it, or the queue cannot be reached
    begun: asyncio.Future[None] | None = None  # done: it is polled here
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # set: it is no longer polled here


class Fleet:
    """This worker. `tenants` are all that are configured; `max_tenants` of them it owns at most."""

    def __init__(
        self,
        store: PostgresStore,
        name: str,
        tenants: Sequence[str],
        landlord: Landlord,
        clock: Clock,
        chores: Sequence[Chore] = (),
        *,
        max_tenants: int = MAX_TENANTS,
        changed: Callable[[], None] = lambda: None,
        on_outdated: Callable[[], None] = lambda: None,
    ) -> None:
        """`changed` is called when another process of this database has changed something.

        `on_outdated` is called when a newer version has upgraded the database, so that this worker must end; `outdated`
        then says so.
        """
        self._store, self.name, self._tenants, self._landlord, self._clock = store, name, tenants, landlord, clock
        self._workers = store.workers
        self._chores: Mapping[str, Chore] = {chore.name: chore for chore in chores}
        self._max_tenants, self._changed, self._on_outdated = max_tenants, changed, on_outdated
        self._share = 0
        self._room = False  # the workers that live have room for all tenants
        self._owning: dict[str, _Owning] = {}
        self._loop = asyncio.new_event_loop()
        self._over: asyncio.Event = asyncio.Event()  # the worker is to end
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)
        self._app: App | None = None
        self._looks = 0
        self._unchecked = 0  # looks in a row at which the queue could not be checked
        self._crowded = 0  # looks in a row at which there was no room for all tenants
        self._left_out = 0  # tenants for which there was none, as last reported
        self._met_at = time.monotonic()
        self._pulse = Pulse(store.address, name)
        self._beaten_at = time.monotonic()
        self._running: set[int] = set()  # ids of the jobs that run here
        self._giving = False
        self._given = asyncio.Event()  # set: the worker ends, and its jobs were put into the queue again
        self._suspects: frozenset[int] = frozenset()  # jobs that did not run here at the last comparison
        self._worker: Worker | None = None
        self._former: int | None = None  # the id of our worker before the connection was lost
        self._joined = False
        self._settings = ""  # what must be the same in all workers
        self.problem = ""  # why the fleet cannot be reached
        self.outdated: NewerDatabase | None = None
        self.seen = Seen()

    @property
    def owned(self) -> frozenset[str]:
        """The tenants that this worker owns now."""
        return frozenset([tenant for tenant, owning in list(self._owning.items()) if owning.number])

    def join(self, settings: Settings) -> None:
        """Become one of the workers of the database, before `start`.

        Raises LeaseHeld while a single process polls it, ConfigError where this worker is configured otherwise than one
        that runs, StoreError.
        """
        self._workers.create()
        self._settings = agreement.compared(settings)
        self._join()

    def _join(self) -> None:
        for other, theirs in self._workers.settings().items():
            if differs := agreement.difference(self._settings, theirs):
                raise ConfigError(
                    [
                        f"the configuration of this worker differs from that of {shown_owner(other)}, which uses "
                        f"the same database: {differs}. All workers need the same alertbot.yaml, except for `http` and "
                        "secrets: stop all workers before you change it"
                    ]
                )
        self._workers.join(self.name, self._max_tenants, __version__, self._settings, self._clock())
        self._joined = True

    def leave(self, within: float) -> bool:
        """Stop being one of the workers; always true. Otherwise it counts until its heartbeat is missed."""
        if self._joined:
            with suppress(AlertbotError):
                self._workers.leave(self.name, within)
                self._joined = False
        return True

    def tell_others(self) -> None:
        """Wake the other workers: something was changed that they may have to show or to deliver."""
        try:
            self._workers.notify()
        except AlertbotError as error:  # they look by themselves within a moment
            log.debug("other workers could not be notified of a change", error=str(error))

    def start(self) -> None:
        """Take part, in a thread, until `stop`."""
        self._thread.start()

    def stop(self, within: float) -> bool:
        """Hand all tenants over, in this many seconds. False if that is not done by then.

        What is not handed over is found by the others when this worker's heartbeat is missing.
        """
        if not self._thread.is_alive():
            return True
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(within)
        return not self._thread.is_alive()

    def is_silent(self, name: str) -> bool:
        """Whether another worker has missed its heartbeats, so that it does not count; it may be alive all the same."""
        return bool(self.seen.workers) and name not in self.seen.workers

    def lost(self, tenant: str) -> None:
        """Another worker owns this tenant, as the database said. Safe to call from any thread."""
        self._loop.call_soon_threadsafe(self._drop, tenant)

    def _drop(self, tenant: str) -> None:
        owning = self._owning.get(tenant)
        if owning is not None and not owning.lost:
            log.warning("another worker owns the tenant: it is no longer polled here", tenant=tenant)
            owning.lost = True
            owning.over.set()

    # The thread

    def _run(self) -> None:
        self._loop.set_exception_handler(lambda _loop, context: log.debug("job failed", error=str(context)))
        asyncio.set_event_loop(self._loop)
        self._loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="fleet"))
        try:
            self._loop.run_until_complete(self._main())
        finally:
            self._loop.close()

    async def _main(self) -> None:
        while not self._over.is_set():
            try:
                await self._work()
                self.problem = ""
            except NewerDatabase as error:  # as the heartbeat notices: `_beat`
                self.outdated = error
                self._on_outdated()
                break
            except (AlertbotError, exceptions.ProcrastinateException, psycopg.Error, OSError) as error:
                self._note(error)
            except Exception:
                log.exception("the worker failed with an unexpected error; restarting it")
            if not self._over.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), _CONNECT_EVERY)
        await self._pulse.close()
        await asyncio.to_thread(self.leave, HAND_OVER_WITHIN)

    def _note(self, error: Exception) -> None:
        # Procrastinate's errors say only that something failed; their causes may hold the address.
        problem = str(error) if isinstance(error, AlertbotError) else "the job queue in PostgreSQL cannot be reached"
        if problem != self.problem:
            log.error("the worker cannot poll; will retry", problem=problem)
        self.problem = problem

    async def _work(self) -> None:
        """Take part until it is to end, or until PostgreSQL is down."""
        await self._pulse.close()  # a connection from before says nothing
        await self._pulse.connect()  # fails at once while the server is down; a pool would still wait when it is back
        app = self._app = make_app(self._store.address)
        try:
            await asyncio.wait_for(app.open_async(), _CONNECT_WITHIN)
            self._running, self._suspects, self._beaten_at = set(), frozenset(), time.monotonic()
            if self._former is not None:
                await app.job_manager.unregister_worker(self._former)
                self._former = None
            await self._meet()
            await self._look(first=True)
            self.problem = ""
            self._worker = Worker(
                app,
                [OWN, CHORE],
                name=self.name,
                concurrency=self._max_tenants + SPARE_JOBS,
                fetch_job_polling_interval=FETCH_EVERY,
                listen_notify=False,
                abort_job_polling_interval=60.0,
                shutdown_graceful_timeout=HAND_OVER_WITHIN,
                delete_jobs="always",
                additional_context={"here": self},
                install_signal_handlers=False,
                update_heartbeat_interval=2 * LOOK_EVERY,
                stalled_worker_timeout=10 * GONE_AFTER.total_seconds(),
            )
            await self._run_jobs(app, self._worker)
        finally:
            await app.close_async()

    async def _run_jobs(self, app: App, worker: Worker) -> None:
        working = asyncio.ensure_future(worker.run())  # type: ignore[no-untyped-call]
        beating = asyncio.ensure_future(self._beat_on())
        looking = asyncio.ensure_future(self._look_on())
        hearing = asyncio.ensure_future(self._hear())
        over = asyncio.ensure_future(self._over.wait())
        tasks: list[asyncio.Future[Any]] = [working, beating, looking, hearing, over]
        ended: set[asyncio.Future[Any]] = set()
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._former = worker.worker_id
            self._giving = self._over.is_set()
            self._end_all(lost=not self._giving)
            if not self._giving:
                # Each job that ends would wait for the server, to say so. Its row stays, and is found by `_former`.
                await app.close_async()
            worker.stop()  # type: ignore[no-untyped-call]  # it takes no more jobs, and waits for those that run
            if self._giving:
                await self._give_all(app)
            for each in (beating, looking, hearing, over):
                each.cancel()
            await asyncio.gather(beating, looking, hearing, over, return_exceptions=True)
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(working, return_exceptions=True), HAND_OVER_WITHIN + 2)
        for task in (*ended, working):  # what ended first is the cause
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def _end_all(self, *, lost: bool = False) -> None:
        for owning in self._owning.values():
            owning.lost = owning.lost or lost
            owning.over.set()

    async def _give_all(self, app: App) -> None:
        """Put all jobs that run here into the queue again at once, for others: the worker is stopped."""
        try:
            ends = [asyncio.ensure_future(owning.ended.wait()) for owning in self._owning.values()]
            if ends:
                await asyncio.wait(ends, timeout=_TURNS_END_WITHIN)
            if self._former is not None:
                await put_anew(app, await jobs_of(app, self._former))
        except exceptions.ProcrastinateException as error:
            log.debug("tenants could not be handed over; other workers will find them", error=str(error))
        finally:
            self._given.set()

    async def _hear(self) -> None:
        """Pass on what other workers tell."""
        async with await psycopg.AsyncConnection.connect(self._store.address, autocommit=True) as conn:
            await conn.execute(f"LISTEN {CHANNEL}".encode())
            async for _ in conn.notifies():
                self._changed()

    async def _beat_on(self) -> None:
        # Apart from the looks, which may wait for a turn in the queue of threads while hundreds of tenants begin.
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self._meet()

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._looks += 1
            await self._look(first=self._looks % _FIND_MISSING_EVERY == 0)

    async def _meet(self) -> None:
        """Say that this worker lives, and see which others do, and so what its share is."""
        paused, self._met_at = time.monotonic() - self._met_at, time.monotonic()
        if paused > GONE_AFTER.total_seconds() and self._owning:
            log.warning("the worker was paused: other workers own its tenants now", seconds=round(paused))
            self._end_all(lost=True)
            self._looks = -3  # if no worker has taken them, they are missing soon
        living = await self._beat()
        if living is None:
            return  # soon again
        heard = {each.name: each.seen_ago for each in living if each.name != self.name}
        counted = {self.name, *with_share(heard)}
        found = shares(len(self._tenants), {each.name: each.max_tenants for each in living if each.name in counted})
        self._share, self._room = found.get(self.name, 0), sum(found.values()) >= len(self._tenants)
        self._report_room(len(self._tenants) - sum(found.values()))
        self._choose_queues()
        names = frozenset(each.name for each in living)
        self.seen = replace(
            self.seen, workers=names, first=living[0].name == self.name, lag_seconds=self._landlord.lag()
        )
        surplus = [owning for owning in self._owning.values() if not owning.over.is_set()][self._share :]
        for owning in surplus:
            owning.over.set()
        if surplus:
            log.info("handing tenants over to other workers", tenants=len(surplus), share=self._share)

    async def _look(self, *, first: bool) -> None:
        """Look after the jobs of the fleet. With `first` also after those that are missing."""
        assert self._app is not None
        try:
            await self._look_after_jobs(self._app, first=first)
            self._unchecked = 0
        except exceptions.ProcrastinateException as error:
            self._unchecked += 1
            if self._unchecked == _REPORT_AFTER:  # if the server is down, the heartbeat says so sooner
                cause = type(error.__cause__ or error).__name__
                log.error("the job queue cannot be checked: some tenants may have no worker; will retry", cause=cause)
        if first:
            with suppress(StoreError):  # then it is known a few looks later
                owned = await asyncio.to_thread(self._store.owned)
                owners = sum(each.worker in self.seen.workers for each in owned.values())
                self.seen = replace(self.seen, unowned=max(0, len(self._tenants) - owners))

    def _report_room(self, left_out: int) -> None:
        """Log for how many tenants the live workers have no room: once, until the number changes."""
        left_out = max(0, left_out)
        self._crowded = self._crowded + 1 if left_out else 0
        if left_out and left_out != self._left_out and self._crowded >= _REPORT_NO_ROOM_AFTER:
            log.error(
                "some tenants are not polled by any worker: start another one, or raise its --tenants",
                tenants=left_out,
                workers=len(self.seen.workers),
                begins=not self._left_out,
            )
            self._left_out = left_out
        elif not left_out and self._left_out:
            log.info("the workers have room for all tenants again")
            self._left_out = 0

    async def _look_after_jobs(self, app: App, *, first: bool) -> None:
        await self._give_back(app)
        if first:
            await put_missing(app, OWN, self._tenants)
            await put_missing(app, CHORE, self._chores)
            await self._find_strays(app)

    async def _beat(self) -> Sequence[WorkerRow] | None:
        """Report that we are alive; the live workers. None if the connection was cut: once is no reason to give up."""
        worker_id = self._worker.worker_id if self._worker is not None else None
        try:
            living = await asyncio.wait_for(self._pulse.beat(self._landlord.lag(), worker_id), _BEAT_WITHIN)
        except (psycopg.OperationalError, TimeoutError) as error:
            if time.monotonic() - self._beaten_at > GONE_AFTER.total_seconds():
                raise AlertbotError("the heartbeat cannot be written to PostgreSQL") from error
            return None
        if not living:  # it was paused, and another one removed it when it joined; or the tables are newer now
            await asyncio.to_thread(self._join)
            return None
        self._beaten_at = time.monotonic()
        return living

    async def _give_back(self, app: App) -> None:
        """Put the jobs of dead workers into the queue again.

        A worker whose connection was cut begins anew in the queue, so its jobs look as if it was dead.
        """
        stalled = await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=GONE_AFTER.total_seconds())
        jobs = [job.id for job in stalled if job.id is not None]
        if jobs and (given := await put_anew(app, jobs)):
            log.warning("a worker is gone, or was cut off: its jobs were put back into the queue", jobs=given)

    async def _find_strays(self, app: App) -> None:
        """Put jobs into the queue again that the queue lists as running here, but that are not."""
        if self._worker is None or self._worker.worker_id is None:
            return
        doing = await jobs_of(app, self._worker.worker_id)
        strays = doing - self._running
        certain, self._suspects = strays & self._suspects, strays  # one that begins or ends now is none
        if certain and (given := await put_anew(app, certain)):
            log.warning("jobs that no worker runs were put back into the queue", jobs=given)

    @contextmanager
    def running(self, job: int | None) -> Iterator[None]:
        """While this job runs."""
        if job is not None:
            self._running.add(job)
        try:
            yield
        finally:
            self._running.discard(job or 0)

    # Jobs

    def _choose_queues(self) -> None:
        """Take no tenants while there is no room for one: they wait for a worker that has."""
        if self._worker is not None:
            self._worker.queues = [OWN, CHORE] if len(self._owning) < self._share else [CHORE]

    async def own(self, tenant: str, refused: int) -> None:
        """Own a tenant until it is to be handed over; then put it into the queue again."""
        assert self._app is not None
        if tenant not in self._tenants:
            return  # it left the configuration
        if self._over.is_set() or len(self._owning) >= self._share or tenant in self._owning:
            first, longest = _LATER
            wait = (first if self._room else min(first * 2**refused, longest)) * random.uniform(0.5, 1.0)  # spread
            await put(self._app, OWN, tenant, seconds=wait, refused=min(refused + 1, 10))
            return
        owning = self._owning[tenant] = _Owning()  # at once: others that begin now are counted
        self._choose_queues()
        owning.begun = asyncio.ensure_future(asyncio.to_thread(self._begin, tenant, owning))
        cancelled = False
        try:
            await asyncio.shield(owning.begun)
            shortest, longest_term = TERM
            term = random.uniform(shortest.total_seconds(), longest_term.total_seconds())  # spread
            with suppress(TimeoutError):
                await asyncio.wait_for(owning.over.wait(), term)
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            ended = asyncio.ensure_future(self._hand_over(tenant, owning, put_back=not cancelled))
            await asyncio.shield(ended)

    def _begin(self, tenant: str, owning: _Owning) -> None:
        owner = self._store.own(tenant, self.name, self._clock())
        owning.number = owner.number
        self._landlord.begin(tenant, owner)

    async def _hand_over(self, tenant: str, owning: _Owning, *, put_back: bool) -> None:
        try:
            if owning.begun is not None:
                await asyncio.wait([owning.begun])  # a thread cannot be cancelled: it must not begin after the end
            await asyncio.to_thread(self._landlord.end, tenant, HAND_OVER_WITHIN)
        finally:
            self._owning.pop(tenant, None)
            self._choose_queues()
            owning.ended.set()
        if self._giving:
            await self._given.wait()  # a job that ends leaves the queue
            return
        if owning.lost:
            return
        try:
            if owning.number:
                await asyncio.to_thread(self._store.disown, tenant, owning.number)
            if put_back and self._app is not None:
                await put(self._app, OWN, tenant)
        except (AlertbotError, exceptions.ProcrastinateException) as error:
            log.debug("a tenant could not be handed over; other workers will find it", tenant=tenant, error=str(error))

    async def chore(self, name: str) -> None:
        """Do a chore once; then put it into the queue for its next time."""
        assert self._app is not None
        chore = self._chores.get(name)
        if chore is None:
            return
        try:
            if not self._over.is_set():
                await asyncio.to_thread(chore.run)
        except AlertbotError as error:
            log.error("a chore failed; will retry", chore=name, error=str(error))
        except Exception:
            log.exception("a chore failed with an unexpected error; will retry", chore=name)
        finally:
            await put(self._app, CHORE, name, seconds=chore.every.total_seconds())
