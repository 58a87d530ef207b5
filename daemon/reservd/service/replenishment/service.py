"""Refills as a closed loop: decided, stored, requested, followed, and verified by the reserve."""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import structlog

from reservd.config.mode import ModeConfig
from reservd.errors import OwnershipLostError, StoreError
from reservd.log import DefectLog
from reservd.monitor.clock import Clock, SystemClock
from reservd.monitor.observer import Checked, Observer
from reservd.plugin.interfaces import Replenisher
from reservd.reserve.models import ReserveStatus
from reservd.reserve.replenishment import Inaction, ReplenishmentOutcome
from reservd.reserve.replenishment.approval import reconsider
from reservd.reserve.replenishment.decision import RefillDecision, decide_refill
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState, advance, expire
from reservd.reserve.tracker import Instant
from reservd.service.replenishment.asker import RefillAsker
from reservd.service.replenishment.book import RefillBook
from reservd.service.replenishment.caller import RefillCaller, ReplenishmentObserver
from reservd.service.replenishment.commitments import Commitments
from reservd.service.replenishment.desk import RefillDesk
from reservd.service.replenishment.grounds import RefillGrounds
from reservd.service.replenishment.ledger import RefillLedger
from reservd.service.replenishment.requests import RefillRequests
from reservd.service.replenishment.transitions import RefillTransitions

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 1.0
_LONGEST_MEMORY = timedelta(days=31)


