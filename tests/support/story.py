"""Balances that change all the time, and what must hold for all events, whatever happened to the daemon."""

import json
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from support.polling import wait_until
from support.world import World

WAY = ("low", "critical", "low", "adequate")


def rows(store_url: str, statement: str) -> Sequence[Any]:
    """Return what a statement finds in a store, on SQLite or PostgreSQL."""
    url = make_url(store_url)
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        return connection.execute(text(statement)).all()


def check_story(world: World, store_url: str) -> None:
    """Check that every decided event has arrived, in order, under one id each."""
    stored = "SELECT id, mode, sequence, type, reminder, event FROM events ORDER BY position"
    events = rows(store_url, stored)
    states = dict(rows(store_url, "SELECT mode, state FROM mode_states"))
    ended = {state for (state,) in rows(store_url, "SELECT DISTINCT state FROM deliveries")}
    heard = [event["id"] for event in world.events]
    assert ended <= {"delivered", "superseded"}, ended
    missing = [event for event in events if event[0] not in heard and not event[4]]
    assert not missing, f"decided and never received: {missing}"
    assert set(heard) <= {event[0] for event in events}, "received but not stored"
    for mode in world.amounts:
        firsts = list(dict.fromkeys(event["id"] for event in world.events if event["subject"] == mode))
        by_id = {event["id"]: event["data"] for event in world.events}
        sequences = [by_id[each]["sequence"] for each in firsts]
        assert sequences == sorted(set(sequences)), f"out of order or repeated: {sequences}"
        check_incidents([json.loads(event[5]) for event in events if event[1] == mode])
        # The state of a mode without events may not be stored yet.
        kept = json.loads(states[mode])["sequence"] if mode in states else 0
        assert kept == max(sequences, default=0)


def check_incidents(events: list[dict[str, object]]) -> None:
    """Check that each incident opens before it closes, and that no two changes in a row have the same status."""
    open_incident: object = None
    status: object = None
    for number, event in enumerate(events, start=1):
        assert event["sequence"] == number
        # The first adequate of a mode is no event.
        assert event["previous_status"] == status or (number == 1 and event["previous_status"] == "adequate"), event
        if event["reminder"]:
            assert event["status"] == status
            continue
        assert event["status"] != status, event
        if event["status"] in {"low", "critical"}:
            assert open_incident in {None, event["incident_id"]}
            open_incident = event["incident_id"]
        elif event["status"] == "adequate":
            assert event["incident_id"] == open_incident
            open_incident = None
        status = event["status"]


@contextmanager
def restless(world: World, rng: random.Random) -> Iterator[None]:
    """Change balances all the time."""
    stop = threading.Event()

    def move() -> None:
        at = dict.fromkeys(world.amounts, 0)
        while not stop.wait(0.03):
            mode = rng.choice(list(at))
            at[mode] += 1
            world.set(mode, WAY[at[mode] % len(WAY)])

    mover = threading.Thread(target=move, daemon=True)
    mover.start()
    try:
        yield
    finally:
        stop.set()
        mover.join()


def settle(world: World, store_url: str) -> None:
    """Wait until a running daemon has sent all that is pending, with every mode adequate."""
    for mode in world.amounts:
        world.set(mode, "adequate")
    # A reading from before these changes may not have been evaluated yet: from the second reading on all is current.
    # Each check reads twice, balances and equity.
    before = world.asked
    wait_until(lambda: world.asked > before + 4, "checks after the changes")

    confirmed: dict[str, object] = {}
    waiting: Sequence[Any] = ()

    def is_quiet() -> bool:
        nonlocal waiting
        stored = rows(store_url, "SELECT mode, state FROM mode_states")
        confirmed.update({mode: json.loads(state)["confirmed"] for mode, state in stored})
        # Queried after the states: the last recovery is stored together with its state.
        waiting = rows(store_url, "SELECT sink, position, attempts FROM deliveries WHERE state = 'pending' LIMIT 9")
        # The state of a mode that never had an event may be the one from before its first check.
        return not waiting and set(confirmed.values()) <= {"adequate", None}

    try:
        wait_until(is_quiet, "all to be adequate, without pending deliveries", timeout_seconds=60)
    except TimeoutError:
        raise AssertionError(f"no rest: confirmed {confirmed}, waiting {waiting}") from None
