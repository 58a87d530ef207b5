"""Money that several accounts can pay out is counted by one source only."""

import json
from typing import Any

import pytest

from reservd import ReserveManager
from reservd.errors import ConfigError
from reservd.plugin import Account
from support.sources import ScriptedBalances, ScriptedEquity

POOL, USDC, WETH, VAULT = (f"0x{0xA000 + number:040x}" for number in range(4))
FIRST, SECOND = (f"0x{0xB000 + number:040x}" for number in range(2))
NODE = {"rpc_url": "http://127.0.0.1:8545", "chain_id": 1}
PREFIX = "reservd.yaml:4:3: balance_sources.more: must not count "
SUFFIX = ", which 'vault' counts for other accounts or assets: give one source all of them"


def aave(accounts: dict[str, str], reserves: dict[str, str], **more: Any) -> dict[str, Any]:
    options = {**NODE, "pool": POOL, "accounts": accounts, "reserves": reserves, **more}
    return {"plugin": "aave_v3", "options": options}


def erc4626(liquidity: str | None = None, **holders: str) -> dict[str, Any]:
    accounts = {name: {"vault": VAULT, "holder": holder, "asset": "USDC"} for name, holder in holders.items()}
    more = {"liquidity": {VAULT: liquidity}} if liquidity else {}
    return {"plugin": "erc4626", "options": {**NODE, "accounts": accounts, **more}}


def problems(folder: Any, first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return the problems of two sources that are configured together."""
    folder.main(
        "  vault: {plugin: static, options: {balances: [{asset: USDT, amount: 100}]}}",
        f"  vault: {json.dumps(first)}\n  more:  {json.dumps(second)}",
    )
    try:
        folder.load()
    except ConfigError as error:
        found = [line.replace(f"{folder.path}/", "") for line in error.problems]
        # The mode counts USDT, which neither has.
        return [line for line in found if "must hold USDT" not in line]
    return []


@pytest.mark.parametrize(
    ("accounts", "reserves", "pot"),
    [
        ({"a": SECOND}, {"USDC": USDC}, f"the liquidity of {USDC} in pool {POOL} of eip155:1"),
        ({"a": FIRST, "b": SECOND}, {"USDC": USDC}, f"the liquidity of {USDC} in pool {POOL} of eip155:1"),
        ({"a": FIRST}, {"WETH": WETH}, f"the headroom of {FIRST} in pool {POOL} of eip155:1"),
    ],
    ids=["another account", "one account more", "another reserve of the account"],
)
def test_second_source_is_refused_when_it_draws_on_the_same_pool(
    folder: Any, accounts: dict[str, str], reserves: dict[str, str], pot: str
) -> None:
    found = problems(folder, aave({"main": FIRST}, {"USDC": USDC}), aave(accounts, reserves))
    assert found == [PREFIX + pot + SUFFIX]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (aave({"main": FIRST}, {"USDC": USDC}), aave({"other": FIRST}, {"USDC": USDC})),
        (aave({"main": FIRST}, {"USDC": USDC}), aave({"main": SECOND}, {"WETH": WETH})),
        (aave({"main": FIRST}, {"USDC": USDC}), aave({"main": SECOND}, {"USDC": USDC}, chain_id=10)),
        (aave({"main": FIRST}, {"USDC": USDC}), aave({"main": SECOND}, {"USDC": USDC}, pool=VAULT)),
        (erc4626(main=FIRST), erc4626(other=FIRST)),
        (erc4626(main=FIRST), erc4626("each", other=SECOND)),
    ],
    ids=[
        "the same account",
        "other reserves",
        "another chain",
        "another pool",
        "the same holder",
        "a vault that pays all",
    ],
)
def test_second_source_is_taken_when_no_money_is_promised_twice(
    folder: Any, first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert problems(folder, first, second) == []


def test_second_source_is_refused_when_it_counts_another_holder_of_a_vault(folder: Any) -> None:
    found = problems(folder, erc4626(main=FIRST), erc4626(other=SECOND))
    assert found == [f"{PREFIX}what vault {VAULT} of eip155:1 can pay{SUFFIX}"]


class Drawer(ScriptedBalances):
    """Its accounts draw on a common pot."""

    @property
    def accounts(self) -> dict[str, Account]:
        return {name: Account(name, "bank", f"{self.name}/{name}", frozenset({"USDT"})) for name in self.amounts}

    @property
    def pots(self) -> dict[str, list[str]]:
        return {"the vault": list(self.amounts)}


def test_embedder_is_refused_a_second_source_on_one_pot() -> None:
    with pytest.raises(ConfigError) as refused:
        ReserveManager(ScriptedEquity(), {"one": Drawer("one", main=1), "two": Drawer("two", main=1)})
    assert refused.value.problems == (
        "two: must not count the vault, which 'one' counts for other accounts or assets: give one source all of them",
    )
