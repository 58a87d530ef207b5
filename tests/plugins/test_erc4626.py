"""The `erc4626` sources on a real node with real vaults."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from reservd.plugin import Balance, FailureReason, SourceError
from reservd.plugin.testing import BalanceSourceContract, EquitySourceContract
from reservd_erc4626.balances import Erc4626BalanceSource
from reservd_erc4626.equity import Erc4626EquitySource
from support.chain import Anvil
from support.contracts import FIXED_SUPPLY_ERC20
from support.positions import CONTRACT, HOLDER, NOBODY, OTHER, Build, account, equity_of, options, read_one
from support.proxy import RpcProxy
from support.vault import ONE, Vault

ANSWERS_61 = "0x603d60005260206000f3"


class TestErc4626BalanceSource(BalanceSourceContract):
    plugin_class = Erc4626BalanceSource

    @pytest.fixture(params=[True, False], ids=["multicall", "plain calls"])
    def options(self, request: pytest.FixtureRequest, chain: Anvil) -> dict[str, Any]:
        vault = Vault(chain)
        vault.deposit(HOLDER, 5 * ONE)
        if request.param:
            chain.install_multicall()
        broken = {**account(vault), "vault": CONTRACT}
        return options(chain, accounts={"main": account(vault), "broken": broken})


class TestErc4626EquitySource(EquitySourceContract):
    plugin_class = Erc4626EquitySource
    currency = "USDC"

    @pytest.fixture
    def options(self, chain: Anvil) -> dict[str, Any]:
        vault = Vault(chain)
        vault.deposit(HOLDER, 5 * ONE)
        return options(chain, positions={"main": account(vault)})


@pytest.mark.parametrize("multicall", [True, False], ids=["multicall", "plain calls"])
async def test_balance_is_what_the_vault_lets_each_holder_withdraw(build: Build, chain: Anvil, multicall: bool) -> None:
    if multicall:
        chain.install_multicall()
    vault, dai = Vault(chain), chain.deploy(FIXED_SUPPLY_ERC20, "Dai", "DAI", 10**30, chain.accounts[0])
    vault.deposit(HOLDER, 40_000 * ONE + 1)
    vault.deposit(OTHER, 10 * ONE)
    second = Vault(chain, token=dai)
    second.deposit(HOLDER, 10**24 + 1)
    accounts = {
        "main": account(vault),
        "other": account(vault, OTHER, token=vault.token),
        "dai": account(second, asset="DAI"),
        "nobody": account(vault, NOBODY),
    }
    together = {vault.address: "each"}
    async with build(Erc4626BalanceSource, options(chain, accounts=accounts, liquidity=together)) as source:
        reading = await source.fetch_balances()
    assert reading.failures == []
    assert {balance.account: (balance.asset, balance.amount) for balance in reading.balances} == {
        "main": ("USDC", Decimal("40000.000001")),
        "other": ("USDC", Decimal(10)),
        "dai": ("DAI", Decimal("1000000.000000000000000001")),
        "nobody": ("USDC", Decimal(0)),
    }
    assert {balance.note for balance in reading.balances} == {""}
    header = chain.rpc("eth_getBlockByNumber", "latest", False)
    time = datetime.fromtimestamp(int(header["timestamp"], 16), UTC)
    assert {(b.block, b.observed_at) for b in reading.balances} == {(int(header["number"], 16), time)}


async def test_balance_is_limited_when_the_vault_has_little_liquidity(build: Build, chain: Anvil) -> None:
    vault = Vault(chain, "LimitedVault")
    vault.deposit(HOLDER, 100 * ONE)
    vault.does("setLiquidity(uint256)", 30 * ONE)
    outcome = await read_one(build, chain, account(vault))
    assert isinstance(outcome, Balance)
    assert (outcome.amount, outcome.note) == (30, "the vault does not pay for all of the shares now")
    assert await equity_of(build, chain, main=account(vault)) == 100


async def test_what_is_counted_for_another_is_locked_when_the_vault_pays_for_all_shares(
    build: Build, chain: Anvil
) -> None:
    vault = Vault(chain)
    vault.deposit(HOLDER, 100 * ONE)
    vault.deposit(OTHER, 40 * ONE)
    async with build(Erc4626BalanceSource, shared(chain, vault, "largest", other=OTHER, main=HOLDER)) as source:
        reading = await source.fetch_balances()
    assert [(balance.amount, balance.locked) for balance in reading.balances] == [(40, 0), (60, 40)]


async def test_nothing_is_said_to_be_held_back_when_rounding_leaves_shares_that_are_worth_nothing(
    build: Build, chain: Anvil
) -> None:
    vault = Vault(chain, "FineVault")
    vault.deposit(HOLDER, 100 * ONE)
    vault.deposit(OTHER, 7 * ONE)
    vault.earns(ONE // 3)
    outcome = await read_one(build, chain, account(vault))
    assert isinstance(outcome, Balance)
    assert (outcome.locked, outcome.note) == (0, "")
    vault.does("setLiquidity(uint256)", 30 * ONE)
    outcome = await read_one(build, chain, account(vault))
    assert isinstance(outcome, Balance)
    assert (outcome.amount, outcome.locked, outcome.note) == (
        30,
        None,
        "the vault does not pay for all of the shares now",
    )


@pytest.mark.parametrize("multicall", [True, False], ids=["multicall", "plain calls"])
async def test_balance_fails_when_the_vault_does_not_pay_what_it_tells(
    build: Build, chain: Anvil, multicall: bool
) -> None:
    """Its shares are locked for days, but `maxWithdraw` returns their value."""
    if multicall:
        chain.install_multicall()
    vault, sound = Vault(chain, "CoolingVault"), Vault(chain)
    for each in (vault, sound):
        each.deposit(HOLDER, 100 * ONE)
    accounts = {"main": account(vault), "nobody": account(vault, NOBODY), "sound": account(sound)}
    settings = options(chain, accounts=accounts, liquidity={vault.address: "idle"})
    async with build(Erc4626BalanceSource, settings) as source:
        reading = await source.fetch_balances()
        assert {balance.account: balance.amount for balance in reading.balances} == {"nobody": 0, "sound": 100}
        assert [(failure.account, failure.reason, failure.detail) for failure in reading.failures] == [
            ("main", FailureReason.REJECTED, "withdraw(): the contract reverted the call")
        ]
        vault.does("setCooling(bool)", False)
        assert sum(balance.amount for balance in (await source.fetch_balances()).balances) == 200
    assert await equity_of(build, chain, main=account(vault)) == 100


def shared(chain: Anvil, vault: Vault, way: str, **holders: str) -> dict[str, Any]:
    """Return options that count several holders of a vault, in order."""
    accounts = {name: account(vault, holder) for name, holder in holders.items()}
    return options(chain, accounts=accounts, liquidity={vault.address: way})


@pytest.mark.parametrize(
    ("way", "second", "note"),
    [
        ("each", 30, "the vault does not pay for all of the shares now"),
        ("largest", 0, "the vault cannot pay more: the rest is counted for an account before it"),
        ("idle", 10, "the vault cannot pay more: the rest is counted for an account before it"),
    ],
)
async def test_liquidity_is_counted_once_when_accounts_share_a_vault(
    build: Build, chain: Anvil, way: str, second: int, note: str
) -> None:
    """`maxWithdraw` is 30 of 100 for each alone; the vault holds 40 tokens and has lent out the rest."""
    chain.install_multicall()
    vault = Vault(chain, "LimitedVault")
    vault.deposit(HOLDER, 100 * ONE)
    vault.deposit(OTHER, 100 * ONE)
    vault.does("setLiquidity(uint256)", 30 * ONE)
    vault.does("lend(uint256)", 160 * ONE)
    async with build(Erc4626BalanceSource, shared(chain, vault, way, other=OTHER, main=HOLDER)) as source:
        reading = await source.fetch_balances()
    assert reading.failures == []
    assert {balance.account: (balance.amount, balance.locked) for balance in reading.balances} == {
        "other": (30, None),
        "main": (second, None),
    }, "the vault does not report how much of each holder's shares is lent out"
    assert {balance.account: balance.note for balance in reading.balances} == {
        "other": "the vault does not pay for all of the shares now",
        "main": note,
    }


@pytest.mark.parametrize(("way", "known"), [("each", {"main", "last"}), ("largest", set()), ("idle", {"main"})])
async def test_nothing_is_promised_behind_a_holder_whose_share_is_not_known(
    build: Build, chain: Anvil, proxy: RpcProxy, way: str, known: set[str]
) -> None:
    vault = Vault(chain)
    for holder in (HOLDER, OTHER, CONTRACT):
        vault.deposit(holder, 10 * ONE)

    def hide(answers: Any) -> Any:
        for answer, call in zip(answers, proxy.requests[-1], strict=True):
            if call["method"] == "eth_call" and call["params"][0]["data"].endswith(OTHER[2:]):
                answer.pop("result", None)
                answer["error"] = {"code": -32000, "message": "header not found"}
        return answers

    proxy.alter(hide)
    settings = shared(chain, vault, way, main=HOLDER, other=OTHER, last=CONTRACT) | {"rpc_url": proxy.url}
    async with build(Erc4626BalanceSource, settings) as source:
        reading = await source.fetch_balances()
    assert {balance.account: balance.amount for balance in reading.balances} == dict.fromkeys(known, 10)
    assert {failure.account for failure in reading.failures} == {"main", "other", "last"} - known
    assert {failure.reason for failure in reading.failures} == {FailureReason.REJECTED}


async def test_idle_tokens_are_not_known_when_the_vault_does_not_name_its_token(build: Build, chain: Anvil) -> None:
    vault = Vault(chain)
    vault.deposit(HOLDER, ONE)
    chain.rpc("anvil_setCode", vault.address, ANSWERS_61)  # to everything: that is no address
    settings = shared(chain, vault, "idle", main=HOLDER, other=OTHER)
    async with build(Erc4626BalanceSource, settings) as source:
        reading = await source.fetch_balances()
    assert reading.balances == []
    assert len(reading.failures) == 2


async def test_shared_vault_is_refused_until_it_is_said_how_it_pays(build: Build, chain: Anvil) -> None:
    accounts = {"main": {"vault": CONTRACT, "holder": HOLDER, "asset": "USDC"}}
    accounts["other"] = accounts["main"] | {"holder": OTHER}
    settings = {"rpc_url": "http://127.0.0.1:1", "chain_id": 1, "accounts": accounts}
    with pytest.raises(ValidationError, match=f"how vault {CONTRACT} pays 'main' and 'other' together"):
        build(Erc4626BalanceSource, settings)
    source = build(Erc4626BalanceSource, settings | {"liquidity": {CONTRACT: "idle"}})
    assert source.pots == {f"what vault {CONTRACT} of eip155:1 can pay": ["main", "other"]}
    assert build(Erc4626BalanceSource, settings | {"liquidity": {CONTRACT: "each"}}).pots == {}


async def test_balance_is_what_is_claimable_when_the_vault_is_asynchronous(build: Build, chain: Anvil) -> None:
    vault = Vault(chain, "AsynchronousVault")
    await_claim = ("requestDeposit(uint256,address,address)", "requestRedeem(uint256,address,address)")
    amounts = []

    async def look() -> None:
        outcome = await read_one(build, chain, account(vault))
        assert isinstance(outcome, Balance)
        amounts.append(outcome.amount)

    vault.fund(HOLDER, 100 * ONE)
    vault.does(await_claim[0], 100 * ONE, HOLDER, HOLDER, sender=HOLDER)
    vault.does("fulfil(address)", HOLDER)
    vault.does("mint(uint256,address,address)", 100 * ONE, HOLDER, HOLDER, sender=HOLDER)
    await look()
    vault.does(await_claim[1], 40 * ONE, HOLDER, HOLDER, sender=HOLDER)
    await look()
    vault.does("fulfil(address)", HOLDER)
    await look()
    vault.does("withdraw(uint256,address,address)", 15 * ONE, HOLDER, HOLDER, sender=HOLDER)
    await look()
    assert amounts == [0, 0, 40, 25]


async def test_equity_is_the_worth_of_the_shares(build: Build, chain: Anvil) -> None:
    vault, second = Vault(chain), Vault(chain)
    vault.deposit(HOLDER, 100 * ONE)
    vault.deposit(OTHER, 300 * ONE)
    vault.earns(40 * ONE)
    second.deposit(HOLDER, ONE)
    weth = account(second, OTHER, asset="WETH")
    equity = await equity_of(build, chain, main=account(vault, token=vault.token), second=account(second), weth=weth)
    # A vault rounds against the caller, by one unit.
    assert equity == Decimal("109.999999") + 1


async def test_equity_keeps_its_value_when_requests_go_through_an_asynchronous_vault(
    build: Build, chain: Anvil
) -> None:
    vault = Vault(chain, "AsynchronousVault")
    position = account(vault, asynchronous=["deposit", "redeem"])
    vault.fund(HOLDER, 100 * ONE)
    worth = []

    async def look() -> None:
        worth.append(await equity_of(build, chain, main=position))

    vault.does("requestDeposit(uint256,address,address)", 100 * ONE, HOLDER, HOLDER, sender=HOLDER)
    await look()
    vault.does("fulfil(address)", HOLDER)
    await look()
    vault.does("setPrice(uint256)", 2 * 10**18)  # claimable shares gain
    await look()
    vault.does("mint(uint256,address,address)", 100 * ONE, HOLDER, HOLDER, sender=HOLDER)
    await look()
    vault.does("requestRedeem(uint256,address,address)", 50 * ONE, HOLDER, HOLDER, sender=HOLDER)
    await look()
    vault.does("fulfil(address)", HOLDER)
    vault.does("setPrice(uint256)", 10**18)  # claimable assets do not lose
    await look()
    vault.does("withdraw(uint256,address,address)", 100 * ONE, HOLDER, HOLDER, sender=HOLDER)
    await look()
    assert worth == [100, 100, 200, 200, 200, 150, 50]


async def test_requests_are_asked_for_by_their_ids(build: Build, chain: Anvil) -> None:
    vault = Vault(chain, "AsynchronousVault")
    vault.fund(HOLDER, 100 * ONE)
    vault.does("requestDeposit(uint256,address,address)", 100 * ONE, HOLDER, HOLDER, sender=HOLDER)
    for ids, worth in (([7], 0), ([7, 0], 100)):
        position = account(vault, asynchronous=["deposit"], request_ids=ids)
        assert await equity_of(build, chain, main=position) == worth


async def test_equity_fails_when_no_position_is_in_the_share_class(build: Build, chain: Anvil) -> None:
    async with build(Erc4626EquitySource, options(chain, positions={"main": account(Vault(chain))})) as source:
        with pytest.raises(SourceError, match="no position is in WETH") as failed:
            await source.fetch_equity("WETH", "WETH")
    assert failed.value.reason is FailureReason.INVALID_DATA


async def test_equity_fails_when_a_synchronous_way_is_called_asynchronous(build: Build, chain: Anvil) -> None:
    """`maxMint` of a synchronous vault has no limit, and is no number of shares."""
    vault = Vault(chain)
    for way in ("deposit", "redeem"):
        with pytest.raises(SourceError, match=r"main: ") as failed:
            await equity_of(build, chain, main=account(vault, asynchronous=[way]))
        assert failed.value.reason is FailureReason.REJECTED


async def test_accounts_are_known_by_vault_and_holder(build: Build) -> None:
    entry = {"vault": "0x" + "AB" * 20, "holder": HOLDER, "asset": "USDC"}
    settings = {"rpc_url": "http://127.0.0.1:1", "chain_id": 1, "accounts": {"main": entry}}
    (known,) = build(Erc4626BalanceSource, settings).accounts.values()
    assert (known.venue, known.address, known.assets) == ("eip155:1", f"0x{'ab' * 20}/{HOLDER}", frozenset({"USDC"}))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"vault": "0x12"}, "40 hexadecimal digits"),
        ({"holder": "0x" + "0" * 40}, "zero address"),
        ({"vault": "0x70997970c51812dc3A010C7d01b50e0d17dc79C8"}, "EIP-55"),
    ],
)
async def test_account_is_refused_when_an_address_is_wrong(build: Build, change: dict[str, str], rule: str) -> None:
    entry = {"vault": CONTRACT, "holder": HOLDER, "asset": "USDC"} | change
    with pytest.raises(ValidationError, match=rule):
        build(Erc4626BalanceSource, {"rpc_url": "http://127.0.0.1:1", "chain_id": 1, "accounts": {"main": entry}})


@pytest.mark.parametrize("cls", [Erc4626BalanceSource, Erc4626EquitySource])
async def test_position_is_refused_when_it_is_named_twice(build: Build, cls: Any) -> None:
    entry = {"vault": CONTRACT, "holder": HOLDER, "asset": "USDC"}
    key = "accounts" if cls is Erc4626BalanceSource else "positions"
    with pytest.raises(ValidationError, match="'a' and 'b'"):
        build(cls, {"rpc_url": "http://127.0.0.1:1", "chain_id": 1, key: {"a": entry, "b": entry}})
