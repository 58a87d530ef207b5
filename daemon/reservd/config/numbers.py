"""Numbers in a configuration, taken exactly from their text."""

from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from reservd.reserve.amounts import parse_amount


def _number(value: object) -> Decimal:
    try:
        return _from_text(str(value)) if isinstance(value, str) else parse_amount(value, "")
    except (TypeError, ValueError) as error:
        # The value is added by callers that know whether it may be shown.
        rule = str(error).partition(", got ")[0].strip()
        raise PydanticCustomError("number", "{rule}", {"rule": rule}) from None


@lru_cache(maxsize=1024)
def _from_text(text: str) -> Decimal:
    # Thousands of modes use the same few numbers. As one object each, they stay in the cache, where checks find them
    # fast.
    return parse_amount(text, "")


class Exact:
    """Makes a field an exact number from its text, within limits. Its JSON Schema is a number."""

    def __init__(self, *, ge: int | None = None, gt: int | None = None, le: int) -> None:
        self._limits: dict[str, Any] = {"ge": ge, "gt": gt, "le": le}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema for validation."""
        return core_schema.no_info_before_validator_function(_number, core_schema.decimal_schema(**self._limits))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON Schema for editors."""
        return handler(core_schema.float_schema(**self._limits))


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "must be a whole number")
    return value


class Whole:
    """Makes a field a whole number within limits; YAML's `yes` is not one."""

    def __init__(self, *, ge: int, le: int) -> None:
        self._limits: dict[str, Any] = {"ge": ge, "le": le}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema for validation."""
        return core_schema.no_info_before_validator_function(_refuse_bool, core_schema.int_schema(**self._limits))


Duration = Annotated[Decimal, Exact(gt=0, le=31 * 86400)]
"""Seconds, up to a month."""
