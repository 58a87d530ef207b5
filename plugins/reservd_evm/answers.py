"""What a node's answers mean. Nothing is taken for a number that is not wholly one: no answer is not zero."""

import re
from datetime import UTC, datetime
from typing import NamedTuple

from reservd.plugin import FailureReason, SourceError

WORD_BYTES = 32
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")

Outcome = int | SourceError
"""A number that the chain holds, or why it could not be read."""


class Block(NamedTuple):
    """One block of the chain: its number, and its time in Unix seconds."""

    number: int
    timestamp: int

    @property
    def tag(self) -> str:
        """Return what names the block in a JSON-RPC call."""
        return hex(self.number)

    @property
    def time(self) -> datetime:
        """Return the block's time, aware UTC."""
        return datetime.fromtimestamp(self.timestamp, UTC)


def parse_quantity(answer: object) -> Outcome:
    """Return the number of a JSON-RPC quantity such as `0x1b4`."""
    if isinstance(answer, SourceError):
        return answer
    if not isinstance(answer, str) or _QUANTITY.fullmatch(answer) is None:
        return invalid("the node's answer is not a number")
    return int(answer, 16)


def parse_data(answer: object) -> bytes | SourceError:
    """Return the bytes that a contract returned to an `eth_call`."""
    if isinstance(answer, SourceError):
        return answer
    if isinstance(answer, str) and answer.startswith("0x"):
        try:
            return bytes.fromhex(answer[2:])
        except ValueError:
            pass
    return invalid("the node's answer is not hexadecimal data")


def parse_word(data: bytes | SourceError) -> Outcome:
    """Return the uint256 that a contract returned."""
    if isinstance(data, SourceError):
        return data
    if len(data) != WORD_BYTES:
        hint = "" if data else ": is it a token's address?"
        return invalid(f"the contract answered {len(data)} bytes, not {WORD_BYTES}{hint}")
    return int.from_bytes(data, "big")


def has_code(answer: object) -> bool:
    """Whether the answer to `eth_getCode` says that a contract is there."""
    code = parse_data(answer)
    return isinstance(code, bytes) and code != b""


def parse_block(answer: object) -> Block:
    """Return the block that the answer to `eth_getBlockByNumber` describes.

    Raises:
        SourceError: If it describes none.
    """
    if isinstance(answer, SourceError):
        raise answer
    header = answer if isinstance(answer, dict) else {}
    number, timestamp = parse_quantity(header.get("number")), parse_quantity(header.get("timestamp"))
    if isinstance(number, SourceError) or isinstance(timestamp, SourceError):
        raise invalid("the node's latest block has no number or time")
    block = Block(number, timestamp)
    try:
        _ = block.time
    except (ValueError, OverflowError, OSError):
        raise invalid("the node's latest block has an impossible time") from None
    return block


def invalid(detail: str) -> SourceError:
    """Return the failure of an answer that cannot be believed."""
    return SourceError(FailureReason.INVALID_DATA, detail)
