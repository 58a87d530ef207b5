"""Judges a reading of equity: what it says, and with which balances it can be combined."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from reservd.reserve.amounts import ZERO
from reservd.reserve.explanation import believable_components
from reservd.reserve.models import EquityParts, Observation
from reservd.reserve.policy import Missing, ReservePolicy, is_current, why_not_current
from reservd.reserve.readings import Balance, Component, Equity


@dataclass(frozen=True, slots=True)
class BelievedEquity:
    """A reading of an equity, as all modes with the same currency and the same limits on age and skew believe it.

    Attributes:
        amount: None when it may not be believed.
        problem: Why it may not be believed.
        observed_at: Its observation time; None when it could not be read.
        seen: Its observation time, prices included.
        within: The earliest and the latest observation time of balances that can be combined with it; None: any.
        parts: Its parts; None when its source reports none.
    """

    amount: Decimal | None
    problem: str | None
    observed_at: datetime | None = None
    seen: Observation | None = None
    within: tuple[datetime, datetime] | None = None
    parts: EquityParts | None = None

    def beside_any(self) -> "BelievedEquity":
        """Return the same for modes whose balances are all known to be within that time."""
        return replace(self, within=None) if self.within else self


def believe_equity(equity: Equity | Missing | None, policy: ReservePolicy, now: datetime) -> BelievedEquity:
    """Return an equity as a mode believes it, and all modes of its currency with the same limit on age.

    Args:
        equity: Missing or None when it could not be read. Incomplete, negative or stale equity is not believed.
        policy: The mode's policy.
        now: The time of the check, aware UTC.
    """
    if not isinstance(equity, Equity):
        return BelievedEquity(None, equity.what if equity is not None else "equity is unknown")
    at, seen = equity.observed_at, observe_equity(equity)
    problem = _why_not(equity, policy, now)
    if problem is not None:
        return BelievedEquity(None, problem, at, seen)
    skew, parts = policy.max_skew, _parts_of(equity, seen)
    return BelievedEquity(equity.amount, None, at, seen, (at - skew, at + skew) if skew is not None else None, parts)


def _why_not(equity: Equity, policy: ReservePolicy, now: datetime) -> str | None:
    if equity.currency != policy.share_class:
        return f"equity is in {equity.currency}, not in {policy.share_class}"
    if not equity.complete:
        return "equity is incomplete"
    if equity.amount < ZERO:
        return f"equity is negative ({equity.amount})"
    if not is_current(equity.observed_at, now, policy):
        return why_not_current("equity is dated", equity.observed_at, policy.max_staleness)
    if equity.newest_at is not None and not is_current(equity.newest_at, now, policy):
        return why_not_current("equity has a part dated", equity.newest_at, policy.max_staleness)
    return None


def believed_beside(
    balances: Sequence[Balance], equity: BelievedEquity, policy: ReservePolicy
) -> tuple[Decimal | None, str | None]:
    """Return the equity if it can be combined with these balances, or why it cannot.

    If equity and a balance were observed too far apart, money that moved in between would be in both, or in neither.
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


def _parts_of(equity: Equity, seen: Observation) -> EquityParts | None:
    """Return the parts of an equity; None if it reports none. Malformed ones do not count."""
    parts = believable_components(equity.components) if equity.components else {}
    if not parts:
        return None
    amounts = tuple([part.amount if isinstance(part, Component) else part for part in parts.values()])
    return EquityParts(
        tuple(parts),
        amounts,
        tuple([_observe(part) if isinstance(part, Component) else seen for part in parts.values()]),
        tuple([name for name, amount in zip(parts, amounts, strict=True) if not amount]),
    )


def _observe(part: Component) -> Observation:
    priced_at = [part.price.observed_at] if part.price is not None else []
    priced_at += [part.priced_at] if part.priced_at is not None else []
    return Observation(min([part.observed_at, *priced_at]))


def observe_equity(equity: Equity) -> Observation:
    """Return when an equity was observed, prices included: with an old price, it is no newer observation."""
    priced_at = equity.priced_at
    at = equity.observed_at if priced_at is None else min(equity.observed_at, priced_at)
    # As for snapshots: faster than Observation(...).
    return tuple.__new__(Observation, (at, None))
