"""Finding the event that somebody means."""

from typing import TYPE_CHECKING

from reservd.errors import ReservdError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from reservd.store.queries import StoredEvent

_SHOWN = 3


async def find_event(connection: "AsyncConnection", event_id: str) -> "StoredEvent":
    """Return the event of that id, or the only one whose id begins so.

    Raises:
        ReservdError: If there is none, or are several.
        StoreError: If the store does not tell.
    """
    from reservd.config.wording import show
    from reservd.store.queries import find_event_ids, load_event

    if not event_id:
        raise ReservdError("the id of an event must not be empty")
    found = await load_event(connection, event_id)
    if found is not None:
        return found
    ids = await find_event_ids(connection, event_id, _SHOWN + 1)
    if len(ids) > 1:
        listed = ", ".join([*ids[:_SHOWN], *(["..."] if len(ids) > _SHOWN else [])])
        raise ReservdError(f"several events have an id that begins with {show(event_id)}: {listed}")
    found = await load_event(connection, ids[0]) if ids else None
    if found is None:
        raise ReservdError(f"no event in the store has the id {show(event_id)}")
    return found
