"""What becomes of a request while it waits for approval and the reserve changes."""

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
    """Return a request that waits for approval as it should be by now; None when it is not needed any more.

    Nobody was asked yet, so it may change. It never asks for more than whoever approves it may have read.

    Args:
        record: It is held back.
        decision: What would be decided now, under its id, if it were not there.
        policy: How the mode is refilled; what differs by less than its tolerance is the same.
        now: By its own clock.
    """
    fresh, before = decision.request, record.request
    # Another open one that its strategy is yet to hear of would be asked: what lacks is on its way.
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
    told = f"{before.amount:f} was asked for before" if request.amount != before.amount else record.detail
    after = record.model_copy(update={"request": request, "detail": told})
    return after if policy.needs_approval(request) else release(after, policy, now, needs_approval=False)


def release(record: Replenishment, policy: RefillPolicy, now: datetime, **changes: Any) -> Replenishment:
    """Return a request that waits for approval no longer: its strategy has as long as for one that never did.

    Args:
        record: Before.
        policy: How the mode is refilled.
        now: By its own clock.
        changes: Why it waits no longer, and other fields that change with that.
    """
    deadline = max(record.deadline, now + policy.patience)
    request = record.request.model_copy(update={"deadline": deadline})
    return record.model_copy(update={"request": request, "deadline": deadline, "released_at": now, **changes})
