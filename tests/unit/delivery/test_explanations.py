"""The explanation of a check is stored with the event that it led to."""

from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import select, text, update

from reservd.plugin import Component, Equity, Price
from reservd.reserve.explanation import Explanation
from reservd.store.database import Database
from reservd.store.outbox import prune_events
from reservd.store.ownership import Ownership
from reservd.store.queries import StoredEvent, load_event, load_newest_events
from reservd.store.tables import events
from support.office import Office
from support.polling import until
from support.sources import ScriptedSink, returns


async def stored(database: Database, event_id: str) -> StoredEvent | None:
    async with database.read() as connection:
        return await load_event(connection, event_id)


async def explanation(database: Database, event_id: str) -> Explanation:
    found = await stored(database, event_id)
    assert found is not None
    assert found.explanation is not None
    return found.explanation


async def test_event_is_stored_with_what_its_check_was_made_of(database: Database) -> None:
    now = datetime.now(UTC)
    price = Price("ETH", "USDT", Decimal("3000.10"), now)
    parts = {"cash": Decimal("399.5"), "eth": Component(Decimal("600.5"), now, price)}
    async with Office(database, ops := ScriptedSink("ops"), modes=("m", "n")) as office:
        office.equity.misbehave = returns(Equity(Decimal(1000), "USDT", now, components=parts))
        await office.look(m="low")
        await until(lambda: ops.taken, "the alarm")
        made_of = office.manager.explain("m")
        found = await explanation(database, ops.taken[0].id)
    assert found == made_of
    assert [(part.account, part.amount) for part in found.snapshot.accounts] == [("t/m", 74)]
    assert found.equity.components == parts


async def test_reminder_and_recovery_are_stored_with_their_own_checks(database: Database) -> None:
    async with Office(database, ops := ScriptedSink("ops")) as office:
        for status in ("low", "critical", "adequate"):
            await office.look(m=status)
        await until(lambda: len(ops.taken) == 3, "all events")
        found = [await explanation(database, event.id) for event in ops.taken]
    assert [each.snapshot.reserve_balance for each in found] == [74, 49, 110]
    assert [each.confirmed for each in found] == ["low", "critical", "adequate"]


async def test_lists_of_events_do_not_carry_it(database: Database) -> None:
    async with Office(database, ops := ScriptedSink("ops")) as office:
        await office.look(m="low")
        await until(lambda: ops.taken, "the alarm")
        async with database.read() as connection:
            (listed,) = await load_newest_events(connection, 10)
    assert listed.explanation is None


async def test_it_goes_with_its_event(database: Database) -> None:
    async with Office(database, ops := ScriptedSink("ops")) as office:
        await office.look(m="low")
        await until(lambda: office.heard.attempts, "the alarm")
    async with database.write() as connection:
        assert await prune_events(connection, datetime.now(UTC), 10, ["ops"]) == 1
        assert (await connection.scalars(select(events.c.explanation))).all() == []
    assert await stored(database, ops.taken[0].id) is None


async def test_it_is_kept_in_memory_while_the_store_is_gone_and_written_later(database: Database) -> None:
    async with Office(database, ops := ScriptedSink("ops")) as office:
        async with database.write() as connection:
            await connection.execute(text("ALTER TABLE events RENAME TO away"))
        await office.look(m="low")
        await until(lambda: ops.taken, "the alarm, from memory")
        assert not office.heard.store_up
        made_of = office.manager.explain("m")
        async with database.write() as connection:
            await connection.execute(text("ALTER TABLE away RENAME TO events"))
        await until(lambda: office.heard.store_up, "the store to be up again")
        assert await explanation(database, ops.taken[0].id) == made_of


async def test_event_is_shown_without_it_when_it_cannot_be_read_any_more(database: Database) -> None:
    async with Office(database, ops := ScriptedSink("ops")) as office:
        await office.look(m="low")
        await until(lambda: ops.taken, "the alarm")
    await Ownership(database).acquire()
    async with database.write() as connection:
        await connection.execute(update(events).values(explanation='{"of": "another version"}'))
    found = await stored(database, ops.taken[0].id)
    assert found is not None
    assert found.explanation is None
