"""From a decision through a real store to the sinks."""

import asyncio
from collections import Counter
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select, update

from reservd.errors import DeliveryError, FailureReason
from reservd.plugin import CloudEvent
from reservd.store.database import Database
from reservd.store.history import KeptSnapshot
from reservd.store.letters import Letter, Stream
from reservd.store.operators import Redelivery, ask_redeliveries
from reservd.store.states import load_states
from reservd.store.tables import deliveries, snapshots
from reservd.wire.events import DeliveryState
from support.office import Office
from support.polling import until
from support.sources import ScriptedSink, hangs, raises


def kinds(sink: ScriptedSink) -> list[str]:
    return [event.data.event_type.removeprefix("reserve_") for event in sink.taken]


async def until_recorded(database: Database, number: int) -> None:
    """Wait until this many deliveries are recorded in the store."""
    made = select(func.count()).select_from(deliveries).where(deliveries.c.state == DeliveryState.DELIVERED)
    async with asyncio.timeout(60):
        while True:
            async with database.read() as connection:
                if await connection.scalar(made) == number:
                    return
            await asyncio.sleep(0.01)


async def test_event_reaches_every_sink_in_order_when_a_reserve_falls_and_recovers(database: Database) -> None:
    ops, desk = ScriptedSink("ops"), ScriptedSink("desk")
    async with Office(database, ops, desk) as office:
        for status in ("low", "critical", "low", "adequate"):
            await office.look(m=status)
        await until(lambda: len(ops.taken) == len(desk.taken) == 4, "all events")
    assert kinds(ops) == kinds(desk) == ["low", "critical", "low", "adequate"]
    assert [event.sequence for event in ops.taken] == ["1", "2", "3", "4"]
    assert len({event.data.incident_id for event in ops.taken}) == 1


async def test_restart_in_low_repeats_nothing_and_recovers_later(database: Database) -> None:
    ops = ScriptedSink("ops")
    async with Office(database, ops) as office:
        await office.look(m="low")
        await until(lambda: ops.taken, "the alarm")
    async with Office(database, ops, begin="low") as office:
        assert office.manager.status("m") == "low"
        await office.look(m="adequate")
        await until(lambda: len(ops.taken) == 2, "the recovery")
    assert kinds(ops) == ["low", "adequate"]
    assert ops.taken[0].data.incident_id == ops.taken[1].data.incident_id
    assert [event.sequence for event in ops.taken] == ["1", "2"]


async def test_event_is_delivered_after_a_restart_when_it_was_not_before(database: Database) -> None:
    ops = ScriptedSink("ops", timeout=0.05)
    ops.misbehave = hangs
    async with Office(database, ops) as office:
        await office.look(m="low")
        await until(lambda: office.heard.attempts, "an attempt")
        said = office.heard.attempts[0]
    assert said == ("ops", FailureReason.TIMEOUT)
    ops.misbehave = None
    async with Office(database, ops, begin="low"):
        await until(lambda: ops.taken, "the alarm")
    assert kinds(ops) == ["low"]


async def test_order_of_a_mode_is_kept_and_others_go_on_when_one_event_is_refused_for_a_while(
    database: Database,
) -> None:
    class Picky(ScriptedSink):
        refuse = True

        async def deliver(self, event: CloudEvent) -> None:
            if self.refuse and event.subject == "a":
                raise DeliveryError(FailureReason.REJECTED, "not now")
            await super().deliver(event)

    ops = Picky("ops")
    async with Office(database, ops, modes=("a", "b")) as office:
        for status in ("low", "critical"):
            await office.look(a=status, b=status)
        await until(lambda: len(ops.taken) == 2, "the events of b")
        assert {event.subject for event in ops.taken} == {"b"}
        ops.refuse = False
        await until(lambda: len(ops.taken) == 4, "the events of a")
    assert [event.data.event_type for event in ops.taken[2:]] == ["reserve_low", "reserve_critical"]
    assert ops.taken[2].data.superseded
    assert not ops.taken[3].data.superseded


