"""What one reading of equity tells, and which balances it can be combined with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from reservd.reserve.amounts import ZERO
from reservd.reserve.models import Observation
from reservd.reserve.policy import Missing, ReservePolicy, is_current
from reservd.reserve.readings import Balance, Equity


@dataclass(frozen=True, slots=True)
class BelievedEquity:
    """What one reading of an equity tells all modes of one currency that believe readings of one age and skew.

    Attributes:
        amount: None when it may not be believed.
        problem: Why it may not.
        observed_at: When it was true; None when it could not be read.
        seen: When it was true with the prices in it.
        within: The earliest and the latest time at which balances must have been observed to say anything beside it;
            None: any.
    """

    amount: Decimal | None
    problem: str | None
    observed_at: datetime | None = None
    seen: Observation | None = None
    within: tuple[datetime, datetime] | None = None

    def beside_any(self) -> "BelievedEquity":
        """Return the same for modes whose balances are known to have been observed in that time, each of them."""
        return BelievedEquity(self.amount, self.problem, self.observed_at, self.seen) if self.within else self


def believe_equity(equity: Equity | Missing | None, policy: ReservePolicy, now: datetime) -> BelievedEquity:
    """Return what an equity tells a mode, and all those of its currency that believe readings of the same age.

    Args:
        equity: Missing or None when it could not be read. Incomplete, negative or stale it tells nothing.
        policy: The mode's policy.
        now: The instant of the check, aware UTC.
    """
    if not isinstance(equity, Equity):
        return BelievedEquity(None, equity.what if equity is not None else "equity is unknown")
    at, seen = equity.observed_at, observe_equity(equity)
    problem = _why_not(equity, policy, now)
    if problem is not None:
        return BelievedEquity(None, problem, at, seen)
    skew = policy.max_skew
    if skew is None:
        return BelievedEquity(equity.amount, None, at, seen)
    return BelievedEquity(equity.amount, None, at, seen, (at - skew, at + skew))


def _why_not(equity: Equity, policy: ReservePolicy, now: datetime) -> str | None:
    if equity.currency != policy.share_class:
        return f"equity is in {equity.currency}, not in {policy.share_class}"
    if not equity.complete:
        return "equity is incomplete"
    if equity.amount < ZERO:
        return f"equity is negative ({equity.amount})"
    if not is_current(equity.observed_at, now, policy):
        return f"equity is of {equity.observed_at.isoformat()}, too far from now to be believed"
    if equity.newest_at is not None and not is_current(equity.newest_at, now, policy):
        return f"equity has a part of {equity.newest_at.isoformat()}, too far from now to be believed"
    return None


def believed_beside(
    balances: Sequence[Balance], equity: BelievedEquity, policy: ReservePolicy
) -> tuple[Decimal | None, str | None]:
    """Return the equity that may be believed beside these balances, or why it may not.

    When equity and a balance were observed too far apart, money that moves between the two readings would be in both,
    or in neither.
    """
    if equity.within is not None:
        earliest, latest = equity.within
        for balance in balances:
            if not earliest <= balance.observed_at <= latest:
                return None, _how_skewed(balances, equity, policy)
    return equity.amount, equity.problem


def _how_skewed(balances: Sequence[Balance], equity: BelievedEquity, policy: ReservePolicy) -> str:
    assert equity.observed_at is not None and policy.max_skew is not None  # noqa: S101, PT018  # it was believed
    seconds = max(abs(equity.observed_at - balance.observed_at) for balance in balances).total_seconds()
    limit = policy.max_skew.total_seconds()
    return f"equity and balance are {seconds:.0f} s apart, more than reserve_max_skew ({limit:g})"


def observe_equity(equity: Equity) -> Observation:
    """Return when an equity was true with all that is in it: one whose price is the same again is the same again."""
    priced_at = equity.priced_at
    at = equity.observed_at if priced_at is None else min(equity.observed_at, priced_at)
    # As with snapshots.
    return tuple.__new__(Observation, (at, None))
