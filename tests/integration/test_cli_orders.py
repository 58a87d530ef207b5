"""Operators' orders on the command line are executed by a running daemon, or refused with a visible reason."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reservd.web.api.application import make_application
from support.api import ApiDaemon
from support.commands import Command
from support.polling import wait_until

OFFERED = {
    "/api/v1/withdrawals/{withdrawal_id}/paying": ("withdrawals", "paying"),
    "/api/v1/withdrawals/{withdrawal_id}/settle": ("withdrawals", "settle"),
    "/api/v1/withdrawals/{withdrawal_id}/cancel": ("withdrawals", "cancel"),
    "/api/v1/modes/{mode}/replenishments": ("replenishments", "request"),
    "/api/v1/replenishments/{replenishment_id}/approve": ("replenishments", "approve"),
    "/api/v1/replenishments/{replenishment_id}/reject": ("replenishments", "reject"),
    "/api/v1/replenishments/{replenishment_id}/cancel": ("replenishments", "cancel"),
}
"""The command for each writing operation."""

PROGRAMS_ALONE = {
    "/api/v1/modes/{mode}/withdrawals": "a withdrawal is asked for by who pays it, under the own key",
    "/api/v1/replenishments/{replenishment_id}/accept": "a strategy's own word",
    "/api/v1/replenishments/{replenishment_id}/progress": "a strategy's own word",
    "/api/v1/replenishments/{replenishment_id}/settle": "a strategy's own word",
    "/api/v1/replenishments/{replenishment_id}/fail": "a strategy's own word",
}
"""Operations without a command, and the reasons."""


@pytest.fixture
def daemon(tmp_path: Path, store_url: str) -> Iterator[ApiDaemon]:
    """A daemon whose configuration and store the commands use."""
    with ApiDaemon(tmp_path, store_url, refilled=["alpha"]) as running:
        speed = "/api/v1/modes/alpha/withdrawal-speed"
        wait_until(lambda: running.get(speed).json["speed"] == "fast", "the first snapshot")
        yield running


def accept(daemon: ApiDaemon, amount: str) -> str:
    """Have a withdrawal of `alpha` accepted and return its id."""
    path = "/api/v1/modes/alpha/withdrawals"
    return str(daemon.post(path, {"amount": amount}, token="treasury", key=f"payout-{amount}").json["id"])


def test_every_operation_that_writes_has_its_command() -> None:
    paths = make_application().openapi()["paths"]
    writing = {path for path, operations in paths.items() if operations.keys() - {"get"}}
    assert writing == OFFERED.keys() | PROGRAMS_ALONE.keys()


@pytest.mark.parametrize("words", OFFERED.values(), ids=" ".join)
def test_command_of_an_operation_is_there(command: Command, words: tuple[str, str]) -> None:
    shown = command(*words, "--help")
    assert (shown.code, shown.err) == (0, "")
    assert f"Usage: reservd {' '.join(words)} [OPTIONS]" in shown.out


def test_withdrawal_goes_its_way_by_the_commands_alone(command: Command, daemon: ApiDaemon) -> None:
    paid, dropped = accept(daemon, "5"), accept(daemon, "6")
    name = f"withdrawal {paid} of alpha"
    assert command("withdrawals", "paying", paid[:8]) == (0, f"{name} is paying\n", "")
    assert command("withdrawals", "settle", paid[:8], "--paid-at", "now") == (0, f"{name} is settled\n", "")
    assert command("withdrawals", "cancel", dropped, "--reason", "the client called").code == 0
    states = {each["id"]: each["state"] for each in daemon.get("/api/v1/modes/alpha/withdrawals").json["items"]}
    assert states == {paid: "settled", dropped: "cancelled"}
    wait_until(lambda: daemon.get("/api/v1/modes/alpha").json["held"] == "0", "nothing to be held any more")
    (order,) = command("withdrawals", "show", dropped, "--json").json["orders"]
    assert (order["action"], order["reason"], order["refusal"]) == ("cancel", "the client called", None)


def test_refill_is_requested_once_and_the_second_is_refused_where_the_operator_sees_it(
    command: Command, daemon: ApiDaemon
) -> None:
    asked = command("replenishments", "request", "alpha", "7")
    assert (asked.code, asked.err) == (0, "")
    found = re.fullmatch(r"replenishment (\S+) of alpha is requested(: .*)?\n", asked.out)
    assert found is not None, asked
    again = command("replenishments", "request", "alpha", "8")
    assert (again.code, again.out, again.err) == (1, "", "reservd: not done: no refill was requested: in_flight\n")
    later = command("replenishments", "request", "alpha", "9", "--wait", 0)
    order_id = later.out.split()[-1]

    def refused() -> bool:
        shown = command("replenishments", "show", order_id)
        return shown.err.endswith("refused: no refill was requested: in_flight\n")

    wait_until(refused, "the refusal to be shown")
    assert command("replenishments", "cancel", found[1], "--reason", "not needed").out == (
        f"replenishment {found[1]} of alpha is cancelled: not needed\n"
    )
    shown = command("replenishments", "show", found[1])
    assert shown.rows[-1][1:] == ["cancel", shown.rows[-1][2], "not needed", "done"]
