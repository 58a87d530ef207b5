"""How much of each reserve each account can withdraw: the smallest bound, and no amount counted twice."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from reservd.plugin import SourceError
from reservd.plugin.evm import BALANCE_OF, Call, Function, Results, invalid
from reservd_aave_v3.config import AaveV3Config
from reservd_aave_v3.headroom import Headroom
from reservd_aave_v3.liquidity import Liquidity
from reservd_aave_v3.pool import Pool, Reserve

_STOPPED = "the reserve is paused or inactive"
_NO_LIQUIDITY = "the pool cannot pay more: the rest is lent out, or counted for an account before it"
_NO_HEADROOM = "more would bring the health factor below its minimum"
_WITHDRAW = Function("withdraw", ("address", "uint256", "address"))


class Payable(NamedTuple):
    """What one account has of one reserve, in the smallest unit of its token.

    Attributes:
        supplied: Its aTokens.
        units: The part of them that can be withdrawn now.
        decimals: Of the token.
        note: Why that is less than all of them.
    """

    supplied: int
    units: int
    decimals: int
    note: str = ""


Place = tuple[str, str]
"""Names of an account and an asset."""


class Survey:
    """One reading of a pool, in steps whose calls depend on the results of the step before."""

    def __init__(self, config: AaveV3Config) -> None:
        self._config = config
        self._pool = Pool(config)
        self._headrooms = self._new_headrooms()

    def opening_calls(self) -> Iterator[Call]:
        """Yield the calls that need no previous results."""
        yield self._pool.provider_call()
        for asset in self._config.reserves:
            yield self._pool.reserve_call(asset)
        for headroom in self._headrooms.values():
            yield from headroom.account_calls()

    def state_calls(self, results: Results) -> Iterator[Call]:
        """Yield the calls for supplies, liquidity and e-modes, and for the addresses of the price oracle."""
        yield from _as_far_as_known(
            self._pool.oracle_calls(results),
            *(headroom.category_calls(results) for headroom in self._headrooms.values()),
        )
        for reserve in self._reserves(results):
            yield from Liquidity(self._pool).calls(reserve)
            for holder in self._config.accounts.values():
                yield BALANCE_OF.on(reserve.a_token, holder)

    def price_calls(self, results: Results) -> Iterator[Call]:
        """Yield the calls for prices, if an account has debt."""
        reserves = list(self._reserves(results))
        yield from _as_far_as_known(*(headroom.price_calls(results, reserves) for headroom in self._headrooms.values()))

    def withdraw_calls(self, results: Results) -> Iterator[Call]:
        """Yield a trial of each withdrawal that the pool's numbers allow."""
        for (account, asset), found in self._split(results).items():
            if isinstance(found, Payable) and found.units:
                yield self._withdraw_call(account, asset, found.units)

    def payables(self, results: Results) -> dict[Place, Payable | SourceError]:
        """Return what each account can withdraw from each reserve.

        It is a failure if the amount is unknown, or the pool would refuse what its numbers allow.
        """
        return {
            (account, asset): self._tried(results, account, asset, found)
            for (account, asset), found in self._split(results).items()
        }

    def _tried(self, results: Results, account: str, asset: str, found: Payable | SourceError) -> Payable | SourceError:
        if isinstance(found, SourceError) or not found.units:
            return found
        try:
            paid = results.number(self._withdraw_call(account, asset, found.units))
        except SourceError as error:
            return error
        return found if paid == found.units else invalid("withdraw(): the pool would pay another amount")

    def _split(self, results: Results) -> dict[Place, Payable | SourceError]:
        """Return what the pool's numbers allow each account, with no amount counted twice."""
        liquidity, headrooms = Liquidity(self._pool), self._new_headrooms()
        found: dict[Place, Payable | SourceError] = {}
        for account in self._config.accounts:
            for asset in self._config.reserves:
                try:
                    found[account, asset] = self._share(results, account, asset, liquidity, headrooms[account])
                except SourceError as error:
                    found[account, asset] = error
                    self._doubt(results, account, asset, liquidity, error)
        return found

    def _doubt(self, results: Results, account: str, asset: str, liquidity: Liquidity, failure: SourceError) -> None:
        """Note that an account takes an unknown amount, unless the reserve itself is unknown."""
        try:
            reserve = self._pool.reserve(results, asset)
        except SourceError:
            return
        try:
            most: int | None = results.number(BALANCE_OF.on(reserve.a_token, self._config.accounts[account]))
        except SourceError:
            most = None
        liquidity.doubt(reserve, most, failure)

    def _share(self, results: Results, account: str, asset: str, liquidity: Liquidity, headroom: Headroom) -> Payable:
        """Return what one account can withdraw from one reserve, and subtract it."""
        reserve = self._pool.reserve(results, asset)
        supplied = results.number(BALANCE_OF.on(reserve.a_token, self._config.accounts[account]))
        if not supplied or not reserve.pays:
            return Payable(supplied, 0, reserve.decimals, _STOPPED if supplied else "")
        in_pool, to_health = liquidity.left(results, reserve), headroom.left(results, reserve)
        units = min(limit for limit in (supplied, in_pool, to_health) if limit is not None)
        if units:
            liquidity.check_certain(results, reserve, units)
        liquidity.take(reserve, units)
        headroom.take(results, reserve, units)
        note = (_NO_LIQUIDITY if units == in_pool else _NO_HEADROOM) if units < supplied else ""
        return Payable(supplied, units, reserve.decimals, note)

    def _new_headrooms(self) -> dict[str, Headroom]:
        return {
            name: Headroom(self._pool, holder, self._config.min_health_factor)
            for name, holder in self._config.accounts.items()
        }

    def _withdraw_call(self, account: str, asset: str, units: int) -> Call:
        """Return the withdrawal itself, for a node to simulate: the pool has rules beyond its numbers."""
        holder = self._config.accounts[account]
        return _WITHDRAW.on(self._config.pool, self._config.reserves[asset], units, holder, sender=holder)

    def _reserves(self, results: Results) -> Iterator[Reserve]:
        for asset in self._config.reserves:
            with suppress(SourceError):  # reported where the account's amount is computed
                yield self._pool.reserve(results, asset)


def _as_far_as_known(*calls: Iterable[Call]) -> Iterator[Call]:
    """Yield calls until one depends on an unknown result: that failure is reported where its number is needed."""
    for each in calls:
        with suppress(SourceError):
            yield from each
