"""The `aave_v3` sources on a real node with a real market."""

from decimal import Decimal
from typing import Any

import pytest
from eth_utils import function_signature_to_4byte_selector as selector
from pydantic import ValidationError

from reservd.plugin import AccountFailure, Balance, FailureReason, SourceError
from reservd.plugin.testing import BalanceSourceContract
from reservd_aave_v3.balances import AaveV3BalanceSource
from reservd_aave_v3.equity import AaveV3EquitySource
from support.chain import Anvil
from support.lending import CONTRACT, HOLDER, LENDER, NOBODY, OTHER, USDC, WETH, WHALE, Build, Market, equity_of
from support.proxy import RpcProxy
from support.solidity import transact

NO_LIQUIDITY = "the pool cannot pay more: the rest is lent out, or counted for an account before it"


@pytest.fixture
def market(chain: Anvil) -> Market:
    return Market(chain)


class TestAaveV3BalanceSource(BalanceSourceContract):
    plugin_class = AaveV3BalanceSource

    @pytest.fixture(params=[True, False], ids=["multicall", "plain calls"])
    def options(self, request: pytest.FixtureRequest, chain: Anvil, market: Market) -> dict[str, Any]:
        if request.param:
            chain.install_multicall()
        market.supply(HOLDER, market.weth, 10 * WETH)
        market.borrow(HOLDER, market.usdc, 5000 * USDC)
        return market.options(accounts={"main": HOLDER, "lender": LENDER})


async def read(build: Build, options: dict[str, Any]) -> dict[tuple[str, str | None], Balance | AccountFailure]:
    async with build(AaveV3BalanceSource, options) as source:
        reading = await source.fetch_balances()
    return {(each.account, each.asset): each for each in (*reading.balances, *reading.failures)}


async def payable(build: Build, options: dict[str, Any]) -> dict[tuple[str, str], Decimal]:
    outcomes = await read(build, options)
    assert not [each for each in outcomes.values() if isinstance(each, AccountFailure)]
    return {key: each.amount for key, each in outcomes.items()}


@pytest.mark.parametrize("multicall", [True, False], ids=["multicall", "plain calls"])
async def test_balance_is_all_that_was_supplied_when_nothing_binds(
    build: Build, chain: Anvil, market: Market, multicall: bool
) -> None:
    if multicall:
        chain.install_multicall()
    market.supply(HOLDER, market.usdc, 40_000 * USDC + 1)
    market.supply(HOLDER, market.weth, 3 * WETH + 1)
    outcomes = await read(build, market.options(accounts={"main": HOLDER, "nobody": NOBODY}))
    assert {key: (each.amount, each.locked) for key, each in outcomes.items()} == {
        ("main", "USDC"): (Decimal("40000.000001"), 0),
        ("main", "WETH"): (Decimal("3.000000000000000001"), 0),
        ("nobody", "USDC"): (0, 0),
        ("nobody", "WETH"): (0, 0),
    }
    header = chain.rpc("eth_getBlockByNumber", "latest", False)
    assert {(each.block, int(each.observed_at.timestamp())) for each in outcomes.values()} == {
        (int(header["number"], 16), int(header["timestamp"], 16))
    }


async def test_balance_is_zero_when_the_pool_is_fully_utilized(build: Build, market: Market) -> None:
    market.supply(HOLDER, market.usdc, 40_000 * USDC)
    market.borrow_all_dollars()
    outcome = (await read(build, market.options()))["main", "USDC"]
    assert outcome.amount == 0
    assert outcome.locked >= 40_000
    assert outcome.note == NO_LIQUIDITY
    # It still counts as equity.
    assert await equity_of(build, market.options()) >= 40_000


async def test_liquidity_is_counted_once_when_accounts_share_a_pool(build: Build, market: Market) -> None:
    """In the order of the configuration."""
    market.supply(HOLDER, market.usdc, 40_000 * USDC)
    market.supply(OTHER, market.usdc, 40_000 * USDC)
    market.borrow_all_dollars()
    market.supply(NOBODY, market.usdc, 60_000 * USDC)  # all that is free
    accounts = {"other": OTHER, "main": HOLDER, "lender": LENDER}
    outcomes = await read(build, market.options(accounts=accounts, reserves={"USDC": market.usdc}))
    other, main, lender = (outcomes[name, "USDC"] for name in accounts)
    assert 40_000 <= other.amount < 40_001
    assert (main.amount, lender.amount) == (60_000 - other.amount, 0)
    assert [each.note for each in (other, main, lender)] == ["", NO_LIQUIDITY, NO_LIQUIDITY]


