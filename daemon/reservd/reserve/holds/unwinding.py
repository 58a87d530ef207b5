"""Updates a hold from the request for the part of it that has to be unwound."""

from dataclasses import replace
from datetime import timedelta

from reservd.reserve.holds.hold import Hold, HoldState, Unwinding
from reservd.reserve.replenishment import AcceptanceStatus
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState


def follow_request(hold: Hold, record: Replenishment) -> Hold:
    """Return the hold updated from its request: who provides the missing part, and when its money is expected.

    A later promise makes the hold overdue later. Money that nobody will send has no expected time.

    Args:
        hold: The hold.
        record: The request that was made for it.
    """
    acceptance = record.acceptance
    if acceptance is None or not hold.outstanding:
        return hold  # no answer yet, or it waits for nothing
    if acceptance.status is AcceptanceStatus.REJECTED:
        refused = record.state is ReplenishmentState.REJECTED or not record.heard
        return replace(hold, unwinding=Unwinding.REFUSED if refused else Unwinding.FAILED, expected_at=None)
    by = acceptance.expected_by
    if by is None or record.state is ReplenishmentState.VERIFIED:
        return replace(hold, unwinding=Unwinding.ASKED)
    late = max(timedelta(), by - (hold.expected_at or by))
    return replace(hold, unwinding=Unwinding.ASKED, expected_at=by, overdue_at=hold.overdue_at + late)


def leave_unasked(hold: Hold) -> Hold:
    """Return the hold when nobody is to be asked to unwind the rest."""
    return replace(hold, unwinding=Unwinding.REFUSED, expected_at=None)


def is_called_off(record: Replenishment, hold: Hold | None) -> bool:
    """Return whether a withdrawal's own request, which its strategy has not taken, is no longer needed.

    If the strategy knows of it, its money may be on its way: after the money came otherwise or the client was paid, it
    is still waited for. If nothing will be paid, a strategy that takes it later is told that it was cancelled.

    Args:
        record: The request.
        hold: The withdrawal that it was made for; None if that ended long ago.
    """
    if record.state is not ReplenishmentState.REQUESTED:
        return False
    if hold is not None and hold.state is HoldState.CANCELLED:
        return True
    return not record.heard and (hold is None or not hold.outstanding)
