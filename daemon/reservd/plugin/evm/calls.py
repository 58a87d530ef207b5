"""Calls at a block: contract functions and ether balances. A missing answer is never taken for zero."""

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import function_signature_to_4byte_selector

from reservd.errors import FailureReason, SourceError
from reservd.plugin.evm.answers import invalid, parse_data, parse_quantity
from reservd.plugin.evm.rpc import RpcCall, RpcError
from reservd.reserve.amounts import MAX_MAGNITUDE, check_amount

_WORD_BYTES = 32
_WORDS_SHOWN = 3

MAX_DECIMALS = MAX_MAGNITUDE
"""The host believes no amount with more decimals."""

Outcome = tuple[Any, ...] | SourceError
"""What a call returned, or why that is not known."""


class ContractError(SourceError):
    """What a contract itself said cannot be used, whichever node is asked.

    Attributes:
        reverted: Whether it refused the call, or has no such function.
    """

    def __init__(self, reason: FailureReason, detail: str, *, reverted: bool = False) -> None:
        super().__init__(reason, detail)
        self.reverted = reverted


class Query(Protocol):
    """What can be read at any block. Equal ones are asked for once."""

    @property
    def constant(self) -> bool:
        """Whether it never changes, so that an endpoint is asked only until it told."""

    def call(self, block: object) -> RpcCall:
        """Return the JSON-RPC call that reads it at a block: a tag, a number, or what EIP-1898 allows."""

    def parse(self, answer: object) -> Outcome:
        """Return what the answer to `call` says."""

    def inner_call(self, multicall: str) -> tuple[str, bytes] | None:
        """Return the contract and the data that read it from inside Multicall3; None when that is not the same."""

    def returned(self, data: bytes) -> Outcome:
        """Return what the bytes say that the inner call returned."""


class Function(NamedTuple):
    """A function of a contract's ABI. A tuple, as calls are: thousands of them are looked up in a reading.

    Attributes:
        name: Its name.
        takes: The types of its parameters.
        returns: The types of what it returns.
        constant: Whether what it returns never changes.
        most: The largest number that is believed, where it returns one only; None for no such limit.
    """

    name: str
    takes: tuple[str, ...] = ()
    returns: tuple[str, ...] = ("uint256",)
    constant: bool = False
    most: int | None = None

    def on(self, contract: str, *arguments: object, sender: str | None = None) -> "Call":
        """Return the call of it on a contract.

        Args:
            contract: The contract's address.
            arguments: One for each parameter.
            sender: Who seems to call, where that matters. Such a call goes around Multicall3.
        """
        return Call(contract, self, selector(self) + encode(self.takes, arguments), sender)

    def returned(self, data: bytes) -> Outcome:
        """Return what the function returned by these bytes, or that they are not exactly what it must return."""
        if self.returns == ("uint256",) and len(data) == _WORD_BYTES:
            values: tuple[Any, ...] = (int.from_bytes(data, "big"),)
        else:
            try:
                values = tuple(decode(self.returns, data))
                if encode(self.returns, values) != data:
                    return _unusable(self, data)
            except (DecodingError, OverflowError, ValueError):
                return _unusable(self, data)
        if self.most is not None and values[0] > self.most:
            return ContractError(FailureReason.INVALID_DATA, f"must be at most {self.most}, got {values[0]}")
        return values


def _unusable(function: Function, data: bytes) -> ContractError:
    if not data:
        return ContractError(FailureReason.INVALID_DATA, "nothing came back: is it the contract's address?")
    must = ",".join(function.returns)
    return ContractError(FailureReason.INVALID_DATA, f"must return ({must}), got {len(data)} other bytes")


@lru_cache(maxsize=1024)
def selector(function: Function) -> bytes:
    """Return the four bytes that name a function in a call."""
    return function_signature_to_4byte_selector(f"{function.name}({','.join(function.takes)})")


class Call(NamedTuple):
    """A function with its arguments; made by `Function.on`."""

    contract: str
    function: Function
    data: bytes
    sender: str | None = None

    def __str__(self) -> str:
        words = [self.data[start : start + _WORD_BYTES] for start in range(4, len(self.data), _WORD_BYTES)]
        shown = ", ".join(f"0x{word.hex().lstrip('0') or '0'}" for word in words[:_WORDS_SHOWN])
        return f"{self.function.name}({shown}) of {self.contract}"

    @property
    def constant(self) -> bool:
        """Whether what the function returns never changes."""
        return self.function.constant

    def call(self, block: object) -> RpcCall:
        """Return the JSON-RPC call that makes it at a block."""
        transaction = {"to": self.contract, "data": "0x" + self.data.hex()}
        if self.sender is not None:
            transaction["from"] = self.sender
        return RpcCall("eth_call", (transaction, block))

    def parse(self, answer: object) -> Outcome:
        """Return what the answer to `call` says."""
        if isinstance(answer, RpcError) and answer.reverted:
            return ContractError(answer.reason, "the contract reverted the call", reverted=True)
        data = parse_data(answer)
        return data if isinstance(data, SourceError) else self.returned(data)

    def inner_call(self, multicall: str) -> tuple[str, bytes] | None:  # noqa: ARG002  # it is the same through any
        """Return the contract and the data, unless it matters who calls."""
        return None if self.sender is not None else (self.contract, self.data)

    def returned(self, data: bytes) -> Outcome:
        """Return what the bytes say that the inner call returned."""
        return self.function.returned(data)


class Ether(NamedTuple):
    """What an address holds of the chain's own coin, in its smallest unit: one number."""

    address: str

    def __str__(self) -> str:
        return f"ether of {self.address}"

    @property
    def constant(self) -> bool:
        """Money moves."""
        return False

    def call(self, block: object) -> RpcCall:
        """Return the JSON-RPC call that reads it at a block."""
        return RpcCall("eth_getBalance", (self.address, block))

    def parse(self, answer: object) -> Outcome:
        """Return what the answer to `call` says."""
        wei = parse_quantity(answer)
        return wei if isinstance(wei, SourceError) else (wei,)

    def inner_call(self, multicall: str) -> tuple[str, bytes]:
        """Return Multicall3 itself, which tells it too."""
        call = _ETH_BALANCE.on(multicall, self.address)
        return call.contract, call.data

    def returned(self, data: bytes) -> Outcome:
        """Return what the bytes say that the inner call returned."""
        return _ETH_BALANCE.returned(data)


BALANCE_OF = Function("balanceOf", ("address",))
DECIMALS = Function("decimals", returns=("uint8",), constant=True, most=MAX_DECIMALS)
"""Of a token. Those of a price feed change with the contract behind it."""
_ETH_BALANCE = Function("getEthBalance", ("address",))


def whole_units(units: int, decimals: int) -> Decimal:
    """Return an amount in whole units, exactly.

    Raises:
        SourceError: If the host would not believe it: 1e60 or more, or more than 60 decimals.
    """
    try:
        return check_amount(Decimal(f"{units}E-{decimals}"))
    except ValueError as error:
        raise invalid(str(error)) from None


Outcomes = Mapping[Query, Outcome]
"""What was asked, and what came of it."""