@pytest.mark.parametrize(("free", "known"), [(60_000, {"other"}), (90_000, {"other", "lender"})])
async def test_nothing_is_promised_that_an_account_before_may_take(
    build: Build, market: Market, proxy: RpcProxy, free: int, known: set[str]
) -> None:
    """Unless there is enough even if that account withdraws all that it supplied."""
    for holder in (HOLDER, OTHER):
        market.supply(holder, market.usdc, 40_000 * USDC)
    market.supply(NOBODY, market.usdc, 5_000 * USDC)
    market.borrow_all_dollars()
    market.supply(WHALE, market.usdc, free * USDC)
    digits = selector("getUserAccountData(address)").hex()

    def hide(answers: Any) -> Any:
        for answer, call in zip(answers, proxy.requests[-1], strict=True):
            data = call["params"][0]["data"] if call["method"] == "eth_call" else ""
            if digits in data and HOLDER[2:] in data:
                answer.pop("result", None)
                answer["error"] = {"code": -32000, "message": "header not found"}
        return answers

    proxy.alter(hide)
    accounts = {"other": OTHER, "main": HOLDER, "lender": NOBODY}
    options = market.options(accounts=accounts, reserves={"USDC": market.usdc}) | {"rpc_url": proxy.url}
    outcomes = await read(build, options)
    assert {account for (account, _), each in outcomes.items() if isinstance(each, Balance)} == known
    failure = outcomes.get(("lender", "USDC"))
    if isinstance(failure, AccountFailure):
        assert failure.detail.startswith("the amount of an earlier account is not known: getUserAccountData()")


async def test_pots_are_the_liquidity_and_the_headroom_of_each_account(build: Build, market: Market) -> None:
    source = build(AaveV3BalanceSource, market.options(accounts={"main": HOLDER, "other": OTHER}))
    where = f"in pool {market.pool.lower()} of eip155:31337"
    assert source.pots == {
        f"the liquidity of {market.usdc.lower()} {where}": ("main", "other"),
        f"the liquidity of {market.weth.lower()} {where}": ("main", "other"),
        f"the headroom of {HOLDER} {where}": ("main",),
        f"the headroom of {OTHER} {where}": ("other",),
    }


@pytest.mark.parametrize("minimum", ["1.01", "1.2", "1.5", "1.99"])
async def test_health_factor_stays_at_its_minimum_when_the_balance_is_withdrawn(
    build: Build, market: Market, minimum: str
) -> None:
    market.supply(HOLDER, market.weth, 10 * WETH)
    market.borrow(HOLDER, market.usdc, 8000 * USDC)  # health factor 20,000 * 0.8 / 8,000
    options = market.options(min_health_factor=minimum)
    amounts = await payable(build, options)
    expected = 10 - Decimal(minimum) * 8000 / Decimal("0.8") / 2000
    assert expected - Decimal("0.0001") < amounts["main", "WETH"] <= expected
    assert amounts["main", "USDC"] == 0
    market.withdraw(HOLDER, market.weth, int(amounts["main", "WETH"] * WETH))
    assert market.health_factor(HOLDER) == pytest.approx(float(minimum), rel=1e-4)
    assert (await payable(build, options))["main", "WETH"] < Decimal("0.001")


async def test_balance_is_zero_when_the_health_factor_is_below_its_minimum(build: Build, market: Market) -> None:
    market.supply(HOLDER, market.weth, 10 * WETH)
    market.borrow(HOLDER, market.usdc, 14_000 * USDC)
    outcome = (await read(build, market.options()))["main", "WETH"]
    assert (outcome.amount, outcome.locked) == (0, 10)
    assert outcome.note == "more would bring the health factor below its minimum"


