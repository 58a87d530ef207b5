"""Operators' commands beside a running daemon."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.commands import MODE, Command
from support.daemon import ReservdProcess
from support.polling import wait_until
from support.ports import kept_port

RUNNING = """\
modes: alpha.yaml
store: {{url: "{url}"}}
defaults: {{reserve_monitoring_interval: 0.1, reserve_event_repeat_interval: 0.2}}
balance_sources:
  wallet: {{plugin: static, options: {{balances: [{{asset: USDT, amount: 49}}]}}}}
equity_sources:
  nav: {{plugin: static, options: {{amount: 1000}}}}
event_sinks:
  book: {{plugin: jsonl, options: {{path: events.jsonl}}}}
  late:
    plugin: jsonl
    options: {{path: late/events.jsonl}}
    events: [reserve_low]
    concurrency: 1
    retry: {{first: 0.05, longest: 0.05, give_up_after: 0.3}}
"""


@pytest.fixture
def daemon(tmp_path: Path, store_url: str) -> Iterator[ReservdProcess]:
    """A daemon that sends reminders of a low reserve all the time; one of its sinks cannot write."""
    (tmp_path / "reservd.yaml").write_text(RUNNING.format(url=store_url))
    mode = MODE.format(name="alpha", sinks="book, late")
    (tmp_path / "alpha.yaml").write_text(mode)
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "events.jsonl").mkdir()
    with kept_port() as port, ReservdProcess(tmp_path / "reservd.yaml", listens=f"127.0.0.1:{port}") as running:
        wait_until(lambda: "reservd_owner 1.0" in running.get("/metrics"), "the daemon to own its store")
        yield running


def lines(path: Path) -> list[Any]:
    whole = path.read_text().rpartition("\n")[0] if path.is_file() else ""
    return [json.loads(line) for line in whole.splitlines()]


def test_silence_hushes_the_sinks_of_a_running_daemon_until_it_ends(
    command: Command, daemon: ReservdProcess, tmp_path: Path
) -> None:
    book = tmp_path / "events.jsonl"
    wait_until(lambda: len(lines(book)) >= 2, "reminders")
    assert command("silence", "alpha", "--for", "1h", "--reason", "test").code == 0
    wait_until(lambda: 'reservd_silenced{mode="alpha"} 1.0' in daemon.get("/metrics"), "the silence in the metrics")
    heard = len(lines(book))

    def newest() -> Any:
        return command("events", "--limit", 1, "--json").json[0]

    silenced_at = int(newest()["event"]["sequence"])
    wait_until(lambda: int(newest()["event"]["sequence"]) > silenced_at + 2, "the silenced mode to be watched")
    assert {each["state"] for each in newest()["deliveries"]} == {"silenced"}
    # Only what was in progress when the silence began may still arrive.
    assert len(lines(book)) <= heard + 1
    assert 'reservd_reserve_status{mode="alpha",share_class="USDT",status="low"} 1' in daemon.get("/metrics")

    assert command("silence", "alpha", "--end").out == "ended 1 silence of alpha\n"
    wait_until(lambda: len(lines(book)) > heard + 2, "reminders again")
    sequences = [int(line["sequence"]) for line in lines(book)]
    assert sequences == sorted(sequences)
    gaps = [after - before for before, after in itertools.pairwise(sequences)]
    assert max(gaps) >= 3, "silenced events are not sent later"


def test_redelivered_event_arrives_again_under_its_id(command: Command, daemon: ReservdProcess, tmp_path: Path) -> None:
    book = tmp_path / "events.jsonl"
    wait_until(lambda: lines(book), "an event")
    first = lines(book)[0]["id"]
    assert "goes to book again" in command("events", "redeliver", first, "--sink", "book").out
    wait_until(lambda: [line["id"] for line in lines(book)].count(first) == 2, "the event again")
    same = [line for line in lines(book) if line["id"] == first]
    assert same[0] == same[1]

    def of_book() -> tuple[str, str | None]:
        deliveries = {each["sink"]: each for each in command("events", "show", first, "--json").json["deliveries"]}
        return deliveries["book"]["state"], deliveries["book"]["reason"]

    wait_until(lambda: of_book() == ("delivered", None), "the delivery to be recorded")


def test_dead_letter_arrives_after_all_when_its_sink_is_mended_and_it_is_redelivered(
    command: Command, daemon: ReservdProcess, tmp_path: Path
) -> None:
    late = tmp_path / "late" / "events.jsonl"
    wait_until(lambda: bool(command("events", "dead-letters", "--json").json), "a dead letter")
    letter = command("events", "dead-letters", "--sink", "late", "--json").json[-1]
    assert letter["deliveries"][0]["reason"] == "rejected"
    assert letter["deliveries"][0]["detail"]
    late.rmdir()
    dead = letter["event"]["id"]
    assert command("events", "redeliver", dead).out.endswith(" goes to late again\n")
    wait_until(lambda: dead in {line["id"] for line in lines(late)}, "the dead letter")


def test_healthcheck_asks_a_running_daemon(command: Command, daemon: ReservdProcess) -> None:
    good = command("healthcheck", "--url", f"http://{daemon.address}/")
    assert (good.code, good.out, good.err) == (0, f"{daemon.address} is healthy\n", "")
    daemon.stop()
    gone = command("healthcheck", "--url", f"http://{daemon.address}")
    assert (gone.code, gone.out) == (1, "")
    assert gone.err == f"reservd: {daemon.address} is not healthy: unreachable: connection refused\n"
