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
"""The host accepts no amount with more decimals."""

Outcome = tuple[Any, ...] | SourceError
"""The values that a call returned, or why they are unknown."""


class ContractError(SourceError):
    """The contract's own answer cannot be used, whichever node is asked.

    Attributes:
        reverted: Whether the contract reverted the call, or has no such function.
    """

    def __init__(self, reason: FailureReason, detail: str, *, reverted: bool = False) -> None:
        super().__init__(reason, detail)
        self.reverted = reverted


class Query(Protocol):
    """A value that can be read at any block. Equal queries are sent once."""

    @property
    def constant(self) -> bool:
        """Whether the value never changes, so that an endpoint is asked only until it has answered."""

    def call(self, block: object) -> RpcCall:
        """Return the JSON-RPC call that reads the value at a block: a tag, a number, or an EIP-1898 object."""

    def parse(self, answer: object) -> Outcome:
        """Return the value in the answer to `call`."""

    def inner_call(self, multicall: str) -> tuple[str, bytes] | None:
        """Return the contract and data to read it through Multicall3; None when the result would differ."""

    def returned(self, data: bytes) -> Outcome:
        """Decode the bytes that the inner call returned."""


class Function(NamedTuple):
    """A function of a contract's ABI. A tuple, like calls, because a reading looks up thousands of them.

    Attributes:
        name: Its name.
        takes: The types of its parameters.
        returns: The types of its return values.
        constant: Whether its return values never change.
        most: The largest number to trust, if it returns a single number; None for no limit.
    """

    name: str
    takes: tuple[str, ...] = ()
    returns: tuple[str, ...] = ("uint256",)
    constant: bool = False
    most: int | None = None

    def on(self, contract: str, *arguments: object, sender: str | None = None) -> "Call":
        """Return a call of this function on a contract.

        Args:
            contract: The contract's address.
            arguments: One for each parameter.
            sender: The caller's address, where it matters. Such a call is not made through Multicall3.
        """
        return Call(contract, self, selector(self) + encode(self.takes, arguments), sender)

    def returned(self, data: bytes) -> Outcome:
        """Decode the returned bytes. The result is an error unless they are exactly what the function must return."""
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
    """Return the four bytes that identify the function in a call."""
    return function_signature_to_4byte_selector(f"{function.name}({','.join(function.takes)})")


class Call(NamedTuple):
    """A function with its arguments, made by `Function.on`."""

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
        """Whether the function's return values never change."""
        return self.function.constant

    def call(self, block: object) -> RpcCall:
        """Return the JSON-RPC call at a block."""
        transaction = {"to": self.contract, "data": "0x" + self.data.hex()}
        if self.sender is not None:
            transaction["from"] = self.sender
        return RpcCall("eth_call", (transaction, block))

    def parse(self, answer: object) -> Outcome:
        """Return the value in the answer to `call`."""
        if isinstance(answer, RpcError) and answer.reverted:
            return ContractError(answer.reason, "the contract reverted the call", reverted=True)
        data = parse_data(answer)
        return data if isinstance(data, SourceError) else self.returned(data)

    def inner_call(self, multicall: str) -> tuple[str, bytes] | None:  # noqa: ARG002  # the same for all
        """Return the contract and the data; None if the sender matters."""
        return None if self.sender is not None else (self.contract, self.data)

    def returned(self, data: bytes) -> Outcome:
        """Decode the bytes that the inner call returned."""
        return self.function.returned(data)


class Ether(NamedTuple):
    """An address's balance of the chain's native coin, in its smallest unit: one number."""

    address: str

    def __str__(self) -> str:
        return f"ether of {self.address}"

    @property
    def constant(self) -> bool:
        """Always false: balances change."""
        return False

    def call(self, block: object) -> RpcCall:
        """Return the JSON-RPC call that reads the balance at a block."""
        return RpcCall("eth_getBalance", (self.address, block))

    def parse(self, answer: object) -> Outcome:
        """Return the balance in the answer to `call`."""
        wei = parse_quantity(answer)
        return wei if isinstance(wei, SourceError) else (wei,)

    def inner_call(self, multicall: str) -> tuple[str, bytes]:
        """Return the contract and data of Multicall3's own function for it."""
        call = _ETH_BALANCE.on(multicall, self.address)
        return call.contract, call.data

    def returned(self, data: bytes) -> Outcome:
        """Decode the bytes that the inner call returned."""
        return _ETH_BALANCE.returned(data)


BALANCE_OF = Function("balanceOf", ("address",))
DECIMALS = Function("decimals", returns=("uint8",), constant=True, most=MAX_DECIMALS)
"""Of a token. The decimals of a price feed change with the contract behind it."""
_ETH_BALANCE = Function("getEthBalance", ("address",))


def whole_units(units: int, decimals: int) -> Decimal:
    """Return an amount in whole units, exactly.

    Raises:
        SourceError: If the host would not accept it: 1e60 or more, or more than 60 decimals.
    """
    try:
        return check_amount(Decimal(f"{units}E-{decimals}"))
    except ValueError as error:
        raise invalid(str(error)) from None


Outcomes = Mapping[Query, Outcome]
"""Queries and their outcomes."""
