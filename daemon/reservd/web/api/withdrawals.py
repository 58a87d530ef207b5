"""`/api/v1/modes/{mode}/withdrawals` and `/api/v1/withdrawals`: decides withdrawals, and records their payment."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from reservd.reserve.holds import Hold, HoldState
from reservd.reserve.holds.queue import line_up
from reservd.reserve.withdrawal import Refusal
from reservd.web.access.principal import Principal
from reservd.web.api.bounds import (
    DEFAULT_PAGE,
    IdempotencyKey,
    Identifier,
    ModeName,
    PageSize,
    PositionCursor,
    PositiveAmount,
)
from reservd.web.api.dependencies import Caller, DutyOf, let_read, require_mode, require_mode_exists
from reservd.web.api.withdrawal_views import (
    Settlement,
    WithdrawalOrder,
    show_quote,
    show_withdrawal,
)
from reservd.web.backend import Duty
from reservd.web.problems import ProblemError, describe_problems
from reservd.wire.problems import ProblemKind
from reservd.wire.withdrawals import SpeedView, WithdrawalPage, WithdrawalView

_READ_PROBLEMS = describe_problems(
    ProblemKind.UNAUTHORIZED, ProblemKind.NOT_FOUND, ProblemKind.STANDBY, ProblemKind.STORE_GONE
)
_WRITE_PROBLEMS = describe_problems(
    ProblemKind.UNAUTHORIZED,
    ProblemKind.FORBIDDEN,
    ProblemKind.NOT_FOUND,
    ProblemKind.CONFLICT,
    ProblemKind.STANDBY,
    ProblemKind.STORE_GONE,
    ProblemKind.BUSY,
)
_TRANSIENT = {Refusal.STORE_GONE: ProblemKind.STORE_GONE, Refusal.BUSY: ProblemKind.BUSY}

of_modes = APIRouter(prefix="/modes/{mode}", tags=["withdrawals"])
router = APIRouter(prefix="/withdrawals", tags=["withdrawals"])


@of_modes.get("/withdrawal-speed", dependencies=[Depends(let_read)], responses=_READ_PROBLEMS)
async def get_withdrawal_speed(
    mode: ModeName, duty: DutyOf, amount: Annotated[PositiveAmount | None, Query()] = None
) -> SpeedView:
    """Return how fast the mode would pay an amount now, or without an amount, the best speed."""
    require_mode_exists(duty, mode)
    if amount is None:
        return SpeedView(mode=mode, speed=await duty.withdrawals.get_withdrawal_speed(mode))
    return show_quote(await duty.withdrawals.quote_withdrawal(mode, amount))


@of_modes.get("/withdrawals", dependencies=[Depends(let_read)], responses=_READ_PROBLEMS)
async def list_withdrawals(
    mode: ModeName,
    duty: DutyOf,
    state: Annotated[HoldState | None, Query(description="Only in this state.")] = None,
    limit: PageSize = DEFAULT_PAGE,
    cursor: PositionCursor = None,
) -> WithdrawalPage:
    """Return the mode's accepted withdrawals, newest first."""
    require_mode_exists(duty, mode)
    states = None if state is None else [state]
    found = await duty.withdrawals.list(mode, states, limit=limit + 1, before=cursor)
    places = line_up(each.hold for each in duty.withdrawals.queue(mode))
    items = [show_withdrawal(each, places.get(each.id)) for each in found[:limit]]
    return WithdrawalPage(items=items, next_cursor=found[limit - 1].position if len(found) > limit else None)


@of_modes.post(
    "/withdrawals",
    status_code=201,
    responses={
        200: {"model": WithdrawalView, "description": "It was already accepted under the same key."},
        **_WRITE_PROBLEMS,
        **describe_problems(ProblemKind.REFUSED),
    },
)
async def process_withdrawal(
    mode: ModeName, caller: Caller, duty: DutyOf, order: WithdrawalOrder, key: IdempotencyKey, response: Response
) -> WithdrawalView:
    """Decide how a withdrawal is paid, and hold the part that the reserve pays.

    After a 503 or no response, send the same request again under the same key: the withdrawal is decided once.
    """
    require_mode(caller, mode)
    require_mode_exists(duty, mode)
    decision = await duty.withdrawals.process_withdrawal(mode, order.amount, key)
    if decision.hold is None:
        raise _refused(decision.refusal)
    if decision.repeated:
        response.status_code = 200
    return _show(duty, decision.hold)


@router.get("/{withdrawal_id}", dependencies=[Depends(let_read)], responses=_READ_PROBLEMS)
async def get_withdrawal(withdrawal_id: Identifier, duty: DutyOf) -> WithdrawalView:
    """Return one accepted withdrawal."""
    return _show(duty, await duty.withdrawals.find(withdrawal_id))


@router.post("/{withdrawal_id}/paying", responses=_WRITE_PROBLEMS)
async def mark_paying(withdrawal_id: Identifier, caller: Caller, duty: DutyOf) -> WithdrawalView:
    """Record that the payment was sent."""
    await _require_own(duty, caller, withdrawal_id)
    return _show(duty, await duty.withdrawals.mark_paying(withdrawal_id))


@router.post("/{withdrawal_id}/settle", responses=_WRITE_PROBLEMS)
async def settle_withdrawal(
    withdrawal_id: Identifier, caller: Caller, duty: DutyOf, settlement: Settlement
) -> WithdrawalView:
    """Record that the client was paid: older readings still include the money, later ones do not."""
    await _require_own(duty, caller, withdrawal_id)
    try:
        hold = await duty.withdrawals.settle(withdrawal_id, block=settlement.block, paid_at=settlement.paid_at)
    except ValueError as error:
        raise ProblemError(ProblemKind.INVALID, str(error)) from None
    return _show(duty, hold)


@router.post("/{withdrawal_id}/cancel", responses=_WRITE_PROBLEMS)
async def cancel_withdrawal(withdrawal_id: Identifier, caller: Caller, duty: DutyOf) -> WithdrawalView:
    """Record that nothing was or will be paid: the held amount is available again."""
    await _require_own(duty, caller, withdrawal_id)
    return _show(duty, await duty.withdrawals.cancel(withdrawal_id))


def _show(duty: Duty, hold: Hold) -> WithdrawalView:
    return show_withdrawal(hold, duty.withdrawals.stand(hold))


async def _require_own(duty: Duty, caller: Principal, withdrawal_id: str) -> None:
    require_mode(caller, (await duty.withdrawals.find(withdrawal_id)).mode)


def _refused(refusal: Refusal | None) -> ProblemError:
    kind = _TRANSIENT.get(refusal) if refusal is not None else None
    if kind is not None:
        detail = "the outcome is unknown and nothing is promised: repeat the request with the same key"
        return ProblemError(kind, detail, {"retry-after": "1"})
    return ProblemError(
        ProblemKind.REFUSED, "the withdrawal is refused: nothing is held and nothing will be paid", reason=refusal
    )
