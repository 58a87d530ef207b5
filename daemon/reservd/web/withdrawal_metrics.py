"""Metrics of withdrawals."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from reservd.reserve.withdrawal import Refusal, WithdrawalSpeed
from reservd.service.withdrawals import WithdrawalDecision, WithdrawalObserver

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class WithdrawalMetrics(WithdrawalObserver):
    """Counts withdrawals. Every series starts at 0.

    Args:
        registry: Where the series are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._modes: tuple[str, ...] = ()
        self._shown: dict[str, int] = {}
        self._accepted = Counter(
            "reservd_withdrawals", "Withdrawals that were accepted, by speed.", ["speed"], registry=registry
        )
        self._refused = Counter(
            "reservd_withdrawals_refused", "Withdrawals that were not accepted, by reason.", ["reason"],
            registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "reservd_withdrawal_decision_duration_seconds",
            "Time to decide a withdrawal and store its hold, refusals included.",
            registry=registry,
            buckets=_BUCKETS,
        )
        self._overdue = Gauge(
            "reservd_holds_overdue", "Accepted withdrawals that should have been paid or cancelled by now.", ["mode"],
            registry=registry,
        )  # fmt: skip
        for speed in WithdrawalSpeed:
            self._accepted.labels(speed)
        for reason in Refusal:
            self._refused.labels(reason)

    def configure(self, modes: Iterable[str]) -> None:
        """Replace the known modes."""
        self._modes = tuple(modes)

    def watch(self, *, owner: bool) -> None:
        """Reset, and leave out what only the owner of a store knows."""
        self._overdue.clear()
        self._shown = {}
        if owner:
            self.overdue({})

    def decided(self, decision: WithdrawalDecision, seconds: float) -> None:
        """Count a decision. A repeated decision does not count."""
        self._seconds.observe(seconds)
        if decision.refusal is not None:
            self._refused.labels(decision.refusal).inc()
        elif not decision.repeated:
            self._accepted.labels(decision.speed).inc()

    def overdue(self, by_mode: Mapping[str, int]) -> None:
        """Record overdue holds, including those of modes that are not configured any more."""
        known = dict.fromkeys(self._modes, 0) | dict(by_mode)
        for mode in self._shown.keys() - known.keys():
            self._overdue.remove(mode)
        # Called often, with thousands of modes and nearly always the same numbers.
        for mode, number in known.items():
            if self._shown.get(mode) != number:
                self._overdue.labels(mode).set(number)
        self._shown = known
