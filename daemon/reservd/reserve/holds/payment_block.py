"""Whether a payment can be in the block that was reported for it, given what was last read of the accounts."""

from datetime import datetime, timedelta

from reservd.reserve.holds.hold import CLOCKS_DIFFER_BY, GroupReading, Hold

_MOST_A_SECOND = 100
"""Blocks. No chain makes more, so that what is refused cannot be."""


def check_block(block: int, hold: Hold, reading: GroupReading | None, now: datetime) -> None:
    """Refuse a block that cannot be that of a payment: from a wrong one, a hold is freed too early or never.

    Args:
        block: What was told.
        hold: What was paid.
        reading: What was last read of its accounts; nothing is refused without a block in it.
        now: When it was told.

    Raises:
        ValueError: If the chain cannot have got there yet, or was past it when the withdrawal was decided.
    """
    if reading is None or reading.block is None:
        return
    latest = reading.block + _blocks_within(now - reading.observed_at)
    earliest = reading.block - _blocks_within(reading.observed_at - hold.decided_at)
    if not earliest <= block <= latest:
        told = f"block {reading.block} was read at {reading.observed_at.isoformat()}"
        raise ValueError(
            f"block must be between the decision ({hold.decided_at.isoformat()}) and now: {told}, got {block}"
        )


def _blocks_within(time: timedelta) -> int:
    """Return more blocks than a chain makes in that time, whose ends are told by clocks that differ."""
    return int((max(time, timedelta()) + CLOCKS_DIFFER_BY).total_seconds() * _MOST_A_SECOND)
