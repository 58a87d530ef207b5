"""Measures whether the money of a refill has arrived, by readings of the reserve."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from reservd.reserve.amounts import ZERO, add, multiply, subtract
from reservd.reserve.holds import CLOCKS_DIFFER_BY, GroupReading
from reservd.reserve.models import ReserveSnapshot
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState, advance

_ONE = Decimal(1)
AWAITED = (ReplenishmentState.ACCEPTED, ReplenishmentState.IN_PROGRESS, ReplenishmentState.SETTLED)


def accounts_total(snapshot: ReserveSnapshot) -> Decimal | None:
    """Return what a mode's accounts hold, with holds and the parts of other modes; None when that is unknown."""
    if snapshot.reserve_balance is None:
        return None
    if not snapshot.accounts:
        return add(snapshot.reserve_balance, snapshot.held)
    total = ZERO
    for part in snapshot.accounts:
        if part.amount is None:
            return None
        total = add(total, part.amount)
    return total


def credit_of(record: Replenishment) -> Decimal:
    """Return what is credited to a request: what has arrived for it, up to the amount requested."""
    return min(record.arrived, record.request.amount)


def count_from(
    record: Replenishment, reading: GroupReading, accounts: str, now: datetime, others: Iterable[Replenishment] = ()
) -> Replenishment:
    """Return the record with its baseline; an existing one stays while it is of the same accounts.

    Money in an account that is added has not arrived, and money in one that is removed has not left: what had arrived
    by then is kept, and more is counted from now.

    Args:
        record: The request before.
        reading: What the accounts hold.
        accounts: Their name.
        now: When counting starts: requests that end later are credited from then.
        others: The open requests on the same accounts. The reading includes what has arrived for them.
    """
    if is_counted(record, accounts):
        return record
    baseline = {
        "baseline": subtract(reading.balance, record.arrived),
        "baseline_accounts": accounts,
        "baseline_at": reading.observed_at,
        "baseline_block": reading.block,
        "counted_at": now,
        "credited_before": {each.id: credit_of(each) for each in others if each.arrived and each.id != record.id},
    }
    return record.model_copy(update=baseline)


def is_counted(record: Replenishment, accounts: str) -> bool:
    """Return whether a request's baseline is of these accounts."""
    return record.baseline is not None and record.baseline_accounts in {accounts, None}


def set_back(record: Replenishment, by: timedelta, now: datetime) -> Replenishment:
    """Return the record corrected for a clock that was ahead when its baseline was read and has been set back.

    Args:
        record: The request before.
        by: How far the clock was ahead; 0 if that is unknown.
        now: The time by the corrected clock: nothing was read later.
    """
    if record.baseline_at is None or record.baseline_at <= now + CLOCKS_DIFFER_BY:
        return record
    return record.model_copy(update={"baseline_at": min(record.baseline_at - by, now)})


def baseline_of(record: Replenishment) -> GroupReading | None:
    """Return the reading that arrivals are counted from; None until one was believed."""
    if record.baseline is None or record.baseline_at is None:
        return None
    return GroupReading(record.baseline, record.baseline_at, record.baseline_block)


def see_arrival(
    record: Replenishment,
    baseline: GroupReading,
    reading: GroupReading,
    *,
    payouts: Decimal,
    credited: Decimal,
    tolerance: Decimal,
    now: datetime,
) -> Replenishment:
    """Return the record after a reading: with what has arrived, and VERIFIED when that is enough.

    What has arrived is the accounts' change since the request was made, plus payouts, minus other credited inflows. It
    counts from the request, not from the answer: a strategy may pay before it answers.

    Args:
        record: An open request.
        baseline: What the accounts held when it was made; see `baseline_of`.
        reading: What they hold now.
        payouts: What was paid out of them between the two.
        credited: What was credited to other requests in between; see `see_arrivals`.
        tolerance: The part of the amount that may be missing.
        now: When the reading was checked.
    """
    if record.state not in AWAITED:
        return record
    arrived = max(ZERO, subtract(add(subtract(reading.balance, baseline.balance), payouts), credited))
    if arrived and arrived >= multiply(subtract(_ONE, tolerance), record.request.amount):
        return advance(
            record, ReplenishmentState.VERIFIED, now, detail="it has arrived in the reserve", arrived=arrived
        )
    return record if arrived == record.arrived else record.model_copy(update={"arrived": arrived})
