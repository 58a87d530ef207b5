"""Instances that use others: problems are reported at the reference."""

from typing import Any

import pytest

from reservd.config.references import connect_all
from reservd.plugin import BalanceReference, Composite, EquityReference, EquitySource, PluginConfig, Readers
from reservd.plugin.composition import references_in
from support.portfolio import Ledger, portfolio

NAV = """\
equity_sources:
  nav:
    plugin: portfolio
    options:
      currency: USDT
      balances:
        - source: vault
      prices:
        ETH: {source: market, max_age: 60}
price_sources:
  market: {plugin: static, options: {prices: {ETH/USDT: 3000}}}
"""
MORE = "  nav: {plugin: static, options: {amount: 1000}}\n"


@pytest.fixture
def composed(folder: Any) -> Any:
    """A folder whose mode has a portfolio as equity source."""

    def write(old: str = "", new: str = "", more: str = "") -> Any:
        assert old in NAV
        folder.main("equity_sources:\n" + MORE, NAV.replace(old, new) if old else NAV, more=more)
        return folder

    return write


def test_portfolio_is_built_when_all_that_it_names_is_there(composed: Any) -> None:
    config = composed().load()
    assert list(config.price_sources) == ["market"]
    assert config.equity_sources["nav"].by_share_class
    assert config.warnings == ()


VAULT = "        - source: vault\n"
OPTIONS = "equity_sources.nav.options"


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        (
            "source: vault",
            "source: valt",
            f"10:19: {OPTIONS}.balances[0].source",
            "must name a balance source, got 'valt'; did you mean vault?",
        ),
        (
            "source: vault",
            "source: vault/mian",
            f"10:19: {OPTIONS}.balances[0].source",
            "must name an account of 'vault', got 'mian'; did you mean main?",
        ),
        (
            "source: market",
            "source: markt",
            f"12:23: {OPTIONS}.prices.ETH.source",
            "must name a price source, got 'markt'; did you mean market?",
        ),
        (
            "source: market",
            "source: vault",
            f"12:23: {OPTIONS}.prices.ETH.source",
            "must name a price source, got 'vault'",
        ),
        (
            VAULT,
            VAULT + "      equity: [{source: nav}]\n",
            f"11:25: {OPTIONS}.equity[0].source",
            "must not build on itself: nav -> nav",
        ),
        (
            VAULT,
            "        - {source: vault, assets: [BTC]}\n",
            f"8:7: {OPTIONS}",
            "balances[0]: must have assets of 'vault', which is not configured to read BTC",
        ),
    ],
)
def test_reference_is_refused_where_it_stands(composed: Any, old: str, new: str, place: str, message: str) -> None:
    assert composed(old, new).problems() == [f"reservd.yaml:{place}: {message}"]


def test_circle_is_said_once_however_many_are_in_it(composed: Any) -> None:
    inner = "  inner: {plugin: portfolio, options: {currency: USDT, equity: [{source: nav}]}}\n"
    folder = composed(VAULT, VAULT + "      equity: [{source: inner}]\n")
    text = (folder.path / "reservd.yaml").read_text()
    folder.write("reservd.yaml", text.replace("price_sources:\n", inner + "price_sources:\n"))
    (problem,) = folder.problems()
    way = "equity_sources.inner.options.equity[0].source"
    assert problem.endswith(f"{way}: must not build on itself: nav -> inner -> nav")


def test_nothing_more_is_said_when_what_is_named_is_wrong_itself(composed: Any) -> None:
    problems = composed("{prices: {ETH/USDT: 3000}}", "{prices: {}}").problems()
    assert len(problems) == 1
    assert "price_sources.market.options.prices: must not be empty" in problems[0]


def test_nothing_more_is_said_when_a_section_is_misspelt(composed: Any) -> None:
    problems = composed("price_sources:", "price_source:").problems()
    assert [problem.partition(": ")[2] for problem in problems] == [
        "price_source: unknown key; did you mean price_sources?"
    ]


