"""The daemon's own process stands still, as when its machine is migrated or swaps: no source is to blame.

Calls made before the stall time out without having been answered. That says nothing about the source.
"""

import asyncio
import signal
import threading
import time
from pathlib import Path

import yaml

from reservd import ReserveManager
from reservd.errors import FailureReason, SourceError
from reservd.plugin import Reading
from reservd.reserve.models import EventType
from support.daemon import ReservdProcess
from support.polling import until, wait_until
from support.sources import ScriptedBalances, ScriptedEquity
from support.world import World

_STALENESS_SECONDS = 5


def configure(world: World, folder: Path) -> Path:
    """Write a configuration with timeouts shorter than the stall, which believes readings for five seconds.

    On a busy machine, too, a cycle waits long enough for its readings.
    """
    path = world.write_config(folder, interval=2, defaults={"reserve_max_staleness": _STALENESS_SECONDS})
    config = yaml.safe_load(path.read_text())
    for sources in (config["balance_sources"], config["equity_sources"]):
        for source in sources.values():
            source["options"]["timeout"] = 3
    path.write_text(yaml.safe_dump(config))
    return path


def test_mode_is_not_unknown_when_the_daemon_stood_still_while_it_read(tmp_path: Path) -> None:
    """The stall is longer than readings are believed. The next event must be about a real change."""
    with World("m") as world, ReservdProcess(configure(world, tmp_path)) as daemon:
        asked, answers = threading.Event(), threading.Event()

        def hold() -> None:
            asked.set()
            answers.wait(60)

        world.before_telling = hold
        assert asked.wait(60)
        daemon.send(signal.SIGSTOP)
        time.sleep(_STALENESS_SECONDS + 1)
        world.before_telling = lambda: None
        answers.set()
        daemon.send(signal.SIGCONT)
        before = world.asked
        wait_until(lambda: world.asked > before + 4, "the daemon to go on")
        assert world.kinds("m") == []
        world.set("m", "low")
        wait_until(lambda: bool(world.events), "the low event")
        (event,) = world.events
        assert (event["data"]["status"], event["data"]["previous_status"]) == ("low", "adequate")


async def test_mode_is_unknown_when_a_plugin_stops_the_daemon_in_every_cycle() -> None:
    """A single stall is excused, constant stalls are not: they must not hide that nothing is known."""
    bank = ScriptedBalances("bank", main=110)
    said: list[EventType] = []
    manager = ReserveManager(ScriptedEquity(), {"bank": bank})
    config = {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_monitoring_interval": 0.1}
    manager.set_reserve_config("m", {**config, "reserve_max_staleness": 1})
    manager.add_reserve_callback(lambda event: said.append(event.event_type))

    async def block() -> Reading:
        time.sleep(1.5)  # noqa: ASYNC251  # what it must not do
        raise SourceError(FailureReason.UNREACHABLE, "nobody there")

    await manager.check_all_reserves()
    bank.misbehave = block
    running = asyncio.create_task(manager.start_monitoring())
    await until(lambda: bool(said), "the mode to be unknown")
    assert said == [EventType.UNKNOWN]
    manager.stop_monitoring()
    await running
