"""A world that never rests, and what must be true of all that was said of it, whatever befell the daemon."""

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
    """Check what was promised: all that was decided has come, in order, and each thing under one id."""
    stored = "SELECT id, mode, sequence, type, reminder, event FROM events ORDER BY position"
    events = rows(store_url, stored)
    states = dict(rows(store_url, "SELECT mode, state FROM mode_states"))
    ended = {state for (state,) in rows(store_url, "SELECT DISTINCT state FROM deliveries")}
    heard = [event["id"] for event in world.events]
    assert ended <= {"delivered", "superseded"}, ended
    missing = [event for event in events if event[0] not in heard and not event[4]]
    assert not missing, f"decided and never heard: {missing}"
    assert set(heard) <= {event[0] for event in events}, "heard and not stored"
    for mode in world.amounts:
        firsts = list(dict.fromkeys(event["id"] for event in world.events if event["subject"] == mode))
        by_id = {event["id"]: event["data"] for event in world.events}
        sequences = [by_id[each]["sequence"] for each in firsts]
        assert sequences == sorted(set(sequences)), f"out of order or twice: {sequences}"
        check_incidents([json.loads(event[5]) for event in events if event[1] == mode])
        # What nothing was said of need not be kept yet.
        kept = json.loads(states[mode])["sequence"] if mode in states else 0
        assert kept == max(sequences, default=0)


def check_incidents(events: list[dict[str, object]]) -> None:
    """Check that each incident opens before it closes, and that no status is said twice in a row as new."""
    open_incident: object = None
    status: object = None
    for number, event in enumerate(events, start=1):
        assert event["sequence"] == number
        # That a mode is well at first is not said.
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
    """Let balances move all the time."""
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
    """Let a running daemon come to rest with every mode well."""
    for mode in world.amounts:
        world.set(mode, "adequate")
    # What was told before and is not decided on yet would come after the rest: the second look from now on is of now.
    # A look asks twice, for balances and for equity.
    before = world.asked
    wait_until(lambda: world.asked > before + 4, "a look at them")

    confirmed: dict[str, object] = {}
    waiting: Sequence[Any] = ()

    def is_quiet() -> bool:
        nonlocal waiting
        stored = rows(store_url, "SELECT mode, state FROM mode_states")
        confirmed.update({mode: json.loads(state)["confirmed"] for mode, state in stored})
        # Looked at afterwards: the last recovery is stored with its state.
        waiting = rows(store_url, "SELECT sink, position, attempts FROM deliveries WHERE state = 'pending' LIMIT 9")
        # A mode of which nothing was ever to be said may be stored as it was before its first check.
        return not waiting and set(confirmed.values()) <= {"adequate", None}

    try:
        wait_until(is_quiet, "rest", timeout_seconds=60)
    except TimeoutError:
        raise AssertionError(f"no rest: confirmed {confirmed}, waiting {waiting}") from None
