"""Receivers that are down, slow, broken or reject events: they get what they missed, in order; gauges stay current."""

import os
import signal
import threading
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest
import yaml

from support.nursery import Nursery
from support.polling import wait_until
from support.scrape import sample
from support.world import REFILL_CHANGED, Answer, World

DOWN_SECONDS = float(os.environ.get("RESERVD_DOWN_SECONDS", "4"))
STORY = ["low", "critical", "low", "adequate"]


@pytest.fixture
def world() -> Iterator[World]:
    with World("m", "n") as running:
        yield running


def tell(world: World, address: str, *statuses: str) -> None:
    """Bring mode `m` to each status in turn, once the one before is confirmed."""
    for status in statuses:
        world.set("m", status)
        wait_until(
            lambda status=status: (
                sample(address, "reservd_reserve_status", mode="m", share_class="USDT", status=status) == 1
            ),
            f"m to be {status}",
        )


def told_of_refills(world: World, mode: str) -> set[str]:
    """Return the states of requests for refills that the receiver was told of."""
    return {
        event["data"]["state"] for event in world.events if event["type"] == REFILL_CHANGED and event["subject"] == mode
    }


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500),
        Answer(503, {"Retry-After": "1"}),
        Answer(429, {"Retry-After": "1"}),
        Answer(408),
        Answer(hang_up=True),
        Answer(delay_seconds=1.5),
    ],
    ids=["500", "503", "429", "408", "hangs up in the middle", "is too slow"],
)
def test_nothing_is_missed_when_a_receiver_fails_for_a_while(
    answer: Answer, world: World, nursery: Nursery, tmp_path: Path
) -> None:
    config = world.write_config(tmp_path)
    text = config.read_text().replace("timeout: 10", "timeout: 1")
    config.write_text(text)
    nursery.start(config)
    address = nursery.address()
    world.answer = answer
    tell(world, address, *STORY)
    wait_until(lambda: world.tries > 0, "an attempt")
    world.answer = Answer()
    wait_until(lambda: len(world.kinds("m")) >= 4, f"all events, got {world.kinds('m')}")
    assert world.kinds("m") == STORY
    if answer.hang_up or answer.delay_seconds:
        # It had received the event already: the repetition has the same id.
        assert len({event["id"] for event in world.events}) == 4


def test_alarms_come_when_a_receiver_fails_at_messages_about_refills(
    world: World, nursery: Nursery, tmp_path: Path
) -> None:
    """It was written for alarms, and breaks at other fields; what it does not take must not hold up what it needs."""
    config = world.write_config(tmp_path, defaults={"reserve_replenisher": "unwinder"})
    document = yaml.safe_load(config.read_text())
    command = ["echo", '{"status": "accepted"}']
    document["replenishers"] = {"unwinder": {"plugin": "command", "options": {"command": command}}}
    config.write_text(yaml.safe_dump(document))
    world.not_understood = REFILL_CHANGED
    daemon = nursery.start(config)
    address = nursery.address()
    tell(world, address, "low")
    wait_until(lambda: world.tries > 3, "attempts to send the message about the refill")
    nursery.signal(daemon, signal.SIGKILL)
    nursery.start(config)
    address = nursery.address(2)
    tell(world, address, "critical", "adequate")
    wait_until(lambda: len(world.kinds("m")) == 3, f"all alarms, got {world.kinds('m')}")
    assert world.kinds("m") == ["low", "critical", "adequate"]
    wait_until(
        lambda: (sample(address, "reservd_deliveries_pending", sink="ops") or 0) > 0,
        "the messages about refills to be counted as pending",
    )
    world.not_understood = ""
    wait_until(lambda: sample(address, "reservd_deliveries_pending", sink="ops") == 0, "the messages about refills")
    told = [int(event["sequence"]) for event in world.events if event["type"] == REFILL_CHANGED]
    assert told == list(range(1, len(told) + 1))