@pytest.mark.parametrize(
    "refusal",
    [
        DeliveryError(FailureReason.REJECTED, "HTTP 410", retryable=False),
        DeliveryError(FailureReason.REJECTED, False),  # the shortest one that is allowed
    ],
    ids=str,
)
async def test_event_is_dead_with_its_reason_when_a_sink_refuses_it_for_good(
    database: Database, refusal: DeliveryError
) -> None:
    ops = ScriptedSink("ops")
    ops.misbehave = raises(refusal)
    async with Office(database, ops) as office:
        await office.look(m="low")
        await until(lambda: office.heard.ends, "the end of the delivery")
        assert office.heard.ends == [("ops", DeliveryState.DEAD)]
        ops.misbehave = None
        await office.look(m="critical")
        await until(lambda: ops.taken, "the next event")
    assert kinds(ops) == ["critical"]


async def test_reminder_is_dropped_and_a_change_is_not_when_a_newer_status_is_known(database: Database) -> None:
    ops, desk = ScriptedSink("ops"), ScriptedSink("desk")
    ops.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    async with Office(database, ops, desk, repeat_seconds=1, ops={"retry": {"first": 0.05, "longest": 0.1}}) as office:
        await office.look(m="low")
        async with asyncio.timeout(60):
            while not any(event.data.reminder for event in desk.taken):
                await asyncio.sleep(0.01)
                await office.look()
        await office.look(m="critical")
        ops.misbehave = None
        await until(lambda: len(ops.taken) == 2, "the changes")
        await until(lambda: ("ops", DeliveryState.SUPERSEDED) in office.heard.ends, "the end of the reminder")
    assert kinds(ops) == ["low", "critical"]


async def test_only_the_newest_reminder_comes_when_a_sink_was_down_for_many(database: Database) -> None:
    """After an outage of a pager, only one of the reminders of that time arrives."""
    ops, desk = ScriptedSink("ops"), ScriptedSink("desk")
    async with Office(database, ops, desk, repeat_seconds=1) as office:
        await office.look(m="low")
        await until(lambda: ops.taken, "the alarm")
        ops.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
        async with asyncio.timeout(60):
            while len(desk.taken) < 4:
                await asyncio.sleep(0.01)
                # Not before the last reminder was sent: otherwise it would be out of date at the other sink too.
                if office.manager.kept_states()["m"].sequence == len(desk.taken):
                    await office.look()
        ops.misbehave = None
        await until(lambda: len(ops.taken) == 2, "the newest reminder")
        await until(lambda: len(office.heard.ends) == 8, "the end of all deliveries")
    assert [event.sequence for event in ops.taken] == ["1", "4"]
    assert ops.taken[1].data.reminder
    assert office.heard.ends.count(("ops", DeliveryState.SUPERSEDED)) == 2


async def test_slow_sink_delays_no_other(database: Database) -> None:
    slow, quick = ScriptedSink("slow", timeout=30), ScriptedSink("quick")
    slow.misbehave = hangs
    async with Office(database, slow, quick) as office:
        for status in ("low", "critical", "adequate"):
            await office.look(m=status)
        await until(lambda: len(quick.taken) == 3, "the events at the fast sink")
        assert slow.taken == []


async def test_sink_hears_only_what_is_in_its_scope(database: Database) -> None:
    pager, desk = ScriptedSink("pager"), ScriptedSink("desk")
    scopes = {"pager": {"minimum_severity": "critical"}, "desk": {"modes": ["b*"], "events": ["reserve_low"]}}
    async with Office(database, pager, desk, modes=("a", "b1"), **scopes) as office:
        for status in ("low", "critical", "low", "adequate"):
            await office.look(a=status, b1=status)
        await until(lambda: len(pager.taken) == 4 and len(desk.taken) == 2, "the events")
    of_a = [event.data.event_type for event in pager.taken if event.subject == "a"]
    assert of_a == ["reserve_critical", "reserve_low"]
    assert {event.subject for event in desk.taken} == {"b1"}
    assert kinds(desk) == ["low", "low"]


