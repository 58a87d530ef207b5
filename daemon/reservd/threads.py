"""Runs plain functions beside an event loop, each on a thread of its own, so that it may block."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


async def run_on_thread(function: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> ResultT:
    """Return what a function returns, or raise what it raises.

    Unlike those of `asyncio.to_thread`, which a process waits for at its end, its thread is a daemon: a function
    that never returns keeps nobody. Context variables are those of the caller.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[ResultT] = loop.create_future()
    context = contextvars.copy_context()

    def settle(set_it: Callable[[Any], None], value: Any) -> None:
        if not answer.done():
            set_it(value)

    def work() -> None:
        try:
            outcome: tuple[Callable[[Any], None], Any] = (answer.set_result, context.run(function, *args, **kwargs))
        except Exception as error:  # noqa: BLE001  # handed over to the loop
            outcome = (answer.set_exception, error)
        except BaseException as error:  # noqa: BLE001  # would end the thread, and mean something else to the loop
            outcome = (answer.set_exception, RuntimeError(f"the function raised {type(error).__name__}"))
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=work, name="reservd-function", daemon=True).start()
    return await answer
