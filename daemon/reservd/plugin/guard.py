"""The border to plugins: whatever a plugin does during a call, only that call fails."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import structlog

from reservd.errors import CallError, DeliveryError, FailureReason
from reservd.log import plain_traceback
from reservd.plugin.interfaces import Plugin, Source
from reservd.plugin.redact import Redactor

log = structlog.get_logger(__name__)
T = TypeVar("T")

DEFAULT_TIMEOUT_SECONDS = 10.0
_CLOSE_TIMEOUT_SECONDS = 0.5
_GRACE_SECONDS = 0.05
_STREAM = "changes"
_PACE_SECONDS = 0.01
"""The pause between two items of a stream: one that never waits must not block the loop."""
_MAX_DETAIL = 300


class GuardedPlugin:
    """A plugin instance that is opened on first use, called under a deadline, and closed once.

    A call that raises, hangs, ignores its cancellation or ends the interpreter becomes a `CallError` without any secret
    of the plugin's options in its text. A call that does not end is abandoned, and no second one is started beside it.

    Raises:
        ValueError: If the plugin has an option `timeout` that is not a valid deadline. None counts as missing.
    """

    def __init__(self, plugin: Plugin[Any]) -> None:
        self.plugin = plugin
        self.name = plugin.name
        self.timeout_seconds = deadline_of(plugin.config)
        self._opened = False
        self._opening = asyncio.Lock()
        self._redact = Redactor(plugin.config)
        self._breaking: set[str] = set()
        self._told: set[type[BaseException]] = set()
        self._left_behind: dict[str, asyncio.Task[Any]] = {}

    async def call(self, method: Callable[[], Coroutine[Any, Any, T]], key: str = "") -> T:
        """Return the result of `method`.

        Args:
            method: Makes the call. The plugin is opened first if necessary.
            key: Calls with different keys may run at the same time.

        Raises:
            CallError: For any other outcome, with its reason.
        """
        if await self._still_runs(key, _GRACE_SECONDS):
            raise CallError(FailureReason.TIMEOUT, "the previous call has still not ended")
        return await self._run(self._opened_call(method), key, self.timeout_seconds)

    async def follow(self, stream: Callable[[], AsyncIterator[None] | None], told: Callable[[], None]) -> bool:
        """Call `told` for every item of a plugin's stream, until the stream ends.

        Args:
            stream: Starts the stream. The plugin is opened first if necessary.
            told: Must be quick.

        Returns:
            Whether there was a stream, which has ended.

        Raises:
            CallError: If the plugin could not be opened, or the stream broke.
        """

        async def consume() -> bool:
            changes = stream()
            if changes is None:
                return False
            try:
                async for _ in changes:
                    told()
                    await asyncio.sleep(_PACE_SECONDS)
            finally:
                if isinstance(changes, AsyncGenerator):
                    await changes.aclose()
            return True

        # Opened under a deadline, which the stream itself does not have.
        await self.call(_nothing, _STREAM)
        try:
            return await self._run(consume(), _STREAM, None)
        except asyncio.CancelledError:
            await self._still_runs(_STREAM, _CLOSE_TIMEOUT_SECONDS)
            raise

    def endpoints(self) -> Mapping[str, bool]:
        """Return the health of a source's endpoints; empty when the source raises.

        An endpoint whose name holds a secret is named by its place, from 1.
        """
        plugin = self.plugin
        if not isinstance(plugin, Source):
            return {}
        nothing: dict[str, bool] = {}
        told = self.look(lambda: {str(name): bool(up) for name, up in plugin.endpoints.items()}, nothing, "endpoints")
        named = enumerate(told.items(), start=1)
        return {name if name == self.redact(name) else str(place): up for place, (name, up) in named}

    def look(self, at: Callable[[], T], otherwise: T, key: str) -> T:
        """Return the result of `at`, which reads from the plugin without waiting; `otherwise` when it raises."""
        try:
            found = at()
        except Exception as error:  # noqa: BLE001  # the border: see the class
            self._tell(error, key)
            return otherwise
        self._breaking.discard(key)
        return found

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
        if not self._opened:
            await self._open()
        return await method()

    async def _open(self) -> None:
        async with self._opening:
            if not self._opened:
                await self.plugin.__aenter__()
                self._opened = True

    async def _still_runs(self, key: str, patience_seconds: float) -> bool:
        """Return whether an abandoned call does not end within that time."""
        task = self._left_behind.get(key)
        return task is not None and bool((await asyncio.wait({task}, timeout=patience_seconds))[1])

    async def _run(self, work: Coroutine[Any, Any, T], key: str, timeout_seconds: float | None) -> T:
        task = asyncio.create_task(self._survive(work, key))
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout_seconds)
        except asyncio.CancelledError:
            self._leave_behind(key, task)
            raise
        if not done:
            self._leave_behind(key, task)
            raise CallError(FailureReason.TIMEOUT, f"no answer within {timeout_seconds:g} s")
        if task.cancelled():
            raise CallError(FailureReason.INTERNAL, "the plugin cancelled its own call")
        outcome = task.result()
        if isinstance(outcome, CallError):
            raise outcome
        return outcome

    def _leave_behind(self, key: str, task: asyncio.Task[Any]) -> None:
        task.cancel()
        self._left_behind[key] = task

    async def _survive(self, work: Coroutine[Any, Any, T], key: str) -> T | CallError:
        """Return the failure instead of raising it, so that an abandoned task has nothing to report."""
        try:
            result: T | CallError = await work
        except asyncio.CancelledError:
            raise
        except CallError as error:
            result = self._tidied(error)
        except TimeoutError:
            result = CallError(FailureReason.TIMEOUT, "the plugin gave up waiting")
        except BaseException as error:  # noqa: BLE001  # the border: see the class
            self._tell(error, key)
            return CallError(FailureReason.INTERNAL, type(error).__name__)
        self._breaking.discard(key)
        if not self._breaking:
            self._told.clear()
        return result

    def _tidied(self, error: CallError) -> CallError:
        """Return a failure without secrets. An error that a plugin raised may lack the attributes of its class."""
        detail = self.redact(str(getattr(error, "detail", "")))
        try:
            reason = FailureReason(getattr(error, "reason", FailureReason.INTERNAL))
        except ValueError:
            reason = FailureReason.INTERNAL
        told = getattr(error, "retry_after_seconds", None)
        after = float(told) if isinstance(told, int | float) else None
        if isinstance(error, DeliveryError):
            retryable = bool(getattr(error, "retryable", True))
            return DeliveryError(reason, detail, retryable=retryable, retry_after_seconds=after)
        return CallError(reason, detail, retry_after_seconds=after)

    def redact(self, text: str) -> str:
        """Return a plugin's text in a form that can be stored: without the secrets of its options, and not too long."""
        return self._redact(text)[:_MAX_DETAIL].encode(errors="backslashreplace").decode()

    def _tell(self, error: BaseException, key: str) -> None:
        """Log a traceback once until the plugin recovers; otherwise it would repeat every cycle, for every mode."""
        self._breaking.add(key)
        if type(error) not in self._told:
            self._told.add(type(error))
            text = self._redact(plain_traceback(error))
            log.error("plugin.broke", plugin=self.name, error=type(error).__name__, exception=text)


def deadline_of(config: object) -> float:
    """Return how many seconds a call may take: the option `timeout`, or 10.

    Raises:
        ValueError: If the option is not a valid deadline.
    """
    timeout = getattr(config, "timeout", None)
    if timeout is None:
        return DEFAULT_TIMEOUT_SECONDS
    try:
        seconds = float(timeout)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(f"the option timeout must be seconds above 0, got {timeout!r:.40}")
    return seconds


async def _nothing() -> None:
    """Do nothing: the call only opens the plugin."""


def retryable(error: CallError) -> bool:
    """Return whether the same call may succeed later; true unless the plugin said otherwise."""
    return error.retryable if isinstance(error, DeliveryError) else True
