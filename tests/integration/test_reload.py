"""A running daemon reloads its configuration and loses no state."""

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from structlog.testing import capture_logs

from reservd.app import Daemon
from reservd.config.load import Config, load_config
from reservd.duty import series_of
from reservd.errors import ConfigError
from support.api import ApiDaemon, Reply, call
from support.polling import wait_until
from support.scrape import page, sample, samples
from support.world import World

INCIDENT = 'reservd_incident_open{mode="alpha",share_class="USDT",severity="low"} 1'


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[ApiDaemon]:
    with ApiDaemon(tmp_path) as running:
        running.bring("alpha", "low")
        wait_until(lambda: INCIDENT in page(running.address)[1], "the gauges")
        yield running


def reload(daemon: ApiDaemon, who: str | None = "admin") -> Reply:
    """Ask for it, again while the store is late, as it may be on a busy machine."""
    replies: list[Reply] = []

    def is_answered() -> bool:
        replies.append(call(daemon.address, "POST", "/-/reload", token=who))
        return replies[-1].status != 503

    wait_until(is_answered, "an answer")
    return replies[-1]


def write_mode(folder: Path, mode: str, **keys: object) -> None:
    sources = {"mode": mode, "share_class": "USDT", "reserve_balance_sources": [f"treasury/{mode}"]}
    (folder / "modes" / f"{mode}.yaml").write_text(yaml.safe_dump({**sources, **keys}))


@contextmanager
def watched(daemon: ApiDaemon) -> Iterator[list[str]]:
    """Scrape all the time, and yield violations: an incident that is shown as closed meanwhile."""
    stop, wrong = threading.Event(), []

    def scrape() -> None:
        while not stop.is_set():
            text = page(daemon.address)[1]
            if INCIDENT not in text:
                wrong.append(text)

    scraper = threading.Thread(target=scrape)
    scraper.start()
    try:
        yield wrong
    finally:
        stop.set()
        scraper.join()


def test_incident_goes_on_and_modes_come_and_go_when_the_configuration_is_reloaded(
    daemon: ApiDaemon, tmp_path: Path
) -> None:
    config = tmp_path / "reservd.yaml"
    document = yaml.safe_load(config.read_text())
    balances = document["balance_sources"]["treasury"]["options"]["balances"]
    balances.append({"account": "gamma", "asset": "USDT", "amount": "$.gamma"})
    daemon.world.amounts["gamma"] = "110"
    document["balance_sources"]["vault"] = document["balance_sources"].pop("treasury")
    config.write_text(yaml.safe_dump(document))
    (tmp_path / "modes" / "beta.yaml").unlink()
    for mode in ("alpha", "gamma"):
        write_mode(tmp_path, mode, reserve_balance_sources=[f"vault/{mode}"])
    low = daemon.get("/api/v1/modes/alpha").json["incident"]["id"]

    with watched(daemon) as wrong:
        assert reload(daemon).status == 200
        wait_until(lambda: daemon.get("/api/v1/modes/gamma").json.get("status") == "adequate", "the new mode")
        assert daemon.get("/api/v1/modes/beta").status == 404
        wait_until(lambda: "ready and owns" in page(daemon.address, "/-/ready")[1], "the first cycle")
        assert daemon.get("/api/v1/modes/alpha").json["incident"]["id"] == low
    assert not wrong

    def shown() -> set[str]:
        return {dict(labels)["mode"] for labels in samples(daemon.address, "reservd_reserve_balance")}

    # The page is rendered a moment after the values change.
    wait_until(lambda: shown() == {"alpha", "gamma"}, "the metrics of the modes")
    assert {dict(labels)["source"] for labels in samples(daemon.address, "reservd_source_up")} == {"vault", "nav"}
    assert sample(daemon.address, "reservd_config_last_reload_successful") == 1
    daemon.bring("alpha", "adequate")
    wait_until(lambda: daemon.world.kinds("alpha")[-1:] == ["adequate"], "the recovery")
    assert daemon.world.kinds("alpha") == ["low", "adequate"]
    # An event that was being sent during the reload may come again, under its id.
    told = list({event["id"]: event["data"] for event in daemon.world.events if event["subject"] == "alpha"}.values())
    assert {data["incident_id"] for data in told} == {low}
    assert [data["sequence"] for data in told] == sorted({data["sequence"] for data in told})


