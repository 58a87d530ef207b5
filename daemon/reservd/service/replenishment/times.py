"""The age of requests, even while the machine's clock is changed."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from reservd.monitor.clock import Clock
from reservd.reserve.replenishment import RefillPolicy
from reservd.reserve.replenishment.states import Replenishment
from reservd.reserve.state import Instant

_SLEW = timedelta(seconds=1)
"""A clock that differs by less from the expected time was not changed."""

_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class _Seen(NamedTuple):
    """When a request came into memory, by the clock of that time, its own from then on, and how that was set."""

    wall: datetime
    monotonic: float
    zero: datetime
    """The clock's time at monotonic second 0."""
    loaded: bool
    """Whether it was found in the store, and so may have been dated by another clock."""


class RefillTimes:
    """Gives each request its own clock, which continues the machine's clock from when the request came into memory.

    A clock that is set forward by a day must not end a strategy's work, a cooldown or a budget's period; one that is
    set back must not extend them.

    Args:
        clock: The machine's wall and monotonic clocks.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._zero = _zero(clock.now())

    def begin(self, record: Replenishment, *, loaded: bool = False) -> None:
        """Start a request's clock. A second call changes nothing.

        Args:
            record: Made now, or found in the store.
            loaded: Whether it was found in the store, and so was written before now, whatever the clock says.
        """
        if record.id in self._seen:
            return
        now = self._clock.now()
        zero = _zero(now)
        if abs(zero - self._zero) >= _SLEW:
            self._zero = zero
        wall = max(now.wall, record.changed_at) if loaded else now.wall
        self._seen[record.id] = _Seen(wall, now.monotonic, self._zero, loaded)

    def forget(self, replenishment_id: str) -> None:
        """Forget a request."""
        self._seen.pop(replenishment_id, None)

    def now(self, replenishment_id: str) -> datetime:
        """Return the time by a request's own clock, which determines its deadline."""
        return self.own(replenishment_id, self._clock.now().wall)

    def own(self, replenishment_id: str, at: datetime) -> datetime:
        """Return the time on a request's own clock when the machine's current clock showed `at`."""
        now, seen = self._clock.now(), self._seen.get(replenishment_id)
        if seen is None:
            return at
        ahead = seen.wall + timedelta(seconds=now.monotonic - seen.monotonic) - now.wall
        # `at` may be any time, so the result is clamped.
        return at if abs(ahead) < _SLEW else at + max(_FIRST - at, min(ahead, _LAST - at))

    def monotonic(self, record: Replenishment, at: datetime) -> float:
        """Return a time of a request on the monotonic clock, so that times of several requests can be compared."""
        return (at - self._seen[record.id].zero).total_seconds()

    def dated(self, record: Replenishment, at: datetime) -> Replenishment:
        """Return a request with its times of creation and last change converted to a clock that shows `at` now."""
        own = self.own(record.id, at)
        if own == at:
            return record
        changed_at = at - self._age(record, record.changed_at, own, at)
        requested_at = at - self._age(record, record.request.requested_at, own, at)
        request = record.request.model_copy(update={"requested_at": requested_at})
        return record.model_copy(update={"request": request, "changed_at": changed_at})

    def remembers(self, record: Replenishment, policy: RefillPolicy) -> bool:
        """Return whether an ended request may still matter. If it was loaded, its time starts at the load.

        Only a correct clock could tell how old it was then.
        """
        seen = self._seen[record.id]
        ended_at = max(record.changed_at, seen.wall) if seen.loaded else record.changed_at
        return policy.remembers(ended_at, self.now(record.id))

    def _age(self, record: Replenishment, then: datetime, own: datetime, at: datetime) -> timedelta:
        seen = self._seen[record.id]
        if not seen.loaded or then > seen.wall:
            return own - then
        # For a request from before, perhaps dated by another clock, the least possible age.
        return max(own - seen.wall, min(own, at) - then)


def _zero(now: Instant) -> datetime:
    return now.wall - timedelta(seconds=now.monotonic)
