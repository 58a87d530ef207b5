"""Checks whether a payment can be in the block that was reported for it, given the last reading of the accounts."""

from datetime import datetime, timedelta

from reservd.reserve.holds.hold import CLOCKS_DIFFER_BY, GroupReading, Hold

_MOST_A_SECOND = 100
"""Blocks per second. No chain is faster, so that only impossible blocks are refused."""


def check_block(block: int, hold: Hold, reading: GroupReading | None, now: datetime) -> None:
    """Refuse a block that cannot contain a payment: a wrong one would free a hold too early or never.

    Args:
        block: The reported block.
        hold: The hold that was paid.
        reading: The last reading of its accounts; without a block in it, nothing is refused.
        now: When the payment was reported.

    Raises:
        ValueError: If the chain cannot have reached the block yet, or was past it when the withdrawal was decided.
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
    """Return more blocks than a chain makes in that time, which is measured by clocks that differ."""
    return int((max(time, timedelta()) + CLOCKS_DIFFER_BY).total_seconds() * _MOST_A_SECOND)
