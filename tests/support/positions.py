"""Positions in vaults, and how the tests of `erc4626` read them."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from reservd.plugin import AccountFailure, Balance
from reservd_erc4626.balances import Erc4626BalanceSource
from reservd_erc4626.equity import Erc4626EquitySource
from support.chain import Anvil
from support.vault import Vault

HOLDER, OTHER, NOBODY, CONTRACT = (f"0x{0xDEF1_0000 + number:040x}" for number in range(4))
Build = Callable[..., Any]


def options(chain: Anvil, **more: Any) -> dict[str, Any]:
    return {"rpc_url": chain.url, "chain_id": 31337, "timeout": 30, **more}


def account(vault: Vault, holder: str = HOLDER, **more: Any) -> dict[str, Any]:
    return {"vault": vault.address, "holder": holder, "asset": "USDC", **more}


async def read_one(build: Build, chain: Anvil, entry: dict[str, Any], **more: Any) -> Balance | AccountFailure:
    async with build(Erc4626BalanceSource, options(chain, accounts={"main": entry}, **more)) as source:
        reading = await source.fetch_balances()
    (outcome,) = (*reading.balances, *reading.failures)
    assert (outcome.account, outcome.asset) == ("main", "USDC")
    return outcome


async def equity_of(build: Build, chain: Anvil, **positions: dict[str, Any]) -> Decimal:
    async with build(Erc4626EquitySource, options(chain, positions=positions)) as source:
        equity = await source.fetch_equity("USDC", "USDC")
    assert equity.complete
    assert equity.amount == sum(equity.components.values())
    return Decimal(equity.amount)
