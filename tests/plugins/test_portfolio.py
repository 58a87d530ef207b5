"""The `portfolio` equity source on sources that a test controls."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reservd.plugin import Component, Equity, FailureReason, Price, Readers, SourceError
from reservd.plugin.testing import EquitySourceContract
from reservd_portfolio.source import PortfolioEquitySource
from support.portfolio import Ledger, Market, Position, ago, portfolio
from support.sources import raises

ETHER = {"source": "market", "max_age": 60}


def readers(*sources: Any) -> Readers:
    """Return readers of the sources, by name."""
    return Readers(
        {source.name: source for source in sources if isinstance(source, Ledger)},
        {source.name: source for source in sources if isinstance(source, Position | PortfolioEquitySource)},
        {source.name: source for source in sources if isinstance(source, Market)},
    )


async def equity_of(options: Mapping[str, Any], *sources: Any, mode: str = "USDT") -> Equity:
    source = portfolio(**options)
    source.connect(readers(*sources))
    return await source.fetch_equity(mode, "USDT")


async def failure_of(options: Mapping[str, Any], *sources: Any) -> SourceError:
    with pytest.raises(SourceError) as failure:
        await equity_of(options, *sources)
    return failure.value


class TestPortfolioEquitySource(EquitySourceContract):
    plugin_class = PortfolioEquitySource

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        balances = [{"source": "treasury"}]
        return {"currency": "USDT", "balances": balances, "equity": [{"source": "vaults"}], "prices": {"ETH": ETHER}}

    @pytest.fixture
    def readers(self) -> Readers:
        return readers(Ledger(main__USDT=100, main__ETH=2), Position(amount=50), Market(ETH_USDT=3000))


async def test_equity_is_the_sum_of_accounts_and_positions_at_their_prices() -> None:
    treasury = Ledger(main__USDT="100.5", main__ETH="2", ops__USDT="-20")
    treasury.locked["main/ETH"] = "0.5"
    vaults, market = Position(amount="1000"), Market(ETH_USDT="3000.5", USDC_USDT="0.999")
    options = {
        "balances": [{"source": "treasury"}],
        "equity": [{"source": "vaults", "currency": "USDC"}],
        "prices": {"ETH": ETHER, "USDC": ETHER},
    }
    equity = await equity_of(options, treasury, vaults, market)
    assert equity.amount == Decimal("100.5") - 20 + Decimal("2.5") * Decimal("3000.5") + 999
    assert (equity.currency, equity.complete, equity.net_of_withdrawals) == ("USDT", True, False)
    assert {name: part.amount for name, part in equity.components.items()} == {
        "treasury/main ETH": Decimal("7501.25"),
        "treasury/main USDT": Decimal("100.5"),
        "treasury/ops USDT": Decimal(-20),
        "vaults USDC": Decimal(999),
    }
    ether = equity.components["treasury/main ETH"]
    assert isinstance(ether, Component)
    assert isinstance(ether.price, Price)
    assert (ether.price.base, ether.price.quote, ether.price.value) == ("ETH", "USDT", Decimal("3000.5"))
    assert vaults.asked == [("USDC", "USDC")]


async def test_only_the_chosen_accounts_and_assets_count() -> None:
    treasury = Ledger(main__USDT=1, main__ETH=10, ops__USDT=100, cold__USDT=None)
    options = {"balances": [{"source": "treasury/main", "assets": ["USDT"]}, {"source": "treasury/ops"}]}
    equity = await equity_of(options, treasury)
    assert equity.amount == 101


async def test_locked_money_is_left_out_when_the_option_says_so() -> None:
    treasury = Ledger(main__USDT=100)
    treasury.locked["main/USDT"] = 50
    assert (await equity_of({"balances": [{"source": "treasury"}]}, treasury)).amount == 150
    assert (await equity_of({"balances": [{"source": "treasury", "locked": False}]}, treasury)).amount == 100


async def test_debt_is_taken_off_when_an_account_holds_what_is_owed() -> None:
    """A lending market's debt token is reported as a balance above 0."""
    treasury, loans = Ledger(main__USDT=100), Ledger("loans", main__ETH="0.5")
    options = {
        "balances": [{"source": "treasury"}, {"source": "loans", "debt": True}],
        "prices": {"ETH": ETHER},
    }
    equity = await equity_of(options, treasury, loans, Market(ETH_USDT=3000))
    assert equity.amount == -1400
    assert equity.components["loans/main ETH"].amount == -1500  # type: ignore[union-attr]


