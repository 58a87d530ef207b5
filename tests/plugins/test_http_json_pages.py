"""The `http_json` balance source with answers in pages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from reservd.plugin import FailureReason, SourceError
from reservd_http_json.balances import HttpJsonBalanceSource

R = FailureReason


ONE = {"asset": "USDT", "amount": "$.free"}


async def read(source: Any) -> Any:
    async with source:
        return await source.fetch_balances()


class Book:
    """Answers with pages, selected by the query parameter `page`."""

    def __init__(self, *pages: Any) -> None:
        self.pages = pages
        self.asked: list[str] = []
        self.keys: set[str | None] = set()

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request.raw_path)
        self.keys.add(request.headers.get("Authorization"))
        return web.json_response(self.pages[int(request.query.get("page", "0"))])

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        async with TestServer(app) as server:
            yield f"http://127.0.0.1:{server.port}"


PAGED = {"balances": [{**ONE, "amount": "$.rows[?@.coin=='USDT'].free"}], "next": "$.next", "token": "s3cret"}


@pytest.mark.parametrize("last", [{}, {"next": None}, {"next": ""}, {"next": False}])
async def test_balance_is_found_on_whichever_page_it_stands(build: Any, last: Any) -> None:
    book = Book(
        {"rows": [{"coin": "ETH", "free": 1}], "next": 1},
        {"rows": [{"coin": "USDT", "free": "2.5"}], "next": "2"},
        {"rows": [], **last},
    )
    async with book.open() as url:
        options = {"url": f"{url}/rows?a=b&page=0", "next_parameter": "page", **PAGED}
        reading = await read(build(HttpJsonBalanceSource, options))
    assert [balance.amount for balance in reading.balances] == [Decimal("2.5")]
    assert book.asked == ["/rows?a=b&page=0", "/rows?a=b&page=1", "/rows?a=b&page=2"]
    assert book.keys == {"Bearer s3cret"}


async def test_next_leads_to_a_url_when_no_parameter_takes_it(build: Any) -> None:
    book = Book({"next": "/other?page=1"}, {"next": "?page=2"}, {"rows": [{"coin": "USDT", "free": 3}]})
    async with book.open() as url:
        book.pages[0]["next"] = f"{url}/other?page=1"
        reading = await read(build(HttpJsonBalanceSource, {"url": f"{url}/rows", **PAGED}))
    assert reading.balances[0].amount == 3
    assert book.asked == ["/rows", "/other?page=1", "/other?page=2"]


async def test_balance_is_never_summed_over_pages(build: Any) -> None:
    row = {"coin": "USDT", "free": 1}
    async with Book({"rows": [row], "next": "?page=1"}, {"rows": [row]}).open() as url:
        reading = await read(build(HttpJsonBalanceSource, {"url": url, **PAGED}))
    assert not reading.balances
    assert reading.failures[0].detail.endswith("must match one value, matched several")


async def test_balances_are_as_old_as_the_oldest_page(build: Any) -> None:
    book = Book({"at": 1_714_979_290, "next": "?page=1"}, {"at": 1_714_979_289, "rows": [{"coin": "USDT", "free": 1}]})
    async with book.open() as url:
        reading = await read(build(HttpJsonBalanceSource, {"url": url, **PAGED, "observed_at": "$.at"}))
    assert reading.balances[0].observed_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("following", "detail"),
    [
        ("?page=0", "there are more than 20 pages"),
        ("http://localhost/?page=1", "next: must be a URL of the same scheme, host and port"),
        ("//127.0.0.2/", "next: must be a URL of the same scheme, host and port"),
        ("https://127.0.0.1/", "next: must be a URL of the same scheme, host and port"),
        ("mailto:jo", "next: must be a URL"),
        ("http://[", "next: must be a URL"),
        (True, "next: $.next must be text, a whole number or null, got true"),
        (1.5, "next: $.next must be text, a whole number or null, got a number"),
        ([1], "next: $.next must be text, a whole number or null, got a list"),
    ],
)
async def test_source_fails_when_the_pages_do_not_end_or_lead_away(build: Any, following: Any, detail: str) -> None:
    """A part of the pages must never be taken for the whole."""
    book = Book({"rows": [{"coin": "USDT", "free": 1}], "next": following})
    async with book.open() as url:
        with pytest.raises(SourceError) as failure:
            await read(build(HttpJsonBalanceSource, {"url": url, **PAGED}))
    assert (failure.value.reason, failure.value.detail) == (R.INVALID_DATA, detail)


async def test_source_fails_when_all_pages_together_are_too_large(build: Any) -> None:
    page = {"rows": ["x" * 5_000_000], "next": "?page=0"}
    async with Book(page).open() as url:
        with pytest.raises(SourceError, match="the pages are larger than 16777216 bytes"):
            await read(build(HttpJsonBalanceSource, {"url": url, **PAGED}))


async def test_source_fails_when_a_later_page_does_not_come(build: Any, receiver: Any) -> None:
    receiver.says('{"rows": [{"coin": "USDT", "free": 1}], "next": "/again"}', 200)

    async def fail_after_the_first() -> None:
        await receiver.arrived.wait()
        receiver.behaviour = "hang"

    task = asyncio.create_task(fail_after_the_first())
    with pytest.raises(SourceError) as failure:
        await read(build(HttpJsonBalanceSource, {"url": receiver.url, "timeout": 1, **PAGED}))
    await task
    assert failure.value.reason is R.TIMEOUT
