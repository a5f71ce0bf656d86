"""The jobs of Procrastinate: to own a tenant, and to do a chore of the whole fleet.

A job is what one worker does at a time, whichever it is. Each has a lock of its own, so that it never runs twice at the
same time, and a queueing lock, so that it never waits twice. A job that ends puts itself into the queue again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from procrastinate import App, Blueprint, JobContext, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued

from alertbot.store.postgres.server import SCHEMA_OF_JOBS

OWN, CHORE = "own", "chore"
_CONNECTIONS = 4

_jobs = Blueprint()


class Here(Protocol):
    """What this process does for a job."""

    async def own(self, tenant: str, refused: int) -> None:
        """Own a tenant until it is to be handed over. `refused`: how often workers had no room for it, in a row."""

    async def chore(self, name: str) -> None:
        """Do a chore once."""


@_jobs.task(name=OWN, pass_context=True)
async def own(context: JobContext, tenant: str, refused: int = 0) -> None:
    """Own a tenant for a while."""
    here: Here = context.additional_context["here"]
    await here.own(tenant, refused)


@_jobs.task(name=CHORE, pass_context=True)
async def chore(context: JobContext, name: str) -> None:
    """Do a chore once."""
    here: Here = context.additional_context["here"]
    await here.chore(name)


def make_app(address: str) -> App:
    """The app of Procrastinate on this database."""
    app = App(
        connector=PsycopgConnector(
            conninfo=address,
            kwargs={"options": f"-c search_path={SCHEMA_OF_JOBS},pg_catalog"},
            min_size=1,
            max_size=_CONNECTIONS,
            timeout=5.0,
            reconnect_timeout=5.0,
        )
    )
    app.add_tasks_from(_jobs, namespace="alertbot")
    return app


async def put(app: App, task: str, argument: str, *, seconds: float = 0.0, refused: int = 0) -> bool:
    """Put a job into the queue, to be begun in so many seconds at the earliest. False if it waits there already."""
    more: dict[str, Any] = {"schedule_in": {"seconds": seconds}} if seconds > 0 else {}
    try:
        await _deferrer(app, task, argument, **more).defer_async(**_arguments(task, argument, refused))
    except AlreadyEnqueued:
        return False
    return True


async def put_missing(app: App, task: str, arguments: Iterable[str]) -> int:
    """Put a job into the queue for each of these that neither runs nor waits; how many these are."""
    there = {
        job.queueing_lock
        for status in ("todo", "doing")
        for job in await app.job_manager.list_jobs_async(task=f"alertbot:{task}", status=status)
    }
    missing = [argument for argument in arguments if f"{task}:{argument}" not in there]
    return sum([await put(app, task, argument) for argument in missing])


def _deferrer(app: App, task: str, argument: str, **more: Any) -> Any:
    lock = f"{task}:{argument}"
    return app.configure_task(f"alertbot:{task}", lock=lock, queueing_lock=lock, **more)


def _arguments(task: str, argument: str, refused: int) -> dict[str, Any]:
    return {"tenant": argument, "refused": refused} if task == OWN else {"name": argument}