async def test_sum_is_exact_when_amounts_have_more_digits_than_a_context() -> None:
    long = "123456789012345678901234567890.123456789012345678"
    treasury = Ledger(main__USDT=long, main__ETH="1E-18")
    treasury.locked["main/USDT"] = "0.000000000000000001"
    options = {"balances": [{"source": "treasury"}], "prices": {"ETH": ETHER}}
    with localcontext(prec=6):
        equity = await equity_of(options, treasury, Market(ETH_USDT="3000.123456789012"))
    with localcontext(prec=100):
        assert equity.amount == Decimal(long) + Decimal("1E-18") + Decimal("3000.123456789012") * Decimal("1E-18")
    treasury.amounts = {"main/USDT": long}
    with localcontext(prec=6):
        owed = await equity_of({"balances": [{"source": "treasury", "debt": True, "locked": False}]}, treasury)
    assert owed.amount == Decimal(long).copy_negate()


@given(
    st.lists(st.decimals(-(10**15), 10**15, places=18), min_size=1, max_size=8),
    st.decimals("0.000001", 10**6, places=12),
)
async def test_components_sum_to_the_equity(amounts: list[Decimal], price: Decimal) -> None:
    treasury = Ledger(**{f"a{number}__ETH": amount for number, amount in enumerate(amounts)})
    options = {"balances": [{"source": "treasury"}], "prices": {"ETH": ETHER}}
    equity = await equity_of(options, treasury, Market(ETH_USDT=price))
    with localcontext(prec=200):
        assert equity.amount == sum(part.amount for part in equity.components.values())  # type: ignore[union-attr]
        assert abs(equity.amount - sum(amounts) * price) <= Decimal("1e-29")


async def test_equity_is_as_old_as_its_oldest_amount_and_tells_beside_that_how_old_its_prices_are() -> None:
    treasury, vaults, market = Ledger(main__USDT=1, main__ETH=1), Position(amount=1), Market(ETH_USDT=3000)
    options = {"balances": [{"source": "treasury"}], "equity": [{"source": "vaults"}], "prices": {"ETH": ETHER}}
    assert (await equity_of({"balances": [{"source": "treasury", "assets": ["USDT"]}]}, treasury)).priced_at is None
    for source, seconds, price_seconds in ((treasury, 20, 0), (vaults, 30, 0), (market, 30, 50)):
        if isinstance(source, Ledger):
            source.ages["main/ETH"] = seconds
        else:
            source.age = max(seconds, price_seconds)
        equity = await equity_of(options, treasury, vaults, market)
        assert equity.priced_at is not None
        for at, age in ((equity.observed_at, seconds), (equity.priced_at, price_seconds)):
            assert timedelta(0) <= datetime.now(UTC) - at - timedelta(seconds=age) < timedelta(seconds=5)


async def test_prices_of_a_portfolio_within_a_portfolio_count() -> None:
    vaults, at = Position(amount=1), ago(40)
    vaults.fields["priced_at"] = at
    treasury, market = Ledger(main__ETH=1), Market(ETH_USDT=3000)
    options = {"balances": [{"source": "treasury"}], "equity": [{"source": "vaults"}], "prices": {"ETH": ETHER}}
    equity = await equity_of(options, treasury, vaults, market)
    assert (equity.priced_at, equity.components["vaults"].priced_at) == (at, at)  # type: ignore[union-attr]


async def test_equity_tells_how_new_its_newest_amount_is_also_of_a_portfolio_within_it() -> None:
    """A clock that is ahead must not be hidden by older parts."""
    treasury, vaults = Ledger(main__USDT=1), Position(amount=1)
    options = {"balances": [{"source": "treasury"}], "equity": [{"source": "vaults"}]}
    treasury.ages["main/USDT"], vaults.age = 20, 30
    equity = await equity_of(options, treasury, vaults)
    assert equity.newest_at is not None
    assert equity.newest_at - equity.observed_at >= timedelta(seconds=9)
    vaults.fields["newest_at"] = ago(-3600)
    equity = await equity_of(options, treasury, vaults)
    assert (equity.newest_at, equity.observed_at < ago(20)) == (vaults.fields["newest_at"], True)


