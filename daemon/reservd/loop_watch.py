"""Logs what blocks the event loop: a plugin that does so stalls the whole daemon, and no deadline can stop it."""

import asyncio
import sys
import threading
import traceback
from typing import Self

import structlog

log = structlog.get_logger(__name__)

_PATIENCE_SECONDS = 5.0
"""Below the 8 s within which an owner must renew its store; above the longest turn on a busy machine."""
_PAUSE_SECONDS = 1.0
_STEPS = 10
_FRAMES = 8


class LoopWatch:
    """A context manager that logs where the running event loop is stuck, once each time it does not turn for too long.

    Args:
        patience_seconds: The longest allowed turn.
    """

    def __init__(self, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        where = asyncio.get_running_loop(), threading.get_ident()
        threading.Thread(target=self._watch, args=where, name="reservd-loop-watch", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()  # its thread is not joined, as it may itself wait for the loop

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        while not self._closed.wait(min(_PAUSE_SECONDS, self._patience_seconds)):
            turned = threading.Event()
            try:
                loop.call_soon_threadsafe(turned.set)
            except RuntimeError:  # the loop is closed
                return
            # In steps: when a process was suspended, the time of one step has passed, not of all.
            waits = (turned.wait(self._patience_seconds / _STEPS) for _ in range(_STEPS))
            if not any(waits) and not self._closed.is_set():
                frame = sys._current_frames().get(thread)  # noqa: SLF001  # the only way to inspect another thread
                stack = "".join(traceback.format_stack(frame)[-_FRAMES:]).rstrip()
                log.error("loop.blocked", seconds=self._patience_seconds, stack=stack)
                while not turned.wait(_PAUSE_SECONDS) and not self._closed.is_set():
                    pass
