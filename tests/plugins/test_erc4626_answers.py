"""The `erc4626` sources with invalid answers of vaults, tokens and nodes, and the calls that they make."""

from typing import Any

import pytest

from reservd.plugin import AccountFailure, Balance, FailureReason, SourceError
from reservd_erc4626.balances import Erc4626BalanceSource
from reservd_erc4626.equity import Erc4626EquitySource
from support.chain import Anvil
from support.contracts import MULTICALL3
from support.positions import CONTRACT, HOLDER, NOBODY, Build, account, equity_of, options, read_one
from support.proxy import RpcProxy
from support.vault import ONE, Vault

ANSWERS_ALL_ONES = "0x60001960005260206000f3"
ANSWERS_64_BYTES = "0x60406000f3"
REVERTS = "0x60006000fd"


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
    # maxWithdraw reads the token too, so this vault does not need it.
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
    chain.rpc("anvil_setCode", CONTRACT, "0x5b600056")  # an endless loop
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
