"""Reports a strategy's progress on a request to a daemon, repeatedly until the daemon has it."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

import structlog

from reservd.client.asynchronous import AsyncClient
from reservd.client.backoff import Backoff
from reservd.errors import ApiUnavailableError
from reservd.reserve.replenishment.states import Replenishment

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 600.0


class RemoteDesk:
    """Tells a daemon what became of requests. A daemon that does not answer is waited for: money may have moved.

    Each method returns the request as it is then, and raises `ApiRefusedError` where it cannot go there, and
    `ApiUnavailableError` when the daemon was waited for in vain.

    Args:
        client: Asks the daemon.
        patience_seconds: How long it is waited for.
    """

    def __init__(self, client: AsyncClient, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._client = client
        self._patience_seconds = patience_seconds

    async def accept(
        self,
        replenishment_id: str,
        *,
        reason: str = "",
        reference: str | None = None,
        expected_by: datetime | None = None,
        exclusive: bool = False,
    ) -> Replenishment:
        """Tell that the strategy does it; with `exclusive` it is refused when somebody else has it."""
        told: dict[str, Any] = {"reason": reason, "reference": reference, "expected_by": expected_by}
        return await self._tell(
            lambda: self._client.accept_replenishment(replenishment_id, **told, exclusive=exclusive)
        )

    async def progress(
        self,
        replenishment_id: str,
        *,
        reason: str = "",
        reference: str | None = None,
        expected_by: datetime | None = None,
    ) -> Replenishment:
        """Tell that the strategy is working on it."""
        told: dict[str, Any] = {"reason": reason, "reference": reference, "expected_by": expected_by}
        return await self._tell(lambda: self._client.progress_replenishment(replenishment_id, **told))

    async def settle(self, replenishment_id: str, *, reason: str = "") -> Replenishment:
        """Tell that the money has left."""
        return await self._tell(lambda: self._client.settle_replenishment(replenishment_id, reason=reason))

    async def fail(self, replenishment_id: str, *, reason: str = "") -> Replenishment:
        """Tell that the strategy could not do it."""
        return await self._tell(lambda: self._client.fail_replenishment(replenishment_id, reason=reason))

    async def reject(self, replenishment_id: str, *, reason: str = "") -> Replenishment:
        """Tell that the strategy will not do it."""
        return await self._tell(lambda: self._client.reject_replenishment(replenishment_id, reason=reason))

    async def _tell(self, tell: Callable[[], Coroutine[Any, Any, Replenishment]]) -> Replenishment:
        backoff, loop, waits = Backoff(), asyncio.get_running_loop(), False
        until = loop.time() + self._patience_seconds
        while True:
            try:
                return await tell()
            except ApiUnavailableError as error:
                wait = backoff.next_seconds(error.retry_after_seconds)
                if loop.time() + wait > until:
                    raise
                if not waits:
                    log.warning("report.waits", reason=str(error))
                    waits = True
                await asyncio.sleep(wait)