async def test_headroom_is_counted_once_when_an_account_has_several_collaterals(build: Build, market: Market) -> None:
    market.supply(HOLDER, market.usdc, 20_000 * USDC)
    market.supply(HOLDER, market.weth, 10 * WETH)
    market.borrow(HOLDER, market.usdc, 8000 * USDC)  # 15,000 of the 40,000 dollars must remain
    reserves = {"USDC": market.usdc, "WETH": market.weth}
    amounts = await payable(build, market.options(reserves=reserves))
    assert 20_000 <= amounts["main", "USDC"] < Decimal("20000.1")
    assert amounts["main", "WETH"] == pytest.approx(Decimal("2.5"), rel=Decimal("0.001"))
    turned = await payable(build, market.options(reserves=dict(reversed(reserves.items()))))
    assert turned["main", "WETH"] == 10
    assert turned["main", "USDC"] == pytest.approx(5000, rel=Decimal("0.001"))
    market.withdraw(HOLDER, market.weth, int(turned["main", "WETH"] * WETH))
    market.withdraw(HOLDER, market.usdc, int(turned["main", "USDC"] * USDC))
    assert market.health_factor(HOLDER) == pytest.approx(1.5, rel=1e-4)


async def test_debt_does_not_bind_what_is_no_collateral(build: Build, market: Market) -> None:
    market.supply(HOLDER, market.weth, 10 * WETH)
    market.supply(HOLDER, market.usdc, 20_000 * USDC)
    market.does(HOLDER, "setUserUseReserveAsCollateral(address,bool)", market.usdc, False)
    market.borrow(HOLDER, market.usdc, 14_000 * USDC)
    amounts = await payable(build, market.options())
    assert 20_000 <= amounts["main", "USDC"] < Decimal("20000.1")
    assert amounts["main", "WETH"] == 0


def enter_emode(market: Market, debt: str, units: int, *, price_source: str = "0x" + 40 * "0") -> None:
    """Let HOLDER supply ten ether, borrow, and use an e-mode with a threshold of 95 %."""
    risk = 9000, 9500, 10100
    market.configures("setEModeCategory(uint8,uint16,uint16,uint16,address,string)", 1, *risk, price_source, "ether")
    for token in {market.weth, debt}:
        market.configures("setAssetEModeCategory(address,uint8)", token, 1)
    market.supply(HOLDER, market.weth, 10 * WETH)
    market.borrow(HOLDER, debt, units)
    market.does(HOLDER, "setUserEMode(uint8)", 1)


async def test_threshold_is_that_of_the_e_mode_when_the_account_is_in_one(build: Build, market: Market) -> None:
    enter_emode(market, market.usdc, 10_000 * USDC)
    amounts = await payable(build, market.options())
    assert amounts["main", "WETH"] == pytest.approx(10 - 15_000 / Decimal("0.95") / 2000, rel=Decimal("0.001"))
    market.withdraw(HOLDER, market.weth, int(amounts["main", "WETH"] * WETH))
    assert market.health_factor(HOLDER) == pytest.approx(1.5, rel=2e-4)


async def test_price_is_that_of_the_e_mode_when_it_has_one(build: Build, market: Market) -> None:
    market.set_price(CONTRACT, 4000 * 10**8)
    market.supply(LENDER, market.weth, 100 * WETH)
    enter_emode(market, market.weth, 4 * WETH, price_source=CONTRACT)
    amounts = await payable(build, market.options())
    assert amounts["main", "WETH"] == pytest.approx(10 - 6 / Decimal("0.95"), rel=Decimal("0.001"))


async def test_balance_is_zero_when_the_reserve_is_paused(build: Build, market: Market) -> None:
    market.supply(HOLDER, market.usdc, 40_000 * USDC)
    market.supply(HOLDER, market.weth, WETH)
    market.configures("setReservePause(address,bool)", market.usdc, True)
    outcomes = await read(build, market.options())
    stopped, paying = outcomes["main", "USDC"], outcomes["main", "WETH"]
    assert (stopped.amount, stopped.locked, stopped.note) == (0, 40_000, "the reserve is paused or inactive")
    assert (paying.amount, paying.note) == (1, "")


async def test_balance_is_payable_when_the_reserve_is_frozen(build: Build, market: Market) -> None:
    """A frozen reserve is closed to new supplies and loans only."""
    market.supply(HOLDER, market.usdc, 40_000 * USDC)
    market.configures("setReserveFreeze(address,bool)", market.usdc, True)
    assert (await payable(build, market.options()))["main", "USDC"] == 40_000


