"""`/api/v1/events`: events, from the store and as they are decided."""

import functools
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse

from reservd.config.mode import Name
from reservd.store.queries import load_event, load_newest_events
from reservd.web.api.bounds import DEFAULT_PAGE, Identifier, ModeFilter, PageSize, PositionCursor
from reservd.web.api.dependencies import BackendOf, DutyOf, let_read
from reservd.web.api.explanations import show_explanation
from reservd.web.api.views import show_event
from reservd.web.problems import ProblemError, describe_problems
from reservd.wire.events import AnyEventType, EventDetail, EventPage
from reservd.wire.problems import ProblemKind

router = APIRouter(
    prefix="/events",
    tags=["events"],
    dependencies=[Depends(let_read)],
    responses=describe_problems(ProblemKind.UNAUTHORIZED, ProblemKind.STORE_GONE),
)

_MAX_MODES = 100


@router.get("")
async def list_events(
    backend: BackendOf,
    mode: ModeFilter = None,
    event_type: Annotated[
        AnyEventType | None,
        Query(alias="type", description="Only of this type; `replenishment_changed` is listed on request only."),
    ] = None,
    limit: PageSize = DEFAULT_PAGE,
    cursor: PositionCursor = None,
) -> EventPage:
    """Return events of reserves, newest first, reminders included. A standby answers too."""
    async with backend.database.read() as connection:
        found = await load_newest_events(connection, limit + 1, mode, event_type, cursor)
    items = [show_event(each) for each in found[:limit]]
    return EventPage(items=items, next_cursor=found[limit - 1].position if len(found) > limit else None)


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "An endless stream of events.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **describe_problems(ProblemKind.STANDBY, ProblemKind.BUSY),
    },
)
async def stream_events(
    request: Request,
    backend: BackendOf,
    _: DutyOf,
    mode: Annotated[
        list[Name] | None, Query(max_length=_MAX_MODES, description="Only of these modes; repeatable.")
    ] = None,
    last_event_id: Annotated[
        str | None, Header(max_length=64, description="The id of the last event that the client has.")
    ] = None,
) -> StreamingResponse:
    """Send events as they are decided, as server-sent events.

    With `Last-Event-ID`, the events after that one are sent first, from the store. A `gap` means that this event or
    later ones are not known any more, so that some events may have been missed: read the current state of the modes. A
    comment line comes every 15 seconds. The connection is closed when the client does not read, or when its token
    expires or is revoked.
    """
    if backend.stream.full:
        raise ProblemError(ProblemKind.BUSY, "too many clients read the stream already", {"retry-after": "5"})
    still_admitted = functools.partial(backend.access.still_admits, request.headers.get("authorization"))
    return StreamingResponse(
        backend.stream.listen(mode or (), last_event_id or None, still_admitted),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


@router.get("/{event_id}", responses=describe_problems(ProblemKind.NOT_FOUND))
async def get_event(event_id: Identifier, backend: BackendOf) -> EventDetail:
    """Return one event of any type by its id, with the inputs of the check that led to it."""
    async with backend.database.read() as connection:
        found = await load_event(connection, event_id)
    if found is None:
        raise ProblemError(ProblemKind.NOT_FOUND, f"the store has no event with the id '{event_id}'")
    explanation = show_explanation(found.explanation) if found.explanation is not None else None
    return EventDetail(**dict(show_event(found)), explanation=explanation)
