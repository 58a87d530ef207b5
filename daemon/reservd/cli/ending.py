"""How a command ends when something that it began does not: a plugin that never lets go of a call."""

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

_PATIENCE_SECONDS = 0.5


def run_until_answered(work: Coroutine[Any, Any, T]) -> tuple[T, bool]:
    """Return what a coroutine returns, and whether all that it began has ended.

    `asyncio.run` would wait for what has not, for ever where a task swallows its cancellation.
    """
    loop = asyncio.new_event_loop()
    try:
        answer = loop.run_until_complete(work)
    except BaseException:
        _close(loop)
        raise
    return answer, _close(loop)


def end_process(code: int = 0) -> NoReturn:
    """End the process, whatever hangs in a thread or a task of it, such as a name that is never resolved.

    The interpreter would wait for such threads, and for longer than whoever stops it does.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _close(loop: asyncio.AbstractEventLoop) -> bool:
    """Close a loop, unless one of its tasks goes on; return whether none did."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks and loop.run_until_complete(asyncio.wait(tasks, timeout=_PATIENCE_SECONDS))[1]:
        return False
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    return True
