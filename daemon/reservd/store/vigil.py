"""What a daemon that does not own a store knows of the one that does, or of nobody doing so."""

Beat = tuple[int, int]
"""Epoch and heartbeat, as the store tells them."""

TAKE_OVER_AFTER_SECONDS = 12.0


class Vigil:
    """Watches the heart of another owner by the monotonic clock of the one who looks.

    Only looks that succeed count toward the take-over: an owner whose heart could not be seen, or
    could not beat, gets the whole time again once the store is back.

    Args:
        now: The monotonic second at which it begins.

    Attributes:
        beat: What the store told last; None before it told anything.
    """

    def __init__(self, now: float) -> None:
        self.beat: Beat | None = None
        self._looked_at = now
        self._still_since = now
        self._moved_at: float | None = None
        self._watched_at = now
        self._unread = self._untaken = False

    def saw(self, beat: Beat, now: float) -> bool:
        """Note what the store tells, and return whether the heart has beaten since the last look."""
        moved = self.beat not in {None, beat}
        if beat != self.beat:
            self._still_since = now
        if moved:
            self._moved_at = self._watched_at = now
            self._untaken = False
        self.beat, self._looked_at, self._unread = beat, now, False
        return moved

    def could_not_look(self, now: float, *, ended: bool) -> None:
        """Note that the store does not answer.

        Args:
            now: The monotonic second.
            ended: Whether the owner is known to have ended. One that was seen alive and is not is supposed
                to go on, from memory, as an owner does whose store is gone.
        """
        if self._moved_at is not None and not ended:
            self._watched_at += now - self._looked_at
        self._still_since = self._looked_at = now
        self._unread = True

    def could_not_take(self, now: float) -> None:
        """Note that a take-over was due and the store did not let itself be written."""
        self._still_since = now
        self._untaken = True

    def is_due(self, now: float) -> bool:
        """Whether the heart has stood still for so long that its owner must not act any more."""
        return now - self._still_since >= TAKE_OVER_AFTER_SECONDS

    def is_alive(self, now: float) -> bool:
        """Whether the heart was seen to beat lately."""
        return self._moved_at is not None and now - self._moved_at < TAKE_OVER_AFTER_SECONDS

    def is_vain(self, now: float, seconds: float) -> bool:
        """Whether for so long nobody was known to watch, and the store can be neither read nor taken."""
        return (self._unread or self._untaken) and now - self._watched_at > seconds
