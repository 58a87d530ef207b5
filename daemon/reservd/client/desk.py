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
    """Reports the progress of requests to a daemon, and retries while it does not answer: money may have moved.

    Each method returns the resulting request. It raises `ApiRefusedError` if the request cannot change that way, and
    `ApiUnavailableError` if the daemon did not answer in time.

    Args:
        client: Calls the daemon.
        patience_seconds: How long to retry.
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
        """Report that the strategy accepts the request; with `exclusive`, refused if somebody else has accepted it."""
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
        """Report that the strategy is working on the request."""
        told: dict[str, Any] = {"reason": reason, "reference": reference, "expected_by": expected_by}
        return await self._tell(lambda: self._client.progress_replenishment(replenishment_id, **told))

    async def settle(self, replenishment_id: str, *, reason: str = "") -> Replenishment:
        """Report that the money was sent."""
        return await self._tell(lambda: self._client.settle_replenishment(replenishment_id, reason=reason))

    async def fail(self, replenishment_id: str, *, reason: str = "") -> Replenishment:
        """Report that the strategy failed to carry out the request."""
        return await self._tell(lambda: self._client.fail_replenishment(replenishment_id, reason=reason))

    async def reject(self, replenishment_id: str, *, reason: str = "") -> Replenishment:
        """Report that the strategy rejects the request."""
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
