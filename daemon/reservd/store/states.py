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
    """Return the state that `encode` wrote."""
    return _KEPT.validate_json(text)


async def load_states(connection: AsyncConnection) -> dict[str, KeptState]:
    """Return the stored state of each mode, including modes that are no longer watched.

    A state that cannot be read affects no other mode, and is restored from the mode's newest event.
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
    """Return the state after a mode's newest event, as far as the event shows it; if unreadable, its sequence."""
    at = place.decided_at
    nothing = KeptState(at, at, None, None, None, place.sequence, None, None, None, ())
    if event is None:
        return nothing
    if event.status is ReserveStatus.ADEQUATE:  # it names the incident that it ended
        return nothing._replace(confirmed=event.status, known=event.status)
    known = event.status if event.status is not ReserveStatus.UNKNOWN else event.previous_status
    if known is ReserveStatus.UNKNOWN:  # a reminder, which does not have the status before
        known = ReserveStatus.LOW if event.incident_id is not None else ReserveStatus.ADEQUATE
    return nothing._replace(confirmed=event.status, known=known, incident_id=event.incident_id)


async def save_states(connection: AsyncConnection, states: Mapping[str, KeptState]) -> None:
    """Store the states, in place of the stored ones of these modes."""
    await upsert(connection, mode_states, list(states.items()), _row, ("state",))


def _row(kept: tuple[str, KeptState]) -> dict[str, Any]:
    mode, state = kept
    return {"mode": mode, "state": encode(state)}
