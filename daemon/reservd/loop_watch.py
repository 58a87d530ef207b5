"""Logs what blocks the event loop: a plugin that does so stalls the whole daemon, and no deadline can stop it."""

import asyncio
import sys
import threading
import traceback
from typing import Self

import structlog

log = structlog.get_logger(__name__)

_PATIENCE_SECONDS = 5.0
"""Below the 8 s in which an owner renews its store; above what a busy machine takes for a turn."""
_PAUSE_SECONDS = 1.0
_STEPS = 10
_FRAMES = 8


class LoopWatch:
    """Logs, once each time, where the running event loop is when it has not turned for too long; a context manager.

    Args:
        patience_seconds: For how long a turn may last.
    """

    def __init__(self, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        where = asyncio.get_running_loop(), threading.get_ident()
        threading.Thread(target=self._watch, args=where, name="reservd-loop-watch", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()  # its thread is not waited for: that may itself wait for the loop

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        while not self._closed.wait(min(_PAUSE_SECONDS, self._patience_seconds)):
            turned = threading.Event()
            try:
                loop.call_soon_threadsafe(turned.set)
            except RuntimeError:  # the loop is closed
                return
            # In steps: to a process that was suspended the time of one has passed, not of all.
            waits = (turned.wait(self._patience_seconds / _STEPS) for _ in range(_STEPS))
            if not any(waits) and not self._closed.is_set():
                frame = sys._current_frames().get(thread)  # noqa: SLF001  # the one way to look at another thread
                stack = "".join(traceback.format_stack(frame)[-_FRAMES:]).rstrip()
                log.error("loop.blocked", seconds=self._patience_seconds, stack=stack)
                while not turned.wait(_PAUSE_SECONDS) and not self._closed.is_set():
                    pass
