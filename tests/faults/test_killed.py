"""The daemon is killed, again and again, at any moment: nothing is lost, nothing is said twice under two ids."""

import json
import os
import random
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from support.nursery import STEPS, Nursery
from support.polling import wait_until
from support.world import World

KILLS = int(os.environ.get("RESERVD_KILLS", "30"))
MODES = ("a", "b", "c", "d")
WAY = ("low", "critical", "low", "adequate")


def check_story(world: World, store: Path) -> None:
    """Check what was promised: all that was decided has come, in order, and each thing under one id."""
    with closing(sqlite3.connect(store)) as connection:
        stored = connection.execute("SELECT id, mode, sequence, type, reminder, event FROM events ORDER BY position")
        events = stored.fetchall()
        states = dict(connection.execute("SELECT mode, state FROM mode_states").fetchall())
        ended = dict(connection.execute("SELECT state, count(*) FROM deliveries GROUP BY state").fetchall())
    heard = [event["id"] for event in world.events]
    assert set(ended) <= {"delivered", "superseded"}
    missing = [event for event in events if event[0] not in heard and not event[4]]
    assert not missing, f"decided and never heard: {missing}"
    assert set(heard) <= {event[0] for event in events}, "heard and not stored"
    for mode in world.amounts:
        firsts = list(dict.fromkeys(event["id"] for event in world.events if event["subject"] == mode))
        by_id = {event["id"]: event["data"] for event in world.events}
        sequences = [by_id[each]["sequence"] for each in firsts]
        assert sequences == sorted(set(sequences)), f"out of order or twice: {sequences}"
        check_incidents([json.loads(event[5]) for event in events if event[1] == mode])
        assert json.loads(states[mode])["sequence"] == max(sequences, default=0)


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


def settle(world: World, nursery: Nursery, config: Path) -> None:
    """Let a daemon that is not killed come to rest with every mode well."""
    for mode in world.amounts:
        world.set(mode, "adequate")
    daemon = nursery.start(config)

    def is_quiet() -> bool:
        with closing(sqlite3.connect(config.parent / "reservd.db")) as connection:
            waiting = connection.execute("SELECT count(*) FROM deliveries WHERE state = 'pending'").fetchone()[0]
            states = connection.execute("SELECT state FROM mode_states").fetchall()
        confirmed = {json.loads(state)["confirmed"] for (state,) in states}
        return not waiting and confirmed == {"adequate"}

    wait_until(is_quiet, "rest", timeout_seconds=60)
    nursery.signal(daemon, signal.SIGTERM)


@pytest.mark.timeout(60 + KILLS)
def test_nothing_is_lost_when_the_daemon_is_killed_at_random(tmp_path: Path, nursery: Nursery) -> None:
    """Killed as often as RESERVD_KILLS says: some tenths of a second after each start, or after its first word."""
    seed = random.randrange(10**6)
    print(f"seed {seed}, {KILLS} kills")
    rng = random.Random(seed)
    with World(*MODES) as world:
        config = world.write_config(tmp_path, interval=0.05, defaults={"reserve_event_repeat_interval": 1})
        with restless(world, rng):
            for _ in range(KILLS):
                heard = len(world.events)
                daemon = nursery.start(config)
                if rng.random() < 0.5:  # however slow the machine is, half of them come to speak
                    wait_until(lambda heard=heard: len(world.events) > heard, "an event")
                threading.Event().wait(rng.uniform(0.0, 0.5))
                nursery.signal(daemon, signal.SIGKILL)
        settle(world, nursery, config)
        check_story(world, tmp_path / "reservd.db")


@pytest.mark.parametrize("step", STEPS)
def test_nothing_is_lost_when_the_daemon_is_killed_at_each_step(step: str, tmp_path: Path, nursery: Nursery) -> None:
    with World(*MODES) as world:
        config = world.write_config(tmp_path, interval=0.05)
        with restless(world, random.Random(1)):
            for nth in (1, 2, 5):
                daemon = nursery.start(config, step, nth)
                nursery.wait(daemon)
        settle(world, nursery, config)
        check_story(world, tmp_path / "reservd.db")
