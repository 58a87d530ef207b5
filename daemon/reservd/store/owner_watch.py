"""What a standby knows about the owner of the store: whether it is alive, and when to take over."""

Beat = tuple[int, int]
"""Epoch and heartbeat, as read from the store."""

TAKE_OVER_AFTER_SECONDS = 12.0


class OwnerWatch:
    """Watches the heartbeat of another owner on this daemon's own monotonic clock.

    Only successful reads count towards a takeover: an owner whose heartbeat could not be read, or could not be written,
    gets the full time again once the store is back.

    Args:
        now: The monotonic second at which watching begins.

    Attributes:
        beat: The last heartbeat that was read; None before the first.
    """

    def __init__(self, now: float) -> None:
        self.beat: Beat | None = None
        self._looked_at = now
        self._still_since = now
        self._moved_at: float | None = None
        self._watched_at = now
        self._unread = self._untaken = False

    def saw(self, beat: Beat, now: float) -> bool:
        """Record a heartbeat that was read. Return whether it has changed since the last one."""
        moved = self.beat not in {None, beat}
        if beat != self.beat:
            self._still_since = now
        if moved:
            self._moved_at = self._watched_at = now
            self._untaken = False
        self.beat, self._looked_at, self._unread = beat, now, False
        return moved

    def could_not_look(self, now: float, *, ended: bool) -> None:
        """Record that the store did not answer.

        Args:
            now: The monotonic second.
            ended: Whether the owner's process is known to have ended. Otherwise an owner that was seen alive is assumed
                to run from memory, as owners do while the store is down.
        """
        if self._moved_at is not None and not ended:
            self._watched_at += now - self._looked_at
        self._still_since = self._looked_at = now
        self._unread = True

    def could_not_take(self, now: float) -> None:
        """Record that a takeover was due but the store could not be written."""
        self._still_since = now
        self._untaken = True

    def is_due(self, now: float) -> bool:
        """Return whether the heartbeat has not changed for so long that its owner must have stopped acting."""
        return now - self._still_since >= TAKE_OVER_AFTER_SECONDS

    def is_alive(self, now: float) -> bool:
        """Return whether the heartbeat was recently seen to change."""
        return self._moved_at is not None and now - self._moved_at < TAKE_OVER_AFTER_SECONDS

    def is_vain(self, now: float, seconds: float) -> bool:
        """Return whether no daemon was known to watch for that time, and the store can be neither read nor taken."""
        return (self._unread or self._untaken) and now - self._watched_at > seconds
