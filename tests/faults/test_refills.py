"""Strategies that do not do what they report, and daemons that die: nothing is requested twice; events report it."""

import asyncio
import signal
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from sqlalchemy import delete, update

from reservd.errors import DeliveryError, FailureReason, ReplenishmentStateError, StoreError
from reservd.plugin import Acceptance, AcceptanceStatus, Urgency
from reservd.reserve.models import ReserveStatus
from reservd.reserve.replenishment import Inaction
from reservd.reserve.replenishment.event import ReplenishmentEvent
from reservd.store.database import Database
from reservd.store.operators import Redelivery, ask_redeliveries
from reservd.store.queries import DeadLetter, find_position, load_dead_letters
from reservd.store.tables import replenishments
from support.nursery import Nursery
from support.polling import until, wait_until
from support.refills import Refinery, tells
from support.sources import ScriptedReplenisher, raises
from support.treasury import Treasury
from support.world import World

UNREACHABLE = raises(DeliveryError(FailureReason.UNREACHABLE))


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def promising(seconds: float) -> ScriptedReplenisher:
    """Return a strategy that accepts and names the time at which the money will be there."""
    replenisher = ScriptedReplenisher()
    replenisher.answer = Acceptance(status=AcceptanceStatus.ACCEPTED, expected_by=soon(seconds))
    return replenisher


async def test_request_expires_and_the_next_is_an_emergency_when_a_strategy_accepts_and_does_nothing(
    database: Database,
) -> None:
    limits = {"reserve_refill_cooldown": "0.01", "reserve_refill_settling": "0.01"}
    async with Refinery(database, promising(0), **limits) as shop:
        await shop.check(70)
        await tells(shop, "requested", "accepted", "expired")
        await asyncio.sleep(0.02)
        shop.replenisher.answer = Acceptance(status=AcceptanceStatus.ACCEPTED)
        await shop.check(69)
        first, second = shop.replenisher.asked
        assert (first.urgency, second.urgency) == (Urgency.FAST, Urgency.EMERGENCY)
        assert len({first.id, second.id}) == 2


async def test_refill_that_is_there_when_it_was_promised_is_verified_though_it_is_looked_at_later(
    database: Database,
) -> None:
    """The reserve is checked at intervals, so a strategy that is exactly on time must not count as late."""
    async with Refinery(database, promising(0)) as shop:
        await shop.check(70)
        await asyncio.sleep(0.02)
        await shop.check(110)
        await tells(shop, "requested", "accepted", "verified")
        shop.replenisher.answer = Acceptance(status=AcceptanceStatus.ACCEPTED)
        await shop.check(70)
        assert len(shop.asked) == 2


async def test_half_of_a_refill_is_told_as_half_and_not_as_done(database: Database) -> None:
    async with Refinery(database, reserve_refill_settling=30) as shop:
        await shop.check(70)
        (asked,) = shop.asked
        await shop.check(90)
        await shop.service.desk.settle(asked)
        await shop.check(90.5)
        assert (await shop.service.desk.find(asked)).state == "settled"
        shop.clock.ahead += timedelta(seconds=30)
        await shop.check(90)
        await tells(shop, "requested", "accepted", "settled", "ineffective")
        assert shop.ops.changes[-1].data.arrived == 20
        assert shop.asked == [asked]


async def test_money_that_never_arrives_is_told_when_a_strategy_says_that_it_settled(database: Database) -> None:
    async with Refinery(database, reserve_refill_settling="0.05") as shop:
        await shop.check(70)
        await shop.service.desk.settle(shop.asked[0])
        await asyncio.sleep(0.06)
        await shop.check(69)
        await tells(shop, "requested", "accepted", "settled", "ineffective")
        assert shop.reasons.all[-1] is Inaction.COOLDOWN
        assert len(shop.asked) == 1


async def test_money_that_has_left_is_waited_for_until_it_was_promised(database: Database) -> None:
    """A bridge may take an hour. Without the promised time, all of it would be requested again after five minutes."""
    async with Treasury(database) as shop:
        shop.replenisher.answer = Acceptance(
            status=AcceptanceStatus.ACCEPTED, expected_by=shop.clock.wall + timedelta(hours=1)
        )
        await shop.see(70)
        (own,) = shop.own()
        await shop.refills.desk.settle(own.id)
        for _ in range(5):
            await shop.see(70, after_seconds=600)
        assert (str(shop.own()[0].state), len(shop.replenisher.asked)) == ("settled", 1)
        await shop.see(70, after_seconds=1_200)
        assert str(shop.own()[0].state) == "ineffective"


