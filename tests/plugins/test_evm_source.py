"""The `evm` source on a real node, with its HTTP requests counted by a proxy."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from eth_abi import decode, encode

from reservd import ReserveManager
from reservd.plugin import Balance, FailureReason, Reading, SourceError
from reservd.plugin.testing import BalanceSourceContract
from reservd_evm.source import EvmSource
from support.chain import Anvil
from support.contracts import FIXED_SUPPLY_ERC20, MULTICALL3
from support.evm import addresses, evm_source
from support.proxy import RpcProxy
from support.sources import ScriptedEquity

ETHER = 10**18


class Treasury:
    """Twelve wallets with ether, a token with 6 decimals and one with 18, and their balances."""

    def __init__(self, chain: Anvil) -> None:
        self.accounts = {f"wallet{number}": address for number, address in enumerate(addresses(12))}
        self.usdt = chain.deploy_token(decimals=6)
        self.dai = chain.deploy(FIXED_SUPPLY_ERC20, "Dai", "DAI", 10**30, chain.accounts[0])
        self.assets = {"ETH": {"native": True}, "USDT": {"token": self.usdt}, "DAI": {"token": self.dai}}
        units = {address: number * 10**6 + number for number, address in enumerate(self.accounts.values())}
        chain.set_ether({address: 3 * ETHER + amount for address, amount in units.items()})
        chain.transfer_many(self.usdt, units)
        chain.transfer_many(self.dai, {address: amount * 10**12 + 1 for address, amount in units.items()})
        self.expected = {}
        for number, name in enumerate(self.accounts):
            amount = Decimal(number * 10**6 + number)
            self.expected[name, "ETH"] = 3 + amount.scaleb(-18)
            self.expected[name, "USDT"] = amount.scaleb(-6)
            self.expected[name, "DAI"] = (amount * 10**12 + 1).scaleb(-18)

    @property
    def options(self) -> dict[str, Any]:
        return {"accounts": self.accounts, "assets": self.assets}


@pytest.fixture
def treasury(chain: Anvil) -> Treasury:
    return Treasury(chain)


async def test_token_counts_once_when_two_sources_call_it_by_two_names(chain: Anvil, treasury: Treasury) -> None:
    """A mode that names both has the wallet's balance, not twice as much."""
    (_, address), *_ = [item for item in treasury.accounts.items() if item[0] == "wallet3"]
    names = [(name, {"accounts": {"hot": address}, "assets": {name: {"token": treasury.usdt}}}) for name in ("A", "B")]
    sources = {name: evm_source(chain.url, **options) for name, options in names}
    manager = ReserveManager(ScriptedEquity(), sources)
    keys = {"reserve_asset_aliases": {"B": "A"}, "reserve_balance_sources": ["A", "B"]}
    for agreement in (False, True):
        config = {"share_class": "A", "reserve_ratio": "0.1", **keys, "reserve_require_agreement": agreement}
        manager.set_reserve_config("m", config)
        assert await manager.get_reserve_balance("m") == treasury.expected["wallet3", "USDT"]
    await manager.close()


@pytest.mark.parametrize("multicall", [True, False], ids=["multicall", "plain calls"])
async def test_contract_is_an_account_as_a_wallet_is(chain: Anvil, multicall: bool) -> None:
    """Such as a Safe: no call is made to the account itself."""
    if multicall:
        chain.install_multicall()
    token, contract = chain.deploy_token(decimals=6), chain.deploy_token()
    chain.set_ether({contract: 2 * ETHER})
    chain.transfer(token, contract, 5_000_000)
    assets = {"ETH": {"native": True}, "USDT": {"token": token}}
    async with evm_source(chain.url, accounts={"safe": contract}, assets=assets) as source:
        reading = await source.fetch_balances()
    assert {each.asset: each.amount for each in reading.balances} == {"ETH": 2, "USDT": 5}


