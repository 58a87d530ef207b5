"""The guide for authors of plugins names what exists, and its example works."""

import ast
import re
import sys
from collections.abc import Callable
from decimal import Decimal
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

import reservd.plugin
from reservd.plugin import FailureReason, Readers, SourceError, evm, hookspecs
from support.chain import Anvil
from support.portfolio import Ledger

FOLDER = Path(reservd.plugin.__file__).parent
GUIDE = (FOLDER / "README.md").read_text()


@pytest.fixture
def class_of_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Return a class by its name, from the guide's code block that defines it."""

    def load(name: str) -> Any:
        (code,) = re.findall(rf"```python\n((?:(?!```).)*?class {name}\(.*?)```", GUIDE, flags=re.DOTALL)
        file = tmp_path / f"{name.lower()}_of_the_guide.py"
        file.write_text(code)
        spec = spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, file.stem, module)
        spec.loader.exec_module(module)
        return getattr(module, name)

    return load


@pytest.fixture
def acme(class_of_guide: Callable[[str], Any]) -> Any:
    """The class of the guide's first code block."""
    return class_of_guide("AcmeSource")


async def test_example_reads_a_balance(build: Any, receiver: Any, acme: Any) -> None:
    receiver.says('{"available": 12.50}')
    async with build(acme, {"url": receiver.url, "token": "t0ken"}) as source:
        (balance,) = (await source.fetch_balances()).balances
    assert (balance.account, balance.asset, balance.amount) == ("main", "USD", Decimal("12.50"))
    assert receiver.requests[0].headers["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize("answer", ["{}", "[]", '{"available": null}', '{"available": "none"}', "no JSON"])
async def test_example_fails_when_the_number_is_not_there(build: Any, receiver: Any, acme: Any, answer: str) -> None:
    receiver.says(answer)
    async with build(acme, {"url": receiver.url, "token": "t0ken"}) as source:
        with pytest.raises(SourceError) as failure:
            await source.fetch_balances()
    assert failure.value.reason is FailureReason.INVALID_DATA


async def test_example_of_a_composite_sums_its_accounts(build: Any, class_of_guide: Callable[[str], Any]) -> None:
    treasury = Ledger(main__USDT="1.5", ops__USDT=2, cold__USDT=10)
    book = build(class_of_guide("AcmeBook"), {"accounts": ["treasury/main", "treasury/ops"]})
    book.connect(Readers({"treasury": treasury}))
    assert (await book.fetch_equity("USDT", "USDT")).amount == Decimal("3.5")
    treasury.amounts["ops/USDT"] = None
    with pytest.raises(SourceError, match="ops of treasury/ops was not read"):
        await book.fetch_equity("USDT", "USDT")


async def test_example_on_a_chain_reads_what_follows_from_what_it_read(
    build: Any, chain: Anvil, class_of_guide: Callable[[str], Any]
) -> None:
    token, contract, nobody = chain.deploy_token(decimals=6), f"0x{0xDEF1:040x}", f"0x{0xDEF2:040x}"
    # Returns its own token for everything, which is a huge number as an amount.
    chain.rpc("anvil_setCode", contract, f"0x73{token[2:]}60005260206000f3")
    options = {"rpc_url": chain.url, "chain_id": 31337, "timeout": 30, "contract": contract, "holder": nobody}
    async with build(class_of_guide("StakingSource"), options) as source:
        (balance,) = (await source.fetch_balances()).balances
        assert balance.amount == Decimal(f"{int(token, 16)}E-6")
        chain.rpc("anvil_setCode", contract, "0x")
        with pytest.raises(SourceError, match=r"claimable\(\)|asset\(\)"):
            await source.fetch_balances()


def test_every_name_for_chains_is_explained_that_an_author_starts_from() -> None:
    table = GUIDE.partition("| name | what it is |")[2].partition("\n\n- ")[0]
    named = {word.partition("(")[0] for word in re.findall(r"`([^`]+)`", table)}
    types = {"MAX_DECIMALS", "Block", "BlockTag", "Call", "ContractError", "EvmEndpoint", "Query", "Step", "invalid"}
    assert set(evm.__all__) - types <= named


def test_every_hook_has_its_heading() -> None:
    hooks = {f"{name}()" for name in vars(hookspecs) if name.startswith("reservd_")}
    assert set(re.findall(r"^### `(reservd_\w+\(\))`$", GUIDE, flags=re.MULTILINE)) == hooks


def test_every_reason_is_explained() -> None:
    table = GUIDE.partition("| `FailureReason` |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", table, flags=re.MULTILINE)) == set(FailureReason.__members__)


def test_names_of_code_blocks_exist() -> None:
    """An import that fails would stop a newcomer at the first line of an example."""
    for code in re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("reservd.plugin."):
                module = import_module(str(node.module))
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_contract_example_is_that_of_the_module() -> None:
    docstring = ast.get_docstring(ast.parse((FOLDER / "testing" / "__init__.py").read_text())) or ""
    example = [line.strip() for line in docstring.splitlines() if line.startswith("    ")]
    assert example
    assert [line for line in example if line not in GUIDE] == []


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((\.\./[^)]+)\)", GUIDE))))
def test_link_leads_somewhere(target: str) -> None:
    assert (FOLDER / target).exists()
