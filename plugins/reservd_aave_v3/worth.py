"""What accounts own in a pool: what they supplied less what they owe, in the smallest unit of one reserve's token."""

from collections.abc import Iterator

from reservd.plugin.evm import BALANCE_OF, Call, Results, invalid
from reservd_aave_v3.config import AaveV3EquityConfig
from reservd_aave_v3.pool import Pool, Reserve


class Ledger:
    """One reading of a pool, in steps whose calls each depend on what the one before found.

    Any failure ends it: equity of which a part is missing is not known.
    """

    def __init__(self, config: AaveV3EquityConfig, currency: str) -> None:
        """Prepare to count in the token of the reserve `currency`."""
        self._pool = Pool(config)
        self._accounts = config.accounts
        self._currency = currency
        self._assets = list(config.reserves) if config.convert else [currency]

    def opening_calls(self) -> Iterator[Call]:
        """Give what tells the reserves, and of which of them accounts owe."""
        yield self._pool.provider_call()
        for asset in self._assets:
            yield self._pool.reserve_call(asset)
        for holder in self._accounts.values():
            yield self._pool.user_call(holder)

    def balance_calls(self, results: Results) -> Iterator[Call]:
        """Give what tells supplies and debts, and where the prices are.

        Raises:
            SourceError: If an account owes of a reserve that is not counted.
        """
        reserves = [self._pool.reserve(results, asset) for asset in self._assets]
        for name, holder in self._accounts.items():
            if self._pool.user(results, holder).owes_beyond(reserves):
                raise invalid(f"{name} owes of a reserve that is not counted")
            for reserve in reserves:
                yield from (BALANCE_OF.on(token, holder) for token in (reserve.a_token, *reserve.debt_tokens))
        if len(reserves) > 1:
            yield from self._pool.oracle_calls(results)

    def price_calls(self, results: Results) -> Iterator[Call]:
        """Give what tells the prices, where there is something to convert."""
        if len(self._assets) > 1:
            for asset in self._assets:
                yield self._pool.price_call(results, self._pool.reserve(results, asset).token)

    def decimals(self, results: Results) -> int:
        """Return the decimals of the token that all is counted in."""
        return self._pool.reserve(results, self._currency).decimals

    def worths(self, results: Results) -> dict[str, int]:
        """Return what each account owns of each reserve, by `account/asset`; negative where it owes more.

        Raises:
            SourceError: If any part is not known.
        """
        return {
            f"{name}/{asset}": self._converted(results, asset, self._net(results, asset, holder))
            for name, holder in self._accounts.items()
            for asset in self._assets
        }

    def _net(self, results: Results, asset: str, holder: str) -> int:
        reserve = self._pool.reserve(results, asset)
        supplied = results.number(BALANCE_OF.on(reserve.a_token, holder))
        return supplied - sum(results.number(BALANCE_OF.on(token, holder)) for token in reserve.debt_tokens)

    def _converted(self, results: Results, asset: str, units: int) -> int:
        if asset == self._currency or not units:
            return units
        source, target = self._pool.reserve(results, asset), self._pool.reserve(results, self._currency)
        # Rounded down, debt away from zero.
        return units * self._unit_price(results, source, target) // self._unit_price(results, target, source)

    def _unit_price(self, results: Results, reserve: Reserve, other: Reserve) -> int:
        """Return the price of the reserve's smallest unit, as many times as makes it comparable with the other's."""
        return self._pool.price(results, reserve.token) * int(10**other.decimals)
