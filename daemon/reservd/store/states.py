"""The modes' memories."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.reserve.kept import KeptState
from reservd.store.encoding import encode
from reservd.store.statements import upsert
from reservd.store.tables import mode_states

_KEPT = TypeAdapter(KeptState)


def decode_state(text: str) -> KeptState:
    """Return what `encode` made text of."""
    return _KEPT.validate_json(text)


async def load_states(connection: AsyncConnection) -> dict[str, KeptState]:
    """Return what is kept of each mode, those that are not watched any more included."""
    rows = await connection.execute(select(mode_states))
    return {row.mode: decode_state(row.state) for row in rows}


async def save_states(connection: AsyncConnection, states: Mapping[str, KeptState]) -> None:
    """Keep the states, in place of what was kept of these modes."""
    await upsert(connection, mode_states, list(states.items()), _row, ("state",))


def _row(kept: tuple[str, KeptState]) -> dict[str, Any]:
    mode, state = kept
    return {"mode": mode, "state": encode(state)}
