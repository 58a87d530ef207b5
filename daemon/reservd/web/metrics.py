"""All metrics, and the page that exposes them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from reservd._version import __version__
from reservd.errors import FailureReason
from reservd.monitor.observer import Checked, Observer
from reservd.reserve.models import EventType, ReserveEvent
from reservd.reserve.runway import Runway
from reservd.reserve.tracker import Instant, TrackerState
from reservd.web.delivery_metrics import DeliveryMetrics
from reservd.web.mode_gauges import Changes, ModeGauges
from reservd.web.presets import Presets
from reservd.web.replenishment_metrics import ReplenishmentMetrics
from reservd.web.source_metrics import SourceMetrics
from reservd.web.withdrawal_metrics import WithdrawalMetrics

_CYCLE_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Series(NamedTuple):
    """The names that have series of their own.

    Attributes:
        modes: Share class by mode.
        intervals: The distinct monitoring intervals, in seconds.
        sources: The names of balance, equity and price sources.
        sinks: The names of event sinks.
        replenishers: The names of replenishers.
        endpoints: Pairs of a source's name and the name of an endpoint that it reads through.
    """

    modes: Mapping[str, str]
    intervals: Iterable[float] = ()
    sources: Iterable[str] = ()
    sinks: Iterable[str] = ()
    replenishers: Iterable[str] = ()
    endpoints: Iterable[tuple[str, str]] = ()


class News(NamedTuple):
    """What has changed since the page was rendered."""

    gauges: ModeGauges | None
    """The gauges of the modes; None while another daemon watches them."""
    changes: Changes


class Metrics(Observer):
    """Collects the monitor's metrics, and combines them with all others. Series start at 0 wherever that is possible.

    Args:
        series: The names that have series of their own.

    Attributes:
        registry: Holds all series except those of `ModeGauges`.
        deliveries: Counts deliveries.
        withdrawals: Counts withdrawals.
        replenishments: Counts requests for refills and their changes.
    """

    def __init__(self, series: Series) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # theirs
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._build = Gauge("reservd_build_info", "The running version; always 1.", ["version"], registry=registry)
        checks = Counter(
            "reservd_checks", "Checks of a mode, by whether they were conclusive.", ["outcome"], registry=registry
        )
        self._checks = {True: checks.labels("conclusive"), False: checks.labels("inconclusive")}
        self._checked = dict.fromkeys(self._checks, 0)
        self._defects = Counter(
            "reservd_check_defects",
            "Checks of a mode that a bug in reservd aborted, in whole or in part.",
            registry=registry,
        )
        self._cycles = Histogram(
            "reservd_cycle_duration_seconds", "Time to check all modes of an interval.", ["interval"],
            registry=registry, buckets=_CYCLE_BUCKETS,
        )  # fmt: skip
        self._overruns = Counter(
            "reservd_cycle_overruns",
            "Cycles skipped because the previous one was still running.",
            ["interval"],
            registry=registry,
        )
        self._events = Counter("reservd_events", "Events created, reminders included.", ["type"], registry=registry)
        self._callback_failures = Counter(
            "reservd_callback_failures", "Events for which a callback raised an error or took too long, by reason.",
            ["callback", "reason"], registry=registry,
        )  # fmt: skip
        self._dropped = Counter(
            "reservd_callbacks_dropped",
            "Events dropped because a callback was too slow.",
            ["callback"],
            registry=registry,
        )
        self._runways = Gauge(
            "reservd_runway_seconds",
            "Seconds until the reserve is low or critical at its rate of outflow; absent while it does not fall.",
            ["mode", "share_class", "to"],
            registry=registry,
        )
        self._owner = Gauge(
            "reservd_owner",
            "Whether this daemon is watching: it owns the store, or the store is unavailable. 0 for a standby.",
            registry=registry,
        )  # fmt: skip
        self._reloaded = Gauge(
            "reservd_config_last_reload_successful",
            "Whether the last reload of the configuration succeeded.",
            registry=registry,
        )
        self._reloaded_at = Gauge(
            "reservd_config_last_reload_success_timestamp_seconds",
            "When the configuration was last loaded successfully, in Unix time.",
            registry=registry,
        )
        self._presets = Presets("interval", dict.fromkeys((self._cycles, self._overruns), ()))
        self._sources = SourceMetrics(registry)
        self.deliveries = DeliveryMetrics(registry)
        self.withdrawals = WithdrawalMetrics(registry)
        self.replenishments = ReplenishmentMetrics(registry)
        self._build.labels(__version__).set(1)
        for event_type in EventType:
            self._events.labels(event_type)
        self.configure(series)
        self.reloaded(successful=True)
        self._gauges: ModeGauges | None = ModeGauges(series.modes)

    def configure(self, series: Series) -> None:
        """Replace the known names. Series of new names start at 0; series of removed names are dropped."""
        self._modes = series.modes
        self._sources.configure(series.sources, series.endpoints)
        self.deliveries.configure(series.sinks)
        self.withdrawals.configure(series.modes)
        self.replenishments.configure(series.replenishers)
        self._presets.configure(f"{interval:g}" for interval in series.intervals)

    def reloaded(self, *, successful: bool) -> None:
        """Record whether a reload of the configuration succeeded."""
        self._reloaded.set(successful)
        if successful:
            self._reloaded_at.set_to_current_time()

    def watch(self, *, owner: bool) -> None:
        """Reset the modes' gauges, or leave them out for a standby: two daemons must not report one reserve."""
        self._owner.set(owner)
        self._gauges = ModeGauges(self._modes) if owner else None
        self._runways.clear()
        self.deliveries.watch()
        self.withdrawals.watch(owner=owner)
        self.replenishments.watch()

    def take(self) -> News:
        """Return what has changed. Runs on the event loop."""
        for conclusive, count in self._checked.items():
            # All at once: a counter takes a lock, and a cycle checks thousands of modes.
            self._checks[conclusive].inc(count)
            self._checked[conclusive] = 0
        return News(self._gauges, self._gauges.take() if self._gauges is not None else Changes({}, {}))

    def render(self, news: News) -> bytes:
        """Return the whole page. Runs on one other thread."""
        modes = news.gauges.render(news.changes) if news.gauges is not None else ()
        return b"".join([*modes, generate_latest(self.registry)])

    def began(self, mode: str, state: TrackerState) -> None:
        """Record the restored state of a mode."""
        if self._gauges is not None:
            self._gauges.note_memory(mode, state)

    def checked(self, checked: Checked) -> None:
        """Count a check, and record the mode's new numbers."""
        self._checked[checked.step.conclusive] += 1
        if self._gauges is not None:
            self._gauges.note(checked)

    def check_failed(self, mode: str) -> None:
        """Count a defect."""
        del mode  # the log names it
        self._defects.inc()

    def refreshed(self, modes: Sequence[str], now: Instant) -> None:
        """Count checks that found no change."""
        self._checked[True] += len(modes)
        if self._gauges is not None:
            self._gauges.note_stamp(modes, now.wall)

    def fetched(self, source: str, seconds: float, failure: FailureReason | None) -> None:
        """Count a reading."""
        self._sources.fetched(source, seconds, failure)

    def source_is(self, source: str, *, up: bool) -> None:
        """Record whether a source answers."""
        self._sources.source_is(source, up=up)

    def endpoint_is(self, source: str, endpoint: str, *, up: bool) -> None:
        """Record whether an endpoint of a source is up."""
        self._sources.endpoint_is(source, endpoint, up=up)

    def accounts_read(self, source: str, *, unread: int, failures: Sequence[FailureReason]) -> None:
        """Record which accounts a source could not read."""
        self._sources.accounts_read(source, unread=unread, failures=failures)

    def circuit_is(self, source: str, *, is_open: bool) -> None:
        """Record whether a source's circuit is open, so that it is read less often."""
        self._sources.circuit_is(source, is_open=is_open)

    def woken(self, source: str) -> None:
        """Count a wake-up by a source."""
        self._sources.woken(source)

    def runway_is(self, mode: str, runway: Runway | None) -> None:
        """Record how long a reserve will last."""
        labels = mode, self._modes[mode]
        if runway is None:
            for to in ("low", "critical"):
                self._runways.remove(*labels, to)
        else:
            self._runways.labels(*labels, "low").set(runway.low_seconds)
            self._runways.labels(*labels, "critical").set(runway.critical_seconds)

    def cycle_finished(self, interval: float, seconds: float) -> None:
        """Record the duration of a cycle."""
        self._cycles.labels(f"{interval:g}").observe(seconds)

    def cycle_overran(self, interval: float) -> None:
        """Count a cycle that was skipped."""
        self._overruns.labels(f"{interval:g}").inc()

    def event_decided(self, event: ReserveEvent) -> None:
        """Count an event."""
        self._events.labels(event.event_type).inc()

    def callback_added(self, callback: str) -> None:
        """Start the counters of a callback at 0."""
        self._dropped.labels(callback)
        for reason in FailureReason:
            self._callback_failures.labels(callback, reason)

    def callback_failed(self, callback: str, reason: FailureReason) -> None:
        """Count an event that a callback failed to handle."""
        self._callback_failures.labels(callback, reason).inc()

    def callback_dropped(self, callback: str) -> None:
        """Count an event that was dropped because a callback's queue was full."""
        self._dropped.labels(callback).inc()
