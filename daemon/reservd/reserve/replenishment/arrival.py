"""Whether a refill has arrived, as far as the reserve shows."""

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
    """Return what a mode's accounts hold, holds and other modes' shares included; None when that is not known."""
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
    """Return what others leave to a request of what came in: what has arrived for it, no more than it asked for."""
    return min(record.arrived, record.request.amount)


def count_from(
    record: Replenishment, reading: GroupReading, accounts: str, now: datetime, others: Iterable[Replenishment] = ()
) -> Replenishment:
    """Return the record with the reading that arrivals are counted from; it stays while that is of the same accounts.

    What lies in an account that is looked at from now on has not arrived, and what one held that is not looked at any
    more has not gone: what had arrived by then stays so, and more is counted from now.

    Args:
        record: Before.
        reading: What the accounts hold.
        accounts: Their name.
        now: When it is counted from: what ends later is credited since.
        others: The open requests of the same accounts. What has arrived for them by then is in the reading.
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
    """Return whether arrivals are counted for a request from a reading of these accounts."""
    return record.baseline is not None and record.baseline_accounts in {accounts, None}


def set_back(record: Replenishment, by: timedelta, now: datetime) -> Replenishment:
    """Return the record after a clock was set back that was ahead when its baseline was read: as if it had not been.

    Args:
        record: Before.
        by: How far it was ahead; 0 where that is not known.
        now: By the clock as it is: nothing was read later.
    """
    if record.baseline_at is None or record.baseline_at <= now + CLOCKS_DIFFER_BY:
        return record
    return record.model_copy(update={"baseline_at": min(record.baseline_at - by, now)})


def baseline_of(record: Replenishment) -> GroupReading | None:
    """Return the reading that arrivals are counted from; None while none was believed."""
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
    """Return the record after a reading: with what has arrived, VERIFIED when that is enough.

    What has arrived is the accounts' change since it was asked for, plus payouts, minus other credited
    inflows. Since it was asked, not since its answer was heard: a strategy may pay before that.

    Args:
        record: An open request.
        baseline: What the accounts held when it was asked for; see `baseline_of`.
        reading: What they hold.
        payouts: What was paid out of them between the two.
        credited: What other requests were credited meanwhile; see `Arrivals`.
        tolerance: Which part of the amount may lack.
        now: When the reading was checked.
    """
    if record.state not in AWAITED:
        return record
    arrived = max(ZERO, subtract(add(subtract(reading.balance, baseline.balance), payouts), credited))
    if arrived and arrived >= multiply(subtract(_ONE, tolerance), record.request.amount):
        return advance(record, ReplenishmentState.VERIFIED, now, detail="the reserve has seen it", arrived=arrived)
    return record if arrived == record.arrived else record.model_copy(update={"arrived": arrived})
