"""New blocks announced by a node: a subscription to `newHeads` over a websocket."""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import structlog
from pydantic import SecretStr

_SUBSCRIBE = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
_MAX_MESSAGE_BYTES = 1024 * 1024
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,16}")
_CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 0.25
_PING_SECONDS = 20.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 60.0


class NewHeads:
    """Follows the head of a chain, through restarts of the node, until it is told to stop.

    It buffers nothing: while nobody takes the next head, the connection is not read.
    """

    def __init__(self, source: str, url: SecretStr, *, max_silence: float) -> None:
        """Prepare.

        Args:
            source: The name of the balance source, for logs.
            url: The websocket endpoint.
            max_silence: Seconds without a head after which the connection counts as dead.
        """
        self._url = url
        self._max_silence = max_silence
        self._log = structlog.get_logger(__name__).bind(source=source)
        self._lost = False

    async def follow(self) -> AsyncIterator[int | None]:
        """Yield each new head's number, or None if the node does not send it. Ends only when it is closed."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                async with self._subscription() as (socket, subscription):
                    self._tell_followed()
                    while True:
                        number = await self._next_head(socket, subscription)
                        pause = _FIRST_PAUSE_SECONDS
                        yield number
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                self._tell_lost(error)
            # Daemons that lost the same node must not all come back to it at the same instant.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # nothing depends on its secrecy
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    @asynccontextmanager
    async def _subscription(self) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, object]]:
        # No total: the connection is meant to last.
        unlimited = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=unlimited, cookie_jar=aiohttp.DummyCookieJar()) as session:
            async with asyncio.timeout(_CONNECT_SECONDS):
                socket = await session.ws_connect(
                    self._url.get_secret_value(), heartbeat=_PING_SECONDS, max_msg_size=_MAX_MESSAGE_BYTES
                )
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await socket.send_json(_SUBSCRIBE)
                    answer = await _receive(socket)
                    while answer.get("id") != _SUBSCRIBE["id"]:
                        answer = await _receive(socket)
                if not isinstance(answer.get("result"), str):
                    raise ConnectionError("the node does not offer newHeads")
                yield socket, answer["result"]
            finally:
                # A server that keeps sending and never closes its side would block this for ever.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CLOSE_SECONDS):
                        await socket.close()

    async def _next_head(self, socket: aiohttp.ClientWebSocketResponse, subscription: object) -> int | None:
        async with asyncio.timeout(self._max_silence):
            while True:
                params = (await _receive(socket)).get("params")
                if isinstance(params, dict) and params.get("subscription") == subscription:
                    return _number(params.get("result"))

    def _tell_followed(self) -> None:
        if self._lost:
            self._log.info("heads.followed")
        self._lost = False

    def _tell_lost(self, error: Exception) -> None:
        # Its text may contain the URL.
        if not self._lost:
            self._log.warning("heads.lost", error=type(error).__name__)
        self._lost = True


def _number(head: object) -> int | None:
    number = head.get("number") if isinstance(head, dict) else None
    return int(number, 16) if isinstance(number, str) and _QUANTITY.fullmatch(number) else None


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    """Return the next message; an empty one for JSON that is not an object.

    Raises:
        ConnectionError: If the connection ended.
        ValueError: If it is not JSON.
    """
    message = await socket.receive()
    if message.type is not aiohttp.WSMsgType.TEXT:
        raise ConnectionError("the websocket was closed")
    try:
        content = json.loads(message.data)
    except RecursionError:
        raise ValueError("the message is nested too deep") from None
    return content if isinstance(content, dict) else {}
