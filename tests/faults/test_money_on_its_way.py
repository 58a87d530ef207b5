"""The owner is killed or PostgreSQL restarted while refills and withdrawals are in flight: nothing happens twice."""

import json
import random
import signal
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy.engine import make_url

from support.nursery import Nursery
from support.polling import wait_until
from support.postgres import Postgres
from support.teller import Teller
from support.world import World

CALM = 1
"""Seconds between checks. Long, so that a late reading on a busy machine does not make withdrawals slow."""
RESTARTS = 4
KEYS = [f"client-{number}" for number in range(150)]


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A PostgreSQL of the test's own, which it may stop."""
    with Postgres() as running:
        yield running


@pytest.fixture
def world() -> Iterator[World]:
    with World("m") as running:
        yield running


def url_of(server: Postgres) -> str:
    return make_url(server.url("store")).set(drivername="postgresql").render_as_string(hide_password=False)


def write_config(world: World, folder: Path, server: Postgres, **defaults: Any) -> Path:
    """Return a configuration whose strategy records each request, and answers once the file `busy` is gone."""
    program = folder / "unwind"
    program.write_text(
        f"#!/bin/sh\nprintf '%s\\n' \"$(cat)\" >> {folder}/requests\n"  # in one write, as two may run at once
        f"for _ in $(seq 100); do [ -e {folder}/busy ] || break; sleep 0.1; done\n"
        'echo \'{"status": "accepted"}\'\n'
    )
    program.chmod(0o755)
    config = world.write_config(folder, url_of(server), interval=CALM, defaults={"reserve_max_jump": 1000, **defaults})
    document = yaml.safe_load(config.read_text())
    document["defaults"]["reserve_replenisher"] = "unwinder"
    options = {"command": [str(program)], "timeout": 20}
    document["replenishers"] = {"unwinder": {"plugin": "command", "options": options}}
    config.write_text(yaml.safe_dump(document))
    return config


def asked_in(folder: Path) -> list[dict[str, Any]]:
    """Return the requests that the strategy received, in order."""
    path = folder / "requests"
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []


def refills_in(server: Postgres) -> dict[str, str]:
    return dict(server.query("store", "SELECT id, state FROM replenishments"))


def holds_in(server: Postgres) -> dict[str, tuple[str, Decimal, Decimal]]:
    """Return the id, the part from the reserve and the arrived amount of each hold, by its key."""
    rows = server.query("store", "SELECT key, id, from_reserve, arrived FROM holds ORDER BY position")
    assert len({key for key, *_ in rows}) == len(rows), "two holds under one key"
    return {key: (hold_id, Decimal(from_reserve), Decimal(arrived)) for key, hold_id, from_reserve, arrived in rows}


def orders(*keys: str, amount: object = 1) -> list[dict[str, str]]:
    return [{"mode": "m", "amount": str(amount), "key": key} for key in keys]


def test_nothing_is_asked_anew_or_forgotten_when_the_owner_is_killed_in_the_middle_of_a_request(
    world: World, nursery: Nursery, server: Postgres, tmp_path: Path
) -> None:
    """Refills for a client and for the reserve are in flight, and the owner dies during the call for an emergency: its
    successor repeats that call under the same id, and nothing else is requested.
    """
    config = write_config(world, tmp_path, server)
    first = nursery.start(config)
    with Teller(first) as teller:
        teller.wait_for_status("m", "adequate")
        (promised,) = teller.ask(orders("big", amount=150))
        assert (promised["speed"], Decimal(promised["from_reserve"])) == ("medium", 60)
        wait_until(lambda: list(refills_in(server).values()) == ["accepted"] * 2, "two requests to be accepted")
        second = nursery.start(config, take_over_after=6)  # three heartbeats: a busy owner must not lose the store
        wait_until(lambda: "ownership.waiting" in nursery.log(), "the second to stand by")
        (tmp_path / "busy").touch()
        world.amounts["m"] = "100"
        wait_until(lambda: len(asked_in(tmp_path)) == 3, "the emergency to be requested")
        calm, emergency = (each for each in asked_in(tmp_path) if each["withdrawal_id"] is None)
        nursery.signal(first, signal.SIGKILL)
    assert (emergency["urgency"], emergency["replaces"]) == ("emergency", calm["id"])
    (tmp_path / "busy").unlink()
    with Teller(second) as teller:
        wait_until(
            lambda: refills_in(server)[emergency["id"]] == "accepted", "the second to have the emergency accepted"
        )
        assert refills_in(server) == {promised["id"]: "accepted", calm["id"]: "cancelled", emergency["id"]: "accepted"}
        (again,) = teller.ask(orders("big", amount=150))
        assert (again["id"], again["from_reserve"]) == (promised["id"], promised["from_reserve"])
        world.amounts["m"] = str(100 + 90 + Decimal(emergency["amount"]))
        wait_until(lambda: list(refills_in(server).values()).count("verified") == 2, "the money to be verified")
    wait_until(lambda: holds_in(server) == {"big": (promised["id"], 60, 90)}, "the money to be held for the client")
    asked = {(each["id"], each["amount"], each["urgency"]) for each in asked_in(tmp_path)}
    assert len(asked) == 3, "no request was repeated under another id or with another content"
    assert {each["epoch"] for each in asked_in(tmp_path)} == {1, 2}


def test_each_key_has_one_hold_when_the_server_is_restarted_again_and_again_while_clients_withdraw(
    world: World, nursery: Nursery, server: Postgres, tmp_path: Path
) -> None:
    config = world.write_config(
        tmp_path,
        url_of(server),
        interval=CALM,
        defaults={"reserve_ratio": 0, "reserve_withdrawal_floor": 0, "reserve_max_jump": 1000},
    )
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng, over = random.Random(seed), threading.Event()
    answers: list[dict[str, Any]] = []
    daemon = nursery.start(config)

    def withdraw() -> None:
        with Teller(daemon) as client:
            while not over.is_set():
                answers.extend(client.ask(orders(*rng.sample(KEYS, 20))))

    with Teller(daemon) as teller:
        teller.wait_for_status("m", "adequate")
        clients = [threading.Thread(target=withdraw) for _ in range(3)]
        for client in clients:
            client.start()
        try:
            for _ in range(RESTARTS):
                before = len(answers)
                server.stop()
                server.start()
                wait_until(
                    lambda before=before: any(each["id"] for each in answers[before:]),
                    "an accepted withdrawal after the restart",
                )
        finally:
            over.set()
            for client in clients:
                client.join()
        wait_until(
            lambda: not [each for each in teller.ask(orders(*KEYS)) if each["refusal"]], "all withdrawals to be decided"
        )
        answers += teller.ask(orders(*KEYS))
    holds = holds_in(server)
    assert len(holds) == len(KEYS)
    assert sum(from_reserve for _, from_reserve, _ in holds.values()) == 110, "exactly the reserve is held"
    for answer in answers:
        if answer["refusal"] is None:
            assert holds[answer["key"]][:2] == (answer["id"], Decimal(answer["from_reserve"])), "an answer changed"
    assert {answer["refusal"] for answer in answers} <= {None, "store_gone"}
