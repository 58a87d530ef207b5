"""Metrics of sources."""

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from reservd.errors import FailureReason
from reservd.monitor.observer import Observer
from reservd.web.presets import Presets

FETCH_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Durations of external calls, in seconds."""


class SourceMetrics(Observer):
    """Counts readings, and shows which sources and endpoints are up.

    Args:
        registry: Where the series are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._fetches = Counter(
            "reservd_fetches", "Readings of a source, failed ones included.", ["source"], registry=registry
        )
        self._failures = Counter(
            "reservd_fetch_failures",
            "Readings of a source that failed, by reason.",
            ["source", "reason"],
            registry=registry,
        )
        self._seconds = Histogram(
            "reservd_fetch_duration_seconds", "Time to read a source, failed readings included.", ["source"],
            registry=registry, buckets=FETCH_BUCKETS,
        )  # fmt: skip
        self._up = Gauge(
            "reservd_source_up", "Whether the last reading of the source succeeded.", ["source"], registry=registry
        )
        self._success = Gauge(
            "reservd_source_last_success_timestamp_seconds",
            "When the source was last read successfully, in Unix time; 0 if never.",
            ["source"], registry=registry,
        )  # fmt: skip
        self._account_failures = Counter(
            "reservd_account_failures", "Accounts missing from a reading of their source, by reason.",
            ["source", "reason"], registry=registry,
        )  # fmt: skip
        self._accounts_unread = Gauge(
            "reservd_source_accounts_unread",
            "Accounts missing from the last reading of the source, in whole or for one asset.",
            ["source"], registry=registry,
        )  # fmt: skip
        self._endpoint_up = Gauge(
            "reservd_source_endpoint_up",
            "Whether an endpoint that the source reads through worked when last tried; 1 before that.",
            ["source", "endpoint"],
            registry=registry,
        )
        self._circuit_open = Gauge(
            "reservd_source_circuit_open",
            "Whether the source is read less often, because it keeps failing or asked for a pause.",
            ["source"], registry=registry,
        )  # fmt: skip
        self._wakeups = Counter(
            "reservd_wakeups",
            "Times a source announced that a balance may have changed.",
            ["source"],
            registry=registry,
        )
        of_each = (
            *(self._fetches, self._seconds, self._up, self._success),
            *(self._accounts_unread, self._circuit_open, self._wakeups),
        )
        by_reason = self._failures, self._account_failures
        self._presets = Presets("source", {**dict.fromkeys(of_each, ()), **dict.fromkeys(by_reason, FailureReason)})

    def configure(self, sources: Iterable[str], endpoints: Iterable[tuple[str, str]]) -> None:
        """Replace the known names. Series of new names start at 0; series of removed names are dropped.

        Args:
            sources: The names of balance, equity and price sources.
            endpoints: Pairs of a source's name and the name of an endpoint that it reads through.
        """
        self._presets.configure(sources)
        for source in self._presets.names:
            # A new reader has not failed yet, and reports when that changes.
            self._circuit_open.labels(source).set(0)
        self._endpoint_up.clear()
        for source, endpoint in endpoints:
            self._endpoint_up.labels(source, endpoint).set(1)

    def fetched(self, source: str, seconds: float, failure: FailureReason | None) -> None:
        """Count a reading."""
        self._fetches.labels(source).inc()
        self._seconds.labels(source).observe(seconds)
        if failure is None:
            self._success.labels(source).set_to_current_time()
        else:
            self._failures.labels(source, failure).inc()

    def source_is(self, source: str, *, up: bool) -> None:
        """Record whether a source answers."""
        self._up.labels(source).set(up)

    def accounts_read(self, source: str, *, unread: int, failures: Sequence[FailureReason]) -> None:
        """Record how many accounts a source could not read, and count the reasons."""
        self._accounts_unread.labels(source).set(unread)
        for reason in failures:
            self._account_failures.labels(source, reason).inc()

    def endpoint_is(self, source: str, endpoint: str, *, up: bool) -> None:
        """Record whether an endpoint of a source is up."""
        self._endpoint_up.labels(source, endpoint).set(up)

    def circuit_is(self, source: str, *, is_open: bool) -> None:
        """Record whether a source's circuit is open, so that it is read less often."""
        self._circuit_open.labels(source).set(is_open)

    def woken(self, source: str) -> None:
        """Count a wake-up by a source."""
        self._wakeups.labels(source).inc()
