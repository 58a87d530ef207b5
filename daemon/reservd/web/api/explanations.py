"""Converts an explanation of a check to its form in the API and on the command line."""

from datetime import datetime
from decimal import Decimal

from reservd.reserve.explanation import EquityInput, Explanation
from reservd.reserve.models import AccountPart
from reservd.reserve.readings import Component
from reservd.wire.explanations import (
    AccountView,
    BoundsView,
    ComponentView,
    EquityView,
    ExplanationView,
    PriceView,
)


def show_explanation(explanation: Explanation) -> ExplanationView:
    """Return the inputs and the outcome of a check."""
    snapshot = explanation.snapshot
    now, bounds = snapshot.timestamp, snapshot.bounds
    return ExplanationView(
        timestamp=now,
        strategy_mode=snapshot.strategy_mode,
        share_class=snapshot.share_class,
        status=snapshot.status,
        why=explanation.why,
        confirmed=explanation.confirmed,
        good_at=explanation.good_at,
        reserve_balance=snapshot.reserve_balance,
        bounds=BoundsView(lower=bounds.lower, upper=bounds.upper) if bounds is not None else None,
        held=snapshot.held,
        target_reserve=snapshot.target_reserve,
        reserve_ratio=snapshot.reserve_ratio,
        owed=explanation.owed,
        reserve_utilization=snapshot.reserve_utilization,
        shortfall=snapshot.shortfall,
        low_threshold=explanation.low_threshold,
        critical_threshold=explanation.critical_threshold,
        low_below=explanation.low_below,
        critical_below=explanation.critical_below,
        total_equity=snapshot.total_equity,
        observed_at=snapshot.observed_at,
        equity=_equity(explanation.equity, now),
        accounts=[_account(part, now) for part in snapshot.accounts],
        missing=list(snapshot.missing),
        version=explanation.version,
        configuration=explanation.configuration,
    )


def _account(part: AccountPart, now: datetime) -> AccountView:
    return AccountView(**part._asdict(), age_seconds=_age(part.observed_at, now))


def _equity(equity: EquityInput, now: datetime) -> EquityView:
    components = {name: _component(part, now) for name, part in equity.components.items()}
    age = _age(equity.observed_at, now)
    return EquityView(**{**equity._asdict(), "components": components}, age_seconds=age)


def _component(part: Decimal | Component, now: datetime) -> ComponentView:
    if isinstance(part, Decimal):
        return ComponentView(amount=part, observed_at=None, age_seconds=None, price=None)
    price = None
    if part.price is not None:
        each = part.price
        age = _seconds(each.observed_at, now)
        price = PriceView(
            base=each.base, quote=each.quote, value=each.value, observed_at=each.observed_at, age_seconds=age
        )
    age = _seconds(part.observed_at, now)
    return ComponentView(amount=part.amount, observed_at=part.observed_at, age_seconds=age, price=price)


def _age(observed_at: datetime | None, now: datetime) -> Decimal | None:
    return _seconds(observed_at, now) if observed_at is not None else None


def _seconds(observed_at: datetime, now: datetime) -> Decimal:
    return Decimal(f"{(now - observed_at).total_seconds():.3f}")
