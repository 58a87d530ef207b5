"""Durable events: rate, latency and memory."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import structlog
from sqlalchemy import insert

from reservd.config.settings import Settings
from reservd.delivery.observer import DeliveryObserver
from reservd.delivery.pipeline import Pipeline
from reservd.duty import settle
from reservd.errors import FailureReason
from reservd.monitor.clock import SystemClock
from reservd.monitor.observer import Checked
from reservd.store.database import Database, parse_url
from reservd.store.ownership import Ownership
from reservd.store.tables import deliveries, events
from reservd_webhook.sink import WebhookSink
from support.bench import Figure, report
from support.counter import Counter
from support.decisions import decided
from support.polling import until
from support.postgres import Postgres
from support.world import SECRET

MODES = 16
EVENTS = 8_000
AT_REST = 150
GOALS = {"sqlite": 2_000, "postgresql": 3_000}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty store with durable commits, as in production."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
        return
    with Postgres(durable=True) as server:
        yield server.url()


async def run_pipeline(database: Database, url: str, batches: list[list[Checked]]) -> tuple[float, list[float]]:
    """Return the seconds until all events were acknowledged and recorded, and when each batch was decided."""
    ownership = Ownership(database)
    await ownership.acquire()
    options = {"url": url, "secret": SECRET, "allow_private_hosts": ["127.0.0.1"]}
    sink = WebhookSink("ops", WebhookSink.Config.model_validate(options))
    settings = {"modes": "*", "event_sinks": {"ops": {"plugin": "webhook", "concurrency": MODES}}}
    routes = {f"mode_{n}": ("ops",) for n in range(MODES)}
    pipeline = Pipeline(
        database, ownership, {"ops": sink}, Settings.model_validate(settings), routes, SystemClock(), [heard := Heard()]
    )
    await pipeline.open()
    running = asyncio.create_task(pipeline.run())
    await asyncio.sleep(0.2)
    settle()  # as the daemon does
    began = time.monotonic()
    moments: list[float] = []
    expected = 0
    for batch in batches:
        moments.append(time.monotonic())
        for checked in batch:
            pipeline.checked(checked)
        expected += len(batch)
        await until(lambda wanted=expected: heard.taken >= wanted, "all events to be delivered", timeout_seconds=300)
        if len(batches) > 1:
            await asyncio.sleep(0.01)
    seconds = time.monotonic() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await ownership.release()
    return seconds, moments


async def one_transaction_an_event(database: Database, checks: list[Checked]) -> float:
    """Return the seconds to store the events, each in a transaction of its own."""
    ownership = Ownership(database)
    await ownership.acquire()
    began = time.monotonic()
    for position, checked in enumerate(checks, start=1_000_000):
        event = checked.step.event
        assert event is not None
        async with database.write() as connection:
            await ownership.fence(connection)
            row = {"position": position, "id": f"b{position}", "mode": checked.mode, "sequence": event.sequence}
            row |= {"type": str(event.event_type), "reminder": False, "decided_at": event.timestamp}
            await connection.execute(insert(events), [{**row, "event": event.model_dump_json()}])
            target = {"sink": "ops", "position": position, "mode": checked.mode, "state": "pending"}
            await connection.execute(insert(deliveries), [target])
    seconds = time.monotonic() - began
    await ownership.release()
    return seconds


class Heard(DeliveryObserver):
    """Counts deliveries."""

    taken = 0

    def delivered(self, sink: str, seconds: float, failure: FailureReason | None) -> None:
        self.taken += failure is None


def bench_durable_events(url: str, tmp_path: Path) -> None:
    """From decision to acknowledged webhook, for 16 modes at once."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))

    async def measure() -> tuple[float, float]:
        database = Database(parse_url(url, tmp_path))
        with Counter() as counter:
            seconds, _ = await run_pipeline(database, counter.url, [decided(EVENTS)])
        alone = await one_transaction_an_event(database, decided(400))
        await database.close()
        return EVENTS / seconds, 400 / alone

    many, single = asyncio.run(measure())
    name = "sqlite" if url.startswith("sqlite") else "postgresql"
    met = "met" if many >= GOALS[name] else "MISSED"
    report(
        f"Durable events on {name}: decided, stored, sent to a webhook, acknowledged, noted",
        [
            Figure("one transaction an event, storing alone", single, "a second", single),
            Figure("16 modes at once, all of it", many, "a second", single, note=f"goal {GOALS[name]:,}: {met}"),
        ],
    )


def bench_latency_at_rest(url: str, tmp_path: Path) -> None:
    """From decision to the first byte at the receiver, one event at a time."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))

    async def measure() -> list[float]:
        database = Database(parse_url(url, tmp_path))
        with Counter() as counter:
            _, moments = await run_pipeline(database, counter.url, [[checked] for checked in decided(AT_REST)])
            arrivals = counter.stop()
        await database.close()
        return sorted((arrived - began) * 1e3 for began, arrived in zip(moments, arrivals, strict=True))

    late = asyncio.run(measure())
    name = "sqlite" if url.startswith("sqlite") else "postgresql"
    report(
        f"An event at rest on {name}: decision to first byte",
        [
            Figure("median", late[len(late) // 2], "ms", goal=10),
            Figure("99th percentile", late[len(late) * 99 // 100], "ms"),
        ],
    )


def resident(url: str) -> float:
    """Return the megabytes of a process that works on a store with a dead sink."""
    program = Path(__file__).parents[1] / "support" / "resident.py"
    environ = {**os.environ, "PYTHONPATH": str(program.parents[1])}
    said = subprocess.check_output([sys.executable, program, url], env=environ)
    return float(said.splitlines()[-1])  # preceded by its log


def fill(path: Path, stored: int, pending: int) -> None:
    """Store events that were decided a microsecond apart until now, the newest of which are pending for the sink."""
    (checked,) = decided(1)
    assert checked.step.event is not None
    text = checked.step.event.model_dump_json()
    began = time.time_ns() // 1000 - stored
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO events (position, id, mode, sequence, type, reminder, decided_at, event)"
            " VALUES (?, ?, ?, ?, 'reserve_low', 0, ?, ?)",
            ((n, f"e{n}", f"mode_{n % 1000}", n, began + n, text) for n in range(1, stored + 1)),
        )
        connection.executemany(
            "INSERT INTO deliveries (sink, position, mode, state) VALUES ('ops', ?, ?, ?)",
            ((n, f"mode_{n % 1000}", "pending" if n > stored - pending else "delivered") for n in range(1, stored + 1)),
        )


def bench_memory_with_a_large_store(tmp_path: Path) -> None:
    """Resident memory, with a million events in the store and a hundred thousand pending for a dead sink."""
    url = f"sqlite:///{tmp_path}/store.db"
    before = resident(url)
    fill(tmp_path / "store.db", 1_000_000, 100_000)
    after = resident(url)
    report(
        "Resident memory on sqlite, a sink that takes nothing",
        [
            Figure("an empty store", before, "MB", before),
            Figure("1,000,000 events, 100,000 waiting", after, "MB", before, goal=1.5),
        ],
    )
