"""Holds: what was promised to accepted withdrawals, and which readings still show the money."""

from reservd.reserve.holds.hold import (
    CLOCKS_DIFFER_BY,
    GroupReading,
    Hold,
    HoldState,
    Unwinding,
    cancel,
    expect,
    hash_request,
    hold_for,
    is_older,
    is_shown,
    mark_paying,
    observed_together,
    read_group,
    settle,
)

__all__ = [
    "CLOCKS_DIFFER_BY",
    "GroupReading",
    "Hold",
    "HoldState",
    "Unwinding",
    "cancel",
    "expect",
    "hash_request",
    "hold_for",
    "is_older",
    "is_shown",
    "mark_paying",
    "observed_together",
    "read_group",
    "settle",
]
