"""One hold: its states, and which readings still show its money."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

from reservd.errors import WithdrawalStateError
from reservd.reserve.amounts import ZERO, add, subtract
from reservd.reserve.models import Observation
from reservd.reserve.readings import Balance
from reservd.reserve.withdrawal import Terms, WithdrawalPolicy, WithdrawalSpeed

CLOCKS_DIFFER_BY = timedelta(minutes=1)
"""The largest difference assumed between reservd's clock and that of whoever pays."""


class HoldState(StrEnum):
    """The state of an accepted withdrawal."""

    HELD = "held"
    """Accepted; nothing has been sent."""
    PAYING = "paying"
    """The payment is on its way."""
    SETTLED = "settled"
    """Paid."""
    CANCELLED = "cancelled"
    """Nothing was paid, and nothing will be."""


class Unwinding(StrEnum):
    """The state of the request for the part of a withdrawal that is not paid from the reserve."""

    NONE = "none"
    """There is no such part."""
    DUE = "due"
    """No strategy has taken it yet."""
    ASKED = "asked"
    """The strategy has it."""
    REFUSED = "refused"
    """The strategy refuses it, or is not to be asked. The next refill of the reserve includes it."""
    FAILED = "failed"
    """The strategy took it, and failed. The next refill of the reserve includes it."""


class GroupReading(NamedTuple):
    """What the accounts of a group held when they were read."""

    balance: Decimal
    """Payable, including everything that is promised."""
    observed_at: datetime
    """The observation time of the oldest account."""
    block: int | None = None
    """The oldest block; None without blocks."""
    newest_at: datetime | None = None
    """The observation time of the newest account; None when all are of `observed_at`."""
    newest_block: int | None = None
    """The newest block; None when all are of `block`."""


@dataclass(frozen=True, slots=True)
class Hold:
    """An accepted withdrawal, and what is held for it. Amounts are whole units of `currency`.

    Attributes:
        id: Unique. The request for the part to unwind has the same id.
        position: The number of the withdrawal among all accepted ones, in order of decision.
        mode: The strategy mode.
        group: The group of accounts that it is paid from.
        currency: The share-class currency.
        amount: The amount to pay.
        from_reserve: The part that the reserve had free when it was decided.
        unwound: The rest, for which money has to arrive.
        arrived: How much of the rest has arrived and is held.
        speed: The speed that was answered.
        state: Its state.
        unwinding: The state of the request for the part to unwind.
        key: The caller's idempotency key, unique within the mode.
        request_hash: The hash of the request that was made under the key.
        decided_at: When it was accepted.
        overdue_at: When it becomes overdue, unless it has ended.
        expected_at: When all of the money should have arrived; None when that is unknown.
        snapshot_at: When the snapshot behind the decision was taken; None when there was none.
        ended_at: When it was reported as settled or cancelled.
        paid_at: When the payment took effect, if that was reported.
        block: The block of the payment, if that was reported.
    """

    id: str
    position: int
    mode: str
    group: str
    currency: str
    amount: Decimal
    from_reserve: Decimal
    unwound: Decimal
    speed: WithdrawalSpeed
    key: str
    request_hash: str
    decided_at: datetime
    overdue_at: datetime
    expected_at: datetime | None
    snapshot_at: datetime | None
    arrived: Decimal = ZERO
    state: HoldState = HoldState.HELD
    unwinding: Unwinding = Unwinding.NONE
    ended_at: datetime | None = None
    paid_at: datetime | None = None
    block: int | None = None

    @property
    def open(self) -> bool:
        """Whether it still has to be paid."""
        return self.ended_at is None

    @property
    def held(self) -> Decimal:
        """The amount that the accounts hold for it."""
        return add(self.from_reserve, self.arrived)

    @property
    def outstanding(self) -> Decimal:
        """What has to arrive before it can be paid; 0 once it has ended."""
        return subtract(self.unwound, self.arrived) if self.open else ZERO

    @property
    def left_at(self) -> datetime | None:
        """When its money left, as far as that is known; None before that, and if it was cancelled."""
        return (self.paid_at or self.ended_at) if self.state is HoldState.SETTLED else None

    def is_overdue(self, now: datetime) -> bool:
        """Return whether it should have ended by now."""
        return self.open and now > self.overdue_at


def read_group(balances: Sequence[Balance]) -> GroupReading | None:
    """Return balances of one currency as one reading; None without balances."""
    if not balances:
        return None
    total = ZERO
    for balance in balances:
        total = add(total, balance.amount)
    return observed_together(total, [Observation(balance.observed_at, balance.block) for balance in balances])


def observed_together(balance: Decimal, seen: Sequence[Observation]) -> GroupReading:
    """Return the reading of accounts that hold an amount together, from the observation of each, of at least one."""
    times = [each.observed_at for each in seen]
    blocks = [each.block for each in seen if each.block is not None]
    oldest_at, newest_at = min(times), max(times)
    oldest, newest = min(blocks, default=None), max(blocks, default=None)
    return GroupReading(
        balance,
        oldest_at,
        oldest,
        newest_at if newest_at != oldest_at else None,
        newest if newest != oldest else None,
    )


