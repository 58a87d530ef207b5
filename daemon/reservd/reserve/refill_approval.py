"""What becomes of a request that waits for somebody's approval while the reserve goes on."""

from decimal import Decimal

from reservd.reserve.amounts import multiply, subtract
from reservd.reserve.refill_decision import RefillDecision
from reservd.reserve.replenishment import Inaction, RefillPolicy
from reservd.reserve.replenishment_states import Replenishment

_NOTHING_LACKS = (Inaction.ADEQUATE, Inaction.COVERED, Inaction.BELOW_MINIMUM, Inaction.IN_FLIGHT)
_ONE = Decimal(1)


def reconsider(record: Replenishment, decision: RefillDecision, policy: RefillPolicy) -> Replenishment | None:
    """Return a request that waits for approval as it should be by now; None when it is not needed any more.

    Nobody was asked yet, so it may change. It never asks for more than whoever approves it may have read.

    Args:
        record: It is held back.
        decision: What would be decided now if it were not there.
        policy: How the mode is refilled; what differs by less than its tolerance is the same.
    """
    if decision.inaction in _NOTHING_LACKS:
        return None
    fresh, before = decision.request, record.request
    if fresh is None:
        return record
    same_kind = (fresh.urgency, fresh.replaces) == (before.urgency, before.replaces)
    if same_kind and fresh.amount >= multiply(subtract(_ONE, policy.tolerance), before.amount):
        return record
    changes = {"urgency": fresh.urgency, "replaces": fresh.replaces, "reason": fresh.reason}
    request = before.model_copy(update={**changes, "amount": min(before.amount, fresh.amount)})
    told = f"{before.amount:f} was asked for before" if request.amount != before.amount else record.detail
    changed = {"request": request, "needs_approval": policy.needs_approval(request), "detail": told}
    return record.model_copy(update=changed)
