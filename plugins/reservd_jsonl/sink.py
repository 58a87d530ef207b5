"""Events appended to a file of JSON lines."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Self

from pydantic import Field

from reservd.plugin import (
    CloudEvent,
    ConfigPath,
    DeliveryError,
    EventSink,
    FailureReason,
    PluginConfig,
    ReplenishmentMessage,
)
from reservd_jsonl.file import LineFile


class JsonLinesConfig(PluginConfig):
    """Options of the `jsonl` sink."""

    path: ConfigPath
    """The file; a relative path starts at the folder of the configuration file."""
    max_bytes: Annotated[int, Field(ge=0)] = 100 * 1024 * 1024
    """The length at which the file becomes `<path>.1` and a new one begins; 0 for no limit."""
    keep: Annotated[int, Field(ge=1, le=1000)] = 5
    """How many old files are kept; the oldest is removed."""
    sync: bool = True
    """Whether an event counts as delivered only once it is on the disk, where it survives a power cut."""


class JsonLinesSink(EventSink[JsonLinesConfig]):
    """Appends one line per event."""

    PLUGIN_NAME = "jsonl"
    Config = JsonLinesConfig

    def __init__(self, name: str, config: JsonLinesConfig) -> None:
        super().__init__(name, config)
        self._file = LineFile(config.path, config.max_bytes, config.keep, config.sync)
        self._writer: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Self:
        """Prepare a thread; it starts with the first event."""
        # Its own thread: a disk that hangs must block this sink alone, and asyncio's shared
        # threads also look up the host names of all others.
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"reservd-{self.name}")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Accept no more lines; one that is being written is finished."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.shutdown(wait=False, cancel_futures=True)

    async def deliver(self, event: CloudEvent) -> None:
        """Append the event; return once the whole line is on the disk, or without `sync` in the system's memory.

        Raises:
            DeliveryError: If the file could not be written or rotated; retryable, because disks get
                space again and permissions are corrected.
        """
        await self._append(event.to_json())

    async def deliver_replenishment(self, event: ReplenishmentMessage) -> None:
        """Append a change of a request for a refill in the same way; raises as `deliver` does."""
        await self._append(event.to_json())

    async def _append(self, text: bytes) -> None:
        if self._writer is None:
            raise DeliveryError(FailureReason.INTERNAL, "the sink is not open", retryable=True)
        line = text + b"\n"
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._file.append, line)
        except OSError as error:
            what = error.strerror or type(error).__name__
            raise DeliveryError(FailureReason.REJECTED, f"{self.config.path}: {what.lower()}") from error
