"""`/metrics`: what the bot counts and measures, in Prometheus's text format.

Two kinds of metrics. What happens (a poll, a request, a post) is counted when it happens: the service calls the methods
of Metrics. What is the case (open alerts, the age of a feed) is read when Prometheus scrapes: `read` returns it as
Figures, from memory as far as possible.

Names follow https://prometheus.io/docs/practices/naming/: base units, `_total` for counters, timestamps instead of
ages. Labels are tenants, endpoints of 8x8, methods of Slack, and words of fixed lists: never a name of an entity or
rule, so the number of series does not grow with the contact centre. The one label that changes with time is the version
of the rules, one series per tenant at a time.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from alertbot import __version__

STATES, LEVELS = ("pending", "firing", "recovering"), ("info", "warning", "critical")
FEED_PROBLEMS = ("stale", "refused", "frozen", "partial", "slow", "clock")
POLL_OUTCOMES = ("complete", "partial", "failed", "refused", "backed_off", "error", "skipped")
KINDS = ("card", "line", "ops", "chart")
AUDIT_KINDS = (
    "open_card_of_ended_alerts",
    "closed_card_of_open_alert",
    "card_without_notice",
    "notice_of_posted_card",
    "orphan_notice",
    "alert_without_card",
    "stuck_message",
    "message_deleted",
    "message_outdated",
    "message_duplicate",
)
FALLBACK_OUTCOMES = ("sent", "failed", "dropped", "given_up")
SHARED = (
    "alertbot_alerts_fired",
    "alertbot_alerts_resolved",
    "alertbot_notices_oldest_waiting_seconds",
    "alertbot_notices_waiting",
    "alertbot_rules_since_timestamp_seconds",
    "alertbot_tenants_without_worker",
    "alertbot_workers",
)
"""Metrics of the database: all workers that share one show the same values, so they must not be added up."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_DELAYS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
_MAX_METHODS = 40
"""Of Slack's methods, alertbot calls about fifteen; more than this many are counted as `other`."""


@dataclass(frozen=True)
class TenantFigures:
    """The present state of one tenant. Times are seconds since 1970; None: not known yet.

    `alerts`: open alerts, without those of shadow rules, by state and level. `problems`: of the feed, FEED_PROBLEMS.
    """

    name: str
    alerts: Mapping[tuple[str, str], int] | None = None
    problems: frozenset[str] = frozenset()
    entities: Mapping[str, int] = field(default_factory=dict)
    good_at: float | None = None
    took_s: float | None = None
    rules: int = 0
    failing_rules: int = 0
    version: str = ""
    files_broken: bool = False


@dataclass(frozen=True)
class StoreFigures:
    """What has to be read from the database. `since`: by tenant, since when its rules run, in seconds since 1970."""

    waiting: int = 0
    oldest_s: float = 0.0
    fired: int = 0
    resolved: int = 0
    since: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkerFigures:
    """A worker and its fleet, as it last saw it.

    `tenants`: how many it polls. `lag_s`: by how many seconds the turn that is most overdue is late. `workers`: how
    many live. `unowned`: tenants that no worker polls.
    """

    tenants: int = 0
    lag_s: float = 0.0
    workers: int = 0
    unowned: int = 0


@dataclass(frozen=True)
class Figures:
    """The present state of the bot. `store` is None where the database did not answer in time.

    `problems`: by part (slack, socket_mode, database), whether it has one. `sizes`: of the database's files, in bytes.
    `worker`: None where it is no worker.
    """

    tenants: Sequence[TenantFigures] = ()
    store: StoreFigures | None = None
    problems: Mapping[str, bool] = field(default_factory=dict)
    slack_unreachable_s: float = 0.0
    sizes: Mapping[str, int] = field(default_factory=dict)
    reloads: Mapping[str, int] = field(default_factory=dict)
    worker: WorkerFigures | None = None


