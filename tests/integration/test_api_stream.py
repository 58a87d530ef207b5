"""The stream of events: live, after an interruption, and with clients that do not read."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import delete

from reservd.store.database import Database
from reservd.store.tables import events
from reservd.web.access.control import AccessControl
from reservd.web.access.tokens import TokenBook
from reservd.web.backend import Backend, Readiness
from reservd.web.metrics import Metrics, Series
from reservd.web.page import MetricsPage
from reservd.web.server import WebServer
from reservd.web.site import make_site
from reservd.web.stream import EventStream
from support.api import ApiDaemon, write_tokens
from support.office import Office
from support.polling import until

_SECONDS = 60


async def read(answer: aiohttp.ClientResponse, number: int) -> list[dict[str, Any]]:
    """Return the next events."""
    found: list[dict[str, Any]] = []
    fields: dict[str, str] = {}
    async with asyncio.timeout(_SECONDS):
        async for line in answer.content:
            text = line.decode().rstrip("\n")
            if text:
                name, _, value = text.partition(": ")
                fields[name] = value
            elif "data" in fields:
                found.append({"id": fields.get("id"), "event": fields["event"], **json.loads(fields["data"])})
                fields = {}
                if len(found) == number:
                    break
    return found


def listen(client: aiohttp.ClientSession, query: str = "", last_id: str = "", token: str = "") -> Any:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    return client.get(f"/api/v1/events/stream{query}", headers=headers)


class _Duty:
    """What the site needs of a duty, where a test needs nothing but events."""

    def __init__(self, office: Office) -> None:
        self.manager = office.manager
        self.store_up = True


async def reload_nothing() -> None:
    """Do nothing: there is no file."""


@asynccontextmanager
async def serve(
    database: Database, *modes: str, access: AccessControl | None = None
) -> AsyncIterator[tuple[Office, EventStream, str]]:
    """Serve the events of an office over real HTTP."""
    stream = EventStream(database)
    metrics = Metrics(Series(dict.fromkeys(modes, "USDT")))
    page = MetricsPage(metrics.take, metrics.render)
    async with Office(database, modes=modes) as office:
        office.pipeline.journal._observers = [office.heard, stream]
        backend = Backend(
            page=page,
            healthy=lambda: True,
            readiness=lambda: Readiness(ready=True, text="as it is"),
            reload=reload_nothing,
            duty=lambda: _Duty(office),  # type: ignore[arg-type,return-value]  # no withdrawals here
            database=database,
            stream=stream,
            access=access or AccessControl(),
        )
        server = WebServer(make_site(backend), ["127.0.0.1:0"])
        await server.start()
        try:
            yield office, stream, f"http://{server.addresses[0]}"
        finally:
            stream.close()
            await server.close()


async def test_client_hears_of_events_and_gets_what_it_missed_when_it_comes_back(tmp_path: Path) -> None:
    """From a real daemon that was killed and started again in between."""
    store = f"sqlite:///{tmp_path}/store.db"
    with ApiDaemon(tmp_path, store) as daemon:
        async with aiohttp.ClientSession(f"http://{daemon.address}") as client, listen(client) as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            await asyncio.to_thread(daemon.bring, "alpha", "low")
            [low] = await read(answer, 1)
            assert (low["event"], low["id"], low["subject"]) == ("reservd.reserve_low.v1", low["data"]["id"], "alpha")
        await asyncio.to_thread(daemon.bring, "beta", "low")
        await asyncio.to_thread(daemon.bring, "alpha", "critical")
    with ApiDaemon(tmp_path, store) as daemon:
        await asyncio.to_thread(daemon.world.set, "alpha", "critical")
        async with aiohttp.ClientSession(f"http://{daemon.address}") as client:
            missed: list[Any] = []
            for _ in range(50):  # it closes connections until it owns its store
                async with listen(client, last_id=low["id"]) as answer:
                    missed = await read(answer, 2)
                if missed:
                    break
                await asyncio.sleep(0.2)
            assert [(each["subject"], each["event"].split(".")[1]) for each in missed] == [
                ("beta", "reserve_low"),
                ("alpha", "reserve_critical"),
            ]
            async with listen(client, "?mode=beta", last_id=low["id"]) as answer:
                assert [each["subject"] for each in await read(answer, 1)] == ["beta"]
            async with listen(client, last_id="nobody-knows") as answer:
                [gap] = await read(answer, 1)
                assert gap["event"] == "gap"


async def test_client_is_told_of_a_gap_when_what_came_after_its_last_event_is_not_kept_any_more(
    database: Database,
) -> None:
    """Its last event waits for a sink that is down, and is therefore kept longer than later ones."""
    async with serve(database, "m") as (office, stream, url), aiohttp.ClientSession(url) as client:
        async with listen(client) as answer:
            await until(lambda: len(stream._clients) == 1, "the client to listen")
            for status in ("low", "critical", "adequate"):
                await office.look(m=status)
            heard = await read(answer, 3)
        stream.close()  # like a restarted daemon, it remembers nothing
        async with database.write() as connection:
            await connection.execute(delete(events).where(events.c.id == heard[1]["id"]))
        async with listen(client, last_id=heard[0]["id"]) as answer:
            gap, last = await read(answer, 2)
        assert (gap["event"], last["id"]) == ("gap", heard[2]["id"])
        async with listen(client, last_id=heard[1]["id"]) as answer:
            assert [each["event"] for each in await read(answer, 1)] == ["gap"]
        async with listen(client, last_id=heard[2]["id"]) as answer:
            await office.look(m="low")
            assert [each["event"] for each in await read(answer, 1)] == ["reservd.reserve_low.v1"]


@pytest.mark.no_cover
async def test_every_one_of_500_clients_hears_of_every_event(database: Database) -> None:
    modes = [f"m{number}" for number in range(4)]
    async with serve(database, *modes) as (office, stream, url), AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0)
        client = await stack.enter_async_context(aiohttp.ClientSession(url, connector=connector))
        answers = [await stack.enter_async_context(listen(client)) for _ in range(500)]
        await until(lambda: len(stream._clients) == 500, "all clients to listen")
        async with client.get("/-/healthy") as answer:
            assert answer.status == 200
        await office.look(**dict.fromkeys(modes, "low"))
        heard = await asyncio.gather(*(read(answer, 4) for answer in answers))
        assert all([each["subject"] for each in events] == modes for events in heard)


async def test_event_of_a_moment_ago_is_superseded_when_a_later_status_is_known(database: Database) -> None:
    """This is decided at each sending, also from memory."""
    async with serve(database, "m") as (office, stream, url), aiohttp.ClientSession(url) as client:
        async with listen(client) as answer:
            await until(lambda: len(stream._clients) == 1, "the client to listen")
            for status in ("low", "critical", "adequate"):
                await office.look(m=status)
            heard = await read(answer, 3)
        assert not heard[0]["data"]["superseded"]
        async with listen(client, last_id=heard[0]["id"]) as answer:
            again = await read(answer, 2)
        assert [each["id"] for each in again] == [each["id"] for each in heard[1:]]
        assert [each["data"]["superseded"] for each in again] == [True, False]


@pytest.mark.no_cover
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)  # hundreds of events, independent of the store
async def test_client_that_does_not_read_is_dropped_and_others_are_not(database: Database) -> None:
    async with serve(database, "m") as (office, stream, url), aiohttp.ClientSession(url) as client:
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.to_thread(deaf.connect, (host, int(port)))
            deaf.sendall(b"GET /api/v1/events/stream HTTP/1.1\r\nHost: x\r\n\r\n")
            await until(lambda: len(stream._clients) == 1, "the client to listen")
            async with listen(client) as answer:
                await until(lambda: len(stream._clients) == 2, "both clients to listen")
                statuses = ["low", "adequate"]
                heard = 0
                while len(stream._clients) == 2:
                    for status in statuses * 10:
                        await office.look(m=status)
                    heard += len(await read(answer, 20))
                assert heard >= 256
                await office.look(m="low")
                assert len(await read(answer, 1)) == 1
        await until(lambda: not stream._clients, "both clients to be disconnected")


async def test_all_are_hung_up_on_when_the_daemon_is_not_the_owner_any_more(database: Database) -> None:
    async with serve(database, "m") as (office, stream, url), aiohttp.ClientSession(url) as client:
        async with listen(client) as answer:
            await until(lambda: len(stream._clients) == 1, "the client to listen")
            await office.look(m="low")
            await until(lambda: stream._recent, "the event")
            stream.close()
            assert b"reserve_low" in await answer.read()
        assert not stream._clients


async def test_client_is_hung_up_on_when_its_token_is_taken_away_and_others_are_not(
    database: Database, tmp_path: Path
) -> None:
    """It receives nothing that is decided later than a second after that."""
    path = write_tokens(tmp_path / "tokens.yaml", ["reader", "admin"])
    access = AccessControl(TokenBook(path), open_reads=False)
    async with serve(database, "m", access=access) as (office, stream, url), aiohttp.ClientSession(url) as client:
        async with listen(client) as answer:
            assert answer.status == 401
        async with listen(client, token="rsv_reader") as taken, listen(client, token="rsv_admin") as kept:
            await until(lambda: len(stream._clients) == 2, "both clients to listen")
            await office.look(m="low")
            assert len(await read(taken, 1)) == len(await read(kept, 1)) == 1
            write_tokens(path, ["admin"])
            said = 0
            async with asyncio.timeout(60):
                while len(stream._clients) == 2:
                    await office.look(m=("adequate", "low")[said % 2])
                    said += 1
                    assert len(await read(kept, 1)) == 1
            assert (await taken.read()).count(b"\nevent: ") < said
            await office.look(m=("adequate", "low")[said % 2])
            assert len(await read(kept, 1)) == 1
