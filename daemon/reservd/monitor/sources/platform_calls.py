"""Calls a method of another program, which may be async or not, and may block."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from reservd.errors import FailureReason, SourceError
from reservd.threads import run_on_thread


class PlatformCalls:
    """Calls one method. A plain function runs on a thread, so that it delays only its own answer.

    A thread cannot be stopped. If a call is abandoned its thread goes on, and until that ends the method is not called
    again with the same arguments: there is never more than one thread per set of arguments.

    Args:
        method: The method.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        call = method if inspect.isroutine(method) else getattr(method, "__call__", method)  # noqa: B004  # only its kind
        self.is_async = inspect.iscoroutinefunction(call)
        self._method = method
        self._under_way: dict[tuple[str, ...], asyncio.Task[Any]] = {}

    async def call(self, *arguments: str) -> Any:
        """Return what the method returns, or raise what it raises.

        Raises:
            SourceError: If an abandoned call with the same arguments has not ended yet.
        """
        answer = self._method(*arguments) if self.is_async else await self._on_thread(arguments)
        return await answer if inspect.isawaitable(answer) else answer

    async def _on_thread(self, arguments: tuple[str, ...]) -> Any:
        if arguments in self._under_way:
            raise SourceError(FailureReason.TIMEOUT, "the previous call has still not ended")
        task = self._under_way[arguments] = asyncio.create_task(run_on_thread(self._method, *arguments))
        task.add_done_callback(lambda _: self._ended(arguments, task))
        return await asyncio.shield(task)

    def _ended(self, arguments: tuple[str, ...], task: asyncio.Task[Any]) -> None:
        del self._under_way[arguments]
        # Retrieve the exception even if nobody waits: asyncio logs one that nobody retrieves.
        if not task.cancelled():
            task.exception()
