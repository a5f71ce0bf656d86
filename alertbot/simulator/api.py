"""8x8's HTTP API over simulated contact centres: token endpoint, Bearer check, content types, dates and faults."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import cached_property
from threading import Lock
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alertbot.clock import Clock
from alertbot.simulator.endpoints import ONE_ROOT, Answered, Habits, Reading
from alertbot.simulator.faults import TOKEN_PATH, Answer, ApiFault, Faults, corrupted, error_answer
from alertbot.simulator.model import Centre, to_ms
from alertbot.simulator.wire import Query, Refused, answer, bad_request, beyond_last_page, gateway_fault, wants_json

REGIONS = ("", "/eu", "/au", "/ca")
API = "/analytics/cc/v5/realtime-metrics"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_KEPT_REQUESTS = 20_000
HANG_S = 120.0  # longer than any client waits; ends when the server stops


@dataclass
class SimulatedTenant:
    """One customer: its key pair, and its contact centre, which is created when first needed."""

    number: int
    api_key: str
    api_secret: str = field(repr=False)
    tenant_id: str | None
    make_centre: Callable[[], Centre] = field(repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def centre(self) -> Centre:
        with self._lock:
            return self._centre

    @cached_property
    def _centre(self) -> Centre:
        return self.make_centre()


@dataclass(frozen=True)
class SeenRequest:
    """One request that was answered; `path` is the part after `.../realtime-metrics`, or the token endpoint."""

    method: str
    path: str
    query: str
    status: int
    time: datetime
    tenant: int | None
    endpoint: str  # the path without its ids: "/queues/{id}/agents"


@dataclass(frozen=True)
class _Token:
    tenant: SimulatedTenant
    ends: datetime


class Api:
    """The application and its state: tokens, active faults, requests."""

    def __init__(
        self,
        tenants: list[SimulatedTenant],
        clock: Clock,
        *,
        token_lifetime: timedelta = timedelta(seconds=1799),
        clock_skew: timedelta = timedelta(0),
        date_clock: Clock | None = None,
        habits: Habits | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.tenants = tenants
        self.clock = clock
        self.token_lifetime = token_lifetime
        self.clock_skew = clock_skew
        self.date_clock = date_clock or clock
        self.habits = habits or Habits()
        self.faults = faults or Faults()
        self.requests: deque[SeenRequest] = deque(maxlen=_KEPT_REQUESTS)
        self.counts: dict[str, int] = {}
        self._tokens: dict[str, _Token] = {}
        routes = [Route(TOKEN_PATH, self._token_endpoint, methods=_METHODS)]
        routes += [Route(region + API + "/{rest:path}", self._metrics_endpoint, methods=_METHODS) for region in REGIONS]
        self.app = Starlette(routes=routes)

    # -- tokens --------------------------------------------------------------------------------------------------

    async def _token_endpoint(self, request: Request) -> Response:
        now = self.clock()
        hit = self.faults.take(TOKEN_PATH, 0, None, now)
        await _late(hit)
        try:
            found = _failed(hit) or self._grant(request, parse_qs((await request.body()).decode("latin-1")), hit, now)
        except Refused as refused:
            found = answer(refused.body, json=True, status=refused.status, headers=refused.headers)
        return self._send(request, TOKEN_PATH, TOKEN_PATH, found, now, None)

    def _grant(self, request: Request, form: dict[str, list[str]], hit: list[ApiFault], now: datetime) -> Answer:
        if request.method != "POST":
            raise Refused(405, {"ErrorCode": "invalid_request", "Error": "Method not allowed"}, {"Allow": "POST"})
        tenant = self._basic(request.headers.get("authorization", ""))
        if tenant is None or any(fault.kind == "refuse" for fault in hit):
            raise Refused(401, {"ErrorCode": "invalid_client", "Error": "Client credentials are invalid"})
        grant = form.get("grant_type", [""])[0]
        if grant != "client_credentials":
            raise Refused(400, {"ErrorCode": "invalid_request", "Error": f"Unsupported grant type : {grant}"})
        self._tokens = {text: token for text, token in self._tokens.items() if token.ends > now}
        text = secrets.token_urlsafe(24)
        self._tokens[text] = _Token(tenant, now + self.token_lifetime)
        body = {  # every scalar is a string, as documented
            "access_token": text,
            "token_type": "BearerToken",
            "api_product_list": "[analytics realtime-api]",
            "api_product_list_json": ["analytics realtime-api"],
            "status": "approved",
            "scope": "",
            "expires_in": str(int(self.token_lifetime.total_seconds())),
            "issued_at": str(to_ms(now)),
            "refresh_token_expires_in": "0",
            "refresh_count": "0",
            "developer.email": "deprecated",
            "client_id": "deprecated",
        }
        return answer(body, json=True)

    def _basic(self, header: str) -> SimulatedTenant | None:
        scheme, _, coded = header.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            given = base64.b64decode(coded, validate=True)
        except (binascii.Error, ValueError):
            return None
        for tenant in self.tenants:
            if hmac.compare_digest(given, f"{tenant.api_key}:{tenant.api_secret}".encode()):
                return tenant
        return None

    def _bearer(self, header: str, now: datetime) -> SimulatedTenant:
        scheme, _, text = header.partition(" ")
        token = self._tokens.get(text.strip()) if scheme.lower() == "bearer" else None
        if token is None or token.ends <= now:
            raise gateway_fault("Invalid Access Token", "keymanagement.service.invalid_access_token")
        return token.tenant

    # -- metrics -------------------------------------------------------------------------------------------------

    async def _metrics_endpoint(self, request: Request) -> Response:
        now = self.clock()
        path = "/" + request.path_params["rest"].strip("/")
        query = Query(request.query_params.multi_items())
        tenant, refused = self._who(request, now)
        page = query.one("page") or "0"
        hit = self.faults.take(
            path, int(page) if page.isdecimal() else 0, tenant.number if tenant is not None else None, now
        )
        if any(fault.kind == "revoke" for fault in hit):
            self._tokens.clear()
            tenant, refused = self._who(request, now)
        await _late(hit)
        found = _failed(hit)
        if found is None:
            try:
                if tenant is None:
                    assert refused is not None
                    raise refused
                found = self._frozen_or_read(request, tenant, path, query, hit)
            except Refused as no:
                found = answer(no.body, json=True, status=no.status, headers=no.headers)
        return self._send(request, path, _endpoint(path), found, now, tenant)

    def _who(self, request: Request, now: datetime) -> tuple[SimulatedTenant | None, Refused | None]:
        try:
            return self._bearer(request.headers.get("authorization", ""), now), None
        except Refused as refused:
            return None, refused

    def _frozen_or_read(
        self, request: Request, tenant: SimulatedTenant, path: str, query: Query, hit: list[ApiFault]
    ) -> Answer:
        def read() -> Answer:
            return self._read(request, tenant, path, query, hit)

        frozen = next((fault for fault in hit if fault.kind == "frozen"), None)
        found = self.faults.freeze(frozen, f"{tenant.number} {request.url}", read) if frozen is not None else read()
        for fault in hit:
            if fault.kind == "malformed" and found.status == 200:
                found = corrupted(fault, found)
        return found

    def _read(self, request: Request, tenant: SimulatedTenant, path: str, query: Query, hit: list[ApiFault]) -> Answer:
        if request.method != "GET":
            raise Refused(405, {"message": "Method not allowed"}, {"Allow": "GET"})
        if tenant.tenant_id is not None:
            given = request.headers.get("x-tenant-info")
            if given is None:
                raise bad_request("X-Tenant-Info header is missing.")
            if given != tenant.tenant_id:
                raise bad_request("Invalid value for X-Tenant-Info header.")
        if any(fault.kind == "shrink" for fault in hit) and query.number("page", 0) > 0:
            raise beyond_last_page(1)
        centre = tenant.centre
        with centre.lock:
            centre.advance(self.clock())
            found = Reading(centre, self.habits, query).answer(path.strip("/").split("/"))
            if any(fault.kind == "empty" for fault in hit):
                found = _emptied(found)
            # Encoded under the lock: the model changes as soon as it is released.
            json = found.json_only or wants_json(request.headers.get("accept"))
            single = not json and found.root == ONE_ROOT and isinstance(found.body, list)
            return answer(found.body[0] if single else found.body, json=json, root=found.root, headers=found.headers)

    # -- out ---------------------------------------------------------------------------------------------------------

    def _send(
        self, request: Request, path: str, endpoint: str, found: Answer, now: datetime, tenant: SimulatedTenant | None
    ) -> Response:
        number = tenant.number if tenant is not None else None
        self.requests.append(SeenRequest(request.method, path, request.url.query, found.status, now, number, endpoint))
        self.counts[endpoint] = self.counts.get(endpoint, 0) + 1
        headers = {**found.headers, "Date": format_datetime(self.date_clock() + self.clock_skew, usegmt=True)}
        if found.declared is not None:
            headers["Content-Length"] = str(found.declared)
        return Response(found.body, found.status, headers)


async def _late(hit: list[ApiFault]) -> None:
    for fault in hit:
        if fault.kind in ("slow", "hang"):
            await asyncio.sleep(fault.delay_s if fault.kind == "slow" else HANG_S)


def _failed(hit: list[ApiFault]) -> Answer | None:
    return next((error_answer(fault) for fault in hit if fault.kind == "status"), None)


def _emptied(found: Answered) -> Answered:
    body = [] if isinstance(found.body, list) else {"agents": [], "queues": []}
    headers = {**found.headers, "X-Total-Pages": "0", "X-Total-Elements": "0"} if found.headers else {}
    return Answered(body, found.root, headers, found.json_only)


def _endpoint(path: str) -> str:
    parts = path.strip("/").split("/")
    return "/" + "/".join("{id}" if i % 2 else part for i, part in enumerate(parts))