@pytest.mark.no_cover
async def test_more_than_memory_holds_is_delivered_in_order_when_a_sink_was_down(database: Database) -> None:
    """The window of a sink is 2,000 deliveries: the rest waits in the store."""
    ops = ScriptedSink("ops")
    ops.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    modes = [f"m{number}" for number in range(60)]
    async with Office(database, ops, modes=modes, ops={"retry": {"first": 0.3, "longest": 0.3}}) as office:
        for status in ["low", "critical"] * 20:
            await office.look(**dict.fromkeys(modes, status))
        ops.misbehave = None
        await until(lambda: len(ops.taken) >= 2400, f"all events, got {len(ops.taken)}", timeout_seconds=60)
    for mode in modes:
        sequences = [int(event.sequence) for event in ops.taken if event.subject == mode]
        assert sequences == list(range(1, 41))


async def test_new_event_waits_for_those_of_before_when_a_sink_was_down_over_a_restart(database: Database) -> None:
    ops = ScriptedSink("ops")
    ops.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    async with Office(database, ops) as office:
        await office.look(m="low")
        await office.look(m="critical")
    ops.misbehave = None
    async with Office(database, ops, begin="adequate"):
        await until(lambda: len(ops.taken) == 3, "all events")
    assert kinds(ops) == ["low", "critical", "adequate"]


async def test_sink_costs_its_own_event_alone_when_its_words_cannot_be_stored(database: Database) -> None:
    """An error text of a plugin may contain anything, even half of a surrogate pair."""
    ops, other = ScriptedSink("ops"), ScriptedSink("other")
    ops.misbehave = raises(DeliveryError(FailureReason.REJECTED, "half of \ud83d", retryable=False))
    async with Office(database, ops, other) as office:
        await office.look(m="low")
        await until(lambda: ("ops", DeliveryState.DEAD) in office.heard.ends, "the end of the delivery")
        ops.misbehave = None
        await office.look(m="critical")
        await until(lambda: len(other.taken) == 2 and ops.taken, "the next event")
        assert office.task is not None
        assert not office.task.done()


class Busy(ScriptedSink):
    """A sink that asks for a pause of this many seconds whenever it receives an event of mode `a`."""

    def __init__(self, seconds: float) -> None:
        super().__init__("ops")
        self.seconds = seconds
        self.asked: list[str] = []

    async def deliver(self, event: CloudEvent) -> None:
        self.asked.append(str(event.subject))
        if self.seconds and event.subject == "a":
            raise DeliveryError(FailureReason.RATE_LIMITED, "HTTP 429", retry_after_seconds=self.seconds)
        await super().deliver(event)


async def test_sink_is_left_alone_by_all_modes_for_as_long_as_it_asks(database: Database) -> None:
    ops = Busy(3600)
    async with Office(database, ops, modes=("a", "b")) as office:
        await office.look(a="low")
        await until(lambda: ops.asked, "a first attempt")
        lanes = office.pipeline._dispatchers["ops"]._lanes._lanes
        await until(lambda: all(lane.timer for lane in lanes.values()), "the pause to begin")
        for status in ("low", "critical"):
            await office.look(b=status)
        await until(lambda: len(lanes) == 2 and all(lane.timer for lane in lanes.values()), "both modes to wait")
        for lane in lanes.values():
            assert lane.timer is not None
            assert lane.timer.when() - asyncio.get_running_loop().time() > 3000
    assert ops.asked == ["a"]


async def test_all_is_said_when_the_time_is_over_that_a_sink_asked_for(database: Database) -> None:
    ops = Busy(0.2)
    async with Office(database, ops, modes=("a", "b")) as office:
        await office.look(a="low")
        await until(lambda: ops.asked, "a first attempt")
        await office.look(b="low")
        ops.seconds = 0
        await until(lambda: len(ops.taken) == 2, "both events")


