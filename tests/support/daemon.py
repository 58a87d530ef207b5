"""The daemon in a process of its own, as an operator runs it.

with ReservdProcess(Path("configs/demo.yaml")) as daemon:
    daemon.get("/metrics")
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from support.polling import wait_until

PROGRAM = Path(sys.executable).with_name("reservd")
"""The command line of the environment that runs the tests."""

_TIMEOUT_SECONDS = 60.0
_ADDRESS = re.compile(r"^ +http://(\S+)/metrics$", re.MULTILINE)


class ReservdProcess:
    """`reservd run` on 127.0.0.1; a context manager that starts it, waits until it owns its store, and stops it.

    Attributes:
        address: `host:port`, once it is started.
    """

    address: str

    def __init__(
        self,
        config: Path,
        *options: str,
        state: Path | None = None,
        listens: str = "127.0.0.1:0",
        program: Path = PROGRAM,
    ) -> None:
        """Prepare it.

        Args:
            config: Its `reservd.yaml`.
            options: More options of `reservd run`.
            state: The folder of its store if the configuration names none; its own unless given.
            listens: The address at which it listens; any free port unless given.
            program: The program to run instead of the command line.
        """
        self._command = [program, "run", "--config", config, "--web.listen-address", listens, *options]
        self._state = state
        self._process: subprocess.Popen[bytes]
        self._log: Path
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            folder = Path(starting.enter_context(tempfile.TemporaryDirectory(prefix="reservd-")))
            self._log = folder / "log"
            environ = {**os.environ, "STATE_DIRECTORY": str(self._state or folder)}
            with self._log.open("wb") as output:
                self._process = subprocess.Popen(self._command, stdout=output, stderr=output, env=environ)
            starting.callback(self.stop)
            try:
                wait_until(self._is_ready_or_gone, "reservd to be ready", timeout_seconds=_TIMEOUT_SECONDS)
            except TimeoutError as error:
                raise RuntimeError(f"{error}: {self.log()}") from None
            if self._process.poll() is not None:
                raise RuntimeError(f"reservd did not start: {self.log()}")
            self._resources = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def log(self) -> str:
        """Return its output so far."""
        return self._log.read_text()

    def get(self, path: str) -> str:
        """Return a page.

        Raises:
            OSError: If it does not answer, or not with success.
        """
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=_TIMEOUT_SECONDS) as answer:
            page: bytes = answer.read()
        return page.decode()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it, if it is still running, and return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended, and return its exit code; kill it if it does not end."""
        try:
            return self._process.wait(_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _is_ready_or_gone(self) -> bool:
        if self._process.poll() is not None:
            return True
        found = _ADDRESS.search(self.log())
        if found is None:
            return False
        self.address = found[1]
        try:
            # After a killed daemon it may stand by for a moment, until it knows that the owner is gone.
            return "owns the store" in self.get("/-/ready")
        except OSError:
            return False
