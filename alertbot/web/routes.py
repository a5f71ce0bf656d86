"""The HTTP application: health, metrics, and the routes of other parts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from alertbot.web.metrics import Metrics

_log = logging.getLogger(__name__)


def http_app(
    *, reasons: Callable[[], Sequence[str]], metrics: Metrics | None = None, routes: Sequence[BaseRoute] = ()
) -> Starlette:
    """The ASGI application: health, metrics and `routes`; every other path, and every other method, is 404.

    `reasons()` says why the bot is not ready, a sentence each, or an empty list.
    """

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        try:
            why = list(await run_in_threadpool(reasons))
        except Exception:  # a failed check means not ready
            _log.exception("the state of alertbot could not be read")
            why = ["the state of alertbot could not be read"]
        status = HTTPStatus.SERVICE_UNAVAILABLE if why else HTTPStatus.OK
        return JSONResponse({"ready": not why, "reasons": why}, status_code=status)

    shown = metrics or Metrics()

    async def metrics_text(request: Request) -> Response:
        body, content_type = await run_in_threadpool(shown.render, request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    health = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics_text)]
    app = Starlette(routes=[*health, *routes], exception_handlers={404: _not_found, 405: _not_found})
    app.router.redirect_slashes = False
    return app


async def _not_found(_: Request, __: Exception) -> Response:
    return PlainTextResponse(f"{HTTPStatus.NOT_FOUND.phrase}\n", HTTPStatus.NOT_FOUND)
