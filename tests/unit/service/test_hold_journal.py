"""Withdrawals with stored holds, on SQLite and on PostgreSQL."""

import asyncio
import json
import random
from collections import Counter
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, text, update

from reservd.errors import OwnershipLostError, StoreError, UnknownWithdrawalError, WithdrawalConflictError
from reservd.reserve.holds import HoldState, Unwinding
from reservd.reserve.withdrawal import Refusal, WithdrawalSpeed
from reservd.service.withdrawals import journal as hold_journal
from reservd.store.database import Database
from reservd.store.holds import load_holds, save_holds
from reservd.store.tables import holds, owner, snapshots
from support.bank import BASE, Bank
from support.holds import make_hold
from support.polling import until
from support.sources import ScriptedReplenisher

FREE = {"reserve_ratio": 0, "reserve_withdrawal_floor": 0}


class UndoneError(Exception):
    """Makes a transaction roll back."""


async def stored(database: Database) -> list[Any]:
    async with database.read() as connection:
        return (await load_holds(connection, limit=100_000))[::-1]


async def test_decision_is_stored_with_its_snapshot_before_it_is_answered(database: Database) -> None:
    async with Bank(110, database) as bank:
        decision = await bank.ask(80, "k")
        assert await stored(database) == [decision.hold]
        async with database.read() as connection:
            kept = (await connection.execute(select(snapshots))).one()
        assert (kept.mode, kept.taken_at) == ("m", decision.hold.snapshot_at)
        assert json.loads(kept.snapshot)["reserve_balance"] == "110"
        await bank.withdrawals.mark_paying(decision.hold.id)
        settled = await bank.withdrawals.settle(decision.hold.id, block=7)
        assert await stored(database) == [settled]
        assert list(await bank.withdrawals.list("m", [HoldState.SETTLED])) == [settled]


async def test_holds_queue_and_keys_are_the_same_after_a_restart(database: Database) -> None:
    async with Bank(110, database) as bank:
        paid = await bank.ask(20, "paid")
        partly = await bank.ask(60, "partly")
        await bank.see(115)
        assert (await bank.withdrawals.find(partly.hold.id)).arrived == 5
        await bank.withdrawals.settle(paid.hold.id, paid_at=bank.clock.wall)
        await until(lambda: not bank.withdrawals._desk.book.changed, "all holds to be written")
        await bank.ask(1, "end")
    # 10 arrived between two readings, and the payment left.
    async with Bank(105, database) as bank:
        snapshot = await bank.see()
        assert snapshot.held == 40 + 15 + 1
        assert (await bank.withdrawals.find(partly.hold.id)).arrived == 15
        again = await bank.ask(60, "partly")
        assert (again.repeated, again.hold.id, again.speed) == (True, partly.hold.id, WithdrawalSpeed.MEDIUM)
        with pytest.raises(WithdrawalConflictError):
            await bank.ask(21, "paid")
        assert (await bank.ask(1)).hold.position == 4


async def test_key_and_id_of_long_ago_are_looked_up_in_the_store(database: Database) -> None:
    async with Bank(110, database) as bank:
        old = await bank.ask(20, "old")
        await bank.withdrawals.cancel(old.hold.id)
        bank.withdrawals._watch.look()
        bank.clock.ahead = timedelta(days=2)
        bank.withdrawals._watch.look()
        assert bank.withdrawals._desk.book.find(old.hold.id) is None
        assert (await bank.withdrawals.find(old.hold.id)).state is HoldState.CANCELLED
        assert (await bank.withdrawals.cancel(old.hold.id)).state is HoldState.CANCELLED
        bank.withdrawals._watch.look()
        again = await bank.ask(20, "old")
        assert (again.repeated, again.hold.id) == (True, old.hold.id)
        with pytest.raises(UnknownWithdrawalError):
            await bank.withdrawals.find("nope")


async def test_period_counts_what_was_accepted_before_a_restart(database: Database) -> None:
    limits = {"reserve_withdrawal_max_per_period": 50}
    async with Bank(1000, database, **limits) as bank:
        await bank.ask(30)
        await bank.withdrawals.cancel((await bank.ask(20)).hold.id)
    async with Bank(1000, database, **limits) as bank:
        assert (await bank.ask(21)).refusal is Refusal.OVER_PERIOD_MAXIMUM
        assert await bank.ask(20)


async def test_promises_are_kept_when_a_mode_shares_its_account_after_a_restart(database: Database) -> None:
    sharing = {"reserve_allocation": "pro_rata", "reserve_withdrawal_floor": 0}
    async with Bank(200, database, **sharing) as bank:
        await bank.ask(150, "k")
    bank = Bank(200, database, **sharing)
    bank.manager.set_reserve_config("a", {**BASE, **sharing})
    async with bank:
        snapshots = await bank.manager.check_all_reserves()
        assert sum(snapshot.reserve_balance for snapshot in snapshots.values()) == 50
        assert (await bank.ask(150, "k")).repeated


