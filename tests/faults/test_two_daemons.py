"""Two daemons on one store: one is active, one stands by. Whatever happens to the first, no event is sent twice."""

import asyncio
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from reservd.app import Daemon
from reservd.config.load import Config, load_config
from support.nursery import Nursery
from support.polling import until, wait_until
from support.postgres import Postgres
from support.scrape import page, sample, samples
from support.world import Answer, World

PROMISED_SECONDS = 15
"""The time within which a standby takes over; tests/unit/store/test_ownership.py tests it more exactly."""
SLACK_SECONDS = 10
"""Additional seconds for an overloaded machine."""


@pytest.fixture
def world() -> Iterator[World]:
    with World("m") as running:
        yield running


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A PostgreSQL of the test's own, which it may stop."""
    with Postgres() as running:
        yield running


def url_of(server: Postgres) -> str:
    return make_url(server.url("store")).set(drivername="postgresql").render_as_string(hide_password=False)


def file_of(store_url: str) -> Path | None:
    """Return the file of a store on SQLite."""
    url = make_url(store_url)
    return Path(url.database) if url.drivername == "sqlite" and url.database else None


def owns(address: str) -> bool:
    return sample(address, "reservd_owner") == 1


def hears(world: World, *kinds: str) -> None:
    wait_until(lambda: len(world.kinds("m")) >= len(kinds), f"{kinds}, got {world.kinds('m')}")
    assert world.kinds("m") == list(kinds)


def start_two(
    world: World, nursery: Nursery, folder: Path, store_url: str, stopped_at: str = ""
) -> tuple[int, str, str]:
    """Return the owner, which stops at `stopped_at` if given, its address and the standby's address."""
    config = world.write_config(folder, store_url)
    first = nursery.start(config, stopped_at, by=signal.SIGSTOP)
    owner = nursery.address(1)
    wait_until(lambda: owns(owner), "the first to own the store")
    nursery.start(config)
    standby = nursery.address(2)
    wait_until(lambda: "ownership.waiting" in nursery.log(), "the second to stand by")
    return first, owner, standby


def test_standby_says_so_and_tells_of_no_reserve(
    world: World, nursery: Nursery, tmp_path: Path, store_url: str
) -> None:
    _, owner, standby = start_two(world, nursery, tmp_path, store_url)
    status, text = page(standby, "/-/ready")
    assert (status, "stands by" in text) == (200, True)
    assert sample(standby, "reservd_owner") == 0
    assert samples(standby, "reservd_reserve_balance") == {}
    wait_until(lambda: samples(owner, "reservd_reserve_balance") != {}, "the first to tell its reserve")
    assert sample(standby, "reservd_fetches_total", source="treasury") == 0


def test_standby_takes_over_at_once_when_the_owner_stops(
    world: World, nursery: Nursery, tmp_path: Path, store_url: str
) -> None:
    first, _, standby = start_two(world, nursery, tmp_path, store_url)
    world.set("m", "low")
    hears(world, "low")
    nursery.signal(first, signal.SIGTERM)
    wait_until(lambda: owns(standby), "the second to own the store")
    assert "given up" in nursery.log()
    world.set("m", "adequate")
    hears(world, "low", "adequate")


def test_standby_goes_on_with_the_incident_when_the_owner_is_killed(
    world: World, nursery: Nursery, tmp_path: Path, store_url: str
) -> None:
    """On SQLite its lock is released at once; on PostgreSQL its heartbeat must be missing for twelve seconds."""
    first, _, standby = start_two(world, nursery, tmp_path, store_url)
    world.set("m", "low")
    hears(world, "low")
    died_at = datetime.now(UTC)
    nursery.signal(first, signal.SIGKILL)
    world.set("m", "critical")
    wait_until(lambda: owns(standby), "the second to own the store", timeout_seconds=60)
    taken_at = datetime.fromisoformat(nursery.logged("ownership.taken")[-1]["timestamp"])
    assert (taken_at - died_at).total_seconds() <= PROMISED_SECONDS + SLACK_SECONDS
    hears(world, "low", "critical")
    assert world.events[0]["data"]["incident_id"] == world.events[1]["data"]["incident_id"]


def test_owner_that_was_stopped_for_long_stands_by_when_it_goes_on(
    world: World, nursery: Nursery, tmp_path: Path, store_url: str
) -> None:
    """As when its machine is suspended: it notices that it lost the store before it sends anything."""
    first, owner, standby = start_two(world, nursery, tmp_path, store_url)
    world.set("m", "low")
    hears(world, "low")
    nursery.suspend(first, file_of(store_url))
    wait_until(lambda: owns(standby), "the second to own the store")
    world.set("m", "critical")
    hears(world, "low", "critical")
    nursery.signal(first, signal.SIGCONT)
    wait_until(lambda: "stands by" in page(owner, "/-/ready")[1], "the first to stand by")
    world.set("m", "adequate")
    hears(world, "low", "critical", "adequate")
    # A delivery that was not recorded before the stop may be repeated, under the same id.
    assert sorted({int(event["sequence"]) for event in world.events}) == [1, 2, 3]
    assert len({event["id"] for event in world.events}) == 3


