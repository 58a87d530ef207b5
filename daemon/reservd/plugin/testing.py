"""Contract tests for the authors of plugins. They need `pytest` and `pytest-asyncio`.

Subclass the contract of each class that your plugin registers, say which class it is, and give
options with which it works; pytest collects the contract's tests under your class:

    import pytest
    from reservd.plugin.testing import BalanceSourceContract
    from reservd_acme.source import AcmeSource

    class TestAcmeSource(BalanceSourceContract):
        plugin_class = AcmeSource

        @pytest.fixture
        def options(self, acme_server):
            return {"url": acme_server.url, "timeout": 5}

The fixture `options` may ask for other fixtures, so let it start what the plugin talks to: the
tests make real calls. Relative paths in the options start at pytest's `tmp_path`. The package must
be installed (`pip install -e .`), because the host finds the class as it does in the daemon.
"""

import asyncio
import re
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from reservd.errors import CallError
from reservd.plugin.blocking import noting_what_blocks
from reservd.plugin.composition import Composite, Readers
from reservd.plugin.examples import example_event, example_request
from reservd.plugin.host import KINDS, PluginHost
from reservd.plugin.interfaces import BalanceSource, EquitySource, EventSink, Plugin, PriceSource, Replenisher, Source
from reservd.reserve.models import EventType
from reservd.reserve.readings import Account, AccountFailure, Balance, Equity, Price, Reading
from reservd.reserve.replenishment import Acceptance, AcceptanceStatus

__all__ = [
    "BalanceSourceContract",
    "EquitySourceContract",
    "EventSinkContract",
    "PriceSourceContract",
    "ReplenisherContract",
    "example_event",
    "example_request",
]

_PROMPT_SECONDS = 5
_CLOCK_SKEW = timedelta(minutes=1)


class PluginContract:
    """What holds for every plugin class."""

    plugin_class: ClassVar[type[Plugin[Any]]]
    """The class under test."""

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        """Return options with which the plugin works here. Override this."""
        raise NotImplementedError(f"{type(self).__name__} must override the fixture 'options'")

    @pytest.fixture
    def readers(self) -> Readers:
        """Return what reads the instances that the options name. Override this for a `Composite`."""
        return Readers()

    @pytest.fixture
    def plugin(self, options: dict[str, Any], readers: Readers, tmp_path: Path) -> Any:
        """Return the instance, built and connected as the daemon does it and not opened."""
        plugin = self._build(options, tmp_path)
        if isinstance(plugin, Composite):
            plugin.connect(readers)
        return plugin

    def test_name_is_one_lower_case_word(self) -> None:
        """Entry point, extra and PLUGIN_NAME are the same word."""
        name = self.plugin_class.PLUGIN_NAME
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), f"PLUGIN_NAME must be one lower-case word, got {name!r}"

    def test_host_finds_the_class_by_its_entry_point(self) -> None:
        """The hook registers it, under an entry point of its name."""
        kind = next(kind for kind, base in KINDS.items() if issubclass(self.plugin_class, base))
        found = PluginHost().plugin_class(kind, self.plugin_class.PLUGIN_NAME)
        assert found is self.plugin_class, f"reservd_register_{kind}() must return {self.plugin_class.__name__}"

    def test_config_refuses_unknown_options(self, options: dict[str, Any], tmp_path: Path) -> None:
        """A misspelt option is an error, not a default."""
        with pytest.raises(ValidationError, match="no_such_option"):
            self._build({**options, "no_such_option": 1}, tmp_path)

    def test_building_needs_no_running_loop(self, options: dict[str, Any], tmp_path: Path) -> None:
        """`reservd check-config` builds plugins without ever opening them."""
        plugin = self._build(options, tmp_path)
        assert plugin.name == "example", "the instance must keep the name it is given"
        assert isinstance(plugin.config, self.plugin_class.Config), "the instance must keep its options"

    @pytest.mark.asyncio
    async def test_opens_and_closes_twice(self, plugin: Plugin[Any]) -> None:
        """The daemon opens a plugin again after a failure or a close."""
        for _ in range(2):
            async with plugin as opened:
                assert opened is plugin, "__aenter__ must return the plugin"

    @pytest.mark.asyncio
    async def test_close_does_nothing_when_not_open(self, plugin: Plugin[Any]) -> None:
        """Closing never raises for what is closed already."""
        await plugin.__aexit__(None, None, None)

    def _build(self, options: dict[str, Any], directory: Path) -> Plugin[Any]:
        config = self.plugin_class.Config.model_validate(options, context={"directory": directory, "environ": {}})
        return self.plugin_class("example", config)


