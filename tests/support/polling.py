"""Waiting until a condition is true, by polling."""

import asyncio
import time
from collections.abc import Callable
from typing import Any


def wait_until(is_true: Callable[[], bool], what: str, *, timeout_seconds: float = 60.0) -> None:
    """Poll until the condition is true.

    Raises:
        TimeoutError: If it is not true in time; names `what` was waited for.
    """
    deadline = time.monotonic() + timeout_seconds
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_seconds:g} s for {what}")
        time.sleep(0.01)


async def until(is_true: Callable[[], Any], what: str = "a condition", timeout_seconds: float = 60.0) -> None:
    """Poll until the condition is true, without blocking the event loop.

    Raises:
        TimeoutError: If it is not true in time; names `what` was waited for.
    """
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while not is_true():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"waited {timeout_seconds:g} s for {what}")
        await asyncio.sleep(0.01)
