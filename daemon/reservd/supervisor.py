"""Runs one duty after another, as the store is gained and lost and as the configuration changes."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import structlog

from reservd.config.load import Config
from reservd.duty import Duty
from reservd.errors import OwnershipLostError, SchemaError, StoreError
from reservd.monitor.modes import NO_MEMORIES, Memories
from reservd.reserve.kept import KeptState
from reservd.store.ownership import Ownership

log = structlog.get_logger(__name__)

_TAKE_UP_SECONDS = 20.0
"""How long a new configuration may take to be in use: running work ends within seconds."""


class Left(NamedTuple):
    """What one duty leaves to the next.

    Attributes:
        states: The states of modes that were kept in memory while the store was unavailable.
        memories: What was read, so that the next duty need not start from nothing.
    """

    states: Mapping[str, KeptState]
    memories: Memories


_NOTHING_LEFT = Left({}, NO_MEMORIES)


class Supervisor:
    """Stands by until the store is available, then runs the duty; stands by again if another daemon takes the store.

    Args:
        config: The configuration at the start.
        make_duty: Makes the duty of a configuration, without starting it.
        ownership: The ownership of the store.
        stand_by: Called when a duty has ended and no other follows at once.

    Attributes:
        config: The newest configuration.
        duty: The running duty; None while this daemon stands by.
    """

    def __init__(
        self,
        config: Config,
        make_duty: Callable[[Config], Duty],
        ownership: Ownership,
        stand_by: Callable[[], None],
    ) -> None:
        self.config = config
        self.duty: Duty | None = None
        self._make_duty = make_duty
        self._ownership = ownership
        self._stand_by = stand_by
        self._next: Duty | None = None
        self._newer = asyncio.Event()
        self._taken_up = asyncio.Event()

    async def take_up(self, config: Config, duty: Duty) -> None:
        """Switch to another configuration. Returns when it is in use, or after a time limit.

        Args:
            config: The new configuration.
            duty: The duty that was made of it. A standby makes a new one when it becomes the owner.
        """
        self.config = config
        self._next = duty if self.duty is not None else None
        self._taken_up.clear()
        self._newer.set()
        if self.duty is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TAKE_UP_SECONDS):
                    await self._taken_up.wait()

    async def run(self) -> None:
        """Run one duty after another until cancelled.

        Raises:
            SchemaError: If a newer reservd wrote the store.
        """
        left = _NOTHING_LEFT
        while True:
            await self._acquire()
            blind = not self._ownership.epoch
            duty = self._begin(left.memories)
            left = left._replace(memories=NO_MEMORIES)
            try:
                await self._do(duty, left.states)
                left = _what_is_left(duty, blind=blind)
            except OwnershipLostError as error:
                left = _NOTHING_LEFT  # the other daemon has the current state
                log.warning("ownership.ended", reason=str(error))
            except StoreError as error:
                log.error("store.failed", error=str(error))  # noqa: TRY400  # the message says everything
                self._ownership.forget()

    async def _acquire(self) -> None:
        """Wait until this daemon owns the store. If the store is unreachable, return: the duty runs without it."""
        try:
            await self._ownership.acquire()
        except SchemaError:
            raise
        except StoreError as error:
            log.error("store.gone", error=str(error))  # noqa: TRY400  # the message says everything

    def _begin(self, memories: Memories) -> Duty:
        """Make the duty of the newest configuration the current one."""
        self._newer.clear()
        duty, self._next = self._next or self._make_duty(self.config), None
        self.duty = duty
        duty.manager.go_on(memories)
        self._taken_up.set()
        return duty

    async def _do(self, duty: Duty, before: Mapping[str, KeptState]) -> None:
        """Run a duty until there is a newer configuration; stand by if anything else ends it."""
        try:
            await self._do_until_newer(duty, before)
        except BaseException:
            # A duty that was made for a reload is outdated by the time this daemon owns the store again.
            self.duty = self._next = None
            self._taken_up.set()  # the next duty will use it, so nobody need wait
            self._stand_by()
            raise

    async def _do_until_newer(self, duty: Duty, before: Mapping[str, KeptState]) -> None:
        """Run a duty until there is a newer configuration, then end it in order."""
        owned = self._ownership.epoch > 0
        work = asyncio.create_task(duty.run(before))
        newer = asyncio.create_task(self._newer.wait())
        try:
            await asyncio.wait({work, newer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            newer.cancel()
            work.cancel()
            await asyncio.wait({work})
        if not work.cancelled():
            work.result()
        if owned and not self._ownership.epoch:
            raise OwnershipLostError("another daemon took the store while this one ended its work")


def _what_is_left(duty: Duty, *, blind: bool) -> Left:
    """Return what a duty leaves to the duty of a newer configuration."""
    memories = duty.manager.memories()
    if not blind:
        return Left({}, memories)
    # State in the store, which is back, must be reconciled with state in memory.
    return Left(duty.manager.kept_states(), memories._replace(modes={}))
