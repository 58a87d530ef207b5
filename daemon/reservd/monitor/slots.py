"""Limits the calls that one source gets at a time, since thousands of modes may ask it at once."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from reservd.errors import CallError, FailureReason

T = TypeVar("T")

_GIVE_UP_AFTER = 16
"""Calls in a row that timed out, after which those that wait for a slot fail as they did."""


class Slots:
    """The slots of one source: who finds none free waits for one, and its deadline begins once it has it.

    Behind a source that answers nobody, thousands would wait for one deadline after another. Once many calls in a row
    have timed out, those that are waiting then fail; who comes later asks anew.

    Args:
        count: How many calls may be under way.
    """

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._timeouts_in_a_row = 0
        self._outages = 0
        """How often those that were waiting were to fail."""

    async def run(self, call: Callable[[], Coroutine[Any, Any, T | CallError]]) -> T | CallError:
        """Return what a call returns, once there is a slot for it. Waits for nothing when one is free."""
        outages = self._outages
        async with self._free:
            if self._outages != outages:
                return CallError(FailureReason.TIMEOUT, "the calls before this one had no answer")
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
