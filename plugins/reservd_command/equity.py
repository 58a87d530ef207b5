"""Total equity from a program's standard output."""

from datetime import UTC, datetime
from typing import Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import Equity, EquitySource, FailureReason, SourceError
from reservd_command.answers import ToldEquity, fetch_answer
from reservd_command.options import CommandConfig

_MODE, _CURRENCY = "{mode}", "{currency}"
_MAX_PROGRAMS = 8
"""Programs of one source that run at the same time: all modes are read at once."""


class CommandEquityConfig(CommandConfig):
    """Options of the `command` equity source. `{mode}` and `{currency}` in an argument are replaced."""

    by_share_class: bool = False
    """Whether all modes of a share class have the same equity: the program then runs once for them, without a mode."""

    @model_validator(mode="after")
    def _placeholders_are_filled(self) -> Self:
        if _MODE in self.command[0] or _CURRENCY in self.command[0]:
            raise PydanticCustomError("program", "command must not begin with a placeholder in the program")
        if self.by_share_class and any(_MODE in argument for argument in self.command):
            raise PydanticCustomError("mode", "command must not hold {mode} together with by_share_class")
        return self


class CommandEquitySource(EquitySource[CommandEquityConfig]):
    """Reads the equity of a mode, or of a share class, from one run of the program."""

    PLUGIN_NAME = "command"
    Config = CommandEquityConfig

    @property
    def by_share_class(self) -> bool:
        """Whether the program gets no mode."""
        return self.config.by_share_class

    @property
    def calls_at_once(self) -> int:
        """How many programs run at the same time."""
        return _MAX_PROGRAMS

    async def fetch_equity(self, mode: str, currency: str) -> Equity:
        """Return the equity that the program reports.

        Raises:
            SourceError: If no answer came, or it is invalid or in another currency.
        """
        told = {"RESERVD_CURRENCY": currency}
        if not self.by_share_class:
            told["RESERVD_MODE"] = mode
        command = [part.replace(_MODE, mode).replace(_CURRENCY, currency) for part in self.config.command]
        # Taken before the program runs: its numbers may be as old as this, and must not look newer.
        asked_at = datetime.now(UTC)
        answer = ToldEquity.read(await fetch_answer(self.config, command, told))
        if answer.currency != currency:
            raise SourceError(FailureReason.INVALID_DATA, f"currency: must be {currency}")
        return Equity(
            answer.equity,
            currency,
            answer.observed_at or asked_at,
            complete=answer.complete,
            net_of_withdrawals=answer.net_of_withdrawals,
            components=answer.components,
        )
