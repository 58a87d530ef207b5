"""Events through the SDK: none lost and none repeated while daemons are killed, restarted and changed."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from reservd.client import AsyncClient, Backoff, Client, EventFeed, EventGap
from reservd.errors import ApiDeniedError, ApiNotFoundError, ApiRefusedError
from reservd.reserve.models import ReserveEvent
from reservd.reserve.replenishment.event import ReplenishmentEvent
from support.api import ApiDaemon
from support.polling import until


@pytest.fixture
def daemon(tmp_path: Path) -> Any:
    with ApiDaemon(tmp_path, f"sqlite:///{tmp_path}/store.db", over_api=["beta"]) as running:
        yield running


def quick() -> Backoff:
    return Backoff(0.05, 0.2)


class Heard:
    """What a feed has yielded."""

    def __init__(self, feed: EventFeed) -> None:
        self.feed = feed
        self.items: list[Any] = []

    @property
    def kinds(self) -> list[str]:
        """The events and gaps, without reminders."""
        told = [each for each in self.items if not getattr(each, "reminder", False)]
        return ["gap" if isinstance(each, EventGap) else f"{each.strategy_mode} {each.event_type}" for each in told]

    async def come(self, *kinds: str) -> None:
        """Wait for as many events and compare them."""
        await until(lambda: len(self.kinds) >= len(kinds), f"{kinds}, got {self.kinds}")
        assert self.kinds == list(kinds)


@asynccontextmanager
async def follow(client: AsyncClient, **how: Any) -> AsyncIterator[Heard]:
    """Follow events in the background."""
    heard = Heard(client.follow_events(backoff=quick(), **how))

    async def listen() -> None:
        async with aclosing(aiter(heard.feed)) as items:
            async for item in items:
                heard.items.append(item)

    task = asyncio.create_task(listen())
    try:
        await until(lambda: heard.feed.connected or task.done(), "the feed to listen")
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert not heard.feed.connected


async def until_stored(client: AsyncClient, event_id: str) -> None:
    """Wait until an event is stored: while the disk is slow, events are sent before."""
    async with asyncio.timeout(60):
        while True:
            with suppress(ApiNotFoundError):
                await client.get_event(event_id)
                return
            await asyncio.sleep(0.05)


async def test_events_come_once_and_in_order_while_the_daemon_is_killed_and_restarted(daemon: ApiDaemon) -> None:
    """Events decided after its return arrive, and none that was received before is repeated."""
    async with AsyncClient(f"http://{daemon.address}") as client, follow(client, modes=["alpha"]) as heard:
        await heard.come("gap")
        assert heard.items[0].beginning
        await asyncio.to_thread(daemon.bring, "alpha", "low")
        await asyncio.to_thread(daemon.bring, "beta", "low")
        await heard.come("gap", "alpha reserve_low")
        for number, (status, end) in enumerate([("critical", signal.SIGKILL), ("adequate", signal.SIGTERM)]):
            await asyncio.to_thread(daemon.stop, end)
            await until(lambda: not heard.feed.connected, "the connection to break")
            daemon.world.set("alpha", status)
            await asyncio.to_thread(daemon.start)
            told = 3 + number
            await until(lambda: len(heard.kinds) == told, f"{status}, got {heard.kinds}", 60)  # noqa: B023
        await heard.come("gap", "alpha reserve_low", "alpha reserve_critical", "alpha reserve_adequate")
        assert isinstance(heard.items[1], ReserveEvent)
        assert len({each.id for each in heard.items[1:]}) == len(heard.items) - 1


async def test_feed_begins_after_the_event_that_was_kept(daemon: ApiDaemon) -> None:
    """In another process as well; an unknown id is reported as a gap, after which new events arrive."""
    async with AsyncClient(f"http://{daemon.address}") as client:
        async with follow(client) as heard:
            await asyncio.to_thread(daemon.bring, "alpha", "low")
            await heard.come("gap", "alpha reserve_low")
            kept = heard.feed.last_event_id
        await asyncio.to_thread(daemon.bring, "alpha", "critical")
        async with follow(client, modes=["alpha"], last_event_id=kept) as heard:
            await heard.come("alpha reserve_critical")
        async with follow(client, modes=["alpha"], last_event_id="nobody-knows") as heard:
            await until(lambda: heard.items, "the gap")
            assert isinstance(heard.items[0], EventGap)
            assert not heard.items[0].beginning
            await asyncio.to_thread(daemon.bring, "alpha", "adequate")
            await until(lambda: "alpha reserve_adequate" in heard.kinds, "the next event")


async def test_changes_of_requests_come_too(daemon: ApiDaemon) -> None:
    async with AsyncClient(f"http://{daemon.address}") as client, follow(client, modes=["beta"]) as heard:
        await asyncio.to_thread(daemon.bring, "beta", "low")
        await until(lambda: "beta replenishment_changed" in heard.kinds, "the request")
        (event,) = (each for each in heard.items if isinstance(each, ReplenishmentEvent))
        assert (event.state, event.amount) == ("requested", 36)


async def test_change_of_a_request_is_found_by_the_id_it_was_told_under(daemon: ApiDaemon) -> None:
    """As with a reserve event; lists contain it only if its type is requested, since readers of alarms do not expect
    it.
    """
    async with AsyncClient(f"http://{daemon.address}") as client, follow(client, modes=["beta"]) as heard:
        await asyncio.to_thread(daemon.bring, "beta", "low")
        await until(lambda: "beta replenishment_changed" in heard.kinds, "the request")
        (told,) = (each for each in heard.items if isinstance(each, ReplenishmentEvent))
        await until_stored(client, told.id)
        found = await client.get_event(told.id)
        assert (found.event.data, found.explanation) == (told, None)
        page = await client.list_events(mode="beta", event_type="replenishment_changed")
        assert told in [each.event.data for each in page.items]
        alarms = (await client.list_events(mode="beta")).items
        assert alarms
        assert all(isinstance(each.event.data, ReserveEvent) for each in alarms)


async def test_feed_ends_when_the_daemon_will_not_tell(tmp_path: Path) -> None:
    """A retry would fail in the same way: an error is raised, without waiting."""
    with ApiDaemon(tmp_path, open_reads=False) as daemon:
        async with AsyncClient(f"http://{daemon.address}") as client:
            with pytest.raises(ApiDeniedError):
                await anext(aiter(client.follow_events(backoff=quick())))
        async with AsyncClient(f"http://{daemon.address}", token="rsv_reader") as client:
            with pytest.raises(ApiRefusedError, match="invalid"):
                await anext(aiter(client.follow_events(modes=["no mode"], backoff=quick())))
        async with AsyncClient(f"http://{daemon.address}/elsewhere", token="rsv_reader") as client:
            with pytest.raises(ApiNotFoundError):
                await anext(aiter(client.follow_events(backoff=quick())))


def test_events_come_to_those_who_do_not_await(daemon: ApiDaemon) -> None:
    with Client(f"http://{daemon.address}") as client:
        events = client.follow_events(modes=["alpha"], backoff=quick())
        gap = next(events)
        assert isinstance(gap, EventGap)
        daemon.bring("alpha", "low")
        event = next(events)
        assert isinstance(event, ReserveEvent)
        assert (event.event_type, event.strategy_mode) == ("reserve_low", "alpha")
        events.close()
        assert client.get_mode("alpha").incident is not None
        left = client.follow_events(backoff=quick())
        next(left)
    left.close()  # ended after its client, so that no connection remains to be closed


async def test_stream_of_a_newer_daemon_is_read_as_far_as_it_is_understood() -> None:
    """Unknown kinds are skipped, unreadable events are reported as gaps, and both advance the id."""
    asked: list[bytes] = []
    frames = (
        b"retry: 2000\n\n",
        b"id: 1\nevent: reservd.reserve_glad.v1\ndata: {}\n\n",
        b"id: 2\nevent: reservd.reserve_low.v1\ndata: {}\n\n",
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        writer.writelines(frames)
        await writer.drain()
        if len(asked) > 2:
            await reader.read()  # until the client disconnects
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, AsyncClient(url) as client, follow(client) as heard:
        await until(lambda: len(asked) > 2, "the client to come back")
    assert [each.detail for each in heard.items][:2] == ["earlier events are unknown", "event 2 cannot be read"]
    assert [b"Last-Event-ID: 2\r\n" in each for each in asked][:2] == [False, True]
