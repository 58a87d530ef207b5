"""Daemons are killed, stopped, doubled or without a store while clients withdraw: the same money is held once."""

import asyncio
import random
import signal
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reservd.errors import StoreError
from reservd.reserve.models import ReserveStatus
from reservd.reserve.withdrawal import Refusal, WithdrawalSpeed
from reservd.store.database import Database
from reservd.store.tables import holds
from support.nursery import HOLD_STEPS, Nursery
from support.polling import wait_until
from support.scrape import sample
from support.teller import Teller
from support.treasury import Treasury
from support.world import World

FREE = {"reserve_withdrawal_floor": 0, "reserve_max_jump": 1000}
"""All of the 110 of a mode may be held."""
CALM = 2
"""Seconds between checks. Long, so that a late reading on a busy machine does not make withdrawals slow."""
KEYS = [f"client-{number}" for number in range(150)]


@pytest.fixture
def world() -> Iterator[World]:
    with World("m") as running:
        yield running


def orders(keys: Iterable[str]) -> list[dict[str, str]]:
    return [{"mode": "m", "amount": "1", "key": key} for key in keys]


def stored(path: Path) -> list[tuple[Any, ...]]:
    """Return key, id, from_reserve, arrived and state of each hold."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT key, id, from_reserve, arrived, state FROM holds ORDER BY position")
        return rows.fetchall()


def ask_until_answered(teller: Teller, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Ask as the API tells clients to: repeat withdrawals that were refused for lack of a store under the same key."""
    answers: list[dict[str, Any]] = []

    def answered() -> bool:
        nonlocal answers
        answers = teller.ask(orders(keys))
        return all(answer["refusal"] is None for answer in answers)

    wait_until(answered, "every key to be accepted")
    return answers


def check_promises(answers: Iterable[dict[str, Any]], path: Path, reserve: int = 110) -> None:
    """Check that each key has one hold and one answer, and that exactly the reserve is held."""
    holds = stored(path)
    assert len({key for key, *_ in holds}) == len(holds), "two holds under one key"
    by_key = {key: (hold_id, Decimal(from_reserve)) for key, hold_id, from_reserve, *_ in holds}
    assert sum(from_reserve for _, from_reserve in by_key.values()) == reserve
    for answer in answers:
        if answer["refusal"] is None:
            assert by_key[answer["key"]] == (answer["id"], Decimal(answer["from_reserve"])), "an answer changed"


@pytest.mark.parametrize("step", HOLD_STEPS)
def test_reserve_is_promised_once_when_the_daemon_is_killed_between_hold_and_answer(
    step: str, world: World, nursery: Nursery, tmp_path: Path
) -> None:
    config = world.write_config(tmp_path, interval=CALM, defaults=FREE)
    answers: list[dict[str, Any]] = []
    for nth in (1, 2):
        daemon = nursery.start(config, step, nth)
        with Teller(daemon) as teller:
            teller.wait_for_status("m", "adequate", "low", "critical")
            for some in (KEYS[:100], KEYS[50:], KEYS):
                answers += teller.ask(orders(some))
        nursery.wait(daemon)
    daemon = nursery.start(config)
    with Teller(daemon) as teller:
        # Existing holds remain and may make the mode critical, in which case no more is held.
        teller.wait_for_status("m", "adequate", "low", "critical")
        answers += teller.ask(orders(KEYS))
    assert len({answer["key"] for answer in answers}) == len(KEYS)
    promised = sum(Decimal(from_reserve) for _, _, from_reserve, *_ in stored(tmp_path / "reservd.db"))
    assert promised <= 110
    check_promises(answers, tmp_path / "reservd.db", int(promised))


