"""Daemons that are killed and started again quickly.

with Nursery(tmp_path / "log") as nursery:
    daemon = nursery.start(config)
    nursery.signal(daemon, signal.SIGKILL)
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reservd.delivery.batch import MAX_EVENTS
from reservd.store.owner_watch import TAKE_OVER_AFTER_SECONDS
from support.polling import wait_until
from support.set_clock import SetClock

STEPS = ("decide", "store", "stored", "send", "record")
"""The steps at which a daemon can send itself a signal: see `mortal.py`."""
HOLD_STEPS = ("hold", "held")
"""The steps of withdrawals."""


class Nursery:
    """Starts daemons; a context manager that ends them all."""

    def __init__(self, log: Path) -> None:
        """Prepare it.

        Args:
            log: The file to which all daemons log.
        """
        self._log = log
        self._process: subprocess.Popen[str]
        self._children: set[int] = set()

    def __enter__(self) -> Self:
        path = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
        environ = {**os.environ, "PYTHONPATH": path}
        self._process = subprocess.Popen(
            [sys.executable, "-P", Path(__file__).with_name("mortal.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in set(self._children):
            self.signal(child, signal.SIGKILL)
        self._process.communicate(timeout=60)

    def log(self) -> str:
        """Return the log of all daemons."""
        return self._log.read_text() if self._log.exists() else ""

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines with this event."""
        whole = self.log().rpartition("\n")[0]
        lines = (json.loads(line) for line in whole.splitlines() if line.startswith("{") and line.endswith("}"))
        return [line for line in lines if line["event"] == event]

    def address(self, number: int = 1) -> str:
        """Return the address of the nth daemon that was started, once it listens."""
        wait_until(lambda: len(self.logged("web.listening")) >= number, f"daemon number {number} to listen")
        return str(self.logged("web.listening")[number - 1]["address"])

    def start(
        self,
        config: Path,
        step: str = "",
        nth: int = 1,
        by: signal.Signals = signal.SIGKILL,
        clock: SetClock | None = None,
        take_over_after: float = TAKE_OVER_AFTER_SECONDS,
        holds: int = MAX_EVENTS,
    ) -> int:
        """Start a daemon and return its process id.

        Args:
            config: Its configuration.
            step: The step at which it sends itself a signal, if any.
            nth: The number of the occurrence at which it does so.
            by: The signal.
            clock: Its clock; the machine's clock unless given.
            take_over_after: Seconds without a heartbeat after which it takes a store over.
            holds: The number of events that its memory holds while the store is down.
        """
        order = {
            "config": str(config),
            "log": str(self._log),
            "step": step,
            "nth": nth,
            "by": int(by),
            "clock": str(clock.path) if clock is not None else "",
            "take_over_after": take_over_after,
            "holds": holds,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        self._children.add(child)
        return child

    def signal(self, child: int, number: signal.Signals) -> None:
        """Send a signal; if it ends the daemon, wait until it has ended."""
        try:
            os.kill(child, number)
        except ProcessLookupError:
            self._children.discard(child)
            return
        if number in {signal.SIGKILL, signal.SIGTERM}:
            self.wait(child)

    def suspend(self, child: int, store: Path | None = None) -> None:
        """Stop it with SIGSTOP.

        Args:
            child: The daemon.
            store: Its SQLite store, if it has one: it is not stopped in the middle of a transaction, whose lock would
                keep the store from every other daemon until it goes on.
        """

        def is_apart() -> bool:
            self.signal(child, signal.SIGSTOP)
            wait_until(lambda: self.is_stopped(child), f"process {child} to stop")
            if store is None or _is_free(store):
                return True
            self.signal(child, signal.SIGCONT)
            return False

        wait_until(is_apart, f"process {child} to stop outside of a transaction")

    def wait(self, child: int) -> None:
        """Wait until it has ended."""
        wait_until(lambda: not self.lives(child), f"process {child} to end")
        self._children.discard(child)

    def is_stopped(self, child: int) -> bool:
        """Whether a signal has stopped it."""
        _, _, after_name = Path(f"/proc/{child}/stat").read_text().rpartition(")")
        return after_name.split()[0] == "T"

    def lives(self, child: int) -> bool:
        """Whether it is running."""
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return False
        return True


def _is_free(store: Path) -> bool:
    """Whether no process holds a lock on a SQLite store."""
    with closing(sqlite3.connect(store, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
    return True
