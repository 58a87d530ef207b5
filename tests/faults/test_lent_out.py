"""A pool or vault that has lent its assets out cannot pay: they are no reserve, but still count as equity.

A fund has 100 USDC of equity, all in one place, and a tenth of it must be payable.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from reservd import ReserveManager, ReserveStatus
from reservd.monitor.observer import Checked, Observer
from reservd.plugin import BalanceSource, EquitySource
from reservd.reserve.explanation import Explanation
from reservd.reserve.models import ReserveEvent
from reservd_aave_v3.balances import AaveV3BalanceSource
from reservd_aave_v3.equity import AaveV3EquitySource
from reservd_erc4626.balances import Erc4626BalanceSource
from reservd_erc4626.equity import Erc4626EquitySource
from support.aave import AaveMarket
from support.chain import Anvil
from support.rigs.watch import Steps
from support.vault import Vault

HOLDER, BORROWER = (f"0x{0x1E27_0000 + number:040x}" for number in range(2))
USDC, WETH = 10**6, 10**18


class Place:
    """Where the assets are; they can be lent out and returned."""

    balances: BalanceSource[Any]
    equity: EquitySource[Any]

    def __init__(self, chain: Anvil) -> None:
        self.chain = chain
        self.endpoint = {"rpc_url": chain.url, "chain_id": 31337, "timeout": 30}

    def lends(self) -> None:
        """Lend out everything."""
        raise NotImplementedError

    def gets_back(self) -> None:
        """Have everything repaid."""
        raise NotImplementedError


class Pool(Place):
    """An Aave v3 market whose only supplier is the holder."""

    def __init__(self, chain: Anvil) -> None:
        super().__init__(chain)
        self.market = AaveMarket(chain)
        self.usdc = self.market.list_reserve("USDC", decimals=6, price=10**8)
        self.weth = self.market.list_reserve("WETH", decimals=18, price=2000 * 10**8)
        self.market.supply(HOLDER, self.usdc, 100 * USDC)
        self.market.supply(BORROWER, self.weth, 10 * WETH)
        options = {**self.endpoint, "pool": self.market.pool, "accounts": {"main": HOLDER}}
        options["reserves"] = {"USDC": self.usdc}
        self.balances = AaveV3BalanceSource("place", AaveV3BalanceSource.Config.model_validate(options))
        self.equity = AaveV3EquitySource("nav", AaveV3EquitySource.Config.model_validate(options))

    def lends(self) -> None:
        self.market.borrow(BORROWER, self.usdc, 100 * USDC)

    def gets_back(self) -> None:
        self.market.supply(BORROWER, self.usdc, 100 * USDC)


class LendingVault(Place):
    """A vault that lends out its assets."""

    def __init__(self, chain: Anvil) -> None:
        super().__init__(chain)
        self.vault = Vault(chain, "LimitedVault")
        self.vault.deposit(HOLDER, 100 * USDC)
        account = {"vault": self.vault.address, "holder": HOLDER, "asset": "USDC"}
        balances = {**self.endpoint, "accounts": {"main": account}}
        self.balances = Erc4626BalanceSource("place", Erc4626BalanceSource.Config.model_validate(balances))
        equity = {**self.endpoint, "positions": {"main": account}}
        self.equity = Erc4626EquitySource("nav", Erc4626EquitySource.Config.model_validate(equity))

    def lends(self) -> None:
        self.vault.does("setLiquidity(uint256)", 0)

    def gets_back(self) -> None:
        self.vault.does("setLiquidity(uint256)", 100 * USDC)


@dataclass
class Fund(Observer):
    """A mode with all its assets in one place, and its events."""

    place: Place
    said: list[str] = field(default_factory=list)
    why: Explanation | None = None

    def __post_init__(self) -> None:
        self.clock = Steps()
        self.manager = ReserveManager(
            self.place.equity, {"place": self.place.balances}, observers=[self], clock=self.clock
        )
        self.manager.set_reserve_config("fund", {"share_class": "USDC", "reserve_ratio": "0.1"})

    def checked(self, checked: Checked) -> None:
        self.why = checked.explanation or self.why

    def event_decided(self, event: ReserveEvent) -> None:
        self.said.append(event.event_type.removeprefix("reserve_"))

    async def look(self) -> None:
        self.clock.seconds += 30
        await self.manager.check_all_reserves()


@pytest.fixture(params=[Pool, LendingVault], ids=["aave_v3", "erc4626"])
async def fund(request: pytest.FixtureRequest, chain: Anvil) -> AsyncIterator[Fund]:
    """The fund, checked once while everything is payable."""
    make: Callable[[Anvil], Place] = request.param
    fund = Fund(make(chain))
    await fund.look()
    yield fund
    await fund.manager.close()


async def test_critical_is_said_when_all_is_lent_out_and_adequate_when_it_is_back(fund: Fund) -> None:
    assert fund.manager.status("fund") is ReserveStatus.ADEQUATE
    fund.place.lends()
    await fund.look()
    assert fund.said == [], "a fall to 0 is confirmed by a newer block only"
    fund.place.chain.mine()
    await fund.look()
    assert fund.said == ["critical"]
    snapshot = fund.manager.latest_snapshot("fund")
    assert snapshot is not None
    assert snapshot.reserve_balance == 0
    assert snapshot.total_equity is not None
    assert snapshot.total_equity >= 100, "assets that are lent out remain equity"
    assert fund.why is not None
    assert [(account.amount, account.note != "") for account in fund.why.snapshot.accounts] == [(0, True)]
    fund.place.gets_back()
    await fund.look()
    fund.place.chain.mine()
    await fund.look()
    assert fund.said == ["critical", "adequate"]
