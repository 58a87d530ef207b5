from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from reservd.plugin import Account, FailureReason, SourceError
from reservd.plugin.testing import BalanceSourceContract, EquitySourceContract, PriceSourceContract
from reservd_static.price import StaticPriceSource
from reservd_static.source import StaticBalanceSource, StaticEquitySource

TWO_ACCOUNTS = {
    "balances": [
        {"asset": "USDT", "amount": 60_000},
        {"asset": "ETH", "amount": "1.5"},
        {"account": "ops", "asset": "USDT", "amount": Decimal("-12.25"), "locked": 3},
    ]
}


class TestStaticBalanceSource(BalanceSourceContract):
    plugin_class = StaticBalanceSource

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return TWO_ACCOUNTS


class TestStaticEquitySource(EquitySourceContract):
    plugin_class = StaticEquitySource

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"amount": 1_000_000, "modes": {"demo": "2000000.5"}}


async def test_balances_are_those_of_the_configuration(build: Any) -> None:
    reading = await build(StaticBalanceSource, TWO_ACCOUNTS).fetch_balances()
    assert [(b.account, b.asset, b.amount, b.locked) for b in reading.balances] == [
        ("main", "USDT", Decimal(60_000), Decimal(0)),
        ("main", "ETH", Decimal("1.5"), Decimal(0)),
        ("ops", "USDT", Decimal("-12.25"), Decimal(3)),
    ]


def test_accounts_have_the_assets_that_entries_name(build: Any) -> None:
    assert build(StaticBalanceSource, TWO_ACCOUNTS, name="cold").accounts == {
        "main": Account("main", "cold", "main", frozenset({"USDT", "ETH"})),
        "ops": Account("ops", "cold", "ops", frozenset({"USDT"})),
    }


@pytest.mark.parametrize("amount", [1.5, float("nan"), Decimal("NaN"), "Infinity", "ten", True, None, Decimal("1e60")])
def test_amount_is_refused_when_it_is_not_exact(build: Any, amount: Any) -> None:
    with pytest.raises(ValidationError, match="amount"):
        build(StaticBalanceSource, {"balances": [{"asset": "USDT", "amount": amount}]})
    with pytest.raises(ValidationError, match="amount"):
        build(StaticEquitySource, {"amount": amount})


@pytest.mark.parametrize("balances", [[], [{"asset": "USDT", "amount": 1}, {"asset": "USDT", "amount": 2}]])
def test_balances_are_refused_when_empty_or_double(build: Any, balances: Any) -> None:
    with pytest.raises(ValidationError, match="balances"):
        build(StaticBalanceSource, {"balances": balances})


async def test_equity_is_the_modes_own_when_it_is_named(build: Any) -> None:
    source = build(StaticEquitySource, {"amount": 100, "modes": {"basis": 250}})
    assert not source.by_share_class
    assert (await source.fetch_equity("basis", "USDT")).amount == Decimal(250)
    assert (await source.fetch_equity("other", "USDT")).amount == Decimal(100)


async def test_equity_is_shared_when_no_mode_is_named(build: Any) -> None:
    source = build(StaticEquitySource, {"amount": 100})
    assert source.by_share_class
    assert (await source.fetch_equity("USDT", "USDT")).currency == "USDT"


async def test_equity_fails_when_another_currency_is_asked_for(build: Any) -> None:
    source = build(StaticEquitySource, {"amount": 100, "currency": "USDT"})
    with pytest.raises(SourceError, match="stated in USDT, not ETH") as failure:
        await source.fetch_equity("ETH", "ETH")
    assert failure.value.reason is FailureReason.INVALID_DATA


class TestStaticPriceSource(PriceSourceContract):
    plugin_class = StaticPriceSource

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"prices": {"ETH/USDT": "3000.5", "USDT.e/USDT": 1}}


async def test_price_is_the_configured_one(build: Any) -> None:
    source = build(StaticPriceSource, {"prices": {"ETH/USDT": "3000.5"}})
    assert (await source.fetch_price("ETH", "USDT")).value == Decimal("3000.5")


async def test_price_fails_when_only_the_other_way_is_stated(build: Any) -> None:
    source = build(StaticPriceSource, {"prices": {"ETH/USDT": "3000.5"}})
    with pytest.raises(SourceError, match="no price of USDT/ETH is stated") as failure:
        await source.fetch_price("USDT", "ETH")
    assert failure.value.reason is FailureReason.INVALID_DATA


@pytest.mark.parametrize("prices", [{}, {"ETH/USDT": 0}, {"ETH/USDT": -1}, {"ETH/USDT": 1.5}, {"ETHUSDT": 1}])
def test_prices_are_refused_when_they_are_none(build: Any, prices: Any) -> None:
    with pytest.raises(ValidationError, match="prices"):
        build(StaticPriceSource, {"prices": prices})
