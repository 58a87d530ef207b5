"""Addresses in options."""

from typing import Annotated

from eth_utils.address import is_checksum_address, is_hex_address
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError


def _check_address(text: str) -> str:
    digits = text.removeprefix("0x")
    if not (text.startswith("0x") and is_hex_address(text)):
        raise PydanticCustomError("address", "must be 0x and 40 hexadecimal digits, got {got}", {"got": text[:80]})
    if not int(digits, 16):
        raise PydanticCustomError("address", "must not be the zero address")
    if digits not in {digits.lower(), digits.upper()} and not is_checksum_address(text):
        raise PydanticCustomError(
            "address", "must have its EIP-55 checksum right (a digit or a capital is wrong), got {got}", {"got": text}
        )
    return text.lower()


Address = Annotated[str, AfterValidator(_check_address)]
"""A 20-byte address as lower-case text; a mixed-case one must have the right EIP-55 checksum."""
