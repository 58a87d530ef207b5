"""A socket in a daemon's process at which tests request withdrawals without HTTP.

with Teller(daemon) as teller:
    (answer,) = teller.ask([{"mode": "m", "amount": "10", "key": "k"}])
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from types import TracebackType
from typing import Any, Self

from reservd.app import Daemon
from support.polling import wait_until

_TIMEOUT_SECONDS = 60.0

Order = Mapping[str, Any]
"""`mode`, `amount` and `key` of a withdrawal; or `settle` or `cancel` with the id of one."""


def _address(process: int) -> str:
    return f"\0reservd-teller-{process}"


def install() -> None:
    """Make the daemons of this process open such a socket. Call it once, before they run."""
    run = Daemon.run

    async def run_with_counter(self: Daemon) -> None:
        server = await asyncio.start_unix_server(partial(_serve, self), _address(os.getpid()))
        try:
            await run(self)
        finally:
            server.close()

    Daemon.run = run_with_counter  # type: ignore[method-assign]  # only here


async def _serve(daemon: Daemon, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read one order per line; answer each when it is done, in any order."""

    async def answer(number: int, order: Order) -> None:
        writer.write(json.dumps({"number": number, **await _carry_out(daemon, order)}).encode() + b"\n")

    with contextlib.suppress(ConnectionError):
        async with asyncio.TaskGroup() as tasks:
            number = 0
            while line := await reader.readline():
                tasks.create_task(answer(number, json.loads(line)))
                number += 1
    writer.close()


async def _carry_out(daemon: Daemon, order: Order) -> dict[str, Any]:
    withdrawals = daemon.withdrawals
    if withdrawals is None:
        return {"refusal": "standby", "speed": "slow"}
    if "settle" in order:
        return {"state": str((await withdrawals.settle(order["settle"], paid_at=datetime.now(UTC))).state)}
    if "cancel" in order:
        return {"state": str((await withdrawals.cancel(order["cancel"])).state)}
    if "key" not in order:
        quote = await withdrawals.quote_withdrawal(order["mode"], Decimal(order["amount"]))
        return {"status": str(quote.status), "speed": str(quote.speed)}
    decision = await withdrawals.process_withdrawal(order["mode"], Decimal(order["amount"]), order["key"])
    return {
        "key": order["key"],
        "id": decision.hold.id if decision.hold is not None else None,
        "speed": str(decision.speed),
        "from_reserve": str(decision.from_reserve),
        "refusal": str(decision.refusal) if decision.refusal is not None else None,
    }


class Teller:
    """A connection to the socket of a daemon that a nursery started."""

    def __init__(self, process: int) -> None:
        self._address = _address(process)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_TIMEOUT_SECONDS)

    def __enter__(self) -> Self:
        wait_until(self._connected, "the daemon's socket")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def _connected(self) -> bool:
        return self._socket.connect_ex(self._address) == 0

    def ask(self, orders: Iterable[Order]) -> list[dict[str, Any]]:
        """Send orders at once and return the answers, fewer than orders if the daemon ended meanwhile."""
        lines = [json.dumps(order) for order in orders]
        found = []
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            self._socket.sendall("".join(f"{line}\n" for line in lines).encode())
            with self._socket.makefile() as answers:
                for line in answers:
                    if not line.endswith("\n"):
                        break
                    found.append(json.loads(line))
                    if len(found) == len(lines):
                        break
        return found

    def wait_for_status(self, mode: str, *statuses: str) -> None:
        """Wait until the status of a mode for withdrawals is one of these."""

        def is_there() -> bool:
            (answer,) = self.ask([{"mode": mode, "amount": "1"}])
            return answer.get("status") in statuses

        wait_until(is_there, f"{mode} to be {statuses}")
