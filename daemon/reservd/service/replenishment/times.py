"""The age of requests, also while somebody sets the machine's clock."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from reservd.monitor.clock import Clock
from reservd.reserve.replenishment import RefillPolicy
from reservd.reserve.replenishment.states import Replenishment
from reservd.reserve.state import Instant

_SLEW = timedelta(seconds=1)
"""A clock that differs by less from what it would show was not set."""

_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class _Seen(NamedTuple):
    """When a request came into memory: by the clock of then, which is its own and never set, and how that went."""

    wall: datetime
    monotonic: float
    zero: datetime
    """What the clock showed when the monotonic one showed 0."""
    loaded: bool
    """Whether it was found in the store: when it was written, another clock may have told."""


class RefillTimes:
    """Gives each request a clock of its own, which goes on as the machine's went when it came into memory.

    A clock that is set forward by a day must neither end what a strategy is at, nor a cooldown, nor give a budget
    out anew; one that is set back must not stretch them.

    Args:
        clock: Tells both times.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._zero = _zero(clock.now())

    def begin(self, record: Replenishment, *, loaded: bool = False) -> None:
        """See a request for the first time; again changes nothing.

        Args:
            record: Made now, or found in the store.
            loaded: Which of the two. What the store has was written before now, whatever the clock says.
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
        """Leave a request out."""
        self._seen.pop(replenishment_id, None)

    def now(self, replenishment_id: str) -> datetime:
        """Return the time by a request's own clock, which its deadline goes by."""
        return self.own(replenishment_id, self._clock.now().wall)

    def own(self, replenishment_id: str, at: datetime) -> datetime:
        """Return what a request's own clock showed when the machine's, as it is set now, showed `at`."""
        now, seen = self._clock.now(), self._seen.get(replenishment_id)
        if seen is None:
            return at
        ahead = seen.wall + timedelta(seconds=now.monotonic - seen.monotonic) - now.wall
        # What is told may be as far away as can be.
        return at if abs(ahead) < _SLEW else at + max(_FIRST - at, min(ahead, _LAST - at))

    def monotonic(self, record: Replenishment, at: datetime) -> float:
        """Return when one of a request's times was, by the monotonic clock: so those of several can be compared."""
        return (at - self._seen[record.id].zero).total_seconds()

    def dated(self, record: Replenishment, at: datetime) -> Replenishment:
        """Return a request with the times of its making and of its last change by a clock that shows `at` now."""
        own = self.own(record.id, at)
        if own == at:
            return record
        changed_at = at - self._age(record, record.changed_at, own, at)
        requested_at = at - self._age(record, record.request.requested_at, own, at)
        request = record.request.model_copy(update={"requested_at": requested_at})
        return record.model_copy(update={"request": request, "changed_at": changed_at})

    def remembers(self, record: Replenishment, policy: RefillPolicy) -> bool:
        """Whether a request that has ended may still matter: for as long after it was found in the store, too.

        How old it was then, only a clock that was right could tell.
        """
        seen = self._seen[record.id]
        ended_at = max(record.changed_at, seen.wall) if seen.loaded else record.changed_at
        return policy.remembers(ended_at, self.now(record.id))

    def _age(self, record: Replenishment, then: datetime, own: datetime, at: datetime) -> timedelta:
        seen = self._seen[record.id]
        if not seen.loaded or then > seen.wall:
            return own - then
        # Of what was written before, by what may have been another clock, the least that it can be.
        return max(own - seen.wall, min(own, at) - then)


def _zero(now: Instant) -> datetime:
    return now.wall - timedelta(seconds=now.monotonic)