class SourceContract(PluginContract):
    """What holds for balance, equity and price sources alike."""

    @pytest.mark.asyncio
    async def test_endpoints_are_known_before_anything_is_read(self, plugin: Source[Any]) -> None:
        """The metrics name all of them from the start, and what was not tried yet is well."""
        endpoints = dict(plugin.endpoints)
        for name, up in endpoints.items():
            assert isinstance(name, str), f"the name of an endpoint must be text, got {name!r}"
            assert up is True, f"endpoints[{name!r}] must be True before it was tried, got {up!r}"
        async with plugin:
            assert plugin.endpoints.keys() == endpoints.keys(), "the names of endpoints must stay the same"


class BalanceSourceContract(SourceContract):
    """What holds for balance sources."""

    def test_accounts_are_known_before_anything_is_read(self, plugin: BalanceSource[Any]) -> None:
        """The configuration refers to accounts by name."""
        accounts = plugin.accounts
        assert accounts, "a source must have an account"
        for name, account in accounts.items():
            assert isinstance(account, Account), f"accounts[{name!r}] must be an Account"
            unasked = account.asset_ids.keys() - (account.assets or account.asset_ids.keys())
            assert not unasked, f"asset_ids of accounts[{name!r}] must be of its assets, got {sorted(unasked)}"
            assert account.name == name, f"accounts[{name!r}] must bear its key as name, got {account.name!r}"
        assert plugin.accounts == accounts, "accounts must stay the same"

    def test_pots_name_accounts_of_the_source(self, plugin: BalanceSource[Any]) -> None:
        """The configuration compares them with those of other sources."""
        accounts = plugin.accounts
        for pot, drawers in plugin.pots.items():
            assert isinstance(pot, str), f"a pot must be named by text, got {pot!r}"
            assert [name for name in drawers if name not in accounts] == [], f"pots[{pot!r}] must name accounts"

    @pytest.mark.asyncio
    async def test_reading_covers_every_account(self, plugin: BalanceSource[Any]) -> None:
        """Each account and asset is a balance or a failure, on each opening."""
        for _ in range(2):
            async with plugin:
                reading = await plugin.fetch_balances()
            assert isinstance(reading, Reading), f"fetch_balances must return a Reading, got {type(reading).__name__}"
            said = set(_places(reading))
            for account in plugin.accounts.values():
                for asset in account.assets or (None,):
                    here = {place for place in said if place[0] == account.name and asset in {None, place[1]}}
                    assert here or (account.name, None) in said, f"nothing is said of {account.name} {asset or ''}"

    @pytest.mark.asyncio
    async def test_reading_names_declared_accounts_once(self, plugin: BalanceSource[Any]) -> None:
        """What belongs to no declared account, or stands there twice, cannot be counted."""
        async with plugin:
            places = list(_places(await plugin.fetch_balances()))
        assert len(set(places)) == len(places), f"an account and asset must be there once, got {places}"
        assert {account for account, _ in places} <= set(plugin.accounts), "a reading must name declared accounts only"

    @pytest.mark.asyncio
    async def test_balances_are_exact_and_of_now(self, plugin: BalanceSource[Any]) -> None:
        """Amounts are Decimal, times are not ahead, and what is declared non-negative is."""
        async with plugin:
            reading = await plugin.fetch_balances()
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
            await _check_cancellable(plugin.fetch_balances())

    @pytest.mark.asyncio
    async def test_fetch_never_blocks_the_loop(self, plugin: BalanceSource[Any]) -> None:
        """Every other plugin waits meanwhile, and no deadline ends it."""
        async with plugin:
            await _check_never_blocks(plugin.fetch_balances())


