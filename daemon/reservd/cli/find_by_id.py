"""Finds an event, a request for a refill or a withdrawal by its id, or by the beginning of it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from reservd.errors import ReservdError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from reservd.reserve.holds import Hold
    from reservd.reserve.replenishment.states import Replenishment
    from reservd.store.queries import StoredEvent

T = TypeVar("T")

_SHOWN = 3


async def find_event(connection: "AsyncConnection", event_id: str) -> "StoredEvent":
    """Return the event of that id, or the only one whose id begins so.

    Raises:
        ReservdError: If there is none, or more than one. The other finders raise the same.
        StoreError: If the store cannot be read. The other finders raise the same.
    """
    from reservd.store.queries import find_event_ids, load_event

    return await _find("event", event_id, partial(load_event, connection), partial(find_event_ids, connection))


async def find_replenishment(connection: "AsyncConnection", replenishment_id: str) -> "Replenishment":
    """Return the request for a refill of that id, or the only one whose id begins so."""
    from reservd.store.replenishments import find_replenishment_ids, load_replenishment

    load, find_ids = partial(load_replenishment, connection), partial(find_replenishment_ids, connection)
    return await _find("replenishment", replenishment_id, load, find_ids)


async def find_withdrawal(connection: "AsyncConnection", withdrawal_id: str) -> "Hold":
    """Return the accepted withdrawal of that id, or the only one whose id begins so."""
    from reservd.store.holds import find_hold_ids, load_hold

    return await _find("withdrawal", withdrawal_id, partial(load_hold, connection), partial(find_hold_ids, connection))


async def _find(
    what: str,
    wanted: str,
    load: Callable[[str], Awaitable[T | None]],
    find_ids: Callable[[str, int], Awaitable[list[str]]],
) -> T:
    from reservd.config.wording import show

    if not wanted:
        raise ReservdError(f"the id of {'an' if what[0] in 'aeiou' else 'a'} {what} must not be empty")
    found = await load(wanted)
    if found is not None:
        return found
    ids = await find_ids(wanted, _SHOWN + 1)
    if len(ids) > 1:
        listed = ", ".join([*ids[:_SHOWN], *(["..."] if len(ids) > _SHOWN else [])])
        raise ReservdError(f"several {what}s have an id that begins with {show(wanted)}: {listed}")
    found = await load(ids[0]) if ids else None
    if found is None:
        raise ReservdError(f"no {what} in the store has the id {show(wanted)}")
    return found
