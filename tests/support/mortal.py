"""Daemons that are killed and started again, fast: one process has imported everything and forks each.

Run as a program it reads one order a line from standard input, `{"config": ..., "log": ..., "step": ..., "nth": ...}`,
forks a daemon, and answers with its process id. With a step the daemon kills itself there, at the nth time:

decide  an event was decided, nothing is stored
store   in the middle of the transaction that stores it
stored  right after that transaction
send    the receiver has taken the event, nobody knows yet
record  in the middle of the transaction that notes it
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.polling import wait_until

STEPS = ("decide", "store", "stored", "send", "record")


class Nursery:
    """Starts daemons; a context manager that ends them all."""

    def __init__(self, log: Path) -> None:
        """Prepare one.

        Args:
            log: Where all of them write their logs.
        """
        self._log = log
        self._process: subprocess.Popen[str]
        self._children: set[int] = set()

    def __enter__(self) -> Self:
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in set(self._children):
            self.signal(child, signal.SIGKILL)
        self._process.communicate(timeout=10)

    def log(self) -> str:
        """Return what all of them wrote."""
        return self._log.read_text() if self._log.exists() else ""

    def address(self, number: int = 1) -> str:
        """Return where the nth daemon that was started listens, once it does."""

        def found() -> list[str]:
            lines = (json.loads(line) for line in self.log().splitlines() if line.startswith("{"))
            return [line["address"] for line in lines if line["event"] == "web.listening"]

        wait_until(lambda: len(found()) >= number, f"daemon number {number} to listen")
        return found()[number - 1]

    def start(self, config: Path, step: str = "", nth: int = 1) -> int:
        """Start a daemon and return its process id."""
        order = {"config": str(config), "log": str(self._log), "step": step, "nth": nth}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        self._children.add(child)
        return child

    def signal(self, child: int, number: signal.Signals) -> None:
        """Send it a signal; one that ends it is waited for."""
        try:
            os.kill(child, number)
        except ProcessLookupError:
            self._children.discard(child)
            return
        if number in {signal.SIGKILL, signal.SIGTERM}:
            self.wait(child)

    def wait(self, child: int) -> None:
        """Wait until it has ended."""
        wait_until(lambda: not self.lives(child), f"process {child} to end")
        self._children.discard(child)

    def lives(self, child: int) -> bool:
        """Whether it runs."""
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return False
        return True


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _arm(step: str, nth: int) -> None:
    """Have this process kill itself at a step."""
    from reservd.delivery.dispatcher import Dispatcher
    from reservd.delivery.journal import Journal, _Batch

    left = nth

    def reached() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            _die()

    checked, write, commit, end = Journal.checked, _Batch.write, Journal._commit, Dispatcher._end

    def check(self: Any, found: Any) -> None:
        checked(self, found)
        if step == "decide" and found.step.event is not None:
            reached()

    async def store(self: Any, connection: Any) -> None:
        await write(self, connection)
        if (step == "store" and self.events) or (step == "record" and self.outcomes):
            reached()

    async def committed(self: Any, batch: Any) -> None:
        await commit(self, batch)
        if step == "stored" and batch.events:
            reached()

    def ended(self: Any, *arguments: Any) -> None:
        if step == "send":
            reached()
        end(self, *arguments)

    Journal.checked, _Batch.write = check, store  # type: ignore[method-assign]
    Journal._commit, Dispatcher._end = committed, ended  # type: ignore[method-assign]


def _run(order: dict[str, Any]) -> None:
    from reservd.cli import main

    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if order["step"]:
        _arm(order["step"], order["nth"])
    main(["run", "--config", order["config"], "--web.listen-address", "127.0.0.1:0"])


def _preload() -> None:
    import aiosqlite
    import psycopg

    import reservd.app
    import reservd.cli.main
    import reservd_http_json
    import reservd_webhook

    del aiosqlite, psycopg, reservd, reservd_http_json, reservd_webhook


def serve() -> None:
    """Fork a daemon for each order."""
    _preload()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel forgets children that end
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                _run(json.loads(line))
            finally:
                os._exit(1)
        print(child, flush=True)


if __name__ == "__main__":
    serve()
