"""The site: metrics, health, the status page and the API, behind access control."""

import asyncio

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from reservd.web.access.middleware import AccessMiddleware
from reservd.web.api.application import make_application
from reservd.web.api.dependencies import let_read, let_write
from reservd.web.backend import Backend
from reservd.web.problems import ProblemError
from reservd.web.status_page import StatusPage
from reservd.wire.problems import ProblemKind

_CHUNK = 256 * 1024


class _Bytes(Response):
    """A body that is sent in pieces, so that a large one does not block the event loop."""

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
                # With a fast enough reader, `send` would never yield.
                await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def make_site(backend: Backend) -> ASGIApp:
    """Return the application that serves the metrics, health, status page and API."""
    status_page = StatusPage(backend)

    async def index(request: Request) -> Response:
        await let_read(request, backend, None)
        return _Bytes(status_page.render(), status_page.headers)

    async def metrics(request: Request) -> Response:
        current = backend.page.serve()
        headers = {"content-type": CONTENT_TYPE_PLAIN_0_0_4, "vary": "accept-encoding"}
        if _takes_gzip(request.headers.get("accept-encoding", "")):
            return _Bytes(current.gzipped, {**headers, "content-encoding": "gzip"})
        return _Bytes(current.plain, headers)

    async def health(request: Request) -> Response:
        del request
        if backend.healthy():
            return PlainTextResponse("reservd is healthy\n")
        return PlainTextResponse("monitoring cycles no longer finish\n", status_code=503)

    async def ready(request: Request) -> Response:
        del request
        found = backend.readiness()
        return PlainTextResponse(f"{found.text}\n", status_code=200 if found.ready else 503)

    async def reload(request: Request) -> Response:
        caller = await let_write(request, backend, None)
        if not caller.may_operate():
            raise ProblemError(ProblemKind.FORBIDDEN, f"{caller.role} '{caller.name}' may not reload the configuration")
        await backend.reload()
        return PlainTextResponse("reservd has reloaded its configuration\n")

    app = make_application()
    app.state.backend = backend
    app.add_route("/", index)
    app.add_route("/metrics", metrics)
    app.add_route("/-/healthy", health)
    app.add_route("/-/ready", ready)
    app.add_route("/-/reload", reload, methods=["POST"])
    # FastAPI builds its routes at the first lookup: do it now rather than between two checks.
    for route in app.routes:
        route.matches({"type": "http", "method": "GET", "path": "/", "root_path": "", "headers": []})
    # Outermost, so that a response to an oversized request is a problem and has the headers, too.
    return AccessMiddleware(app, backend.access, backend.headers)


def _takes_gzip(accept_encoding: str) -> bool:
    for part in accept_encoding.lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "").removeprefix("q=").strip("0.") != "" or not weight
    return False
