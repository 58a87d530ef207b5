"""A real Ethereum node for tests: Anvil, with tokens, transfers and Multicall3.

    with Anvil() as chain:
        token = chain.deploy_token(decimals=6)
        chain.transfer(token, to, 1_000_000)

All calls block for milliseconds, so async tests may make them too. Amounts are in the smallest unit. Gas is free, so
that balances are exact.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eth_abi import encode
from eth_utils import function_signature_to_4byte_selector as selector

from support.contracts import MINTABLE_ERC20, MULTICALL3, Artifact, multicall3_code
from support.polling import wait_until
from support.ports import KeptPort
from support.require import missing

_MODULES = Path(__file__).parents[1] / "node" / "node_modules"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_ANVIL = (
    _MODULES / "@foundry-rs" / f"anvil-{sys.platform}-{_ARCHITECTURES.get(platform.machine(), '')}" / "bin" / "anvil"
)
_START_SECONDS = 60.0
_CALL_SECONDS = 60.0


def require_anvil() -> None:
    """Skip the test, or fail it, where Anvil is not installed."""
    if not _ANVIL.exists():
        missing("anvil", how="make test installs it")


class ChainError(Exception):
    """The node returned a JSON-RPC error, or a transaction was reverted."""


class Anvil:
    """An Anvil node on 127.0.0.1; a context manager that starts and stops it.

    It keeps its port and its state over a restart.

    Attributes:
        url: Its JSON-RPC URL.
        port: Its port.
        accounts: Its ten unlocked accounts, each with 10,000 ETH; any other address may send as well.
    """

    def __init__(self, *, chain_id: int = 31337, block_time_seconds: int | None = None) -> None:
        """Prepare a node; without a block time it mines a block per transaction."""
        self._kept_port = KeptPort()
        self.port = self._kept_port.number
        self.url = f"http://127.0.0.1:{self.port}"
        self.accounts: list[str] = []
        self._options = ["--chain-id", str(chain_id)]
        if block_time_seconds is not None:
            self._options += ["--block-time", str(block_time_seconds)]
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = tempfile.TemporaryDirectory(prefix="reservd-anvil-")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._kept_port.close()
        self._directory.cleanup()

    def start(self) -> None:
        """Start it with its last state, and wait until it answers."""
        state = Path(self._directory.name) / "state.json"
        command = [str(_ANVIL), "--silent", "--host", "127.0.0.1", "--port", str(self.port), "--base-fee", "0"]
        command += ["--auto-impersonate", "--state", str(state), *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(self._answers, "anvil to answer", timeout_seconds=_START_SECONDS)
        except BaseException:
            self.stop()
            raise
        self.accounts = self.rpc("eth_accounts")

    def stop(self) -> None:
        """Stop it and keep its state, unless it is stopped already."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(_START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def pause(self) -> None:
        """Make it hang: it accepts connections and answers nothing."""
        process = self._running()
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """End a `pause`."""
        self._running().send_signal(signal.SIGCONT)

    def rpc(self, method: str, *params: object) -> Any:
        """Return the result of one JSON-RPC call.

        Raises:
            ChainError: If the node returns an error.
        """
        return self.batch([(method, params)])[0]

    def batch(self, calls: Iterable[tuple[str, Sequence[object]]]) -> list[Any]:
        """Return the results of many JSON-RPC calls, in order, from one HTTP request.

        Raises:
            ChainError: If the node returns an error for any of them.
        """
        bodies = [{"jsonrpc": "2.0", "id": n, "method": m, "params": list(p)} for n, (m, p) in enumerate(calls)]
        request = urllib.request.Request(self.url, json.dumps(bodies).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=_CALL_SECONDS) as response:
            answers: list[dict[str, Any]] = sorted(json.load(response), key=lambda answer: answer["id"])
        for answer in answers:
            if "error" in answer:
                raise ChainError(answer["error"]["message"])
        return [answer["result"] for answer in answers]

    def deploy_token(self, *, decimals: int = 6, symbol: str = "USDT", supply: int = 10**30) -> str:
        """Deploy an ERC-20 token whose supply belongs to the first account, and return its address."""
        token = self.deploy(MINTABLE_ERC20, symbol, symbol, decimals)
        self._send([_token_call(token, "mint", self.accounts[0], supply)])
        return token

    def deploy(self, artifact: Artifact, *arguments: object) -> str:
        """Deploy a compiled contract and return its address."""
        code = artifact.bytecode + encode(artifact.constructor_types, arguments)
        receipt = self._send([{"data": "0x" + code.hex(), "gas": hex(10_000_000)}])[0]
        return str(receipt["contractAddress"])

    def transfer(self, token: str, to: str, units: int, *, sender: str | None = None) -> None:
        """Send tokens, by default from the first account."""
        self._send([_token_call(token, "transfer", to, units)], sender=sender)

    def transfer_many(self, token: str, units: Mapping[str, int]) -> None:
        """Send tokens from the first account to many, in two HTTP requests."""
        self._send(_token_call(token, "transfer", to, amount) for to, amount in units.items())

    def transfer_ether(self, to: str, wei: int, *, sender: str | None = None) -> None:
        """Send ether, by default from the first account."""
        self._send([{"to": to, "value": hex(wei)}], sender=sender)

    def set_ether(self, wei: Mapping[str, int]) -> None:
        """Set the ether balance of addresses, without transactions."""
        self.batch(("anvil_setBalance", (address, hex(amount))) for address, amount in wei.items())

    def install_multicall(self) -> None:
        """Install Multicall3 at its address on public chains."""
        self.rpc("anvil_setCode", MULTICALL3, multicall3_code())

    def mine(self, blocks: int = 1) -> None:
        """Mine empty blocks."""
        self.rpc("anvil_mine", hex(blocks))

    def mine_at(self, times: Iterable[int]) -> None:
        """Mine an empty block at each Unix time: nodes of one chain then make the same blocks."""
        for at in times:
            self.rpc("evm_setNextBlockTimestamp", at)
            self.mine()

    def block_number(self) -> int:
        """Return the number of the latest block."""
        return int(self.rpc("eth_blockNumber"), 16)

    def _send(self, transactions: Iterable[Mapping[str, object]], *, sender: str | None = None) -> list[dict[str, Any]]:
        """Send transactions, by default from the first account, and return their receipts."""
        sender, transactions = sender or self.accounts[0], list(transactions)
        try:
            return self._send_once(transactions, sender)
        except ChainError as error:
            # A node that has just mined a block sometimes reports one too few. Nothing was sent then.
            if len(transactions) > 1 or "underpriced" not in str(error):
                raise
            return self._send_once(transactions, sender)

    def _send_once(self, transactions: Sequence[Mapping[str, object]], sender: str) -> list[dict[str, Any]]:
        nonce = int(self.rpc("eth_getTransactionCount", sender, "pending"), 16)
        # The node handles the calls of a batch concurrently: nonces give the order, and no
        # block may be mined before the last one is in.
        makes_blocks_at_once = self.rpc("anvil_getAutomine")
        if makes_blocks_at_once:
            self.rpc("evm_setAutomine", False)
        hashes = self.batch(
            ("eth_sendTransaction", ({**one, "from": sender, "gasPrice": "0x0", "nonce": hex(nonce + index)},))
            for index, one in enumerate(transactions)
        )
        if makes_blocks_at_once:
            self.rpc("evm_setAutomine", True)
        receipts: list[dict[str, Any] | None] = []

        def mined() -> bool:
            if makes_blocks_at_once:
                self.mine()
            receipts[:] = self.batch(("eth_getTransactionReceipt", (one,)) for one in hashes)
            return None not in receipts

        wait_until(mined, "transactions to be mined", timeout_seconds=_CALL_SECONDS)
        done = [receipt for receipt in receipts if receipt is not None]
        if any(int(receipt["status"], 16) != 1 for receipt in done):
            raise ChainError("a transaction was reverted")
        return done

    def _answers(self) -> bool:
        if self._running().poll() is not None:
            raise ChainError(f"anvil ended with code {self._running().returncode}")
        try:
            self.rpc("eth_chainId")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("anvil is not running")
        return self._process


def _token_call(token: str, function: str, to: str, units: int) -> dict[str, object]:
    data = selector(f"{function}(address,uint256)") + encode(["address", "uint256"], [to, units])
    return {"to": token, "data": "0x" + data.hex()}