def test_daemon_goes_on_as_before_when_the_new_configuration_is_wrong(daemon: ApiDaemon, tmp_path: Path) -> None:
    write_mode(tmp_path, "beta", reserve_ration=0.05)
    with watched(daemon) as wrong:
        reply = reload(daemon)
        assert (reply.status, reply.problem) == (422, "config-unusable")
        assert re.search(r"beta\.yaml:\d+:\d+: reserve_ration: .*reserve_ratio", reply.json["detail"])
    assert not wrong
    wait_until(lambda: sample(daemon.address, "reservd_config_last_reload_successful") == 0, "the metric")
    assert daemon.get("/api/v1/modes/beta").status == 200
    daemon.bring("beta", "critical")


def test_change_of_what_is_settled_at_the_start_is_refused(daemon: ApiDaemon, tmp_path: Path) -> None:
    config = tmp_path / "reservd.yaml"
    document = yaml.safe_load(config.read_text())
    document["web"]["open_reads"] = False
    document["store"] = {"url": "sqlite:///other.db"}
    config.write_text(yaml.safe_dump(document))
    reply = reload(daemon)
    assert reply.problem == "config-unusable"
    assert [line.partition(":")[0] for line in reply.json["detail"].splitlines()] == ["store.url", "web"]


def test_only_an_admin_may_reload(daemon: ApiDaemon) -> None:
    assert reload(daemon, None).status == 401
    for token in ("reader", "alpha-bot", "treasury"):
        assert reload(daemon, token).status == 403
    assert call(daemon.address, "GET", "/-/reload", token="admin").status == 405


def test_threshold_holds_from_the_next_check_when_a_signal_asks_for_it(daemon: ApiDaemon, tmp_path: Path) -> None:
    """74 of a target of 100 is low, and critical with a threshold of 0.8."""
    write_mode(tmp_path, "alpha", reserve_critical_threshold=0.8)
    daemon.process.send(signal.SIGHUP)
    wait_until(lambda: daemon.get("/api/v1/modes/alpha").json.get("status") == "critical", "the new threshold")
    wait_until(lambda: "config.reloaded" in daemon.process.log(), "the log to report it")
    wait_until(lambda: daemon.world.kinds("alpha") == ["low", "critical"], "the resulting event")


def test_what_is_most_likely_not_meant_is_logged_when_a_reload_brings_it(daemon: ApiDaemon, tmp_path: Path) -> None:
    write_mode(tmp_path, "alpha", reserve_low_threshold=0.6)
    assert reload(daemon).status == 200
    assert "alpha.yaml:4:24: reserve_low_threshold: a reserve between 0.6 and 1" in daemon.process.log()


async def test_reload_that_ends_in_a_defect_counts_as_refused(tmp_path: Path) -> None:
    def load() -> Config:
        raise RuntimeError("the text may hold a secret")

    with World("alpha") as world:
        config = load_config(world.write_config(tmp_path))
    daemon = Daemon(config, ["127.0.0.1:0"], load=load)
    with capture_logs() as logs, pytest.raises(RuntimeError):
        await daemon.reload()
    (problem,) = next(line["problems"] for line in logs if line["event"] == "config.refused")
    assert re.fullmatch(r"a bug in reservd: RuntimeError at reservd\.\w+:\d+", problem)
    (told,) = [line for line in daemon._metrics.render(daemon._metrics.take()).splitlines() if b"successful " in line][
        -1:
    ]
    assert told == b"reservd_config_last_reload_successful 0.0"
    await daemon._web.close()


async def test_what_the_last_reload_came_to_is_told_by_a_standby_and_through_a_change_of_owner(tmp_path: Path) -> None:
    """This needs no duty, and the next duty that begins must not hide a refused configuration."""
    with World("alpha") as world:
        config = load_config(world.write_config(tmp_path))
    files = [tmp_path / "nothing.yaml", tmp_path / "reservd.yaml"]
    daemon = Daemon(config, ["127.0.0.1:0"], load=lambda: load_config(files.pop(0)))

    def successful() -> float | None:
        return daemon._metrics.registry.get_sample_value("reservd_config_last_reload_successful")

    with pytest.raises(ConfigError):
        await daemon.reload()
    daemon._metrics.configure(series_of(config))  # as each duty does at its start
    assert successful() == 0
    await daemon.reload()
    assert successful() == 1
    await daemon._web.close()
