"""Withdrawals with durable holds: rate and latency of decisions."""

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import structlog

from reservd.store.database import Database, parse_url
from reservd.store.holds import load_by_keys, save_holds
from reservd.store.ownership import Ownership
from reservd.store.schema import upgrade
from support.bank import Bank
from support.bench import Figure, report
from support.holds import make_hold
from support.postgres import Postgres

CALLERS = 64
SECONDS = 10.0
ALONE = 300
GOALS = {"sqlite": 1_000, "postgresql": 1_500}
P99_GOAL_MS = 250.0


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty store with durable commits, as in production."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
        return
    with Postgres(durable=True) as server:
        yield server.url()


async def many_callers(database: Database) -> list[float]:
    """Return the time of each decision while each caller makes one request after another."""
    taken: list[float] = []
    async with Bank(10**9, database, reserve_max_staleness=3600) as bank:

        async def call(caller: int) -> None:
            number = 0
            while time.monotonic() < end:
                number += 1
                began = time.monotonic()
                decision = await bank.withdrawals.process_withdrawal("m", Decimal(1), f"{caller}-{number}")
                taken.append(time.monotonic() - began)
                assert decision

        end = time.monotonic() + SECONDS
        await asyncio.gather(*(call(caller) for caller in range(CALLERS)))
    return taken


async def one_transaction_a_hold(database: Database) -> float:
    """Return the seconds to store a single hold, without a decision."""
    ownership = Ownership(database)
    await ownership.acquire()
    await upgrade(database)
    began = time.monotonic()
    for number in range(ALONE):
        async with database.write() as connection:
            await ownership.fence(connection)
            await load_by_keys(connection, {("m", f"alone-{number}")})
            await save_holds(connection, [make_hold(10**9 + number, 1, key=f"alone-{number}")])
    seconds = time.monotonic() - began
    await ownership.release()
    return seconds / ALONE


def bench_withdrawals(url: str, tmp_path: Path) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    database = Database(parse_url(url, tmp_path))
    name = url.partition(":")[0].partition("+")[0]

    async def measure() -> tuple[list[float], float]:
        try:
            return sorted(await many_callers(database)), await one_transaction_a_hold(database)
        finally:
            await database.close()

    taken, alone = asyncio.run(measure())
    each = SECONDS / len(taken) * 1000
    report(
        f"Withdrawals on {name}: {CALLERS} callers, one after another each",
        [
            Figure(
                "a decision with its hold stored",
                each,
                "ms",
                baseline=alone * 1000,
                note=f"{len(taken) / SECONDS:,.0f} a second; the baseline is a transaction for each",
            ),
            Figure("the same, against the goal", each, "ms", goal=1000 / GOALS[name]),
            Figure("until it is answered, median", taken[len(taken) // 2] * 1000, "ms"),
            Figure("until it is answered, 99 of 100", taken[len(taken) * 99 // 100] * 1000, "ms", goal=P99_GOAL_MS),
        ],
    )
