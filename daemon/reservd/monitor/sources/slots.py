"""Limits the concurrent calls to one source, since thousands of modes may need it at once."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from reservd.errors import CallError, FailureReason

T = TypeVar("T")

_GIVE_UP_AFTER = 16
"""The number of timeouts in a row after which the calls that wait for a slot fail, too."""


class Slots:
    """The slots of one source. A call waits until one is free, and its deadline starts then.

    If a source answers nobody, thousands of calls would wait for one deadline after another. Once many calls in a row
    have timed out, those that are waiting fail; later ones are tried again.

    Args:
        count: How many calls may run at a time.
    """

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._timeouts_in_a_row = 0
        self._outages = 0
        """How many times the waiting calls were made to fail."""

    async def run(self, call: Callable[[], Coroutine[Any, Any, T | CallError]]) -> T | CallError:
        """Return the result of a call, which starts once a slot is free: at once if one is."""
        outages = self._outages
        async with self._free:
            if self._outages != outages:
                return CallError(FailureReason.TIMEOUT, "the previous calls have not been answered")
            answer = await call()
            self._note(answer)
            return answer

    def _note(self, answer: object) -> None:
        if not isinstance(answer, CallError) or answer.reason is not FailureReason.TIMEOUT:
            self._timeouts_in_a_row = 0
            return
        self._timeouts_in_a_row += 1
        if self._timeouts_in_a_row >= _GIVE_UP_AFTER:
            self._outages += 1