class ReplenishmentService(Observer):
    """Decides after each confirmed snapshot whether to request a refill, sends the request, and follows it.

    It acts on snapshots, never on events: a reminder or a redelivery requests nothing.

    Attributes:
        desk: Where strategies and operators report on requests.
        inactions: Why nothing was requested at the last check, by mode.
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
        """Create the service.

        Args:
            configs: By mode.
            replenishers: By name.
            observers: Notified of every request.
            may_act: Returns whether refills may be requested: never by two daemons, nor without a store.
            ledger: Keeps requests before they are sent; nothing is kept unless given.
            clock: The clock; the machine's own unless given.
            epoch: Returns the epoch of this owner of the store; None while it is not the owner.
        """
        ledger = ledger or RefillLedger()

        def acts() -> bool:
            return ledger.loaded and may_act()

        self._configs = configs
        self._observers = tuple(observers)
        self._may_act = acts
        self._ledger = ledger
        self._clock = clock or SystemClock()
        self._caller = RefillCaller(replenishers, self._observers, epoch)
        self._book = RefillBook(self._ledger, self._observers, self._clock)
        self._latest: dict[str, Checked] = {}
        self._grounds = RefillGrounds(configs, self._book, self._latest)
        transitions = RefillTransitions(configs, self._book, self._grounds)
        self._asker = RefillAsker(configs, self._book, transitions, self._caller, acts)
        self._requests = RefillRequests(
            configs,
            self._book,
            self._ledger,
            self._asker,
            self._grounds,
            self._latest,
            self._observers,
            acts,
            self._clock,
        )
        self._defects = DefectLog("replenishments.not_looked_at")
        self.inactions: dict[str, Inaction] = {}
        self.desk = RefillDesk(self._book, self._ledger, transitions, self._asker, acts)

    def heed(self, commitments: Commitments) -> None:
        """Take withdrawals into account from now on."""
        self._grounds.heed(commitments)

    async def open(self) -> None:
        """Load the requests in flight, and those that budgets and cooldowns depend on.

        Raises:
            StoreError: If the store cannot be read.
        """
        self._book.load(await self._ledger.load(self._clock.now().wall - _LONGEST_MEMORY))

    async def run(self) -> None:
        """Enforce deadlines and poll strategies until cancelled."""
        while True:
            try:
                if self._may_act():
                    await self.look()
            except (StoreError, OwnershipLostError):
                raise
            except Exception as error:  # noqa: BLE001  # logged: otherwise refills would end without an alarm
                self._defects.tell(error)
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Do once what `run` does periodically."""
        self._end(self._book.open())
        await self._asker.follow(self._clock.now().monotonic)

    def over_api(self, mode: str) -> bool:
        """Return whether a mode's strategy takes requests from the API."""
        name = self._configs[mode].reserve_replenisher
        return name is not None and self._caller.over_api(name)

    def checked(self, checked: Checked) -> None:
        """Count arrivals, and request a refill when one is due."""
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
        """Decide again about unchanged modes where only time kept a refill from being requested."""
        for mode in self.inactions.keys() & modes if self.inactions else ():
            before = self._latest[mode]
            waits = self.inactions[mode] not in {Inaction.ADEQUATE, Inaction.NOT_CONCLUSIVE, Inaction.STORE_GONE}
            if waits or before.status in {ReserveStatus.LOW, ReserveStatus.CRITICAL}:
                self.checked(before._replace(snapshot=before.snapshot._replace(timestamp=now.wall)))

    def _end(self, records: Iterable[Replenishment]) -> None:
        """End requests that have passed their deadline, and those that are no longer needed."""
        for record in records:
            now = self._book.times.now(record.id)
            why = self._grounds.find_needless(record)
            if why is not None and not self._asker.is_asking(record.id):
                self._book.put(advance(record, ReplenishmentState.CANCELLED, now, detail=why))
            else:
                self._book.put(expire(record, now))

    def _withdraw_unapproved(self, checked: Checked) -> None:
        for record in filter(_is_own_and_held_back, self._book.open(checked.mode)):
            why = "the reserve recovered before it was approved"
            now = self._book.times.own(record.id, checked.snapshot.timestamp)
            self._book.put(advance(record, ReplenishmentState.CANCELLED, now, detail=why))

    def _reconsider(self, record: Replenishment, decision: RefillDecision, config: ModeConfig, now: datetime) -> None:
        """Reduce a request that awaits approval to the amount that is still missing."""
        own = self._book.times.own(record.id, now)
        after = reconsider(record, decision, config.refill, own)
        if after is None:
            why = "the missing amount was there or on its way before it was approved"
            after = advance(record, ReplenishmentState.CANCELLED, own, detail=why)
        elif not after.held_back:
            after = self._grounds.counted_anew(after, own)
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
        self._grounds.forget(checked.mode)
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
            others = [each for each in self._grounds.history(config, now) if each.id != waiting.id]
            self._reconsider(waiting, decide(others, request_id=waiting.id), config, now)
        decision = decide(self._grounds.history(config, now))
        if decision.request is None or decision.inaction is not None:
            self._note(checked, decision)
            return
        known = self._book.find(decision.request.id)
        self._note(checked, RefillDecision(None, Inaction.IN_FLIGHT if known is not None else None))
        record = known or self._requests.make(decision.request, config)
        if record.held_back:
            self._note(checked, RefillDecision(None, Inaction.AWAITING_APPROVAL))
        else:
            self._asker.ask(record)

    def _note(self, checked: Checked, decision: RefillDecision) -> None:
        """Report why nothing is requested, with a log line only when the reason changes."""
        reason, before = decision.inaction, self.inactions.pop(checked.mode, None)
        if reason is None:
            return
        self.inactions[checked.mode] = reason
        for observer in self._observers:
            observer.not_requested(checked.mode, checked.status, reason)
        if reason is not before and reason is not Inaction.ADEQUATE:
            would = f"{decision.request.amount:f} {decision.request.urgency}" if decision.request is not None else None
            log.info("replenishment.not_requested", mode=checked.mode, reason=str(reason), would_request=would)

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
        """Request a given amount from a mode's strategy, on somebody's demand.

        Args:
            mode: The mode.
            amount: The exact amount.
            withdrawal_id: The withdrawal that it is for. Its request has the same id, and is made whatever else is in
                flight, which is for other money.
            request_id: The id of the request: made twice under one id, it is one request. A new id unless given.
            asked_by: Who demands it.
            reason: Why.

        Returns:
            The request and its answer, or why none was made: no replenisher, a request in flight, or the mode's limits.
            Only dry runs limit a withdrawal's request.

        Raises:
            ValueError: If the amount is not above 0.
        """
        return await self._requests.request(
            mode, amount, withdrawal_id=withdrawal_id, request_id=request_id, asked_by=asked_by, reason=reason
        )

    async def idle(self) -> None:
        """Wait until no request is being sent."""
        await self._asker.idle()

    async def close(self) -> None:
        """Wait briefly for requests that are being sent, cancel the rest, and close the replenishers."""
        await self._asker.close()
        await self._caller.close()


def _is_own_and_held_back(record: Replenishment) -> bool:
    return record.held_back and record.request.withdrawal_id is None