def test_reserve_is_promised_once_when_the_daemon_is_killed_again_and_again(
    world: World, nursery: Nursery, tmp_path: Path
) -> None:
    """With a target of 0 the status stays adequate, so all of the reserve can be held, and no more."""
    config = world.write_config(tmp_path, interval=CALM, defaults={**FREE, "reserve_ratio": 0})
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    answers: list[dict[str, Any]] = []
    for _ in range(8):
        daemon = nursery.start(config)
        with Teller(daemon) as teller:
            teller.wait_for_status("m", "adequate")
            killer = threading.Timer(rng.uniform(0.0, 0.05), nursery.signal, (daemon, signal.SIGKILL))
            killer.start()
            answers += teller.ask(orders(rng.sample(KEYS, 60)))
            killer.join()
    daemon = nursery.start(config)
    with Teller(daemon) as teller:
        teller.wait_for_status("m", "adequate")
        answers += ask_until_answered(teller, KEYS)
    check_promises(answers, tmp_path / "reservd.db")


def test_standby_goes_on_with_what_was_promised_and_a_stopped_owner_promises_nothing(
    world: World, nursery: Nursery, tmp_path: Path
) -> None:
    config = world.write_config(tmp_path, interval=CALM, defaults={**FREE, "reserve_ratio": 0})
    first = nursery.start(config)
    with Teller(first) as owner:
        owner.wait_for_status("m", "adequate")
        answers = ask_until_answered(owner, KEYS[:60])
        second = nursery.start(config)
        with Teller(second) as standby:
            wait_until(lambda: "ownership.waiting" in nursery.log(), "the second to stand by")
            (refused,) = standby.ask(orders(["early"]))
            assert (refused["refusal"], refused["speed"]) == ("standby", "slow")
            nursery.suspend(first, tmp_path / "reservd.db")
            standby.wait_for_status("m", "adequate")
            answers += ask_until_answered(standby, KEYS[30:90])
            nursery.signal(first, signal.SIGCONT)
            late = owner.ask(orders(KEYS[90:]))
            assert {answer["refusal"] for answer in late} <= {"store_gone", "standby"}
            answers += ask_until_answered(standby, KEYS)
    assert len(stored(tmp_path / "reservd.db")) == len(KEYS)
    check_promises(answers, tmp_path / "reservd.db")


