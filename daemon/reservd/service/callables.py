"""Replenishers that are plain functions of whoever embeds the reserve manager."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from reservd.plugin.interfaces import Replenisher
from reservd.plugin.options import SourceConfig
from reservd.reserve.replenishment import Acceptance, AcceptanceStatus, ReplenishmentRequest

RequestFunction = Callable[[ReplenishmentRequest], "Acceptance | bool | None | Awaitable[Acceptance | bool | None]"]
"""Takes a request; answers with an `Acceptance`, with whether it accepts, or with nothing: not decided yet."""


class CallableReplenisher(Replenisher[SourceConfig]):
    """Asks a function, async or not; one that is not runs on a thread, so that it may block.

    Args:
        function: Acts once per `request.id`.
        name: What logs and metrics call it.
        timeout_seconds: How long it may take.
    """

    PLUGIN_NAME = "callable"
    Config = SourceConfig

    def __init__(self, function: RequestFunction, name: str = "callable", timeout_seconds: float = 10.0) -> None:
        super().__init__(name, SourceConfig(timeout=timeout_seconds))
        self._function = function

    async def request(self, request: ReplenishmentRequest) -> Acceptance:
        """Return what the function says."""
        if inspect.iscoroutinefunction(self._function):
            answer = await self._function(request)
        else:
            answer = await asyncio.to_thread(self._function, request)
            if inspect.isawaitable(answer):
                answer = await answer
        if answer is None:
            return Acceptance(status=AcceptanceStatus.PENDING)
        if isinstance(answer, bool):
            return Acceptance(status=AcceptanceStatus.ACCEPTED if answer else AcceptanceStatus.REJECTED)
        return answer
