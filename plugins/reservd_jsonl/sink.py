"""Events appended to a file of JSON lines."""

import asyncio
import errno
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from reservd.plugin import CloudEvent, ConfigPath, DeliveryError, EventSink, FailureReason, PluginConfig

_FILE_MODE = 0o640
_FOLDER_MODE = 0o750


class JsonLinesConfig(PluginConfig):
    """Options of the `jsonl` sink."""

    path: ConfigPath
    """The file; a relative path starts at the folder of the configuration file."""


class JsonLinesSink(EventSink[JsonLinesConfig]):
    """Appends one line an event. The file is opened anew for each, so it may be moved or removed any time."""

    PLUGIN_NAME = "jsonl"
    Config = JsonLinesConfig

    def __init__(self, name: str, config: JsonLinesConfig) -> None:
        super().__init__(name, config)
        self._writer: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Self:
        """Get a thread ready; it starts with the first event."""
        # Its own thread: a disk that hangs must hold up this sink alone, and asyncio's shared
        # threads also look up the host names of everybody else.
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"reservd-{self.name}")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Take no more lines; one that is being written is finished."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.shutdown(wait=False, cancel_futures=True)

    async def deliver(self, event: CloudEvent) -> None:
        """Append the event; return once the operating system has the whole line.

        Raises:
            DeliveryError: If the file could not be written; retryable, because disks get space
                again and permissions are mended.
        """
        if self._writer is None:
            raise DeliveryError(FailureReason.INTERNAL, "the sink is not open", retryable=True)
        line = event.to_json() + b"\n"
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, _append, self.config.path, line)
        except OSError as error:
            what = error.strerror or type(error).__name__
            raise DeliveryError(FailureReason.REJECTED, f"{self.config.path}: {what.lower()}") from error


def _append(path: Path, line: bytes) -> None:
    """Write `line` with one call, so that lines of several writers never mix.

    A line that was cut short before (full disk, power loss) is ended first: it stays one broken
    line instead of spoiling this one.
    """
    path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    with open(descriptor, "r+b", buffering=0) as file:  # noqa: PTH123  # a descriptor, for its file mode
        # Another writer's line must not be seen half written; closing the file unlocks it.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        written = file.write(line)
    if written != len(line):
        raise OSError(errno.EIO, f"only {written} of {len(line)} bytes were written")