async def test_second_answer_changes_nothing_when_it_says_the_same_and_is_refused_when_not(database: Database) -> None:
    async with Refinery(database) as shop:
        await shop.check(70)
        (asked,) = shop.asked
        await shop.service.desk.accept(asked)
        await shop.service.desk.progress(asked, reference="u-2")
        await shop.service.desk.accept(asked)
        with pytest.raises(ReplenishmentStateError, match="is in_progress: it cannot become rejected"):
            await shop.service.desk.reject(asked)
        await shop.check(110)
        await shop.service.desk.settle(asked)
        await tells(shop, "requested", "accepted", "in_progress", "verified")
        assert shop.ops.changes[-1].data.reference == "u-2"


async def test_answer_is_refused_when_it_comes_after_the_deadline(database: Database) -> None:
    replenisher = ScriptedReplenisher()
    replenisher.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    async with Refinery(database, replenisher, reserve_refill_patience="0.05") as shop:
        await shop.check(70)
        await asyncio.sleep(0.06)
        await shop.check(69)
        with pytest.raises(ReplenishmentStateError, match="is expired"):
            await shop.service.desk.accept(shop.asked[0])
        await tells(shop, "requested", "expired")


async def test_late_answer_to_the_call_itself_is_not_believed(database: Database) -> None:
    replenisher = ScriptedReplenisher()
    gate = asyncio.Event()

    async def waits() -> None:
        await gate.wait()

    replenisher.misbehave = waits
    async with Refinery(database, replenisher, reserve_refill_patience="0.05") as shop:
        shop._balances.amounts["main"] = 70
        await shop.manager.check_all_reserves()
        await until(lambda: shop.asked, "the call to the strategy")
        await asyncio.sleep(0.06)
        await shop.service.look()
        gate.set()
        await shop.service.idle()
        await tells(shop, "requested", "expired")


async def test_overshoot_is_told_and_nothing_more_is_asked_for(database: Database) -> None:
    async with Refinery(database) as shop:
        await shop.check(70)
        await shop.check(190)
        await shop.check(189)
        await tells(shop, "requested", "accepted", "verified")
        assert shop.ops.changes[-1].data.arrived == 120
        assert shop.reasons.all[-1] is Inaction.ADEQUATE
        assert len(shop.asked) == 1


async def test_request_is_asked_for_again_under_its_id_when_the_daemon_stopped_before_it_was_heard(
    database: Database,
) -> None:
    deaf = ScriptedReplenisher()
    deaf.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    async with Refinery(database, deaf) as first:
        await first.check(70)
        await tells(first, "requested")
    async with Refinery(database) as second:
        await second.check(69)
        for _ in range(100):
            await second.check(68)
            if second.asked and len(await second.history(first.asked[0])) > 1:
                break
            await asyncio.sleep(0.05)
        assert second.asked == [first.asked[0]]
        assert (first.replenisher.asked[0].epoch, second.replenisher.asked[0].epoch) == (1, 2)
        assert (await second.service.desk.find(first.asked[0])).request.epoch is None
        states = [str(each.state) for each in await second.history(first.asked[0])]
        assert states == ["requested", "accepted"]


async def test_cooldown_and_budget_hold_after_a_restart(database: Database) -> None:
    refusing = ScriptedReplenisher()
    refusing.answer = Acceptance(status=AcceptanceStatus.REJECTED, reason="nothing to unwind")
    async with Refinery(database, refusing) as shop:
        await shop.check(70)
        await tells(shop, "requested", "rejected")
    async with Refinery(database) as shop:
        await shop.check(69)
        assert (shop.asked, shop.reasons.all[-1]) == ([], Inaction.COOLDOWN)
    async with Refinery(database, reserve_refill_cooldown="0.01", reserve_refill_budget_count=1) as shop:
        await shop.check(68)
        await shop.check(110)
        assert len(shop.asked) == 1
    async with Refinery(database, reserve_refill_budget_count=1) as shop:
        await shop.check(67)
        assert (shop.asked, shop.reasons.all[-1]) == ([], Inaction.BUDGET_COUNT)


