"""The wall clock of a daemon jumps by hours, in both directions: no event is lost, repeated, held back or given up."""

import random
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from reservd.plugin import Acceptance, AcceptanceStatus
from reservd.reserve.holds import GroupReading
from reservd.reserve.replenishment import Inaction
from reservd.reserve.replenishment.states import ReplenishmentState
from reservd.reserve.withdrawal import Refusal
from reservd.store.database import Database
from support.holds import read
from support.nursery import Nursery
from support.polling import until, wait_until
from support.scrape import page, sample
from support.set_clock import SetClock
from support.story import check_story, restless, rows, settle
from support.treasury import Treasury
from support.world import Answer, World

MODES = ("a", "b", "c", "d")
JUMPS = (5, -7, 30, -1, 48, 0, -30, 0)
"""The successive errors of the clock, in hours. Some exceed a day, the longest time for which delivery is retried."""


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[SetClock]:
    with SetClock(tmp_path / "clock") as running:
        yield running


@pytest.fixture
def world() -> Iterator[World]:
    with World(*MODES) as running:
        running.clock_is_set = True
        yield running


def check_that_every_mode_speaks(world: World) -> None:
    """Wait until every mode has sent an event with a new id since the call."""
    known = {event["id"] for event in world.events}

    def fresh() -> set[str]:
        return {event["subject"] for event in world.events if event["id"] not in known}

    for mode in MODES:
        wait_until(lambda mode=mode: mode in fresh(), f"an event of {mode}, after {len(known)} events")


def tells_time(address: str, ahead: timedelta) -> bool:
    """Whether the newest snapshot is current, measured by a clock that is ahead by this much."""
    told = sample(address, "reservd_last_snapshot_timestamp_seconds", mode="a", share_class="USDT") or 0
    return abs(datetime.fromtimestamp(told, UTC) - datetime.now(UTC) - ahead) < timedelta(minutes=30)


