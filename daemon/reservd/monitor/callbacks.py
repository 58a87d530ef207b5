"""Callbacks, each on its own bounded queue: a slow one delays nobody, a broken one is logged."""

import asyncio
import contextlib
import inspect
import queue
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog

from reservd.monitor.observer import Observer
from reservd.reserve.models import ReserveEvent

log = structlog.get_logger(__name__)

ReserveCallback = Callable[[ReserveEvent], Awaitable[None] | None]

QUEUE_SIZE = 1000
TIMEOUT_SECONDS = 60.0


class CallbackQueue:
    """Hands events to one callback, in order, one at a time.

    A coroutine function runs on the event loop under a deadline; a plain function on a thread of
    its own, which it may block. When the queue is full the event that does not fit is dropped and
    counted. Whether an event is superseded is decided when it is handed over.
    """

    def __init__(
        self,
        callback: ReserveCallback,
        modes: Iterable[str] | None,
        observers: list[Observer],
        superseded: Callable[[ReserveEvent], bool],
        timeout_seconds: float | None = TIMEOUT_SECONDS,
    ) -> None:
        self.callback = callback
        self.name = str(
            getattr(callback, "name", None) or getattr(callback, "__qualname__", type(callback).__qualname__)
        )
        self.modes = frozenset(modes) if modes is not None else None
        self._observers = observers
        self._superseded = superseded
        self._timeout_seconds = timeout_seconds
        self._queue: asyncio.Queue[ReserveEvent] = asyncio.Queue(QUEUE_SIZE)
        self._worker: asyncio.Task[None] | None = None
        call = callback if inspect.isroutine(callback) else getattr(callback, "__call__", callback)  # noqa: B004  # its kind is wanted
        self._thread = None if inspect.iscoroutinefunction(call) else _CallbackThread(callback)

    def put(self, event: ReserveEvent) -> None:
        """Queue an event of a mode that this callback hears of. Never waits."""
        if self.modes is not None and event.strategy_mode not in self.modes:
            return
        if self._queue.full():
            log.error("callback.dropped", callback=self.name, mode=event.strategy_mode, id=event.id)
            for observer in self._observers:
                observer.callback_dropped(self.name)
            return
        self._queue.put_nowait(event)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())

    async def drain(self) -> None:
        """Wait until all that was queued is handed on."""
        if self._worker is not None:
            await self._queue.join()

    async def close(self) -> None:
        """Stop, whatever is still queued."""
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
        if self._thread is not None:
            self._thread.close()

    async def _work(self) -> None:
        while True:
            event = await self._queue.get()
            if self._superseded(event):
                event = event.model_copy(update={"superseded": True})
            try:
                await asyncio.wait_for(self._call(event), self._timeout_seconds)
            except TimeoutError:
                log.warning("callback.timed_out", callback=self.name, mode=event.strategy_mode, id=event.id)
            except Exception:  # the border to callbacks
                log.exception("callback.failed", callback=self.name, mode=event.strategy_mode)
            finally:
                self._queue.task_done()

    async def _call(self, event: ReserveEvent) -> None:
        answer = self.callback(event) if self._thread is None else await self._thread.call(event)
        if inspect.isawaitable(answer):
            await answer


class _CallbackThread:
    """One thread for one plain function. A daemon thread: a function that never returns does not keep the process."""

    def __init__(self, callback: ReserveCallback) -> None:
        self._callback = callback
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def call(self, event: ReserveEvent) -> Any:
        """Return what the function returns, or raise what it raises."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def settle(set_it: Callable[[Any], None], value: Any) -> None:
            if not answer.done():
                set_it(value)

        def work() -> None:
            try:
                result = self._callback(event)
            except Exception as error:  # noqa: BLE001  # handed over to the loop
                outcome: tuple[Callable[[Any], None], Any] = (answer.set_exception, error)
            else:
                outcome = (answer.set_result, result)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, *outcome)

        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="reserve-callback", daemon=True)
            self._thread.start()
        self._calls.put(work)
        return await answer

    def close(self) -> None:
        self._calls.put(None)

    def _run(self) -> None:
        while (work := self._calls.get()) is not None:
            work()