class TestEvmSource(BalanceSourceContract):
    plugin_class = EvmSource

    @pytest.fixture(params=[True, False], ids=["multicall", "plain calls"])
    def options(self, request: pytest.FixtureRequest, chain: Anvil, treasury: Treasury) -> dict[str, Any]:
        if request.param:
            chain.install_multicall()
        return {"rpc_url": chain.url, "chain_id": 31337, **treasury.options}


def amounts(reading: Reading) -> dict[tuple[str, str], Decimal]:
    return {(balance.account, balance.asset): balance.amount for balance in reading.balances}


def blocks(reading: Reading) -> set[int]:
    return {balance.block for balance in reading.balances if balance.block is not None}


@pytest.mark.parametrize("multicall", [True, False], ids=["multicall", "plain calls"])
async def test_reading_has_every_balance_of_the_latest_block(
    chain: Anvil, proxy: RpcProxy, treasury: Treasury, multicall: bool
) -> None:
    if multicall:
        chain.install_multicall()
    async with evm_source(proxy.url, **treasury.options) as source:
        for _ in range(2):
            proxy.requests.clear()
            reading = await source.fetch_balances()
            assert reading.failures == []
            assert amounts(reading) == treasury.expected
            header = chain.rpc("eth_getBlockByNumber", "latest", False)
            time = datetime.fromtimestamp(int(header["timestamp"], 16), UTC)
            assert {(b.block, b.observed_at) for b in reading.balances} == {(int(header["number"], 16), time)}
            chain.mine(2)
    assert len(proxy.requests) == (1 if multicall else 2)


async def test_decimals_are_asked_for_once(chain: Anvil, proxy: RpcProxy, treasury: Treasury) -> None:
    async with evm_source(proxy.url, **treasury.options) as source:
        await source.fetch_balances()
        assert "0x313ce567" in str(proxy.requests)
        proxy.requests.clear()
        await source.fetch_balances()
        assert "0x313ce567" not in str(proxy.requests)


async def test_multicall_is_used_when_it_appears_and_left_when_it_goes(
    chain: Anvil, proxy: RpcProxy, treasury: Treasury
) -> None:
    async with evm_source(proxy.url, **treasury.options) as source:
        await source.fetch_balances()
        chain.install_multicall()
        await source.fetch_balances()
        proxy.requests.clear()
        assert amounts(await source.fetch_balances()) == treasury.expected
        assert len(proxy.requests) == 1
        chain.rpc("anvil_setCode", MULTICALL3, "0x")
        assert amounts(await source.fetch_balances()) == treasury.expected
        proxy.requests.clear()
        assert amounts(await source.fetch_balances()) == treasury.expected
        assert len(proxy.requests) == 2


@pytest.mark.parametrize("multicall", [True, False], ids=["multicall", "plain calls"])
async def test_reading_is_of_one_block_when_blocks_come_in_between(
    chain: Anvil, proxy: RpcProxy, treasury: Treasury, multicall: bool
) -> None:
    """Small batches cause many requests; before each, money moves in a new latest block."""
    if multicall:
        chain.install_multicall()
    first, *_, last = treasury.accounts.values()
    chain.set_ether({first: 1000 * ETHER})

    def move(answers: Any) -> Any:
        chain.transfer_ether(last, ETHER, sender=first)
        return answers

    async with evm_source(proxy.url, **treasury.options, batch_size=3, multicall_size=2) as source:
        proxy.alter(move)
        for _ in range(2):
            proxy.requests.clear()
            reading = await source.fetch_balances()
            assert len(proxy.requests) > 1
            (block,) = blocks(reading)
            then = chain.batch(("eth_getBalance", (address, hex(block))) for address in treasury.accounts.values())
            ether = [amount for (_, asset), amount in amounts(reading).items() if asset == "ETH"]
            assert ether == [Decimal(int(wei, 16)).scaleb(-18) for wei in then]