async def test_unwinding_is_asked_for_after_a_restart_when_it_was_not_before(database: Database) -> None:
    """The daemon ended between the hold and the request."""
    async with Bank(40, database) as bank:
        decision = await bank.ask(10)
        assert decision.hold.unwinding is Unwinding.DUE
    unwinder = ScriptedReplenisher()
    async with Bank(40, database, replenisher=unwinder):
        await until(lambda: unwinder.asked, "the request")
        assert [request.id for request in unwinder.asked] == [decision.hold.id]


async def test_nothing_is_promised_when_the_store_is_gone_and_holds_are_read_anew_when_it_is_back(
    database: Database,
) -> None:
    async with Bank(110, database) as bank:
        await bank.ask(10, "before")

        @asynccontextmanager
        async def gone() -> Any:
            raise StoreError("gone")
            yield

        working, bank.database.write = bank.database.write, gone  # type: ignore[method-assign]  # a store that fails
        try:
            refused = await bank.ask(20, "during")
            assert (bool(refused), refused.refusal, refused.speed) == (False, Refusal.STORE_GONE, WithdrawalSpeed.SLOW)
            assert (refused.from_reserve, refused.unwound) == (0, 20)
            assert await bank.withdrawals.get_withdrawal_speed("m") is WithdrawalSpeed.SLOW
            quote = await bank.withdrawals.quote_withdrawal("m", Decimal(1))
            assert (quote.speed, quote.refusal) == (WithdrawalSpeed.SLOW, Refusal.STORE_GONE)
            assert (await bank.ask(20, "during")).refusal is Refusal.STORE_GONE
            with pytest.raises(StoreError):
                await bank.withdrawals.mark_paying("any")
        finally:
            bank.database.write = working  # type: ignore[method-assign]  # as before
        await until(lambda: bank.withdrawals._desk.up, "the holds to be loaded again")
        decision = await bank.ask(20, "during")
        assert (decision.repeated, decision.speed) == (False, WithdrawalSpeed.FAST)
        assert [hold.key for hold in await stored(database)] == ["before", "during"]


async def test_answer_is_the_stored_one_when_nobody_knew_whether_it_was_committed(database: Database) -> None:
    """The connection broke after the commit, before its confirmation."""
    async with Bank(110, database) as bank:
        working = bank.database.write

        @asynccontextmanager
        async def breaks_after_commit() -> Any:
            async with working() as connection:
                yield connection
            raise StoreError("the connection broke")

        bank.database.write = breaks_after_commit  # type: ignore[method-assign]  # a store that fails
        assert (await bank.ask(40, "k")).refusal is Refusal.STORE_GONE
        bank.database.write = working  # type: ignore[method-assign]  # as before
        await until(lambda: bank.withdrawals._desk.up, "the holds to be loaded again")
        again = await bank.ask(40, "k")
        assert (again.repeated, again.speed, len(await stored(database))) == (True, WithdrawalSpeed.FAST, 1)
        assert (await bank.see()).held == 40


async def test_nobody_unwinds_for_a_withdrawal_while_it_is_not_certain_to_be_stored(database: Database) -> None:
    """It was decided in memory, but its transaction is slow and fails in the end: it was never accepted."""
    unwinder = ScriptedReplenisher()
    async with Bank(70, database, replenisher=unwinder) as bank:
        working = bank.database.write
        decided, goes_on = asyncio.Event(), asyncio.Event()

        @asynccontextmanager
        async def fails_at_the_end() -> Any:
            with suppress(UndoneError):
                async with working() as connection:
                    yield connection
                    decided.set()
                    await goes_on.wait()
                    raise UndoneError
            raise StoreError("the connection broke")

        bank.database.write = fails_at_the_end  # type: ignore[method-assign]  # a store that fails
        asking = asyncio.ensure_future(bank.ask(100, "k"))
        await decided.wait()
        bank.withdrawals._watch.look()
        bank.database.write = working  # type: ignore[method-assign]  # as before
        goes_on.set()
        refused = await asking
        bank.withdrawals._watch.look()
        await bank.withdrawals._unwinder.idle()
        assert (refused.refusal, unwinder.asked, await stored(database)) == (Refusal.STORE_GONE, [], [])
        await until(lambda: bank.withdrawals._desk.up, "the holds to be loaded again")
        again = await bank.ask(100, "k")
        await until(lambda: unwinder.asked, "the request")
        assert [request.id for request in unwinder.asked] == [again.hold.id]


