"""Decides whether to request a refill, for how much, and how urgently."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, add, describe, multiply, subtract
from reservd.reserve.models import ReserveSnapshot, ReserveStatus
from reservd.reserve.replenishment.limits import counts, limit_amount, total
from reservd.reserve.replenishment.models import Inaction, RefillPolicy, ReplenishmentRequest, Urgency
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState

_NO_EFFECT = (ReplenishmentState.EXPIRED, ReplenishmentState.INEFFECTIVE)
_MAX_DOUBLINGS = 30


class RefillDecision(NamedTuple):
    """The result of a check.

    Attributes:
        request: The request to make, or the open one to send again because it was not heard; in a dry run, the request
            that would be made.
        inaction: Why no request is made; None when one is.
    """

    request: ReplenishmentRequest | None
    inaction: Inaction | None


def decide_refill(
    snapshot: ReserveSnapshot,
    confirmed: ReserveStatus,
    policy: RefillPolicy,
    history: Sequence[Replenishment],
    *,
    request_id: str,
    incident_id: str | None = None,
    queued: Decimal = ZERO,
    spare: Decimal = ZERO,
) -> RefillDecision:
    """Return the request to make, or why none is made.

    If the reserve is ADEQUATE, a refill is requested only for withdrawals that wait although their own requests failed,
    and only for what the surplus over the target does not cover.

    Args:
        snapshot: A check whose step is `actionable`: conclusive, and its amounts not doubted.
        confirmed: The confirmed status; UNKNOWN never requests a refill.
        policy: The mode's policy.
        history: The mode's requests that are open, or that ended recently enough for the policy to remember.
        request_id: The id of a new request.
        incident_id: The open incident.
        queued: What accepted withdrawals wait for, and the reserve will have to pay out.
        spare: What is in flight for modes that share its accounts, beyond what they are missing: this mode gets some of
            it.
    """
    adequate = confirmed is ReserveStatus.ADEQUATE
    if adequate and queued <= still_to_come(history):
        return RefillDecision(None, Inaction.ADEQUATE)
    target, balance = snapshot.target_reserve, snapshot.reserve_balance
    if confirmed is ReserveStatus.UNKNOWN or target is None or balance is None:
        return RefillDecision(None, Inaction.NOT_CONCLUSIVE)
    own = [each for each in history if each.request.withdrawal_id is None]
    failed = _failed_in_a_row(own, incident_id)
    urgency = Urgency.FAST if adequate else _urgency(confirmed, failed)
    replaced = _replaceable(own) if urgency is Urgency.EMERGENCY else None
    waiting = _wait_for_open(own, urgency, policy) if replaced is None else None
    waiting = waiting or _cool_down(failed, confirmed, policy, snapshot.timestamp)
    if waiting is not None:
        return waiting
    in_flight = add(spare, still_to_come(each for each in history if each is not replaced))
    short = min(ZERO, subtract(target, balance)) if adequate else subtract(multiply(policy.level, target), balance)
    lacking = add(short, subtract(queued, in_flight))
    spent = [each for each in own if each is not replaced and counts(each, policy, snapshot.timestamp)]
    amount = limit_amount(lacking, policy, spent, in_flight=in_flight)
    if isinstance(amount, Inaction):
        return RefillDecision(None, amount)
    request = ReplenishmentRequest(
        id=request_id,
        strategy_mode=snapshot.strategy_mode,
        amount=amount,
        currency=snapshot.share_class,
        urgency=urgency,
        requested_at=snapshot.timestamp,
        incident_id=incident_id,
        replaces=replaced.id if replaced is not None else None,
        reason=(
            f"{describe(balance)} of {describe(target, round_up=True)} {snapshot.share_class} is {confirmed}; "
            f"requested {'for waiting withdrawals' if adequate else f'up to {policy.level} of the target'}"
        ),
        deadline=snapshot.timestamp + policy.patience,
        max_loss=policy.max_loss,
    )
    return RefillDecision(request, Inaction.DRY_RUN if policy.dry_run else None)


def spare_in_flight(sharers: Iterable[tuple[ReserveSnapshot, RefillPolicy, Decimal, Decimal]]) -> Decimal:
    """Return what is in flight for modes that share accounts, beyond what they are missing; 0 when that is unknown.

    Args:
        sharers: For each mode its snapshot, its policy, what its withdrawals wait for, and what is in flight for it.
    """
    spare = ZERO
    for snapshot, policy, queued, in_flight in sharers:
        if snapshot.target_reserve is None or snapshot.reserve_balance is None:
            return ZERO
        lacks = subtract(add(multiply(policy.level, snapshot.target_reserve), queued), snapshot.reserve_balance)
        spare = add(spare, subtract(in_flight, max(ZERO, lacks)))
    return max(ZERO, spare)


def _failed_in_a_row(own: Sequence[Replenishment], incident_id: str | None) -> list[Replenishment]:
    """Return the requests that have failed since the last one that arrived, newest first.

    Only those of this incident count: the end of the last one shows that the reserve recovered, wherever the money came
    from.
    """
    of_incident = (each for each in own if each.request.incident_id == incident_id)
    ended = (each for each in of_incident if not each.open and not _is_given_up(each))
    failed: list[Replenishment] = []
    for each in sorted(ended, key=lambda each: each.changed_at, reverse=True):
        if each.state is ReplenishmentState.VERIFIED:
            break
        failed.append(each)
    return failed


def _is_given_up(record: Replenishment) -> bool:
    """Return whether reservd itself dropped a request: it was replaced, or no longer needed before it was approved."""
    unheard = record.state is ReplenishmentState.CANCELLED and not record.heard and not record.by
    return unheard or record.replaced_by is not None


def _urgency(confirmed: ReserveStatus, failed: Sequence[Replenishment]) -> Urgency:
    # Requests that no strategy heard of, or whose money may have arrived unseen, say nothing about asking again.
    had_no_effect = any(each.heard and each.counted_throughout and each.state in _NO_EFFECT for each in failed)
    return Urgency.EMERGENCY if confirmed is ReserveStatus.CRITICAL or had_no_effect else Urgency.FAST


def _replaceable(own: Sequence[Replenishment]) -> Replenishment | None:
    """Return the open request that a more urgent one may replace."""
    is_open = [each for each in own if each.open]
    if not is_open or any(each.request.urgency is Urgency.EMERGENCY for each in is_open):
        return None
    newest = is_open[-1]
    if newest.state is ReplenishmentState.SETTLED:
        return None  # its money has left: requesting the whole amount would bring it twice
    # A strategy that refused an emergency will not hurry; what it took before is still on its way.
    answered = (each for each in own if not _is_given_up(each) and not _is_unheard(each))
    refused = any(each.request.replaces == newest.id for each in answered)
    return None if refused else newest


def _is_unheard(record: Replenishment) -> bool:
    """Return whether a request has expired before anybody approved it, or before its strategy heard of it."""
    return record.state is ReplenishmentState.EXPIRED and not record.heard


def _wait_for_open(own: Sequence[Replenishment], urgency: Urgency, policy: RefillPolicy) -> RefillDecision | None:
    """Return the decision that takes the place of a new request because of open ones; None when one may be made."""
    is_open = [each for each in own if each.open]
    unasked = find_unasked(is_open)
    if unasked:
        return RefillDecision(unasked[-1].request, None)
    if any(each.held_back for each in is_open):
        return RefillDecision(None, Inaction.AWAITING_APPROVAL)
    # Money that has left cannot be hurried: an emergency requests what is missing beyond it.
    emergency = urgency is Urgency.EMERGENCY
    awaited = [each for each in is_open if not (emergency and _is_calm_and_settled(each))]
    if len(awaited) >= policy.in_flight:
        return RefillDecision(None, Inaction.IN_FLIGHT)
    return None


def _cool_down(
    failed: Sequence[Replenishment], confirmed: ReserveStatus, policy: RefillPolicy, now: datetime
) -> RefillDecision | None:
    """Return the decision that takes the place of a new request after failures; None when one may be made."""
    # Requests that failed without urgency say little about the outcome of an emergency.
    calm = all(each.request.urgency is Urgency.FAST for each in failed)
    if not failed or (calm and confirmed is ReserveStatus.CRITICAL):
        return None
    if now < failed[0].changed_at + cooldown_after(len(failed), policy):
        return RefillDecision(None, Inaction.BACKOFF if len(failed) > 1 else Inaction.COOLDOWN)
    return None


def _is_calm_and_settled(record: Replenishment) -> bool:
    return record.state is ReplenishmentState.SETTLED and record.request.urgency is Urgency.FAST


def find_unasked(records: Iterable[Replenishment]) -> list[Replenishment]:
    """Return the requests that their strategies have not heard of, in order, without those that are replaced."""
    is_open = [each for each in records if each.open]
    stood_in_for = find_stood_in_for(is_open)
    return [each for each in is_open if each.to_be_asked and each.id not in stood_in_for]


def find_stood_in_for(records: Iterable[Replenishment]) -> frozenset[str]:
    """Return the ids of the requests that others of these replace: strategies are only offered the latter.

    A request that waits for approval replaces nothing yet, and one that was refused or failed no longer does.
    """
    return frozenset(
        each.request.replaces for each in records if each.request.replaces and each.open and not each.held_back
    )


def still_to_come(records: Iterable[Replenishment]) -> Decimal:
    """Return the total amount that open requests are still to bring.

    A request that replaces another is for the whole missing amount. Only the larger of the two comes, whichever the
    strategy takes.
    """
    is_open = {each.id: each for each in records if each.open}
    by_replacer = {each.id: is_open.get(each.request.replaces or "") for each in is_open.values()}
    replaced = {each.id for each in by_replacer.values() if each is not None}
    return total(
        max(each.outstanding, other.outstanding) if (other := by_replacer[each.id]) is not None else each.outstanding
        for each in is_open.values()
        if each.id not in replaced
    )


def cooldown_after(failures: int, policy: RefillPolicy) -> timedelta:
    """Return how long to wait after a number of failures in a row, 1 or more."""
    doubled: timedelta = policy.cooldown * (2 ** min(failures - 1, _MAX_DOUBLINGS))
    return min(doubled, max(policy.cooldown, policy.longest_cooldown))
