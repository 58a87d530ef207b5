"""An event loop on a thread of its own, for code that does not use `await`."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


class LoopThread:
    """Runs coroutines and waits for them. It can be used from any thread, even one with a running loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._started = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether the loop is running."""
        return self._thread is not None

    def start(self) -> None:
        """Start the loop."""
        if self._thread is not None:
            raise RuntimeError("the client is already open")
        # A daemon thread: a program that forgets to close a client can still end.
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), name="reservd-client", daemon=True)
        self._thread.start()
        self._started.wait()

    def run(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Return the result of a coroutine, or raise its error. Cancel it if the wait is interrupted."""
        if self._thread is None:
            coroutine.close()
            raise RuntimeError("the client is not open: use it as a context manager")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what is still running, and end the thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()
            self._started.clear()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._started.set()
        await self._stop.wait()
