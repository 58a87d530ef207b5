"""The example strategy in a real setting: a reserve falls, the strategy withdraws from a real vault, and the reserve
verifies the refill.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from reservd.client import Client
from reservd.errors import ApiUnavailableError
from reservd.reserve.models import EventType, ReserveEvent, ReserveStatus
from reservd.reserve.replenishment import Urgency
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState
from support.chain import Anvil
from support.daemon import PROGRAM, ReservdProcess
from support.polling import wait_until
from support.solidity import ask, transact
from support.vault import ONE, Vault

EXAMPLE = Path(__file__).parents[2] / "configs" / "examples" / "vault_strategy"
MODE = "vault_lending"


class Stage:
    """A holder with 60,000 USDC in the wallet and 940,000 in a vault, and the example's files for them."""

    def __init__(self, chain: Anvil, folder: Path) -> None:
        self.chain, self.folder = chain, folder
        chain.install_multicall()
        self.vault = Vault(chain, "LimitedVault")
        self.holder, self.clients = chain.accounts[3], chain.accounts[4]
        self.vault.deposit(self.holder, 940_000 * ONE)
        chain.transfer(self.vault.token, self.holder, 60_000 * ONE)
        for name in ("reservd.yaml", "vault_lending.yaml"):
            text = (EXAMPLE / name).read_text()
            for placeholder, real in (
                ("http://127.0.0.1:8545", chain.url),
                ("0x" + "1" * 40, self.vault.token),
                ("0x" + "2" * 40, self.vault.address),
                ("0x" + "3" * 40, self.holder),
                ("reserve_monitoring_interval: 5 ", "reserve_monitoring_interval: 0.2 "),
            ):
                text = text.replace(placeholder, real)
            (folder / name).write_text(text)
        command = [PROGRAM, "token", "vault-bot", "--role", "strategy", "--mode", MODE]
        made = subprocess.run(command, capture_output=True, text=True, check=True)
        (folder / "tokens.yaml").write_text(f"tokens:\n{made.stdout}")
        (folder / "token").write_text(made.stderr.rpartition(": ")[2])

    @property
    def wallet(self) -> Decimal:
        """The content of the wallet, read without the code under test."""
        return Decimal(ask(self.chain, self.vault.token, "balanceOf(address)", self.holder)) / ONE

    def pay_out(self, amount: int) -> None:
        """Have clients redeem an amount."""
        self.chain.transfer(self.vault.token, self.clients, amount * ONE, sender=self.holder)

    def withdraws(self, times: int) -> None:
        """Wait until the program has reported everything: the reserve may see the money earlier."""
        wait_until(
            lambda: self.log.count("execution.ended") == self.log.count("execution.began"), "the end of the withdrawals"
        )
        assert self.log.count("vault.withdrawn") == times, self.log

    @contextmanager
    def strategy(self, address: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run the program as its README says."""
        command = [sys.executable, EXAMPLE / "strategy.py", "vault_lending.yaml", "--url", f"http://{address}"]
        command += ["--token-file", "token", "--memory", "memory.json"]
        with (self.folder / "strategy.log").open("ab") as log:
            process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, env=os.environ)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, self.log
        finally:
            process.kill()
            process.wait()

    @property
    def log(self) -> str:
        """The output of the program so far."""
        return (self.folder / "strategy.log").read_text()


@pytest.fixture
def stage(slow_chain: Anvil, tmp_path: Path) -> Stage:
    return Stage(slow_chain, tmp_path)


def comes_to(client: Client, state: ReplenishmentState, number: int = 1) -> Replenishment:
    """Wait until the newest of this many requests is in a state."""

    def reached() -> bool:
        try:
            items = client.list_replenishments(MODE).items
        except ApiUnavailableError:
            return False  # it stands by until its predecessor is certainly gone
        return len(items) == number and items[0].state is state

    wait_until(reached, f"request {number} to be {state}", timeout_seconds=60)
    return client.list_replenishments(MODE).items[0]


def refills(wallet: Decimal | int, *, paid: int, of: int) -> set[Decimal]:
    """Return the amounts that may be requested after a payment: up to 1.1 times a twentieth of the equity.

    Equity that takes long to read may still include the payment when the wallet does not.

    Args:
        wallet: What is left in the wallet.
        paid: What was paid.
        of: The equity before that.
    """
    return {Decimal("1.1") * equity / 20 - wallet for equity in (of, of - paid)}


def test_reserve_is_refilled_from_the_vault_when_it_falls(stage: Stage) -> None:
    """Low: in steps. Critical: at once. Each refill is verified, each incident ends, and nothing is withdrawn twice."""
    with (
        ReservdProcess(stage.folder / "reservd.yaml") as daemon,
        stage.strategy(daemon.address),
        Client(f"http://{daemon.address}") as client,
    ):
        wait_until(lambda: client.get_mode(MODE).status is ReserveStatus.ADEQUATE, "the first check")
        assert client.get_mode(MODE).total_equity == 1_000_000
        wait_until(lambda: "strategy.started" in stage.log, "the strategy to start")

        stage.pay_out(25_000)
        first = comes_to(client, ReplenishmentState.VERIFIED)
        assert first.request.urgency is Urgency.FAST
        assert first.request.amount in refills(35_000, paid=25_000, of=1_000_000)
        assert (first.arrived, stage.wallet) == (first.request.amount, 35_000 + first.request.amount)
        stage.withdraws(2)
        reference = client.get_replenishment(first.id).reference
        assert reference is not None
        receipt = stage.chain.rpc("eth_getTransactionReceipt", reference)
        assert (receipt["status"], receipt["to"]) == ("0x1", stage.vault.address.lower())
        wait_until(lambda: client.get_mode(MODE).incident is None, "the end of the incident")

        left = stage.wallet - 40_000
        stage.pay_out(40_000)
        second = comes_to(client, ReplenishmentState.VERIFIED, 2)
        assert second.request.urgency is Urgency.EMERGENCY
        assert second.request.amount in refills(left, paid=40_000, of=975_000)
        assert (second.arrived, stage.wallet) == (second.request.amount, left + second.request.amount)
        stage.withdraws(3)
        wait_until(lambda: client.get_mode(MODE).incident is None, "the end of the second incident")

        def changes() -> list[ReserveEvent]:
            told = [each.event.data for each in client.walk(client.list_events, mode=MODE)]
            return [event for event in told if isinstance(event, ReserveEvent) and not event.reminder]

        # An incident ends in memory before its end is stored.
        wait_until(lambda: len(changes()) >= 4, "the last event to be stored")
        told = changes()
        assert [event.event_type for event in reversed(told)] == [
            EventType.LOW,
            EventType.ADEQUATE,
            EventType.CRITICAL,
            EventType.ADEQUATE,
        ]
        assert told[0].incident_id == told[1].incident_id == second.request.incident_id
        assert told[2].incident_id == told[3].incident_id == first.request.incident_id
        assert "Traceback" not in stage.log + daemon.log()


def test_what_the_vault_has_is_taken_and_the_rest_told_when_it_pays_out_less(stage: Stage) -> None:
    """A third of the amount: the request has failed, and what arrived counts."""
    transact(stage.chain, stage.vault.address, "setLiquidity(uint256)", 12_000 * ONE)
    with (
        ReservdProcess(stage.folder / "reservd.yaml") as daemon,
        stage.strategy(daemon.address),
        Client(f"http://{daemon.address}") as client,
    ):
        wait_until(lambda: client.get_mode(MODE).status is ReserveStatus.ADEQUATE, "the first check")
        stage.pay_out(40_000)
        failed = comes_to(client, ReplenishmentState.FAILED)
        assert failed.detail.startswith("the vault pays nothing out now")
        assert failed.by == "vault-bot"
        assert stage.wallet == 60_000 - 40_000 + 12_000
        stage.withdraws(1)


def test_request_is_carried_out_when_the_daemon_is_restarted_and_the_strategy_was_killed(stage: Stage) -> None:
    """The reserve falls without a strategy, and the daemon is killed: the request is carried out afterwards, once."""
    config = stage.folder / "reservd.yaml"
    config.write_text(config.read_text() + f"\nstore: {{url: 'sqlite:///{stage.folder}/store.db'}}\n")
    with ReservdProcess(config) as daemon:
        with Client(f"http://{daemon.address}") as client:
            wait_until(lambda: client.get_mode(MODE).status is ReserveStatus.ADEQUATE, "the first check")
            stage.pay_out(25_000)
            comes_to(client, ReplenishmentState.REQUESTED)
        daemon.stop(signal.SIGKILL)
    with ReservdProcess(config) as daemon, Client(f"http://{daemon.address}") as client:
        with stage.strategy(daemon.address):
            comes_to(client, ReplenishmentState.VERIFIED)
        with stage.strategy(daemon.address):
            wait_until(lambda: client.get_mode(MODE).incident is None, "the end of the incident")
            wait_until(lambda: stage.log.count("strategy.started") == 2, "the strategy to start again")
        assert stage.wallet - 35_000 in refills(35_000, paid=25_000, of=1_000_000)
        assert stage.log.count("execution.began") == 1
