"""The HTTP server: listening sockets, uvicorn, and how it stops."""

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Iterator
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from reservd.errors import ReservdError

log = structlog.get_logger(__name__)

_STOP_SECONDS = 1
_BACKLOG = 128


class _Protocol(H11Protocol):
    """HTTP that gives up on a connection which asks for nothing: it would take another's place."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the daemon."""
        yield


class WebServer:
    """Serves an application on some addresses.

    Attributes:
        addresses: Where it listens, `host:port` with the port that was chosen.
    """

    def __init__(self, app: ASGIApp, listen_addresses: Iterable[str]) -> None:
        """Take the addresses, so that a failure shows before anything is started.

        Raises:
            ReservdError: If an address cannot be had.
        """
        self._sockets: list[socket.socket] = []
        self.addresses: list[str] = []
        try:
            for address in listen_addresses:
                self._listen(address)
        except ReservdError:
            for listening in self._sockets:
                listening.close()
            raise
        config = uvicorn.Config(
            app,
            http=_Protocol,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
            limit_concurrency=256,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start serving."""
        self._task = asyncio.create_task(self._server.serve(sockets=self._sockets))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110  # uvicorn tells by this only
            await asyncio.sleep(0.01)
        for address in self.addresses:
            log.info("web.listening", address=address, url=f"http://{address}/")

    async def close(self) -> None:
        """Finish what is being served, for a second at most, and stop."""
        if self._task is not None:
            self._server.should_exit = True
            await asyncio.gather(self._task, return_exceptions=True)
        for listening in self._sockets:
            listening.close()

    def _listen(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(
                host or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listening = socket.socket(family, kind, protocol)
            self._sockets.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(_BACKLOG)
            listening.setblocking(False)
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ReservdError(f"cannot listen on {address}: {why}") from None
        name, number = listening.getsockname()[:2]
        self.addresses.append(f"[{name}]:{number}" if ":" in name else f"{name}:{number}")