def is_older(reading: GroupReading, than: GroupReading) -> bool:
    """Return whether a reading is of an earlier block, or without blocks of an earlier time."""
    if reading.block is not None and than.block is not None:
        return reading.block < than.block
    return reading.observed_at < than.observed_at


def as_of_newest(reading: GroupReading) -> GroupReading:
    """Return a reading as if all of its accounts had been observed when the newest one was."""
    if reading.newest_at is None and reading.newest_block is None:
        return reading
    block = reading.block if reading.newest_block is None else reading.newest_block
    return reading._replace(observed_at=reading.newest_at or reading.observed_at, block=block)


def hash_request(mode: str, amount: Decimal) -> str:
    """Return the hash that tells two requests under one key apart; `1.50` equals `1.5`."""
    return sha256(repr((mode, amount.as_integer_ratio())).encode()).hexdigest()


def expect(terms: Terms, policy: WithdrawalPolicy, before: datetime | None, now: datetime) -> datetime | None:
    """Return when all the money for a withdrawal should have arrived; None when nobody is asked to unwind the rest.

    Args:
        terms: How it is paid.
        policy: How long unwinding takes.
        before: The same time for the withdrawal before it in the queue.
        now: When it is decided.
    """
    if not terms.unwound:
        return now
    if policy.unwinding is None:
        return None
    return max(now + policy.unwinding, before or now)


def hold_for(
    hold_id: str,
    position: int,
    mode: str,
    group: str,
    currency: str,
    terms: Terms,
    policy: WithdrawalPolicy,
    *,
    key: str,
    expected_at: datetime | None,
    snapshot_at: datetime | None,
    now: datetime,
) -> Hold:
    """Return the hold of a withdrawal that is accepted on these terms."""
    amount = add(terms.from_reserve, terms.unwound)
    unwinding = (policy.unwinding or timedelta()) if terms.unwound else timedelta()
    return Hold(
        id=hold_id,
        position=position,
        mode=mode,
        group=group,
        currency=currency,
        amount=amount,
        from_reserve=terms.from_reserve,
        unwound=terms.unwound,
        speed=terms.speed,
        key=key,
        request_hash=hash_request(mode, amount),
        decided_at=now,
        overdue_at=now + policy.patience + unwinding,
        expected_at=expected_at,
        snapshot_at=snapshot_at,
        unwinding=Unwinding.DUE if terms.unwound else Unwinding.NONE,
    )


def mark_paying(hold: Hold) -> Hold:
    """Return the hold with its payment sent.

    Raises:
        WithdrawalStateError: If it has ended.
    """
    if not hold.open:
        raise WithdrawalStateError(f"withdrawal {hold.id} must not have ended, is {hold.state}")
    return replace(hold, state=HoldState.PAYING)


def settle(hold: Hold, now: datetime, *, block: int | None = None, paid_at: datetime | None = None) -> Hold:
    """Return the hold as paid. Repeating the same report changes nothing.

    Args:
        hold: The hold.
        now: When the payment is reported.
        block: The block of the payment.
        paid_at: When the payment took effect. One of the two is required: it decides which readings still show the
            money.

    Raises:
        ValueError: If neither is given, or they are impossible.
        WithdrawalStateError: If it was cancelled, or settled with other values.
    """
    if hold.state is HoldState.SETTLED and (block, paid_at) == (hold.block, hold.paid_at):
        return hold
    if not hold.open:
        raise WithdrawalStateError(f"withdrawal {hold.id} must be open to be settled, is {hold.state}")
    if block is None and paid_at is None:
        raise ValueError("a payment needs its block or its paid_at")
    if block is not None and block < 0:
        raise ValueError(f"block must be at least 0, got {block}")
    latest = now + CLOCKS_DIFFER_BY
    # A later decision time comes from a clock that was ahead, and the true one is unknown.
    is_before = paid_at is not None and paid_at < hold.decided_at - CLOCKS_DIFFER_BY and hold.decided_at <= latest
    if paid_at is not None and (is_before or paid_at > latest):
        raise ValueError(
            f"paid_at must be between the decision ({hold.decided_at.isoformat()}) and now, got {paid_at.isoformat()}"
        )
    return replace(hold, state=HoldState.SETTLED, ended_at=now, block=block, paid_at=paid_at)


def cancel(hold: Hold, now: datetime) -> Hold:
    """Return the hold as cancelled: it is certain that nothing will be paid. Repeating it changes nothing.

    Raises:
        WithdrawalStateError: If it was settled.
    """
    if hold.state is HoldState.CANCELLED:
        return hold
    if not hold.open:
        raise WithdrawalStateError(f"withdrawal {hold.id} must be open to be cancelled, is {hold.state}")
    return replace(hold, state=HoldState.CANCELLED, ended_at=now)


def is_shown(hold: Hold, reading: GroupReading) -> bool:
    """Return whether a reading still includes the money that is held, so that it must be subtracted.

    Every reading includes that of an open hold. A reading includes that of a settled one if it is older than the
    payment: compared by block if both have one, otherwise by time.
    """
    if hold.open:
        return True
    if hold.left_at is None:
        return False
    if hold.block is not None and reading.block is not None:
        return reading.block < hold.block
    return reading.observed_at < hold.left_at
