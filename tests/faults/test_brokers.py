"""A broker restarts in the middle of a story: its stream holds every event, once, in order."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
import redis
import yaml

from support.broker import Broker
from support.nats import NatsServer
from support.nursery import Nursery
from support.polling import wait_until
from support.scrape import sample
from support.valkey import ValkeyServer
from support.world import World


class Nats:
    """A NATS server with JetStream, and the content of its stream."""

    plugin = "nats"

    def __init__(self) -> None:
        self.server: Broker = NatsServer()

    def options(self) -> dict[str, Any]:
        asyncio.run(self._add_stream())
        return {"servers": [self.server.url], "subject": "reservd.{mode}", "stream": "RESERVD", "timeout": 5}

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(each) for each in asyncio.run(self._read())]

    async def _add_stream(self) -> None:
        client = await nats.connect(self.server.url)
        await client.jetstream().add_stream(name="RESERVD", subjects=["reservd.>"])
        await client.close()

    async def _read(self) -> list[bytes]:
        client = await nats.connect(self.server.url)
        stream = client.jetstream()
        last = (await stream.stream_info("RESERVD")).state.last_seq
        found = [(await stream.get_msg("RESERVD", number)).data or b"" for number in range(1, last + 1)]
        await client.close()
        return found


class Redis:
    """A stream on a Valkey server."""

    plugin = "redis"

    def __init__(self) -> None:
        self.server: Broker = ValkeyServer()

    def options(self) -> dict[str, Any]:
        return {"url": f"redis://{self.server.address}/0", "stream": "reservd", "timeout": 5}

    def told(self) -> list[dict[str, Any]]:
        with redis.Redis.from_url(f"redis://{self.server.address}/0") as client:
            return [json.loads(fields[b"event"]) for _, fields in client.xrange("reservd")]


@pytest.fixture(params=[Nats, Redis], ids=lambda kind: kind.plugin)
def broker(request: pytest.FixtureRequest) -> Iterator[Any]:
    found = request.param()
    with found.server:
        yield found


def configure(world: World, folder: Path, broker: Any) -> Path:
    """Configure the world's events to go to the broker as well."""
    config = world.write_config(folder)
    document = yaml.safe_load(config.read_text())
    retry = {"first": 0.05, "longest": 0.5}
    document["event_sinks"]["stream"] = {"plugin": broker.plugin, "options": broker.options(), "retry": retry}
    document["defaults"]["reserve_event_sinks"] = ["ops", "stream"]
    config.write_text(yaml.safe_dump(document))
    return config


def test_stream_holds_every_change_once_and_in_order_when_its_broker_was_restarted(
    broker: Any, nursery: Nursery, tmp_path: Path
) -> None:
    with World("m") as world:
        nursery.start(configure(world, tmp_path, broker))
        address = nursery.address()

        def tell(status: str) -> None:
            """Bring the mode to a status; check that neither the gauges nor the other sink wait for the broker."""
            heard = len(world.kinds("m"))
            world.set("m", status)
            labels = {"mode": "m", "share_class": "USDT", "status": status}
            wait_until(lambda: sample(address, "reservd_reserve_status", **labels) == 1, f"m to be {status}")
            wait_until(lambda: len(world.kinds("m")) > heard, "the other sink to receive it")

        tell("low")
        wait_until(lambda: len(broker.told()) == 1, "the first event")
        broker.server.stop()
        tell("critical")
        tell("low")
        wait_until(
            lambda: sample(address, "reservd_deliveries_pending", sink="stream") == 2, "both events to be pending"
        )
        broker.server.start()
        tell("adequate")
        wait_until(lambda: len(broker.told()) >= 4, f"the remaining events, got {broker.told()}")
    told = broker.told()
    assert [each["data"]["status"] for each in told] == ["low", "critical", "low", "adequate"]
    assert [each["sequence"] for each in told] == ["1", "2", "3", "4"]
    assert len({each["id"] for each in told}) == 4
