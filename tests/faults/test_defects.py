"""A defect in the check of one mode, or in an observer or sink: all other modes and sinks work as before."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from reservd import ReserveManager, ReserveStatus
from reservd.delivery.batch import Batch
from reservd.delivery.outbox import Outbox
from reservd.errors import CallError, OwnershipLostError, ReplenishmentStateError, StoreError
from reservd.monitor.observer import Checked, Observer
from reservd.monitor.watches.holds import Holds
from reservd.plugin import Balance, CloudEvent, Equity
from reservd.reserve.holds import Hold
from reservd.reserve.models import EventType, ReserveEvent
from reservd.service.withdrawals import journal as hold_journal
from reservd.store.database import Database
from reservd.web.metrics import Metrics, Series
from support.bank import Bank
from support.daemon import ReservdProcess
from support.hand_clock import HandClock
from support.office import Office
from support.polling import until, wait_until
from support.programs import python
from support.refills import Refinery
from support.sources import ScriptedBalances, ScriptedEquity, ScriptedSink
from support.story import check_story
from support.world import Answer, World

MODES = dict.fromkeys("abc", "USDT")
BASE = {
    "share_class": "USDT",
    "reserve_ratio": "0.1",
    "reserve_monitoring_interval": "0.05",
    "reserve_max_staleness": "2",
    "reserve_max_jump": "1000",
}


class BrokenHolds(Holds):
    """Raises for some modes when asked what is held."""

    def __init__(self, *modes: str) -> None:
        self.broken = set(modes)

    def held(self, mode: str, balances: Sequence[Balance]) -> Decimal:
        if mode in self.broken:
            raise KeyError(mode)
        return Decimal(0)

    def held_by(self, mode: str, balances: Sequence[Balance]) -> Decimal:
        return self.held(mode, balances)

    def owed(self, mode: str, equity: Equity) -> Decimal:
        return Decimal(0)

    def means_more_later(self, mode: str, balances: Sequence[Balance], equity: Equity | CallError) -> bool:
        return False

    def regroup(self) -> None:
        pass


class BrokenObserver(Observer):
    """Raises when it is notified about mode `a`."""

    def checked(self, checked: Checked) -> None:
        if checked.mode == "a":
            raise LookupError(checked.mode)

    def refreshed(self, modes: Sequence[str], now: Any) -> None:
        if "a" in modes:
            raise LookupError(modes)


def make_manager(
    *observers: Observer, source: ScriptedBalances | None = None, clock: HandClock | None = None
) -> ReserveManager:
    """Return a manager of three modes on one source, each with its own account."""
    source = source or ScriptedBalances("treasury", a=110, b=110, c=110)
    manager = ReserveManager(ScriptedEquity(), {"treasury": source}, observers=observers, clock=clock)
    for mode in MODES:
        manager.set_reserve_config(mode, {**BASE, "reserve_balance_sources": [f"treasury/{mode}"]})
    return manager


async def test_others_are_checked_and_it_is_unknown_in_time_when_one_mode_cannot_be_checked() -> None:
    metrics = Metrics(Series(MODES, [0.05], ["treasury", "nav"]))
    source = ScriptedBalances("treasury", a=110, b=110, c=110)
    manager = make_manager(metrics, source=source)
    heard: list[ReserveEvent] = []
    manager.add_reserve_callback(heard.append)
    watching = asyncio.create_task(manager.start_monitoring())
    await until(
        lambda: all(manager.status(mode) is ReserveStatus.ADEQUATE for mode in MODES), "all modes to be adequate"
    )
    manager.holds = holds = BrokenHolds("a")
    for mode in MODES:
        manager.look_again(mode)
    source.amounts.update(a=10, b=70, c=10)
    await until(lambda: {event.strategy_mode for event in heard} == set(MODES), "an event of each mode")
    assert {event.strategy_mode: event.event_type for event in heard} == {
        "a": EventType.UNKNOWN,
        "b": EventType.LOW,
        "c": EventType.CRITICAL,
    }
    (unknown,) = [event for event in heard if event.strategy_mode == "a"]
    assert "a bug aborted the check: KeyError" in unknown.reason
    assert not manager.stuck
    page = metrics.render(metrics.take()).decode()
    (defects,) = [line for line in page.splitlines() if line.startswith("reservd_check_defects_total")]
    assert float(defects.split()[1]) >= 1
    assert 'reservd_reserve_status{mode="a",share_class="USDT",status="unknown"} 1' in page
    holds.broken.clear()
    await until(lambda: manager.status("a") is ReserveStatus.CRITICAL, "the mode to be known again")
    manager.stop_monitoring()
    await watching


async def test_a_mode_alone_is_checked_when_those_that_share_accounts_cannot_be() -> None:
    source = ScriptedBalances("treasury", pool=110, own=10)
    manager = ReserveManager(ScriptedEquity(), {"treasury": source})
    for mode, account in {"a": "pool", "b": "pool", "c": "own"}.items():
        manager.set_reserve_config(mode, {**BASE, "reserve_balance_sources": [f"treasury/{account}"]})
    manager.holds = holds = BrokenHolds("a")
    found = await manager.check_all_reserves()
    assert {mode: each.status for mode, each in found.items()} == {
        "a": ReserveStatus.UNKNOWN,
        "b": ReserveStatus.UNKNOWN,
        "c": ReserveStatus.CRITICAL,
    }
    holds.broken.clear()
    assert (await manager.check_all_reserves())["b"].reserve_balance == 55


async def test_all_others_hear_of_a_shortfall_when_one_observer_cannot_take_it() -> None:
    class Seen(Observer):
        def __init__(self) -> None:
            self.events: list[str] = []

        def checked(self, checked: Checked) -> None:
            self.events += [checked.mode] if checked.step.event is not None else []

    seen = Seen()
    manager = make_manager(BrokenObserver(), seen, source=ScriptedBalances("treasury", a=10, b=10, c=10))
    heard: list[str] = []
    manager.add_reserve_callback(lambda event: heard.append(event.strategy_mode))
    await manager.check_all_reserves()
    await manager.close()
    assert sorted(heard) == sorted(seen.events) == ["a", "b", "c"]


async def test_other_modes_are_checked_when_all_of_one_kind_cannot_be_left_alone() -> None:
    source, other = ScriptedBalances("treasury", a=110, b=110, c=110), ScriptedBalances("other", d=110)
    metrics = Metrics(Series(dict.fromkeys("abcd", "USDT"), [0.05], ["treasury", "other", "nav"]))
    observers = [BrokenObserver(), metrics]
    manager = ReserveManager(ScriptedEquity(), {"treasury": source, "other": other}, observers=observers)
    for mode in ("a", "b", "c"):
        manager.set_reserve_config(mode, {**BASE, "reserve_balance_sources": [f"treasury/{mode}"]})
    manager.set_reserve_config("d", {**BASE, "reserve_balance_sources": ["other/d"]})
    await manager.check_all_reserves()
    other.amounts["d"] = 10
    found = await manager.check_all_reserves()
    assert {mode: each.status for mode, each in found.items()} == {
        **dict.fromkeys("abc", ReserveStatus.UNKNOWN),
        "d": ReserveStatus.CRITICAL,
    }
    # Three modes in the second check, and mode a in both checks because of the observer.
    assert "reservd_check_defects_total 5.0" in metrics.render(metrics.take()).decode()


async def test_defect_that_ends_the_check_of_all_modes_of_a_kind_is_logged_from_time_to_time_while_it_lasts() -> None:
    class Blind(Observer):
        def refreshed(self, modes: Sequence[str], now: Any) -> None:
            raise LookupError(modes)

    clock, metrics = HandClock(), Metrics(Series(MODES, [0.05], ["treasury", "nav"]))
    manager = make_manager(Blind(), metrics, clock=clock)
    with capture_logs() as logs:
        for seconds in (1, 1, 1, 1, 300, 1):
            await manager.check_all_reserves()
            clock.advance(seconds)
    told = [line["modes"] for line in logs if line["event"] == "check.failed"]
    assert told == [["a", "b", "c"], ["a", "b", "c"]]
    # After a failed refresh a mode is checked in full in the next cycle, so only every second cycle fails.
    assert "reservd_check_defects_total 9.0" in metrics.render(metrics.take()).decode()


@pytest.mark.parametrize("kind", [RuntimeError, StoreError, OwnershipLostError])
async def test_only_what_the_store_says_ends_a_cycle_when_an_event_cannot_be_announced(kind: type[Exception]) -> None:
    error = kind("no")

    class Announces(ReserveManager):
        async def trigger_reserve_event(self, event: ReserveEvent) -> None:
            if event.strategy_mode == "a":
                raise error

    source = ScriptedBalances("treasury", a=10, b=10, c=10)
    manager = Announces(ScriptedEquity(), {"treasury": source})
    for mode in MODES:
        manager.set_reserve_config(mode, {**BASE, "reserve_balance_sources": [f"treasury/{mode}"]})
    if kind is RuntimeError:
        assert set(await manager.check_all_reserves()) == set(MODES)
    else:
        with pytest.raises(ExceptionGroup) as raised:
            await manager.check_all_reserves()
        assert raised.value.exceptions == (error,)


async def test_sinks_hear_of_events_and_are_told_how_things_stand_when_that_cannot_be_found_out_at_first(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Board(ScriptedSink):
        told: Sequence[CloudEvent] | None = None

        async def resume(self, latest: Sequence[CloudEvent]) -> None:
            self.told = latest

    board, ops = Board("board"), ScriptedSink("ops")
    async with Office(database, board, ops) as office:
        await office.look(m="low")
        await until(lambda: len(board.taken) == len(ops.taken) == 1, "the alarms")
    load, tries = Outbox.load_latest, 0

    async def load_latest(self: Outbox, sink: str, at: datetime) -> list[ReserveEvent]:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise LookupError(sink)
        return await load(self, sink, at)

    monkeypatch.setattr(Outbox, "load_latest", load_latest)
    async with Office(database, board, ops, begin="low") as office:
        await until(lambda: board.told, "the current state to be handed to the sink")
        await office.look(m="critical")
        await until(lambda: len(board.taken) == len(ops.taken) == 2, "the next alarms")
        assert office.task is not None
        assert not office.task.done()


async def test_sinks_hear_of_an_event_that_a_defect_keeps_out_of_the_store_and_it_is_stored_once_that_is_gone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, flawed = Batch.write, True

    async def flawed_write(self: Batch, connection: AsyncConnection) -> None:
        if flawed and self.events:
            raise LookupError("what must not be told")
        await write(self, connection)

    monkeypatch.setattr(Batch, "write", flawed_write)
    ops = ScriptedSink("ops")
    async with Office(database, ops) as office:
        with capture_logs() as logs:
            await office.look(m="low")
            await until(lambda: len(ops.taken) == 1, "the alarm")
            assert not office.pipeline.may_act, "no refill is requested"
            await until(lambda: office.heard.store_up is False, "the store to be reported as down")
            flawed = False
            await until(lambda: office.heard.store_up and not office.heard.unwritten, "the event to be stored")
        assert office.task is not None
        assert not office.task.done()
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["journal.broke", "store.failed"]
    assert "what must not be told" not in str([line for line in logs if line["event"] == "store.failed"])
    async with Office(database, ops, begin="low") as office:
        await office.look(m="adequate")
        await until(lambda: len(ops.taken) == 2, "the recovery")
    low, adequate = (event.data for event in ops.taken)
    assert (low.incident_id, low.sequence + 1) == (adequate.incident_id, adequate.sequence)


async def test_events_are_handed_on_at_the_end_though_a_defect_keeps_them_out_of_the_store(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ops = ScriptedSink("ops")
    async with Office(database, ops) as office:
        monkeypatch.setattr(Batch, "write", broken_write)
        await office.look(m="low")
    assert len(ops.taken) == 1


FLAWED = """
import asyncio, sys, threading
from pathlib import Path

