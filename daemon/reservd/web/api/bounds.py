"""Bounds on what callers may send."""

import re
from decimal import Decimal
from typing import Annotated

from fastapi import Header, Path, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from reservd.config.mode import NAME_PATTERN
from reservd.reserve.amounts import check_amount

_MAX_PAGE = 500
_PAGE = 100
_AMOUNT_PATTERN = r"^[0-9]{1,60}(\.[0-9]{1,60})?$"
_MAX_POSITION = 2**63 - 1

ModeName = Annotated[str, Path(pattern=NAME_PATTERN, max_length=100, description="The strategy mode.")]
ModeFilter = Annotated[str | None, Query(pattern=NAME_PATTERN, max_length=100, description="Only of this mode.")]
Identifier = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
PageSize = Annotated[int, Query(ge=1, le=_MAX_PAGE, description="The maximum number of items.")]
PositionCursor = Annotated[
    int | None, Query(ge=1, le=_MAX_POSITION, description="The `next_cursor` of the previous page.")
]
NameCursor = Annotated[
    str | None, Query(pattern=NAME_PATTERN, max_length=100, description="The `next_cursor` of the previous page.")
]
PlaceCursor = Annotated[
    str | None,
    Query(pattern=r"^[0-9]{1,17}\.[^\x00-\x1f\x7f]{1,64}$", description="The `next_cursor` of the previous page."),
]
DEFAULT_PAGE: int = _PAGE


def _plain_text(value: object) -> object:
    # A JSON number has lost digits once it is a float. `Decimal` also accepts `1_0` and the digits of any script.
    if not isinstance(value, str) or re.fullmatch(_AMOUNT_PATTERN, value) is None:
        raise PydanticCustomError("amount", "must be a decimal string such as '1250.50'")
    return value


def _positive(value: Decimal) -> Decimal:
    if check_amount(value) <= 0:
        raise ValueError("must be above 0")
    return value


PositiveAmount = Annotated[
    Decimal,
    BeforeValidator(_plain_text),
    Field(description="Whole units of the share-class currency, as a decimal string."),
    AfterValidator(_positive),
    WithJsonSchema({"type": "string", "pattern": _AMOUNT_PATTERN, "examples": ["1250.50"]}),
]

IdempotencyKey = Annotated[
    str,
    Header(
        pattern=r"^[\x21-\x7e]{1,200}$",
        alias="Idempotency-Key",
        description="Identifies the request: once it is accepted, every repetition with the same key gets the same "
        "answer. A refused request is decided again.",
    ),
]


class RequestBody(BaseModel):
    """The base of what callers send in a body: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
