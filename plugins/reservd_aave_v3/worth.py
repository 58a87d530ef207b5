"""What accounts own in a pool: supplies minus debts, in the smallest unit of one reserve's token."""

from collections.abc import Iterator
from contextlib import suppress

from reservd.plugin import SourceError
from reservd.plugin.evm import BALANCE_OF, LATEST_ROUND, Call, Results, fresh_answer, invalid
from reservd_aave_v3.config import AaveV3EquityConfig
from reservd_aave_v3.pool import ZERO_ADDRESS, Pool, Reserve


class Ledger:
    """One reading of a pool, in steps whose calls depend on the results of the step before.

    Any failure ends it: the equity is unknown if a part is missing.
    """

    def __init__(self, config: AaveV3EquityConfig, currency: str) -> None:
        """Prepare to count in the token of the reserve `currency`."""
        self._pool = Pool(config)
        self._accounts = config.accounts
        self._currency = currency
        self._feeds = config.feeds
        self._slack_seconds = config.heartbeat_slack
        self._assets = list(config.reserves) if config.convert else [currency]

    def opening_calls(self) -> Iterator[Call]:
        """Yield the calls for the reserves, and for the reserves in which accounts have debt."""
        yield self._pool.provider_call()
        for asset in self._assets:
            yield self._pool.reserve_call(asset)
        for holder in self._accounts.values():
            yield self._pool.user_call(holder)

    def balance_calls(self, results: Results) -> Iterator[Call]:
        """Yield the calls for supplies and debts, and for the addresses of the price oracle.

        Raises:
            SourceError: If an account has debt in a reserve that is not counted.
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
        """Yield the calls for prices and their sources, if there is something to convert."""
        if len(self._assets) > 1:
            for asset in self._assets:
                token = self._pool.reserve(results, asset).token
                yield self._pool.price_call(results, token)
                feed = self._feeds[asset]
                if feed is not None and feed.address is None:
                    yield self._pool.source_call(results, token)

    def age_calls(self, results: Results) -> Iterator[Call]:
        """Yield the calls for the age of the prices."""
        for asset in self._assets if len(self._assets) > 1 else ():
            with suppress(SourceError):  # a missing feed matters only where its price is needed
                address = self._feed_address(results, asset)
                if address is not None:
                    yield LATEST_ROUND.on(address)

    def decimals(self, results: Results) -> int:
        """Return the decimals of the token that everything is counted in."""
        return self._pool.reserve(results, self._currency).decimals

    def worths(self, results: Results) -> dict[str, int]:
        """Return what each account owns in each reserve, by `account/asset`; negative if its debt is larger.

        Raises:
            SourceError: If any part is unknown.
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
        for each in (asset, self._currency):
            self._check_age(results, each)
        # Rounded down, debt away from zero.
        return units * self._unit_price(results, source, target) // self._unit_price(results, target, source)

    def _check_age(self, results: Results, asset: str) -> None:
        """Refuse the price of a reserve whose feed is older than it promises."""
        feed = self._feeds[asset]
        try:
            address = self._feed_address(results, asset)
            if feed is not None and address is not None:
                fresh_answer(address, results, heartbeat=feed.heartbeat, slack=self._slack_seconds)
        except SourceError as error:
            raise SourceError(error.reason, f"the price of {asset}: {error.detail}") from None

    def _feed_address(self, results: Results, asset: str) -> str | None:
        """Return the address of a reserve's feed; None if its price has no age.

        Raises:
            SourceError: If the oracle gives none, or has the price from no feed.
        """
        feed = self._feeds[asset]
        if feed is None or feed.address is not None:
            return None if feed is None else feed.address
        address = results.address(self._pool.source_call(results, self._pool.reserve(results, asset).token))
        if address == ZERO_ADDRESS:
            raise invalid("getSourceOfAsset(): the oracle has the price from no feed")
        return address

    def _unit_price(self, results: Results, reserve: Reserve, other: Reserve) -> int:
        """Return the price of the reserve's smallest unit, scaled to be comparable with the other's."""
        return self._pool.price(results, reserve.token) * int(10**other.decimals)
