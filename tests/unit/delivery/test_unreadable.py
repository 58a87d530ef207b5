"""Rows that cannot be read, being damaged or from another version: they affect nothing else."""

from collections.abc import Sequence

import pytest
from sqlalchemy import func, update

from reservd.errors import DeliveryError, FailureReason, StoreError
from reservd.plugin import CloudEvent
from reservd.store.database import Database
from reservd.store.letters import UnreadableEvent, load_events_after
from reservd.store.queries import load_dead_letters, load_event, load_newest_events
from reservd.store.tables import events, mode_states
from reservd.wire.events import DeliveryState
from support.office import Office
from support.polling import until
from support.sources import ScriptedSink, raises


class HoldingSink(ScriptedSink):
    """A sink whose receiver keeps a state, so it gets the current state at a start."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.resumed: list[CloudEvent] | None = None

    async def resume(self, latest: Sequence[CloudEvent]) -> None:
        """Take the state of the last events."""
        self.resumed = [*(self.resumed or []), *latest]


async def make_unreadable(database: Database, mode: str, sequence: int) -> None:
    """Give an event an unknown kind."""
    async with database.write() as connection:
        other = update(events).where(events.c.mode == mode, events.c.sequence == sequence)
        changed = func.replace(events.c.event, "reserve_", "reserve_of_another_kind_")
        assert (await connection.execute(other.values(event=changed))).rowcount == 1


async def test_next_event_comes_when_one_that_waits_cannot_be_read(database: Database) -> None:
    """It becomes a dead letter with a reason; its mode, its sink and the daemon continue."""
    ops, board = ScriptedSink("ops"), HoldingSink("board")
    ops.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    async with Office(database, ops, board, modes=("m", "n")) as office:
        await office.look(m="low", n="low")
        await until(lambda: len(board.taken) == 2, "the alarms at the other sink")
    await make_unreadable(database, "m", 1)
    ops.misbehave = None
    async with Office(database, ops, board, modes=("m", "n"), begin="low") as office:
        await until(lambda: ("ops", DeliveryState.DEAD) in office.heard.ends, "the dead letter")
        await until(lambda: board.resumed is not None, "the current state")
        await office.look(m="critical")
        await until(lambda: len(ops.taken) == 2, "the readable event")
        assert office.task is not None
        assert not office.task.done()
    assert {(event.subject, event.sequence) for event in ops.taken} == {("n", "1"), ("m", "2")}
    assert board.resumed is not None
    assert [event.subject for event in board.resumed] == ["n"]
    async with database.read() as connection:
        (dead,) = await load_dead_letters(connection, 10)
    assert isinstance(dead.event, UnreadableEvent)
    assert (dead.event.strategy_mode, dead.delivery.sink) == ("m", "ops")
    assert dead.delivery.reason is FailureReason.INVALID_DATA


async def test_lists_go_on_behind_an_event_that_cannot_be_read(database: Database) -> None:
    ops = ScriptedSink("ops")
    async with Office(database, ops) as office:
        for status in ("low", "critical", "low", "adequate"):
            await office.look(m=status)
        await until(lambda: len(ops.taken) == 4, "all events")
    await make_unreadable(database, "m", 3)
    async with database.read() as connection:
        assert [each.event.sequence for each in await load_newest_events(connection, 10)] == [4, 2, 1]
        assert [each.event.sequence for each in await load_newest_events(connection, 2)] == [4, 2]
        after = await load_events_after(connection, 0, 10)
        assert [event.sequence if event is not None else None for event in after.values()] == [1, 2, None, 4]
        with pytest.raises(StoreError, match=f"cannot read the event {ops.taken[2].id}"):
            await load_event(connection, ops.taken[2].id)


@pytest.mark.parametrize("before", ["low", "critical"])
async def test_incident_goes_on_when_the_memory_of_its_mode_cannot_be_read(database: Database, before: str) -> None:
    """The newest event shows the status: no event is repeated, and the recovery is sent."""
    ops = ScriptedSink("ops")
    async with Office(database, ops) as office:
        await office.look(m=before)
        await until(lambda: ops.taken, "the alarm")
    await damage_memory(database)
    async with Office(database, ops, begin=before) as office:
        assert office.manager.status("m") == before
        await office.look(m="adequate")
        await until(lambda: len(ops.taken) == 2, "the recovery")
    assert ops.taken[1].data.event_type == "reserve_adequate"
    assert ops.taken[1].data.incident_id == ops.taken[0].data.incident_id
    assert [event.sequence for event in ops.taken] == ["1", "2"]


async def test_new_incident_is_counted_on_when_neither_memory_nor_newest_event_can_be_read(database: Database) -> None:
    """Receivers drop events with a lower number than the last one."""
    ops = ScriptedSink("ops")
    async with Office(database, ops) as office:
        for status in ("low", "adequate"):
            await office.look(m=status)
        await until(lambda: len(ops.taken) == 2, "the incident")
    await damage_memory(database)
    await make_unreadable(database, "m", 2)
    async with Office(database, ops, begin="low"):
        await until(lambda: len(ops.taken) == 3, "the next alarm")
    assert (ops.taken[2].data.event_type, ops.taken[2].sequence) == ("reserve_low", "3")


async def damage_memory(database: Database) -> None:
    """Change the stored state of the mode to that of another version."""
    async with database.write() as connection:
        changed = update(mode_states).values(state='{"of": "another version"}')
        assert (await connection.execute(changed)).rowcount == 1
