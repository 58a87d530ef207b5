"""Updates a request that waits for approval as the reserve changes."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from reservd.reserve.amounts import multiply, subtract
from reservd.reserve.replenishment.decision import RefillDecision
from reservd.reserve.replenishment.models import Inaction, RefillPolicy
from reservd.reserve.replenishment.states import Replenishment

_NOTHING_LACKS = (Inaction.ADEQUATE, Inaction.COVERED, Inaction.BELOW_MINIMUM, Inaction.IN_FLIGHT)
_ONE = Decimal(1)


def reconsider(
    record: Replenishment, decision: RefillDecision, policy: RefillPolicy, now: datetime
) -> Replenishment | None:
    """Return a request that waits for approval, updated; None when it is no longer needed.

    No strategy has been asked yet, so it may change. It never asks for more than whoever approves it may have read.

    Args:
        record: The request, which waits for approval.
        decision: The decision that would be made now, under its id, if it did not exist.
        policy: The mode's policy; a difference within its tolerance changes nothing.
        now: The time by the request's own clock.
    """
    fresh, before = decision.request, record.request
    # The decision would send another open request to its strategy: what is missing is on its way.
    is_other = fresh is not None and fresh.id != record.id
    if decision.inaction in _NOTHING_LACKS or is_other:
        return None
    if fresh is None:
        return record
    same_kind = (fresh.urgency, fresh.replaces) == (before.urgency, before.replaces)
    if same_kind and fresh.amount >= multiply(subtract(_ONE, policy.tolerance), before.amount):
        return record
    changes = {"urgency": fresh.urgency, "replaces": fresh.replaces, "reason": fresh.reason}
    request = before.model_copy(update={**changes, "amount": min(before.amount, fresh.amount)})
    told = f"{before.amount:f} was requested before" if request.amount != before.amount else record.detail
    after = record.model_copy(update={"request": request, "detail": told})
    return after if policy.needs_approval(request) else release(after, policy, now, needs_approval=False)


def release(record: Replenishment, policy: RefillPolicy, now: datetime, **changes: Any) -> Replenishment:
    """Return a request that no longer waits for approval, with as much time for its strategy as one that never did.

    Args:
        record: The request before.
        policy: The mode's policy.
        now: The time by the request's own clock.
        changes: Why it no longer waits, and other fields that change with that.
    """
    deadline = max(record.deadline, now + policy.patience)
    request = record.request.model_copy(update={"deadline": deadline})
    return record.model_copy(update={"request": request, "deadline": deadline, "released_at": now, **changes})
