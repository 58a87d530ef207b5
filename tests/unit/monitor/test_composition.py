"""Sources that use other sources, as the manager reads them."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from reservd import ReserveManager, ReserveStatus
from reservd.errors import CallError, ConfigError, FailureReason, SourceError
from reservd.monitor.observer import Observer
from reservd.monitor.sources.reader import one_cycle
from reservd.monitor.sources.readers import BalanceReader, EquityReader, PriceReader
from reservd.plugin import Price
from support.portfolio import Ledger, Market, Position, ago, portfolio
from support.sources import ScriptedEquity, hangs, raises, returns

BASE = {"share_class": "USDT", "reserve_ratio": "0.1"}
PRICES = {"ETH": {"source": "market", "max_age": 60}}


class Seen(Observer):
    """Records which sources answer."""

    def __init__(self) -> None:
        self.up: dict[str, bool] = {}
        self.fetches: list[tuple[str, FailureReason | None]] = []

    def fetched(self, source: str, seconds: float, failure: FailureReason | None) -> None:
        self.fetches.append((source, failure))

    def source_is(self, source: str, *, up: bool) -> None:
        self.up[source] = up


def manager_of(*sources: Any, observer: Observer | None = None, **modes: Any) -> ReserveManager:
    """Return a manager of sources by name, with modes that each count `treasury/main`."""
    kinds = {cls: {each.name: each for each in sources if isinstance(each, cls)} for cls in (Ledger, Market)}
    equities = {each.name: each for each in sources if not isinstance(each, Ledger | Market)}
    manager = ReserveManager(
        equities, kinds[Ledger], price_sources=kinds[Market], observers=[observer] if observer is not None else []
    )
    for mode, config in modes.items():
        defaults = {"reserve_balance_sources": ["treasury/main"], "reserve_equity_source": "nav"}
        manager.set_reserve_config(mode, {**BASE, **defaults, **config})
    return manager


def nav(name: str = "nav", **options: Any) -> Any:
    return portfolio(name, **{"balances": [{"source": "treasury"}], "prices": PRICES, **options})


async def test_portfolio_is_the_equity_of_a_mode() -> None:
    manager = manager_of(Ledger(main__USDT=200, cold__ETH="0.5"), Market(ETH_USDT=3000), nav(), m={})
    (snapshot,) = (await manager.check_all_reserves()).values()
    assert (snapshot.total_equity, snapshot.reserve_balance) == (1700, 200)
    assert snapshot.status is ReserveStatus.ADEQUATE
    await manager.close()


async def test_equity_is_believed_when_a_price_is_older_than_any_amount_may_be() -> None:
    """A feed that is updated hourly is valid for an hour; its age does not count for the skew between amounts."""
    market = Market(ETH_USDT=3000)
    market.age = 3000
    hourly = nav(prices={"ETH": {"source": "market", "max_age": 3700}})
    manager = manager_of(Ledger(main__USDT=200, cold__ETH="0.5"), market, hourly, m={"reserve_max_skew": 60})
    (snapshot,) = (await manager.check_all_reserves()).values()
    assert (snapshot.total_equity, snapshot.missing, snapshot.status) == (1700, (), ReserveStatus.ADEQUATE)
    assert snapshot.input_age < 60
    market.age = 3701
    (snapshot,) = (await manager.check_all_reserves()).values()
    assert snapshot.total_equity is None
    await manager.close()


async def test_price_that_jumps_is_not_confirmed_by_newer_amounts() -> None:
    """The amounts are read again, but the price is still the same observation."""
    market = Market(ETH_USDT=3000)
    manager = manager_of(Ledger(main__USDT=200, cold__ETH="0.5"), market, nav(), m={})
    await manager.check_all_reserves()
    wrong = Price("ETH", "USDT", Decimal(30_000), ago(0))
    market.misbehave = returns(wrong)
    for _ in range(3):
        await manager.check_all_reserves()
        assert manager.status("m") is ReserveStatus.ADEQUATE
    market.misbehave = returns(Price("ETH", "USDT", Decimal(30_000), ago(0)))
    await manager.check_all_reserves()
    assert manager.status("m") is ReserveStatus.CRITICAL
    await manager.close()


async def test_each_source_is_read_once_a_cycle_however_many_build_on_it() -> None:
    """Portfolios may contain portfolios, so some sources are requested long after the others have answered."""
    treasury, market, vaults = Ledger(main__USDT=200, cold__ETH=1), Market(ETH_USDT=3000), Position(amount=10)
    inner = nav("inner", equity=[{"source": "vaults"}])
    middle = nav("middle", balances=[{"source": "treasury/main"}], equity=[{"source": "inner"}])
    outer = nav(equity=[{"source": "middle"}, {"source": "vaults"}])
    seen = Seen()
    manager = manager_of(treasury, market, vaults, inner, middle, outer, observer=seen, m={})
    for cycle in (1, 2):
        (snapshot,) = (await manager.check_all_reserves()).values()
        assert snapshot.total_equity == 3 * 200 + 2 * 3000 + 2 * 10
        assert (treasury.reads, len(market.asked), len(vaults.asked)) == (cycle, cycle, cycle)
    assert sorted(name for name, _ in seen.fetches[:6]) == ["inner", "market", "middle", "nav", "treasury", "vaults"]
    await manager.close()


async def test_second_look_reads_prices_anew() -> None:
    """A price that is wrong once is a jump: it must not confirm itself."""
    treasury, market = Ledger(main__USDT=200, cold__ETH=1), Market(ETH_USDT=300)
    manager = manager_of(treasury, market, nav(), m={})
    await manager.check_all_reserves()
    market.values["ETH/USDT"] = 30_000
    script = iter([30_000, 300])

    async def flips() -> Price:
        return Price("ETH", "USDT", Decimal(next(script)), ago(0))

    market.misbehave = flips
    await manager.check_all_reserves()
    assert (treasury.reads, len(market.asked)) == (3, 3)
    assert manager.status("m") is ReserveStatus.ADEQUATE
    await manager.close()


async def test_reading_goes_on_for_the_mode_when_a_portfolio_gives_up_waiting() -> None:
    """Otherwise the balance would be lost together with the equity, and give not even a lower bound."""
    treasury, other = Ledger(main__USDT=200), Ledger("other", main__USDT=1)
    answer = asyncio.Event()

    async def slowly() -> Any:
        await answer.wait()
        treasury.misbehave = None
        return await treasury.fetch_balances()

    treasury.misbehave = slowly
    hasty = nav(balances=[{"source": "treasury"}, {"source": "other"}], timeout=0.05)
    manager = manager_of(treasury, other, Market(), hasty, m={})
    checking = asyncio.create_task(manager.check_all_reserves())
    await asyncio.sleep(0.2)
    answer.set()
    (snapshot,) = (await checking).values()
    assert (snapshot.reserve_balance, snapshot.total_equity) == (200, None)
    assert snapshot.missing == ("nav: timeout: no answer within 0.05 s",)
    await manager.close()


async def test_price_source_that_hangs_costs_its_own_deadline_and_names_itself() -> None:
    treasury, market = Ledger(main__USDT=200, cold__ETH=1), Market(timeout=0.05)
    market.misbehave = hangs
    seen = Seen()
    manager = manager_of(treasury, market, nav(), observer=seen, m={})
    (snapshot,) = (await manager.check_all_reserves()).values()
    assert snapshot.missing == ("nav: timeout: price of ETH: timeout: market: no answer within 0.05 s",)
    assert seen.up == {"treasury": True, "market": False, "nav": False}
    market.misbehave = None
    market.values["ETH/USDT"] = 3000
    (snapshot,) = (await manager.check_all_reserves()).values()
    assert snapshot.total_equity == 3200
    assert seen.up == {"treasury": True, "market": True, "nav": True}
    await manager.close()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Decimal(3000), "fetch_price() returned Decimal, not Price"),
        (None, "fetch_price() returned NoneType, not Price"),
        (Price("BTC", "USDT", Decimal(3000), ago(0)), "fetch_price() returned a price of a pair other than ETH/USDT"),
    ],
)
async def test_price_is_refused_when_the_source_breaks_its_contract(answer: object, why: str) -> None:
    market = Market()
    market.misbehave = returns(answer)
    error = await PriceReader(market, []).read("ETH", "USDT")
    assert isinstance(error, CallError)
    assert (error.reason, error.detail) == (FailureReason.INVALID_DATA, why)


async def test_equity_is_read_for_each_currency_when_a_source_by_mode_is_asked_in_two() -> None:
    reader = EquityReader(Position(amount=5, by_share_class=False), [])
    first, second = reader.read("m", "USDT"), reader.read("m", "ETH")
    answers = [await first, await second]
    assert [getattr(answer, "currency", answer) for answer in answers] == ["USDT", "ETH"]


async def test_failed_part_is_told_by_its_reason() -> None:
    treasury, vaults = Ledger(main__USDT=1), Position()
    vaults.misbehave = raises(SourceError(FailureReason.RATE_LIMITED, "slow down"))
    manager = manager_of(treasury, vaults, Market(), nav(equity=[{"source": "vaults"}]), m={})
    (snapshot,) = (await manager.check_all_reserves()).values()
    assert snapshot.missing == ("nav: rate_limited: vaults: rate_limited: slow down",)
    treasury.misbehave = raises(ValueError("broken"))
    (snapshot,) = (await manager.check_all_reserves()).values()
    assert "nav: internal: treasury/main USDT: internal: ValueError; vaults: rate_limited" in snapshot.missing[1]
    await manager.close()


async def test_what_belongs_to_a_cycle_reads_anew_once_it_has_ended() -> None:
    """A task that outlives a cycle, such as a connection or a stream, must not get its old readings forever."""
    treasury = Ledger(main__USDT=1)
    reader = BalanceReader(treasury, [])
    ended = asyncio.Event()

    async def outlives() -> None:
        await ended.wait()
        await reader.read()
        await reader.read()

    async with one_cycle():
        left_behind = asyncio.create_task(outlives())
        assert await reader.read() is await reader.read()
    assert treasury.reads == 1
    ended.set()
    await left_behind
    assert treasury.reads == 3
    await reader.close()


async def test_every_source_is_closed_with_the_manager() -> None:
    closed: list[str] = []

    class Closing(Market):
        async def __aexit__(self, *_: object) -> None:
            closed.append(self.name)

    manager = manager_of(Ledger(main__USDT=1, cold__ETH=1), Closing(ETH_USDT=3000), nav(), m={})
    await manager.check_all_reserves()
    await manager.close()
    assert closed == ["market"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"balances": [{"source": "tresury"}]}, "nav: balances[0].source: must name a balance source, got 'tresury'"),
        ({"prices": {"ETH": {"source": "x", "max_age": 1}}}, "nav: prices.ETH.source: must name a price source"),
        ({"equity": [{"source": "nav"}]}, "nav: equity[0].source: must not build on itself: nav -> nav"),
        ({"prices": {}}, "nav: prices: must have ETH, which is in treasury/cold ETH"),
    ],
)
def test_manager_is_refused_when_a_source_builds_on_what_is_not_there(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        manager_of(Ledger(main__USDT=1, cold__ETH=1), Market(), nav(**options))
    assert why in str(refused.value)


async def test_mode_with_a_limit_is_never_left_alone_because_its_amounts_are_as_they_were() -> None:
    """The ages of its equity and its balance may drift apart although neither amount changes."""

    class Drifting(ScriptedEquity):
        age = 0.0

        async def fetch_equity(self, mode: str, currency: str) -> Any:
            equity = await super().fetch_equity(mode, currency)
            return type(equity)(equity.amount, equity.currency, ago(self.age))

    equity, treasury = Drifting(), Ledger(main__USDT=200)
    manager = ReserveManager(equity, {"treasury": treasury})
    manager.set_reserve_config("m", {**BASE, "reserve_max_skew": 60, "reserve_monitoring_interval": "0.05"})
    running = asyncio.create_task(manager.start_monitoring())

    async def until(wanted: object) -> None:
        async with asyncio.timeout(60):
            while (latest := manager.latest_snapshot("m")) is None or latest.total_equity != wanted:
                await asyncio.sleep(0.01)

    await until(1000)
    equity.age = 90
    await until(None)
    latest = manager.latest_snapshot("m")
    assert latest is not None
    assert latest.missing == ("equity and balance are 90 s apart, more than reserve_max_skew (60)",)
    manager.stop_monitoring()
    await running


async def test_portfolio_is_asked_every_cycle_however_often_its_parts_fail() -> None:
    """Only its parts are read less often. If the portfolio were too, its recovery would need both in the same cycle."""
    treasury, market = Ledger(main__USDT=200, cold__ETH=1), Market(ETH_USDT=3000)
    seen = Seen()
    manager = manager_of(treasury, market, nav(), observer=seen, m={})
    market.misbehave = raises(SourceError(FailureReason.UNREACHABLE, "refused"))
    for _ in range(12):
        await manager.check_all_reserves()
    assert len([name for name, _ in seen.fetches if name == "nav"]) == 12
    market.misbehave = None
    async with asyncio.timeout(60):
        while (snapshot := manager.latest_snapshot("m")) is None or snapshot.total_equity is None:
            await manager.check_all_reserves()
    assert snapshot.total_equity == 3200
    await manager.close()
