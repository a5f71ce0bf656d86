"""8x8: token, region, tenant id, time zone, metric keys, matches, request budget and clock of one tenant.

All of it comes from one poll with the rules of the tenant, as `run` makes it. With `--regions`, the queues of the other
regions are asked for as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

import numpy as np

from alertbot.config.settings import Settings, TenantSettings
from alertbot.doctor.finding import Finding, fine, problem, skipped
from alertbot.doctor.network import let_through
from alertbot.evaluation.snapshot import Fetched, Presence, RequestStats, Snapshot
from alertbot.feed.health import SKEW
from alertbot.rules.catalogue import Scope
from alertbot.rules.coverage import advice, match_in_words, uncovered
from alertbot.rules.ignore import ignoring
from alertbot.rules.rule import Rule, RuleSet
from alertbot.rules.words import count, listed
from alertbot.service.factories import make_source
from alertbot.service.of_settings import limits_of
from alertbot.sources.eight_by_eight import REGIONS
from alertbot.sources.eight_by_eight.transport import host_of

TODAY_KEY: Mapping[Scope, frozenset[str]] = {Scope.QUEUE: frozenset({"entered.today"})}
ONE_KEY: Mapping[Scope, frozenset[str]] = {Scope.QUEUE: frozenset({"interactionsWaitInQueue.rt"})}

_HTML = (
    "something other than 8x8 answers, such as a proxy or a captive portal: set "
    "HTTPS_PROXY to a proxy that lets {host} through, or exempt {host} from it"
)
_KEYS = (
    "copy key and secret again from the 8x8 Admin Console > API Keys; the app needs the product Analytics for Contact "
    "Center"
)


@dataclass(frozen=True)
class Polled:
    """What a poll of a tenant saw, for what is examined over all tenants."""

    tenant: TenantSettings
    rules: RuleSet
    fetched: Fetched


def check_tenant(
    settings: Settings, tenant: TenantSettings, rules: RuleSet, now: datetime, findings: list[Finding]
) -> Polled | None:
    """Poll a tenant once and add the findings; what the poll saw, or None where there was none."""
    what = f"8x8 {tenant.name}"
    unset = [key for key in ("api_key", "api_secret") if not getattr(tenant, key).get_secret_value()]
    if unset:
        findings.append(
            skipped(
                f"{what}: token",
                f"{listed(unset)} {'is' if len(unset) == 1 else 'are'} not set",
                f"set {listed(unset)} of this tenant",
            )
        )
        return None
    rules = ignoring(rules, settings.ignored(tenant))
    source = make_source(tenant)
    try:
        wanted = rules.metrics() or ONE_KEY
        fetched = source.fetch(wanted, now, rules.only())
        findings += _of_poll(what, settings, tenant, fetched)
        if tenant.timezone and fetched.snapshots:
            # The zone is sent with such keys alone, and rules may read none.
            sent = any(".today" in key for keys in wanted.values() for key in keys)
            findings.append(_of_timezone(what, tenant, fetched if sent else source.fetch(TODAY_KEY, now)))
    finally:
        source.close()
    return Polled(tenant, rules, fetched)


def _of_poll(what: str, settings: Settings, tenant: TenantSettings, fetched: Fetched) -> Iterator[Finding]:
    host = _host(tenant)
    token = next((each for each in fetched.requests if each.endpoint == "token"), None)
    if token is None or token.outcome != "ok":
        why = next(iter(fetched.failures.values()), "no answer")
        remedy = _KEYS if token is not None and token.outcome == "refused" else _remedy(why, tenant, host)
        yield problem(f"{what}: token", why, remedy)
        yield skipped(f"{what}: data", "there is no token", "fix the token first")
        return
    yield fine(f"{what}: token", f"obtained in {token.took_ms:.0f} ms")
    yield from _of_data(what, tenant, fetched, host)
    if fetched.snapshots:
        yield from _of_keys(what, fetched)
        yield _of_budget(what, tenant, fetched)
        yield _of_pace(what, settings, tenant, fetched)
    if fetched.clock_skew_s is not None:
        yield of_clock(f"{what}: clock", "8x8", fetched.clock_skew_s)


def _of_data(what: str, tenant: TenantSettings, fetched: Fetched, host: str) -> Iterator[Finding]:
    where = f"region {tenant.region}" if tenant.region else "base_url"
    by_reason: dict[str, list[str]] = {}
    for scope, why in fetched.failures.items():
        by_reason.setdefault(why.rpartition(" could not be read: ")[2], []).append(scope)
    for why, scopes in by_reason.items():
        yield problem(f"{what}: {_subject(why, tenant)}", f"{listed(scopes)}: {why}", _remedy(why, tenant, host))
    if not fetched.snapshots:
        return
    seen = ", ".join(_entities(scope, snapshot) for scope, snapshot in fetched.snapshots.items())
    if not any(len(snapshot) for snapshot in fetched.snapshots.values()):
        yield problem(
            f"{what}: {where}",
            f"8x8 answers, but has no entities: {seen}",
            "the key may belong to another region or tenant: `alertbot doctor --regions` tries the other regions; "
            "a multitenant customer needs tenant_id",
        )
        return
    for snapshot in fetched.snapshots.values():
        for each in snapshot.problems:
            yield problem(f"{what}: data", each, "run doctor again in a minute; if it persists, contact 8x8 support")
    yield fine(f"{what}: {where}", f"{seen}, in {count(len(fetched.requests), 'request')}, {fetched.took_ms:.0f} ms")
    if tenant.tenant_id:
        yield fine(f"{what}: tenant id", "8x8 accepts it")


def _of_timezone(what: str, tenant: TenantSettings, fetched: Fetched) -> Finding:
    why = next(iter(fetched.failures.values()), "")
    if not fetched.snapshots and why:
        return problem(f"{what}: timezone", why, _remedy(why, tenant, _host(tenant)))
    return fine(f"{what}: timezone", f"8x8 accepts {tenant.timezone}")


def _of_keys(what: str, fetched: Fetched) -> Iterator[Finding]:
    for sentence in fetched.problems:
        if "does not list" in sentence:
            remedy = "correct the id in `match` of the rule; the id is in the address of the queue or agent in 8x8"
        elif "rejects" in sentence:
            remedy = "correct the key in the rules (`alertbot metrics WORD` finds it), or remove it"
        else:
            remedy = "set percent_scale of the tenant to ratio or percent"
        yield problem(f"{what}: metric keys", sentence, remedy)
    absent, read = [], 0
    for scope, snapshot in fetched.snapshots.items():
        for key, column in snapshot.columns.items():
            read += 1
            if len(snapshot) and bool(
                np.all((column.presence == Presence.ABSENT) | (column.presence == Presence.INVALID))
            ):
                absent.append(f"{key} ({scope})")
    if absent:
        yield problem(
            f"{what}: metric keys",
            f"8x8 sends no value of {listed(absent)} for any entity: conditions on it stay unknown",
            "correct the key in the rules (`alertbot metrics WORD` finds it), or ask 8x8 support about it",
        )
    elif not fetched.problems:
        yield fine(f"{what}: metric keys", f"8x8 knows all metric keys that rules use ({read})")


def _of_budget(what: str, tenant: TenantSettings, fetched: Fetched) -> Finding:
    needed = sum(_is_data(each) for each in fetched.requests)
    period, most = tenant.poll_every.total_seconds(), tenant.max_requests_per_minute
    per_minute = needed * 60 / period
    finding = f"{count(needed, 'request')} every {period:g} s, {per_minute:.0f} of the {most} allowed per minute"
    if per_minute > most or any(each.outcome == "not_made" for each in fetched.requests):
        slower = max(ceil(needed * 60 / most), 5)
        return problem(
            f"{what}: request budget",
            f"{finding}: some are skipped in every poll",
            f"set poll_every to {slower}s or more, or raise max_requests_per_minute if 8x8 allows it",
        )
    return fine(f"{what}: request budget", finding)


def _of_pace(what: str, settings: Settings, tenant: TenantSettings, fetched: Fetched) -> Finding:
    slow = limits_of(settings, tenant).slow_after.total_seconds()
    took = fetched.took_ms / 1000
    period = tenant.poll_every.total_seconds()
    if took <= slow:
        return fine(f"{what}: duration", f"a poll takes {took:.1f} s, every {period:g} s")
    return problem(
        f"{what}: duration",
        f"a poll takes {took:.1f} s, and the next one is due after {period:g} s",
        "raise poll_every, or check the network and the proxy on the way to 8x8",
    )


def of_clock(what: str, whose: str, skew_s: float) -> Finding:
    """How far the clock of 8x8 or Slack is ahead of that of this machine."""
    if abs(skew_s) < SKEW.total_seconds():
        return fine(what, f"within {max(1, ceil(abs(skew_s)))} s of that of {whose}")
    side = "behind" if skew_s > 0 else "ahead of"
    return problem(
        what,
        f"the clock of this machine is {abs(skew_s):.0f} s {side} that of {whose}",
        "synchronise it (NTP): `timedatectl set-ntp true`, or on the host of the container",
    )


def check_coverage(polled: Sequence[Polled]) -> Iterator[Finding]:
    """Rules and overrides whose match covers no entity of any tenant that runs them."""
    holders: dict[tuple[str, str], list[tuple[Rule, Fetched]]] = {}
    for each in polled:
        for rule in each.rules.rules:
            holders.setdefault((rule.origin.file, rule.id), []).append((rule, each.fetched))
    checked = failed = 0
    for (file, id_), runs in holders.items():
        seen = [fetched.snapshots.get(rule.scope) for rule, fetched in runs]
        if not all(snapshot is not None and snapshot.complete for snapshot in seen):
            continue  # the missing entities may be those of the rule
        rule = runs[0][0]
        checked += 1
        for match in uncovered(rule, [(each.ids, each.names) for each in seen if each is not None]):
            failed += 1
            place = "its match" if match == rule.match else "an override"
            words = match_in_words(match)
            yield problem(f"rule {id_}", f"{place} covers nothing: {words}", f"correct it in {file}: {advice(match)}")
    if checked and not failed:
        yield fine("matches", f"every match covers something, in {count(checked, 'rule')}")


def check_regions(
    tenant: TenantSettings,
    own: Polled | None,
    now: datetime,
    progress: Callable[[str], None],
) -> Iterator[Finding]:
    """Whether the key of a tenant works in other regions than the one that is set. 8x8 has one token endpoint."""
    what = f"8x8 {tenant.name}: regions"
    if tenant.region is None:
        yield skipped(what, "base_url is set instead of region", "set region to try the regions")
        return
    if not tenant.api_key.get_secret_value() or not tenant.api_secret.get_secret_value():
        yield skipped(what, "the key or its secret is not set", "set both first")
        return
    if own is None or not _has_token(own.fetched):
        yield skipped(what, "there is no token", "fix the token first: 8x8 has one token endpoint for all regions")
        return
    works, untried = [], []
    for region, base_url in REGIONS.items():
        if region == tenant.region:
            continue
        progress(f"8x8 {tenant.name}: trying region {region}")
        source = make_source(tenant, base_url=base_url)
        try:
            fetched = source.fetch(ONE_KEY, now)
        finally:
            source.close()
        if any(len(snapshot) for snapshot in fetched.snapshots.values()):
            works.append(region)
        elif not any(each.outcome in ("ok", "refused", "rejected") for each in fetched.requests if _is_data(each)):
            untried.append(region)
    own_works = any(len(snapshot) for snapshot in own.fetched.snapshots.values())
    if works and not own_works:
        yield problem(
            what, f"the key has queues in region {listed(works)}, not in {tenant.region}", f"set region: {works[0]}"
        )
    elif works:
        yield fine(what, f"the key has queues in region {tenant.region}, and in {listed(works)}")
    elif untried:
        yield skipped(what, f"no answer from region {listed(untried)}", "run doctor again in a few minutes")
    else:
        others = listed([region for region in REGIONS if region != tenant.region], "or")
        yield fine(what, f"the key has no queues in region {others}")


def _has_token(fetched: Fetched) -> bool:
    return any(each.endpoint == "token" and each.outcome == "ok" for each in fetched.requests)


def _is_data(request: RequestStats) -> bool:
    return request.endpoint != "token"


def _host(tenant: TenantSettings) -> str:
    return host_of(tenant.base_url or REGIONS[tenant.region or "us"])


def _subject(why: str, tenant: TenantSettings) -> str:
    if "X-Tenant-Info" in why:
        return "tenant id"
    if "timezone" in why:
        return "timezone"
    return f"region {tenant.region}" if tenant.region else "data"


def _remedy(why: str, tenant: TenantSettings, host: str) -> str:
    """What to do about a request that failed, from the sentence that says why."""
    lower = why.lower()
    if "x-tenant-info" in lower:
        return "set tenant_id to the id of the tenant, that 8x8 assigned to it; only multitenant customers have one"
    if "timezone" in lower:
        return "set timezone to one of the tenant's time zones in 8x8, or remove it: the default is the tenant's own"
    if "html" in lower or "tls with" in lower:
        return _HTML.format(host=host)
    if "certificate" in lower:
        return "set REQUESTS_CA_BUNDLE to the file with the certificate of the proxy or authority"
    if any(word in lower for word in ("answered 401", "answered 403", "were refused")):
        return f"{_KEYS}; `alertbot doctor --regions` tries the other regions"
    if "answered 404" in lower or "redirect" in lower:
        return "check region (`alertbot doctor --regions` tries the others), or base_url and token_url"
    if any(word in lower for word in ("answered 429", "backing off", "back-off", "max_requests_per_minute")):
        return "wait a few minutes: another program may be using the same key; raise poll_every if it happens again"
    if any(word in lower for word in ("answered 5", "truncated", "malformed", "empty response", "compression")):
        return "8x8 has a problem at the moment: run doctor again in a few minutes, and see status.8x8.com"
    if any(word in lower for word in ("not found", "the connection", "timed out", "ran out of time", "proxy")):
        return let_through(host)
    return f"check base_url, token_url and tenant_id; {let_through(host)}"


def _entities(scope: Scope, snapshot: Snapshot) -> str:
    return f"{len(snapshot)} {scope.removesuffix('s')}{'s' * (len(snapshot) != 1)}"
