"""The kit for authors fails for plugins that break the contract, and says why."""

import pytest

pytest_plugins = ["pytester"]

BROKEN = """
import asyncio
import contextlib
import socket
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from reservd.plugin import *
from reservd.plugin.testing import *


class Options(PluginConfig):
    pass


class LooseOptions(PluginConfig):
    model_config = {"extra": "ignore"}


class BrokenSource(BalanceSource):
    PLUGIN_NAME = "Not-A-Word"
    Config = LooseOptions
    NON_NEGATIVE = True
    accounts = {"main": Account("main", "v", "a", frozenset({"USDT", "ETH"})), "other": Account("x", "v", "b")}

    async def __aenter__(self):
        if hasattr(self, "opened"):
            raise RuntimeError("opened twice")
        self.opened = True

    async def __aexit__(self, *exc_info):
        if not hasattr(self, "opened"):
            raise RuntimeError("not open")

    async def fetch_balances(self):
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            raise KeyError("cancelled") from None
        later = datetime.now(UTC) + timedelta(days=1)
        return Reading([Balance("main", "USDT", Decimal(-1), later), Balance("hidden", "USDT", Decimal(1), later)])


class TestBrokenSource(BalanceSourceContract):
    plugin_class = BrokenSource

    @pytest.fixture
    def options(self):
        return {}


class HangingSource(BalanceSource):
    PLUGIN_NAME = "hanging"
    Config = SourceConfig

    async def fetch_balances(self):
        await asyncio.Event().wait()


class TestHangingSource(BalanceSourceContract):
    plugin_class = HangingSource

    @pytest.fixture
    def options(self):
        return {"timeout": 0.1}


class WrongEquity(EquitySource):
    PLUGIN_NAME = "wrong"
    Config = Options

    async def fetch_equity(self, mode, currency):
        time.sleep(0)
        return Equity(Decimal(1), "ETH", datetime.now(UTC))


class TestWrongEquity(EquitySourceContract):
    plugin_class = WrongEquity

    @pytest.fixture
    def options(self):
        return {}


class WrongPrice(PriceSource):
    PLUGIN_NAME = "price"
    Config = Options

    async def fetch_price(self, base, quote):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", 1), timeout=5)
        return Price("BTC", quote, Decimal(1), datetime.now(UTC))


class TestWrongPrice(PriceSourceContract):
    plugin_class = WrongPrice

    @pytest.fixture
    def options(self):
        return {}


class PickySink(EventSink):
    PLUGIN_NAME = "picky"
    Config = Options
    seen = set()

    def __init__(self, name, config):
        super().__init__("my own name", config)

    async def deliver(self, event):
        if event.data.reserve_balance is None or event.id in self.seen:
            raise ValueError("will not take it")
        self.seen = {*self.seen, event.id}


class TestPickySink(EventSinkContract):
    plugin_class = PickySink

    @pytest.fixture
    def options(self):
        return {}


class ForgetfulReplenisher(Replenisher):
    PLUGIN_NAME = "forgetful"
    Config = Options
    count = 0

    async def request(self, request):
        await asyncio.to_thread(time.sleep, 0)
        self.count += 1
        return Acceptance(status="accepted", reference=str(self.count))


class LoopReplenisher(ForgetfulReplenisher):
    def __init__(self, name, config):
        super().__init__(name, config)
        self.loop = asyncio.get_running_loop()


class TestLoopReplenisher(ReplenisherContract):
    plugin_class = LoopReplenisher

    @pytest.fixture
    def options(self):
        return {}


class TestForgetfulReplenisher(ReplenisherContract):
    plugin_class = ForgetfulReplenisher

    @pytest.fixture
    def options(self):
        return {}


class TestWithoutOptions(EventSinkContract):
    plugin_class = PickySink
"""

FAILING = [
    "TestBrokenSource::test_name_is_one_lower_case_word",
    "TestBrokenSource::test_host_finds_the_class_by_its_entry_point",
    "TestBrokenSource::test_config_refuses_unknown_options",
    "TestPickySink::test_building_needs_no_running_loop",
    "TestLoopReplenisher::test_building_needs_no_running_loop",
    "TestBrokenSource::test_opens_and_closes_twice",
    "TestBrokenSource::test_close_does_nothing_when_not_open",
    "TestBrokenSource::test_accounts_are_known_before_anything_is_read",
    "TestBrokenSource::test_reading_covers_every_account",
    "TestBrokenSource::test_reading_names_declared_accounts_once",
    "TestBrokenSource::test_balances_are_exact_and_of_now",
    "TestBrokenSource::test_fetch_ends_when_cancelled",
    "TestHangingSource::test_reading_covers_every_account",
    "TestHangingSource::test_fetch_never_blocks_the_loop",
    "TestWrongEquity::test_fetch_never_blocks_the_loop",
    "TestWrongPrice::test_fetch_never_blocks_the_loop",
    "TestWrongEquity::test_equity_is_exact_and_in_the_currency_asked_for",
    "TestWrongPrice::test_price_is_exact_and_of_the_pair_asked_for",
    "TestPickySink::test_every_type_of_event_is_taken*reserve_unknown*",
    "TestPickySink::test_same_event_is_taken_again",
    "TestForgetfulReplenisher::test_same_request_gets_the_same_answer",
]


def test_contract_fails_when_a_plugin_breaks_it(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(BROKEN)
    result = pytester.runpytest("-q", "-p", "no:cacheprovider", "-rfE")
    result.stdout.fnmatch_lines_random([f"FAILED *::{name}*" for name in FAILING])
    result.stdout.fnmatch_lines_random(["ERROR *TestWithoutOptions*", "*must override the fixture 'options'*"])
    result.stdout.fnmatch_lines(
        ["*must not block the event loop*: time.sleep()*", "*, in fetch_equity", "*time.sleep(0)"]
    )
    result.stdout.fnmatch_lines(
        ["*must not block the event loop*: a connection that is waited for*", "*, in fetch_price"]
    )
    result.stdout.fnmatch_lines(["*a call must end within its timeout, 0.1 s"])
    assert (
        "FAILED test_contract_fails_when_a_plugin_breaks_it.py::TestForgetfulReplenisher::test_request_never_blocks"
        not in result.stdout.str()
    ), "a thread may block"
    passed = result.parseoutcomes()["passed"]
    assert passed > 0, "what is not broken passes"