async def test_no_refill_is_asked_for_and_alarms_go_on_when_a_request_in_the_store_cannot_be_read(
    database: Database,
) -> None:
    """Its strategy may still bring the money: another request could unwind the same amount again."""
    async with Refinery(database) as shop:
        await shop.check(70)
        (asked,) = shop.asked
    async with database.write() as connection:
        await connection.execute(update(replenishments).values(record='{"of": "another version"}'))
    async with Refinery(database) as shop:
        await shop.check(40)
        assert shop.manager.status("m") is ReserveStatus.CRITICAL
        await until(lambda: "reservd.reserve_critical.v1" in {each.type for each in shop.ops.taken}, "the alarm")
        assert shop.reasons.all[-1] is Inaction.UNREADABLE
        assert (await shop.service.request("m", Decimal(5))).reason == Inaction.UNREADABLE
        with pytest.raises(StoreError, match=f"{asked} cannot be read"):
            await shop.service.request("m", Decimal(5), request_id=asked)
        assert await shop.service.desk.list("m", None, limit=10, before=None) == []
        assert shop.asked == []
    async with database.write() as connection:
        await connection.execute(delete(replenishments))
    async with Refinery(database) as shop:
        await shop.check(40)
        assert len(shop.asked) == 1, "requested once the unreadable row is deleted"


async def test_replenisher_is_left_alone_by_all_modes_for_as_long_as_it_asks(database: Database) -> None:
    limited = raises(DeliveryError(FailureReason.RATE_LIMITED, "HTTP 429", retry_after_seconds=600))
    async with Treasury(database, 70, modes=("a", "b"), reserve_allocation="pro_rata") as shop:
        shop.replenisher.misbehave = limited
        await shop.see(70)
        asked = len(shop.replenisher.asked)
        await shop.see(69)
        await shop.refills.request("b", Decimal(5), withdrawal_id="w")
        assert len(shop.replenisher.asked) == asked
        shop.replenisher.misbehave = None
        shop.refills._caller._left_alone_until.clear()  # the retry time has passed
        await shop.see(70)
        assert len(shop.replenisher.asked) > asked


async def test_shortfall_is_asked_for_when_a_withdrawal_is_cancelled_of_which_no_strategy_has_heard(
    database: Database,
) -> None:
    """What the withdrawal lacked is no longer in flight, so the whole shortfall is requested."""
    async with Treasury(database) as shop:
        await shop.see()
        shop.replenisher.misbehave = UNREACHABLE
        decision = await shop.ask(160)
        assert decision.hold is not None
        target = decision.hold.id
        await until(lambda: [each.id for each in shop.replenisher.asked] == [target], "the call to the strategy")
        await shop.refills.idle()
        await shop.withdrawals.cancel(target)
        shop.replenisher.misbehave = None
        await shop.see(60)
        assert str(shop.request_for(decision.hold).state) == "cancelled"
        (refill,) = shop.own()
        assert refill.request.amount == 110 - 60


async def test_strategy_is_told_when_it_takes_what_a_withdrawal_lacked_that_is_cancelled(database: Database) -> None:
    """The strategy received the request and had not decided: accepting it is refused, so that it does not unwind for
    nothing.
    """
    async with Treasury(database) as shop:
        await shop.see()
        shop.replenisher.answer = Acceptance(status=AcceptanceStatus.PENDING)
        undecided, under_way = await shop.withdraw(160), await shop.withdraw(40)
        await shop.refills.desk.accept(under_way.id)
        for hold in (undecided, under_way):
            await shop.withdrawals.cancel(hold.id)
        await shop.refills.look()
        with pytest.raises(ReplenishmentStateError, match="is cancelled"):
            await shop.refills.desk.accept(undecided.id)
        assert str(shop.request_for(under_way).state) == "accepted"


async def test_change_that_its_sink_refused_is_a_dead_letter_and_arrives_when_it_is_redelivered(
    database: Database,
) -> None:
    async with Refinery(database) as shop:
        shop.ops.misbehave = raises(DeliveryError(FailureReason.REJECTED, retryable=False))
        await shop.check(70)

        async def dead_letters() -> list[DeadLetter]:
            async with database.read() as connection:
                found = await load_dead_letters(connection, 10, "ops")
            return [each for each in found if isinstance(each.event, ReplenishmentEvent)]

        while len(found := await dead_letters()) < 2:
            await asyncio.sleep(0.01)
        assert [str(each.event.state) for each in found] == ["accepted", "requested"]
        shop.ops.misbehave = None
        async with database.write() as connection:
            position = await find_position(connection, found[1].event.id)
            assert position is not None
            await ask_redeliveries(connection, [Redelivery("wish", position, "ops", datetime.now(UTC), "ann")])
        await until(lambda: shop.ops.states == ["requested"], "the redelivered event")
        assert shop.ops.changes[0].id == found[1].event.id


# Real daemons


