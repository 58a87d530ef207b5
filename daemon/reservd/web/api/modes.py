"""`/api/v1/modes`: the state of the reserves."""

import bisect
import itertools
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from reservd.reserve.models import ReserveStatus
from reservd.web.api.bounds import DEFAULT_PAGE, ModeName, NameCursor, PageSize
from reservd.web.api.dependencies import DutyOf, let_read, require_mode_exists
from reservd.web.api.views import show_mode, show_mode_detail
from reservd.web.problems import describe_problems
from reservd.wire.modes import ModeDetail, ModePage
from reservd.wire.problems import ProblemKind

router = APIRouter(
    prefix="/modes",
    tags=["modes"],
    dependencies=[Depends(let_read)],
    responses=describe_problems(ProblemKind.UNAUTHORIZED, ProblemKind.STANDBY),
)


@router.get("")
async def list_modes(
    duty: DutyOf,
    status: Annotated[ReserveStatus | None, Query(description="Only modes with this confirmed status.")] = None,
    limit: PageSize = DEFAULT_PAGE,
    cursor: NameCursor = None,
) -> ModePage:
    """Return the modes that are watched, sorted by name."""
    manager = duty.manager
    names = sorted(manager.reserve_configs)
    rest = names[bisect.bisect_right(names, cursor) :] if cursor is not None else names
    wanted = (name for name in rest if status is None or manager.status(name) is status)
    found = list(itertools.islice(wanted, limit + 1))
    items = [show_mode(duty, name) for name in found[:limit]]
    return ModePage(items=items, next_cursor=found[limit - 1] if len(found) > limit else None)


@router.get("/{mode}", responses=describe_problems(ProblemKind.NOT_FOUND))
async def get_mode(mode: ModeName, duty: DutyOf) -> ModeDetail:
    """Return the state of one mode."""
    require_mode_exists(duty, mode)
    return show_mode_detail(duty, mode)
