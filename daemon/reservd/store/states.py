"""The stored states of modes."""

from collections.abc import Mapping
from typing import Any

import structlog
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.reserve.kept import KeptState
from reservd.reserve.models import ReserveEvent, ReserveStatus
from reservd.store.encoding import encode
from reservd.store.letters import EventPlace, load_newest_event
from reservd.store.statements import upsert
from reservd.store.tables import mode_states

log = structlog.get_logger(__name__)

_KEPT = TypeAdapter(KeptState)


def decode_state(text: str) -> KeptState:
    """Return what `encode` made text of."""
    return _KEPT.validate_json(text)


async def load_states(connection: AsyncConnection) -> dict[str, KeptState]:
    """Return what is kept of each mode, those that are not watched any more included.

    What cannot be read of one mode costs no other its memory, and is made up for by the mode's newest event.
    """
    found: dict[str, KeptState] = {}
    for row in (await connection.execute(select(mode_states))).all():
        state = _read(row.state)
        if state is None:
            newest = await load_newest_event(connection, row.mode)
            log.error("state.unreadable", mode=row.mode, made_up_for=newest is not None)
            state = _left_by(*newest) if newest is not None else None
        if state is not None:
            found[row.mode] = state
    return found


def _read(text: str) -> KeptState | None:
    try:
        return decode_state(text)
    except ValidationError:
        return None


def _left_by(place: EventPlace, event: ReserveEvent | None) -> KeptState:
    """Return what a mode's newest event tells of the state that it left; its number alone where it cannot be read."""
    at = place.decided_at
    nothing = KeptState(at, at, None, None, None, place.sequence, None, None, None, ())
    if event is None:
        return nothing
    if event.status is ReserveStatus.ADEQUATE:  # it names the incident that it ended
        return nothing._replace(confirmed=event.status, known=event.status)
    known = event.status if event.status is not ReserveStatus.UNKNOWN else event.previous_status
    if known is ReserveStatus.UNKNOWN:  # a reminder, which does not tell what was so before
        known = ReserveStatus.LOW if event.incident_id is not None else ReserveStatus.ADEQUATE
    return nothing._replace(confirmed=event.status, known=known, incident_id=event.incident_id)


async def save_states(connection: AsyncConnection, states: Mapping[str, KeptState]) -> None:
    """Keep the states, in place of what was kept of these modes."""
    await upsert(connection, mode_states, list(states.items()), _row, ("state",))


def _row(kept: tuple[str, KeptState]) -> dict[str, Any]:
    mode, state = kept
    return {"mode": mode, "state": encode(state)}
