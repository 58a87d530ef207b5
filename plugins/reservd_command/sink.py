"""Events on a program's standard input."""

import os

from reservd.plugin import CloudEvent, DeliveryError, EventSink, FailureReason
from reservd_command.options import CommandConfig
from reservd_command.program import ProgramError, run_program

LASTING = {os.EX_USAGE, os.EX_DATAERR, os.EX_CONFIG}
"""Exit codes of sysexits.h by which a program refuses an event for good."""


class CommandSinkConfig(CommandConfig):
    """Options of the `command` sink."""


class CommandSink(EventSink[CommandSinkConfig]):
    """Runs the program once per event."""

    PLUGIN_NAME = "command"
    Config = CommandSinkConfig

    async def deliver(self, event: CloudEvent) -> None:
        """Run the program; exit code 0 means that it accepted the event.

        Raises:
            DeliveryError: If it did not; not retryable after the exit codes 64, 65 and 78.
        """
        told = {
            "RESERVD_EVENT_ID": event.id,
            "RESERVD_EVENT_TYPE": str(event.data.event_type),
            "RESERVD_MODE": event.subject,
        }
        try:
            finished = await run_program(self.config, self.config.command, told, stdin=event.to_json())
        except ProgramError as error:
            raise DeliveryError(error.reason, error.detail) from None
        if finished.code:
            retryable = finished.code not in LASTING
            raise DeliveryError(FailureReason.REJECTED, finished.outcome, retryable=retryable)
