"""Where strategies report on requests, and operators decide about them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice

from reservd.errors import ReplenishmentStateError, StoreError, UnknownReplenishmentError
from reservd.reserve.replenishment.event import ReplenishmentEvent
from reservd.reserve.replenishment.states import (
    Replenishment,
    ReplenishmentState,
    RequestPlace,
    check_approval,
    expire,
)
from reservd.service.replenishment.asker import RefillAsker
from reservd.service.replenishment.book import RefillBook
from reservd.service.replenishment.ledger import RefillLedger
from reservd.service.replenishment.transitions import STRATEGY, RefillTransitions

_MAY_END_UNAPPROVED = (ReplenishmentState.REJECTED, ReplenishmentState.CANCELLED)


class RefillDesk:
    """Records reports on requests, and answers once they are kept.

    Each method that changes a request returns the resulting request. Reports may be repeated, which changes nothing.
    All raise `UnknownReplenishmentError` if there is no request with that id, `ReplenishmentStateError` if the request
    cannot change that way, and `StoreError` while nothing can be kept. A request that awaits approval can only be
    approved, rejected or cancelled.

    Args:
        book: The requests that still matter.
        ledger: Keeps them.
        transitions: Applies the reports.
        asker: Sends requests to the strategies.
        may_act: Returns whether changes can be kept.
    """

    def __init__(
        self,
        book: RefillBook,
        ledger: RefillLedger,
        transitions: RefillTransitions,
        asker: RefillAsker,
        may_act: Callable[[], bool],
    ) -> None:
        self._book = book
        self._ledger = ledger
        self._transitions = transitions
        self._asker = asker
        self._may_act = may_act

    async def accept(
        self,
        replenishment_id: str,
        *,
        by: str = STRATEGY,
        reason: str = "",
        reference: str | None = None,
        expected_by: datetime | None = None,
        exclusive: bool = False,
    ) -> Replenishment:
        """Record that the strategy accepts the request, and when the money should have arrived.

        With `exclusive`, it is refused unless the request is to be acted on and nobody has accepted it yet. The one
        that has may ask again under the same reference.
        """
        if exclusive:
            self._require_free(await self._get(replenishment_id), reference)
        told = {"by": by, "reason": reason, "reference": reference, "expected_by": expected_by}
        return await self._take(replenishment_id, ReplenishmentState.ACCEPTED, told)

    async def progress(
        self,
        replenishment_id: str,
        *,
        by: str = STRATEGY,
        reason: str = "",
        reference: str | None = None,
        expected_by: datetime | None = None,
    ) -> Replenishment:
        """Record that the strategy is working on the request."""
        told = {"by": by, "reason": reason, "reference": reference, "expected_by": expected_by}
        return await self._take(replenishment_id, ReplenishmentState.IN_PROGRESS, told)

    async def settle(self, replenishment_id: str, *, by: str = STRATEGY, reason: str = "") -> Replenishment:
        """Record that the strategy has sent the money. It counts once the reserve shows it."""
        return await self._take(replenishment_id, ReplenishmentState.SETTLED, {"by": by, "reason": reason})

    async def fail(self, replenishment_id: str, *, by: str = STRATEGY, reason: str = "") -> Replenishment:
        """Record that the strategy failed to carry out the request."""
        return await self._take(replenishment_id, ReplenishmentState.FAILED, {"by": by, "reason": reason})

    async def reject(self, replenishment_id: str, *, by: str = STRATEGY, reason: str = "") -> Replenishment:
        """Record that the strategy rejects the request, or that an operator does not approve it."""
        return await self._take(replenishment_id, ReplenishmentState.REJECTED, {"by": by, "reason": reason})

    async def cancel(self, replenishment_id: str, *, by: str, reason: str = "") -> Replenishment:
        """Cancel a request. A strategy that has it may still act on it."""
        return await self._take(replenishment_id, ReplenishmentState.CANCELLED, {"by": by, "reason": reason})

    async def approve(self, replenishment_id: str, *, by: str, reason: str = "") -> Replenishment:
        """Approve a request that awaits approval. A second approval changes nothing."""
        record = await self._get(replenishment_id)
        check_approval(record)
        if record.approved_by is None:
            record = self._transitions.approve(record, by=by, reason=reason)
            self._asker.ask(record)
        await self._book.written(record.id)
        return record

    def open(self, mode: str) -> Sequence[Replenishment]:
        """Return the requests that may still bring money for a mode, in order of request."""
        return self._book.open(mode)

    async def find(self, replenishment_id: str) -> Replenishment:
        """Return a request."""
        record = self._book.find(replenishment_id) or await self._ledger.find(replenishment_id)
        if record is None:
            raise UnknownReplenishmentError(f"there is no replenishment {replenishment_id}")
        return record

    async def list(
        self,
        mode: str | None = None,
        states: Iterable[ReplenishmentState] | None = None,
        *,
        limit: int = 100,
        before: RequestPlace | None = None,
    ) -> Sequence[Replenishment]:
        """Return requests, newest first.

        Args:
            mode: Only requests of this mode.
            states: Only requests in these states.
            limit: The largest number to return.
            before: Only requests before this place, which is the `place` of the last one on the previous page.
        """
        wanted = None if states is None else frozenset(states)
        stored = await self._ledger.list(limit, mode, wanted, before)
        if stored is not None:
            return stored
        found = (
            record
            for record in self._book.newest()
            if (mode is None or record.request.strategy_mode == mode)
            and (wanted is None or record.state in wanted)
            and (before is None or record.place < before)
        )
        return list(islice(found, limit))

    async def changes(self, replenishment_id: str) -> Sequence[ReplenishmentEvent]:
        """Return the changes of a request, in order, as they were published."""
        return await self._ledger.changes(replenishment_id)

    async def _take(
        self, replenishment_id: str, state: ReplenishmentState, told: Mapping[str, object]
    ) -> Replenishment:
        record = await self._get(replenishment_id)
        if record.held_back and state not in _MAY_END_UNAPPROVED:
            raise ReplenishmentStateError(f"replenishment {record.id} awaits approval: it cannot become {state}")
        after = self._transitions.take(record, state, **told)
        await self._book.written(record.id)
        return after

    async def _get(self, replenishment_id: str) -> Replenishment:
        """Return a request in its current state, also if it ended long ago. Its deadline may have passed just now."""
        if not self._may_act():
            raise StoreError("replenishments cannot be stored now")
        found = await self.find(replenishment_id)
        record = expire(found, self._book.times.now(found.id))
        if record is not found:
            self._book.put(record)
        return record

    def _require_free(self, record: Replenishment, reference: str | None) -> None:
        """Refuse a request that must not be acted on now, or that somebody else has accepted."""
        if record.held_back:
            raise ReplenishmentStateError(
                f"replenishment {record.id} waits for approval: it must not be carried out yet"
            )
        if self._asker.in_dry_run(record):
            raise ReplenishmentStateError(
                f"replenishment {record.id} must not be carried out: its mode is in a dry run"
            )
        if self._asker.is_stood_in_for(record):
            raise ReplenishmentStateError(
                f"replenishment {record.id} must not be carried out: another one covers the whole"
            )
        if record.state is not ReplenishmentState.REQUESTED and (reference is None or record.reference != reference):
            raise ReplenishmentStateError(f"replenishment {record.id} is {record.state}: it cannot be carried out")
