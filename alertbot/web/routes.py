"""The HTTP routes: health, and what Slack sends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus

from slack_bolt import BoltRequest, BoltResponse
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from alertbot.slack.manifest import EVENTS_PATH
from alertbot.slack.signed import BODY_WITHIN, plain, slack_endpoint

_log = logging.getLogger(__name__)


def http_app(
    *,
    reasons: Callable[[], Sequence[str]],
    dispatch: Callable[[BoltRequest], BoltResponse] | None = None,
    signing_secret: str = "",
    body_within: float = BODY_WITHIN,
) -> Starlette:
    """The ASGI application. `reasons()` says why the bot is not ready, a sentence each; () when it is.

    Slack's endpoint is there only with `dispatch` and a signing secret (over Socket Mode nothing comes this way).
    A body that has not come after `body_within` seconds is not waited for.
    """

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        try:
            why = list(await run_in_threadpool(reasons))
        except Exception:  # a health check that breaks is an answer too
            _log.exception("the state of alertbot could not be read")
            why = ["the state of alertbot could not be read"]
        status = HTTPStatus.SERVICE_UNAVAILABLE if why else HTTPStatus.OK
        return JSONResponse({"ready": not why, "reasons": why}, status_code=status)

    routes = [Route("/healthz", healthz), Route("/readyz", readyz)]
    if dispatch is not None and signing_secret:
        routes.append(Route(EVENTS_PATH, slack_endpoint(dispatch, signing_secret, body_within), methods=["POST"]))
    app = Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_found})
    app.router.redirect_slashes = False
    return app


async def _not_found(_: Request, __: Exception) -> Response:
    return plain(HTTPStatus.NOT_FOUND)
