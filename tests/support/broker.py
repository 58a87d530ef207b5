"""What the brokers that tests start have in common: a process on 127.0.0.1 that can be stopped and started again."""

import asyncio
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Container, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from reservd.plugin import DeliveryError, EventSink, FailureReason
from reservd.plugin.examples import example_event
from support.polling import wait_until
from support.ports import KeptPort

_TIMEOUT_SECONDS = 60.0


class Broker:
    """A server process on its own port of 127.0.0.1; a context manager that starts and stops it.

    It keeps its port and its folder over a restart.

    Attributes:
        port: The port at which it listens.
        folder: Its own folder, removed at the end.
        STOP_SIGNAL: The signal that ends it.
    """

    STOP_SIGNAL: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self) -> None:
        self._kept_port = KeptPort()
        self.port = self._kept_port.number
        self._directory = tempfile.TemporaryDirectory(prefix=f"reservd-{type(self).__name__.lower()}-")
        self.folder = Path(self._directory.name)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        """Return the program and its arguments."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._kept_port.close()
        self._directory.cleanup()

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.folder)
        try:
            wait_until(self._is_ready, f"{type(self).__name__} to be ready", timeout_seconds=_TIMEOUT_SECONDS)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it, unless it is stopped already."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(self.STOP_SIGNAL)
        try:
            process.wait(_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def pause(self) -> None:
        """Make it hang: it accepts connections and answers nothing."""
        process = self._running()
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """End a `pause`."""
        self._running().send_signal(signal.SIGCONT)

    def answers(self, connection: socket.socket) -> bool:
        """Whether a server that accepted this connection is ready; True unless a subclass knows better."""
        del connection
        return True

    def _is_ready(self) -> bool:
        if self._running().poll() is not None:
            raise RuntimeError(f"{type(self).__name__} ended: {(self.folder / 'log').read_text()}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return self.answers(connection)
        except OSError:
            return False

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError(f"{type(self).__name__} is not running")
        return self._process


async def deliver_in_time(
    sink: EventSink[Any], event_id: str, *, repeat_on: Container[FailureReason] = (FailureReason.TIMEOUT,)
) -> None:
    """Deliver an event, again when that was too slow for a short timeout, as it may be on a busy machine.

    Args:
        sink: The sink.
        event_id: The id of the event.
        repeat_on: The failures after which it is delivered again.
    """
    async with asyncio.timeout(_TIMEOUT_SECONDS):
        while True:
            try:
                return await sink.deliver(example_event(event_id=event_id))
            except DeliveryError as error:
                if error.reason not in repeat_on:
                    raise
