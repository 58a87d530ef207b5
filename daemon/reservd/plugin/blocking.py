"""Detects calls that block the event loop, for the contract tests."""

import functools
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar
from unittest.mock import patch

P = ParamSpec("P")
T = TypeVar("T")

_FRAMES = 6
"""About as many calls as lead from a plugin through its HTTP library to the system."""


@contextmanager
def noting_what_blocks() -> Iterator[list[str]]:
    """Yield a list of the calls, with their stacks, that make this thread sleep or wait for a connection.

    They are detected by what is called, not by time, which would fail good plugins on a busy machine. Other threads may
    block, such as those of `asyncio.to_thread`.
    """
    found: list[str] = []
    thread = threading.get_ident()

    def noting(what: str, call: Callable[P, T], blocks: Callable[P, bool]) -> Callable[P, T]:
        @functools.wraps(call)
        def noted(*args: P.args, **kwargs: P.kwargs) -> T:
            if threading.get_ident() == thread and blocks(*args, **kwargs):
                way = traceback.extract_stack(limit=_FRAMES + 1)[:-1]
                found.append(f"{what}\n{''.join(traceback.format_list(way))}")
            return call(*args, **kwargs)

        return noted

    sleep = noting("time.sleep()", time.sleep, _always)
    connect = noting("a connection that is waited for", socket.socket.connect, _waits)
    with patch.object(time, "sleep", sleep), patch.object(socket.socket, "connect", connect):
        yield found


def _always(*_: Any, **__: Any) -> bool:
    return True


def _waits(connection: socket.socket, *_: Any, **__: Any) -> bool:
    return connection.gettimeout() != 0