def test_all_is_said_once_when_the_clock_jumps_again_and_again(
    world: World, nursery: Nursery, clock: SetClock, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    config = world.write_config(tmp_path, store, interval=0.1, defaults={"reserve_event_repeat_interval": 2})
    nursery.start(config, clock=clock)
    address = nursery.address()
    with restless(world, random.Random(1)):
        check_that_every_mode_speaks(world)
        for hours in JUMPS:
            clock.set(hours=hours)
            check_that_every_mode_speaks(world)
            wait_until(partial(tells_time, address, timedelta(hours=hours)), "the snapshot time to follow the clock")
            assert page(address, "/-/healthy")[0] == 200
    settle(world, store)
    check_story(world, store)
    assert {event["data"]["status"] for event in world.events} == {"low", "critical", "adequate"}, (
        "no mode became unknown"
    )


def test_nothing_is_given_up_when_the_clock_jumps_while_a_receiver_is_down(
    world: World, nursery: Nursery, clock: SetClock, tmp_path: Path
) -> None:
    """By the wall clock, pending events are two days old or from the future.

    All are delivered, none becomes a dead letter.
    """
    store = f"sqlite:///{tmp_path}/store.db"
    nursery.start(world.write_config(tmp_path, store), clock=clock)
    wait_until(lambda: sample(nursery.address(), "reservd_store_up") == 1, "the store to be up")
    world.answer = Answer(status=503)
    for mode, hours in zip(MODES, (0, 48, -48, 24), strict=True):
        clock.set(hours=hours)
        world.set(mode, "low")
        wait_until(lambda mode=mode: (mode,) in rows(store, "SELECT mode FROM events"), "the alarm to be decided")
        tries = world.tries
        wait_until(lambda tries=tries: world.tries > tries + 8, "all pending events to be tried again")
    assert rows(store, "SELECT DISTINCT state FROM deliveries") == [("pending",)], "no dead letters"
    world.answer = Answer()
    wait_until(lambda: {event["subject"] for event in world.events} == set(MODES), "the alarms")
    settle(world, store)
    check_story(world, store)


def test_silence_ends_by_the_clock_and_never_keeps_an_alarm_for_longer(
    world: World, nursery: Nursery, clock: SetClock, tmp_path: Path
) -> None:
    store = tmp_path / "store.db"
    nursery.start(world.write_config(tmp_path, f"sqlite:///{store}"), clock=clock)
    address = nursery.address()
    wait_until(lambda: sample(address, "reservd_store_up") == 1, "the store to be up")
    now = datetime.now(UTC)
    begins_at, ends_at = (int(at.timestamp() * 1_000_000) for at in (now, now + timedelta(hours=1)))
    with closing(sqlite3.connect(store, timeout=30)) as connection, connection:
        connection.execute("INSERT INTO silences VALUES ('s', 'a', ?, ?, 'works', 'ann')", (begins_at, ends_at))
    wait_until(lambda: sample(address, "reservd_silenced", mode="a") == 1, "the silence to apply")
    for mode in ("a", "b"):
        world.set(mode, "low")
    wait_until(lambda: world.kinds("b") == ["low"], "the event of the mode that is not silenced")
    assert world.kinds("a") == []
    clock.set(hours=3)
    wait_until(lambda: world.kinds("a") == ["low"], "the silenced event, once the silence has ended")
    clock.set(hours=-3)
    wait_until(
        lambda: sample(address, "reservd_silenced", mode="a") is None, "the silence not to apply before its start"
    )
    world.set("a", "critical")
    wait_until(lambda: world.kinds("a") == ["low", "critical"], "the alarm")


def test_clocks_decide_nothing_about_who_owns_the_store(
    world: World, nursery: Nursery, clock: SetClock, tmp_path: Path, store_url: str
) -> None:
    """The owner's clock jumps, the standby's does not. Ownership depends on their monotonic clocks only."""
    config = world.write_config(tmp_path, store_url, interval=0.1)
    first = nursery.start(config, clock=clock)
    wait_until(lambda: sample(nursery.address(1), "reservd_owner") == 1, "the first to own the store")
    nursery.start(config)
    standby = nursery.address(2)
    wait_until(lambda: bool(nursery.logged("ownership.waiting")), "the second to stand by")
    with restless(world, random.Random(2)):
        for hours in JUMPS[:4]:
            clock.set(hours=hours)
            check_that_every_mode_speaks(world)
        assert len(nursery.logged("ownership.taken")) == 1
        assert sample(standby, "reservd_owner") == 0
        nursery.signal(first, signal.SIGKILL)
        wait_until(lambda: sample(standby, "reservd_owner") == 1, "the second to take over", timeout_seconds=60)
        check_that_every_mode_speaks(world)
    settle(world, store_url)
    check_story(world, store_url)


WRONG = pytest.mark.parametrize("wrong", [timedelta(days=2), timedelta(days=-2)], ids=["ahead", "behind"])


@WRONG
async def test_budget_of_refills_is_not_given_out_anew_when_the_clock_is_set(
    database: Database, wrong: timedelta
) -> None:
    async with Treasury(database, reserve_refill_budget_count=1) as shop:
        await shop.see(70)
        await shop.see(110)
        (first,) = shop.own()
        assert first.state is ReplenishmentState.VERIFIED
        for error in (wrong, timedelta(), wrong):
            shop.clock.wrong = error
            await shop.see(70)
            assert (len(shop.replenisher.asked), shop.refills.inactions["m"]) == (1, Inaction.BUDGET_COUNT)
            await shop.see(110)
        await shop.see(70, after_seconds=86_400)
        assert len(shop.replenisher.asked) == 2, "a day has passed on the monotonic clock"


@WRONG
async def test_strategy_is_waited_for_until_the_time_that_it_names_when_the_clock_was_wrong(
    database: Database, wrong: timedelta
) -> None:
    """The strategy names a time by a correct clock, for a request that was made by a wrong one."""
    async with Treasury(database) as shop:
        shop.replenisher.answer = Acceptance(status=AcceptanceStatus.PENDING)
        shop.clock.wrong = wrong
        await shop.see(70)
        shop.clock.wrong = timedelta()
        (own,) = shop.own()
        await shop.refills.desk.accept(own.id, expected_by=shop.clock.wall + timedelta(hours=1))
        for _ in range(10):
            await shop.see(70, after_seconds=360)
        assert str(shop.own()[0].state) == "accepted"
        await shop.see(70, after_seconds=360)
        assert str(shop.own()[0].state) == "expired"
        await shop.see(70, after_seconds=600)
        for never in (datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)):
            shop.clock.wrong = wrong
            await shop.refills.desk.accept(shop.own()[1].id, expected_by=never)


