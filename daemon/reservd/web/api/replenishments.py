"""`/api/v1/modes/{mode}/replenishments` and `/api/v1/replenishments`: requests for refills, and reports on them."""

import contextlib
import uuid
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query
from pydantic import AwareDatetime, Field

from reservd.errors import StoreError
from reservd.reserve.replenishment import Inaction
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState
from reservd.service.replenishment import RefillDesk
from reservd.web.access.principal import Principal
from reservd.web.api.bounds import (
    DEFAULT_PAGE,
    IdempotencyKey,
    Identifier,
    ModeName,
    PageSize,
    PlaceCursor,
    PositiveAmount,
    RequestBody,
)
from reservd.web.api.cursors import decode_cursor, encode_cursor
from reservd.web.api.dependencies import Caller, DutyOf, let_read, require_mode, require_mode_exists
from reservd.web.api.views import show_replenishment
from reservd.web.backend import Duty
from reservd.web.problems import ProblemError, describe_problems
from reservd.wire.problems import ProblemKind
from reservd.wire.replenishments import ReplenishmentDetail, ReplenishmentPage

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
)
_IDS = uuid.UUID("8a7d2f66-53a1-4c8e-9a55-6f2a1c0d9b37")
"""The namespace of ids that are derived from a mode and an idempotency key."""

of_modes = APIRouter(prefix="/modes/{mode}/replenishments", tags=["replenishments"])
router = APIRouter(prefix="/replenishments", tags=["replenishments"])

Line = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]


class ReplenishmentOrder(RequestBody):
    """A refill to request."""

    amount: PositiveAmount
    reason: Line = "asked for"
    """The reason for people, in one line."""


class Remark(RequestBody):
    """A remark for people, in one line."""

    reason: Line = ""


class Report(Remark):
    """A strategy's progress."""

    reference: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None
    """The strategy's own id of the work."""
    expected_by: AwareDatetime | None = None
    """When the money should have arrived."""


class Taking(Report):
    """A strategy's acceptance."""

    exclusive: Annotated[bool, Field(strict=True)] = False
    """Refuse if it has been accepted already. Its acceptor may ask again under the same `reference`."""


_Remark = Annotated[Remark, Body()]
_Report = Annotated[Report, Body()]
_Taking = Annotated[Taking, Body()]
_NO_TAKING = Taking()
_NO_REMARK = Remark()
_NO_REPORT = Report()


@of_modes.get("", dependencies=[Depends(let_read)], responses=_READ_PROBLEMS)
async def list_replenishments(
    mode: ModeName,
    duty: DutyOf,
    state: Annotated[ReplenishmentState | None, Query(description="Only in this state.")] = None,
    limit: PageSize = DEFAULT_PAGE,
    cursor: PlaceCursor = None,
) -> ReplenishmentPage:
    """Return the mode's requests for refills, newest first."""
    require_mode_exists(duty, mode)
    states = None if state is None else [state]
    before = decode_cursor(cursor) if cursor is not None else None
    found = await duty.replenishments.desk.list(mode, states, limit=limit + 1, before=before)
    after = encode_cursor(found[limit - 1].place) if len(found) > limit else None
    return ReplenishmentPage(items=list(found[:limit]), next_cursor=after)


@of_modes.post(
    "", status_code=201, responses={**_WRITE_PROBLEMS, **describe_problems(ProblemKind.INVALID, ProblemKind.KEY_REUSED)}
)
async def request_replenishment(
    mode: ModeName, caller: Caller, duty: DutyOf, order: ReplenishmentOrder, key: IdempotencyKey
) -> Replenishment:
    """Ask the mode's strategy for a refill, once per key, and return the request after the strategy was asked.

    After a 503 or no response, send the same request again under the same key: the refill is requested once.
    """
    require_mode(caller, mode)
    require_mode_exists(duty, mode)
    request_id = str(uuid.uuid5(_IDS, f"{mode}\n{key}"))
    outcome = await duty.replenishments.request(
        mode, order.amount, request_id=request_id, asked_by=caller.name, reason=order.reason
    )
    if outcome.request is None or outcome.reason == Inaction.STORE_GONE:
        raise _not_requested(outcome.reason)
    if outcome.request.amount != order.amount:
        raise ProblemError(ProblemKind.KEY_REUSED, "this key was used for a different amount: nothing was requested")
    return await duty.replenishments.desk.find(request_id)


@router.get("/{replenishment_id}", dependencies=[Depends(let_read)], responses=_READ_PROBLEMS)
async def get_replenishment(replenishment_id: Identifier, duty: DutyOf) -> ReplenishmentDetail:
    """Return one request for a refill and its changes."""
    desk = duty.replenishments.desk
    record = await desk.find(replenishment_id)
    changes = None
    with contextlib.suppress(StoreError):  # the state is known anyway
        changes = await desk.changes(replenishment_id)
    return show_replenishment(record, changes)