async def test_virtual_balance_binds_when_the_pool_counts_one(build: Build, chain: Anvil, market: Market) -> None:
    """Tokens that were sent to the aToken by mistake cannot be withdrawn."""
    market.supply(HOLDER, market.usdc, 40_000 * USDC)
    market.becomes_newer()
    options = market.options(reserves={"USDC": market.usdc})
    for virtual, expected in ((30_000, 30_000), (0, 0), (2_000_000, 40_000)):
        transact(chain, market.pool, "setVirtualUnderlyingBalance(address,uint128)", market.usdc, virtual * USDC)
        assert (await payable(build, options))["main", "USDC"] == expected


async def test_e_mode_names_its_collaterals_when_the_pool_is_newer(build: Build, chain: Anvil, market: Market) -> None:
    enter_emode(market, market.usdc, 10_000 * USDC)
    market.becomes_newer()
    transact(chain, market.pool, "setVirtualUnderlyingBalance(address,uint128)", market.weth, 10**6 * WETH)
    found = []
    for reserves in (0b00, 0b01, 0b10):  # dollars are reserve 0, ether is 1
        transact(chain, market.pool, "setEModeCategoryCollateralBitmap(uint8,uint128)", 1, reserves)
        found.append((await payable(build, market.options(reserves={"WETH": market.weth})))["main", "WETH"])
    headroom = 20_000 * Decimal("0.95") - Decimal("1.5") * 10_000
    outside, inside = headroom / Decimal("0.8") / 2000, headroom / Decimal("0.95") / 2000
    assert found == [pytest.approx(each, rel=Decimal("0.001")) for each in (outside, outside, inside)]


async def test_balance_fails_when_the_pool_would_refuse_the_withdrawal(build: Build, market: Market) -> None:
    """A rule beyond the amounts: collateral without loan-to-value must be withdrawn first."""
    market.supply(HOLDER, market.weth, 10 * WETH)
    market.supply(HOLDER, market.usdc, 20_000 * USDC)
    market.borrow(HOLDER, market.usdc, 1000 * USDC)
    market.configures(
        "configureReserveAsCollateral(address,uint256,uint256,uint256)", market.usdc, 0, market.threshold, 10500
    )
    outcomes = await read(build, market.options(reserves={"WETH": market.weth}))
    outcome = outcomes["main", "WETH"]
    assert isinstance(outcome, AccountFailure)
    assert (outcome.reason, outcome.detail) == (
        FailureReason.REJECTED,
        "withdraw(): the contract reverted the call",
    )


async def test_reserve_fails_alone_when_the_pool_does_not_list_it(build: Build, chain: Anvil, market: Market) -> None:
    market.supply(HOLDER, market.usdc, USDC)
    reserves = {"USDC": market.usdc, "DAI": chain.deploy_token()}
    outcomes = await read(build, market.options(reserves=reserves))
    assert outcomes["main", "USDC"].amount == 1
    failure = outcomes["main", "DAI"]
    assert isinstance(failure, AccountFailure)
    assert failure.reason is FailureReason.INVALID_DATA
    assert "no reserve of" in failure.detail


async def test_indebted_account_fails_alone_when_a_price_is_missing(build: Build, market: Market) -> None:
    market.supply(HOLDER, market.weth, 10 * WETH)
    market.borrow(HOLDER, market.usdc, 1000 * USDC)
    market.supply(OTHER, market.weth, WETH)
    market.set_price(market.weth, 0)
    reserves = {"WETH": market.weth}
    outcomes = await read(build, market.options(accounts={"main": HOLDER, "other": OTHER}, reserves=reserves))
    failure = outcomes["main", "WETH"]
    assert isinstance(failure, AccountFailure)
    assert failure.reason is FailureReason.INVALID_DATA
    assert "no price" in failure.detail
    assert outcomes["other", "WETH"].amount == 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("0x", FailureReason.INVALID_DATA),
        ("0x60006000fd", FailureReason.REJECTED),  # reverts
        ("0x60206000f3", FailureReason.INVALID_DATA),  # answers 32 bytes of zero
        ("0x6101e06000f3", FailureReason.INVALID_DATA),  # answers a reserve of zeros
    ],
    ids=["no code", "reverts", "32 bytes", "zeros"],
)
@pytest.mark.parametrize("multicall", [True, False], ids=["multicall", "plain calls"])
async def test_nothing_is_zero_when_no_pool_answers(
    build: Build, chain: Anvil, code: str, reason: FailureReason, multicall: bool
) -> None:
    if multicall:
        chain.install_multicall()
    chain.rpc("anvil_setCode", CONTRACT, code)
    options = {
        "rpc_url": chain.url,
        "chain_id": 31337,
        "pool": CONTRACT,
        "accounts": {"main": HOLDER},
        "reserves": {"USDC": chain.deploy_token()},
    }
    outcomes = await read(build, options)
    assert [getattr(each, "reason", None) for each in outcomes.values()] == [reason]
    with pytest.raises(SourceError) as failed:
        await equity_of(build, options)
    assert failed.value.reason is reason


