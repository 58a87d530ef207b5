"""Calls of contracts' functions, and what they returned. No answer is ever taken for zero."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import function_signature_to_4byte_selector as selector

from reservd.errors import FailureReason, SourceError
from reservd.plugin.evm.rpc import RevertedError, RpcCall
from reservd.reserve.amounts import check_amount

Outcome = tuple[Any, ...] | SourceError
"""What a call returned, or why that is not known."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a contract's ABI.

    Attributes:
        name: Its name.
        takes: The types of its parameters.
        returns: The types of what it returns.
    """

    name: str
    takes: tuple[str, ...] = ()
    returns: tuple[str, ...] = ("uint256",)

    def on(self, contract: str, *arguments: object, sender: str | None = None) -> "Call":
        """Return the call of it on a contract. Equal calls of one reading are made once.

        Args:
            contract: The contract's address.
            arguments: One for each parameter.
            sender: Who seems to call, where that matters. Such a call goes around Multicall3.
        """
        data = selector(f"{self.name}({','.join(self.takes)})") + encode(self.takes, arguments)
        return Call(contract, self, data, sender)


class Call(NamedTuple):
    """A function with its arguments; made by `Function.on`."""

    contract: str
    function: Function
    data: bytes
    sender: str | None

    def at(self, block: "Block") -> RpcCall:
        """Return the JSON-RPC call that makes it at a block."""
        transaction = {"to": self.contract, "data": "0x" + self.data.hex()}
        if self.sender is not None:
            transaction["from"] = self.sender
        return RpcCall("eth_call", (transaction, hex(block.number)))

    def returned(self, data: bytes) -> Outcome:
        """Return what the function returned by these bytes, or that they are not exactly what it must return."""
        if not data:
            return invalid("nothing came back: is it the contract's address?")
        try:
            values = decode(self.function.returns, data)
            if encode(self.function.returns, values) == data:
                return tuple(values)
        except (DecodingError, OverflowError, ValueError):
            pass
        return invalid(f"must return ({','.join(self.function.returns)}), got {len(data)} other bytes")

    def answered(self, answer: object) -> Outcome:
        """Return what a node's answer to the call says."""
        if isinstance(answer, SourceError):
            return answer
        try:
            return self.returned(bytes.fromhex(str(answer).removeprefix("0x")))
        except ValueError:
            return invalid("the node's answer is not hexadecimal data")


BALANCE_OF = Function("balanceOf", ("address",))
DECIMALS = Function("decimals", returns=("uint8",))


class Block(NamedTuple):
    """A block: its number and time."""

    number: int
    time: datetime


class Results:
    """What calls returned, all at one block.

    Attributes:
        block: The block.
        outcomes: What each call returned, or why that is not known.
    """

    def __init__(self, block: Block, outcomes: Mapping[Call, Outcome]) -> None:
        self.block = block
        self.outcomes = outcomes

    def values(self, call: Call) -> tuple[Any, ...]:
        """Return what a call returned: addresses in lower case, numbers as `int`.

        Raises:
            SourceError: If it was reverted, not answered, or returned something else.
        """
        outcome = self.outcomes[call]
        if isinstance(outcome, SourceError):
            raise SourceError(outcome.reason, f"{call.function.name}(): {outcome.detail}")
        return outcome

    def number(self, call: Call) -> int:
        """Return the only number that a call returned; raises as `values` does."""
        return int(self.values(call)[0])

    def address(self, call: Call) -> str:
        """Return the only address that a call returned; raises as `values` does."""
        return str(self.values(call)[0])

    def reverted(self, call: Call) -> bool:
        """Whether the contract itself refused, or has no such function: nothing less tells that."""
        return isinstance(self.outcomes[call], RevertedError)


def whole_units(units: int, decimals: int) -> Decimal:
    """Return an amount in whole units, exactly.

    Raises:
        SourceError: If the host would not believe it: 1e60 or more, or more than 60 decimals.
    """
    try:
        return check_amount(Decimal(f"{units}E-{decimals}"))
    except ValueError as error:
        raise invalid(str(error)) from None


def invalid(detail: str) -> SourceError:
    """Return the failure of an answer that cannot be believed."""
    return SourceError(FailureReason.INVALID_DATA, detail)