def test_alarms_come_when_a_receiver_does_not_answer_messages_about_refills(nursery: Nursery, tmp_path: Path) -> None:
    """More modes have such a message than messages are sent at the same time, and each of these waits for a minute."""
    modes = ["m", "n", "o", "p"]
    with World(*modes) as world:
        defaults = {"reserve_replenisher": "unwinder"}
        config = world.write_config(tmp_path, defaults=defaults, sink={"concurrency": 2})
        document = yaml.safe_load(config.read_text())
        document["event_sinks"]["ops"]["options"]["timeout"] = 60
        command = ["echo", '{"status": "accepted"}']
        document["replenishers"] = {"unwinder": {"plugin": "command", "options": {"command": command}}}
        config.write_text(yaml.safe_dump(document))
        world.unanswered = REFILL_CHANGED
        nursery.start(config)
        nursery.address()
        for status in ("low", "critical"):
            for mode in modes:
                world.set(mode, status)
            for mode in modes:
                wait_until(
                    lambda mode=mode, status=status: status in world.kinds(mode),
                    f"{status} of {mode}",
                    timeout_seconds=20,
                )
        world.unanswered = ""
        for mode in modes:
            wait_until(
                lambda mode=mode: {"requested", "accepted"} <= told_of_refills(world, mode),
                f"the messages about refills of {mode}",
            )


def test_event_is_dead_and_the_next_one_comes_when_a_receiver_is_gone_for_good(
    world: World, nursery: Nursery, tmp_path: Path
) -> None:
    """An event that is answered with 410 is not tried again."""
    nursery.start(world.write_config(tmp_path))
    address = nursery.address()
    world.answer = Answer(410)
    tell(world, address, "low")
    wait_until(
        lambda: sample(address, "reservd_deliveries_ended_total", sink="ops", state="dead") == 1,
        "the event to become a dead letter",
    )
    assert world.tries == 1
    world.answer = Answer()
    tell(world, address, "critical")
    wait_until(lambda: world.kinds("m") == ["critical"], "the next event")


@pytest.mark.timeout(180 + 3 * DOWN_SECONDS)
def test_everything_comes_in_order_when_a_receiver_was_down_for_long(nursery: Nursery, tmp_path: Path) -> None:
    """Down for RESERVD_DOWN_SECONDS while statuses change all the time; the daemon is killed once meanwhile."""
    modes = [f"m{number}" for number in range(10)]
    with World(*modes) as world:
        config = world.write_config(tmp_path, sink={"retry": {"first": 0.5, "longest": 5}})
        daemon = nursery.start(config)
        world.answer = Answer(503)
        for mode in modes:
            world.set(mode, "critical")
        wait_until(lambda: world.tries > 0, "a refused event, so that there is something to miss")
        way = cycle(STORY)
        rounds = int(DOWN_SECONDS / 0.25)
        for number in range(rounds):
            status = next(way)
            for mode in modes:
                world.set(mode, status)
            if number == rounds // 2:
                nursery.signal(daemon, signal.SIGKILL)
                nursery.start(config)
            threading.Event().wait(0.25)
        for mode in modes:
            world.set(mode, "adequate")
        address = nursery.address(2)
        wait_until(
            lambda: all(
                sample(address, "reservd_reserve_status", mode=mode, share_class="USDT", status="adequate") == 1
                for mode in modes
            ),
            "every mode to be adequate",
        )
        world.answer = Answer()
        wait_until(
            lambda: (
                sample(address, "reservd_deliveries_pending", sink="ops") == 0
                and all(world.kinds(mode)[-1:] == ["adequate"] for mode in modes)
            ),
            "no delivery to be pending, and each mode's recovery to be the last",
            timeout_seconds=120 + DOWN_SECONDS,
        )
        for mode in modes:
            mine = [event for event in world.events if event["subject"] == mode]
            sequences = list(dict.fromkeys(int(event["sequence"]) for event in mine))
            assert sequences == list(range(1, len(sequences) + 1))
