"""How much of each reserve each account may withdraw: the least of what binds, and nothing promised twice."""

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
        units: What it may withdraw of them now.
        decimals: Of the token.
        note: Why that is not all of them.
    """

    supplied: int
    units: int
    decimals: int
    note: str = ""


Place = tuple[str, str]
"""An account and an asset, by their names."""


class Survey:
    """One reading of a pool, in steps whose calls each depend on what the one before found."""

    def __init__(self, config: AaveV3Config) -> None:
        self._config = config
        self._pool = Pool(config)
        self._headrooms = self._new_headrooms()

    def opening_calls(self) -> Iterator[Call]:
        """Give what can be asked without knowing anything of the pool."""
        yield self._pool.provider_call()
        for asset in self._config.reserves:
            yield self._pool.reserve_call(asset)
        for headroom in self._headrooms.values():
            yield from headroom.account_calls()

    def state_calls(self, results: Results) -> Iterator[Call]:
        """Give what tells supplies, liquidity and e-modes, and where the prices are."""
        yield from _as_far_as_known(
            self._pool.oracle_calls(results),
            *(headroom.category_calls(results) for headroom in self._headrooms.values()),
        )
        for reserve in self._reserves(results):
            yield from Liquidity(self._pool).calls(reserve)
            for holder in self._config.accounts.values():
                yield BALANCE_OF.on(reserve.a_token, holder)

    def price_calls(self, results: Results) -> Iterator[Call]:
        """Give what tells the prices, where an account has debt."""
        reserves = list(self._reserves(results))
        yield from _as_far_as_known(*(headroom.price_calls(results, reserves) for headroom in self._headrooms.values()))

    def withdraw_calls(self, results: Results) -> Iterator[Call]:
        """Give what tries each withdrawal that the pool's numbers allow."""
        for (account, asset), found in self._split(results).items():
            if isinstance(found, Payable) and found.units:
                yield self._withdraw_call(account, asset, found.units)

    def payables(self, results: Results) -> dict[Place, Payable | SourceError]:
        """Return what each account may withdraw of each reserve.

        A failure where it is not known, or the pool would refuse what its numbers allow.
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
        """Return what the pool's numbers allow each account, nothing of it twice."""
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
        """Note that an account takes what is not known, unless nothing is known of the reserve anyway."""
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
        """Return what one account may withdraw of one reserve, and count it as gone."""
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
        """Return the withdrawal itself, which a node tries without making it so: the pool has rules beyond these."""
        holder = self._config.accounts[account]
        return _WITHDRAW.on(self._config.pool, self._config.reserves[asset], units, holder, sender=holder)

    def _reserves(self, results: Results) -> Iterator[Reserve]:
        for asset in self._config.reserves:
            with suppress(SourceError):  # told where the account's number is asked for
                yield self._pool.reserve(results, asset)


def _as_far_as_known(*calls: Iterable[Call]) -> Iterator[Call]:
    """Give calls until what one depends on is not known: that is told where its number is asked for."""
    for each in calls:
        with suppress(SourceError):
            yield from each
