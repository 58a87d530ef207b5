"""Parses a node's answers strictly: an empty or malformed answer is never taken for zero."""

import re

from reservd.errors import FailureReason, SourceError

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")


def parse_quantity(answer: object) -> int | SourceError:
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


def invalid(detail: str) -> SourceError:
    """Return the failure for an answer that cannot be trusted."""
    return SourceError(FailureReason.INVALID_DATA, detail)