class EquitySourceContract(SourceContract):
    """What holds for equity sources."""

    mode: ClassVar[str] = "demo"
    """A mode whose equity the options can tell."""
    currency: ClassVar[str] = "USDT"
    """Its share class."""

    def test_by_share_class_is_known_before_anything_is_read(self, plugin: EquitySource[Any]) -> None:
        """The daemon shares calls by it."""
        assert isinstance(plugin.by_share_class, bool), "by_share_class must be a bool"

    @pytest.mark.asyncio
    async def test_equity_is_exact_and_in_the_currency_asked_for(self, plugin: EquitySource[Any]) -> None:
        """On each opening."""
        for _ in range(2):
            async with plugin:
                equity = await plugin.fetch_equity(self._key(plugin), self.currency)
            assert isinstance(equity, Equity), f"fetch_equity must return an Equity, got {type(equity).__name__}"
            assert type(equity.amount) is Decimal, f"an amount must be a Decimal, got {equity.amount!r}"
            assert equity.currency == self.currency, f"equity must be in {self.currency}, got {equity.currency}"
            assert equity.observed_at <= datetime.now(UTC) + _CLOCK_SKEW, "observed_at must not be in the future"

    @pytest.mark.asyncio
    async def test_fetches_run_beside_each_other(self, plugin: EquitySource[Any]) -> None:
        """The daemon asks for all modes at the same time."""
        async with plugin:
            calls = [plugin.fetch_equity(self._key(plugin), self.currency) for _ in range(5)]
            answers = await asyncio.gather(*calls)
        assert all(isinstance(answer, Equity) for answer in answers)

    @pytest.mark.asyncio
    async def test_fetch_ends_when_cancelled(self, plugin: EquitySource[Any]) -> None:
        """The daemon gives up on a source by cancelling the call."""
        async with plugin:
            await _check_cancellable(plugin.fetch_equity(self._key(plugin), self.currency))

    @pytest.mark.asyncio
    async def test_fetch_never_blocks_the_loop(self, plugin: EquitySource[Any]) -> None:
        """Every other plugin waits meanwhile, and no deadline ends it."""
        async with plugin:
            await _check_never_blocks(plugin.fetch_equity(self._key(plugin), self.currency))

    def _key(self, plugin: EquitySource[Any]) -> str:
        return self.currency if plugin.by_share_class else self.mode


class PriceSourceContract(SourceContract):
    """What holds for price sources."""

    base: ClassVar[str] = "ETH"
    """An asset whose price the options can tell."""
    quote: ClassVar[str] = "USDT"
    """What it is counted in."""

    @pytest.mark.asyncio
    async def test_price_is_exact_and_of_the_pair_asked_for(self, plugin: PriceSource[Any]) -> None:
        """On each opening."""
        for _ in range(2):
            async with plugin:
                price = await plugin.fetch_price(self.base, self.quote)
            assert isinstance(price, Price), f"fetch_price must return a Price, got {type(price).__name__}"
            assert (price.base, price.quote) == (self.base, self.quote), f"must be the pair asked for, got {price}"
            assert price.observed_at <= datetime.now(UTC) + _CLOCK_SKEW, "observed_at must not be in the future"

    @pytest.mark.asyncio
    async def test_fetches_run_beside_each_other(self, plugin: PriceSource[Any]) -> None:
        """The daemon asks for several pairs at the same time."""
        async with plugin:
            answers = await asyncio.gather(*(plugin.fetch_price(self.base, self.quote) for _ in range(5)))
        assert all(isinstance(answer, Price) for answer in answers)

    @pytest.mark.asyncio
    async def test_fetch_ends_when_cancelled(self, plugin: PriceSource[Any]) -> None:
        """The daemon gives up on a source by cancelling the call."""
        async with plugin:
            await _check_cancellable(plugin.fetch_price(self.base, self.quote))

    @pytest.mark.asyncio
    async def test_fetch_never_blocks_the_loop(self, plugin: PriceSource[Any]) -> None:
        """Every other plugin waits meanwhile, and no deadline ends it."""
        async with plugin:
            await _check_never_blocks(plugin.fetch_price(self.base, self.quote))