@pytest.mark.parametrize("hidden", ["getUserAccountData(address)", "getVirtualUnderlyingBalance(address)"])
async def test_balance_fails_when_the_node_does_not_answer_one_call(
    build: Build, market: Market, proxy: RpcProxy, hidden: str
) -> None:
    """An error of the node does not mean that the pool lacks the function."""
    market.supply(HOLDER, market.weth, 10 * WETH)
    market.borrow(HOLDER, market.usdc, 1000 * USDC)
    digits = selector(hidden).hex()

    def alter(answers: Any) -> Any:
        for answer, call in zip(sorted(answers, key=lambda each: each["id"]), proxy.requests[-1], strict=True):
            if call["method"] == "eth_call" and digits in call["params"][0]["data"]:
                answer.pop("result", None)
                answer["error"] = {"code": -32000, "message": "header not found"}
        return answers

    proxy.alter(alter)
    options = market.options(reserves={"WETH": market.weth}) | {"rpc_url": proxy.url}
    (outcome,) = (await read(build, options)).values()
    assert isinstance(outcome, AccountFailure)
    assert outcome.reason is FailureReason.REJECTED
    assert hidden.partition("(")[0] in outcome.detail


async def test_source_fails_when_the_node_is_on_another_chain(build: Build, market: Market) -> None:
    for cls, method in ((AaveV3BalanceSource, "fetch_balances"), (AaveV3EquitySource, "fetch_equity")):
        async with build(cls, market.options(chain_id=1)) as source:
            with pytest.raises(SourceError, match="on chain 31337, not on chain_id 1") as failed:
                await getattr(source, method)(*([] if method == "fetch_balances" else ["USDC", "USDC"]))
        assert failed.value.reason is FailureReason.INVALID_DATA


async def test_requests_are_few_when_multicall_is_there(
    build: Build, chain: Anvil, market: Market, proxy: RpcProxy
) -> None:
    chain.install_multicall()
    market.supply(HOLDER, market.usdc, USDC)
    options = market.options(accounts={"main": HOLDER, "nobody": NOBODY}) | {"rpc_url": proxy.url}
    await payable(build, options)
    # The first request includes Multicall3's code. A pool before v3.1 is asked for its virtual balances
    # a second time, to be certain that it has none.
    assert [len(request) for request in proxy.requests] == [4, 1, 1, 2, 1]
    market.becomes_newer()
    transact(chain, market.pool, "setVirtualUnderlyingBalance(address,uint128)", market.usdc, USDC)
    proxy.requests.clear()
    await payable(build, options)
    assert [len(request) for request in proxy.requests] == [4, 1, 1, 1]


async def test_accounts_are_known_by_pool_and_holder(build: Build, market: Market) -> None:
    (known,) = build(AaveV3BalanceSource, market.options()).accounts.values()
    address = f"{market.pool.lower()}/{HOLDER}"
    assert (known.venue, known.address, known.assets) == ("eip155:31337", address, frozenset({"USDC", "WETH"}))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"min_health_factor": "1"}, r"1\.01"),
        ({"accounts": {"a": HOLDER, "b": HOLDER}}, "'a' and 'b' are both"),
        ({"reserves": {"USDC": CONTRACT, "USDT": CONTRACT}}, "'USDC' and 'USDT' are both"),
        ({"accounts": {}}, "at least 1"),
        ({"pool": "0x12"}, "40 hexadecimal digits"),
        ({"block": "pending"}, "finalized"),
    ],
)
async def test_options_are_refused_when_they_are_wrong(build: Build, change: dict[str, Any], rule: str) -> None:
    options = {
        "rpc_url": "http://127.0.0.1:1",
        "chain_id": 1,
        "pool": CONTRACT,
        "accounts": {"main": HOLDER},
        "reserves": {"USDC": OTHER},
    }
    with pytest.raises(ValidationError, match=rule):
        build(AaveV3BalanceSource, options | change)