@WRONG
async def test_budget_of_refills_is_known_when_the_clock_was_wrong_at_the_start(
    database: Database, wrong: timedelta
) -> None:
    async with Treasury(database, reserve_refill_budget_count=1) as shop:
        await shop.see(70)
        await shop.see(110)
    shop = Treasury(database, reserve_refill_budget_count=1)
    shop.clock.wrong = wrong
    async with shop:
        await shop.see(110)
        shop.clock.wrong = timedelta()
        await shop.see(70)
        assert (shop.replenisher.asked, shop.refills.inactions["m"]) == ([], Inaction.BUDGET_COUNT)


@WRONG
async def test_refill_in_flight_is_waited_for_and_no_longer_when_the_clock_is_set(
    database: Database, wrong: timedelta
) -> None:
    async with Treasury(database) as shop:
        await shop.see(70)
        shop.clock.wrong = wrong
        await shop.see(71)
        shop.clock.wrong = timedelta()
        await shop.see(72)
        (waited_for,) = shop.own()
        assert (waited_for.state, len(shop.replenisher.asked)) == (ReplenishmentState.ACCEPTED, 1)
        shop.clock.wrong = wrong
        await shop.see(71, after_seconds=1_800)
        assert shop.own()[0].state is ReplenishmentState.EXPIRED


@WRONG
async def test_cooldown_is_as_long_as_it_is_when_the_clock_is_set(database: Database, wrong: timedelta) -> None:
    async with Treasury(database) as shop:
        shop.replenisher.answer = Acceptance(status=AcceptanceStatus.REJECTED)
        shop.clock.wrong = wrong
        await shop.see(70)
        shop.clock.wrong = timedelta()
        await shop.see(71)
        assert (len(shop.replenisher.asked), shop.refills.inactions["m"]) == (1, Inaction.COOLDOWN)
        shop.replenisher.answer = Acceptance(status=AcceptanceStatus.ACCEPTED)
        await shop.see(70, after_seconds=300)
        assert shop.own()[-1].state is ReplenishmentState.ACCEPTED


FREE = {"reserve_withdrawal_floor": 0}
LIMITED = {"reserve_withdrawal_max_per_period": 50}


@WRONG
async def test_no_more_is_accepted_within_a_period_when_the_clock_is_set(database: Database, wrong: timedelta) -> None:
    async with Treasury(database, 1000, **LIMITED) as shop:
        await shop.see()
        assert await shop.ask(30)
        for error in (wrong, timedelta(), wrong):
            shop.clock.wrong = error
            await shop.see()
            assert (await shop.ask(21)).refusal is Refusal.OVER_PERIOD_MAXIMUM
        await shop.see(after_seconds=43_200)
        assert await shop.ask(5)
        shop.clock.wrong = timedelta()
        await shop.see()
        assert (await shop.ask(16)).refusal is Refusal.OVER_PERIOD_MAXIMUM
        await shop.see(after_seconds=86_400)
        assert await shop.ask(50), "a day has passed on the monotonic clock"


async def test_no_more_is_accepted_within_a_period_when_the_clock_was_ahead_at_the_start(database: Database) -> None:
    async with Treasury(database, 1000, **LIMITED) as shop:
        await shop.see()
        assert await shop.ask(30)
    shop = Treasury(database, 1000, **LIMITED)
    shop.clock.wrong = timedelta(days=2)
    async with shop:
        await shop.see()
        shop.clock.wrong = timedelta()
        await shop.see()
        assert (await shop.ask(21)).refusal is Refusal.OVER_PERIOD_MAXIMUM
        assert await shop.ask(20)


async def paid_behind_a_reading(shop: Treasury) -> GroupReading:
    """Hold and settle 100 of 160; return the reading from before the payment, as a lagging node may still report it."""
    await shop.see()
    hold = await shop.withdraw(100)
    behind = read(160, shop.clock.wall)
    shop.clock.ahead += timedelta(seconds=30)
    await shop.withdrawals.settle(hold.id, paid_at=shop.clock.wall)
    shop.withdrawals._watch.look()
    return behind


