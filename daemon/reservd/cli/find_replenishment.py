"""Finding the request for a refill that somebody means."""

from typing import TYPE_CHECKING

from reservd.errors import ReservdError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from reservd.reserve.replenishment_states import Replenishment

_SHOWN = 3


async def find_replenishment(connection: "AsyncConnection", replenishment_id: str) -> "Replenishment":
    """Return the request of that id, or the only one whose id begins so.

    Raises:
        ReservdError: If there is none, or are several.
        StoreError: If the store does not tell.
    """
    from reservd.config.wording import show
    from reservd.store.replenishments import find_replenishment_ids, load_replenishment

    if not replenishment_id:
        raise ReservdError("the id of a replenishment must not be empty")
    found = await load_replenishment(connection, replenishment_id)
    if found is not None:
        return found
    ids = await find_replenishment_ids(connection, replenishment_id, _SHOWN + 1)
    if len(ids) > 1:
        listed = ", ".join([*ids[:_SHOWN], *(["..."] if len(ids) > _SHOWN else [])])
        raise ReservdError(f"several replenishments have an id that begins with {show(replenishment_id)}: {listed}")
    found = await load_replenishment(connection, ids[0]) if ids else None
    if found is None:
        raise ReservdError(f"no replenishment in the store has the id {show(replenishment_id)}")
    return found
