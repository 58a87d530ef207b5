"""The JSON answers of programs: every number exact, nothing guessed."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, NoReturn, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictStr, ValidationError
from pydantic_core import PydanticCustomError

from reservd.plugin import FailureReason, SourceError, parse_amount
from reservd_command.options import CommandConfig
from reservd_command.program import ProgramError, run_program

_MAX_OUTPUT_BYTES = 1024 * 1024


def _number(value: object) -> Decimal:
    try:
        return parse_amount(value)
    except (TypeError, ValueError):
        raise PydanticCustomError("number", "must be a finite number, or text that is one") from None


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError("moment", "must be ISO 8601 text with a time zone, of the years 1 to 9999")


Number = Annotated[Decimal, BeforeValidator(_number)]
Moment = Annotated[datetime, BeforeValidator(_moment)]


class Answer(BaseModel):
    """Base of a program's answers. A misspelt key is an error: it may have been meant to restrict the answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def read(cls, value: object, place: str = "") -> Self:
        """Return the checked answer.

        Args:
            value: The parsed JSON.
            place: Its place in the whole answer, for the error.

        Raises:
            SourceError: If it is invalid; names the first thing that is wrong, and no value.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join([place, *map(str, first["loc"])]).strip(".")
            detail = f"{where or 'the answer'}: {first['msg']}"
            raise SourceError(FailureReason.INVALID_DATA, detail) from None


class ToldBalances(Answer):
    """Balances and failures; the entries are checked one by one."""

    balances: list[dict[str, Any]]
    failures: list[dict[str, Any]] = Field(default_factory=list)


class ToldPlace(Answer):
    """The account and asset of an entry, whatever else it contains."""

    model_config = ConfigDict(extra="ignore")

    account: StrictStr
    asset: StrictStr


class ToldBalance(ToldPlace):
    """One balance, in whole units of the asset."""

    model_config = ConfigDict(extra="forbid")

    amount: Number
    locked: Number | None = None
    observed_at: Moment | None = None


class ToldFailure(Answer):
    """One asset of an account that the program could not read, or all of them."""

    account: StrictStr
    asset: StrictStr | None = None
    reason: FailureReason = FailureReason.REJECTED
    detail: StrictStr = ""


class ToldEquity(Answer):
    """Total equity, in whole units of the currency."""

    equity: Number
    currency: StrictStr
    observed_at: Moment | None = None
    complete: StrictBool = True
    net_of_withdrawals: StrictBool = False
    components: dict[StrictStr, Number] = Field(default_factory=dict)


async def fetch_answer(config: CommandConfig, command: Sequence[str], told: Mapping[str, str]) -> object:
    """Return the JSON that a program writes; numbers are `int` or `Decimal`, never float.

    Args:
        config: Its environment and its deadline.
        command: The program and its arguments.
        told: Environment variables for this call.

    Raises:
        SourceError: If it did not end with exit code 0 in time, or wrote no JSON.
    """
    try:
        finished = await run_program(config, command, told, max_output_bytes=_MAX_OUTPUT_BYTES)
    except ProgramError as error:
        raise SourceError(error.reason, error.detail) from None
    if finished.code:
        raise SourceError(FailureReason.REJECTED, finished.outcome)
    try:
        return json.loads(finished.output, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, ArithmeticError, RecursionError):
        raise SourceError(FailureReason.INVALID_DATA, "the program did not write JSON") from None


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(text)
