"""However long the store or a sink is down, memory is bounded; what it holds is written and sent in the end."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from reservd.config.settings import Settings
from reservd.delivery import batch as batches
from reservd.delivery import lanes
from reservd.delivery.pipeline import Pipeline
from reservd.errors import DeliveryError, FailureReason
from reservd.monitor.clock import SystemClock
from reservd.plugin import CloudEvent
from reservd.store.database import Database, parse_url
from reservd.store.ownership import Ownership
from reservd.store.schema import upgrade
from reservd.store.states import load_states
from reservd.store.tables import deliveries, events
from support.decisions import decided
from support.office import Heard
from support.polling import until
from support.sources import ScriptedSink, raises

MODES = 16


class Counting(Heard):
    """Adds up what was dropped, and how often the store failed."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: dict[str, int] = {}
        self.failures = 0

    def store_is(self, *, up: bool, unwritten: int) -> None:
        super().store_is(up=up, unwritten=unwritten)
        self.failures += not up

    def dropped(self, numbers: Mapping[str, int]) -> None:
        for kind, number in numbers.items():
            self.gone[kind] = self.gone.get(kind, 0) + number


def pipeline_of(database: Database, ownership: Ownership, heard: Counting, *sinks: ScriptedSink) -> Pipeline:
    """Return the pipeline of a daemon with modes that all sinks receive."""
    settings = {sink.name: {"plugin": "scripted", "retry": {"first": 0.01, "longest": 0.02}} for sink in sinks}
    return Pipeline(
        database,
        ownership,
        {sink.name: sink for sink in sinks},
        Settings.model_validate({"modes": "*", "event_sinks": settings}),
        {f"mode_{number}": [sink.name for sink in sinks] for number in range(MODES)},
        SystemClock(),
        [heard],
    )


@asynccontextmanager
async def owner(database: Database, heard: Counting, *sinks: ScriptedSink) -> AsyncIterator[Pipeline]:
    """The same, for a daemon that owns its store."""
    ownership = Ownership(database)
    await ownership.acquire()
    pipeline = pipeline_of(database, ownership, heard, *sinks)
    await pipeline.open()
    running = asyncio.create_task(pipeline.run())
    try:
        yield pipeline
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await ownership.release()


@asynccontextmanager
async def blind(folder: Path, heard: Counting, *sinks: ScriptedSink) -> AsyncIterator[tuple[Pipeline, Database]]:
    """The pipeline of a daemon without its store, which becomes available once the file `in the way` is removed."""
    (folder / "in the way").touch()
    database = Database(parse_url("sqlite:///in the way/store.db", folder))
    pipeline = pipeline_of(database, Ownership(database), heard, *sinks)
    running = asyncio.create_task(pipeline.run())
    await until(lambda: heard.store_up is False, "the store to be down")
    try:
        yield pipeline, database
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await database.close()


@pytest.mark.no_cover
async def test_memory_is_bounded_while_the_store_is_gone_and_a_sink_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MAX_EVENTS", 100)
    monkeypatch.setattr(batches, "MAX_OUTCOMES", 150)
    monkeypatch.setattr(batches, "MAX_SNAPSHOTS", 50)
    ops, dead = ScriptedSink("ops"), ScriptedSink("dead")
    dead.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    heard = Counting()
    async with blind(tmp_path, heard, ops, dead) as (pipeline, database):
        checks = decided(2_000, MODES)
        for number, checked in enumerate(checks):
            pipeline.checked(checked)
            if number % 100 == 0:
                await asyncio.sleep(0)  # let the sinks work
        held = pipeline.journal._intake.waiting
        waiting = pipeline._dispatchers["dead"]._lanes

        def letters() -> int:
            return sum(len(lane.letters) for lane in waiting._lanes.values())

        await until(lambda: len(ops.taken) >= 100, "the working sink to receive events")
        await until(lambda: len(heard.attempts) > len(ops.taken) + 500, "many attempts at the failing sink")
        held = pipeline.journal._intake.waiting
        assert len(held.events) <= 100
        assert len(held.outcomes) <= 150
        assert len(held.snapshots) <= 50
        assert letters() <= 100 + MODES, "at most one of each mode may be in progress"
        assert waiting.held == letters()
        assert heard.gone["events"] + len(held.events) == 2_000
        assert heard.gone["snapshots"] + len(held.snapshots) == 2_000
        # The store comes back: pending events and the state of every mode are written.
        dead.misbehave = None
        (tmp_path / "in the way").unlink()
        await until(lambda: heard.store_up, "the store to be up")
        newest = {checked.mode: checked.step.state.sequence for checked in checks}

        async def counted() -> tuple[int, dict[str, int]]:
            async with database.read() as connection:
                stored = await connection.scalar(select(func.count()).select_from(events)) or 0
                states = await load_states(connection)
            return stored, {mode: state.sequence for mode, state in states.items()}

        for _ in range(200):
            if (await counted())[1] == newest:
                break
            await asyncio.sleep(0.05)
        assert await counted() == (len(held.events), newest)
        async with database.read() as connection:
            assert await connection.scalar(select(func.count()).select_from(deliveries)) == 2 * len(held.events)


