"""Compiled contracts that tests deploy, from the npm packages in `tests/node` and the PyPI package `multicall`."""

import ast
import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

_MODULES = Path(__file__).parents[1] / "node" / "node_modules"

MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"


class Artifact(NamedTuple):
    """A compiled contract, by the path of its JSON file in `node_modules`."""

    path: str

    @property
    def bytecode(self) -> bytes:
        """Return its deployment code."""
        return bytes.fromhex(self._content["bytecode"].removeprefix("0x"))

    @property
    def constructor_types(self) -> list[str]:
        """Return the ABI types of its constructor's arguments."""
        for entry in self._content["abi"]:
            if entry["type"] == "constructor":
                return [argument["type"] for argument in entry["inputs"]]
        return []

    @property
    def _content(self) -> dict[str, Any]:
        return _load(self.path)


MINTABLE_ERC20 = Artifact("@aave/core-v3/artifacts/contracts/mocks/tokens/MintableERC20.sol/MintableERC20.json")
"""Takes name, symbol and decimals; anyone may mint."""

FIXED_SUPPLY_ERC20 = Artifact("@openzeppelin/contracts/build/contracts/ERC20PresetFixedSupply.json")
"""OpenZeppelin's token with 18 decimals; takes name, symbol, supply and owner."""


@cache
def multicall3_code() -> str:
    """Return the runtime code of Multicall3."""
    package = find_spec("multicall")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the tests need the Python package 'multicall'")
    # Read, not imported: importing it brings web3, which takes seconds.
    tree = ast.parse((Path(package.origin).parent / "constants.py").read_text(encoding="utf-8"))
    for statement in tree.body:
        match statement:
            case ast.AnnAssign(
                target=ast.Name(id="MULTICALL3_BYTECODE"), value=ast.Call(args=[ast.Constant(value=str(code))])
            ):
                return code
    raise LookupError("the package 'multicall' has no MULTICALL3_BYTECODE")


@cache
def _load(path: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((_MODULES / path).read_text(encoding="utf-8"))
    return content
