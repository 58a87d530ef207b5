import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reservd.monitor.sources.readers import EquityReader
from reservd.plugin import Account, Equity, FailureReason, Reading, SourceError
from reservd.plugin.testing import BalanceSourceContract, EquitySourceContract
from reservd_command.balances import CommandBalanceSource
from reservd_command.equity import CommandEquitySource
from support import programs

R = FailureReason
MAIN = {"main": {"assets": ["USDT"]}}
TOLD = {"account": "main", "asset": "USDT", "amount": "123.45"}


def saying(folder: Path, answer: Any, name: str = "program") -> list[str]:
    """Return the command of a program with this answer: a text unchanged, anything else as JSON."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    (folder / f"{name}.json").write_text(text)
    return [programs.sh(folder, f"cat {folder}/{name}.json", name)]


class TestCommandBalanceSource(BalanceSourceContract):
    plugin_class = CommandBalanceSource

    @pytest.fixture
    def options(self, tmp_path: Path) -> dict[str, Any]:
        answer = {"balances": [TOLD, {**TOLD, "asset": "USDC"}], "failures": [{"account": "ops"}]}
        accounts = {"main": {"assets": ["USDT"]}, "ops": {"assets": ["USDT", "ETH"]}, "gone": {"assets": ["USDT"]}}
        return {"command": saying(tmp_path, answer), "accounts": accounts}


class TestCommandEquitySource(EquitySourceContract):
    plugin_class = CommandEquitySource

    @pytest.fixture
    def options(self, tmp_path: Path) -> dict[str, Any]:
        return {"command": saying(tmp_path, {"equity": "1000000.01", "currency": "USDT"})}


class TestCommandEquitySourceByShareClass(TestCommandEquitySource):
    @pytest.fixture
    def options(self, tmp_path: Path) -> dict[str, Any]:
        return {"command": saying(tmp_path, {"equity": 5, "currency": "USDT"}), "by_share_class": True}


@pytest.fixture
def read(build: Any, tmp_path: Path) -> Any:
    """Read the balances from a program with this answer."""

    async def fetch(answer: Any, accounts: Any = MAIN, **options: Any) -> Reading:
        command = saying(tmp_path, answer)
        async with build(CommandBalanceSource, {"command": command, "accounts": accounts, **options}) as source:
            reading: Reading = await source.fetch_balances()
        return reading

    return fetch


@pytest.fixture
def equity(build: Any, tmp_path: Path) -> Any:
    """Read the equity from a program with this answer."""

    async def fetch(answer: Any, **options: Any) -> Equity:
        async with build(CommandEquitySource, {"command": saying(tmp_path, answer), **options}) as source:
            equity: Equity = await source.fetch_equity("basis", "USDT")
        return equity

    return fetch


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ('"123.45"', "123.45"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("12345678901234567890123456789012345678901234567890", "12345678901234567890123456789012345678901234567890"),
        ("2e-3", "0.002"),
        ("-7", "-7"),
        ("0", "0"),
    ],
)
async def test_amount_is_exact(read: Any, said: str, meant: str) -> None:
    reading = await read(f'{{"balances": [{{"account": "main", "asset": "USDT", "amount": {said}}}]}}')
    assert [balance.amount for balance in reading.balances] == [Decimal(meant)]
    assert not reading.failures


@pytest.mark.parametrize("told", [{}, {"locked": None}])
async def test_what_is_locked_is_not_known_when_the_program_does_not_tell(read: Any, told: dict[str, Any]) -> None:
    (balance,) = (await read({"balances": [{**TOLD, **told}]})).balances
    assert balance.locked is None


async def test_balance_has_all_that_the_program_tells(read: Any) -> None:
    told = {**TOLD, "locked": 5, "observed_at": "2024-05-06T09:08:09+02:00"}
    (balance,) = (await read({"balances": [told]})).balances
    assert (balance.account, balance.asset, balance.locked) == ("main", "USDT", Decimal(5))
    assert balance.observed_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


async def test_balance_is_as_old_as_the_run_when_the_program_tells_no_time(read: Any) -> None:
    before = datetime.now(UTC)
    (balance,) = (await read({"balances": [TOLD]})).balances
    assert timedelta(0) <= balance.observed_at - before < timedelta(minutes=1)


async def test_balance_is_a_failure_when_the_program_does_not_tell_it(read: Any) -> None:
    """Absent is not zero."""
    accounts = {"main": {"assets": ["USDT", "ETH"]}, "ops": {"assets": ["USDT"]}}
    reading = await read({"balances": [TOLD, {**TOLD, "asset": "eth"}]}, accounts)
    assert [balance.asset for balance in reading.balances] == ["USDT"]
    assert [(each.account, each.asset, each.reason, each.detail) for each in reading.failures] == [
        ("main", "ETH", R.INVALID_DATA, "ETH: is missing from the answer"),
        ("ops", "USDT", R.INVALID_DATA, "USDT: is missing from the answer"),
    ]


@pytest.mark.parametrize(
    "amount",
    ["null", "true", '""', '"n/a"', '"1,000"', '"NaN"', '"Infinity"', "[]", "{}", "1e61", '"1e-61"', "1e999999999"],
)
async def test_balance_is_a_failure_when_it_is_no_number(read: Any, amount: str) -> None:
    other = '{"account": "main", "asset": "ETH", "amount": 7}'
    answer = f'{{"balances": [{{"account": "main", "asset": "USDT", "amount": {amount}}}, {other}]}}'
    reading = await read(answer, {"main": {"assets": ["USDT", "ETH"]}})
    assert [(balance.asset, balance.amount) for balance in reading.balances] == [("ETH", Decimal(7))]
    (failure,) = reading.failures
    assert (failure.account, failure.asset, failure.reason) == ("main", "USDT", R.INVALID_DATA)
    assert failure.detail == "USDT: balances.0.amount: must be a finite number, or text that is one"


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"observed": "2024-05-06T07:08:09Z"}, "balances.0.observed: Extra inputs are not permitted"),
        ({"observed_at": "2024-05-06T07:08:09"}, "observed_at: must be ISO 8601 text with a time zone"),
        ({"observed_at": 1714979289}, "observed_at: must be ISO 8601 text with a time zone"),
        ({"observed_at": "0001-01-01T00:00:00+14:00"}, "observed_at: must be ISO 8601 text with a time zone, of the"),
        ({"locked": "n/a"}, "locked: must be a finite number"),
    ],
)
async def test_balance_is_a_failure_when_its_entry_is_not_understood(read: Any, change: Any, detail: str) -> None:
    reading = await read({"balances": [{**TOLD, **change}]})
    assert not reading.balances
    assert detail in reading.failures[0].detail


@pytest.mark.parametrize("second", [TOLD, {**TOLD, "amount": "1"}, {**TOLD, "amount": None}])
async def test_balance_is_a_failure_when_it_is_told_twice(read: Any, second: Any) -> None:
    reading = await read({"balances": [TOLD, second]})
    assert not reading.balances
    assert [failure.detail for failure in reading.failures] == ["USDT: appears twice in the answer"]


async def test_failures_are_those_that_the_program_tells(read: Any) -> None:
    accounts = {"main": {"assets": ["USDT", "ETH"]}, "ops": {"assets": ["USDT", "ETH"]}}
    failures = [
        {"account": "main", "asset": "ETH", "reason": "timeout", "detail": "custodian\nsilent"},
        {"account": "ops", "reason": "rate_limited"},
        {"account": "unheard-of"},
    ]
    reading = await read({"balances": [TOLD, {**TOLD, "account": "ops"}], "failures": failures}, accounts)
    assert [(balance.account, balance.asset) for balance in reading.balances] == [("main", "USDT")]
    assert [(each.account, each.asset, each.reason, each.detail) for each in reading.failures] == [
        ("main", "ETH", R.TIMEOUT, "custodian silent"),
        ("ops", "USDT", R.RATE_LIMITED, ""),
        ("ops", "ETH", R.RATE_LIMITED, ""),
    ]


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ("", "the program did not write JSON"),
        ("no", "the program did not write JSON"),
        ('{"balances": [NaN]}', "the program did not write JSON"),
        ('{"balances": [1e99999999999999999999]}', "the program did not write JSON"),
        ("[" * 100_000, "the program did not write JSON"),
        ("[]", "the answer: Input should be"),
        ({}, "balances: Field required"),
        ({"balances": {}}, "balances: Input should be"),
        ({"balances": [5]}, "balances.0: Input should be"),
        ({"balances": [{"asset": "USDT", "amount": 1}]}, "balances.0.account: Field required"),
        ({"balances": [{**TOLD, "asset": 5}]}, "balances.0.asset: Input should be"),
        ({"balances": [], "failure": []}, "failure: Extra inputs are not permitted"),
        ({"balances": [], "failures": [{"account": "main", "reason": "tired"}]}, "failures.0.reason: Input should be"),
    ],
)
async def test_source_fails_when_the_answer_is_not_understood(read: Any, answer: Any, detail: str) -> None:
    with pytest.raises(SourceError) as failure:
        await read(answer)
    assert failure.value.reason is R.INVALID_DATA
    assert failure.value.detail.startswith(detail)


@pytest.mark.parametrize(
    ("body", "seconds", "reason", "detail"),
    [
        ("echo '{\"balances\": []}'; echo 'no route' >&2; exit 75", 10, R.REJECTED, "exit code 75: no route"),
        ("kill -9 $$", 10, R.REJECTED, "ended by signal 9"),
        ("yes", 10, R.INVALID_DATA, "wrote more than 1048576 bytes"),
        ("echo '{'; sleep 1000", 0.5, R.TIMEOUT, "still running after 0.5 s"),
    ],
)
async def test_source_fails_with_its_reason_when_the_program_does(
    build: Any, tmp_path: Path, body: str, seconds: float, reason: FailureReason, detail: str
) -> None:
    options = {"command": [programs.sh(tmp_path, body)], "accounts": MAIN, "timeout": seconds}
    async with build(CommandBalanceSource, options) as source:
        with pytest.raises(SourceError) as failure:
            await source.fetch_balances()
    assert (failure.value.reason, failure.value.detail) == (reason, detail)


async def test_source_fails_when_the_program_is_missing(build: Any, tmp_path: Path) -> None:
    async with build(CommandBalanceSource, {"command": [f"{tmp_path}/gone"], "accounts": MAIN}) as source:
        with pytest.raises(SourceError, match="no such file") as failure:
            await source.fetch_balances()
    assert failure.value.reason is R.UNREACHABLE


async def test_answer_is_whole_when_a_grandchild_writes_on(build: Any, tmp_path: Path) -> None:
    body = f"sleep 1000 & echo $! > {tmp_path}/pid\ncat {tmp_path}/answer"
    (tmp_path / "answer").write_text(json.dumps({"balances": [TOLD], "failures": [{"account": "x"}] * 20_000}))
    options = {"command": [programs.sh(tmp_path, body)], "accounts": MAIN}
    async with build(CommandBalanceSource, options) as source:
        assert (await source.fetch_balances()).balances[0].amount == Decimal("123.45")
    programs.wait_until_gone(tmp_path / "pid")


def test_accounts_are_known_by_venue_and_address(build: Any) -> None:
    accounts = {"main": {"assets": ["USDT", "ETH"], "address": "sub-1"}, "ops": {"assets": ["USDT"]}}
    options = {"command": ["true"], "accounts": accounts}
    assert build(CommandBalanceSource, options, name="desk").accounts == {
        "main": Account("main", "desk", "sub-1", frozenset({"USDT", "ETH"})),
        "ops": Account("ops", "desk", "ops", frozenset({"USDT"})),
    }
    assert build(CommandBalanceSource, {**options, "venue": "bank"}).accounts["ops"].venue == "bank"


async def test_equity_has_all_that_the_program_tells(equity: Any) -> None:
    got = await equity(
        {
            "equity": "1000000.5",
            "currency": "USDT",
            "observed_at": "2024-05-06T07:08:09Z",
            "complete": False,
            "net_of_withdrawals": True,
            "components": {"lending": 940000},
        }
    )
    moment = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert got == Equity(
        Decimal("1000000.5"),
        "USDT",
        moment,
        complete=False,
        net_of_withdrawals=True,
        components={"lending": Decimal(940_000)},
    )


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"equity": None}, "equity: must be a finite number"),
        ({"equity": "NaN"}, "equity: must be a finite number"),
        ({"equity": True}, "equity: must be a finite number"),
        ({"currency": "usdt"}, "currency: must be USDT"),
        ({"currency": None}, "currency: Input should be"),
        ({"complete": "true"}, "complete: Input should be"),
        ({"complete": 1}, "complete: Input should be"),
        ({"net_of_withdrawals": 1}, "net_of_withdrawals: Input should be"),
        ({"components": {"lending": []}}, "components.lending: must be a finite number"),
        ({"observed_at": "yesterday"}, "observed_at: must be ISO 8601"),
        ({"completed": False}, "completed: Extra inputs"),
    ],
)
async def test_equity_fails_when_a_value_cannot_be_believed(equity: Any, change: Any, detail: str) -> None:
    with pytest.raises(SourceError) as failure:
        await equity({"equity": 1, "currency": "USDT", **change})
    assert failure.value.reason is R.INVALID_DATA
    assert failure.value.detail.startswith(detail)


ECHO = """
import json, os, sys
said = [*sys.argv[1:], os.environ.get("RESERVD_MODE"), os.environ.get("RESERVD_CURRENCY")]
print(json.dumps({"equity": 1, "currency": "USDT", "components": {str(each): 0 for each in said}}))
"""


@pytest.mark.parametrize(
    ("arguments", "by_share_class", "told"),
    [
        ([], False, ["a b;$x", "USDT"]),
        (["--mode={mode}", "{currency}/{mode}", "{other}"], False,
         ["--mode=a b;$x", "USDT/a b;$x", "{other}", "a b;$x", "USDT"]),
        (["{currency}"], True, ["USDT", "None"]),
    ],
)  # fmt: skip
async def test_program_is_told_what_is_asked(
    build: Any, tmp_path: Path, arguments: list[str], by_share_class: bool, told: list[str]
) -> None:
    options = {"command": [programs.python(tmp_path, ECHO), *arguments], "by_share_class": by_share_class}
    async with build(CommandEquitySource, options) as source:
        assert source.by_share_class is by_share_class
        assert list((await source.fetch_equity("a b;$x", "USDT")).components) == told


async def test_programs_are_few_when_many_modes_are_asked_for(build: Any, tmp_path: Path) -> None:
    """Each program counts those that run at the same time, and returns that number."""
    body = f"""
