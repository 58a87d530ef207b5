"""The border to plugins: whatever a plugin does on a call costs that call and nothing else."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

from reservd.errors import CallError, DeliveryError, FailureReason
from reservd.plugin.interfaces import Plugin

log = structlog.get_logger(__name__)
T = TypeVar("T")

DEFAULT_TIMEOUT_SECONDS = 10.0
_CLOSE_TIMEOUT_SECONDS = 0.5


class GuardedPlugin:
    """One plugin instance, opened on first use, called under a deadline, closed once.

    A call that raises, hangs, ignores its cancellation or ends the interpreter becomes a
    `CallError`. A call that will not end is left behind, and no second one is started beside it.
    """

    def __init__(self, plugin: Plugin[Any]) -> None:
        self.plugin = plugin
        self.name = plugin.name
        self.timeout_seconds = float(getattr(plugin.config, "timeout", DEFAULT_TIMEOUT_SECONDS))
        self._opened = False
        self._opening = asyncio.Lock()
        self._broke: type[BaseException] | None = None
        self._left_behind: dict[str, asyncio.Task[Any]] = {}

    async def call(self, method: Callable[[], Coroutine[Any, Any, T]], key: str = "") -> T:
        """Return what `method` returns.

        Args:
            method: Makes the call; it is opened first when it is not.
            key: Calls with different keys may run beside each other.

        Raises:
            CallError: Anything else that happens, with its reason.
        """
        before = self._left_behind.get(key)
        if before is not None and not before.done():
            raise CallError(FailureReason.TIMEOUT, "the call before this one has still not ended")
        return await self._run(self._opened_call(method), key, self.timeout_seconds)

    async def close(self) -> None:
        """Close the plugin. Never raises."""
        if not self._opened:
            return
        self._opened = False
        try:
            await self._run(self.plugin.__aexit__(None, None, None), "close", _CLOSE_TIMEOUT_SECONDS)
        except CallError as error:
            log.warning("plugin.close_failed", plugin=self.name, reason=str(error.reason), detail=error.detail)

    async def _opened_call(self, method: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self._opening:
            if not self._opened:
                await self.plugin.__aenter__()
                self._opened = True
        return await method()

    async def _run(self, work: Coroutine[Any, Any, T], key: str, timeout_seconds: float) -> T:
        task = asyncio.ensure_future(self._survive(work))
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout_seconds)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            task.cancel()
            self._left_behind[key] = task
            raise CallError(FailureReason.TIMEOUT, f"no answer within {timeout_seconds:g} s")
        if task.cancelled():
            raise CallError(FailureReason.INTERNAL, "the plugin cancelled its own call")
        outcome = task.result()
        if isinstance(outcome, CallError):
            raise outcome
        return outcome

    async def _survive(self, work: Coroutine[Any, Any, T]) -> T | CallError:
        """Return the failure instead of raising it, so that a task left behind has nothing to report."""
        try:
            result = await work
        except asyncio.CancelledError:
            raise
        except CallError as error:
            return error
        except TimeoutError:
            return CallError(FailureReason.TIMEOUT, "the plugin gave up waiting")
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # the border: see the class
            if type(error) is not self._broke:
                # Once: a plugin that breaks on every call would repeat its traceback every cycle.
                self._broke = type(error)
                log.exception("plugin.broke", plugin=self.name, error=type(error).__name__)
            return CallError(FailureReason.INTERNAL, type(error).__name__)
        self._broke = None
        return result


def retryable(error: CallError) -> bool:
    """Whether the same call may succeed later; true unless the plugin said otherwise."""
    return error.retryable if isinstance(error, DeliveryError) else True