@router.post("/{replenishment_id}/accept", responses=_WRITE_PROBLEMS)
async def accept_replenishment(
    replenishment_id: Identifier, caller: Caller, duty: DutyOf, taking: _Taking = _NO_TAKING
) -> Replenishment:
    """Record that the strategy accepts the request, and when the money should have arrived."""
    desk = await _desk(duty, caller, replenishment_id)
    return await desk.accept(
        replenishment_id,
        by=caller.name,
        reason=taking.reason,
        reference=taking.reference,
        expected_by=taking.expected_by,
        exclusive=taking.exclusive,
    )


@router.post("/{replenishment_id}/progress", responses=_WRITE_PROBLEMS)
async def progress_replenishment(
    replenishment_id: Identifier, caller: Caller, duty: DutyOf, report: _Report = _NO_REPORT
) -> Replenishment:
    """Record that the strategy is working on the request."""
    desk = await _desk(duty, caller, replenishment_id)
    return await desk.progress(
        replenishment_id,
        by=caller.name,
        reason=report.reason,
        reference=report.reference,
        expected_by=report.expected_by,
    )


@router.post("/{replenishment_id}/settle", responses=_WRITE_PROBLEMS)
async def settle_replenishment(
    replenishment_id: Identifier, caller: Caller, duty: DutyOf, remark: _Remark = _NO_REMARK
) -> Replenishment:
    """Record that the strategy has sent the money. It counts once the reserve shows it."""
    desk = await _desk(duty, caller, replenishment_id)
    return await desk.settle(replenishment_id, by=caller.name, reason=remark.reason)


@router.post("/{replenishment_id}/fail", responses=_WRITE_PROBLEMS)
async def fail_replenishment(
    replenishment_id: Identifier, caller: Caller, duty: DutyOf, remark: _Remark = _NO_REMARK
) -> Replenishment:
    """Record that the strategy failed to carry out the request."""
    desk = await _desk(duty, caller, replenishment_id)
    return await desk.fail(replenishment_id, by=caller.name, reason=remark.reason)


@router.post("/{replenishment_id}/reject", responses=_WRITE_PROBLEMS)
async def reject_replenishment(
    replenishment_id: Identifier, caller: Caller, duty: DutyOf, remark: _Remark = _NO_REMARK
) -> Replenishment:
    """Record that the strategy rejects the request, or that it is not approved."""
    desk = await _desk(duty, caller, replenishment_id)
    return await desk.reject(replenishment_id, by=caller.name, reason=remark.reason)


@router.post("/{replenishment_id}/approve", responses=_WRITE_PROBLEMS)
async def approve_replenishment(
    replenishment_id: Identifier, caller: Caller, duty: DutyOf, remark: _Remark = _NO_REMARK
) -> Replenishment:
    """Approve a request that awaits approval. For treasury and admin: a strategy must not approve its own."""
    _require_treasury(caller)
    desk = await _desk(duty, caller, replenishment_id)
    return await desk.approve(replenishment_id, by=caller.name, reason=remark.reason)


@router.post("/{replenishment_id}/cancel", responses=_WRITE_PROBLEMS)
async def cancel_replenishment(
    replenishment_id: Identifier, caller: Caller, duty: DutyOf, remark: _Remark = _NO_REMARK
) -> Replenishment:
    """Cancel a request. For treasury and admin. A strategy that has it may still act on it."""
    _require_treasury(caller)
    desk = await _desk(duty, caller, replenishment_id)
    return await desk.cancel(replenishment_id, by=caller.name, reason=remark.reason)


async def _desk(duty: Duty, caller: Principal, replenishment_id: str) -> RefillDesk:
    """Return the desk if the caller may act for the request's mode."""
    desk = duty.replenishments.desk
    require_mode(caller, (await desk.find(replenishment_id)).request.strategy_mode)
    return desk


def _require_treasury(caller: Principal) -> None:
    if not caller.may_approve():
        raise ProblemError(ProblemKind.FORBIDDEN, f"{caller.role} '{caller.name}' may neither approve nor cancel")


def _not_requested(reason: str) -> ProblemError:
    if reason == Inaction.STORE_GONE:
        detail = "the store is unavailable and the outcome is unknown: repeat the request with the same key"
        return ProblemError(ProblemKind.STORE_GONE, detail, {"retry-after": "5"})
    return ProblemError(ProblemKind.NOT_REQUESTED, "no refill was requested", reason=reason)
