"""What a node's answers mean. Nothing is taken for a number that is not wholly one: no answer is not zero."""

import re

from reservd.plugin import FailureReason, SourceError

WORD_BYTES = 32
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")

Outcome = int | SourceError
"""A number that the chain holds, or why it could not be read."""


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


def invalid(detail: str) -> SourceError:
    """Return the failure of an answer that cannot be believed."""
    return SourceError(FailureReason.INVALID_DATA, detail)
