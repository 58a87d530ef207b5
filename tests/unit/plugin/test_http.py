"""The HTTP client of plugins against a real server that misbehaves."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from reservd.errors import FailureReason
from reservd.plugin.http import AddressRefusedError, HttpClient, HttpError, Response
from support.ports import kept_port
from support.tls import TlsListener, make_certificate

SECRET = "s3cret"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Gives the answers that a test sets."""

    def __init__(self) -> None:
        self.handler: Handler = self.says(200, b"")
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.base = ""

    @property
    def url(self) -> str:
        return f"{self.base.replace('//', f'//user:{SECRET}@')}/{SECRET}?key={SECRET}"

    @staticmethod
    def says(status: int, body: bytes, **headers: str) -> Handler:
        async def handler(_: web.Request) -> web.StreamResponse:
            return web.Response(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

        return handler

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        return await self.handler(request)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    running = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", running.handle)
    async with TestServer(app) as listening:
        running.base = f"http://127.0.0.1:{listening.port}"
        yield running


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(timeout_seconds=10, headers={"X-Key": SECRET}) as opened:
        yield opened


async def failure_of(call: Awaitable[Response]) -> HttpError:
    with pytest.raises(HttpError) as raised:
        await call
    error = raised.value
    assert SECRET not in f"{error}{error.detail}{error.__cause__}", "nothing of the request is in the error"
    assert "http://" not in str(error)
    assert error.__context__ is None or error.__suppress_context__
    return error


async def test_get_returns_status_and_body(server: Server, client: HttpClient) -> None:
    server.handler = server.says(201, b"made")
    assert await client.get(server.url, headers={"X-More": "1"}) == Response(201, b"made")
    (request,) = server.requests
    assert (request.method, request.headers["X-Key"], request.headers["X-More"]) == ("GET", SECRET, "1")
    assert request.headers["User-Agent"] == "reservd"


async def test_post_sends_the_body_as_json(server: Server, client: HttpClient) -> None:
    await client.post(server.url, b'{"a": 1}', headers={"X-More": "1"})
    assert server.bodies == [b'{"a": 1}']
    assert server.requests[0].headers["Content-Type"] == "application/json"


async def test_no_cookie_is_kept(server: Server, client: HttpClient) -> None:
    server.handler = server.says(200, b"", Set_Cookie="session=1")
    await client.get(server.url)
    await client.get(server.url)
    assert "Cookie" not in server.requests[1].headers


@pytest.mark.parametrize(
    ("status", "reason", "retryable"),
    [
        (301, FailureReason.REJECTED, False),
        (304, FailureReason.REJECTED, False),
        (400, FailureReason.REJECTED, False),
        (401, FailureReason.REJECTED, True),
        (404, FailureReason.REJECTED, True),
        (413, FailureReason.REJECTED, False),
        (422, FailureReason.REJECTED, False),
        (408, FailureReason.REJECTED, True),
        (429, FailureReason.RATE_LIMITED, True),
        (500, FailureReason.REJECTED, True),
        (503, FailureReason.REJECTED, True),
    ],
)
async def test_status_becomes_a_closed_reason(
    server: Server, client: HttpClient, status: int, reason: FailureReason, retryable: bool
) -> None:
    server.handler = server.says(status, SECRET.encode() if status != 304 else b"")
    error = await failure_of(client.get(server.url))
    assert (error.reason, error.detail, error.retryable) == (reason, f"HTTP {status}", retryable)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("9" * 40, 999_999_999),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
    ],
)
async def test_failure_says_when_to_come_back_when_the_server_does(
    server: Server, client: HttpClient, said: str, seconds: float | None
) -> None:
    server.handler = server.says(503, b"", Retry_After=said)
    assert (await failure_of(client.get(server.url))).retry_after_seconds == seconds


async def test_failure_says_when_to_come_back_when_the_server_names_a_date(server: Server, client: HttpClient) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    server.handler = server.says(429, b"", Retry_After=date)
    error = await failure_of(client.get(server.url))
    assert error.retry_after_seconds is not None
    assert 3000 < error.retry_after_seconds <= 3600


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_is_not_followed(server: Server, client: HttpClient, status: int) -> None:
    server.handler = server.says(status, b"", Location=f"/elsewhere?key={SECRET}")
    assert (await failure_of(client.post(server.url, b"{}"))).detail == f"HTTP {status}"
    assert len(server.requests) == 1


