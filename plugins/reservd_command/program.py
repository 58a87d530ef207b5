"""Runs one program with bounded time and output, and leaves no process of it running."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from subprocess import DEVNULL, PIPE
from typing import NamedTuple, cast

from reservd.plugin import CallError, FailureReason
from reservd_command.options import CommandConfig, environment_of

_MAX_ERRORS_BYTES = 4096
_DRAIN_SECONDS = 1.0
"""For pipes that a process outside the program's group still holds open."""
_STDIN, _STDOUT = 0, 1


class Finished(NamedTuple):
    """A program that ended by itself.

    Attributes:
        code: Its exit code; negative when a signal ended it.
        output: Everything that it wrote to standard output.
        complaint: The last line that it wrote to standard error, `""` if there is none or it is too long.
    """

    code: int
    output: bytes
    complaint: str

    @property
    def outcome(self) -> str:
        """How it ended, in one readable line."""
        ended = f"exit code {self.code}" if self.code >= 0 else f"ended by signal {-self.code}"
        return f"{ended}: {self.complaint}" if self.complaint else ended


class ProgramError(CallError):
    """A program that could not be started, or was killed because it exceeded its bounds."""


class _Listener(asyncio.SubprocessProtocol):
    """Collects what a program writes, and notes its end."""

    def __init__(self, max_output_bytes: int) -> None:
        self._max_output = max_output_bytes
        self._errors = b""
        self._errors_cut = False
        self.output = bytearray()
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._pid = cast("asyncio.SubprocessTransport", transport).get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd != _STDOUT:
            errors = self._errors + data
            self._errors_cut |= len(errors) > _MAX_ERRORS_BYTES
            self._errors = errors[-_MAX_ERRORS_BYTES:]
        elif not self.is_too_long:
            self.output += data
            if self.is_too_long:
                _kill_group(self._pid)

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self.closed.set()

    @property
    def is_too_long(self) -> bool:
        return len(self.output) > self._max_output

    @property
    def complaint(self) -> str:
        """The last line on standard error. Never a partial one, in which half a secret would not be recognised."""
        lines = self._errors.decode(errors="replace").split("\n")
        if self._errors_cut:
            del lines[0]
        return next((line for line in map(one_line, reversed(lines)) if line), "")


def one_line(text: str) -> str:
    """Return a program's text as one printable line. Spaces stay, so that the host recognises a secret in it."""
    return "".join(character if character.isprintable() else " " for character in text).strip()


def _kill_group(pid: int) -> None:
    """Kill the process group that `pid` leads, or led."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


async def run_program(
    config: CommandConfig,
    command: Sequence[str],
    told: Mapping[str, str],
    *,
    stdin: bytes | None = None,
    max_output_bytes: int = 0,
) -> Finished:
    """Run a program until it ends; then kill whatever it left running in its process group.

    Args:
        config: Its environment and its deadline.
        command: The program and its arguments.
        told: Environment variables for this call.
        stdin: Its standard input; empty if None. It need not read it.
        max_output_bytes: The most that it may write to standard output; 0 discards everything.

    Raises:
        ProgramError: If it could not be started (`unreachable`), did not end in time (`timeout`) or
            wrote too much (`invalid_data`). It is killed then, and also when the call is cancelled.
    """
    transport, listener = await _start(config, command, told, stdin=stdin, max_output_bytes=max_output_bytes)
    try:
        async with asyncio.timeout(config.timeout):
            await listener.exited.wait()
    except TimeoutError:
        raise ProgramError(FailureReason.TIMEOUT, f"still running after {config.timeout:g} s") from None
    else:
        _kill_group(transport.get_pid())
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                await listener.closed.wait()
    finally:
        await _end(transport, listener)
    if listener.is_too_long:
        raise ProgramError(FailureReason.INVALID_DATA, f"wrote more than {max_output_bytes} bytes")
    return Finished(cast("int", transport.get_returncode()), bytes(listener.output), listener.complaint)


async def _start(
    config: CommandConfig,
    command: Sequence[str],
    told: Mapping[str, str],
    *,
    stdin: bytes | None,
    max_output_bytes: int,
) -> tuple[asyncio.SubprocessTransport, _Listener]:
    starting = asyncio.ensure_future(
        asyncio.get_running_loop().subprocess_exec(
            lambda: _Listener(max_output_bytes),
            *command,
            stdin=DEVNULL if stdin is None else PIPE,
            stdout=PIPE if max_output_bytes else DEVNULL,
            stderr=PIPE,
            env=environment_of(config, told),
            cwd=config.directory,
            start_new_session=True,
        )
    )
    try:
        transport, listener = await asyncio.shield(starting)
    except asyncio.CancelledError:
        # Interrupted while it connects the pipes, asyncio would wait for ever: this lets it finish, which is quick.
        await asyncio.wait({starting})
        if starting.exception() is None:
            await _end(*starting.result())
        raise
    except OSError as error:
        what = (error.strerror or type(error).__name__).lower()
        raise ProgramError(FailureReason.UNREACHABLE, f"{error.filename or command[0]}: {what}") from None
    if stdin is not None:
        pipe = cast("asyncio.WriteTransport", transport.get_pipe_transport(_STDIN))
        # A program that closes its input unread has not failed: its exit code is its answer.
        pipe.write(stdin)
        pipe.write_eof()
    return transport, listener


async def _end(transport: asyncio.SubprocessTransport, listener: _Listener) -> None:
    """Kill the program's group, wait until the program has ended and close its pipes."""
    _kill_group(transport.get_pid())
    try:
        # Before closing: the transport would also wait for the exit code, beside asyncio's watcher.
        await listener.exited.wait()
    finally:
        transport.close()
