"""Runs plain functions beside an event loop, each on a thread of its own, so that they may block."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


async def run_on_thread(function: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> ResultT:
    """Run a function on a thread of its own; return what it returns, or raise what it raises.

    Unlike a thread of `asyncio.to_thread`, which the process joins at exit, it is a daemon thread: a function that
    never returns does not keep the process alive. Context variables are those of the caller.
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
        except Exception as error:  # noqa: BLE001  # passed on to the loop
            outcome = (answer.set_exception, error)
        except BaseException as error:  # noqa: BLE001  # would end the thread, and mean something else to the loop
            outcome = (answer.set_exception, RuntimeError(f"the function raised {type(error).__name__}"))
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=work, name="reservd-function", daemon=True).start()
    return await answer
