"""Refills as a closed loop: decided, stored, asked for, followed, and verified by the reserve."""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import structlog

from reservd.config.mode import ModeConfig
from reservd.monitor.clock import Clock, SystemClock
from reservd.monitor.observer import Checked, Observer
from reservd.plugin.interfaces import Replenisher
from reservd.reserve.models import ReserveStatus
from reservd.reserve.refill_approval import reconsider
from reservd.reserve.refill_decision import RefillDecision, check_wish, decide_refill
from reservd.reserve.replenishment import Inaction, ReplenishmentOutcome, ReplenishmentRequest, Urgency
from reservd.reserve.replenishment_states import Replenishment, ReplenishmentState, advance, expire
from reservd.reserve.tracker import Instant
from reservd.service.refill_asker import RefillAsker
from reservd.service.refill_book import RefillBook
from reservd.service.refill_caller import RefillCaller, ReplenishmentObserver
from reservd.service.refill_commitments import Commitments
from reservd.service.refill_desk import RefillDesk
from reservd.service.refill_grounds import RefillGrounds
from reservd.service.refill_ledger import RefillLedger

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 1.0
_LONGEST_MEMORY = timedelta(days=31)


class ReplenishmentService(Observer):
    """Decides on each confirmed snapshot whether to ask a mode's strategy for a refill, asks, and follows it up.

    It acts on snapshots, never on events: a reminder or a redelivery asks for nothing.

    Attributes:
        desk: Where strategies and operators say what became of requests.
        inactions: Why nothing was asked for at the last check, by mode.
    """

    def __init__(
        self,
        configs: Mapping[str, ModeConfig],
        replenishers: Mapping[str, Replenisher[Any]],
        observers: Iterable[ReplenishmentObserver] = (),
        may_act: Callable[[], bool] = lambda: True,
        *,
        ledger: RefillLedger | None = None,
        clock: Clock | None = None,
        epoch: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Take what is configured.

        Args:
            configs: By mode.
            replenishers: By name.
            observers: Hear of every request.
            may_act: Whether refills may be asked for: never by two daemons, nor without a store.
            ledger: Keeps requests before they are made; nothing does unless given.
            clock: Tells the time; the machine's unless given.
            epoch: Tells which owner of the store this is; None where it is none.
        """
        self._configs = configs
        self._observers = tuple(observers)
        self._may_act = may_act
        self._ledger = ledger or RefillLedger()
        self._clock = clock or SystemClock()
        self._caller = RefillCaller(replenishers, self._observers, epoch)
        self._book = RefillBook(self._ledger, self._observers, self._clock)
        self._grounds = RefillGrounds(configs, self._book)
        self._asker = RefillAsker(configs, self._book, self._caller, may_act)
        self._latest: dict[str, Checked] = {}
        self.inactions: dict[str, Inaction] = {}
        self.desk = RefillDesk(self._book, self._ledger, self._asker, may_act)

    def heed(self, commitments: Commitments) -> None:
        """Take withdrawals into account from now on."""
        self._grounds.heed(commitments)

    async def open(self) -> None:
        """Read what is in flight, and what the budgets and cooldowns go by.

        Raises:
            StoreError: If the store does not tell.
        """
        self._book.load(await self._ledger.load(self._clock.now().wall - _LONGEST_MEMORY))

    async def run(self) -> None:
        """Enforce deadlines and ask strategies how far they are, until cancelled."""
        while True:
            if self._may_act():
                await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Do once what `run` does again and again."""
        self._end(self._book.open())
        await self._asker.follow(self._clock.now().monotonic)

    def over_api(self, mode: str) -> bool:
        """Whether a mode's strategy takes requests from the API."""
        name = self._configs[mode].reserve_replenisher
        return name is not None and self._caller.over_api(name)

    # What checks lead to

    def checked(self, checked: Checked) -> None:
        """See what has arrived, and ask for a refill when one is due."""
        config = self._configs[checked.mode]
        if config.reserve_replenisher is None:
            return
        self._latest[checked.mode] = checked
        if not self._may_act():
            self._note(checked, RefillDecision(None, Inaction.STORE_GONE))
            return
        self._grounds.take_in(checked)
        if checked.status is ReserveStatus.ADEQUATE and checked.step.conclusive:
            self._withdraw_unapproved(checked)
        self._decide(checked, config)

    def refreshed(self, modes: Sequence[str], now: Instant) -> None:
        """Decide anew about modes that were found as they were, where only time stood against a request."""
        for mode in self.inactions.keys() & modes if self.inactions else ():
            before = self._latest[mode]
            waits = self.inactions[mode] not in {Inaction.ADEQUATE, Inaction.NOT_CONCLUSIVE, Inaction.STORE_GONE}
            if waits or before.status in {ReserveStatus.LOW, ReserveStatus.CRITICAL}:
                self.checked(before._replace(snapshot=before.snapshot._replace(timestamp=now.wall)))

    def _end(self, records: Iterable[Replenishment]) -> None:
        """End what has passed its deadline, and what nobody waits for any more."""
        for record in records:
            now = self._book.times.now(record.id)
            why = self._grounds.find_needless(record)
            if why is not None and not self._asker.is_asking(record.id):
                self._book.put(advance(record, ReplenishmentState.CANCELLED, now, detail=why))
            else:
                self._book.put(expire(record, now))

    def _withdraw_unapproved(self, checked: Checked) -> None:
        for record in filter(_is_own_and_held_back, self._book.open(checked.mode)):
            why = "the reserve has recovered before it was approved"
            now = self._book.times.own(record.id, checked.snapshot.timestamp)
            self._book.put(advance(record, ReplenishmentState.CANCELLED, now, detail=why))

    def _reconsider(self, record: Replenishment, decision: RefillDecision, config: ModeConfig, now: datetime) -> None:
        """Have a request that waits for approval ask for no more than lacks by now."""
        after = reconsider(record, decision, config.refill)
        if after is None:
            own, why = self._book.times.own(record.id, now), "what lacked is there or on its way before it was approved"
            after = advance(record, ReplenishmentState.CANCELLED, own, detail=why)
        self._book.put(after)

    def _decide(self, checked: Checked, config: ModeConfig) -> None:
        now = checked.snapshot.timestamp
        if not checked.step.actionable:
            self._note(checked, RefillDecision(None, Inaction.NOT_CONCLUSIVE))
            return
        if self._grounds.unreadable(checked.mode):
            self._note(checked, RefillDecision(None, Inaction.UNREADABLE))
            return
        self._book.forget(checked.mode, config.refill)
        self._end(self._book.open(checked.mode))
        decide = partial(
            decide_refill,
            checked.snapshot,
            checked.status,
            config.refill,
            request_id=str(uuid.uuid4()),
            incident_id=checked.step.state.incident_id,
            queued=self._grounds.queued(checked.mode),
            spare=self._grounds.spare(checked),
        )
        for waiting in [each for each in self._book.open(checked.mode) if _is_own_and_held_back(each)]:
            others = [each for each in self._history(config, now) if each.id != waiting.id]
            self._reconsider(waiting, decide(others), config, now)
        decision = decide(self._history(config, now))
        if decision.request is None or decision.inaction is not None:
            self._note(checked, decision)
            return
        known = self._book.find(decision.request.id)
        self._note(checked, RefillDecision(None, Inaction.IN_FLIGHT if known is not None else None))
        record = known or self._make(decision.request, config)
        if record.held_back:
            self._note(checked, RefillDecision(None, Inaction.AWAITING_APPROVAL))
        else:
            self._asker.ask(record)

    def _note(self, checked: Checked, decision: RefillDecision) -> None:
        """Tell why nothing is asked for; a log line only at a change."""
        reason, before = decision.inaction, self.inactions.pop(checked.mode, None)
        if reason is None:
            return
        self.inactions[checked.mode] = reason
        for observer in self._observers:
            observer.not_requested(checked.mode, checked.status, reason)
        if reason is not before and reason is not Inaction.ADEQUATE:
            would = f"{decision.request.amount:f} {decision.request.urgency}" if decision.request is not None else None
            log.info("replenishment.not_requested", mode=checked.mode, reason=str(reason), would_request=would)

    # Requests

    async def request(
        self,
        mode: str,
        amount: Decimal,
        *,
        withdrawal_id: str | None = None,
        request_id: str | None = None,
        asked_by: str = "strategy",
        reason: str = "asked for",
    ) -> ReplenishmentOutcome:
        """Ask a mode's strategy for an amount, on somebody's own wish.

        Args:
            mode: The mode.
            amount: Exactly so much.
            withdrawal_id: Of the withdrawal that it is for. Its request has the same id, and is made
                whatever else is in flight: that is for other money.
            request_id: The id that it gets: asked for twice under it, it is one. A new one unless given.
            asked_by: Who wants it.
            reason: Why.

        Returns:
            The request and its answer; or why none was made: no replenisher, one is in flight, or the mode's
            limits. A withdrawal's request is bound by dry runs alone.

        Raises:
            ValueError: If the amount is not above 0.
        """
        if amount <= 0:
            raise ValueError(f"amount must be above 0, got {amount}")
        config = self._configs.get(mode)
        if config is None or config.reserve_replenisher is None:
            return self._decline(mode, Inaction.NO_REPLENISHER)
        if not self._may_act():
            return self._decline(mode, Inaction.STORE_GONE)
        wanted = withdrawal_id or request_id or str(uuid.uuid4())
        known = self._book.find(wanted) or await self._ledger.find(wanted)
        # While the ledger was asked another caller may have made it: nothing may come between looking and making.
        known = self._book.find(wanted) or known
        if known is not None:
            return await self._asker.ask(known) if known.to_be_asked else _outcome(known)
        now = self._clock.now().wall
        refusal = self._check_wish(config, amount, now, for_withdrawal=withdrawal_id is not None)
        if refusal is not None:
            return self._decline(mode, refusal)
        request = ReplenishmentRequest(
            id=wanted,
            strategy_mode=mode,
            amount=amount,
            currency=config.share_class,
            urgency=Urgency.FAST,
            requested_at=now,
            reason=reason if withdrawal_id is None else "the part of a withdrawal that the reserve does not pay",
            deadline=now + config.refill.patience,
            max_loss=config.refill.max_loss,
            withdrawal_id=withdrawal_id,
        )
        record = self._make(request, config, asked_by="" if withdrawal_id is not None else asked_by)
        return await self._asker.ask(record)

    def _check_wish(
        self, config: ModeConfig, amount: Decimal, now: datetime, *, for_withdrawal: bool
    ) -> Inaction | None:
        """Return why nothing is asked for on a wish."""
        if not for_withdrawal:
            if self._grounds.unreadable(config.mode):
                return Inaction.UNREADABLE
            own = [each for each in self._book.open(config.mode) if each.request.withdrawal_id is None]
            if len(own) >= config.refill.in_flight:
                return Inaction.IN_FLIGHT
        return check_wish(amount, config.refill, self._history(config, now), now, for_withdrawal=for_withdrawal)

    def _history(self, config: ModeConfig, now: datetime) -> list[Replenishment]:
        """Return a mode's requests, dated by the clock of now; amounts of a currency that it had before say nothing."""
        own = [each for each in self._book.of_mode(config.mode) if each.request.currency == config.share_class]
        return [self._book.times.dated(each, now) for each in own]

    def _decline(self, mode: str, reason: Inaction) -> ReplenishmentOutcome:
        """Tell why nothing is asked for on somebody's wish."""
        latest = self._latest.get(mode)
        status = latest.status if latest is not None else ReserveStatus.UNKNOWN
        for observer in self._observers:
            observer.not_requested(mode, status, reason)
        return ReplenishmentOutcome(None, None, reason)

    def _make(self, request: ReplenishmentRequest, config: ModeConfig, asked_by: str = "") -> Replenishment:
        """Take a new request down, with what its arrival is counted from: before anybody can have paid."""
        deadline = request.deadline or request.requested_at + config.refill.patience
        record = Replenishment(
            request=request,
            changed_at=request.requested_at,
            deadline=deadline,
            needs_approval=config.refill.needs_approval(request),
            asked_by=asked_by,
            by=asked_by,
        )
        latest = self._latest.get(request.strategy_mode)
        good = latest.step.state.good if latest is not None else None
        record = self._grounds.counted(record, good)
        self._book.put(record)
        return record

    async def idle(self) -> None:
        """Wait until nothing is being asked."""
        await self._asker.idle()

    async def close(self) -> None:
        """Wait a moment for what is being asked, cut off the rest, and close the replenishers."""
        await self._asker.close()
        await self._caller.close()


def _is_own_and_held_back(record: Replenishment) -> bool:
    return record.held_back and record.request.withdrawal_id is None


def _outcome(record: Replenishment) -> ReplenishmentOutcome:
    reason = str(Inaction.AWAITING_APPROVAL) if record.held_back else record.detail
    return ReplenishmentOutcome(record.request, record.acceptance, reason)
