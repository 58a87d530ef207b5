"""The `erc4626` sources on a real node with real vaults."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from reservd.plugin import AccountFailure, Balance, FailureReason, SourceError
from reservd.plugin.testing import BalanceSourceContract, EquitySourceContract
from reservd_erc4626.balances import Erc4626BalanceSource
from reservd_erc4626.equity import Erc4626EquitySource
from support.chain import Anvil
from support.contracts import FIXED_SUPPLY_ERC20, MULTICALL3
from support.proxy import RpcProxy
from support.vault import ONE, Vault

HOLDER, OTHER, NOBODY, CONTRACT = (f"0x{0xDEF1_0000 + number:040x}" for number in range(4))
ANSWERS_ALL_ONES = "0x60001960005260206000f3"
ANSWERS_61 = "0x603d60005260206000f3"
ANSWERS_64_BYTES = "0x60406000f3"
REVERTS = "0x60006000fd"

Build = Callable[..., Any]


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
    """Its shares have to cool down for days, and `maxWithdraw` tells what they are worth."""
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
    """Each alone is told 30 of 100; the vault holds 40 tokens, the rest is lent on. In the order of `accounts`."""
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
    }, "what is lent on of each one's shares, the vault does not tell"
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
    # A vault rounds against who asks, by one unit.
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
    """`maxMint` of a plain vault has no limit, which is no amount of shares."""
    vault = Vault(chain)
    for way in ("deposit", "redeem"):
        with pytest.raises(SourceError, match=r"main: ") as failed:
            await equity_of(build, chain, main=account(vault, asynchronous=[way]))
        assert failed.value.reason is FailureReason.REJECTED


@pytest.mark.parametrize("multicall", [True, False], ids=["multicall", "plain calls"])
async def test_nothing_is_zero_when_the_vault_reverts(build: Build, chain: Anvil, multicall: bool) -> None:
    if multicall:
        chain.install_multicall()
    vault, sound = Vault(chain, "LimitedVault"), Vault(chain)
    vault.does("setBroken(bool)", True)
    sound.deposit(HOLDER, ONE)
    accounts = {"main": account(vault), "sound": account(sound)}
    async with build(Erc4626BalanceSource, options(chain, accounts=accounts)) as source:
        reading = await source.fetch_balances()
    assert [balance.amount for balance in reading.balances] == [1]
    assert [(f.account, f.reason, f.detail) for f in reading.failures] == [
        ("main", FailureReason.REJECTED, "maxWithdraw(): the contract reverted the call")
    ]
    with pytest.raises(SourceError, match=r"main: convertToAssets\(\)") as failed:
        await equity_of(build, chain, **accounts)
    assert failed.value.reason is FailureReason.REJECTED


@pytest.mark.parametrize(
    ("code", "reason", "detail"),
    [
        ("0x", FailureReason.INVALID_DATA, "nothing came back"),
        (REVERTS, FailureReason.REJECTED, "reverted"),
        (ANSWERS_64_BYTES, FailureReason.INVALID_DATA, "got 64 other bytes"),
        (ANSWERS_ALL_ONES, FailureReason.INVALID_DATA, "no limit"),
    ],
    ids=["no code", "reverts", "64 bytes", "no limit"],
)
async def test_balance_fails_when_no_vault_answers(
    build: Build, chain: Anvil, code: str, reason: FailureReason, detail: str
) -> None:
    chain.rpc("anvil_setCode", CONTRACT, code)
    outcome = await read_one(build, chain, {"vault": CONTRACT, "holder": HOLDER, "asset": "USDC"})
    assert isinstance(outcome, AccountFailure)
    assert outcome.reason is reason
    assert detail in outcome.detail


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("0x", FailureReason.INVALID_DATA),
        (ANSWERS_ALL_ONES, FailureReason.INVALID_DATA),
        (REVERTS, FailureReason.REJECTED),
    ],
    ids=["no code", "no uint8", "reverts"],
)
async def test_balance_fails_when_the_token_does_not_tell_its_decimals(
    build: Build, chain: Anvil, code: str, reason: FailureReason
) -> None:
    vault = Vault(chain)
    chain.rpc("anvil_setCode", vault.token, code)
    # maxWithdraw asks the token too: a vault that needs nothing of it.
    chain.rpc("anvil_setCode", vault.address, "0x73" + vault.token[2:] + "60005260206000f3")
    entry = account(vault)
    outcome = await read_one(build, chain, entry)
    assert isinstance(outcome, AccountFailure)
    assert outcome.reason is reason
    assert "decimals()" in outcome.detail


@pytest.mark.parametrize("decimals", [61, 78, 255])
async def test_balance_fails_when_the_token_has_absurd_decimals(build: Build, chain: Anvil, decimals: int) -> None:
    vault = Vault(chain)
    vault.deposit(HOLDER, ONE)
    chain.rpc("anvil_setCode", vault.address, "0x73" + vault.token[2:] + "60005260206000f3")
    chain.rpc("anvil_setCode", vault.token, f"0x60{decimals:02x}60005260206000f3")
    outcome = await read_one(build, chain, account(vault))
    assert isinstance(outcome, AccountFailure)
    assert outcome.reason is FailureReason.INVALID_DATA


async def test_balance_fails_when_the_vault_keeps_another_token(build: Build, chain: Anvil) -> None:
    vault, other = Vault(chain), chain.deploy_token()
    vault.deposit(HOLDER, ONE)
    outcome = await read_one(build, chain, account(vault, token=other))
    assert isinstance(outcome, AccountFailure)
    assert outcome.reason is FailureReason.INVALID_DATA
    assert "the vault's token is" in outcome.detail
    with pytest.raises(SourceError, match="the vault's token is"):
        await equity_of(build, chain, main=account(vault, token=other))


@pytest.mark.parametrize(
    ("alteration", "reason", "detail"),
    [
        ({0: "0x1"}, FailureReason.INVALID_DATA, "the node is on chain 1, not on chain_id 31337"),
        ({1: {"currentBlock": "0x1"}}, FailureReason.INVALID_DATA, "still syncing"),
        ({2: None}, FailureReason.INVALID_DATA, "latest block has no number"),
        ({2: {"number": "0x1"}}, FailureReason.INVALID_DATA, "latest block has no number or time"),
        ({2: {"number": "0x1", "timestamp": "0x1"}}, FailureReason.INVALID_DATA, "latest block has no hash"),
    ],
    ids=["wrong chain", "syncing", "no block", "no time", "no hash"],
)
async def test_source_fails_when_the_node_has_no_block_of_the_chain(
    build: Build, chain: Anvil, proxy: RpcProxy, alteration: dict[int, object], reason: FailureReason, detail: str
) -> None:
    vault = Vault(chain)

    def alter(answers: Any) -> Any:
        return [{**answer, "result": alteration.get(answer["id"], answer["result"])} for answer in answers]

    proxy.alter(alter)
    settings = {**options(chain, accounts={"main": account(vault)}), "rpc_url": proxy.url}
    async with build(Erc4626BalanceSource, settings) as source:
        with pytest.raises(SourceError, match=detail) as failed:
            await source.fetch_balances()
    assert failed.value.reason is reason


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (500, b"", FailureReason.REJECTED),
        (429, b"", FailureReason.RATE_LIMITED),
        (200, b"{}", FailureReason.INVALID_DATA),
        (200, b"no JSON", FailureReason.INVALID_DATA),
        (200, b"[]", FailureReason.INVALID_DATA),
        (200, b'{"error": {"code": -32005, "message": "slow down"}}', FailureReason.RATE_LIMITED),
        (200, b'{"error": {"code": -32600, "message": "no batches"}}', FailureReason.REJECTED),
        (200, b'{"error": "no"}', FailureReason.INVALID_DATA),
    ],
)
async def test_source_fails_when_the_node_answers_nonsense(
    build: Build, chain: Anvil, proxy: RpcProxy, status: int, body: bytes, reason: FailureReason
) -> None:
    entry = {"vault": CONTRACT, "holder": HOLDER, "asset": "USDC"}
    settings = {**options(chain, accounts={"main": entry}), "rpc_url": proxy.url}
    proxy.answer(status, body)
    async with build(Erc4626BalanceSource, settings) as source:
        with pytest.raises(SourceError) as failed:
            await source.fetch_balances()
    assert failed.value.reason is reason
    assert proxy.url not in str(failed.value)


async def test_source_recovers_when_the_node_comes_back(build: Build, chain: Anvil) -> None:
    vault = Vault(chain)
    vault.deposit(HOLDER, ONE)
    settings = options(chain, accounts={"main": account(vault)})
    async with build(Erc4626BalanceSource, settings) as source:
        chain.stop()
        with pytest.raises(SourceError) as failed:
            await source.fetch_balances()
        assert failed.value.reason is FailureReason.UNREACHABLE
        assert "http" not in str(failed.value)
        chain.start()
        assert [balance.amount for balance in (await source.fetch_balances()).balances] == [1]
    chain.pause()
    async with build(Erc4626BalanceSource, settings | {"timeout": 0.3}) as source:
        with pytest.raises(SourceError) as failed:
            await source.fetch_balances()
    assert failed.value.reason is FailureReason.TIMEOUT


async def test_reading_is_of_one_block_when_blocks_come_in_between(build: Build, chain: Anvil, proxy: RpcProxy) -> None:
    """Shares and their price change between any two requests."""
    chain.install_multicall()
    vault = Vault(chain)
    vault.deposit(HOLDER, 100 * ONE)

    def earn(answers: Any) -> Any:
        vault.earns(50 * ONE)
        vault.deposit(HOLDER, ONE)
        return answers

    proxy.alter(earn)
    settings = {**options(chain, positions={"main": account(vault)}), "rpc_url": proxy.url}
    async with build(Erc4626EquitySource, settings) as source:
        equity = await source.fetch_equity("USDC", "USDC")
    assert len(proxy.requests) > 2
    assert equity.amount == 100


async def test_reading_fails_when_the_node_answers_from_another_block(
    build: Build, chain: Anvil, proxy: RpcProxy
) -> None:
    chain.install_multicall()
    vault = Vault(chain)

    def older(answers: Any) -> Any:
        for answer in answers:
            if isinstance(answer.get("result"), dict):
                answer["result"]["timestamp"] = hex(int(answer["result"]["timestamp"], 16) - 12)
        return answers

    proxy.alter(older)
    settings = {**options(chain, accounts={"main": account(vault)}), "rpc_url": proxy.url}
    async with build(Erc4626BalanceSource, settings) as source:
        with pytest.raises(SourceError, match="does not answer from block") as failed:
            await source.fetch_balances()
    assert failed.value.reason is FailureReason.INVALID_DATA


async def test_requests_are_few_when_multicall_is_there(build: Build, chain: Anvil, proxy: RpcProxy) -> None:
    chain.install_multicall()
    vault = Vault(chain)
    accounts = {
        f"holder{number}": account(vault, holder)
        for number, holder in enumerate(f"0x{each:040x}" for each in range(1, 151))
    }
    settings = {**options(chain, accounts=accounts), "rpc_url": proxy.url, "liquidity": {vault.address: "each"}}
    for token, requests in ((None, 3), (vault.token, 2)):
        proxy.requests.clear()
        settings["accounts"] = {name: {**entry, "token": token} for name, entry in accounts.items()}
        async with build(Erc4626BalanceSource, settings) as source:
            assert len((await source.fetch_balances()).balances) == 150
        assert len(proxy.requests) == requests


async def test_withdrawals_are_all_tried_in_one_request(build: Build, chain: Anvil, proxy: RpcProxy) -> None:
    chain.install_multicall()
    vault, second = Vault(chain), Vault(chain)
    accounts = {"main": account(vault), "second": account(second), "nobody": account(second, NOBODY)}
    for each in (vault, second):
        each.deposit(HOLDER, ONE)
    settings = {**options(chain, accounts=accounts), "rpc_url": proxy.url, "liquidity": {second.address: "each"}}
    async with build(Erc4626BalanceSource, settings) as source:
        await source.fetch_balances()
        proxy.requests.clear()
        assert [balance.amount for balance in (await source.fetch_balances()).balances] == [1, 1, 0]
    tried = [call["params"][0] for call in proxy.requests[-1] if call["method"] == "eth_call"]
    assert (len(proxy.requests), [(call["from"], call["to"]) for call in tried]) == (
        2,
        [(HOLDER, vault.address), (HOLDER, second.address)],
    )


async def test_accounts_are_read_when_a_vault_burns_all_gas(build: Build, chain: Anvil) -> None:
    chain.install_multicall()
    vault = Vault(chain)
    vault.deposit(HOLDER, ONE)
    chain.rpc("anvil_setCode", CONTRACT, "0x5b600056")  # loops for ever
    accounts = {"burner": {"vault": CONTRACT, "holder": HOLDER, "asset": "USDC"}, "main": account(vault)}
    async with build(Erc4626BalanceSource, options(chain, accounts=accounts)) as source:
        reading = await source.fetch_balances()
    assert [(balance.account, balance.amount) for balance in reading.balances] == [("main", 1)]
    assert [(failure.account, failure.reason) for failure in reading.failures] == [("burner", FailureReason.REJECTED)]


async def test_multicall_is_not_asked_when_it_is_turned_off(build: Build, chain: Anvil, proxy: RpcProxy) -> None:
    vault = Vault(chain)
    settings = {**options(chain, accounts={"main": account(vault)}), "rpc_url": proxy.url, "multicall": None}
    async with build(Erc4626BalanceSource, settings) as source:
        assert len((await source.fetch_balances()).balances) == 1
    assert MULTICALL3[2:].lower() not in str(proxy.requests).lower()


async def test_reading_is_of_the_block_that_is_configured(build: Build, chain: Anvil) -> None:
    vault = Vault(chain)
    vault.deposit(HOLDER, ONE)
    chain.mine(100)
    finalized = chain.rpc("eth_getBlockByNumber", "finalized", False)
    outcome = await read_one(build, chain, account(vault), block="finalized")
    assert isinstance(outcome, Balance)
    assert outcome.block == int(finalized["number"], 16) < chain.block_number()


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
