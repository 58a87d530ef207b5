"""Runs callbacks, each with its own bounded queue: a slow one delays no other, a broken one is logged and counted."""

import asyncio
import contextlib
import inspect
import queue
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog

from reservd.errors import CallError, FailureReason
from reservd.log import plain_traceback
from reservd.monitor.observer import Observer
from reservd.reserve.models import ReserveEvent
from reservd.reserve.scope import scope_of

log = structlog.get_logger(__name__)

ReserveCallback = Callable[[ReserveEvent], Awaitable[None] | None]

QUEUE_SIZE = 1000
"""The least number of events that may wait for one callback; ten per mode if there are more than a hundred modes."""
TIMEOUT_SECONDS = 60.0
_CLOSE_SECONDS = 0.5


class CallbackQueue:
    """Passes events to one callback, in order, one at a time.

    A coroutine function runs on the event loop under a deadline. A plain function runs on a thread of its own, which it
    may block. If the queue is full, a new event is dropped and counted. Whether an event is superseded is decided when
    it is passed on.
    """

    def __init__(
        self,
        callback: ReserveCallback,
        modes: Iterable[str] | None,
        observers: list[Observer],
        superseded: Callable[[ReserveEvent], bool],
        modes_watched: Callable[[], int],
        timeout_seconds: float | None = TIMEOUT_SECONDS,
    ) -> None:
        if not callable(callback):
            raise TypeError(f"a callback must be callable, got {type(callback).__name__}")
        self.callback = callback
        self.name = str(
            getattr(callback, "name", None) or getattr(callback, "__qualname__", type(callback).__qualname__)
        )
        self.modes = scope_of(modes)
        self._observers = observers
        self._superseded = superseded
        self._modes_watched = modes_watched
        self._timeout_seconds = timeout_seconds
        self._queue: asyncio.Queue[ReserveEvent] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None
        call = callback if inspect.isroutine(callback) else getattr(callback, "__call__", callback)  # noqa: B004  # only its kind
        self._thread = None if inspect.iscoroutinefunction(call) else _CallbackThread(self._invoke)
        for observer in observers:
            observer.callback_added(self.name)

    def put(self, event: ReserveEvent) -> None:
        """Queue an event of a mode that this callback covers. Never waits."""
        if self.modes is not None and event.strategy_mode not in self.modes:
            return
        if self._queue.qsize() >= max(QUEUE_SIZE, 10 * self._modes_watched()):
            log.error("callback.dropped", callback=self.name, mode=event.strategy_mode, id=event.id)
            for observer in self._observers:
                observer.callback_dropped(self.name)
            return
        self._queue.put_nowait(event)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())

    async def drain(self) -> None:
        """Wait until everything that was queued has been passed on."""
        if self._worker is not None:
            await self._queue.join()

    async def close(self) -> None:
        """Stop, whatever is still queued. A call that will not end is abandoned."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.wait({worker}, timeout=_CLOSE_SECONDS)
        if self._thread is not None:
            self._thread.close()

    async def _work(self) -> None:
        while True:
            event = await self._queue.get()
            try:
                await self._hand_over(event)
            finally:
                self._queue.task_done()

    async def _hand_over(self, event: ReserveEvent) -> None:
        call = asyncio.ensure_future(self._call(event))
        try:
            # Not wait_for, which would wait for a callback that swallows its cancellation.
            done, _ = await asyncio.wait({call}, timeout=self._timeout_seconds)
        except asyncio.CancelledError:
            call.cancel()
            raise
        bound = log.bind(callback=self.name, mode=event.strategy_mode, id=event.id)
        if not done:
            call.cancel()
            bound.error("callback.timed_out")
            self._count(FailureReason.TIMEOUT)
        elif call.cancelled():
            bound.error("callback.failed", error="it cancelled itself")
            self._count(FailureReason.INTERNAL)
        elif (error := call.exception()) is not None:
            bound.error("callback.failed", exception=plain_traceback(error))
            self._count(error.reason if isinstance(error, CallError) else FailureReason.INTERNAL)

    def _count(self, reason: FailureReason) -> None:
        for observer in self._observers:
            observer.callback_failed(self.name, reason)

    async def _call(self, event: ReserveEvent) -> None:
        try:
            answer = await self._thread.call(event) if self._thread is not None else self._invoke(event)
            if inspect.isawaitable(answer):
                await answer
        except (SystemExit, KeyboardInterrupt) as error:
            raise RuntimeError(f"the callback raised {type(error).__name__}") from error

    def _invoke(self, event: ReserveEvent) -> Any:
        # Decided at the last moment, as an earlier call may have held the thread.
        if self._superseded(event):
            event = event.model_copy(update={"superseded": True})
        return self.callback(event)


class _CallbackThread:
    """One thread for one plain function. A daemon thread: a function that never returns does not keep the process."""

    def __init__(self, invoke: Callable[[ReserveEvent], Any]) -> None:
        self._invoke = invoke
        self._calls: queue.SimpleQueue[Callable[[], None] | None] | None = None

    async def call(self, event: ReserveEvent) -> Any:
        """Return what the function returns, or raise what it raises."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def settle(set_it: Callable[[Any], None], value: Any) -> None:
            if not answer.done():
                set_it(value)

        def work() -> None:
            if answer.done():
                return  # the call was abandoned while the one before it held the thread
            try:
                outcome: tuple[Callable[[Any], None], Any] = (answer.set_result, self._invoke(event))
            except Exception as error:  # noqa: BLE001  # passed on to the loop
                outcome = (answer.set_exception, error)
            except BaseException as error:  # noqa: BLE001  # would end the thread, and mean something else to the loop
                outcome = (answer.set_exception, RuntimeError(f"the callback raised {type(error).__name__}"))
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, *outcome)

        if self._calls is None:
            self._calls = queue.SimpleQueue()
            threading.Thread(target=_run, args=(self._calls,), name="reserve-callback", daemon=True).start()
        self._calls.put(work)
        return await answer

    def close(self) -> None:
        """End the thread once it is free; the next call starts another."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None


def _run(calls: "queue.SimpleQueue[Callable[[], None] | None]") -> None:
    while (work := calls.get()) is not None:
        work()
