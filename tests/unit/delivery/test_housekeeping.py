"""Operators' requests, checkpoints, and the removal of old rows."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Table, func, select

from reservd.delivery import housekeeping
from reservd.errors import DeliveryError, FailureReason, StoreError
from reservd.plugin import CloudEvent
from reservd.reserve.models import ReserveStatus
from reservd.store.database import Database
from reservd.store.operators import Redelivery, Silence, add_silence, ask_redeliveries, end_silences
from reservd.store.orders import Order, OrderAction, OrderSubject, answer_order, ask_order, load_waiting_orders
from reservd.store.tables import deliveries, events, mode_states, orders, snapshots
from reservd.wire.events import DeliveryState
from support.office import Office
from support.polling import until
from support.sources import ScriptedSink, raises

HOUR = timedelta(hours=1)


async def count(database: Database, table: Table) -> int:
    async with database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(table)) or 0


async def silence(database: Database, mode: str = "m") -> None:
    now = datetime.now(UTC)
    async with database.write() as connection:
        await add_silence(connection, Silence("s1", mode, now, now + HOUR, "maintenance", "ann"))


async def end(database: Database) -> None:
    async with database.write() as connection:
        await end_silences(connection, "m", datetime.now(UTC))


def kinds(sink: ScriptedSink) -> list[str]:
    return [event.data.event_type.removeprefix("reserve_") for event in sink.taken]


async def test_silence_hushes_the_sinks_of_its_mode_until_it_ends(database: Database) -> None:
    ops = ScriptedSink("ops")
    async with Office(database, ops, modes=("m", "n")) as office:
        await silence(database)
        await until(lambda: office.heard.silenced_modes == {"m"}, "the silence to be picked up")
        await office.look(m="low", n="low")
        await until(lambda: ops.taken, "the event of the other mode")
        async with database.write() as connection:
            assert await end_silences(connection, "m", datetime.now(UTC)) == 1
        await until(lambda: office.heard.silenced_modes == set(), "the end of the silence to be picked up")
        await until(lambda: len(ops.taken) == 2, "the current state of the mode")
        await office.look(m="critical")
        await until(lambda: len(ops.taken) == 3, "the next event")
    told = [(event.subject, event.data.status) for event in ops.taken]
    assert told == [("n", "low"), ("m", "low"), ("m", "critical")]
    assert office.heard.ends.count(("ops", DeliveryState.SILENCED)) == 1
    assert await count(database, events) == 3


@pytest.mark.parametrize("restarted", [False, True])
async def test_recovery_is_said_after_all_when_it_fell_into_a_silence(database: Database, *, restarted: bool) -> None:
    """Only the last change during the silence is sent: whoever received the incident must receive its end."""
    ops = ScriptedSink("ops")
    async with Office(database, ops) as office:
        await office.look(m="low")
        await until(lambda: ops.taken, "the incident")
        await silence(database)
        await until(lambda: office.heard.silenced_modes == {"m"}, "the silence to be picked up")
        await office.look(m="critical")
        await office.look(m="adequate")
        await until(lambda: office.heard.ends.count(("ops", DeliveryState.SILENCED)) == 2, "both to be silenced")
        if not restarted:
            await end(database)
            await until(lambda: len(ops.taken) == 2, "the recovery")
    if restarted:
        await end(database)
        async with Office(database, ops):
            await until(lambda: len(ops.taken) == 2, "the recovery")
    assert kinds(ops) == ["low", "adequate"]
    assert not ops.taken[1].data.superseded


async def test_recovery_is_said_after_all_when_the_store_could_not_be_written_as_the_silence_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be read, as when its disk is full."""
    ops, refused = ScriptedSink("ops"), 0

    async def full(connection: object, mode: str) -> None:
        nonlocal refused
        refused += 1
        raise StoreError("full")

    async with Office(database, ops) as office:
        await office.look(m="low")
        await until(lambda: ops.taken, "the incident")
        await silence(database)
        await until(lambda: office.heard.silenced_modes == {"m"}, "the silence to be picked up")
        await office.look(m="adequate")
        with monkeypatch.context() as patched:
            patched.setattr(housekeeping, "make_unsaid_wait", full)
            await end(database)
            await until(lambda: refused, "a write to be refused")
        await until(lambda: len(ops.taken) == 2, "the recovery", timeout_seconds=20)
    assert kinds(ops) == ["low", "adequate"]


