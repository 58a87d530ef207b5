"""A program that runs a pipeline with a dead sink on a store for a while and prints its resident megabytes."""

import asyncio
import sys
from pathlib import Path

import psutil

from reservd.config.settings import Settings
from reservd.delivery.observer import DeliveryObserver
from reservd.delivery.pipeline import Pipeline
from reservd.errors import DeliveryError, FailureReason
from reservd.monitor.clock import SystemClock
from reservd.plugin import CloudEvent, EventSink, SourceConfig
from reservd.store.database import Database, parse_url
from reservd.store.ownership import Ownership

MODES = [f"mode_{number}" for number in range(1000)]
_SECONDS = 10


class DeadSink(EventSink[SourceConfig]):
    """A sink that refuses everything."""

    PLUGIN_NAME = "dead"
    Config = SourceConfig

    async def deliver(self, event: CloudEvent) -> None:
        """Refuse the event."""
        raise DeliveryError(FailureReason.UNREACHABLE)


async def _run(url: str) -> float:
    database = Database(parse_url(url, Path()))
    ownership = Ownership(database)
    await ownership.acquire()
    settings = Settings.model_validate({"modes": "*", "event_sinks": {"ops": {"plugin": "dead"}}})
    pipeline = Pipeline(
        database,
        ownership,
        {"ops": DeadSink("ops", SourceConfig())},
        settings,
        dict.fromkeys(MODES, ("ops",)),
        SystemClock(),
        [DeliveryObserver()],
    )
    await pipeline.open()
    running = asyncio.create_task(pipeline.run())
    await asyncio.sleep(_SECONDS)
    megabytes = psutil.Process().memory_info().rss / 1e6
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await ownership.release()
    return float(megabytes)


if __name__ == "__main__":
    print(asyncio.run(_run(sys.argv[1])))  # on the last line, as it logs while it runs