async def test_sink_is_left_alone_for_as_long_as_it_asks_when_it_takes_something_that_was_sent_before(
    database: Database,
) -> None:
    """When a sink is back, failed deliveries are retried at once, but not those for which it asked for a pause."""

    class Limited(ScriptedSink):
        def __init__(self) -> None:
            super().__init__("ops")
            self.asked: Counter[str] = Counter()
            self.go_on = asyncio.Event()

        async def deliver(self, event: CloudEvent) -> None:
            self.asked[event.subject] += 1
            if event.subject == "limited":
                raise DeliveryError(FailureReason.RATE_LIMITED, "HTTP 429", retry_after_seconds=600)
            if event.subject == "a" and self.asked["a"] <= 3:
                raise DeliveryError(FailureReason.UNREACHABLE)
            await self.go_on.wait()
            await super().deliver(event)

    ops = Limited()
    retry = {"retry": {"first": 0.05, "longest": 0.1}}
    async with Office(database, ops, modes=("limited", "a", "b"), ops=retry) as office:
        await office.look(a="low")
        await until(lambda: ops.asked["a"] > 3, "many failures")
        await office.look(limited="low")
        await until(lambda: ops.asked["limited"], "the request for a pause")
        lanes = office.pipeline._dispatchers["ops"]._lanes
        await until(lambda: lanes._lanes[Stream("limited")].timer is not None, "the pause to begin")
        ops.go_on.set()
        await until(lambda: len(ops.taken) == 1, "the event that was sent before")
        await until(
            lambda: len(lanes._lanes) == 1 and lanes._lanes[Stream("limited")].timer is not None,
            "only the limited mode to wait",
        )
        timer = lanes._lanes[Stream("limited")].timer
        assert timer is not None
        assert timer.when() - asyncio.get_running_loop().time() > 500
    assert ops.asked["limited"] == 1


async def test_tries_of_a_reminder_are_not_counted_for_the_change_that_supersedes_it(database: Database) -> None:
    class Choosy(ScriptedSink):
        asked = 0

        async def deliver(self, event: CloudEvent) -> None:
            if event.data.reminder:
                self.asked += 1
                raise DeliveryError(FailureReason.UNREACHABLE)
            await super().deliver(event)

    ops = Choosy("ops")
    async with Office(database, ops, repeat_seconds=1) as office:
        await office.look(m="low")
        async with asyncio.timeout(60):
            while ops.asked < 3:
                await office.look(m="low")
                await asyncio.sleep(0.01)
        await office.look(m="critical")
        await until(lambda: len(ops.taken) == 2, "the change")
        await until_recorded(database, 2)
        async with database.read() as connection:
            last = select(deliveries.c.attempts).order_by(deliveries.c.position.desc()).limit(1)
            assert await connection.scalar(last) == 1
    assert kinds(ops) == ["low", "critical"]


async def test_wish_is_met_when_it_comes_while_the_store_is_being_read(database: Database) -> None:
    """The requested event precedes the rows that are just being loaded."""
    ops = ScriptedSink("ops")
    async with Office(database, ops) as office:
        for status in ("low", "critical"):
            await office.look(m=status)
        await until(lambda: len(ops.taken) == 2, "both events")
        await until_recorded(database, 2)
        dispatcher = office.pipeline._dispatchers["ops"]
        load, waits, goes_on = dispatcher._outbox.load, asyncio.Event(), asyncio.Event()

        async def slow_load(sink: str, mode: str, after: int, limit: int) -> list[Letter]:
            letters = await load(sink, mode, after, limit)
            waits.set()
            await goes_on.wait()
            return letters

        dispatcher._outbox.load = slow_load  # type: ignore[method-assign]
        dispatcher.reload("m", 2)
        await waits.wait()
        async with database.write() as connection:
            await ask_redeliveries(connection, [Redelivery("r", 1, "ops", datetime.now(UTC), "ann")])
        await office.pipeline._housekeeping.look()
        goes_on.set()
        await until(lambda: len(ops.taken) == 3, "the first event again")
    assert ops.taken[2].id == ops.taken[0].id