async def test_what_is_paid_is_off_a_reading_that_shows_it_still_when_the_clock_was_ahead(database: Database) -> None:
    async with Treasury(database, 160, **FREE) as shop:
        behind = await paid_behind_a_reading(shop)
        for wrong in (timedelta(days=2), timedelta()):
            shop.clock.wrong = wrong
            shop.withdrawals._watch.look()
        assert shop.holds.book.totals.held(shop.manager.account_group("m"), behind) == 100


async def test_what_is_paid_is_off_a_reading_that_shows_it_still_when_the_clock_was_ahead_at_the_start(
    database: Database,
) -> None:
    async with Treasury(database, 160, **FREE) as shop:
        behind = await paid_behind_a_reading(shop)
        ahead = shop.clock.ahead
    shop = Treasury(database, 160, **FREE)
    shop.clock.ahead, shop.clock.wrong = ahead, timedelta(days=2)
    async with shop:
        shop.clock.wrong = timedelta()
        await shop.see()
        await shop.ask(1)
        assert shop.holds.book.totals.held(shop.manager.account_group("m"), behind) == 101


async def test_money_is_held_for_who_waits_for_it_when_the_clock_was_ahead_when_he_asked(database: Database) -> None:
    """The request was made with a future date. Later readings must still credit arrivals to the withdrawal, or the
    missing amount would be requested twice.
    """
    async with Treasury(database, 110, **FREE) as shop:
        shop.clock.wrong = timedelta(days=2)
        await shop.see()
        waits = await shop.withdraw(150)
        shop.withdrawals._watch.look()
        shop.clock.wrong = timedelta()
        shop.withdrawals._watch.look()
        await shop.see(130)
        assert shop.hold(waits).arrived == 20
        await shop.see(150)
        assert shop.hold(waits).outstanding == 0
        await shop.withdrawals.settle(waits.id, paid_at=shop.clock.wall)


async def test_money_is_counted_for_who_was_first_when_the_clock_was_ahead_when_he_asked(database: Database) -> None:
    """Both the withdrawals and the requests for their missing amounts are credited in the order in which they were
    made.
    """
    async with Treasury(database, 110, reserve_ratio=0) as shop:
        shop.clock.wrong = timedelta(days=2)
        await shop.see()
        first = await shop.withdraw(130)
        shop.clock.wrong = timedelta()
        shop.withdrawals._watch.look()
        await shop.see()
        second = await shop.withdraw(10)
        for balance, arrived in ((120, [10, 0]), (130, [20, 0]), (135, [20, 5])):
            await shop.see(balance)
            assert [shop.hold(each).arrived for each in (first, second)] == arrived
            assert [shop.request_for(each).arrived for each in (first, second)] == arrived


async def test_what_was_paid_is_in_no_reading_any_more_when_the_clock_was_ahead_when_it_was_told(
    database: Database,
) -> None:
    """The time of payment is given by a clock that was ahead as well.

    Later readings must not show the amount as held.
    """
    async with Treasury(database, 160, **FREE) as shop:
        await shop.see()
        hold = await shop.withdraw(60)
        shop.clock.wrong = timedelta(days=2)
        await shop.withdrawals.settle(hold.id, paid_at=shop.clock.wall)
        shop.withdrawals._watch.look()
        shop.clock.wrong = timedelta()
        shop.withdrawals._watch.look()
        snapshot = await shop.see(100)
        assert (snapshot.reserve_balance, snapshot.held) == (100, 0)
        await until(lambda: not shop.holds.book.changed, "the hold to be stored")
    again = Treasury(database, 100, **FREE)
    again.clock.ahead = shop.clock.ahead
    async with again as shop:
        assert (await shop.see()).held == 0


async def test_payouts_count_for_a_refill_that_was_asked_for_when_the_clock_was_ahead(database: Database) -> None:
    async with Treasury(database, 160) as shop:
        await shop.see()
        shop.clock.wrong = timedelta(days=2)
        await shop.see(90)
        (own,) = shop.own()
        shop.clock.wrong = timedelta()
        shop.withdrawals._watch.look()
        await shop.see(90)
        hold = await shop.withdraw(15)
        await shop.pay(hold, 75)
        await shop.see(75 + own.request.amount)
        assert shop.own()[0].state is ReplenishmentState.VERIFIED
