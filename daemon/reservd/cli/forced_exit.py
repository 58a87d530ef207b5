"""Ends a command even when something it started does not end, such as a plugin that hangs in a call."""

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

_PATIENCE_SECONDS = 0.5


def run_until_answered(work: Coroutine[Any, Any, T]) -> tuple[T, bool]:
    """Return what a coroutine returns, and whether every task that it started has ended.

    `asyncio.run` would wait for the others, for ever where a task swallows its cancellation.
    """
    loop = asyncio.new_event_loop()
    try:
        answer = loop.run_until_complete(work)
    except BaseException:
        _close(loop)
        raise
    return answer, _close(loop)


def end_process(code: int = 0) -> NoReturn:
    """End the process, whatever still hangs in one of its threads or tasks, such as a DNS look-up.

    The interpreter would wait for such threads, for longer than a service manager waits for a process to stop.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the disk is full, or nobody reads it
            stream.flush()
    os._exit(code)


def _close(loop: asyncio.AbstractEventLoop) -> bool:
    """Close a loop unless one of its tasks goes on; return whether it was closed."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks and loop.run_until_complete(asyncio.wait(tasks, timeout=_PATIENCE_SECONDS))[1]:
        return False
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    return True