async def test_event_that_waits_is_not_lost_when_a_later_one_of_its_mode_is_asked_for_again(database: Database) -> None:
    ops = ScriptedSink("ops")
    ops.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    async with Office(database, ops) as office:
        for status in ("low", "critical"):
            await office.look(m=status)
        await until(lambda: office.heard.attempts, "a first attempt")
        await office.pipeline.journal.until_written(2)
        async with database.write() as connection:
            await ask_redeliveries(connection, [Redelivery("r", 2, "ops", datetime.now(UTC), "ann")])
        await office.pipeline._housekeeping.look()
        ops.misbehave = None
        await until(lambda: "critical" in kinds(ops), "the later event")
    assert kinds(ops) == ["low", "critical"]


async def test_a_mode_is_served_in_one_order_when_a_wish_had_to_wait_for_the_store(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then, all letters of the mode are delivered, and a new one comes."""
    monkeypatch.setattr("reservd.delivery.lanes._UNWRITTEN_SECONDS", 0)
    ops = ScriptedSink("ops")
    tries: list[Stream] = []
    at_once, most_at_once, goes_on = 0, 0, asyncio.Event()

    async def slow() -> None:
        nonlocal at_once, most_at_once
        at_once += 1
        most_at_once = max(most_at_once, at_once)
        await goes_on.wait()
        await asyncio.sleep(0.05)
        at_once -= 1

    async with Office(database, ops) as office:
        await office.look(m="low")
        await until(lambda: ops.taken, "the first event")
        await until_recorded(database, 1)
        dispatcher = office.pipeline._dispatchers["ops"]
        ops.misbehave = slow
        reload = dispatcher._lanes._reload
        with monkeypatch.context() as unwritten:
            unwritten.setattr(dispatcher._outbox, "is_written", lambda position: False)
            await office.look(m="critical")
            await until(lambda: at_once, "the second event is being sent")
            # The next try comes when the test says so.
            unwritten.setattr(dispatcher._lanes, "_reload", lambda stream, position: tries.append(stream))
            reload(Stream("m"), 1)
            await until(lambda: tries, "the next try")
        goes_on.set()
        await until(lambda: len(ops.taken) == 2 and not dispatcher._lanes._lanes, "the second event")
        await until_recorded(database, 2)
        async with database.write() as connection:
            await connection.execute(update(deliveries).where(deliveries.c.attempts == 1).values(state="pending"))
        goes_on.clear()
        await office.look(m="low")
        await until(lambda: at_once, "the third event is being sent")
        reload(*tries, 1)
        await asyncio.sleep(0.1)  # were the mode served in two orders, the first event would be sent meanwhile
        goes_on.set()
        await until(lambda: len(ops.taken) == 5, "the first two again")
    assert most_at_once == 1


@pytest.mark.no_cover
async def test_checkpoint_of_many_modes_is_stored_in_parts_and_never_after_what_is_newer(database: Database) -> None:
    """The mode that is written last has an event at once: the checkpoint must not overwrite its newer state."""
    modes = [f"m{number}" for number in range(1_200)]
    ops = ScriptedSink("ops")
    async with Office(database, ops, modes=modes) as office:
        found = [office.manager.latest_snapshot(mode) for mode in modes]
        kept = [KeptSnapshot(each.status, each) for each in found if each is not None]
        office.pipeline.journal.keep_states(office.manager.kept_states(), kept)
        await office.look(**{modes[-1]: "low"})
        async with asyncio.timeout(60):
            while True:
                async with database.read() as connection:
                    states = await load_states(connection)
                    history = await connection.scalar(select(func.count()).select_from(snapshots))
                if len(states) == 1_200 and history == 1_201:
                    break
                await asyncio.sleep(0.01)
    assert kinds(ops) == ["low"]
    assert states.pop(modes[-1]).sequence == 1
    assert {state.sequence for state in states.values()} == {0}
