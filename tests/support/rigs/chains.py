"""Sources that read a chain: a token, a vault, a lending pool."""

from datetime import UTC, datetime, timedelta
from typing import Any

from reservd_aave_v3.balances import AaveV3BalanceSource
from reservd_aave_v3.equity import AaveV3EquitySource
from reservd_erc4626.balances import Erc4626BalanceSource
from reservd_erc4626.equity import Erc4626EquitySource
from reservd_evm.source import EvmSource
from support.rigs.rig import HttpRig
from support.rigs.servers import HOLDERS, UNIT


class ChainRig(HttpRig):
    """A source that reads a chain."""

    FAULTS = (
        *HttpRig.FAULTS, "reads the wrong chain", "reads a node that is syncing", "reads a stale block",
        "reads a block from the future", "reads blocks that are replaced", "finds no contract",
        "tells null", "tells text",
    )  # fmt: skip
    _mistaken_once = False

    @property
    def contract(self) -> str:
        """The contract that holds the amount."""
        raise NotImplementedError

    async def target(self) -> str:
        self.servers.chain.mine()  # a balance is as old as its block, and this node mines none by itself
        return self.servers.chain.url

    @property
    def endpoint(self) -> dict[str, Any]:
        return {"rpc_url": self.front.url, "chain_id": 31337}

    async def heal(self) -> None:
        await super().heal()
        self._mistaken_once = False
        if code := self.__dict__.pop("_code", None):
            self.servers.chain.rpc("anvil_setCode", self.contract, code)

    def _says(self, method: str, result: object) -> None:
        self.front.alters_rpc(lambda asked, answer: {**answer, "result": result} if asked == method else answer)

    def tells_zero(self) -> None:
        """As a node does that has the block but not its state."""
        self._mistakes(self.amount * UNIT, 0)

    def tells_zero_once(self) -> None:
        self._mistakes(self.amount * UNIT, 0, once=True)

    def _mistakes(self, number: int, other: int, *, once: bool = False) -> None:
        """Replace a number in the answers to calls, in all readings or in the next one."""
        right, wrong = (format(each, "064x") for each in (number, other))

        def mistaken(method: str, answer: dict[str, Any]) -> dict[str, Any]:
            result = answer.get("result")
            if method != "eth_call" or not isinstance(result, str):
                return answer
            return {**answer, "result": result.replace(right, wrong)}

        self.front.alters_rpc(mistaken)
        self._mistaken_once = once

    def was_read(self) -> None:
        if self._mistaken_once:
            self._mistaken_once = False
            self.front.alters_rpc(lambda _, answer: answer)

    def tells_null(self) -> None:
        self._says("eth_call", None)

    def tells_text(self) -> None:
        self._says("eth_call", "n/a")

    def reads_the_wrong_chain(self) -> None:
        self._says("eth_chainId", "0x1")

    def reads_a_node_that_is_syncing(self) -> None:
        self._says("eth_syncing", {"startingBlock": "0x0", "currentBlock": "0x1", "highestBlock": "0xffffff"})

    def reads_a_stale_block(self) -> None:
        self._dates(timedelta(hours=-1))

    def reads_a_block_from_the_future(self) -> None:
        self._dates(timedelta(hours=1))

    def _dates(self, off: timedelta) -> None:
        at = hex(int((datetime.now(UTC) + off).timestamp()))

        def dated(method: str, answer: dict[str, Any]) -> dict[str, Any]:
            if method != "eth_getBlockByNumber" or not isinstance(answer.get("result"), dict):
                return answer
            return {**answer, "result": {**answer["result"], "timestamp": at}}

        self.front.alters_rpc(dated)

    def reads_blocks_that_are_replaced(self) -> None:
        """The node names a block, but no longer has it when it is read."""

        def replaced(method: str, answer: dict[str, Any]) -> dict[str, Any]:
            if method in {"eth_call", "eth_getBalance", "eth_getCode"}:
                error = {"code": -32000, "message": "header not found"}
                return {"jsonrpc": "2.0", "id": answer["id"], "error": error}
            return answer

        self.front.alters_rpc(replaced)

    def finds_no_contract(self) -> None:
        self._code = self.servers.chain.rpc("eth_getCode", self.contract, "latest")
        self.servers.chain.rpc("anvil_setCode", self.contract, "0x")


class Evm(ChainRig):
    @property
    def contract(self) -> str:
        return self.servers.token

    def make(self) -> Any:
        wallet = {"main": HOLDERS[self.begin]}
        return self.build(EvmSource, **self.endpoint, accounts=wallet, assets={"USDC": {"token": self.contract}})


class Erc4626(ChainRig):
    @property
    def contract(self) -> str:
        return self.servers.vault.address

    @property
    def _positions(self) -> dict[str, Any]:
        return {"main": {"vault": self.contract, "holder": HOLDERS[self.begin], "asset": "USDC"}}

    def make(self) -> Any:
        return self.build(Erc4626BalanceSource, **self.endpoint, accounts=self._positions)

    def make_equity(self) -> Any:
        return self.build(Erc4626EquitySource, **self.endpoint, positions=self._positions)


class AaveV3(ChainRig):
    @property
    def contract(self) -> str:
        return self.servers.market[0].pool

    @property
    def _market(self) -> dict[str, Any]:
        market, usdc = self.servers.market
        return {
            **self.endpoint,
            "pool": market.pool,
            "accounts": {"main": HOLDERS[self.begin]},
            "reserves": {"USDC": usdc},
        }

    def make(self) -> Any:
        return self.build(AaveV3BalanceSource, **self._market)

    def make_equity(self) -> Any:
        return self.build(AaveV3EquitySource, **self._market)
