"""Withdrawals: how fast clients may be paid, with a hold for each that is accepted."""

import asyncio
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial

import structlog

from reservd.config.mode import ModeConfig
from reservd.errors import (
    ConfigError,
    StoreError,
    TooManyWaitError,
    UnknownWithdrawalError,
)
from reservd.monitor.clock import Clock, SystemClock
from reservd.monitor.manager import ReserveManager
from reservd.reserve import holds as rules
from reservd.reserve.amounts import ZERO, check_amount
from reservd.reserve.holds import GroupReading, Hold, HoldState
from reservd.reserve.holds.book import HoldBook
from reservd.reserve.holds.payment_block import check_block
from reservd.reserve.holds.queue import QueuePlace, line_up
from reservd.reserve.withdrawal import Refusal, WithdrawalSpeed, decide_withdrawal, withdrawal_speed
from reservd.service.withdrawals.answers import (
    QueuedWithdrawal,
    WithdrawalDecision,
    WithdrawalObserver,
    WithdrawalQuote,
)
from reservd.service.withdrawals.decisions import WithdrawalDecider
from reservd.service.withdrawals.desk import HoldDesk
from reservd.service.withdrawals.held_reserves import HeldReserves
from reservd.service.withdrawals.unwinding import Unwinder
from reservd.service.withdrawals.watch import HoldWatch

log = structlog.get_logger(__name__)

_MAX_KEY = 200