class Metrics:
    """All metrics of one bot, in a registry of its own. Thread-safe."""

    def __init__(self, tenants: Iterable[str] = ()) -> None:
        """`tenants`: their counters begin at 0, so that the first failure is an increase."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self._registry = CollectorRegistry()
        self._read: Callable[[], Figures] = Figures
        self._methods: set[str] = set()
        ProcessCollector(registry=registry)
        registry.register(_Read(self))
        self._polls = Counter(
            "alertbot_polls",
            "Polls of 8x8 by outcome. backed_off: not polled during a pause; skipped: the last one was still running.",
            ["tenant", "outcome"],
            registry=registry,
        )
        self._phases = Histogram(
            "alertbot_poll_phase_duration_seconds",
            "Duration of the phases of a poll: prepare, fetch, decide, record.",
            ["phase"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._requests = Counter(
            "alertbot_source_requests",
            "Requests to 8x8 by endpoint and outcome. Retries are not counted, see alertbot_source_retries_total.",
            ["tenant", "endpoint", "outcome"],
            registry=registry,
        )
        self._retries = Counter(
            "alertbot_source_retries", "Requests to 8x8 that were repeated.", ["tenant"], registry=registry
        )
        self._request_seconds = Histogram(
            "alertbot_source_request_duration_seconds",
            "Duration of requests to 8x8, including retries.",
            ["endpoint"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._notices = Counter(
            "alertbot_notices",
            "Attempts to deliver a notice or a chart, by kind (card, line, ops, chart) and outcome.",
            ["kind", "outcome"],
            registry=registry,
        )
        self._edits = Counter(
            "alertbot_card_edits", "Attempts to edit a card, by outcome.", ["outcome"], registry=registry
        )
        self._delay = Histogram(
            "alertbot_notice_delay_seconds",
            "Time from the decision to notify until the notice was delivered, by kind.",
            ["kind"],
            buckets=_DELAYS,
            registry=registry,
        )
        self._slack = Counter(
            "alertbot_slack_requests",
            "Requests to Slack by method and outcome.",
            ["method", "outcome"],
            registry=registry,
        )
        self._slack_seconds = Histogram(
            "alertbot_slack_request_duration_seconds",
            "Duration of requests to Slack.",
            ["method"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._slack_wait = Counter(
            "alertbot_slack_retry_after_seconds",
            "Total time that Slack asked to wait (Retry-After of a 429).",
            registry=registry,
        )
        self._heartbeats = Counter(
            "alertbot_heartbeats", "Heartbeats by outcome: sent, failed, withheld.", ["outcome"], registry=registry
        )
        self._fallback = Counter(
            "alertbot_fallback_posts",
            "Posts to the fallback webhook by outcome: sent, failed, dropped (no longer needed), given_up.",
            ["outcome"],
            registry=registry,
        )
        for outcome in FALLBACK_OUTCOMES:
            self._fallback.labels(outcome)
        self._audit = Counter(
            "alertbot_audit_findings",
            "Findings of audits, by kind and outcome: repaired, or reported in ops_channel.",
            ["kind", "outcome"],
            registry=registry,
        )
        for audit_kind in AUDIT_KINDS:
            for outcome in ("repaired", "reported"):
                self._audit.labels(audit_kind, outcome)
        self._audits = Counter("alertbot_audits", "Audits of cards and messages.", registry=registry)
        build = Gauge(
            "alertbot_build_info",
            "Always 1; the labels say which version runs.",
            ["version", "python_version"],
            registry=registry,
        )
        build.labels(__version__, platform.python_version()).set(1)
        for tenant in tenants:
            self._retries.labels(tenant)
            for outcome in POLL_OUTCOMES:
                self._polls.labels(tenant, outcome)
        for kind in KINDS:
            self._notices.labels(kind, "delivered")
            self._notices.labels(kind, "given_up")
            if kind != "chart":
                self._notices.labels(kind, "duplicate")

    # What happens.

    def polled(self, tenant: str, outcome: str, phases: Mapping[str, float]) -> None:
        """A turn of a tenant ended, with one of POLL_OUTCOMES; `phases`: seconds by phase."""
        self._polls.labels(tenant, outcome).inc()
        for phase, seconds in phases.items():
            self._phases.labels(phase).observe(seconds)

    def requested(self, tenant: str, endpoint: str, outcome: str, seconds: float, tries: int) -> None:
        """A request to 8x8 ended, after `tries` attempts."""
        self._requests.labels(tenant, endpoint, outcome).inc()
        self._request_seconds.labels(endpoint).observe(seconds)
        if tries > 1:
            self._retries.labels(tenant).inc(tries - 1)

    def noticed(self, kind: str, outcome: str, delay: float | None = None) -> None:
        """An attempt to deliver a notice ended; `delay`: seconds since it was decided, where it was delivered."""
        self._notices.labels(kind, outcome).inc()
        if delay is not None:
            self._delay.labels(kind).observe(max(0.0, delay))

    def edited(self, outcome: str) -> None:
        """An attempt to edit a card ended."""
        self._edits.labels(outcome).inc()

    def called_slack(self, method: str, outcome: str, seconds: float, retry_after: float | None) -> None:
        """A request to Slack ended. `retry_after`: the seconds that a 429 asked to wait."""
        if method not in self._methods:
            if len(self._methods) >= _MAX_METHODS:
                method = "other"
            self._methods.add(method)
        self._slack.labels(method, outcome).inc()
        self._slack_seconds.labels(method).observe(seconds)
        if retry_after:
            self._slack_wait.inc(retry_after)

    def beat(self, outcome: str) -> None:
        """A heartbeat was sent, failed, or was withheld."""
        self._heartbeats.labels(outcome).inc()

    def posted_fallback(self, outcome: str, number: int = 1) -> None:
        """What became of posts to the fallback webhook, one of FALLBACK_OUTCOMES."""
        self._fallback.labels(outcome).inc(number)

    def audited(self, findings: Iterable[tuple[str, str]]) -> None:
        """An audit ended, with these findings: kind and outcome of each."""
        self._audits.inc()
        for kind, outcome in findings:
            self._audit.labels(kind, outcome).inc()

    # What is the case.

    def read_from(self, read: Callable[[], Figures]) -> None:
        """Call `read` at each scrape. It must neither raise nor take long."""
        self._read = read

    def render(self, accept: str) -> tuple[bytes, str]:
        """The text of all metrics, and its content type, in the format that this `Accept` header asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def families(self) -> Iterator[Metric]:
        """The metrics that are read at a scrape."""
        figures = self._read()
        yield from _of_tenants(figures.tenants)
        yield from _of_store(figures.store)
        yield from _of_worker(figures.worker)
        problem = GaugeMetricFamily(
            "alertbot_problem",
            "Whether a part is not working: slack (delivery), socket_mode (commands), database, "
            "fallback_webhook, fleet (of a worker).",
            labels=["part"],
        )
        for part, bad in figures.problems.items():
            problem.add_metric([part], float(bad))
        yield problem
        yield GaugeMetricFamily(
            "alertbot_slack_unreachable_seconds",
            "How long Slack has been unreachable; 0 while it answers.",
            value=figures.slack_unreachable_s,
        )
        size = GaugeMetricFamily("alertbot_database_size_bytes", "Size of the database's files.", labels=["file"])
        for file, number in figures.sizes.items():
            size.add_metric([file], number)
        yield size
        reloads = CounterMetricFamily(
            "alertbot_rule_reloads", "Edits of rule files by outcome: loaded, refused.", labels=["outcome"]
        )
        for outcome, number in figures.reloads.items():
            reloads.add_metric([outcome], number)
        yield reloads


