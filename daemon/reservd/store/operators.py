"""What operators write for the owner to process: silences and requests for redelivery."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.store.tables import deliveries, redeliveries, silences
from reservd.wire.events import DeliveryState


class Silence(NamedTuple):
    """A period in which a mode's events are not sent to the sinks. The mode is still watched and refilled."""

    id: str
    mode: str
    begins_at: datetime
    ends_at: datetime
    reason: str
    made_by: str

    def covers(self, mode: str, at: datetime) -> bool:
        """Return whether the silence covers a mode at that time."""
        return mode == self.mode and self.begins_at <= at < self.ends_at


class Redelivery(NamedTuple):
    """A request to deliver an event to a sink again."""

    id: str
    position: int
    sink: str
    asked_at: datetime
    asked_by: str


async def add_silence(connection: AsyncConnection, silence: Silence) -> None:
    """Store a silence."""
    await connection.execute(insert(silences), [silence._asdict()])


async def end_silences(connection: AsyncConnection, mode: str, at: datetime) -> int:
    """End a mode's silences at a time. Return how many were in effect or scheduled."""
    ended = await connection.execute(
        update(silences).where(silences.c.mode == mode, silences.c.ends_at > at).values(ends_at=at)
    )
    return ended.rowcount


async def load_silences(connection: AsyncConnection, since: datetime) -> list[Silence]:
    """Return the silences that end after a time, the first to end first."""
    rows = await connection.execute(select(silences).where(silences.c.ends_at > since).order_by(silences.c.ends_at))
    return [Silence(*row) for row in rows]


async def load_silenced_modes(connection: AsyncConnection, before: datetime) -> frozenset[str]:
    """Return the modes that have a stored silence which ended before a time."""
    return frozenset(await connection.scalars(select(silences.c.mode).where(silences.c.ends_at <= before).distinct()))


async def prune_silences(connection: AsyncConnection, before: datetime) -> None:
    """Remove the silences that ended before a time."""
    await connection.execute(delete(silences).where(silences.c.ends_at < before))


async def ask_redeliveries(connection: AsyncConnection, requests: Sequence[Redelivery]) -> None:
    """Store requests for redelivery."""
    if requests:
        await connection.execute(insert(redeliveries), [request._asdict() for request in requests])


async def load_redeliveries(connection: AsyncConnection, limit: int) -> list[Redelivery]:
    """Return the requests that the owner has not processed yet, in order."""
    rows = await connection.execute(select(redeliveries).order_by(redeliveries.c.asked_at).limit(limit))
    return [Redelivery(*row) for row in rows]


async def meet_redeliveries(connection: AsyncConnection, requests: Iterable[Redelivery]) -> None:
    """Make the deliveries pending again, whatever their state."""
    for request in requests:
        await connection.execute(
            update(deliveries)
            .where(deliveries.c.sink == request.sink, deliveries.c.position == request.position)
            .values(state=str(DeliveryState.PENDING), attempts=0, reason=None, detail=None)
        )
        await connection.execute(delete(redeliveries).where(redeliveries.c.id == request.id))
