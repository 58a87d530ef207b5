"""Metrics of refills."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from prometheus_client import CollectorRegistry, Counter, Gauge

from reservd.errors import FailureReason
from reservd.reserve.amounts import ZERO, add, subtract
from reservd.reserve.models import ReserveStatus
from reservd.reserve.replenishment import AcceptanceStatus, Inaction
from reservd.reserve.replenishment.decision import still_to_come
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState
from reservd.service.replenishment import ReplenishmentObserver
from reservd.web.presets import Presets


class ReplenishmentMetrics(ReplenishmentObserver):
    """Counts requests by answer and by state. Every counter starts at 0.

    Args:
        registry: Where the series are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "reservd_replenishment_requests", "Requests for a refill that were answered.", ["replenisher", "outcome"],
            registry=registry,
        )  # fmt: skip
        self._failures = Counter(
            "reservd_replenishment_failures", "Requests for a refill that were not answered, by reason.",
            ["replenisher", "reason"], registry=registry,
        )  # fmt: skip
        self._changes = Counter(
            "reservd_replenishments",
            "Requests for refills, by the state that they reached.",
            ["state"],
            registry=registry,
        )
        self._inactions = Counter(
            "reservd_replenishment_inactions", "Checks and manual requests that led to no request.", ["reason"],
            registry=registry,
        )  # fmt: skip
        self._in_flight = Gauge(
            "reservd_replenishment_in_flight",
            "Requested amount that has not arrived yet, in the share-class currency.",
            ["mode", "share_class"], registry=registry,
        )  # fmt: skip
        self._awaiting = Gauge(
            "reservd_replenishments_awaiting_approval", "Requests for refills that wait for approval.", ["mode"],
            registry=registry,
        )  # fmt: skip
        self._presets = Presets("replenisher", {self._requests: AcceptanceStatus, self._failures: FailureReason})
        self._own: defaultdict[str, dict[str, Replenishment]] = defaultdict(dict)
        self._of_withdrawals: defaultdict[str, dict[str, Replenishment]] = defaultdict(dict)
        self._for_withdrawals: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._held_back: defaultdict[str, int] = defaultdict(int)
        for state in ReplenishmentState:
            self._changes.labels(state)
        for reason in Inaction:
            self._inactions.labels(reason)

    def configure(self, replenishers: Iterable[str]) -> None:
        """Replace the known replenishers."""
        self._presets.configure(replenishers)

    def watch(self) -> None:
        """Reset: only the owner of a store knows what is in flight."""
        for kept in (self._own, self._of_withdrawals, self._for_withdrawals, self._held_back):
            kept.clear()
        self._in_flight.clear()
        self._awaiting.clear()

    def requested(self, replenisher: str, status: AcceptanceStatus | None, failure: FailureReason | None) -> None:
        """Count a request for a refill."""
        if failure is not None:
            self._failures.labels(replenisher, failure).inc()
        elif status is not None:
            self._requests.labels(replenisher, status).inc()

    def replenishment_loaded(self, record: Replenishment) -> None:
        """Record a request that was in flight before the start."""
        self._note(record)

    def replenishment_changed(self, record: Replenishment, before: Replenishment | None) -> None:
        """Count a change, and record what is in flight."""
        if before is None or before.state is not record.state:
            self._changes.labels(record.state).inc()
        self._note(record)

    def not_requested(self, mode: str, status: ReserveStatus, reason: Inaction) -> None:
        """Count why no refill was requested."""
        del mode, status
        self._inactions.labels(reason).inc()

    def _note(self, record: Replenishment) -> None:
        mode = record.request.strategy_mode
        is_own = record.request.withdrawal_id is None
        kept = (self._own if is_own else self._of_withdrawals)[mode]
        before = kept.pop(record.id, None)
        if record.open:
            kept[record.id] = record
        if not is_own:
            # Updated by the difference: a burst of withdrawals makes thousands of requests.
            was = before.outstanding if before is not None else ZERO
            self._for_withdrawals[mode] = add(self._for_withdrawals[mode], subtract(record.outstanding, was))
        coming = add(self._for_withdrawals[mode], still_to_come(self._own[mode].values()))
        self._held_back[mode] += record.held_back - (before is not None and before.held_back)
        self._in_flight.labels(mode, record.request.currency).set(float(coming))
        self._awaiting.labels(mode).set(self._held_back[mode])
