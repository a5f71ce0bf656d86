"""The jobs of Procrastinate: to own a tenant, and to do a chore of the whole fleet.

A job is what one worker does at a time, whichever it is. Each has a lock of its own, so that it never runs twice at the
same time, and a queueing lock, so that it never waits twice. A job that ends puts itself into the queue again.

Each task has its own queue, named after it: a worker that has its share of tenants takes only chores.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, LiteralString, Protocol

from procrastinate import App, Blueprint, JobContext, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued

from alertbot.store.postgres.server import SCHEMA_OF_JOBS

OWN, CHORE = "own", "chore"
_CONNECTIONS = 4


class Here(Protocol):
    """What this process does for a job."""

    def running(self, job: int | None) -> AbstractContextManager[None]:
        """While this job runs."""

    async def own(self, tenant: str, refused: int) -> None:
        """Own a tenant until it is to be handed over. `refused`: how often workers had no room for it, in a row."""

    async def chore(self, name: str) -> None:
        """Do a chore once."""


async def own(context: JobContext, tenant: str, refused: int = 0) -> None:
    """Own a tenant for a while."""
    here: Here = context.additional_context["here"]
    with here.running(context.job.id):
        await here.own(tenant, refused)


async def chore(context: JobContext, name: str) -> None:
    """Do a chore once."""
    here: Here = context.additional_context["here"]
    with here.running(context.job.id):
        await here.chore(name)


def make_app(address: str) -> App:
    """The app of Procrastinate on this database."""
    app = App(
        connector=PsycopgConnector(
            conninfo=address,
            kwargs={"autocommit": True, "options": f"-c search_path={SCHEMA_OF_JOBS},pg_catalog"},
            min_size=1,
            max_size=_CONNECTIONS,
            timeout=15.0,
            reconnect_timeout=5.0,
        )
    )
    jobs = Blueprint()  # a new one: an app renames the tasks that it is given
    jobs.task(name=OWN, pass_context=True)(own)
    jobs.task(name=CHORE, pass_context=True)(chore)
    app.add_tasks_from(jobs, namespace="alertbot")
    return app


async def put(app: App, task: str, argument: str, *, seconds: float = 0.0, refused: int = 0) -> bool:
    """Put a job into the queue, to be begun `seconds` from now at the earliest. False if it waits there already."""
    more: dict[str, Any] = {"schedule_in": {"seconds": seconds}} if seconds > 0 else {}
    try:
        await _deferrer(app, task, argument, **more).defer_async(**_arguments(task, argument, refused))
    except AlreadyEnqueued:
        return False
    return True


async def put_missing(app: App, task: str, arguments: Iterable[str]) -> int:
    """Put a job into the queue for each of these that neither runs nor waits; how many these are."""
    return await _inserted(app, _PUT_MISSING, task=task, name=_argument(task), arguments=list(arguments))


async def put_anew(app: App, jobs: Iterable[int]) -> int:
    """Replace these jobs, which run nowhere, by new ones that wait; how many these are."""
    return await _inserted(app, _PUT_ANEW, jobs=list(jobs))


async def jobs_of(app: App, worker_id: int) -> frozenset[int]:
    """The ids of the jobs that run in this worker, as the queue says."""
    rows = await app.connector.execute_query_all_async(
        "SELECT id FROM procrastinate_jobs WHERE status = 'doing' AND worker_id = %(worker_id)s", worker_id=worker_id
    )
    return frozenset(row["id"] for row in rows)


# Procrastinate has no call for many jobs of which some may wait already. One statement each, since it is hundreds of
# jobs when a worker has died, and all others do it at the same time.
_PUT_MISSING = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)
    SELECT CAST(%(task)s AS text), 'alertbot:' || %(task)s, %(task)s || ':' || argument, %(task)s || ':' || argument,
        jsonb_build_object(CAST(%(name)s AS text), argument)
    FROM unnest(CAST(%(arguments)s AS text[])) AS argument
    WHERE %(task)s || ':' || argument NOT IN (
        SELECT queueing_lock FROM procrastinate_jobs WHERE status IN ('todo', 'doing')
    )
    ON CONFLICT DO NOTHING RETURNING id
"""
_PUT_ANEW = """
    WITH gone AS (
        DELETE FROM procrastinate_jobs WHERE id = ANY(CAST(%(jobs)s AS bigint[])) AND status = 'doing'
        RETURNING queue_name, task_name, lock, queueing_lock, args
    )
    INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)
    SELECT queue_name, task_name, lock, queueing_lock, args - 'refused' FROM gone
    ON CONFLICT DO NOTHING RETURNING id
"""


async def _inserted(app: App, statement: LiteralString, **values: Any) -> int:
    return len(await app.connector.execute_query_all_async(statement, **values))


def _deferrer(app: App, task: str, argument: str, **more: Any) -> Any:
    lock = f"{task}:{argument}"
    return app.configure_task(f"alertbot:{task}", queue=task, lock=lock, queueing_lock=lock, **more)


def _arguments(task: str, argument: str, refused: int) -> dict[str, Any]:
    return {_argument(task): argument, **({"refused": refused} if refused else {})}


def _argument(task: str) -> str:
    return "tenant" if task == OWN else "name"
