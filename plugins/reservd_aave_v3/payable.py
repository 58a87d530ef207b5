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

_WITHDRAW = Function("withdraw", ("address", "uint256", "address"))


class Payable(NamedTuple):
    """What one account has of one reserve, in the smallest unit of its token.

    Attributes:
        supplied: Its aTokens.
        units: What it may withdraw of them now.
        decimals: Of the token.
    """

    supplied: int
    units: int
    decimals: int


class Survey:
    """One reading of a pool, in steps whose calls each depend on what the one before found."""

    def __init__(self, config: AaveV3Config) -> None:
        self._config = config
        self._pool = Pool(config)
        self._liquidity = Liquidity(self._pool)
        self._headrooms = {
            name: Headroom(self._pool, holder, config.min_health_factor) for name, holder in config.accounts.items()
        }
        self._found: dict[tuple[str, str], Payable | SourceError] = {}

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
            yield from self._liquidity.calls(reserve)
            for holder in self._config.accounts.values():
                yield BALANCE_OF.on(reserve.a_token, holder)

    def price_calls(self, results: Results) -> Iterator[Call]:
        """Give what tells the prices, where an account has debt."""
        reserves = list(self._reserves(results))
        yield from _as_far_as_known(*(headroom.price_calls(results, reserves) for headroom in self._headrooms.values()))

    def withdraw_calls(self, results: Results) -> Iterator[Call]:
        """Split what is payable, and give what tries each withdrawal."""
        for account in self._config.accounts:
            for asset in self._config.reserves:
                try:
                    found = self._split(results, account, asset)
                except SourceError as error:
                    self._found[account, asset] = error
                    continue
                self._found[account, asset] = found
                if found.units:
                    yield self._withdraw_call(account, asset, found.units)

    def payable(self, results: Results, account: str, asset: str) -> Payable:
        """Return what an account may withdraw.

        Raises:
            SourceError: If it is not known, or the pool would refuse what its numbers allow.
        """
        found = self._found[account, asset]
        if isinstance(found, SourceError):
            raise found
        if found.units and results.number(self._withdraw_call(account, asset, found.units)) != found.units:
            raise invalid("withdraw(): the pool would pay another amount")
        return found

    def _split(self, results: Results, account: str, asset: str) -> Payable:
        reserve = self._pool.reserve(results, asset)
        supplied = results.number(BALANCE_OF.on(reserve.a_token, self._config.accounts[account]))
        if not supplied or not reserve.pays:
            return Payable(supplied, 0, reserve.decimals)
        headroom = self._headrooms[account]
        limits = supplied, self._liquidity.left(results, reserve), headroom.left(results, reserve)
        units = min(limit for limit in limits if limit is not None)
        self._liquidity.take(reserve, units)
        headroom.take(results, reserve, units)
        return Payable(supplied, units, reserve.decimals)

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
