"""A position in an ERC-4626 vault: quotes and makes withdrawals."""

import asyncio
import json
from decimal import Decimal
from types import TracebackType
from typing import Any, NamedTuple, Self

from reservd.plugin import PluginConfig
from reservd.plugin.evm import DECIMALS, Address, Call, EvmClient, EvmConfig, Function, Results, whole_units
from reservd.plugin.http import HttpClient

ASSET = Function("asset", returns=("address",))
MAX_WITHDRAW = Function("maxWithdraw", ("address",))
PREVIEW_WITHDRAW = Function("previewWithdraw", ("uint256",))
CONVERT_TO_ASSETS = Function("convertToAssets", ("uint256",))
WITHDRAW = Function("withdraw", ("uint256", "address", "address"))

_RECEIPT_SECONDS = 120.0
_POLL_SECONDS = 0.5


class TransactionError(Exception):
    """A transaction was refused or reverted: no money moved."""


class NotMinedError(TransactionError):
    """A transaction was not mined in time, but may be later."""


class Position(PluginConfig):
    """The key `position` of the strategy's own file."""

    vault: Address
    """The vault."""
    holder: Address
    """The owner of its shares; the node, or the signer in front of it, has the key."""
    wallet: Address
    """Where withdrawn money is sent: an account that counts as reserve."""


class Quote(NamedTuple):
    """What a withdrawal would bring and cost."""

    amount: Decimal
    """Whole units of the asset: the requested amount, or all that the vault pays out now."""
    units: int
    """The same in the asset's smallest unit."""
    loss: Decimal
    """The part of the shares' worth that the withdrawal loses, 0 to 1."""


class VaultPosition:
    """Reads and unwinds one position; an async context manager.

    Args:
        position: The addresses of the position.
        chain: The node, or a signer in front of it such as Web3signer or Clef: it must offer `eth_sendTransaction`.
    """

    def __init__(self, position: Position, chain: EvmConfig) -> None:
        self._position = position
        self._url = chain.endpoints[0].url  # the others may have no keys
        self._reader = EvmClient("vault_strategy", chain)
        self._http = HttpClient(timeout_seconds=chain.timeout)

    async def __aenter__(self) -> Self:
        await self._reader.__aenter__()
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)
        await self._reader.__aexit__(kind, error, trace)

    async def quote(self, amount: Decimal) -> Quote:
        """Return what a withdrawal of an amount, or of as much as the vault pays out now, would bring.

        Raises:
            SourceError: If the vault could not be read.
        """
        vault = self._position.vault
        asset, payable = ASSET.on(vault), MAX_WITHDRAW.on(vault, self._position.holder)

        def decimals(found: Results) -> Call:
            return DECIMALS.on(found.address(asset))

        def units_of(found: Results) -> int:
            return min(int(amount.scaleb(found.number(decimals(found)))), found.number(payable))

        def shares(found: Results) -> Call:
            return PREVIEW_WITHDRAW.on(vault, units_of(found))

        def worth(found: Results) -> Call:
            return CONVERT_TO_ASSETS.on(vault, found.number(shares(found)))

        # Each step depends on the results of those before it, all at one block.
        read = await self._reader.read(
            [asset, payable],
            lambda found: [decimals(found)],
            lambda found: [shares(found)],
            lambda found: [worth(found)],
        )
        units, places = units_of(read), read.number(decimals(read))
        value = read.number(worth(read))
        lost = max(0, value - units)
        return Quote(whole_units(units, places), units, Decimal(lost) / max(1, value))

    async def withdraw(self, units: int) -> str:
        """Withdraw, wait until the transaction is in a block, and return its hash.

        Raises:
            NotMinedError: If it was not mined in time.
            TransactionError: If it was refused or reverted.
            CallError: If the node does not answer.
        """
        call = WITHDRAW.on(self._position.vault, units, self._position.wallet, self._position.holder)
        transaction = {"from": self._position.holder, "to": call.contract, "data": f"0x{call.data.hex()}"}
        sent: str = await self._rpc("eth_sendTransaction", transaction)
        try:
            async with asyncio.timeout(_RECEIPT_SECONDS):
                while (receipt := await self._rpc("eth_getTransactionReceipt", sent)) is None:  # noqa: ASYNC110  # a node can only be polled
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise NotMinedError(f"{sent} was not mined within {_RECEIPT_SECONDS:g} s") from None
        if receipt["status"] != "0x1":
            raise TransactionError(f"{sent} was reverted")
        return sent

    async def _rpc(self, method: str, *parameters: object) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        answer = (await self._http.post(self._url.get_secret_value(), json.dumps(body).encode())).json()
        if "error" in answer:
            raise TransactionError(f"{method} was refused: code {answer['error'].get('code')}")
        return answer["result"]