def test_owner_that_was_stopped_in_the_middle_of_a_write_says_nothing_of_it(
    world: World, nursery: Nursery, server: Postgres, tmp_path: Path
) -> None:
    """PostgreSQL has aborted its transaction. The other daemon has sent what it failed to write."""
    first, owner, standby = start_two(world, nursery, tmp_path, url_of(server), stopped_at="store")
    world.set("m", "low")
    wait_until(lambda: nursery.is_stopped(first), "the first to stop itself")
    hears(world, "low")
    wait_until(lambda: owns(standby), "the second to say that it owns the store")
    nursery.signal(first, signal.SIGCONT)
    wait_until(lambda: "stands by" in page(owner, "/-/ready")[1], "the first to stand by")
    world.set("m", "adequate")
    hears(world, "low", "adequate")
    assert [int(event["sequence"]) for event in world.events] == [1, 2]


def test_owner_that_was_stopped_says_nothing_when_its_connections_have_died(
    world: World, nursery: Nursery, server: Postgres, tmp_path: Path
) -> None:
    """As when a firewall drops them. Failing writes must not be taken for a store that is down."""
    first, owner, standby = start_two(world, nursery, tmp_path, url_of(server))
    world.set("m", "low")
    hears(world, "low")
    wait_until(
        lambda: server.query("store", "SELECT 1 FROM deliveries WHERE state = 'delivered'"),
        "the delivery to be recorded",
    )
    connections = server.query("store", "SELECT pid FROM pg_stat_activity WHERE application_name = 'reservd'")
    nursery.signal(first, signal.SIGSTOP)
    wait_until(lambda: owns(standby), "the second to own the store")
    world.set("m", "critical")
    hears(world, "low", "critical")
    for (connection,) in connections:
        server.query("store", "SELECT pg_terminate_backend(%(pid)s)", {"pid": connection})
    nursery.signal(first, signal.SIGCONT)
    wait_until(lambda: "stands by" in page(owner, "/-/ready")[1], "the first to stand by")
    world.set("m", "adequate")
    hears(world, "low", "critical", "adequate")
    assert [int(event["sequence"]) for event in world.events] == [1, 2, 3]


def test_one_of_two_daemons_stands_by_when_the_store_that_they_began_without_is_there(
    world: World, nursery: Nursery, server: Postgres, tmp_path: Path
) -> None:
    """Both raise alarms while the store is down. Once it is up, one owns it, and only that one sends events."""
    config = world.write_config(tmp_path, url_of(server))
    server.stop()
    for _ in range(2):
        nursery.start(config)
    addresses = [nursery.address(1), nursery.address(2)]
    for address in addresses:
        wait_until(lambda address=address: owns(address), "both to be active", timeout_seconds=60)
        assert sample(address, "reservd_store_up") == 0
    server.start()
    wait_until(
        lambda: (
            sorted(page(address, "/-/ready")[0:2] for address in addresses)
            == [
                (200, "reservd is ready and owns the store\n"),
                (200, "reservd stands by: another daemon owns the store\n"),
            ]
        ),
        "one to own the store and one to stand by",
        timeout_seconds=60,
    )
    wait_until(lambda: sorted(owns(address) for address in addresses) == [False, True], "the metrics to say so")
    world.set("m", "low")
    hears(world, "low")
    world.set("m", "adequate")
    hears(world, "low", "adequate")
    assert len(world.events) == 2


async def test_daemon_stands_by_when_another_one_took_the_store_while_a_reload_ended_its_work(
    world: World, server: Postgres, tmp_path: Path
) -> None:
    """It may stand by for hours, so it must not continue from its own memory."""
    file = world.write_config(tmp_path, url_of(server))

    def load() -> Config:
        server.execute("store", "UPDATE owner SET epoch = epoch + 1, holder = 'another'")
        return load_config(file)

    daemon = Daemon(load_config(file), ["127.0.0.1:0"], load=load)
    running = asyncio.create_task(daemon.run())
    await until(lambda: daemon.readiness.ready, "the first cycle")
    world.answer = Answer(delay_seconds=0.3)
    world.set("m", "low")
    await until(lambda: world.tries == 1, "the alarm to be on its way")
    reloading = asyncio.create_task(daemon.reload())
    await until(lambda: not daemon._ownership.epoch, "the duty to end without writing")
    address = daemon.addresses[0]
    await asyncio.to_thread(wait_until, lambda: not samples(address, "reservd_reserve_balance"), "no page of its own")
    assert not daemon.readiness.ready
    assert daemon._supervisor._next is None, "the duty that the reload made is discarded"
    await reloading
    daemon.stop()
    await running
