"""The daemon is killed, again and again, at any moment: nothing is lost, nothing is said twice under two ids."""

import os
import random
import signal
import threading
from pathlib import Path

import pytest

from support.nursery import STEPS, Nursery
from support.polling import wait_until
from support.story import check_story, restless, settle
from support.world import World

KILLS = int(os.environ.get("RESERVD_KILLS", "30"))
MODES = ("a", "b", "c", "d")
IMPATIENCE = 0.5
"""Seconds after which a daemon takes PostgreSQL over from one that was killed: there is never a second one here."""


def come_to_rest(world: World, nursery: Nursery, config: Path, store_url: str) -> None:
    """Let a daemon that is not killed say what is left to say."""
    daemon = nursery.start(config, take_over_after=IMPATIENCE)
    settle(world, store_url)
    nursery.signal(daemon, signal.SIGTERM)


@pytest.mark.timeout(60 + 2 * KILLS)
def test_nothing_is_lost_when_the_daemon_is_killed_at_random(tmp_path: Path, nursery: Nursery, store_url: str) -> None:
    """Killed as often as RESERVD_KILLS says: some tenths of a second after each start, or after its first word."""
    seed = random.randrange(10**6)
    kills = KILLS if store_url.startswith("sqlite") else KILLS // 3
    print(f"seed {seed}, {kills} kills")
    rng = random.Random(seed)
    with World(*MODES) as world:
        config = world.write_config(tmp_path, store_url, interval=0.05, defaults={"reserve_event_repeat_interval": 1})
        with restless(world, rng):
            for _ in range(kills):
                heard = len(world.events)
                daemon = nursery.start(config, take_over_after=IMPATIENCE)
                if rng.random() < 0.5:  # however slow the machine is, half of them come to speak
                    wait_until(lambda heard=heard: len(world.events) > heard, "an event")
                threading.Event().wait(rng.uniform(0.0, 0.5))
                nursery.signal(daemon, signal.SIGKILL)
        come_to_rest(world, nursery, config, store_url)
        check_story(world, store_url)


@pytest.mark.parametrize("step", STEPS)
def test_nothing_is_lost_when_the_daemon_is_killed_at_each_step(
    step: str, tmp_path: Path, nursery: Nursery, store_url: str
) -> None:
    with World(*MODES) as world:
        config = world.write_config(tmp_path, store_url, interval=0.05)
        with restless(world, random.Random(1)):
            for nth in (1, 2, 5):
                daemon = nursery.start(config, step, nth, take_over_after=IMPATIENCE)
                nursery.wait(daemon)
        come_to_rest(world, nursery, config, store_url)
        check_story(world, store_url)