mkdir {tmp_path}/$RESERVD_MODE.run
ls -d {tmp_path}/*.run | wc -l | sed 's/.*/{{"equity": &, "currency": "USDT"}}/'
sleep 0.05
rmdir {tmp_path}/$RESERVD_MODE.run
"""
    reader = EquityReader(build(CommandEquitySource, {"command": [programs.sh(tmp_path, body)], "timeout": 60}), [])
    answers = await asyncio.gather(*(reader.read(f"mode-{number}", "USDT") for number in range(30)))
    await reader.close()
    assert max(answer.amount for answer in answers) <= 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"command": ["{mode}"]}, "must not begin with a placeholder"),
        ({"command": ["/bin/{currency}"]}, "must not begin with a placeholder"),
        ({"command": ["true", "{mode}"], "by_share_class": True}, r"must not hold \{mode\} together"),
        ({"by_share_class": "perhaps"}, "by_share_class"),
    ],
)
def test_equity_config_is_refused_with_the_rule_it_breaks(build: Any, changes: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(CommandEquitySource, {"command": ["true"], **changes})


@pytest.mark.parametrize(
    ("accounts", "message"),
    [
        ({}, "accounts"),
        ({"main": {"assets": []}}, "assets"),
        ({"": {"assets": ["USDT"]}}, "accounts"),
        (None, "accounts"),
    ],
)
def test_balance_config_is_refused_when_it_names_nothing_to_read(build: Any, accounts: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(CommandBalanceSource, {"command": ["true"], "accounts": accounts})