from reservd.cli.main import main
from reservd.service.withdrawals.journal import HoldJournal


async def run(journal):
    while not Path(FLAG).exists():
        await asyncio.sleep(0.05)
    threading.Thread(target=threading.Event().wait).start()
    raise LookupError("on purpose")


HoldJournal.run = run
main()
"""
"""The command line with a defect in a permanent task, and with a thread that keeps the interpreter from ending."""


def test_daemon_ends_for_systemd_to_restart_and_says_why_when_a_defect_ends_what_it_does_all_the_time(
    tmp_path: Path,
) -> None:
    """The daemon exits with code 1 and logs the reason. No event is lost, none is sent twice."""
    flag, store = tmp_path / "flag", f"sqlite:///{tmp_path}/store.db"
    flawed = Path(python(tmp_path, FLAWED.replace("FLAG", repr(str(flag)))))
    with World("alpha") as world:
        config = world.write_config(tmp_path, store)
        with ReservdProcess(config, program=flawed) as daemon:
            world.answer = Answer(status=503)
            world.set("alpha", "low")
            wait_until(lambda: world.tries, "a first attempt to send the alarm")
            flag.touch()
            assert daemon.wait() == 1
            (told,) = [line for line in daemon.log().splitlines() if "daemon.failed" in line]
        assert "LookupError: on purpose\nthis ended what reservd does for withdrawals" in json.loads(told)["exception"]
        world.answer = Answer()
        with ReservdProcess(config):
            wait_until(lambda: world.kinds("alpha") == ["low"], "the alarm")
            world.set("alpha", "adequate")
            wait_until(lambda: world.kinds("alpha") == ["low", "adequate"], "the recovery")
        assert len({event["data"]["incident_id"] for event in world.events}) == 1
        check_story(world, store)


async def test_withdrawals_are_decided_again_after_a_defect_in_storing_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, tries = hold_journal.save_holds, 0

    async def save_holds(connection: AsyncConnection, holds: Sequence[Hold]) -> None:
        nonlocal tries
        tries += bool(holds)
        if holds and tries == 1:
            raise LookupError("what must not be told")
        await save(connection, holds)

    monkeypatch.setattr(hold_journal, "save_holds", save_holds)
    async with Bank(110, database) as bank:
        assert (await bank.ask(20, "k")).hold is None
        assert bank.journal is not None
        journal = bank.journal
        await until(lambda: journal.up, "the holds to be loaded again")
        assert (await bank.ask(20, "k")).hold is not None
        assert bank.task is not None
        assert not bank.task.done()


@pytest.mark.parametrize("kind", [LookupError, ReplenishmentStateError])
async def test_deadlines_of_refills_are_looked_at_again_after_a_defect(
    database: Database, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        raise kind("what must not be told")

    async with Refinery(database) as shop:
        monkeypatch.setattr(shop.service, "look", look)
        running = asyncio.create_task(shop.service.run())
        await until(lambda: looks > 1, "the next check of the deadlines")
        assert not running.done()
        running.cancel()


async def broken_write(*_: object) -> None:
    raise LookupError("on purpose")


def broken(*_: object) -> None:
    raise LookupError("on purpose")


async def test_cycles_come_to_their_end_when_it_cannot_be_told_how_long_reserves_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manager = make_manager()
    monkeypatch.setattr(manager._runways, "slide", broken)
    watching = asyncio.create_task(manager.start_monitoring())
    await until(lambda: manager.ready, "the first cycle")
    assert not manager.stuck
    manager.stop_monitoring()
    await watching


async def test_sinks_hear_of_an_event_when_whoever_looks_on_cannot_take_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ops = ScriptedSink("ops")
    async with Office(database, ops) as office:
        monkeypatch.setattr(office.heard, "announced", broken)
        await office.look(m="low")
        await until(lambda: ops.taken, "the alarm")
        assert office.task is not None
        assert not office.task.done()
