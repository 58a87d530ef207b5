"""The queries of the commands, on a real store."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from reservd.errors import FailureReason
from reservd.plugin.examples import example_event
from reservd.reserve.models import EventType, ReserveEvent
from reservd.store.database import Database
from reservd.store.operators import Redelivery, ask_redeliveries, meet_redeliveries
from reservd.store.outbox import OutboxEvent, Outcome, add_events, record_outcomes
from reservd.store.queries import (
    Delivery,
    find_event_ids,
    load_asked_sinks,
    load_dead_letters,
    load_event,
    load_newest_events,
)
from reservd.store.schema import prepare
from reservd.wire.events import DeliveryState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PENDING, DELIVERED, DEAD = DeliveryState.PENDING, DeliveryState.DELIVERED, DeliveryState.DEAD


def event(event_id: str, kind: EventType = EventType.LOW, **fields: object) -> ReserveEvent:
    changed = {"id": event_id, "timestamp": NOW, **fields}
    return example_event(kind).data.model_copy(update=changed)


@pytest.fixture
async def store(database: Database) -> Database:
    """Two events of `a`, the second a reminder, one of `b`, and a recovery of `a` that two sinks received."""
    await prepare(database)
    both = {"ops": PENDING, "desk": PENDING}
    added = [
        OutboxEvent(1, event("aa11", strategy_mode="a", sequence=1), both),
        OutboxEvent(2, event("aa22", strategy_mode="a", sequence=2, reminder=True), {"ops": PENDING}),
        OutboxEvent(3, event("AA33", strategy_mode="b", sequence=1), {}),
        OutboxEvent(4, event("bb44", EventType.ADEQUATE, strategy_mode="a", sequence=3), both),
    ]
    async with database.write() as connection:
        await add_events(connection, added)
    return database


async def record(database: Database, *outcomes: Outcome) -> None:
    async with database.write() as connection:
        await record_outcomes(connection, outcomes)


def dead(sink: str, position: int, detail: str = "HTTP 410") -> Outcome:
    return Outcome(sink, position, DEAD, 3, NOW + timedelta(seconds=position), FailureReason.REJECTED, detail)


async def ids(database: Database, limit: int = 10, **scope: object) -> list[str]:
    async with database.read() as connection:
        found = await load_newest_events(connection, limit, **scope)  # type: ignore[arg-type]
    return [each.event.id for each in found]


async def test_newest_events_come_first_and_no_more_than_asked_for(store: Database) -> None:
    assert await ids(store) == ["bb44", "AA33", "aa22", "aa11"]
    assert await ids(store, limit=2) == ["bb44", "AA33"]


async def test_events_are_those_of_a_mode_and_a_type_when_these_are_given(store: Database) -> None:
    assert await ids(store, mode="a") == ["bb44", "aa22", "aa11"]
    assert await ids(store, event_type=EventType.LOW) == ["AA33", "aa22", "aa11"]
    assert await ids(store, mode="a", event_type=EventType.LOW, limit=1) == ["aa22"]
    assert await ids(store, mode="c") == []


async def test_event_carries_its_deliveries_by_sink_as_they_stand(store: Database) -> None:
    await record(store, Outcome("ops", 1, DELIVERED, 2, NOW), dead("desk", 1))
    async with store.read() as connection:
        found = await load_event(connection, "aa11")
        nobody = await load_event(connection, "AA33")
    assert found is not None
    assert nobody is not None
    assert found.position == 1
    assert found.deliveries == (
        Delivery("desk", DEAD, 3, NOW + timedelta(seconds=1), FailureReason.REJECTED, "HTTP 410"),
        Delivery("ops", DELIVERED, 2, NOW, None, ""),
    )
    assert nobody.deliveries == ()


async def test_delivery_says_nothing_of_an_attempt_when_there_was_none(store: Database) -> None:
    async with store.read() as connection:
        found = await load_event(connection, "aa22")
    assert found is not None
    assert found.deliveries == (Delivery("ops", PENDING, 0, None, None, ""),)


async def test_delivery_says_nothing_of_an_attempt_when_it_was_hushed_before_any(store: Database) -> None:
    await record(store, Outcome("ops", 2, DeliveryState.SILENCED, 0, NOW))
    async with store.read() as connection:
        found = await load_event(connection, "aa22")
    assert found is not None
    assert found.deliveries == (Delivery("ops", DeliveryState.SILENCED, 0, None, None, ""),)


async def test_event_is_superseded_when_a_later_change_of_its_mode_is_known(store: Database) -> None:
    async with store.read() as connection:
        found = {each.event.id: each.event.superseded for each in await load_newest_events(connection, 10)}
    assert found == {"aa11": True, "aa22": True, "AA33": False, "bb44": False}


async def test_amounts_are_as_they_were_decided_to_the_last_digit(store: Database) -> None:
    async with store.read() as connection:
        found = await load_event(connection, "aa11")
    assert found is not None
    assert found.event.reserve_balance == example_event().data.reserve_balance
    assert str(found.event.utilization) == "0.800005"


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("aa", ["aa11", "aa22"]),
        ("aa1", ["aa11"]),
        ("aa11", ["aa11"]),
        ("AA", ["AA33"]),
        ("aa111", []),
        ("a%", []),
        ("____", []),
        ("", ["AA33", "aa11", "aa22", "bb44"]),
    ],
)
async def test_ids_are_found_by_how_they_begin_letter_for_letter(
    store: Database, prefix: str, expected: list[str]
) -> None:
    async with store.read() as connection:
        found = await find_event_ids(connection, prefix, 10)
    assert sorted(found) == expected


async def test_no_more_ids_are_found_than_asked_for(store: Database) -> None:
    async with store.read() as connection:
        assert await find_event_ids(connection, "aa", 1) == ["aa11"]
        assert await load_event(connection, "aa") is None


async def test_dead_letters_are_listed_newest_first_by_sink(store: Database) -> None:
    await record(store, dead("ops", 1), dead("desk", 1), dead("ops", 4, "gone"), Outcome("desk", 4, DELIVERED, 1, NOW))

    async def listed(limit: int = 10, sink: str | None = None) -> list[tuple[str, str, str]]:
        async with store.read() as connection:
            found = await load_dead_letters(connection, limit, sink)
        return [(letter.event.id, letter.delivery.sink, letter.delivery.detail) for letter in found]

    assert await listed() == [("bb44", "ops", "gone"), ("aa11", "desk", "HTTP 410"), ("aa11", "ops", "HTTP 410")]
    assert await listed(sink="desk") == [("aa11", "desk", "HTTP 410")]
    assert await listed(limit=1) == [("bb44", "ops", "gone")]
    assert await listed(sink="nobody") == []


async def test_sinks_are_asked_for_an_event_until_its_owner_has_seen_to_it(store: Database) -> None:
    requests = [
        Redelivery(f"request-{number}", position, sink, NOW, "somebody")
        for number, (position, sink) in enumerate([(1, "ops"), (1, "ops"), (1, "desk"), (4, "ops")])
    ]
    async with store.write() as connection:
        await ask_redeliveries(connection, requests)
    asked: Mapping[int, frozenset[str]] = {1: frozenset({"ops", "desk"}), 2: frozenset(), 4: frozenset({"ops"})}
    async with store.read() as connection:
        assert {position: await load_asked_sinks(connection, position) for position in asked} == asked
    async with store.write() as connection:
        await meet_redeliveries(connection, requests[:3])
    async with store.read() as connection:
        assert await load_asked_sinks(connection, 1) == frozenset()