class WithdrawalManager:
    """Decides how withdrawals are paid, from a reserve manager's snapshots. It reads no venue and pays nothing.

    Every accepted withdrawal is held: no part of the reserve is promised twice, however many callers there are at the
    same time. It fails closed: without a current snapshot, or without the store if one is configured, every withdrawal
    is slow.

    Args:
        reserve_manager: Watches the modes. Its snapshots take holds into account from now on.
        desk: Keeps the holds; only in memory unless given.
        observers: Notified of withdrawals.
        may_promise: Returns whether this daemon is certain to own its store.
        clock: The clock; the machine's own unless given.
    """

    def __init__(
        self,
        reserve_manager: ReserveManager,
        desk: HoldDesk | None = None,
        observers: Iterable[WithdrawalObserver] = (),
        may_promise: Callable[[], bool] = lambda: True,
        clock: Clock | None = None,
    ) -> None:
        self.reserve_manager = reserve_manager
        self._clock = clock or SystemClock()
        self._desk = desk or HoldDesk(self._is_limited, self._clock)
        self._observers = tuple(observers)
        self._may_promise = may_promise
        self._decider = WithdrawalDecider(reserve_manager, self._desk, self._clock)
        self._unwinder = Unwinder(reserve_manager, self._desk)
        self._watch = HoldWatch(reserve_manager, self._desk, self._unwinder, self._observers, self._clock)
        self._held = HeldReserves(reserve_manager, self._desk)
        reserve_manager.holds = self._held
        reserve_manager.add_observer(self._held)

    async def get_withdrawal_speed(self, strategy_mode: str, amount: Decimal | None = None) -> WithdrawalSpeed:
        """Return how fast a mode would pay now.

        Args:
            strategy_mode: The mode. One that is not watched, not checked yet, or unknown pays slowly.
            amount: The amount to pay. Without it, only the worse of the newest and the confirmed status counts.

        Raises:
            TypeError: If the amount is not a Decimal.
            ValueError: If it is not above 0.
        """
        if amount is not None:
            _check(amount)
        config = self.reserve_manager.reserve_configs.get(strategy_mode)
        if config is None:
            return WithdrawalSpeed.SLOW
        ground = self._decider.ground(config, may_promise=self._promises)
        if amount is None:
            return withdrawal_speed(ground.status, ground.status)
        return decide_withdrawal(amount, ground, config.withdrawal).speed

    async def quote_withdrawal(self, strategy_mode: str, amount: Decimal) -> WithdrawalQuote:
        """Return how a withdrawal would be paid if it were requested now. Nothing is held.

        Raises:
            ConfigError: If the mode is not watched.
            TypeError: If the amount is not a Decimal.
            ValueError: If it is not above 0.
        """
        _check(amount)
        return self._decider.quote(self._config(strategy_mode), amount, may_promise=self._promises)

    def queue(self, strategy_mode: str) -> tuple[QueuedWithdrawal, ...]:
        """Return the withdrawals that wait for money to arrive on a mode's accounts, in their order."""
        waiting = self._desk.book.totals.waiting(self.reserve_manager.account_group(strategy_mode))
        places = line_up(waiting)
        return tuple([QueuedWithdrawal(hold, *places[hold.id]) for hold in waiting])

    def stand(self, hold: Hold) -> QueuePlace | None:
        """Return where a withdrawal stands in the queue; None when it waits for nothing."""
        return self._desk.book.totals.stand(hold)

    async def list(
        self,
        strategy_mode: str | None = None,
        states: Collection[HoldState] | None = None,
        *,
        limit: int = 100,
        before: int | None = None,
    ) -> Sequence[Hold]:
        """Return accepted withdrawals, newest first.

        Args:
            strategy_mode: Only withdrawals of this mode.
            states: Only withdrawals in these states.
            limit: The largest number to return.
            before: Only withdrawals at a lower position, which is that of the last one on the previous page.

        Raises:
            StoreError: If the store cannot be read.
        """
        return await self._desk.load(strategy_mode, states, limit, before)

    async def find(self, withdrawal_id: str) -> Hold:
        """Return an accepted withdrawal.

        Raises:
            UnknownWithdrawalError: If there is none with that id.
            StoreError: If the store cannot be read.
        """
        return _known(await self._desk.find(withdrawal_id), withdrawal_id)

    def overdue(self) -> Sequence[Hold]:
        """Return the withdrawals that should have been paid by now."""
        return self._watch.overdue()

    async def process_withdrawal(
        self, strategy_mode: str, amount: Decimal, idempotency_key: str | None = None
    ) -> WithdrawalDecision:
        """Decide a withdrawal, hold the promised amount, and return the decision once it is kept.

        The part to unwind is requested from the mode's replenisher, if it has one.

        Args:
            strategy_mode: The mode.
            amount: The amount to pay, in whole units of its share class.
            idempotency_key: Once accepted, the same key gives the same answer however often it is sent. A refused
                withdrawal is decided again. Without a key, every call is another withdrawal.

        Returns:
            How it is paid; or, false, why it was not accepted. When that is `STORE_GONE`, nothing is promised and
            nothing is certain: ask again under the same key.

        Raises:
            ConfigError: If the mode is not watched.
            TypeError: If the amount is not a Decimal.
            ValueError: If it is not above 0, or the key is empty or too long.
            WithdrawalConflictError: If the key was used for another amount.
        """
        _check(amount)
        config = self._config(strategy_mode)
        key = str(uuid.uuid4()) if idempotency_key is None else idempotency_key
        if not 0 < len(key) <= _MAX_KEY or "\0" in key:
            raise ValueError(f"an idempotency key must have 1 to {_MAX_KEY} characters, got {len(key)}")
        began = time.monotonic()
        refused = partial(WithdrawalDecision.refused, strategy_mode, amount, config.share_class)
        try:
            decision = await self._desk.submit(
                partial(self._decider.decide, config, amount, key), key=(strategy_mode, key)
            )
        except TooManyWaitError:
            decision = refused(Refusal.BUSY)
        except StoreError:
            decision = refused(Refusal.STORE_GONE)
        for observer in self._observers:
            observer.decided(decision, time.monotonic() - began)
        if decision.hold is not None:
            self._unwinder.ask(decision.hold)
        return decision

    async def mark_paying(self, withdrawal_id: str) -> Hold:
        """Record that the payment was sent.

        Raises:
            UnknownWithdrawalError: If there is no such withdrawal.
            WithdrawalStateError: If it has ended.
            StoreError: If it is not certain that this is kept.
        """
        return await self._change(withdrawal_id, rules.mark_paying)

    async def settle(self, withdrawal_id: str, *, block: int | None = None, paid_at: datetime | None = None) -> Hold:
        """Record that the client was paid: older readings still include the money, later ones do not.

        Args:
            withdrawal_id: The withdrawal.
            block: The block of the payment, if all the mode's accounts are on one chain. A block that the last reading
                rules out is refused. With several venues it is ignored.
            paid_at: When the payment took effect, aware. One of the two is needed.

        Raises:
            UnknownWithdrawalError: If there is no such withdrawal.
            ValueError: If neither is given, or one is impossible.
            WithdrawalStateError: If it was cancelled, or settled otherwise.
            StoreError: If it is not certain that this is kept.
        """
        if paid_at is not None and paid_at.tzinfo is None:
            raise ValueError(f"paid_at must have a time zone, got {paid_at.isoformat()}")
        now = self._clock.now().wall

        def settled(hold: Hold) -> Hold:
            on_one = len(self.reserve_manager.venues(hold.mode)) <= 1
            if not on_one and block is not None and paid_at is None:
                raise ValueError(f"mode '{hold.mode}' has accounts on several venues: a payment needs its paid_at")
            # A block of one chain says nothing about other chains.
            of_accounts = block if on_one else None
            if of_accounts is not None and hold.open:
                check_block(of_accounts, hold, self._last_reading(hold.mode), now)
            return rules.settle(hold, now, block=of_accounts, paid_at=paid_at)

        return await self._change(withdrawal_id, settled)

    async def cancel(self, withdrawal_id: str) -> Hold:
        """Record that nothing was or will be paid: the held amount is available again.

        Raises:
            UnknownWithdrawalError: If there is no such withdrawal.
            WithdrawalStateError: If it was settled.
            StoreError: If it is not certain that this is kept.
        """
        return await self._change(withdrawal_id, partial(rules.cancel, now=self._clock.now().wall))

    async def run(self) -> None:
        """Keep decisions, report overdue holds, and repeat requests that no strategy has taken, until cancelled.

        Raises:
            OwnershipLostError: If another daemon owns the store.
        """
        watching = asyncio.create_task(self._watch.run())
        try:
            await self._desk.run()
        finally:
            watching.cancel()
            await asyncio.gather(watching, self._unwinder.close(), return_exceptions=True)

    async def _change(self, withdrawal_id: str, change: Callable[[Hold], Hold]) -> Hold:
        def changed(book: HoldBook) -> Hold:
            before = _known(book.find(withdrawal_id), withdrawal_id)
            after = change(before)
            if after != before:
                book.put(after)
                self._held.look_again(after)
                log.info("withdrawal.changed", mode=after.mode, id=after.id, state=str(after.state))
            return after

        return await self._desk.submit(changed, hold_id=withdrawal_id)

    def _last_reading(self, mode: str) -> GroupReading | None:
        """Return the last reading of a mode's accounts; None when there is none, or the mode is not watched."""
        if mode not in self.reserve_manager.reserve_configs:
            return None
        standing = self.reserve_manager.standing(mode)
        return standing.reading if standing is not None else None

    @property
    def _promises(self) -> bool:
        return self._desk.up and self._may_promise()

    def _config(self, mode: str) -> ModeConfig:
        config = self.reserve_manager.reserve_configs.get(mode)
        if config is None:
            raise ConfigError(f"mode '{mode}' is not configured")
        return config

    def _is_limited(self, mode: str) -> bool:
        config = self.reserve_manager.reserve_configs.get(mode)
        return config is not None and config.withdrawal.maximum_per_period is not None


def _check(amount: Decimal) -> None:
    if check_amount(amount) <= ZERO:
        raise ValueError(f"amount must be above 0, got {amount}")


def _known(hold: Hold | None, withdrawal_id: str) -> Hold:
    if hold is None:
        raise UnknownWithdrawalError(f"there is no withdrawal '{withdrawal_id}'")
    return hold