async def test_block_is_the_chains_own_when_contracts_see_another_number(
    chain: Anvil, proxy: RpcProxy, treasury: Treasury
) -> None:
    """As on Arbitrum, where contracts see the number of the underlying chain."""
    chain.install_multicall()

    def renumber(answers: list[Any]) -> list[Any]:
        for answer in answers:
            if isinstance(answer["result"], str) and len(answer["result"]) > 10_000:
                (results,) = decode(["(bool,bytes)[]"], bytes.fromhex(answer["result"][2:]))
                results = [(True, (7).to_bytes(32, "big")), *results[1:]]
                answer["result"] = "0x" + encode(["(bool,bytes)[]"], [results]).hex()
        return answers

    proxy.alter(renumber)
    async with evm_source(proxy.url, **treasury.options) as source:
        await source.fetch_balances()
        proxy.requests.clear()
        reading = await source.fetch_balances()
    assert len(proxy.requests) == 2
    assert amounts(reading) == treasury.expected
    assert blocks(reading) == {chain.block_number()}


async def test_no_batches_are_sent_when_batch_size_is_one(chain: Anvil, proxy: RpcProxy, treasury: Treasury) -> None:
    async with evm_source(proxy.url, **treasury.options, batch_size=1) as source:
        assert amounts(await source.fetch_balances()) == treasury.expected
    assert all(isinstance(request, dict) for request in proxy.requests)


async def test_account_is_asked_for_its_own_assets_only(chain: Anvil, treasury: Treasury) -> None:
    (name, address), *_ = treasury.accounts.items()
    accounts = {name: {"address": address, "assets": ["USDT"]}}
    async with evm_source(chain.url, accounts=accounts, assets=treasury.assets) as source:
        assert amounts(await source.fetch_balances()).keys() == {(name, "USDT")}


@pytest.mark.parametrize(
    ("keep", "amount", "locked"), [("0.05", "1.95", "0.05"), ("2", "0", "2"), ("5", "0", "2"), ("0", "2", "0")]
)
async def test_keep_is_locked_and_never_makes_less_than_nothing_payable(
    chain: Anvil, keep: str, amount: str, locked: str
) -> None:
    (wallet,) = addresses(1)
    chain.set_ether({wallet: 2 * ETHER})
    assets = {"ETH": {"native": True, "keep": keep}}
    async with evm_source(chain.url, accounts={"hot": wallet}, assets=assets) as source:
        (balance,) = (await source.fetch_balances()).balances
    assert (balance.amount, balance.locked) == (Decimal(amount), Decimal(locked))


@pytest.mark.parametrize("multicall", [True, False], ids=["multicall", "plain calls"])
async def test_token_fails_alone_when_it_cannot_be_read(chain: Anvil, treasury: Treasury, multicall: bool) -> None:
    if multicall:
        chain.install_multicall()
    nothing, refuses, verbose = addresses(53)[50:]
    chain.rpc("anvil_setCode", refuses, "0x60006000fd")  # revert()
    chain.rpc("anvil_setCode", verbose, "0x60406000f3")  # return 64 bytes
    wrong = {"NONE": nothing, "REFUSES": refuses, "VERBOSE": verbose}
    assets = treasury.assets | {name: {"token": token, "decimals": 6} for name, token in wrong.items()}
    async with evm_source(chain.url, accounts=treasury.accounts, assets=assets) as source:
        reading = await source.fetch_balances()
    assert amounts(reading) == treasury.expected
    failed = {(failure.account, failure.asset): failure.reason for failure in reading.failures}
    reasons = {
        "NONE": FailureReason.INVALID_DATA,
        "REFUSES": FailureReason.REJECTED,
        "VERBOSE": FailureReason.INVALID_DATA,
    }
    assert failed == {(name, asset): reasons[asset] for name in treasury.accounts for asset in wrong}