@pytest.mark.parametrize("name", ["vault", "nav"])
def test_price_source_is_refused_when_it_is_named_as_another_source(composed: Any, name: str) -> None:
    assert f"price_sources.{name}: must not be named as another source is" in " ".join(
        composed("  market: {", f"  {name}: {{").problems()
    )


def test_warning_is_of_what_neither_a_mode_nor_a_portfolio_names(composed: Any) -> None:
    folder = composed("  market: {", "  idle: {plugin: static, options: {prices: {A/B: 1}}}\n  market: {")
    folder.mode("[vault]", "[own]")
    text = (folder.path / "reservd.yaml").read_text()
    own = "  own: {plugin: static, options: {balances: [{asset: USDT, amount: 1}]}}\n"
    folder.write("reservd.yaml", text.replace("balance_sources:\n", "balance_sources:\n" + own))
    (warning,) = folder.load().warnings
    assert warning.endswith("price_sources.idle: no equity source names it")


def test_references_are_found_however_deep_they_are() -> None:
    options = portfolio(
        balances=[{"source": "a/main"}],
        equity=[{"source": "b"}],
        prices={"ETH": {"source": "c", "max_age": 1, "second": {"source": "d", "max_age": 1}, "max_deviation": "0.1"}},
    ).config
    found = {way: (reference.KIND, reference.instance) for way, reference in references_in(options)}
    assert found == {
        ("balances", 0, "source"): ("balance_sources", "a"),
        ("equity", 0, "source"): ("equity_sources", "b"),
        ("prices", "ETH", "source"): ("price_sources", "c"),
        ("prices", "ETH", "second", "source"): ("price_sources", "d"),
    }


class Options(PluginConfig):
    """The sources that a `Builder` uses."""

    balances: tuple[BalanceReference, ...] = ()
    equities: tuple[EquityReference, ...] = ()


class Builder(EquitySource[Options], Composite):
    """Records its name when it is connected, or raises."""

    PLUGIN_NAME = "builder"
    Config = Options

    def __init__(self, name: str, order: list[str], error: Exception | None = None, **of: list[str]) -> None:
        super().__init__(name, Options.model_validate(of))
        self._order = order
        self._error = error

    def connect(self, readers: Readers) -> None:
        if self._error is not None:
            raise self._error
        self._order.append(self.name)

    async def fetch_equity(self, mode: str, currency: str) -> Any:
        raise NotImplementedError


def instances(*builders: Builder) -> Any:
    equities = {builder.name: builder for builder in builders}
    return {"balance_sources": {"treasury": Ledger(main__USDT=1)}, "equity_sources": equities, "price_sources": {}}


def test_instance_is_connected_after_those_that_it_builds_on() -> None:
    order: list[str] = []
    outer = Builder("outer", order, equities=["middle", "inner"])
    builders = outer, Builder("middle", order, equities=["inner"]), Builder("inner", order, balances=["treasury/main"])
    assert connect_all(instances(*builders), Readers()) == []
    assert order == ["inner", "middle", "outer"]


def test_plugin_that_breaks_when_it_is_connected_is_a_problem_of_the_configuration() -> None:
    order: list[str] = []
    bad = Builder("bad", order, RuntimeError("it\nbroke"))
    (problem,) = connect_all(instances(bad, Builder("good", order, balances=["treasury"])), Readers())
    assert (problem.name, problem.message) == ("bad", "the plugin failed: RuntimeError: it broke")
    assert order == ["good"]


def test_instance_is_not_connected_when_one_that_it_builds_on_could_not_be_built() -> None:
    order: list[str] = []
    built = instances(Builder("nav", order, balances=["broken"]), Builder("total", order, equities=["nav"]))
    configured = {**built, "balance_sources": {"treasury": {}, "broken": {}}}
    assert connect_all(built, Readers(), configured) == []
    assert order == []
