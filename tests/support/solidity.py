"""Compiles the small contracts of `tests/node/contracts`, and sends transactions to any contract."""

import hashlib
import json
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi import decode, encode
from eth_utils import function_signature_to_4byte_selector as selector

from support.chain import Anvil
from support.contracts import Artifact
from support.require import missing

_NODE = Path(__file__).parents[1] / "node"
_MODULES = _NODE / "node_modules"
_CACHE = ".cache/reservd-contracts"
_COMPILER = _MODULES / "solc" / "solc.js"


@cache
def compiled(source: str, contract: str) -> Artifact:
    """Return a contract of a file in `tests/node/contracts`; the file is compiled once, and again when it changes."""
    text = (_NODE / "contracts" / source).read_text(encoding="utf-8")
    folder = f"{_CACHE}/{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if not (_MODULES / folder).exists():
        _compile(source, text, _MODULES / folder)
    return Artifact(f"{folder}/{contract}.json")


def transact(chain: Anvil, contract: str, function: str, *arguments: object, sender: str | None = None) -> None:
    """Call a function such as `transfer(address,uint256)` in a transaction, by default from the first account."""
    chain._send([{"to": contract, "data": _data(function, arguments), "gas": hex(10_000_000)}], sender=sender)


def ask(chain: Anvil, contract: str, function: str, *arguments: object, returns: str = "uint256") -> Any:
    """Return the first value that a view function returns, without using the code under test."""
    answer = chain.rpc("eth_call", {"to": contract, "data": _data(function, arguments)}, "latest")
    return decode([returns], bytes.fromhex(answer[2:]))[0]


def _data(function: str, arguments: tuple[object, ...]) -> str:
    types = [each for each in function.partition("(")[2].removesuffix(")").split(",") if each]
    return "0x" + (selector(function) + encode(types, arguments)).hex()


def _compile(source: str, code: str, folder: Path) -> None:
    node = shutil.which("node")
    if node is None or not _COMPILER.exists():
        missing("solc", how="make test installs it, where npm is")
    task = {
        "language": "Solidity",
        "sources": {source: {"content": code}},
        "settings": {"optimizer": {"enabled": True}, "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}}},
    }
    command = [node, str(_COMPILER), "--standard-json", "--base-path", "contracts", "--include-path", "node_modules"]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:  # written to a pipe, the output would be truncated
        subprocess.run(command, input=json.dumps(task), stdout=said, text=True, check=True, cwd=_NODE)
        said.seek(0)
        text = said.read()
    output = json.loads(text[text.index("{") :])  # a remark about solvers comes first
    if problems := [each["formattedMessage"] for each in output.get("errors", ()) if each["severity"] == "error"]:
        raise RuntimeError("\n".join(problems))
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when complete, since tests may run in parallel.
    with tempfile.TemporaryDirectory(dir=folder.parent) as directory:
        complete = Path(directory) / "complete"
        complete.mkdir()
        for name, each in output["contracts"][source].items():
            content = {"abi": each["abi"], "bytecode": each["evm"]["bytecode"]["object"]}
            (complete / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        try:
            complete.rename(folder)
        except OSError:
            if not folder.exists():  # otherwise another process was faster
                raise