async def test_request_times_out_when_nothing_comes(server: Server) -> None:
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    server.handler = hang
    async with HttpClient(timeout_seconds=0.05) as client:
        error = await failure_of(client.get(server.url))
    released.set()
    assert (error.reason, error.detail, error.retryable) == (FailureReason.TIMEOUT, "no answer within 0.05 s", True)


async def test_deadline_is_for_the_whole_answer_when_it_drips(server: Server) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.01)
        except ConnectionError:
            return response

    server.handler = drip
    async with HttpClient(timeout_seconds=0.2) as client:
        assert (await failure_of(client.get(server.url))).reason is FailureReason.TIMEOUT


@pytest.mark.parametrize("size", [10, 11])
async def test_answer_is_refused_when_it_is_too_large(server: Server, size: int) -> None:
    server.handler = server.says(200, b"x" * size)
    async with HttpClient(timeout_seconds=10, max_response_bytes=10) as client:
        if size == 10:
            assert (await client.get(server.url)).body == b"x" * 10
            return
        error = await failure_of(client.get(server.url))
    assert (error.reason, error.retryable) == (FailureReason.INVALID_DATA, False)
    assert error.detail == "the answer is larger than 10 bytes"
    assert error.taken, "by its status"


async def test_answer_is_refused_when_a_small_one_unpacks_to_a_large_one(server: Server) -> None:
    async def pack(request: web.Request) -> web.StreamResponse:
        response = web.Response(body=b"0" * 5_000_000)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    server.handler = pack
    async with HttpClient(timeout_seconds=10, max_response_bytes=100_000) as client:
        error = await failure_of(client.get(server.url))
    assert error.reason is FailureReason.INVALID_DATA


async def test_server_is_unreachable_when_nothing_listens(client: HttpClient) -> None:
    with kept_port() as port:
        error = await failure_of(client.get(f"http://127.0.0.1:{port}/{SECRET}"))
    assert (error.reason, error.detail, error.retryable) == (FailureReason.UNREACHABLE, "connection refused", True)


async def test_server_is_unreachable_when_its_name_is_not_known(client: HttpClient) -> None:
    error = await failure_of(client.get(f"http://no-such-host.invalid/{SECRET}"))
    assert error.reason is FailureReason.UNREACHABLE


async def test_server_is_unreachable_when_it_hangs_up(server: Server, client: HttpClient) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.abort()
        return response

    server.handler = hang_up
    assert (await failure_of(client.get(server.url))).reason is FailureReason.UNREACHABLE


async def test_server_is_unreachable_when_it_speaks_no_http(client: HttpClient) -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{SECRET}\r\n\r\n".encode())
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        error = await failure_of(client.get(f"http://127.0.0.1:{port}/"))
    assert error.reason is FailureReason.UNREACHABLE


async def test_server_is_unreachable_when_it_speaks_no_tls(server: Server, client: HttpClient) -> None:
    error = await failure_of(client.get(server.url.replace("http://", "https://")))
    assert (error.reason, error.retryable) == (FailureReason.UNREACHABLE, True)


async def test_server_is_unreachable_when_its_certificate_is_not_believed(
    server: Server, client: HttpClient, tmp_path: Path
) -> None:
    """The certificate may be renewed, so an undelivered event must not become a dead letter."""
    port = int(server.base.rpartition(":")[2])
    async with TlsListener(0, port, make_certificate(tmp_path)) as listener:
        error = await failure_of(client.get(f"https://127.0.0.1:{listener.port}/{SECRET}"))
    assert (error.reason, error.retryable) == (FailureReason.UNREACHABLE, True)
    assert error.detail == "the certificate is not trusted: self-signed certificate"


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Resolve every name to these addresses."""

    def answer(host: str, port: int, *_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


@pytest.mark.parametrize("host", ["127.0.0.1", "host.example"])
async def test_nothing_is_sent_when_the_address_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Whether it is in the URL or the result of name resolution."""
    resolve_to(monkeypatch, "127.0.0.1", "127.0.0.1")
    asked: list[str] = []

    def refuse(address: str) -> bool:
        asked.append(address)
        return False

    async with HttpClient(timeout_seconds=10, may_connect=refuse) as client:
        error = await failure_of(client.get(server.url.replace("127.0.0.1", host)))
    assert isinstance(error, AddressRefusedError)
    assert (error.reason, error.retryable) == (FailureReason.REJECTED, False)
    assert set(asked) == {"127.0.0.1"}
    assert server.requests == []


