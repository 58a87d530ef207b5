"""Moves requests for refills to their next state, as strategies, operators or replacing requests report."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from reservd.config.mode import ModeConfig
from reservd.reserve.replenishment import RefillPolicy
from reservd.reserve.replenishment.approval import release
from reservd.reserve.replenishment.states import (
    Replenishment,
    ReplenishmentState,
    advance,
    take_promise,
    wait_until,
)
from reservd.service.replenishment.book import RefillBook
from reservd.service.replenishment.grounds import RefillGrounds

STRATEGY = "strategy"

_UNDER_WAY = (ReplenishmentState.ACCEPTED, ReplenishmentState.IN_PROGRESS)
_HEEDED = (*_UNDER_WAY, ReplenishmentState.SETTLED)


class RefillTransitions:
    """Applies reports on requests, each by the request's own clock.

    Args:
        configs: By mode.
        book: The requests that still matter.
        grounds: Supplies the baseline that arrivals are counted from.
    """

    def __init__(self, configs: Mapping[str, ModeConfig], book: RefillBook, grounds: RefillGrounds) -> None:
        self._configs = configs
        self._book = book
        self._grounds = grounds

    def take(self, record: Replenishment, state: ReplenishmentState, **told: Any) -> Replenishment:
        """Apply a strategy's or an operator's report on a request, and return the resulting request.

        Args:
            record: The request.
            state: The reported state.
            told: `by`, `reason`, `reference`, `expected_by`.

        Raises:
            ReplenishmentStateError: If the request cannot change to that state.
        """
        now = self._book.times.now(record.id)
        detail, by = told.get("reason") or "", told.get("by", STRATEGY)
        more: dict[str, Any] = {"heard": record.heard or state in _HEEDED}
        if told.get("reference") is not None:
            more["reference"] = told["reference"]
        if state is ReplenishmentState.SETTLED:
            # The money may be on its way for long: until the time that the strategy named.
            more["deadline"] = max(now, record.expected_by or now) + self._policy(record).settling
        else:
            more |= self._waits(record, told.get("expected_by"))
        after = advance(record, state, now, by=by, detail=detail, **more)
        if after is record and state is record.state and state in _UNDER_WAY:
            # Reported again: only the time and the reference may change.
            after = record.model_copy(update=more)
        if after is not record:
            self._book.put(after)
            if after.state in _HEEDED:
                self._stand_in(after)
        return after

    def hear(self, record: Replenishment, expected_by: datetime | None) -> None:
        """Record that the strategy has received a request and has not decided yet."""
        self._book.put(record.model_copy(update={"heard": True, **self._waits(record, expected_by)}))

    def approve(self, record: Replenishment, *, by: str, reason: str) -> Replenishment:
        """Record an approval, and return the request, which is to be sent now."""
        now = self._book.times.now(record.id)
        told = {"approved_by": by, "by": by, "detail": reason, "changed_at": now}
        after = self._grounds.counted_anew(release(record, self._policy(record), now, **told), now)
        self._book.put(after)
        return after

    def end(self, replenishment_id: str, state: ReplenishmentState, why: str) -> None:
        """End a request on behalf of reservd, unless it has ended."""
        record = self._book.get(replenishment_id)
        if record.open:
            self._book.put(advance(record, state, self._book.times.now(record.id), detail=why))

    def _stand_in(self, record: Replenishment) -> None:
        """Cancel the request that a newly accepted one replaces."""
        earlier = self._book.find(record.request.replaces or "")
        if earlier is not None and earlier.open:
            now, why = self._book.times.now(earlier.id), f"replaced by {record.id}"
            self._book.put(advance(earlier, ReplenishmentState.CANCELLED, now, detail=why, replaced_by=record.id))

    def _waits(self, record: Replenishment, promised: datetime | None) -> dict[str, Any]:
        """Return the fields that change when the strategy names a time, or none, by the current clock."""
        promised = None if promised is None else self._book.times.own(record.id, promised)
        deadline = wait_until(promised, record, self._policy(record).settling)
        expected_by = record.expected_by if promised is None else take_promise(promised, record)
        return {"deadline": deadline, "expected_by": expected_by}

    def _policy(self, record: Replenishment) -> RefillPolicy:
        config = self._configs.get(record.request.strategy_mode)
        return config.refill if config is not None else RefillPolicy()
