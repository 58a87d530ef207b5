"""The HTTP server: listening sockets, uvicorn, and shutdown."""

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Iterator
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from reservd.errors import ConfigError, ReservdError
from reservd.web.stream import MAX_CLIENTS
from reservd.web.web_config import TlsFiles

log = structlog.get_logger(__name__)

_STOP_SECONDS = 1
_BACKLOG = 512
_MAX_REQUESTS = 256
"""Connections besides the listeners to events."""
_MAX_UNREAD_SECONDS = 20.0
_RENEW_SECONDS = 30.0


class _Protocol(H11Protocol):
    """HTTP that closes idle connections and connections that do not read, so that they do not block others."""

    _unread_task: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_task = self.loop.call_later(_MAX_UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_unread_task()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_unread_task()
        super().connection_lost(exc)

    def _stop_unread_task(self) -> None:
        if self._unread_task is not None:
            self._unread_task.cancel()
            self._unread_task = None


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the daemon."""
        yield


class WebServer:
    """Serves an application on some addresses.

    Attributes:
        addresses: The addresses that it listens on, `host:port` with the actual port.
        scheme: `http`, or `https` with TLS.
    """

    def __init__(self, app: ASGIApp, listen_addresses: Iterable[str], tls: TlsFiles | None = None) -> None:
        """Bind the addresses, so that a failure shows before anything is started.

        Args:
            app: The application to serve.
            listen_addresses: The addresses, `host:port` each.
            tls: The certificates; None for plain HTTP.

        Raises:
            ReservdError: If an address cannot be bound.
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
            limit_concurrency=_MAX_REQUESTS + MAX_CLIENTS,
            ssl_context_factory=None if tls is None else lambda *_: tls.context,
        )
        self._tls = tls
        self._renewing: asyncio.Task[None] | None = None
        self.scheme = "http" if tls is None else "https"
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start serving."""
        self._task = asyncio.create_task(self._server.serve(sockets=self._sockets))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110  # uvicorn has no other signal
            await asyncio.sleep(0.01)
        for address in self.addresses:
            log.info("web.listening", address=address, url=f"{self.scheme}://{address}/")
        if self._tls is not None:
            self._renewing = asyncio.create_task(self._renew(self._tls))

    async def close(self) -> None:
        """Finish the requests in progress within a second, and stop."""
        if self._renewing is not None:
            self._renewing.cancel()
        if self._task is not None:
            self._server.should_exit = True
            await asyncio.gather(self._task, return_exceptions=True)
        for listening in self._sockets:
            listening.close()

    @staticmethod
    async def _renew(tls: TlsFiles) -> None:
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                if tls.renew():
                    log.info("tls.renewed")
            except ConfigError as error:
                log.error("tls.unusable", error=str(error))  # noqa: TRY400  # says which files

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