async def test_other_balances_are_read_when_a_token_burns_all_gas(chain: Anvil, treasury: Treasury) -> None:
    chain.install_multicall()
    (burner,) = addresses(51)[50:]
    chain.rpc("anvil_setCode", burner, "0x5b600056")  # an endless loop
    assets = {"BURNER": {"token": burner, "decimals": 6}} | treasury.assets
    async with evm_source(chain.url, accounts=treasury.accounts, assets=assets) as source:
        reading = await source.fetch_balances()
    assert amounts(reading) == treasury.expected
    assert {(failure.asset, failure.reason) for failure in reading.failures} == {("BURNER", FailureReason.REJECTED)}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("0x", FailureReason.INVALID_DATA),
        ("0x60006000fd", FailureReason.REJECTED),
        ("0x603d60005260206000f3", FailureReason.INVALID_DATA),  # 61
        ("0x60001960005260206000f3", FailureReason.INVALID_DATA),  # the largest uint256
    ],
    ids=["no code", "reverts", "61", "huge"],
)
async def test_token_fails_until_its_decimals_can_be_read(
    chain: Anvil, proxy: RpcProxy, code: str, reason: FailureReason
) -> None:
    token, wallet = addresses(2)
    chain.rpc("anvil_setCode", token, code)
    async with evm_source(proxy.url, accounts={"hot": wallet}, assets={"USDT": {"token": token}}) as source:
        reading = await source.fetch_balances()
        assert reading.balances == []
        assert [(f.account, f.asset, f.reason) for f in reading.failures] == [("hot", "USDT", reason)]
        assert reading.failures[0].detail.startswith("decimals(): ")
        chain.rpc("anvil_setCode", token, "0x600660005260206000f3")  # answers 6 to everything
        (balance,) = (await source.fetch_balances()).balances
    assert balance.amount == Decimal("0.000006")


@pytest.mark.parametrize("decimals", [0, 17])
async def test_balance_fails_when_it_is_too_large_to_be_believed(chain: Anvil, decimals: int) -> None:
    token, wallet = addresses(2)
    chain.rpc("anvil_setCode", token, "0x60001960005260206000f3")
    assets = {"USDT": {"token": token, "decimals": decimals}}
    async with evm_source(chain.url, accounts={"hot": wallet}, assets=assets) as source:
        reading = await source.fetch_balances()
    assert [failure.reason for failure in reading.failures] == [FailureReason.INVALID_DATA]
    assert reading.balances == []


async def test_largest_uint256_is_exact_to_the_last_digit(chain: Anvil) -> None:
    token, wallet = addresses(2)
    chain.rpc("anvil_setCode", token, "0x60001960005260206000f3")
    assets = {"USDT": {"token": token, "decimals": 18, "keep": "0.000000000000000000000000000001"}}
    async with evm_source(chain.url, accounts={"hot": wallet}, assets=assets) as source:
        (balance,) = (await source.fetch_balances()).balances
    assert Fraction(balance.amount) + Fraction(balance.locked) == Fraction(2**256 - 1, 10**18)
    assert balance.locked == Decimal("1E-30")


async def test_source_fails_when_the_node_is_on_another_chain(chain: Anvil) -> None:
    options = {"accounts": {"hot": chain.accounts[0]}, "assets": {"ETH": {"native": True}}}
    async with evm_source(chain.url, chain_id=1, **options) as source:
        with pytest.raises(SourceError, match="on chain 31337, not on chain_id 1") as failed:
            await source.fetch_balances()
    assert failed.value.reason is FailureReason.INVALID_DATA


async def test_source_recovers_when_the_node_comes_back(chain: Anvil, treasury: Treasury) -> None:
    chain.install_multicall()
    async with evm_source(chain.url, **treasury.options) as source:
        before = await source.fetch_balances()
        chain.stop()
        with pytest.raises(SourceError) as failed:
            await source.fetch_balances()
        assert failed.value.reason is FailureReason.UNREACHABLE
        assert "http" not in str(failed.value)
        chain.start()
        after = await source.fetch_balances()
    assert after == before


async def test_source_times_out_when_the_node_hangs_and_recovers(chain: Anvil, treasury: Treasury) -> None:
    async with evm_source(chain.url, **treasury.options, timeout=0.5) as source:
        chain.pause()
        with pytest.raises(SourceError) as failed:
            await source.fetch_balances()
        assert failed.value.reason is FailureReason.TIMEOUT
        chain.resume()
    async with evm_source(chain.url, **treasury.options) as source:
        assert all(isinstance(balance, Balance) for balance in (await source.fetch_balances()).balances)
