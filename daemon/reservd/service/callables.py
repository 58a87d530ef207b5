"""Replenishers for embedders of the reserve manager: plain functions, and strategies in the same process."""

import inspect
from collections.abc import Awaitable, Callable

from reservd.monitor.manager import ReserveManager
from reservd.plugin.interfaces import Replenisher
from reservd.plugin.options import SourceConfig
from reservd.reserve.replenishment import Acceptance, AcceptanceStatus, ReplenishmentRequest
from reservd.threads import run_on_thread

RequestFunction = Callable[[ReplenishmentRequest], "Acceptance | bool | Awaitable[Acceptance | bool | None] | None"]
"""Takes a request; returns an `Acceptance`, whether it accepts, or None: not decided yet."""


class CallableReplenisher(Replenisher[SourceConfig]):
    """Calls a function, async or not. A plain function runs on a thread, so that it may block.

    Args:
        function: Acts once per `request.id`.
        name: Its name in logs and metrics.
        timeout_seconds: How long it may take.
    """

    PLUGIN_NAME = "callable"
    Config = SourceConfig

    def __init__(self, function: RequestFunction, name: str = "callable", timeout_seconds: float = 10.0) -> None:
        super().__init__(name, SourceConfig(timeout=timeout_seconds))
        self._function = function

    async def request(self, request: ReplenishmentRequest) -> Acceptance:
        """Return the function's answer."""
        is_async: bool = inspect.iscoroutinefunction(self._function)
        told = self._function(request) if is_async else await run_on_thread(self._function, request)
        answer: Acceptance | bool | None = await told if inspect.isawaitable(told) else told
        if answer is None:
            return Acceptance(status=AcceptanceStatus.PENDING)
        if isinstance(answer, bool):
            return Acceptance(status=AcceptanceStatus.ACCEPTED if answer else AcceptanceStatus.REJECTED)
        return answer


class StrategyReplenisher(Replenisher[SourceConfig]):
    """Passes each request to the strategy that has registered for its mode with a reserve manager.

    Args:
        manager: Knows the strategies.
        name: Its name in logs and metrics.
    """

    PLUGIN_NAME = "strategy"
    Config = SourceConfig

    def __init__(self, manager: ReserveManager, name: str = "strategy") -> None:
        super().__init__(name, SourceConfig())
        self._manager = manager

    async def request(self, request: ReplenishmentRequest) -> Acceptance:
        """Pass a request on. The strategy accepts it on its own, and reports that."""
        take = self._manager.request_callbacks.get(request.strategy_mode)
        if take is None:
            return Acceptance(status=AcceptanceStatus.REJECTED, reason="the mode has no strategy here")
        await take(request)
        return Acceptance(status=AcceptanceStatus.PENDING)