@pytest.mark.parametrize(("max_skew", "believed"), [(None, True), (120, True), (60, False)])
async def test_equity_is_unknown_when_its_parts_are_too_far_apart(max_skew: int | None, believed: bool) -> None:
    """Money that moved between them would count twice, or not at all."""
    treasury, vaults = Ledger(main__USDT=1), Position(amount=1)
    vaults.age = 90
    options = {"balances": [{"source": "treasury"}], "equity": [{"source": "vaults"}], "max_skew": max_skew}
    if believed:
        assert (await equity_of(options, treasury, vaults)).amount == 2
        return
    error = await failure_of(options, treasury, vaults)
    assert (error.reason, error.detail) == (FailureReason.INVALID_DATA, "the parts are 90 s apart, max_skew is 60")


async def test_skew_is_not_of_prices() -> None:
    """No money moves between a balance and a price, which has a maximum age of its own."""
    treasury, market = Ledger(main__ETH=1), Market(ETH_USDT=3000)
    market.age = 50
    options = {"balances": [{"source": "treasury"}], "prices": {"ETH": ETHER}, "max_skew": 10}
    assert (await equity_of(options, treasury, market)).amount == 3000


async def test_equity_is_unknown_when_one_asset_cannot_be_read() -> None:
    treasury = Ledger(main__USDT=100, main__ETH=None)
    options = {"balances": [{"source": "treasury"}], "prices": {"ETH": ETHER}}
    error = await failure_of(options, treasury, Market(ETH_USDT=3000))
    assert (error.reason, error.detail) == (FailureReason.TIMEOUT, "treasury/main ETH: timeout: no answer")


async def test_equity_is_unknown_when_an_asset_is_missing_from_the_reading() -> None:
    treasury = Ledger(main__USDT=100, ops__USDT=1)
    treasury.silent.add("ops/USDT")
    error = await failure_of({"balances": [{"source": "treasury"}]}, treasury)
    assert error.detail == "treasury/ops USDT: invalid_data: is missing from the reading"


async def test_equity_is_unknown_when_the_venue_does_not_tell_what_is_locked() -> None:
    treasury = Ledger(main__USDT=100)
    treasury.locked["main/USDT"] = None
    error = await failure_of({"balances": [{"source": "treasury"}]}, treasury)
    why = "the venue does not report what is locked: set locked: false to leave it out"
    assert error.detail == f"treasury/main USDT: invalid_data: {why}"
    options = {"balances": [{"source": "treasury", "locked": False}]}
    assert (await equity_of(options, treasury)).amount == 100


async def test_failure_names_some_of_what_lacks() -> None:
    treasury = Ledger(**{f"a{number}__USDT": 1 for number in range(5)})
    treasury.misbehave = raises(SourceError(FailureReason.RATE_LIMITED, "slow down"))
    error = await failure_of({"balances": [{"source": "treasury"}]}, treasury)
    assert error.reason is FailureReason.RATE_LIMITED
    assert error.detail == (
        "treasury/a0 USDT: rate_limited: slow down; treasury/a1 USDT: rate_limited: slow down; "
        "treasury/a2 USDT: rate_limited: slow down; and 2 more"
    )


@pytest.mark.parametrize(
    ("fields", "currency", "why"),
    [
        ({"complete": False}, None, "vaults: invalid_data: is incomplete"),
        ({}, "USDC", "vaults: invalid_data: is in USDC, not in USDT"),
    ],
)
async def test_equity_is_unknown_when_a_position_does_not_tell_it_all(
    fields: dict[str, Any], currency: str | None, why: str
) -> None:
    vaults = Position(amount=1)
    vaults.fields, vaults.currency = fields, currency
    assert (await failure_of({"equity": [{"source": "vaults"}]}, vaults)).detail == why


