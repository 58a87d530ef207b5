"""The contracts of sources."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from reservd.plugin.interfaces import BalanceSource, EquitySource, PriceSource, Source
from reservd.plugin.testing.contract import PluginContract, check_cancellable, check_never_blocks, in_time
from reservd.reserve.readings import Account, AccountFailure, Balance, Equity, Price, Reading

_CLOCK_SKEW = timedelta(minutes=1)


class SourceContract(PluginContract):
    """The contract of balance, equity and price sources."""

    @pytest.mark.asyncio
    async def test_endpoints_are_known_before_anything_is_read(self, plugin: Source[Any]) -> None:
        """The metrics name all endpoints from the start, and one that has not been tried counts as up."""
        endpoints = dict(plugin.endpoints)
        for name, up in endpoints.items():
            assert isinstance(name, str), f"the name of an endpoint must be text, got {name!r}"
            assert up is True, f"endpoints[{name!r}] must be True before it was tried, got {up!r}"
        async with plugin:
            assert plugin.endpoints.keys() == endpoints.keys(), "the names of endpoints must stay the same"


class BalanceSourceContract(SourceContract):
    """The contract of balance sources."""

    def test_accounts_are_known_before_anything_is_read(self, plugin: BalanceSource[Any]) -> None:
        """The configuration refers to accounts by name."""
        accounts = plugin.accounts
        assert accounts, "a source must have an account"
        for name, account in accounts.items():
            assert isinstance(account, Account), f"accounts[{name!r}] must be an Account"
            unasked = account.asset_ids.keys() - (account.assets or account.asset_ids.keys())
            assert not unasked, f"asset_ids of accounts[{name!r}] must be of its assets, got {sorted(unasked)}"
            assert account.name == name, f"accounts[{name!r}] must have its key as its name, got {account.name!r}"
        assert plugin.accounts == accounts, "accounts must stay the same"

    def test_pots_name_accounts_of_the_source(self, plugin: BalanceSource[Any]) -> None:
        """The configuration compares pots with those of other sources."""
        accounts = plugin.accounts
        for pot, drawers in plugin.pots.items():
            assert isinstance(pot, str), f"a pot must be named by text, got {pot!r}"
            assert [name for name in drawers if name not in accounts] == [], f"pots[{pot!r}] must name accounts"

    @pytest.mark.asyncio
    async def test_reading_covers_every_account(self, plugin: BalanceSource[Any]) -> None:
        """Each account and asset is a balance or a failure, each time the source is opened."""
        for _ in range(2):
            async with plugin:
                reading = await in_time(plugin, plugin.fetch_balances())
            assert isinstance(reading, Reading), f"fetch_balances must return a Reading, got {type(reading).__name__}"
            said = set(_places(reading))
            for account in plugin.accounts.values():
                for asset in account.assets or (None,):
                    here = {place for place in said if place[0] == account.name and asset in {None, place[1]}}
                    assert here or (account.name, None) in said, f"nothing is said of {account.name} {asset or ''}"

    @pytest.mark.asyncio
    async def test_reading_names_declared_accounts_once(self, plugin: BalanceSource[Any]) -> None:
        """An entry that belongs to no declared account, or is repeated, cannot be counted."""
        async with plugin:
            places = list(_places(await in_time(plugin, plugin.fetch_balances())))
        assert len(set(places)) == len(places), f"an account and asset must be there once, got {places}"
        assert {account for account, _ in places} <= set(plugin.accounts), "a reading must name declared accounts only"

    @pytest.mark.asyncio
    async def test_balances_are_exact_and_of_now(self, plugin: BalanceSource[Any]) -> None:
        """Amounts are Decimal, times are not in the future, and accounts declared non-negative are."""
        async with plugin:
            reading = await in_time(plugin, plugin.fetch_balances())
        for balance in reading.balances:
            assert isinstance(balance, Balance), f"a balance must be a Balance, got {type(balance).__name__}"
            assert type(balance.amount) is Decimal, f"an amount must be a Decimal, got {balance.amount!r}"
            assert balance.observed_at <= datetime.now(UTC) + _CLOCK_SKEW, "observed_at must not be in the future"
            if plugin.NON_NEGATIVE:
                assert balance.amount >= 0, f"NON_NEGATIVE is declared, got {balance.amount}"
        for failure in reading.failures:
            assert isinstance(failure, AccountFailure), f"a failure must be an AccountFailure, got {failure!r:.80}"

    @pytest.mark.asyncio
    async def test_fetch_ends_when_cancelled(self, plugin: BalanceSource[Any]) -> None:
        """The daemon gives up on a source by cancelling the call."""
        async with plugin:
            await check_cancellable(plugin.fetch_balances())

    @pytest.mark.asyncio
    async def test_fetch_never_blocks_the_loop(self, plugin: BalanceSource[Any]) -> None:
        """A blocking call stops every other plugin, and no deadline can end it."""
        async with plugin:
            await check_never_blocks(in_time(plugin, plugin.fetch_balances()))


class EquitySourceContract(SourceContract):
    """The contract of equity sources."""

    mode: ClassVar[str] = "demo"
    """A mode whose equity the plugin can read with the options."""
    currency: ClassVar[str] = "USDT"
    """Its share class."""

    def test_by_share_class_is_known_before_anything_is_read(self, plugin: EquitySource[Any]) -> None:
        """The daemon shares calls if it is true."""
        assert isinstance(plugin.by_share_class, bool), "by_share_class must be a bool"

    @pytest.mark.asyncio
    async def test_equity_is_exact_and_in_the_currency_asked_for(self, plugin: EquitySource[Any]) -> None:
        """Each time the source is opened."""
        for _ in range(2):
            async with plugin:
                equity = await in_time(plugin, plugin.fetch_equity(self._key(plugin), self.currency))
            assert isinstance(equity, Equity), f"fetch_equity must return an Equity, got {type(equity).__name__}"
            assert type(equity.amount) is Decimal, f"an amount must be a Decimal, got {equity.amount!r}"
            assert equity.currency == self.currency, f"equity must be in {self.currency}, got {equity.currency}"
            assert equity.observed_at <= datetime.now(UTC) + _CLOCK_SKEW, "observed_at must not be in the future"

    @pytest.mark.asyncio
    async def test_fetches_run_beside_each_other(self, plugin: EquitySource[Any]) -> None:
        """The daemon asks for all modes at the same time."""
        async with plugin:
            calls = [in_time(plugin, plugin.fetch_equity(self._key(plugin), self.currency)) for _ in range(5)]
            answers = await asyncio.gather(*calls)
        assert all(isinstance(answer, Equity) for answer in answers)

    @pytest.mark.asyncio
    async def test_fetch_ends_when_cancelled(self, plugin: EquitySource[Any]) -> None:
        """The daemon gives up on a source by cancelling the call."""
        async with plugin:
            await check_cancellable(plugin.fetch_equity(self._key(plugin), self.currency))

    @pytest.mark.asyncio
    async def test_fetch_never_blocks_the_loop(self, plugin: EquitySource[Any]) -> None:
        """A blocking call stops every other plugin, and no deadline can end it."""
        async with plugin:
            await check_never_blocks(in_time(plugin, plugin.fetch_equity(self._key(plugin), self.currency)))

    def _key(self, plugin: EquitySource[Any]) -> str:
        return self.currency if plugin.by_share_class else self.mode


class PriceSourceContract(SourceContract):
    """The contract of price sources."""

    base: ClassVar[str] = "ETH"
    """An asset whose price the plugin can read with the options."""
    quote: ClassVar[str] = "USDT"
    """The asset that the price is in."""

    @pytest.mark.asyncio
    async def test_price_is_exact_and_of_the_pair_asked_for(self, plugin: PriceSource[Any]) -> None:
        """Each time the source is opened."""
        for _ in range(2):
            async with plugin:
                price = await in_time(plugin, plugin.fetch_price(self.base, self.quote))
            assert isinstance(price, Price), f"fetch_price must return a Price, got {type(price).__name__}"
            assert (price.base, price.quote) == (self.base, self.quote), f"must be the pair asked for, got {price}"
            assert price.observed_at <= datetime.now(UTC) + _CLOCK_SKEW, "observed_at must not be in the future"

    @pytest.mark.asyncio
    async def test_fetches_run_beside_each_other(self, plugin: PriceSource[Any]) -> None:
        """The daemon asks for several pairs at the same time."""
        async with plugin:
            answers = await asyncio.gather(
                *(in_time(plugin, plugin.fetch_price(self.base, self.quote)) for _ in range(5))
            )
        assert all(isinstance(answer, Price) for answer in answers)

    @pytest.mark.asyncio
    async def test_fetch_ends_when_cancelled(self, plugin: PriceSource[Any]) -> None:
        """The daemon gives up on a source by cancelling the call."""
        async with plugin:
            await check_cancellable(plugin.fetch_price(self.base, self.quote))

    @pytest.mark.asyncio
    async def test_fetch_never_blocks_the_loop(self, plugin: PriceSource[Any]) -> None:
        """A blocking call stops every other plugin, and no deadline can end it."""
        async with plugin:
            await check_never_blocks(in_time(plugin, plugin.fetch_price(self.base, self.quote)))


def _places(reading: Reading) -> Iterator[tuple[str, str | None]]:
    for balance in reading.balances:
        yield balance.account, balance.asset
    for failure in reading.failures:
        yield failure.account, failure.asset
