"""A program that has imported everything and forks a daemon for each order, so that daemons start fast.

It reads one order per line from standard input, `{"config": ..., "log": ..., "step": ..., "nth": ..., "by": ...,
"clock": ..., "take_over_after": ..., "holds": ...}`, and answers with the daemon's process id. With a step, the daemon
sends itself the signal `by` when it reaches that step for the nth time:

    decide  an event was decided, nothing is stored
    store   in the middle of the transaction that stores it
    stored  right after that transaction
    send    the receiver has accepted the event, and the daemon has not noticed yet
    record  in the middle of the transaction that records the delivery
    hold    in the middle of the transaction that stores holds
    held    right after that transaction, before any answer
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reservd.cli import main
from reservd.delivery import batch
from reservd.delivery.batch import Batch
from reservd.delivery.courier import Courier
from reservd.delivery.journal import Journal
from reservd.delivery.writer import Writer
from reservd.service.withdrawals import journal as hold_journal
from reservd.store import owner_watch
from support import set_clock, teller

for _name in ("aiosqlite", "psycopg", "reservd.app", "reservd_http_json", "reservd_webhook"):
    importlib.import_module(_name)


def _arm(step: str, nth: int, by: int) -> None:
    """Make this process send itself a signal at a step."""
    left = nth

    def reached() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), by)

    steps: dict[str, Callable[[], None]] = {
        "decide": lambda: _after(Journal, "checked", lambda _, found: found.step.event is not None, reached),
        "store": lambda: _after_async(Batch, "write", lambda batch, _: bool(batch.events), reached),
        "stored": lambda: _after_async(Writer, "_commit", lambda _, batch: bool(batch.events), reached),
        "send": lambda: _before(Courier, "_taken", reached),
        "hold": lambda: _after_holds_are_stored(reached),
        "held": lambda: _before(hold_journal._Waiting, "reply", reached),
        "record": lambda: _after_async(Batch, "write", lambda batch, _: bool(batch.outcomes), reached),
    }
    steps[step]()


def _after(cls: type, name: str, matters: Callable[..., bool], reached: Callable[[], None]) -> None:
    method = getattr(cls, name)

    def wrapped(self: Any, argument: Any) -> None:
        method(self, argument)
        if matters(self, argument):
            reached()

    setattr(cls, name, wrapped)


def _after_async(cls: type, name: str, matters: Callable[..., bool], reached: Callable[[], None]) -> None:
    method = getattr(cls, name)

    async def wrapped(self: Any, argument: Any) -> None:
        await method(self, argument)
        if matters(self, argument):
            reached()

    setattr(cls, name, wrapped)


def _after_holds_are_stored(reached: Callable[[], None]) -> None:
    store = hold_journal.save_holds

    async def wrapped(connection: Any, changed: Any) -> None:
        await store(connection, changed)
        if changed:
            reached()

    hold_journal.save_holds = wrapped


def _before(cls: type, name: str, reached: Callable[[], None]) -> None:
    method = getattr(cls, name)

    def wrapped(self: Any, *arguments: Any) -> None:
        reached()
        method(self, *arguments)

    setattr(cls, name, wrapped)


def _run(order: dict[str, Any]) -> None:
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    owner_watch.TAKE_OVER_AFTER_SECONDS = order["take_over_after"]
    batch.MAX_EVENTS = order["holds"]
    if order["clock"]:
        set_clock.install(Path(order["clock"]))
    if order["step"]:
        _arm(order["step"], order["nth"], order["by"])
    main(["run", "--config", order["config"], "--web.listen-address", "127.0.0.1:0"])


def serve() -> None:
    """Fork a daemon for each order."""
    teller.install()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps children that end
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
