"""What operators ask for, checkpoints, and how old rows go."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, func, select

from reservd.errors import DeliveryError, FailureReason
from reservd.reserve.models import ReserveStatus
from reservd.store.database import Database
from reservd.store.history import load_snapshots
from reservd.store.operators import Redelivery, Silence, add_silence, ask_redeliveries, end_silences
from reservd.store.outbox import DeliveryState
from reservd.store.tables import deliveries, events, mode_states, snapshots
from support.office import Office, until
from support.sources import ScriptedSink, raises

HOUR = timedelta(hours=1)


async def count(database: Database, table: Table) -> int:
    async with database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(table)) or 0


async def silence(database: Database, mode: str = "m") -> None:
    now = datetime.now(UTC)
    async with database.write() as connection:
        await add_silence(connection, Silence("s1", mode, now, now + HOUR, "maintenance", "ann"))


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
        await until(lambda: office.heard.silenced_modes == set(), "its end to be picked up")
        await office.look(m="critical")
        await until(lambda: len(ops.taken) == 2, "the next event")
    assert [(event.subject, event.data.status) for event in ops.taken] == [("n", "low"), ("m", "critical")]
    assert office.heard.ends.count(("ops", DeliveryState.SILENCED)) == 1
    assert await count(database, events) == 3


async def test_event_that_waits_is_hushed_when_a_silence_begins(database: Database) -> None:
    ops = ScriptedSink("ops")
    ops.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    async with Office(database, ops) as office:
        await office.look(m="low")
        await until(lambda: office.heard.attempts, "an attempt")
        await silence(database)
        await until(lambda: ("ops", DeliveryState.SILENCED) in office.heard.ends, "its end")
    assert ops.taken == []


async def test_event_comes_again_under_its_id_when_an_operator_asks(database: Database) -> None:
    ops = ScriptedSink("ops")
    async with Office(database, ops) as office:
        await office.look(m="low")
        await office.look(m="critical")
        await until(lambda: len(ops.taken) == 2, "both events")
        async with database.write() as connection:
            await ask_redeliveries(connection, [Redelivery("r1", 1, "ops", datetime.now(UTC), "ann")])
        await until(lambda: len(ops.taken) >= 3, "the first again")
    assert ops.taken[2].id == ops.taken[0].id
    assert ops.taken[2].data.superseded


async def test_what_is_believed_of_a_mode_is_kept_without_an_event(database: Database) -> None:
    async with Office(database, store={"snapshot_interval": 0.5}) as office:
        await office.look(m=120)

        def written() -> Any:
            return office.pipeline.up

        await until(written, "the store")
        for _ in range(200):
            if await count(database, mode_states):
                break
            await asyncio.sleep(0.05)
    assert await count(database, events) == 0
    async with Office(database) as office:
        assert office.pipeline.states["m"].confirmed is ReserveStatus.ADEQUATE
    async with database.read() as connection:
        history = await load_snapshots(connection, "m", datetime.now(UTC) - HOUR, 10)
    assert [each.status for each in history] == sorted(each.status for each in history)
    assert {each.snapshot.strategy_mode for each in history} == {"m"}


async def test_old_rows_go_and_what_waits_stays(database: Database) -> None:
    ops, dead = ScriptedSink("ops"), ScriptedSink("dead")
    dead.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    settings: dict[str, Any] = {"dead": {"events": ["reserve_critical"]}}
    async with Office(database, ops, dead, **settings) as office:
        for status in ("low", "critical", "adequate"):
            await office.look(m=status)
        await until(lambda: len(ops.taken) == 3, "the events")
    brief = {"keep_events": 0.001, "keep_snapshots": 0.001}
    async with Office(database, ops, dead, store=brief, **settings):
        for _ in range(200):
            if await count(database, events) == 1:
                break
            await asyncio.sleep(0.05)
    assert await count(database, events) == 1
    assert await count(database, deliveries) == 2
    assert await count(database, snapshots) <= 1
