"""The pages: metrics and health."""

from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from reservd._version import __version__
from reservd.web.page import MetricsPage

_CHUNK = 256 * 1024

_INDEX = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>reservd</title></head>
<body><h1>reservd {__version__}</h1><ul>
<li><a href="/metrics">Metrics</a></li>
<li><a href="/-/healthy">Healthy</a></li>
<li><a href="/-/ready">Ready</a></li>
</ul></body></html>
"""


class _Bytes(Response):
    """A body handed over in pieces, so that a large one does not hold the event loop."""

    def __init__(self, body: bytes, headers: dict[str, str]) -> None:
        super().__init__(headers={**headers, "content-length": str(len(body))})
        self._body = memoryview(body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            for start in range(0, len(self._body), _CHUNK):
                piece = bytes(self._body[start : start + _CHUNK])
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Readiness(NamedTuple):
    """Whether the daemon does all that it is there for."""

    ready: bool
    """A daemon that stands by is ready."""
    text: str
    """One line for people."""


def make_site(page: MetricsPage, healthy: Callable[[], bool], readiness: Callable[[], Readiness]) -> Starlette:
    """Return the application.

    Args:
        page: The metrics.
        healthy: False only when the daemon no longer does its work and should be restarted.
        readiness: Whether its first cycle is done and its store takes what is written.
    """

    async def index(request: Request) -> Response:
        del request
        return HTMLResponse(_INDEX)

    async def metrics(request: Request) -> Response:
        current = page.serve()
        headers = {"content-type": CONTENT_TYPE_PLAIN_0_0_4, "vary": "accept-encoding"}
        if _takes_gzip(request.headers.get("accept-encoding", "")):
            return _Bytes(current.gzipped, {**headers, "content-encoding": "gzip"})
        return _Bytes(current.plain, headers)

    async def health(request: Request) -> Response:
        del request
        if healthy():
            return PlainTextResponse("reservd is healthy\n")
        return PlainTextResponse("cycles no longer come to their end\n", status_code=503)

    async def ready(request: Request) -> Response:
        del request
        found = readiness()
        return PlainTextResponse(f"{found.text}\n", status_code=200 if found.ready else 503)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/metrics", metrics),
            Route("/-/healthy", health),
            Route("/-/ready", ready),
        ]
    )


def _takes_gzip(accept_encoding: str) -> bool:
    for part in accept_encoding.lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "").removeprefix("q=").strip("0.") != "" or not weight
    return False
