"""The daemon is killed again and again, at any moment: no event is lost, none is sent under two ids."""

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
"""Seconds until a daemon takes PostgreSQL over from a killed one. Short, because no two daemons run here at once."""


def come_to_rest(world: World, nursery: Nursery, config: Path, store_url: str) -> None:
    """Run a daemon without killing it until it has sent all that is pending."""
    daemon = nursery.start(config, take_over_after=IMPATIENCE)
    settle(world, store_url)
    nursery.signal(daemon, signal.SIGTERM)


@pytest.mark.timeout(300 + 2 * KILLS)
def test_nothing_is_lost_when_the_daemon_is_killed_at_random(tmp_path: Path, nursery: Nursery, store_url: str) -> None:
    """Killed RESERVD_KILLS times, each time some tenths of a second after its start, or after its first event."""
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
                if rng.random() < 0.5:  # so that half of them send events, however slow the machine is
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
