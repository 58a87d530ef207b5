"""What is counted of refills."""

from collections import defaultdict
from decimal import Decimal

from prometheus_client import CollectorRegistry, Counter, Gauge

from reservd.reserve.amounts import ZERO, add
from reservd.reserve.models import ReserveStatus
from reservd.reserve.replenishment import Inaction
from reservd.reserve.replenishment_states import Replenishment, ReplenishmentState
from reservd.service.refill_caller import ReplenishmentObserver


class ReplenishmentMetrics(ReplenishmentObserver):
    """Counts requests by what became of them. Every counter is there from the start, at 0.

    Args:
        registry: Takes the series.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._changes = Counter(
            "reservd_replenishments", "Requests for refills that came to a state.", ["state"], registry=registry
        )
        self._inactions = Counter(
            "reservd_replenishment_inactions", "Checks that led to no request, by reason.", ["reason"],
            registry=registry,
        )  # fmt: skip
        self._in_flight = Gauge(
            "reservd_replenishment_in_flight", "What is asked for and has not arrived yet, in whole units.",
            ["mode", "share_class"], registry=registry,
        )  # fmt: skip
        self._awaiting = Gauge(
            "reservd_replenishments_awaiting_approval", "Requests for refills that somebody has to approve.", ["mode"],
            registry=registry,
        )  # fmt: skip
        self._open: defaultdict[str, dict[str, Replenishment]] = defaultdict(dict)
        for state in ReplenishmentState:
            self._changes.labels(state)
        for reason in Inaction:
            self._inactions.labels(reason)

    def watch(self) -> None:
        """Begin anew: what is in flight is for the owner of a store to tell."""
        self._open.clear()
        self._in_flight.clear()
        self._awaiting.clear()

    def replenishment_loaded(self, record: Replenishment) -> None:
        """Note a request that was in flight before."""
        self._note(record)

    def replenishment_changed(self, record: Replenishment, before: Replenishment | None) -> None:
        """Count a change, and note what is in flight."""
        if before is None or before.state is not record.state:
            self._changes.labels(record.state).inc()
        self._note(record)

    def not_requested(self, mode: str, status: ReserveStatus, reason: Inaction) -> None:
        """Count a reason."""
        del mode, status
        self._inactions.labels(reason).inc()

    def _note(self, record: Replenishment) -> None:
        mode = record.request.strategy_mode
        mine = self._open[mode]
        if record.open:
            mine[record.id] = record
        else:
            mine.pop(record.id, None)
        total: Decimal = ZERO
        for each in mine.values():
            total = add(total, each.outstanding)
        self._in_flight.labels(mode, record.request.currency).set(float(total))
        self._awaiting.labels(mode).set(sum(each.held_back for each in mine.values()))
