"""Creates requests for refills, including those that a strategy, an operator or a withdrawal asks for."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from reservd.config.mode import ModeConfig
from reservd.monitor.clock import Clock
from reservd.monitor.observer import Checked
from reservd.reserve.models import ReserveStatus
from reservd.reserve.replenishment import Inaction, ReplenishmentOutcome, ReplenishmentRequest, Urgency
from reservd.reserve.replenishment.limits import check_requested_amount
from reservd.reserve.replenishment.states import Replenishment
from reservd.service.replenishment.asker import RefillAsker
from reservd.service.replenishment.book import RefillBook
from reservd.service.replenishment.caller import ReplenishmentObserver
from reservd.service.replenishment.grounds import RefillGrounds
from reservd.service.replenishment.ledger import RefillLedger


class RefillRequests:
    """Records new requests for refills, and sends those that did not come from a check.

    Args:
        configs: By mode.
        book: The requests that still matter.
        ledger: Keeps requests.
        asker: Sends requests to the strategies.
        grounds: What a decision is based on besides the snapshot.
        latest: The last check of each mode.
        observers: Notified of declined requests.
        may_act: Returns whether refills may be requested.
        clock: The clock.
    """

    def __init__(
        self,
        configs: Mapping[str, ModeConfig],
        book: RefillBook,
        ledger: RefillLedger,
        asker: RefillAsker,
        grounds: RefillGrounds,
        latest: Mapping[str, Checked],
        observers: Iterable[ReplenishmentObserver],
        may_act: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._configs = configs
        self._book = book
        self._ledger = ledger
        self._asker = asker
        self._grounds = grounds
        self._latest = latest
        self._observers = tuple(observers)
        self._may_act = may_act
        self._clock = clock

    async def request(
        self,
        mode: str,
        amount: Decimal,
        *,
        withdrawal_id: str | None,
        request_id: str | None,
        asked_by: str,
        reason: str,
    ) -> ReplenishmentOutcome:
        """Make a request for a given amount and send it: see `ReplenishmentService.request`."""
        if amount <= 0:
            raise ValueError(f"amount must be above 0, got {amount}")
        config = self._configs.get(mode)
        if config is None or config.reserve_replenisher is None:
            return self._decline(mode, Inaction.NO_REPLENISHER)
        if not self._may_act():
            return self._decline(mode, Inaction.STORE_GONE)
        wanted = withdrawal_id or request_id or str(uuid.uuid4())
        known = self._book.find(wanted) or await self._ledger.find(wanted)
        # Another caller may have made it while the ledger was read: from this look-up on, nothing may await.
        known = self._book.find(wanted) or known
        if known is not None:
            return await self._asker.ask(known) if known.to_be_asked else _outcome(known)
        now = self._clock.now().wall
        refusal = self._check_amount(config, amount, now, for_withdrawal=withdrawal_id is not None)
        if refusal is not None:
            return self._decline(mode, refusal)
        request = ReplenishmentRequest(
            id=wanted,
            strategy_mode=mode,
            amount=amount,
            currency=config.share_class,
            urgency=Urgency.FAST,
            requested_at=now,
            reason=reason if withdrawal_id is None else "the part of a withdrawal that is not paid from the reserve",
            deadline=now + config.refill.patience,
            max_loss=config.refill.max_loss,
            withdrawal_id=withdrawal_id,
        )
        record = self.make(request, config, asked_by="" if withdrawal_id is not None else asked_by)
        return await self._asker.ask(record)

    def make(self, request: ReplenishmentRequest, config: ModeConfig, asked_by: str = "") -> Replenishment:
        """Record a new request, with the baseline that its arrival is measured from: before anybody can have paid."""
        deadline = request.deadline or request.requested_at + config.refill.patience
        record = Replenishment(
            request=request,
            changed_at=request.requested_at,
            deadline=deadline,
            needs_approval=config.refill.needs_approval(request),
            asked_by=asked_by,
            by=asked_by,
        )
        record = self._grounds.counted(record, request.requested_at)
        self._book.put(record)
        return record

    def _check_amount(
        self, config: ModeConfig, amount: Decimal, now: datetime, *, for_withdrawal: bool
    ) -> Inaction | None:
        """Return why a request for a given amount is declined; None when it may be made."""
        if not for_withdrawal:
            if self._grounds.unreadable(config.mode):
                return Inaction.UNREADABLE
            own = [each for each in self._book.open(config.mode) if each.request.withdrawal_id is None]
            if len(own) >= config.refill.in_flight:
                return Inaction.IN_FLIGHT
        return check_requested_amount(
            amount, config.refill, self._grounds.history(config, now), now, for_withdrawal=for_withdrawal
        )

    def _decline(self, mode: str, reason: Inaction) -> ReplenishmentOutcome:
        """Notify the observers why a request for a given amount is declined."""
        latest = self._latest.get(mode)
        status = latest.status if latest is not None else ReserveStatus.UNKNOWN
        for observer in self._observers:
            observer.not_requested(mode, status, reason)
        return ReplenishmentOutcome(None, None, reason)


def _outcome(record: Replenishment) -> ReplenishmentOutcome:
    reason = str(Inaction.AWAITING_APPROVAL) if record.held_back else record.detail
    return ReplenishmentOutcome(record.request, record.acceptance, reason)
