"""What can leave an account before its health factor falls below the minimum.

Aave's health factor is the sum of each collateral times its liquidation threshold, over the debt.
Here everything is integers: values in the smallest unit of the market's base currency, thresholds in
basis points; a weight is a value times a threshold.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import NamedTuple

from reservd.plugin.evm import Call, Function, Results
from reservd_aave_v3.pool import ZERO_ADDRESS, Pool, Reserve

_ACCOUNT_DATA = Function("getUserAccountData", ("address",), ("uint256",) * 6)
_USER_EMODE = Function("getUserEMode", ("address",), ("uint8",))
_EMODE = Function("getEModeCategoryData", ("uint8",), ("(uint16,uint16,uint16,address,string)",))
_EMODE_COLLATERALS = Function("getEModeCategoryCollateralBitmap", ("uint8",), ("uint128",))

_BASIS_POINTS = 10_000


class _Terms(NamedTuple):
    """How a reserve counts as collateral of one account.

    Attributes:
        threshold: Its liquidation threshold, in basis points.
        priced_as: The token whose price applies.
    """

    threshold: int
    priced_as: str


class Headroom:
    """The headroom of one account, reduced by each amount that is taken."""

    def __init__(self, pool: Pool, account: str, min_health_factor: Decimal) -> None:
        self._pool = pool
        self._account = account
        self._min_health_factor = Fraction(min_health_factor)
        self._data = _ACCOUNT_DATA.on(pool.address, account)
        self._emode = _USER_EMODE.on(pool.address, account)
        self._taken = 0

    def account_calls(self) -> Iterator[Call]:
        """Yield the calls for the account's collateral, debt and e-mode."""
        yield from (self._data, self._emode, self._pool.user_call(self._account))

    def category_calls(self, results: Results) -> Iterator[Call]:
        """Yield the call for the account's e-mode category, if it is in one."""
        if self._owes(results) and (category := results.number(self._emode)):
            yield _EMODE.on(self._pool.address, category)
            yield _EMODE_COLLATERALS.on(self._pool.address, category)

    def price_calls(self, results: Results, reserves: Iterable[Reserve]) -> Iterator[Call]:
        """Yield the calls for the prices that apply to the account."""
        if self._owes(results):
            for reserve in reserves:
                yield self._pool.price_call(results, self._terms(results, reserve).priced_as)

    def left(self, results: Results, reserve: Reserve) -> int | None:
        """Return how many units of a reserve can leave; None if they secure no debt.

        Raises:
            SourceError: If that is unknown.
        """
        weight = self._unit_weight(results, reserve)
        if not weight:
            return None
        collateral, debt, _, threshold, _, _ = results.values(self._data)
        needed = ceil(self._min_health_factor * debt * _BASIS_POINTS)
        return int(max(0, collateral * threshold - needed - self._taken) // weight)

    def take(self, results: Results, reserve: Reserve, units: int) -> None:
        """Subtract units of a reserve, so that the next reserve does not use the same headroom again."""
        self._taken += ceil(self._unit_weight(results, reserve) * units)

    def _unit_weight(self, results: Results, reserve: Reserve) -> Fraction:
        """Return the weight of a reserve's smallest unit; 0 if it secures no debt."""
        if not self._owes(results) or not self._pool.user(results, self._account).is_collateral(reserve):
            return Fraction(0)
        terms = self._terms(results, reserve)
        return Fraction(self._pool.price(results, terms.priced_as) * terms.threshold, 10**reserve.decimals)

    def _owes(self, results: Results) -> bool:
        return bool(results.values(self._data)[1])

    def _terms(self, results: Results, reserve: Reserve) -> _Terms:
        category = results.number(self._emode)
        if not category or not self._has_category(results, reserve, category):
            return _Terms(reserve.threshold, reserve.token)
        ((_, threshold, _, source, _),) = results.values(_EMODE.on(self._pool.address, category))
        return _Terms(threshold, reserve.token if source == ZERO_ADDRESS else source)

    def _has_category(self, results: Results, reserve: Reserve, category: int) -> bool:
        """Whether the reserve is collateral of the category. Since v3.2 the category itself says so."""
        collaterals = _EMODE_COLLATERALS.on(self._pool.address, category)
        if results.reverted(collaterals):
            return reserve.category == category
        return bool(results.number(collaterals) >> reserve.id & 1)