class Refusing(ScriptedSink):
    """Refuses everything until it is released; records the modes whose events it received."""

    def __init__(self) -> None:
        super().__init__("ops")
        self.refuses = True
        self.tried: set[str] = set()

    async def deliver(self, event: CloudEvent) -> None:
        self.tried.add(event.subject)
        if self.refuses:
            raise DeliveryError(FailureReason.UNREACHABLE)
        await super().deliver(event)


async def test_memory_holds_a_part_of_what_waits_in_the_store_of_many_modes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart after a sink was down for long: each mode is served in turn, and only some of its events are loaded."""
    monkeypatch.setattr(lanes, "_WINDOW", 20)
    monkeypatch.setattr(lanes, "_PAGE", 10)
    monkeypatch.setattr(lanes, "TURN", 4)
    checks = decided(600, MODES)
    async with owner(database, Counting(), before := Refusing()) as pipeline:
        for checked in checks:
            pipeline.checked(checked)
        await pipeline.journal.until_written(600)
        await until(lambda: len(before.tried) == MODES, "an attempt for each mode")
    ops = Refusing()
    async with owner(database, Counting(), ops) as pipeline:
        held = pipeline._dispatchers["ops"]._lanes
        await until(lambda: len(ops.tried) == MODES, "another attempt for each mode")
        await until(lambda: MODES <= held.held <= 20 + MODES, "memory to hold few events")
        assert held.held == sum(len(lane.letters) for lane in held._lanes.values())
        ops.refuses = False
        await until(lambda: len(ops.taken) == 600, "all to be delivered")
        await until(lambda: held.held == 0, "memory to be empty")
    for number in range(MODES):
        mine = [int(event.sequence) for event in ops.taken if event.subject == f"mode_{number}"]
        assert mine == list(range(1, len(mine) + 1))


async def test_what_was_decided_without_the_store_is_written_though_its_first_write_fails(tmp_path: Path) -> None:
    """The store comes back but is full at first: what was sent from memory is written again until that succeeds."""
    (tmp_path / "disk").mkdir()
    made = Database(parse_url("sqlite:///disk/store.db", tmp_path))
    await upgrade(made)
    async with made.write() as connection:
        await connection.execute(
            text("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'full'); END")
        )
    await made.close()
    ops, heard = ScriptedSink("ops"), Counting()
    async with blind(tmp_path, heard, ops) as (pipeline, database):
        for checked in decided(5, MODES):
            pipeline.checked(checked)
        await until(lambda: len(ops.taken) == 5, "the alarms, from memory")
        before = heard.failures
        (tmp_path / "in the way").unlink()
        (tmp_path / "disk").rename(tmp_path / "in the way")
        await until(lambda: heard.failures > before + 1, "writes to fail")
        assert heard.store_up is False
        for checked in decided(2 * MODES, MODES)[MODES : MODES + 1]:
            pipeline.checked(checked)
        await until(lambda: len(ops.taken) == 6, "an alarm in the meantime")
        async with database.write() as connection:
            await connection.execute(text("DROP TRIGGER full"))
        await until(lambda: heard.store_up, "the store to be up")
        async with database.read() as connection:
            stored = list(await connection.scalars(select(events.c.id).order_by(events.c.position)))
    assert stored == [event.data.id for event in ops.taken]
    assert len(ops.taken) == 6, "no event is sent twice"


@pytest.mark.parametrize("store_first", [False, True], ids=["sink is back first", "store is back first"])
async def test_alarm_is_sent_from_memory_when_the_disk_is_full_and_older_events_of_its_mode_are_only_in_the_store(
    store_first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sink was down for long, so that memory does not hold all that waits for it; then the disk is full."""
    monkeypatch.setattr(lanes, "_WINDOW", 1)
    database = Database(parse_url("sqlite:///store.db", tmp_path))
    await upgrade(database)
    heard = Counting()
    async with owner(database, heard, ops := Refusing()) as pipeline:
        low, adequate, low_again, adequate_again = decided(4, modes=1)
        pipeline.checked(low)
        pipeline.checked(adequate)
        await pipeline.journal.until_written(2)
        [lane] = pipeline._dispatchers["ops"]._lanes._lanes.values()
        await until(lambda: lane.behind, "an event to be only in the store")
        async with database.write() as connection:
            await connection.execute(
                text("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'full'); END")
            )
        pipeline.checked(low_again)
        await until(lambda: heard.store_up is False, "the store to be down")
        ops.refuses = store_first
        if not store_first:
            await until(lambda: len(ops.taken) == 3, "the alarm, from memory")
        async with database.write() as connection:
            await connection.execute(text("DROP TRIGGER full"))
        await until(lambda: heard.store_up, "the store to be up")
        await until(lambda: not lane.unwritten, "memory to hold nothing that the store has")
        ops.refuses = False
        await until(lambda: len(ops.taken) == 3, "the alarm")
        pipeline.checked(adequate_again)
        await until(lambda: len(ops.taken) == 4, "the end of the incident")
    assert [int(event.sequence) for event in ops.taken] == [1, 2, 3, 4]
    await database.close()