async def test_equity_is_net_of_withdrawals_when_a_part_is() -> None:
    vaults = Position(amount=1)
    vaults.fields["net_of_withdrawals"] = True
    options = {"balances": [{"source": "treasury"}], "equity": [{"source": "vaults"}]}
    assert (await equity_of(options, Ledger(main__USDT=1), vaults)).net_of_withdrawals


@pytest.mark.parametrize(("age", "why"), [(61, "max_age is 60 s"), (-120, "ahead")])
async def test_equity_is_unknown_when_a_price_is_of_another_time(age: float, why: str) -> None:
    market = Market(ETH_USDT=3000)
    market.age = age
    options = {"balances": [{"source": "treasury"}], "prices": {"ETH": ETHER}}
    error = await failure_of(options, Ledger(main__ETH=1), market)
    assert error.reason is FailureReason.INVALID_DATA
    assert error.detail.startswith("price of ETH: invalid_data: market: the price is of ")
    assert why in error.detail


async def test_no_price_is_needed_of_what_is_not_there() -> None:
    market = Market()
    options = {"balances": [{"source": "treasury"}], "prices": {"ETH": ETHER}}
    equity = await equity_of(options, Ledger(main__USDT=5, main__ETH=0), market)
    assert equity.amount == 5
    assert market.asked == ["ETH/USDT"]


COMPARED = {**ETHER, "second": {"source": "other", "max_age": 60}, "max_deviation": "0.01"}


@pytest.mark.parametrize(("second", "agree"), [("3000", True), ("3030", True), ("2970.3", True), ("3030.01", False)])
async def test_two_prices_must_agree_and_are_never_averaged(second: str, agree: bool) -> None:
    options = {"balances": [{"source": "treasury"}], "prices": {"ETH": COMPARED}}
    sources = Ledger(main__ETH=1), Market(ETH_USDT=3000), Market("other", ETH_USDT=second)
    if agree:
        assert (await equity_of(options, *sources)).amount == 3000
        return
    error = await failure_of(options, *sources)
    assert error.reason is FailureReason.INVALID_DATA
    assert "two sources disagree by more than 0.01: 3000 and 3030.01" in error.detail


async def test_equity_is_unknown_when_the_second_price_cannot_be_read() -> None:
    other = Market("other")
    other.misbehave = raises(SourceError(FailureReason.UNREACHABLE, "refused"))
    options = {"balances": [{"source": "treasury"}], "prices": {"ETH": COMPARED}}
    error = await failure_of(options, Ledger(main__ETH=1), Market(ETH_USDT=3000), other)
    assert (error.reason, error.detail) == (
        FailureReason.UNREACHABLE,
        "price of ETH: unreachable: other: refused",
    )


async def test_equity_is_unknown_when_the_sum_is_beyond_belief() -> None:
    treasury = Ledger(a__USDT="9e59", b__USDT="9e59")
    error = await failure_of({"balances": [{"source": "treasury"}]}, treasury)
    assert (error.reason, "below 1e60" in error.detail) == (FailureReason.INVALID_DATA, True)


async def test_equity_is_told_in_no_other_currency() -> None:
    source = portfolio(balances=[{"source": "treasury"}])
    source.connect(readers(Ledger(main__USDT=1)))
    with pytest.raises(SourceError, match="is counted in USDT, not in ETH"):
        await source.fetch_equity("ETH", "ETH")


async def test_equity_fails_when_the_source_is_not_connected() -> None:
    with pytest.raises(SourceError, match="not connected"):
        await portfolio(balances=[{"source": "treasury"}]).fetch_equity("USDT", "USDT")


async def test_portfolio_is_asked_by_mode_when_a_part_is() -> None:
    by_mode, shared = Position("own", 5, by_share_class=False), Position("shared", 7)
    source = portfolio(equity=[{"source": "own"}, {"source": "shared"}])
    assert not source.by_share_class
    source.connect(readers(by_mode, shared))
    assert not source.by_share_class
    assert (await source.fetch_equity("lending", "USDT")).amount == 12
    assert (by_mode.asked, shared.asked) == ([("lending", "USDT")], [("USDT", "USDT")])
    source = portfolio(equity=[{"source": "shared"}])
    source.connect(readers(shared))
    assert source.by_share_class


