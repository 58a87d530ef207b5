"""Metrics of delivery, and of the store behind it."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from reservd.delivery.observer import DeliveryObserver
from reservd.errors import FailureReason
from reservd.store.letters import Backlog
from reservd.web.presets import Presets
from reservd.web.source_metrics import FETCH_BUCKETS
from reservd.wire.events import DeliveryState

_ENDS = (DeliveryState.DEAD, DeliveryState.SUPERSEDED, DeliveryState.SILENCED)
_DROPPED = ("events", "outcomes", "snapshots")


class DeliveryMetrics(DeliveryObserver):
    """Counts deliveries, and shows the sinks' backlogs and whether the store is up.

    Args:
        registry: Where the series are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._deliveries = Counter("reservd_deliveries", "Events delivered to a sink.", ["sink"], registry=registry)
        self._failures = Counter(
            "reservd_delivery_failures",
            "Failed attempts to deliver an event to a sink, by reason.",
            ["sink", "reason"],
            registry=registry,
        )
        self._seconds = Histogram(
            "reservd_delivery_duration_seconds",
            "Time of an attempt to deliver an event, failed attempts included.", ["sink"],
            registry=registry, buckets=FETCH_BUCKETS,
        )  # fmt: skip
        self._ended = Counter(
            "reservd_deliveries_ended",
            "Events that were never delivered to a sink, by final state.", ["sink", "state"],
            registry=registry,
        )  # fmt: skip
        self._pending = Gauge(
            "reservd_deliveries_pending",
            "Events in the store that wait for delivery to the sink.",
            ["sink"],
            registry=registry,
        )
        self._oldest = Gauge(
            "reservd_deliveries_oldest_timestamp_seconds",
            "When the oldest event that waits for the sink was created, in Unix time; 0 if none waits.",
            ["sink"],
            registry=registry,
        )
        self._silenced = Gauge(
            "reservd_silenced", "Whether an operator's silence withholds the mode's events from the sinks.", ["mode"],
            registry=registry,
        )  # fmt: skip
        self._store_up = Gauge("reservd_store_up", "Whether the last write to the store succeeded.", registry=registry)
        self._unwritten = Gauge(
            "reservd_store_unwritten_events",
            "Events in memory that could not be written to the store yet.",
            registry=registry,
        )
        self._dropped = Counter(
            "reservd_store_dropped",
            "Records dropped because too many of them waited in memory for the store.", ["kind"],
            registry=registry,
        )  # fmt: skip
        of_each = dict.fromkeys((self._deliveries, self._seconds, self._pending, self._oldest), ())
        self._presets = Presets("sink", {**of_each, self._failures: FailureReason, self._ended: _ENDS})
        for kind in _DROPPED:
            self._dropped.labels(kind)

    def configure(self, sinks: Iterable[str]) -> None:
        """Replace the known sinks."""
        self._presets.configure(sinks)

    def watch(self) -> None:
        """Reset: only the owner of a store knows the backlogs and silences."""
        self._silenced.clear()
        self.backlogs({})

    def delivered(self, sink: str, seconds: float, failure: FailureReason | None) -> None:
        """Count a delivery attempt."""
        self._seconds.labels(sink).observe(seconds)
        if failure is None:
            self._deliveries.labels(sink).inc()
        else:
            self._failures.labels(sink, failure).inc()

    def ended(self, sink: str, state: DeliveryState) -> None:
        """Count an event that the sink never accepted."""
        if state in _ENDS:
            self._ended.labels(sink, state).inc()

    def backlogs(self, by_sink: Mapping[str, Backlog]) -> None:
        """Record the backlog of each sink."""
        for sink in self._presets.names:
            backlog = by_sink.get(sink)
            self._pending.labels(sink).set(backlog.pending if backlog is not None else 0)
            self._oldest.labels(sink).set(backlog.oldest.timestamp() if backlog is not None else 0)

    def silenced(self, modes: frozenset[str]) -> None:
        """Record which modes are silenced."""
        self._silenced.clear()
        for mode in modes:
            self._silenced.labels(mode).set(1)

    def dropped(self, numbers: Mapping[str, int]) -> None:
        """Count what was dropped because memory was full."""
        for kind, number in numbers.items():
            self._dropped.labels(kind).inc(number)

    def store_is(self, *, up: bool, unwritten: int) -> None:
        """Record whether the store accepts writes."""
        self._store_up.set(up)
        self._unwritten.set(unwritten)
