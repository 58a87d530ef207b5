"""Pages of requests for refills: each request is on exactly one, also if several were made at the same time."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from reservd.plugin.examples import example_request
from reservd.reserve.replenishment.states import Replenishment, RequestPlace
from reservd.service.replenishment import RefillDesk
from reservd.service.replenishment.asker import RefillAsker
from reservd.service.replenishment.book import RefillBook
from reservd.service.replenishment.caller import RefillCaller
from reservd.service.replenishment.grounds import RefillGrounds
from reservd.service.replenishment.ledger import RefillLedger
from reservd.service.replenishment.transitions import RefillTransitions
from reservd.store.database import Database
from reservd.store.replenishments import load_replenishments, save_records
from reservd.store.schema import prepare
from reservd.web.api.cursors import decode_cursor, encode_cursor

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_record(number: int, second: int) -> Replenishment:
    moment = NOON + timedelta(seconds=second)
    request = example_request("m").model_copy(update={"id": f"r{number}", "requested_at": moment})
    return Replenishment(request=request, changed_at=moment, deadline=moment)


async def read_pages(load: Callable[[int, RequestPlace | None], Awaitable[Sequence[Replenishment]]], limit: int) -> str:
    """Return the ids on all pages, each cursor passed through its text."""
    found: list[str] = []
    page = await load(limit, None)
    while page:
        found += [each.id for each in page]
        page = await load(limit, decode_cursor(encode_cursor(page[-1].place)))
    return " ".join(found)


RECORDS = [make_record(number, second) for number, second in enumerate([0, 1, 1, 1, 1, 2, 2])]


async def test_stored_requests_of_one_instant_are_each_on_one_page(database: Database) -> None:
    await prepare(database)
    async with database.write() as connection:
        await save_records(connection, RECORDS)

    async def load(limit: int, before: RequestPlace | None) -> Sequence[Replenishment]:
        async with database.read() as connection:
            return await load_replenishments(connection, limit, "m", before=before)

    for limit in range(1, 9):
        assert await read_pages(load, limit) == "r6 r5 r4 r3 r2 r1 r0"


async def test_requests_of_one_instant_in_memory_are_each_on_one_page() -> None:
    book = RefillBook(RefillLedger())
    for record in RECORDS:
        book.put(record)
    transitions = RefillTransitions({}, book, RefillGrounds({}, book, {}))
    asker = RefillAsker({}, book, transitions, RefillCaller({}, ()), lambda: True)
    desk = RefillDesk(book, RefillLedger(), transitions, asker, lambda: True)

    async def load(limit: int, before: RequestPlace | None) -> Sequence[Replenishment]:
        return await desk.list("m", limit=limit, before=before)

    for limit in range(1, 9):
        assert await read_pages(load, limit) == "r6 r5 r4 r3 r2 r1 r0"