class EventSinkContract(PluginContract):
    """What holds for event sinks."""

    @pytest.mark.asyncio
    @pytest.mark.parametrize("event_type", list(EventType))
    async def test_every_type_of_event_is_taken(self, plugin: EventSink[Any], event_type: EventType) -> None:
        """Events without numbers included."""
        async with plugin:
            await plugin.deliver(example_event(event_type))

    @pytest.mark.asyncio
    async def test_same_event_is_taken_again(self, plugin: EventSink[Any]) -> None:
        """Delivery is at least once, across openings too."""
        for _ in range(2):
            async with plugin:
                await plugin.deliver(example_event())
                await plugin.deliver(example_event())

    @pytest.mark.asyncio
    async def test_delivery_ends_when_cancelled(self, plugin: EventSink[Any]) -> None:
        """The daemon gives up on a sink by cancelling the call."""
        async with plugin:
            await _check_cancellable(plugin.deliver(example_event()))

    @pytest.mark.asyncio
    async def test_delivery_never_blocks_the_loop(self, plugin: EventSink[Any]) -> None:
        """Every other plugin waits meanwhile, and no deadline ends it."""
        async with plugin:
            await _check_never_blocks(plugin.deliver(example_event()))


class ReplenisherContract(PluginContract):
    """What holds for replenishers."""

    mode: ClassVar[str] = "demo"
    """A mode that the options can refill."""
    currency: ClassVar[str] = "USDT"
    """Its share class."""

    @pytest.mark.asyncio
    async def test_request_is_answered(self, plugin: Replenisher[Any]) -> None:
        """On each opening."""
        for number in range(2):
            async with plugin:
                answer = await plugin.request(example_request(self.mode, self.currency, f"req-{number}"))
            assert isinstance(answer, Acceptance), f"request must return an Acceptance, got {type(answer).__name__}"

    @pytest.mark.asyncio
    async def test_same_request_gets_the_same_answer(self, plugin: Replenisher[Any]) -> None:
        """A request that comes again under its id is acted on once."""
        request = example_request(self.mode, self.currency)
        async with plugin:
            first, second = await plugin.request(request), await plugin.request(request)
        decided = {AcceptanceStatus.ACCEPTED, AcceptanceStatus.REJECTED}
        if first.status in decided:
            assert (second.status, second.reference) == (first.status, first.reference), "the same id, another answer"

    @pytest.mark.asyncio
    async def test_request_ends_when_cancelled(self, plugin: Replenisher[Any]) -> None:
        """The daemon gives up on a replenisher by cancelling the call."""
        async with plugin:
            await _check_cancellable(plugin.request(example_request(self.mode, self.currency)))

    @pytest.mark.asyncio
    async def test_request_never_blocks_the_loop(self, plugin: Replenisher[Any]) -> None:
        """Every other plugin waits meanwhile, and no deadline ends it."""
        async with plugin:
            await _check_never_blocks(plugin.request(example_request(self.mode, self.currency)))


def _places(reading: Reading) -> Iterator[tuple[str, str | None]]:
    for balance in reading.balances:
        yield balance.account, balance.asset
    for failure in reading.failures:
        yield failure.account, failure.asset


async def _check_cancellable(call: Coroutine[Any, Any, Any]) -> None:
    task = asyncio.create_task(call)
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=_PROMPT_SECONDS)
    assert done, f"a cancelled call must end within {_PROMPT_SECONDS} s"
    if not task.cancelled() and (error := task.exception()) is not None:
        assert isinstance(error, CallError), f"a cancelled call must not fail with {type(error).__name__}"


async def _check_never_blocks(call: Coroutine[Any, Any, Any]) -> None:
    with noting_what_blocks() as found:
        await call
    assert not found, f"must not block the event loop, use asyncio.sleep() or asyncio.to_thread(): {found[0]}"
