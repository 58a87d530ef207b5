"""Limits on requests: size, decimals, and budgets per period."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from reservd.reserve.amounts import MAX_MAGNITUDE, ZERO, add, subtract
from reservd.reserve.replenishment.models import Inaction, RefillPolicy
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState

_NOT_SPENT = (ReplenishmentState.REJECTED, ReplenishmentState.CANCELLED)
_WIDE = Context(prec=3 * MAX_MAGNITUDE)


def counts(record: Replenishment, policy: RefillPolicy, now: datetime) -> bool:
    """Return whether a request counts towards the budgets."""
    recent = record.request.requested_at > now - policy.budget_period
    return recent and record.replaced_by is None and record.state not in _NOT_SPENT


def limit_amount(
    lacking: Decimal, policy: RefillPolicy, spent: Sequence[Replenishment], *, in_flight: Decimal
) -> Decimal | Inaction:
    """Return the amount to request: what is missing, within the limits; or the limit that forbids a request."""
    if lacking <= 0:
        return Inaction.COVERED if in_flight else Inaction.ADEQUATE
    least = policy.minimum or ZERO
    amount = _rounded(lacking, policy, ROUND_CEILING)
    if amount < least:
        return Inaction.BELOW_MINIMUM
    if policy.maximum is not None and amount > policy.maximum:
        amount = _rounded(policy.maximum, policy, ROUND_FLOOR)
    if policy.budget_count is not None and len(spent) >= policy.budget_count:
        return Inaction.BUDGET_COUNT
    if policy.budget_amount is not None:
        left = subtract(policy.budget_amount, total(each.request.amount for each in spent))
        if amount > left:
            amount = _rounded(left, policy, ROUND_FLOOR)
            if amount <= 0 or amount < least:
                return Inaction.BUDGET_AMOUNT
    return amount if amount > 0 else Inaction.BELOW_MINIMUM


def _rounded(amount: Decimal, policy: RefillPolicy, rounding: str) -> Decimal:
    if policy.decimals is None:
        return amount
    return amount.quantize(Decimal(1).scaleb(-policy.decimals), rounding=rounding, context=_WIDE)


def check_requested_amount(
    amount: Decimal, policy: RefillPolicy, history: Sequence[Replenishment], now: datetime, *, for_withdrawal: bool
) -> Inaction | None:
    """Return why a request for a given amount is refused; None when it is allowed.

    Args:
        amount: What a strategy, an operator or a withdrawal asks for; it is never reduced.
        policy: The mode's policy.
        history: The mode's requests that the policy remembers.
        now: When it is asked for.
        for_withdrawal: Whether it is the part of a withdrawal that is not paid from the reserve. That was promised to a
            client, so refill budgets do not apply to it: the limits of withdrawals applied before the promise.
    """
    if policy.dry_run:
        return Inaction.DRY_RUN
    return None if for_withdrawal else _exceeded(amount, policy, history, now)


def _exceeded(
    amount: Decimal, policy: RefillPolicy, history: Sequence[Replenishment], now: datetime
) -> Inaction | None:
    """Return the limit that a request for an amount would exceed; None when it exceeds none."""
    if policy.maximum is not None and amount > policy.maximum:
        return Inaction.ABOVE_MAXIMUM
    if amount != _rounded(amount, policy, ROUND_FLOOR):
        return Inaction.TOO_PRECISE
    own = [each for each in history if each.request.withdrawal_id is None]
    spent = [each for each in own if counts(each, policy, now)]
    if policy.budget_count is not None and len(spent) >= policy.budget_count:
        return Inaction.BUDGET_COUNT
    if policy.budget_amount is not None:
        after = add(amount, total(each.request.amount for each in spent))
        return Inaction.BUDGET_AMOUNT if after > policy.budget_amount else None
    return None


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Return the sum of amounts, exactly."""
    found = ZERO
    for amount in amounts:
        found = add(found, amount)
    return found