def write_config(world: World, folder: Path) -> Path:
    """Return a configuration whose strategy is a program that records requests and accepts them."""
    program = folder / "unwind"
    program.write_text(
        f'#!/bin/sh\ncat >> {folder}/request\necho "$RESERVD_REQUEST_ID" >> {folder}/asked\n'
        'echo \'{"status": "accepted"}\'\n'
    )
    program.chmod(0o755)
    config = world.write_config(folder, defaults={"reserve_replenisher": "unwinder"})
    document = yaml.safe_load(config.read_text())
    document["replenishers"] = {"unwinder": {"plugin": "command", "options": {"command": [str(program)]}}}
    config.write_text(yaml.safe_dump(document))
    return config


def asked_in(folder: Path) -> list[str]:
    path = folder / "asked"
    return path.read_text().split() if path.exists() else []


def stored_in(folder: Path) -> dict[str, str]:
    with closing(sqlite3.connect(folder / "reservd.db")) as connection:
        return dict(connection.execute("SELECT id, state FROM replenishments").fetchall())


def told_in(world: World) -> list[str]:
    """Return the states that the sink received; an event that is sent again after a takeover has the same id."""
    by_id = {each["id"]: each["data"] for each in world.events if "replenishment" in each["type"]}
    return [each["state"] for each in by_id.values()]


@pytest.mark.parametrize("step", ["store", "stored"])
def test_one_request_is_made_when_the_daemon_is_killed_between_decision_and_request(
    step: str, tmp_path: Path, nursery: Nursery
) -> None:
    """The request is stored, or not even that, and its strategy has not received it."""
    with World("m") as world:
        world.set("m", "low")
        config = write_config(world, tmp_path)
        nursery.wait(nursery.start(config, step))
        before = stored_in(tmp_path)
        assert (len(before), asked_in(tmp_path)) == (1 if step == "stored" else 0, [])
        nursery.start(config)
        wait_until(lambda: "accepted" in stored_in(tmp_path).values(), "the request to be accepted")
        assert len(stored_in(tmp_path)) == 1
        assert asked_in(tmp_path) == list(stored_in(tmp_path))
        assert set(before) <= set(stored_in(tmp_path))


def test_one_request_is_made_when_another_daemon_takes_over(tmp_path: Path, nursery: Nursery) -> None:
    with World("m") as world:
        config = write_config(world, tmp_path)
        first = nursery.start(config)
        wait_until(lambda: "ownership.taken" in nursery.log(), "the first to own the store")
        nursery.start(config)
        wait_until(lambda: "ownership.waiting" in nursery.log(), "the second to stand by")
        world.set("m", "low")
        wait_until(lambda: "accepted" in (stored_in(tmp_path).values()), "the request to be accepted")
        wait_until(lambda: bool(world.events), "the first to send an event")
        nursery.signal(first, signal.SIGKILL)
        wait_until(lambda: nursery.log().count("ownership.taken") == 2, "the second to own the store")
        world.set("m", "adequate")
        wait_until(lambda: "verified" in stored_in(tmp_path).values(), "the second to verify the money")
        assert asked_in(tmp_path) == list(stored_in(tmp_path))
        wait_until(lambda: told_in(world) == ["requested", "accepted", "verified"], "the events")
        # Each event names the epoch of the owner that sent it, and so does the request.
        (verified,) = (each for each in world.events if each["data"].get("state") == "verified")
        assert [each["epoch"] for each in world.events] == sorted(each["epoch"] for each in world.events)
        assert (world.events[0]["epoch"], verified["epoch"]) == (1, 2)
        assert (tmp_path / "request").read_text().count('"epoch":1') == 1


async def test_report_is_refused_while_a_restarted_daemon_loads_what_it_is_about(database: Database) -> None:
    """It would be answered as recorded, and then replaced by the state that was being loaded."""
    async with Treasury(database) as shop:
        await shop.see(70)
        (own,) = shop.own()
    again = Treasury(database)
    reports: list[asyncio.Future[object]] = []
    load = again.refills.open

    async def open_late() -> None:
        reports.append(asyncio.ensure_future(again.refills.desk.settle(own.id, reason="at last")))
        await asyncio.sleep(0.2)
        await load()

    again.refills.open = open_late  # type: ignore[method-assign]  # a store that is read slowly
    async with again:
        with pytest.raises(StoreError, match="cannot be stored now"):
            await reports[0]
        await again.refills.desk.settle(own.id, reason="at last")
        assert [(each.state, each.detail) for each in again.own()] == [("settled", "at last")]
