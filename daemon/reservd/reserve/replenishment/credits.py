"""Credits incoming money to one of several requests on the same accounts: first come, first served."""

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal

from reservd.reserve.amounts import ZERO, add, subtract
from reservd.reserve.holds import GroupReading
from reservd.reserve.replenishment.arrival import AWAITED, baseline_of, credit_of, see_arrival
from reservd.reserve.replenishment.states import Replenishment
from reservd.reserve.running_sums import RunningSums


class EndedCredits:
    """What had arrived for requests that have ended, by when they ended."""

    __slots__ = ("_count", "_sums")

    def __init__(self) -> None:
        self._sums = RunningSums()
        self._count = 0

    def __len__(self) -> int:
        return len(self._sums)

    def add(self, record: Replenishment, ended_at: float, replacer: Replenishment | None = None) -> None:
        """Add a request that has ended.

        Args:
            record: The request.
            ended_at: When it ended, in seconds of a clock that is never set.
            replacer: The request that replaces it, if any. That one asks for the whole amount, and is credited with all
                that has arrived since its counting started.
        """
        credit = credit_of(record)
        if record.replaced_by is not None:
            credit = replacer.credited_before.get(record.id, ZERO) if replacer is not None else ZERO
        if credit:
            self._count += 1
            self._sums.add(ended_at, self._count, credit)

    def since(self, at: float) -> Decimal:
        """Return what is credited to requests that ended after a time."""
        return self._sums.after(at)

    def forget(self, until: float) -> None:
        """Drop requests that ended by a time."""
        self._sums.drop_until(until)


def counted_since(record: Replenishment) -> datetime:
    """Return when counting of arrivals for a request starts."""
    return record.counted_at or record.request.requested_at


def see_arrivals(
    records: Iterable[Replenishment],
    reading: GroupReading,
    *,
    paid_since: Callable[[GroupReading], Decimal],
    ended_since: Callable[[Replenishment], Decimal],
    tolerance: Callable[[str], Decimal],
    now: datetime,
) -> list[Replenishment]:
    """Return a group's open requests after a reading of its accounts, without those that are not counted.

    Inflows are credited to the request whose counting started first, up to its amount, and the rest to those after it:
    only the last one may have more than it asked for.

    Args:
        records: Open requests, in the order in which their counting started.
        reading: What the accounts hold.
        paid_since: Returns what was paid out of them since a baseline.
        ended_since: Returns what is credited to requests that ended after counting for one started.
        tolerance: Returns the part of an amount that may be missing, by mode.
        now: When the reading was checked.
    """
    seen: list[Replenishment] = []
    earlier = ZERO
    for record in records:
        baseline = baseline_of(record)
        if record.state not in AWAITED or baseline is None:
            continue
        if seen and seen[-1].arrived > seen[-1].request.amount:
            seen[-1] = seen[-1].model_copy(update={"arrived": seen[-1].request.amount})
        credited = add(ended_since(record), earlier)
        for before in record.credited_before.values():
            credited = subtract(credited, before)
        after = see_arrival(
            record,
            baseline,
            reading,
            payouts=paid_since(baseline),
            credited=credited,
            tolerance=tolerance(record.request.strategy_mode),
            now=now,
        )
        earlier = add(earlier, credit_of(after))
        seen.append(after)
    return seen
