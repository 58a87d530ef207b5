"""The latest status of each mode, in a file of its own."""

import asyncio
from pathlib import Path

from reservd.plugin import CloudEvent, ConfigPath, DeliveryError, EventSink, FailureReason, PluginConfig


class BoardConfig(PluginConfig):
    """Options of the `example` sink."""

    board: ConfigPath
    """The folder; it is made when it is missing."""


class BoardSink(EventSink[BoardConfig]):
    """Replaces the content of the file of the event's mode by one line."""

    PLUGIN_NAME = "example"
    Config = BoardConfig

    async def deliver(self, event: CloudEvent) -> None:
        """Show the event; the same one again changes nothing.

        Raises:
            DeliveryError: If the file cannot be written; a retry may succeed, for instance after a full disk.
        """
        status = event.data.status or "unknown"
        line = f"{event.data.timestamp:%Y-%m-%d %H:%M:%S} {status}: {event.data.reason}\n"
        try:
            await asyncio.to_thread(_write, self.config.board / f"{event.subject}.txt", line)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise DeliveryError(FailureReason.UNREACHABLE, why, retryable=True) from None


def _write(file: Path, line: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Replaced in one step, so that nobody reads half a line.
    draft = file.with_suffix(".draft")
    draft.write_text(line, encoding="utf-8")
    draft.replace(file)