def test_same_token_under_two_names_is_refused_and_another_of_that_name_is_not() -> None:
    def wallet(name: str, asset: str, token: str) -> Ledger:
        ledger = Ledger(name, venue="eip155:1", **{f"main__{asset}": 1})
        ledger.identities = {asset: f"erc20:{token}"}
        return ledger

    options = {"balances": [{"source": "one"}, {"source": "two"}], "prices": {"USDT.e": ETHER}}
    twice = portfolio(**options)
    with pytest.raises(ValueError, match=r"must not count money twice: two/main USDT\.e is one/main USDT"):
        twice.connect(readers(wallet("one", "USDT", "0xA"), wallet("two", "USDT.e", "0xa"), Market()))
    portfolio(**options).connect(readers(wallet("one", "USDT", "0xa"), wallet("two", "USDT", "0xb"), Market()))


async def test_portfolio_may_count_another() -> None:
    inner = portfolio("inner", currency="ETH", balances=[{"source": "treasury"}])
    inner.connect(readers(Ledger(main__ETH=2)))
    options = {"equity": [{"source": "inner", "currency": "ETH"}], "prices": {"ETH": ETHER}}
    assert (await equity_of(options, inner, Market(ETH_USDT=3000))).amount == 6000


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            {"balances": [{"source": "treasury"}, {"source": "treasury/main"}]},
            "balances[1]: must not count money twice: treasury/main ETH is treasury/main ETH",
        ),
        (
            {"balances": [{"source": "treasury", "assets": ["USDT"]}, {"source": "mirror"}]},
            "balances[1]: must not count money twice: mirror/main USDT is treasury/main USDT",
        ),
        (
            {"balances": [{"source": "treasury", "assets": ["BTC"]}]},
            "balances[0]: must have assets of 'treasury', which is not configured to read BTC",
        ),
        ({"balances": [{"source": "treasury"}]}, "prices: must have ETH, which is in treasury/main ETH"),
        ({"equity": [{"source": "vaults", "currency": "EUR"}]}, "prices: must have EUR, which is in vaults"),
        (
            {"equity": [{"source": "vaults"}, {"source": "vaults", "currency": "USDT"}]},
            "equity[1]: must not count 'vaults' twice",
        ),
    ],
)
def test_parts_are_refused_when_they_do_not_add_up(options: dict[str, Any], why: str) -> None:
    source = portfolio(**options)
    with pytest.raises(ValueError, match="must") as refused:
        source.connect(
            readers(Ledger(main__USDT=1, main__ETH=1), Ledger("mirror", venue="treasury", main__USDT=1), Position())
        )
    assert str(refused.value) == why


def test_assets_are_needed_when_the_source_does_not_tell_them() -> None:
    class Vague(Ledger):
        @property
        def accounts(self) -> Any:
            return {name: type(each)(name, each.venue, each.address) for name, each in super().accounts.items()}

    source = portfolio(balances=[{"source": "treasury"}])
    with pytest.raises(ValueError, match="must have assets: 'treasury' does not declare which it has"):
        source.connect(readers(Vague(main__USDT=1)))
    source = portfolio(balances=[{"source": "treasury", "assets": ["USDT"]}])
    source.connect(readers(Vague(main__USDT=1)))


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({}, "balances or equity must name a source"),
        ({"balances": [{"source": ""}]}, "source"),
        ({"balances": [{"source": "t", "assets": []}]}, "assets"),
        ({"prices": {"ETH": {"source": "m"}}}, "max_age"),
        ({"prices": {"ETH": {**COMPARED, "max_deviation": None}}}, "both or not at all"),
        ({"prices": {"ETH": {**COMPARED, "max_deviation": 0}}}, "max_deviation"),
        ({"prices": {"ETH": {**COMPARED, "second": ETHER}}}, "second must be another source"),
        ({"currency": ""}, "currency"),
        ({"max_skew": 0}, "max_skew"),
    ],
)
def test_options_are_refused_when_they_do_not_hold(options: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        portfolio(**options)