async def test_next_address_is_connected_to_when_one_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, "127.0.0.2", "127.0.0.1")
    async with HttpClient(timeout_seconds=10, may_connect=lambda address: address == "127.0.0.1") as client:
        assert (await client.get(server.url.replace("127.0.0.1", "host.example"))).status == 200
    (request,) = server.requests
    assert request.host.startswith("host.example")


async def test_each_connection_is_asked_about_when_a_name_changes_its_address(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolves to an allowed address at first and to another one later is still refused."""
    url = server.url.replace("127.0.0.1", "host.example")
    client = HttpClient(timeout_seconds=10, may_connect=lambda address: address == "127.0.0.1")
    resolve_to(monkeypatch, "127.0.0.1")
    async with client:
        await client.get(url)
    resolve_to(monkeypatch, "127.0.0.2")
    async with client:
        assert isinstance(await failure_of(client.get(url)), AddressRefusedError)


@pytest.mark.parametrize(
    "url", ["", f"{SECRET}", f"http://{SECRET} {SECRET}/", f"ftp://{SECRET}/", "http://[x", "http://a:b/"]
)
async def test_url_is_refused_when_it_is_none(client: HttpClient, url: str) -> None:
    error = await failure_of(client.get(url))
    assert not error.retryable or error.reason is FailureReason.UNREACHABLE


@pytest.mark.parametrize("headers", [{"X-Key": f"{SECRET}\r\nX-Evil: 1"}, {"X-Evil\n": SECRET}])
async def test_header_is_refused_when_it_would_smuggle_another(
    server: Server, client: HttpClient, headers: dict[str, str]
) -> None:
    error = await failure_of(client.get(server.url, headers=headers))
    assert not error.retryable
    assert server.requests == []


async def test_client_is_closed_until_it_is_opened(server: Server) -> None:
    client = HttpClient(timeout_seconds=1)
    await client.__aexit__(None, None, None)
    error = await failure_of(client.get(server.url))
    assert (error.reason, error.detail) == (FailureReason.INTERNAL, "the HTTP client is not open")
    for _ in range(2):
        async with client:
            assert (await client.get(server.url)).status == 200


async def test_cancelling_ends_a_request(server: Server, client: HttpClient) -> None:
    arrived, released = asyncio.Event(), asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        arrived.set()
        await released.wait()
        return web.Response()

    server.handler = hang
    task = asyncio.create_task(client.get(server.url))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    released.set()


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 0.1}', {"a": Decimal("0.1")}),
        (b"1e-3", Decimal("0.001")),
        (b"12345678901234567890.123456789", Decimal("12345678901234567890.123456789")),
        (b"12", 12),
        (b'[true, null, "x"]', [True, None, "x"]),
        ('"ü"'.encode("utf-16"), "ü"),
    ],
)
def test_json_has_exact_numbers(body: bytes, value: Any) -> None:
    found = Response(200, body).json()
    assert found == value
    assert not isinstance(found, float)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{",
        b'{"a": NaN}',
        b"Infinity",
        b"-Infinity",
        b"1e999",
        b"1e-999",
        b"1e99999999999999999999999",
        b"9" * 5000,
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_json_is_refused_when_it_is_none(body: bytes) -> None:
    with pytest.raises(HttpError) as raised:
        Response(200, body).json()
    assert (raised.value.reason, raised.value.retryable) == (FailureReason.INVALID_DATA, False)
    assert raised.value.detail.startswith("not JSON: ")
    assert len(raised.value.detail) < 120
