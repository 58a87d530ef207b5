"""Adds up the parts of a portfolio. A missing part means no sum: incomplete equity would make a target too low."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal

from reservd.plugin import CallError, Component, Equity, FailureReason, Price, SourceError

_EXACT = Context(prec=400, rounding=ROUND_HALF_EVEN)
_PLACES = Decimal("1e-30")
"""Finer than any coin: products of two long numbers would have more decimals than an amount may have."""
_MAX_SHOWN = 3


class Tally:
    """A running sum.

    Args:
        currency: Its currency.
        prices: The price of each other asset, or why it is unknown.
    """

    def __init__(self, currency: str, prices: Mapping[str, Price | CallError]) -> None:
        self._currency = currency
        self._prices = prices
        self._components: dict[str, Component] = {}
        self._missing: dict[str, CallError] = {}
        self._net = False
        self._newest_at: list[datetime] = []
        self._priced_at: list[datetime] = []

    def add(
        self, label: str, asset: str, amount: Decimal, observed_at: datetime, priced_at: datetime | None = None
    ) -> None:
        """Add an amount of an asset, and the time of the oldest price in it. An amount of 0 needs no price."""
        self._priced_at += [priced_at] if priced_at is not None else []
        if asset == self._currency or not amount:
            self._components[label] = Component(amount, observed_at, priced_at=priced_at)
            return
        price = self._prices[asset]
        if isinstance(price, CallError):
            self._missing[f"price of {asset}"] = price
            return
        self._priced_at.append(price.observed_at)
        value = _EXACT.multiply(amount, price.value)
        self._components[label] = Component(_rounded(value), observed_at, price, priced_at)

    def add_equity(self, label: str, equity: Equity, currency: str) -> None:
        """Add the equity of another source, which was requested in a currency."""
        if equity.currency != currency:
            self.lack(label, SourceError(FailureReason.INVALID_DATA, f"is in {equity.currency}, not in {currency}"))
        elif not equity.complete:
            self.lack(label, SourceError(FailureReason.INVALID_DATA, "is incomplete"))
        else:
            self.add(label, currency, equity.amount, equity.observed_at, equity.priced_at)
            self._net = self._net or equity.net_of_withdrawals
            self._newest_at += [equity.newest_at] if equity.newest_at is not None else []

    def lack(self, label: str, error: CallError) -> None:
        """Note a part that could not be read."""
        self._missing[label] = error

    def equity(self, max_skew_seconds: float | None) -> Equity:
        """Return the sum, as old as its oldest part; also the time of its newest part, and of its prices.

        Args:
            max_skew_seconds: How far apart the parts may have been observed; unlimited if None.

        Raises:
            SourceError: If a part is missing, parts were observed too far apart, or the sum is implausible.
        """
        if self._missing:
            raise self._failure()
        parts = self._components.values()
        times = [part.observed_at for part in parts]
        apart = max(times) - min(times)
        if max_skew_seconds is not None and apart > timedelta(seconds=max_skew_seconds):
            detail = f"the parts are {apart.total_seconds():.0f} s apart, max_skew is {max_skew_seconds:g}"
            raise SourceError(FailureReason.INVALID_DATA, detail)
        total = Decimal(0)
        for part in parts:
            total = _EXACT.add(total, part.amount)
        try:
            return Equity(
                total,
                self._currency,
                min(times),
                net_of_withdrawals=self._net,
                components=dict(self._components),
                priced_at=min(self._priced_at, default=None),
                newest_at=max(times + self._newest_at),
            )
        except ValueError as error:
            raise SourceError(FailureReason.INVALID_DATA, str(error)) from None

    def _failure(self) -> SourceError:
        errors = [f"{label}: {error}" for label, error in self._missing.items()]
        more = len(errors) - _MAX_SHOWN
        text = "; ".join(errors[:_MAX_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        return SourceError(next(iter(self._missing.values())).reason, text)


def _rounded(value: Decimal) -> Decimal:
    exponent = value.as_tuple().exponent
    return _EXACT.quantize(value, _PLACES) if isinstance(exponent, int) and exponent < -30 else value  # noqa: PLR2004