class _Read(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics.families()


def _of_tenants(tenants: Sequence[TenantFigures]) -> Iterator[Metric]:
    alerts = GaugeMetricFamily(
        "alertbot_alerts",
        "Alerts that have not ended, without those of shadow rules.",
        labels=["tenant", "state", "level"],
    )
    problems = GaugeMetricFamily(
        "alertbot_feed_problem",
        "Whether the feed alert of this kind is open (firing or recovering).",
        labels=["tenant", "problem"],
    )
    entities = GaugeMetricFamily("alertbot_entities", "Entities in the last poll.", labels=["tenant", "scope"])
    good = GaugeMetricFamily(
        "alertbot_feed_last_good_poll_timestamp_seconds",
        "Time of the last complete poll.",
        labels=["tenant"],
    )
    took = GaugeMetricFamily(
        "alertbot_last_poll_duration_seconds", "Duration of the requests of the last poll.", labels=["tenant"]
    )
    rules = GaugeMetricFamily("alertbot_rules", "Rules that are live.", labels=["tenant"])
    failing = GaugeMetricFamily("alertbot_rules_failing", "Rules that cannot be evaluated.", labels=["tenant"])
    info = GaugeMetricFamily(
        "alertbot_rules_info", "Always 1; the labels say which version of the rules runs.", labels=["tenant", "version"]
    )
    broken = GaugeMetricFamily(
        "alertbot_rule_files_broken",
        "Whether the rule files on disk are broken, so that an older version keeps running.",
        labels=["tenant"],
    )
    for each in tenants:
        if each.alerts is not None:
            for state in STATES:
                for level in LEVELS:
                    alerts.add_metric([each.name, state, level], each.alerts.get((state, level), 0))
            for problem in FEED_PROBLEMS:
                problems.add_metric([each.name, problem], float(problem in each.problems))
        for scope, number in each.entities.items():
            entities.add_metric([each.name, scope], number)
        if each.good_at is not None:
            good.add_metric([each.name], each.good_at)
        if each.took_s is not None:
            took.add_metric([each.name], each.took_s)
        rules.add_metric([each.name], each.rules)
        failing.add_metric([each.name], each.failing_rules)
        info.add_metric([each.name, each.version], 1)
        broken.add_metric([each.name], float(each.files_broken))
    yield from (alerts, problems, entities, good, took, rules, failing, info, broken)


def _of_store(store: StoreFigures | None) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "alertbot_database_readable",
        "Whether the database answered in time for the scrape.",
        value=float(store is not None),
    )
    if store is None:
        return
    yield GaugeMetricFamily("alertbot_notices_waiting", "Notices waiting to be delivered.", value=store.waiting)
    yield GaugeMetricFamily(
        "alertbot_notices_oldest_waiting_seconds",
        "How long the oldest notice has been due, not counting the time held back by limits of its channel.",
        value=store.oldest_s,
    )
    fired = "Alerts that have fired since the database was created, without those of shadow rules."
    yield CounterMetricFamily("alertbot_alerts_fired", fired, value=store.fired)
    resolved = "Alerts that have ended since the database was created, without those of shadow rules."
    yield CounterMetricFamily("alertbot_alerts_resolved", resolved, value=store.resolved)
    since = GaugeMetricFamily(
        "alertbot_rules_since_timestamp_seconds", "When this version of the rules went live.", labels=["tenant"]
    )
    for tenant, at in store.since.items():
        since.add_metric([tenant], at)
    yield since


def _of_worker(worker: WorkerFigures | None) -> Iterator[Metric]:
    figures = worker or WorkerFigures()
    gauges = (
        ("alertbot_worker_tenants", "Tenants that this worker polls.", figures.tenants),
        ("alertbot_worker_lag_seconds", "By how much the most overdue poll of this worker is late.", figures.lag_s),
        ("alertbot_workers", "Workers that are alive.", figures.workers),
        ("alertbot_tenants_without_worker", "Tenants that are not polled by any worker.", figures.unowned),
    )
    for name, text, value in gauges:
        gauge = GaugeMetricFamily(name, text)
        if worker is not None:
            gauge.add_metric([], value)
        yield gauge