def test_nothing_is_promised_when_the_store_is_locked_and_the_same_key_is_decided_when_it_is_back(
    world: World, nursery: Nursery, tmp_path: Path
) -> None:
    daemon = nursery.start(world.write_config(tmp_path, interval=CALM, defaults=FREE))
    with Teller(daemon) as teller:
        teller.wait_for_status("m", "adequate")
        with closing(sqlite3.connect(tmp_path / "reservd.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            (refused,) = teller.ask(orders(["k"]))
            assert (refused["refusal"], refused["speed"], refused["from_reserve"]) == ("store_gone", "slow", "0")
            (quote,) = teller.ask([{"mode": "m", "amount": "1"}])
            assert quote["speed"] == "slow"
            other.execute("ROLLBACK")
        teller.wait_for_status("m", "adequate")
        (accepted,) = teller.ask(orders(["k"]))
        assert (accepted["refusal"], accepted["speed"]) == (None, "fast")
    assert len(stored(tmp_path / "reservd.db")) == 1


def test_withdrawal_waits_for_its_money_when_the_reserve_is_unknown(
    world: World, nursery: Nursery, tmp_path: Path
) -> None:
    limits = {"reserve_max_staleness": 2, "reserve_max_jump": 1000}
    daemon = nursery.start(world.write_config(tmp_path, interval=0.1, defaults=limits))
    with Teller(daemon) as teller:
        teller.wait_for_status("m", "adequate")
        world.amounts["m"] = "nobody knows"
        teller.wait_for_status("m", "unknown")
        (accepted,) = teller.ask(orders(["k"]))
        assert (accepted["speed"], accepted["from_reserve"], accepted["refusal"]) == ("slow", "0", None)
        world.amounts["m"] = "111.5"
        wait_until(lambda: stored(tmp_path / "reservd.db")[0][3] == "1", "the arrived money to be held for it")
        labels = {"mode": "m", "share_class": "USDT"}
        wait_until(lambda: sample(nursery.address(), "reservd_reserve_held", **labels) == 1, "the gauge")
        wait_until(
            lambda: sample(nursery.address(), "reservd_reserve_balance", **labels) == 110.5, "the rest of the reserve"
        )
        assert sample(nursery.address(), "reservd_holds_overdue", mode="m") == 0
        assert sample(nursery.address(), "reservd_withdrawals_total", speed="slow") == 1


def test_burst_is_promised_no_more_than_what_is_left_when_the_reserve_falls(
    world: World, nursery: Nursery, tmp_path: Path
) -> None:
    """Money leaves the wallet for another purpose while clients withdraw: 40 of 110 remain, and exactly 40 are held."""
    config = world.write_config(tmp_path, interval=CALM, defaults={**FREE, "reserve_ratio": 0})
    daemon = nursery.start(config)
    with Teller(daemon) as teller:
        teller.wait_for_status("m", "adequate")
        ask_until_answered(teller, KEYS[:20])
        world.amounts["m"] = "40"
        labels = {"mode": "m", "share_class": "USDT"}
        wait_until(lambda: sample(nursery.address(), "reservd_reserve_balance", **labels) == 20, "the fall to be read")
        answers = ask_until_answered(teller, KEYS)
    check_promises(answers, tmp_path / "reservd.db", 40)
    assert [answer["speed"] for answer in answers].count("fast") == 40


def test_hold_that_is_settled_is_off_the_gauge_and_one_that_is_cancelled_is_free_again(
    world: World, nursery: Nursery, tmp_path: Path
) -> None:
    daemon = nursery.start(world.write_config(tmp_path, interval=CALM, defaults=FREE))
    labels = {"mode": "m", "share_class": "USDT"}
    with Teller(daemon) as teller:
        teller.wait_for_status("m", "adequate")
        paid, given_up = teller.ask([{"mode": "m", "amount": "10", "key": key} for key in ("paid", "given up")])
        wait_until(lambda: sample(nursery.address(), "reservd_reserve_held", **labels) == 20, "the holds to be shown")
        world.amounts["m"] = "100"
        assert teller.ask([{"settle": paid["id"]}])[0]["state"] == "settled"
        assert teller.ask([{"cancel": given_up["id"]}])[0]["state"] == "cancelled"
        wait_until(lambda: sample(nursery.address(), "reservd_reserve_held", **labels) == 0, "the holds to be gone")
        assert sample(nursery.address(), "reservd_reserve_balance", **labels) == 100


@pytest.mark.parametrize(("before", "after"), [(("m",), ("renamed",)), (("a", "b"), ("b",))])
async def test_promises_are_kept_when_their_mode_is_renamed_or_taken_out(
    before: Sequence[str], after: Sequence[str], database: Database
) -> None:
    """The clients are paid from the accounts, whichever mode has these now: they remain held."""
    async with Treasury(database, 110, modes=before, **FREE) as shop:
        await shop.see()
        hold = await shop.withdraw(50, before[0])
        assert hold.from_reserve == 50
    async with Treasury(database, 110, modes=after, **FREE) as shop:
        shop.clock.ahead += timedelta(minutes=1)
        snapshot = await shop.see(110)
        assert (snapshot.reserve_balance, snapshot.held) == (60, 50)
        assert (await shop.withdraw(100, after[0])).from_reserve == 60
        await shop.withdrawals.cancel(hold.id)
        assert (await shop.withdraw(100, after[0])).from_reserve == 50


async def test_withdrawals_from_its_accounts_are_slow_when_a_promise_cannot_be_read_and_alarms_go_on(
    database: Database,
) -> None:
    """It is unknown how much is held, what was answered under its key, and whether its money is in flight."""
    async with Treasury(database, 400, modes=("a", "b"), **FREE) as shop:
        await shop.see()
        hold = await shop.withdraw(500, "a")
    async with database.write() as connection:  # after its last writer has stopped
        await connection.execute(holds.update().where(holds.c.id == hold.id).values(state="frozen"))
    async with Treasury(database, 400, modes=("a", "b"), **FREE) as shop:
        shop.clock.ahead += timedelta(minutes=1)
        assert (await shop.see(400)).status is ReserveStatus.ADEQUATE
        for mode in shop.modes:
            assert await shop.withdrawals.get_withdrawal_speed(mode, Decimal(1)) is WithdrawalSpeed.SLOW
        process = shop.withdrawals.process_withdrawal
        again, other = await asyncio.gather(process("a", Decimal(500), hold.key), process("a", Decimal(1)))
        assert (again.refusal, other.speed, other.from_reserve) == (Refusal.STORE_GONE, WithdrawalSpeed.SLOW, 0)
        with pytest.raises(StoreError, match=f"withdrawal {hold.id} cannot be read"):
            await shop.withdrawals.settle(hold.id, paid_at=shop.clock.wall)
        assert str(shop.request_for(hold).state) == "accepted"
        assert (await shop.see(20)).status is ReserveStatus.CRITICAL
        async with database.write() as connection:
            await connection.execute(holds.delete().where(holds.c.id == hold.id))
    async with Treasury(database, 400, modes=("a", "b"), **FREE) as shop:
        shop.clock.ahead += timedelta(minutes=2)
        await shop.see(400)
        assert await shop.withdrawals.get_withdrawal_speed("a", Decimal(1)) is WithdrawalSpeed.FAST


async def test_withdrawals_are_slow_for_a_period_when_what_was_accepted_within_it_cannot_be_read(
    database: Database,
) -> None:
    """It ended long ago, so no reading shows it, but it counts for the limit with an unknown amount."""
    limited = {**FREE, "reserve_withdrawal_max_per_period": 50}
    async with Treasury(database, 400, **limited) as shop:
        await shop.see()
        hold = await shop.withdraw(30)
        await shop.withdrawals.settle(hold.id, paid_at=shop.clock.wall)
    long_ago = shop.clock.wall - timedelta(hours=12)
    async with database.write() as connection:
        damaged = {"decided_at": long_ago, "ended_at": long_ago, "amount": Decimal("NaN"), "speed": "warp"}
        await connection.execute(holds.update().where(holds.c.id == hold.id).values(damaged))
    async with Treasury(database, 400, **limited) as shop:
        assert (await shop.see()).status is ReserveStatus.ADEQUATE
        assert await shop.withdrawals.get_withdrawal_speed("m", Decimal(5)) is WithdrawalSpeed.SLOW
        assert (await shop.withdrawals.quote_withdrawal("m", Decimal(5))).speed is WithdrawalSpeed.SLOW
        decision = await shop.ask(5)
        assert (decision.speed, decision.from_reserve) == (WithdrawalSpeed.SLOW, 0)
        await shop.see(after_seconds=86_400)
        assert (await shop.ask(5)).speed is WithdrawalSpeed.FAST, "it no longer counts for the limit"


async def test_promises_are_kept_when_only_some_of_their_accounts_are_counted_still(database: Database) -> None:
    """It is unknown from which account the client will be paid: the remaining one is held until that is reported."""
    async with Treasury(database, 110, modes=("a", "b"), **FREE) as shop:
        shop.count("b", other=40)
        await shop.see()
        hold = await shop.withdraw(50, "b")
        assert hold.from_reserve == 50
    async with Treasury(database, 110, modes=("a",), **FREE) as shop:
        shop.clock.ahead += timedelta(minutes=1)
        snapshot = await shop.see(110)
        assert (snapshot.reserve_balance, snapshot.held, snapshot.target_reserve) == (60, 50, 100)
        assert (await shop.withdraw(100, "a")).from_reserve == 60
        await shop.withdrawals.cancel(hold.id)
        assert (await shop.see()).held == 60
    async with Treasury(database, 110, modes=("a",), **FREE) as shop:
        shop.clock.ahead += timedelta(minutes=2)
        assert (await shop.see(110)).held == 60


async def test_promises_are_kept_when_their_mode_is_taken_out_after_its_accounts_were_changed(
    database: Database,
) -> None:
    async with Treasury(database, 110, modes=("m",), **FREE) as shop:
        await shop.see()
        assert (await shop.withdraw(50)).from_reserve == 50
    async with Treasury(database, 110, modes=("m",), **FREE) as shop:
        shop.count("m", other=40)
        await shop.see()
        await shop.withdraw(10)  # stores the carried-over hold as well
    async with Treasury(database, 110, modes=("n",), **FREE) as shop:
        shop.clock.ahead += timedelta(minutes=1)
        assert (await shop.see(110)).held == 60
