"""The store and a receiver are down together, for longer than memory can hold: only reminders are dropped."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from support.nursery import Nursery
from support.polling import wait_until
from support.postgres import Postgres
from support.scrape import sample
from support.world import Answer, World

MODES = ("a", "b", "c", "d")
STORY = ["low", "critical", "low", "critical", "adequate"]
HELD = 60
"""The number of events that memory holds here; 100,000 in production."""
REMINDED = {"reserve_event_repeat_interval": 0.05}
"""A reminder with every check."""


@pytest.fixture
def world() -> Iterator[World]:
    with World(*MODES) as running:
        yield running


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A PostgreSQL of the test's own, which it may stop."""
    with Postgres() as running:
        yield running


def bring_all(world: World, address: str, status: str) -> None:
    """Bring every mode to a status, and wait until it is confirmed."""
    for mode in MODES:
        world.set(mode, status)
    for mode in MODES:
        labels = {"mode": mode, "share_class": "USDT", "status": status}
        wait_until(lambda labels=labels: sample(address, "reservd_reserve_status", **labels) == 1, f"{mode}: {status}")


def dropped(address: str) -> float:
    return sample(address, "reservd_store_dropped_total", kind="events") or 0


def ended(address: str) -> float:
    """Return how many deliveries to the receiver have ended."""
    name = "reservd_deliveries_ended_total"
    return sum(sample(address, name, sink="ops", state=state) or 0 for state in ("delivered", "superseded"))


@pytest.mark.parametrize("first", ["receiver", "store"])
def test_only_reminders_are_let_go_of_when_store_and_receiver_are_gone_for_long(
    first: str, world: World, nursery: Nursery, server: Postgres, tmp_path: Path
) -> None:
    """Low is sent, then both go down.

    All later changes are delivered once they are back; dropped reminders are counted.
    """
    url = make_url(server.url("store")).set(drivername="postgresql").render_as_string(hide_password=False)
    nursery.start(world.write_config(tmp_path, url, interval=0.05, defaults=REMINDED), holds=HELD)
    address = nursery.address()
    wait_until(lambda: sample(address, "reservd_store_up") == 1, "the store to be up")
    bring_all(world, address, "low")
    wait_until(lambda: all(world.kinds(mode) == ["low"] for mode in MODES), "the low events")

    server.stop()
    wait_until(lambda: sample(address, "reservd_store_up") == 0, "the store to be down")
    world.answer = Answer(503)
    tries = world.tries
    wait_until(lambda: world.tries > tries + len(MODES), "the receiver to refuse events")
    heard = len(world.events)
    wait_until(lambda: ended(address) >= heard, "the delivered events to be counted")
    ended_before = ended(address)
    for status in STORY[1:-1]:
        before = dropped(address)
        bring_all(world, address, status)
        wait_until(lambda before=before: dropped(address) > before + HELD, "more dropped reminders than memory holds")
        assert (sample(address, "reservd_store_unwritten_events") or 0) <= HELD
    bring_all(world, address, STORY[-1])  # an adequate mode has no reminders
    assert len(world.events) == heard

    def let_receiver_return() -> None:
        world.answer = Answer()
        wait_until(lambda: all(world.kinds(mode) == STORY for mode in MODES), "all changes to be received")

    def let_store_return() -> None:
        server.start()
        wait_until(lambda: sample(address, "reservd_store_up") == 1, "the store to be up again")

    returns = [let_receiver_return, let_store_return]
    for let_return in returns if first == "receiver" else reversed(returns):
        let_return()

    pending = "SELECT 1 FROM deliveries WHERE state = 'pending'"
    recovered = "SELECT 1 FROM events WHERE type = 'reserve_adequate'"
    wait_until(
        lambda: len(server.query("store", recovered)) == len(MODES) and not server.query("store", pending),
        "all events and their deliveries to be written",
    )
    last = {event["subject"]: event["data"]["sequence"] for event in world.events}
    written = len(server.query("store", "SELECT 1 FROM events"))
    wait_until(
        lambda: written + dropped(address) == sum(last.values()), "all events to be written or counted as dropped"
    )
    assert ended(address) - ended_before <= HELD + 2 * len(MODES), "the receiver's queue held no more than memory does"
    stored = server.query("store", "SELECT id, mode, type FROM events WHERE NOT reminder ORDER BY position")
    assert Counter(kind for _, _, kind in stored) == Counter(f"reserve_{kind}" for kind in STORY for _ in MODES)
    for mode in MODES:
        mine = [event for event in world.events if event["subject"] == mode]
        sequences = [event["data"]["sequence"] for event in mine]
        assert sequences == sorted(set(sequences)), "in order, without repetition"
        changes = [event["id"] for event in mine if not event["data"]["reminder"]]
        assert changes == [found for found, of, _ in stored if of == mode], "under the stored ids"
        assert len({event["data"]["incident_id"] for event in mine}) == 1
