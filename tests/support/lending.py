"""A market of dollars and ether, and how the tests of `aave_v3` read it."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from reservd_aave_v3.equity import AaveV3EquitySource
from support.aave import AaveMarket
from support.chain import Anvil
from support.solidity import ask

HOLDER, OTHER, LENDER, WHALE, NOBODY, CONTRACT = (f"0x{0xAA7E_0000 + number:040x}" for number in range(6))
USDC, WETH = 10**6, 10**18
TIMELESS = {"USDC": None, "WETH": None}

Build = Callable[..., Any]


class Market(AaveMarket):
    """A market of dollars and ether at 2,000 dollars, with a million dollars of one lender.

    Attributes:
        usdc: The dollars, with 6 decimals.
        weth: The ether, with 18 decimals.
    """

    def __init__(self, chain: Anvil) -> None:
        super().__init__(chain)
        self.usdc = self.list_reserve("USDC", decimals=6, price=10**8)
        self.weth = self.list_reserve("WETH", decimals=18, price=2000 * 10**8)
        self.supply(LENDER, self.usdc, 1_000_000 * USDC)

    def options(self, **more: Any) -> dict[str, Any]:
        """Return options that read both reserves of HOLDER."""
        reserves = {"USDC": self.usdc, "WETH": self.weth}
        basics = {"rpc_url": self.chain.url, "chain_id": 31337, "timeout": 30, "pool": self.pool}
        return basics | {"accounts": {"main": HOLDER}, "reserves": reserves} | more

    def a_token(self, token: str) -> str:
        """Return the aToken of a reserve."""
        types = "(uint256,uint128,uint128,uint128,uint128,uint128,uint40,uint16,address,address,address)"
        return str(ask(self.chain, self.pool, "getReserveData(address)", token, returns=types)[8])

    def borrow_all_dollars(self) -> None:
        """Borrow all dollars of the pool."""
        self.supply(WHALE, self.weth, 10_000 * WETH)
        free = ask(self.chain, self.usdc, "balanceOf(address)", self.a_token(self.usdc))
        self.borrow(WHALE, self.usdc, free)


async def equity_of(build: Build, options: dict[str, Any], currency: str = "USDC") -> Decimal:
    async with build(AaveV3EquitySource, options) as source:
        equity = await source.fetch_equity(currency, currency)
    assert equity.complete
    assert equity.amount == sum(equity.components.values())
    return Decimal(equity.amount)