async def test_nothing_is_decided_when_another_daemon_owns_the_store(database: Database) -> None:
    async with Bank(110, database) as bank:
        async with database.write() as connection:
            await connection.execute(update(owner).values(epoch=owner.c.epoch + 1))
        refused = await bank.ask(40, "k")
        assert refused.refusal is Refusal.STORE_GONE
        assert bank.task is not None
        with pytest.raises(OwnershipLostError):
            await bank.task
        assert (await bank.ask(40, "k")).refusal is Refusal.STORE_GONE
        assert await stored(database) == []


async def test_nothing_is_decided_before_the_store_was_read(database: Database) -> None:
    bank = Bank(110, database)
    await bank.see()
    assert (await bank.ask(1)).refusal is Refusal.STORE_GONE
    assert await bank.withdrawals.get_withdrawal_speed("m") is WithdrawalSpeed.SLOW


async def test_caller_is_told_that_nothing_is_certain_when_the_store_hangs(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_journal, "_PATIENCE_SECONDS", 1)
    async with Bank(110, database) as bank:
        working, go_on = bank.database.write, asyncio.Event()

        @asynccontextmanager
        async def hangs() -> Any:
            async with working() as connection:
                yield connection
                await go_on.wait()

        bank.database.write = hangs  # type: ignore[method-assign]  # a store that hangs
        first = await bank.ask(40, "k")
        waited = await bank.ask(50, "l")
        assert first.refusal is waited.refusal is Refusal.STORE_GONE
        bank.database.write = working  # type: ignore[method-assign]  # as before
        monkeypatch.setattr(hold_journal, "_PATIENCE_SECONDS", 60)
        go_on.set()
        again = await bank.ask(40, "k")
        assert again.repeated, "it was decided, and a repetition gets that answer"
        assert [hold.key for hold in await stored(database)] == ["k"], (
            "nothing is decided for a caller that no longer waits"
        )


async def test_more_than_memory_should_hold_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold_journal, "_MAX_WAITING", 3)
    async with Bank(110, database) as bank:
        decisions = await asyncio.gather(*(bank.ask(1) for _ in range(5)))
    assert Counter(decision.refusal for decision in decisions) == {None: 3, Refusal.BUSY: 2}


async def test_what_is_being_stored_is_answered_when_the_daemon_stops(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_journal, "_END_SECONDS", 60.0)  # however late the disk is
    async with Bank(110, database) as bank:
        asking = [asyncio.ensure_future(bank.ask(1, str(number))) for number in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    answers = await asyncio.gather(*asking)
    kept = {hold.key for hold in await stored(database)}
    assert {answer.hold.key for answer in answers if answer.hold is not None} == kept
    assert {answer.refusal for answer in answers} <= {None, Refusal.STORE_GONE}


async def test_hold_that_somebody_else_made_under_a_key_is_answered_and_not_made_again(database: Database) -> None:
    async with Bank(110, database) as bank:
        async with database.write() as connection:
            await save_holds(connection, [make_hold(50, 10, key="k")])
        decision = await bank.ask(10, "k")
        assert (decision.repeated, decision.hold.id) == (True, "h-50")
        assert (await bank.ask(1)).hold.position == 51


@pytest.mark.no_cover
@pytest.mark.timeout(300)
async def test_10_000_concurrent_withdrawals_promise_exactly_what_is_there(database: Database) -> None:
    """The reserve covers half of them, and each is requested twice, concurrently."""
    async with Bank(5_000, database, **FREE) as bank:
        keys = [str(number % 10_000) for number in range(12_000)]
        random.shuffle(keys)
        decisions = await asyncio.gather(*(bank.ask(1, key) for key in keys))
        assert all(decisions)
        answers = {decision.hold.key: decision.hold for decision in decisions}
        assert sum(hold.from_reserve for hold in answers.values()) == 5_000
        assert Counter(hold.speed for hold in answers.values()) == {"fast": 5_000, "slow": 5_000}
        assert {hold.id for hold in await stored(database)} == {hold.id for hold in answers.values()}
        snapshot = await bank.see()
        assert (snapshot.held, snapshot.reserve_balance) == (5_000, 0)
        async with database.read() as connection:
            in_store = list(await connection.scalars(select(holds.c.from_reserve)))
        assert sum(in_store) == 5_000


async def test_withdrawals_of_any_size_promise_exactly_what_is_there(database: Database) -> None:
    rng = random.Random(7)
    async with Bank("1234.56", database, **FREE) as bank:
        amounts = [Decimal(rng.randrange(1, 5_000)).scaleb(-2) for _ in range(400)]
        decisions = await asyncio.gather(*(bank.ask(amount) for amount in amounts))
    assert sum(decision.from_reserve for decision in decisions) == Decimal("1234.56")
    assert sum(decision.amount for decision in decisions) == sum(amounts)
    async with database.read() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM holds")) == 400
