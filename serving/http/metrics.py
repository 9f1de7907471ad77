"""Prometheus metrics: totals as the store has them, so that restarts and workers agree; latencies of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import structlog
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from features.errors import FairleadError
from serving.http.protocol import MetricsSnapshot, UpliftMetrics

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_log = structlog.get_logger(__name__)


class Metrics:
    """One registry an app, so that two apps in one process do not meet."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, snapshot: Callable[[], MetricsSnapshot]) -> None:
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "fairlead_request_seconds",
            "Time to answer a request.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_Totals(snapshot))

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request. `route` is the template, never an address with somebody's id in it."""
        self._seconds.labels(method, route, str(status)).observe(seconds)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)


class _Totals(Collector):
    def __init__(self, snapshot: Callable[[], MetricsSnapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> list[Metric]:
        """Nothing, so that registering does not ask the store."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Totals of now; where the store is out of reach, only that it is."""
        try:
            found = self._snapshot()
        except FairleadError as error:
            _log.warning("metrics_snapshot_failed", reason=str(error))
            yield _gauge("up", "Whether the store could be asked.", 0.0)
            return
        yield _gauge("up", "Whether the store could be asked.", 1.0)
        yield from _families(found)


def _families(found: MetricsSnapshot) -> Iterator[Metric]:
    decisions = CounterMetricFamily("fairlead_decisions", "Leads assigned, by policy.", labels=["policy"])
    for policy, count in sorted(found.decisions.items()):
        decisions.add_metric([policy], count)
    yield decisions
    yield CounterMetricFamily("fairlead_overrides", "Decisions that a person changed.", value=found.overrides)
    yield CounterMetricFamily("fairlead_event_rows", "Rows received as events.", value=found.event_rows)
    yield _gauge("held_leads", "Leads that wait for a place.", found.held)
    yield _gauge("fallback", "1 while no model can be used and rules alone decide.", float(found.fallback))
    if found.shadow is not None:
        shadow = CounterMetricFamily(
            "fairlead_shadow_choices", "Decisions that the challenger looked at, by result.", labels=["result"]
        )
        for result, count in sorted(found.shadow.items()):
            shadow.add_metric([result], count)
        yield shadow
    if found.drift is not None:
        change = GaugeMetricFamily("fairlead_drift_change", "Change as last looked at.", labels=["kind", "name"])
        alarm = GaugeMetricFamily("fairlead_drift_alarm", "1 where the change is an alarm.", labels=["kind", "name"])
        for (kind, name), (by, is_alarm) in sorted(found.drift.items()):
            change.add_metric([kind, name], by)
            alarm.add_metric([kind, name], float(is_alarm))
        yield change
        yield alarm
    yield from _webhooks(found)
    yield from _judged(found)
    if found.model_age_seconds is not None:
        yield _gauge("model_age_seconds", "Age of the release that decides.", found.model_age_seconds)
    if found.feature_age_seconds is not None:
        yield _gauge("feature_age_seconds", "Age of the newest row or event known.", found.feature_age_seconds)
    if found.uplift is not None:
        yield from _uplift(found.uplift)


def _webhooks(found: MetricsSnapshot) -> Iterator[Metric]:
    if found.messages:
        kept = GaugeMetricFamily(
            "fairlead_webhook_messages", "Messages not delivered yet, by state.", labels=["endpoint", "state"]
        )
        for (endpoint, state), count in sorted(found.messages.items()):
            kept.add_metric([endpoint, state], count)
        yield kept
    if found.deliveries:
        tried = CounterMetricFamily(
            "fairlead_webhook_attempts", "Attempts of this process to deliver.", labels=["endpoint", "result"]
        )
        for (endpoint, result), count in sorted(found.deliveries.items()):
            tried.add_metric([endpoint, result], count)
        yield tried


def _judged(found: MetricsSnapshot) -> Iterator[Metric]:
    if found.prices:
        told = "Price of a place in a rep's week as last solved, in what routing maximises, over a team's reps."
        price = GaugeMetricFamily("fairlead_capacity_price", told, labels=["team", "part"])
        for (team, part), value in sorted(found.prices.items()):
            price.add_metric([team, part], value)
        yield price
    if (held := found.calibration) is not None:
        yield _gauge("calibration_leads", "Decisions old enough to be judged.", held.n)
        yield _gauge("calibration_error", "Expected calibration error (0-1) of their win probabilities.", held.error)
        told = "What the error stays below 95 times of 100 where every probability is true."
        yield _gauge("calibration_error_limit", told, held.limit)


def _uplift(found: UpliftMetrics) -> Iterator[Metric]:
    yield _gauge("uplift_alarm", "1 while the gain over the hold-out is gone, or is a loss.", float(found.alarm))
    leads = GaugeMetricFamily("fairlead_uplift_leads", "Leads old enough to be read, by arm.", labels=["arm"])
    leads.add_metric(["policy"], found.n_policy)
    leads.add_metric(["holdout"], found.n_holdout)
    yield leads
    told = "Policy less hold-out a lead, in wins and in money: value and the ends of its 90 % interval."
    gain = GaugeMetricFamily("fairlead_uplift", told, labels=["outcome", "part"])
    for outcome, (value, low, high) in found.estimates.items():
        for part, number in (("value", value), ("ci_low", low), ("ci_high", high)):
            gain.add_metric([outcome, part], number)
    yield gain


def _gauge(name: str, told: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"fairlead_{name}", told, value=value)
