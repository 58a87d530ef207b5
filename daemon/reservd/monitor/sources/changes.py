"""Follows the stream on which a source announces changed balances, and reconnects when it fails."""

import asyncio
import random
from collections.abc import Callable

import structlog

from reservd.errors import CallError
from reservd.monitor.sources.readers import BalanceReader

log = structlog.get_logger(__name__)

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0


class ChangeStream:
    """Follows the stream of one source.

    Args:
        source: Its name, for logs.
        reader: Its reader.
        told: Called whenever a balance may have changed.
    """

    def __init__(self, source: str, reader: BalanceReader, told: Callable[[], None]) -> None:
        self._log = log.bind(source=source)
        self._reader = reader
        self._told = told
        self._lost = False
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    async def follow(self) -> None:
        """Follow the stream until cancelled, and start a new one whenever it breaks or ends."""
        while self._reader.tells_changes:
            why = "it ended"
            try:
                if not await self._reader.follow_changes(self._heard):
                    return
            except CallError as error:
                why = str(error)
            if not self._lost:
                # Logged only at a change, as a source may be down for long.
                self._log.warning("changes.lost", reason=why)
            self._lost = True
            # Random, so that daemons that lost a venue together do not all reconnect at the same time.
            await asyncio.sleep(self._pause_seconds * random.uniform(0.5, 1.0))  # noqa: S311  # no secret
            self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _heard(self) -> None:
        if self._lost:
            self._log.info("changes.followed")
        self._lost = False
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._told()
