"""The pages of a real server on a free port."""

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from reservd.errors import ReservdError
from reservd.store.database import Database, parse_url
from reservd.web.access.control import AccessControl
from reservd.web.backend import Backend, Readiness
from reservd.web.metrics import Metrics, Series
from reservd.web.page import MetricsPage
from reservd.web.server import WebServer
from reservd.web.site import make_site
from reservd.web.stream import EventStream


async def reload_nothing() -> None:
    """Do nothing: there is no file."""


@asynccontextmanager
async def serve(*, healthy: bool = True, ready: bool = True, modes: int = 1) -> AsyncIterator[aiohttp.ClientSession]:
    """Serve the pages of some modes, and yield a client that does not decompress."""
    metrics = Metrics(Series({f"mode_{number}": "USDT" for number in range(modes)}))
    page = MetricsPage(metrics.take, metrics.render)
    await page.start()
    database = Database(parse_url("sqlite:///nothing.db", Path("/dev/null")))
    backend = Backend(
        page=page,
        healthy=lambda: healthy,
        readiness=lambda: Readiness(ready, "as it is"),
        reload=reload_nothing,
        duty=lambda: None,
        database=database,
        stream=EventStream(database),
        access=AccessControl(),
        headers={"X-Frame-Options": "deny"},
    )
    server = WebServer(make_site(backend), ["127.0.0.1:0"])
    await server.start()
    try:
        base = f"http://{server.addresses[0]}"
        async with aiohttp.ClientSession(base, auto_decompress=False) as client:
            yield client
    finally:
        await server.close()
        await page.close()
        await database.close()


@pytest.mark.parametrize(
    ("accepted", "gzipped"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("gzip;q=0.5", True),
        ("gzip; q=0.001", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("deflate;q=0, gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0", False),
        ("gzip;q=0.000", False),
        ("deflate, gzip;q=0, *", False),
        ("identity", False),
        ("", False),
        ("br", False),
        ("x-gzip", False),
    ],
)
async def test_metrics_are_gzipped_only_when_the_scraper_takes_that(accepted: str, gzipped: bool) -> None:
    """RFC 9110: a weight of 0 refuses a coding."""
    async with serve() as client, client.get("/metrics", headers={"Accept-Encoding": accepted}) as answer:
        body = await answer.read()
        assert answer.status == 200
        assert (answer.headers.get("Content-Encoding") == "gzip") is gzipped
        assert answer.headers["Vary"].lower() == "accept-encoding"
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert b"# TYPE reservd_reserve_status gauge\n" in (gzip.decompress(body) if gzipped else body)


@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_large_page_arrives_whole(coding: str) -> None:
    """It is sent in pieces."""
    async with serve(modes=3000) as client, client.get("/metrics", headers={"Accept-Encoding": coding}) as answer:
        body = await answer.read()
        page = gzip.decompress(body) if coding == "gzip" else body
    assert len(page) > 256 * 1024
    assert page.count(b"\nreservd_reserve_status{") == 3000 * 4
    assert page.endswith(b"\n")


async def test_head_says_how_large_the_page_is_and_sends_none() -> None:
    async with serve() as client, client.head("/metrics") as answer:
        assert int(answer.headers["Content-Length"]) > 0
        assert await answer.read() == b""


@pytest.mark.parametrize("well", [True, False])
async def test_health_and_readiness_are_told_by_the_status(well: bool) -> None:
    async with serve(healthy=well, ready=well) as client:
        for path in ("/-/healthy", "/-/ready"):
            async with client.get(path) as answer:
                assert answer.status == (200 if well else 503)
        async with client.get("/-/ready") as answer:
            assert await answer.text() == "as it is\n"


async def test_index_links_to_every_page() -> None:
    async with serve() as client:
        async with client.get("/") as answer:
            text = await answer.text()
        for path in ("/metrics", "/-/healthy", "/-/ready"):
            assert f'href="{path}"' in text
            async with client.get(path) as answer:
                assert answer.status == 200


async def test_configured_headers_are_on_every_page() -> None:
    async with serve() as client:
        for path in ("/metrics", "/", "/nothing", "/api/v1/modes"):
            async with client.get(path) as answer:
                assert answer.headers["X-Frame-Options"] == "deny"


async def test_daemon_that_stands_by_says_so() -> None:
    """Only the owner reports reserves; the problem says when to retry."""
    async with serve() as client:
        for path in ("/api/v1/modes", "/api/v1/events/stream", "/api/v1/modes/m/withdrawals"):
            async with client.get(path) as answer:
                assert (answer.status, (await answer.json(content_type=None))["title"]) == (
                    503,
                    "This daemon does not own the store",
                )
                assert answer.headers["Retry-After"]
        async with client.get("/") as answer:
            assert "stands by" in await answer.text()


async def test_events_are_a_problem_when_the_store_is_gone() -> None:
    async with serve() as client, client.get("/api/v1/events") as answer:
        problem = await answer.json(content_type=None)
        assert (answer.status, problem["type"]) == (503, "urn:problem-type:reservd:store-gone")
        assert "null" not in problem["detail"]


async def test_server_is_refused_when_the_address_is_taken() -> None:
    async with serve() as client:
        taken = str(client._base_url).removeprefix("http://").rstrip("/")
        with pytest.raises(ReservdError, match=f"cannot listen on {taken}: Address already in use".replace(".", r"\.")):
            WebServer(lambda *_: None, [taken])  # type: ignore[arg-type,return-value]  # nothing is served