class Holder(ScriptedSink):
    """A sink whose receiver keeps a state."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.resumed: list[list[str]] = []

    async def resume(self, latest: Sequence[CloudEvent]) -> None:
        self.resumed.append([f"{event.subject} {event.data.status}" for event in latest])


async def test_sink_is_not_told_at_a_start_what_it_was_not_to_hear_of(database: Database) -> None:
    """Neither events out of its scope nor silenced ones are handed to it at the start."""
    pager, settings = Holder("pager"), {"pager": {"minimum_severity": "critical"}}
    async with Office(database, pager, modes=("a", "b", "c"), **settings) as office:
        await office.look(a="low", b="low", c="low")
        await office.look(b="critical", c="critical")
        await until(lambda: len(pager.taken) == 2, "the critical event")
        await silence(database, "c")
        await until(lambda: office.heard.silenced_modes == {"c"}, "the silence to be picked up")
    again = Holder("pager")
    async with Office(database, again, modes=("a", "b", "c"), begin="critical", **settings):
        await until(lambda: again.resumed, "the current state")
    assert again.resumed[0] == ["b critical"]


async def test_what_waits_for_a_sink_that_is_gone_is_removed_when_it_is_old(database: Database) -> None:
    gone = ScriptedSink("gone")
    gone.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    async with Office(database, gone) as office:
        await office.look(m="low")
        await until(lambda: office.heard.attempts, "an attempt")
    async with Office(database, store={"keep_events": 0.001}):
        for _ in range(400):
            if not await count(database, events):
                break
            await asyncio.sleep(0.05)
    assert await count(database, events) == 0


async def test_event_that_waits_is_hushed_when_a_silence_begins(database: Database) -> None:
    ops = ScriptedSink("ops")
    ops.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    async with Office(database, ops) as office:
        await office.look(m="low")
        await until(lambda: office.heard.attempts, "an attempt")
        await silence(database)
        await until(lambda: ("ops", DeliveryState.SILENCED) in office.heard.ends, "the end of the delivery")
    assert ops.taken == []


async def test_event_comes_again_under_its_id_when_an_operator_asks(database: Database) -> None:
    ops = ScriptedSink("ops")
    async with Office(database, ops) as office:
        await office.look(m="low")
        await office.look(m="critical")
        await until(lambda: len(ops.taken) == 2, "both events")
        async with database.write() as connection:
            await ask_redeliveries(connection, [Redelivery("r1", 1, "ops", datetime.now(UTC), "ann")])
        await until(lambda: len(ops.taken) >= 3, "the first event again")
    assert ops.taken[2].id == ops.taken[0].id
    assert ops.taken[2].data.superseded


async def test_what_is_believed_of_a_mode_is_kept_without_an_event(database: Database) -> None:
    async with Office(database, store={"snapshot_interval": 0.5}) as office:
        await office.look(m=120)

        def written() -> Any:
            return office.pipeline.up

        await until(written, "the store to be up")
        for _ in range(200):
            if await count(database, mode_states):
                break
            await asyncio.sleep(0.05)
    assert await count(database, events) == 0
    async with Office(database) as office:
        assert office.pipeline.states["m"].confirmed is ReserveStatus.ADEQUATE
    async with database.read() as connection:
        assert set(await connection.scalars(select(snapshots.c.mode))) == {"m"}


@pytest.mark.no_cover
async def test_what_is_believed_of_every_mode_is_kept_when_there_are_more_than_one_step_takes(
    database: Database,
) -> None:
    modes = [f"m{number}" for number in range(1100)]
    async with Office(database, modes=modes, store={"snapshot_interval": 0.5}) as office:
        await office.manager.check_all_reserves()
        for _ in range(200):
            if await count(database, mode_states) == len(modes):
                break
            await asyncio.sleep(0.05)
    async with Office(database) as office:
        assert {mode: kept.confirmed for mode, kept in office.pipeline.states.items()} == dict.fromkeys(
            modes, ReserveStatus.ADEQUATE
        )


async def test_old_rows_go_and_what_waits_stays(database: Database) -> None:
    ops, dead = ScriptedSink("ops"), ScriptedSink("dead")
    dead.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    settings: dict[str, Any] = {"dead": {"events": ["reserve_critical"]}}
    async with Office(database, ops, dead, **settings) as office:
        for status in ("low", "critical", "adequate"):
            await office.look(m=status)
        await until(lambda: len(ops.taken) == 3, "the events")
    now = datetime.now(UTC)
    done = Order("done", OrderSubject.WITHDRAWAL, OrderAction.CANCEL, "w", "", now, "ann")
    async with database.write() as connection:
        await ask_order(connection, done)
        await ask_order(connection, done._replace(id="waits"))
        await answer_order(connection, "done", now, None)
    brief = {"keep_events": 0.001, "keep_snapshots": 0.001}
    async with Office(database, ops, dead, store=brief, **settings):
        for _ in range(200):
            if (await count(database, events), await count(database, orders)) == (1, 1):
                break
            await asyncio.sleep(0.05)
    assert await count(database, events) == 1
    async with database.read() as connection:
        assert [each.id for each in await load_waiting_orders(connection, OrderSubject.WITHDRAWAL, 10)] == ["waits"]
    assert await count(database, orders) == 1
    assert await count(database, deliveries) == 2
    assert await count(database, snapshots) <= 1
