"""Calls a method of somebody else's program, which may be async or not, and may block."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from reservd.errors import FailureReason, SourceError
from reservd.threads import run_on_thread


class PlatformCalls:
    """Calls one method; a plain one on a thread, so that it holds up nothing but its own answer.

    A thread cannot be ended. One whose call is given up goes on, and until it ends nothing is asked again with the
    same arguments: there are never more threads than different things to ask for.

    Args:
        method: The method.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        call = method if inspect.isroutine(method) else getattr(method, "__call__", method)  # noqa: B004  # its kind is wanted
        self.is_async = inspect.iscoroutinefunction(call)
        self._method = method
        self._under_way: dict[tuple[str, ...], asyncio.Task[Any]] = {}

    async def call(self, *arguments: str) -> Any:
        """Return what the method returns, or raise what it raises.

        Raises:
            SourceError: If a call with the same arguments, given up before, has still not ended.
        """
        answer = self._method(*arguments) if self.is_async else await self._on_thread(arguments)
        return await answer if inspect.isawaitable(answer) else answer

    async def _on_thread(self, arguments: tuple[str, ...]) -> Any:
        if arguments in self._under_way:
            raise SourceError(FailureReason.TIMEOUT, "the call before this one has still not ended")
        task = self._under_way[arguments] = asyncio.create_task(run_on_thread(self._method, *arguments))
        task.add_done_callback(lambda _: self._ended(arguments, task))
        return await asyncio.shield(task)

    def _ended(self, arguments: tuple[str, ...], task: asyncio.Task[Any]) -> None:
        del self._under_way[arguments]
        # Looked at, though nobody may wait for it any more: what nobody looked at is logged.
        if not task.cancelled():
            task.exception()
