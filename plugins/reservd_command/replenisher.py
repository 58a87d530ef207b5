"""Requests for refills on a program's standard input, the answer on its standard output."""

from reservd.plugin import (
    Acceptance,
    DeliveryError,
    FailureReason,
    Replenisher,
    ReplenishmentRequest,
    read_acceptance,
)
from reservd_command.options import CommandConfig
from reservd_command.program import ProgramError, run_program
from reservd_command.sink import LASTING

_MAX_OUTPUT_BYTES = 64 * 1024


class CommandReplenisherConfig(CommandConfig):
    """Options of the `command` replenisher."""


class CommandReplenisher(Replenisher[CommandReplenisherConfig]):
    """Runs the program once per request, and again under the same id if it did not answer."""

    PLUGIN_NAME = "command"
    Config = CommandReplenisherConfig

    async def request(self, request: ReplenishmentRequest) -> Acceptance:
        """Run the program and return its answer; no output means `pending`.

        Raises:
            DeliveryError: If it failed or wrote something else; not retryable after the exit codes 64, 65 and 78.
        """
        told = {
            "RESERVD_REQUEST_ID": request.id,
            "RESERVD_MODE": request.strategy_mode,
            "RESERVD_URGENCY": str(request.urgency),
        }
        body = request.model_dump_json().encode()
        try:
            finished = await run_program(
                self.config, self.config.command, told, stdin=body, max_output_bytes=_MAX_OUTPUT_BYTES
            )
        except ProgramError as error:
            raise DeliveryError(error.reason, error.detail) from None
        if finished.code:
            raise DeliveryError(FailureReason.REJECTED, finished.outcome, retryable=finished.code not in LASTING)
        return read_acceptance(finished.output)
