"""The configuration is reloaded while sources fail or ask for a pause, while a mode is low, and with a defect."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from reservd.app import Daemon
from reservd.config.load import Config, load_config
from reservd.errors import ConfigError
from support.daemon import ReservdProcess
from support.polling import until, wait_until
from support.scrape import sample
from support.world import Answer, World


@contextmanager
def reloaded(daemon: ReservdProcess, every_seconds: float) -> Iterator[None]:
    """Reload the configuration at intervals."""
    stop = threading.Event()

    def reload() -> None:
        while not stop.wait(every_seconds):
            daemon.send(signal.SIGHUP)

    reloading = threading.Thread(target=reload)
    reloading.start()
    try:
        yield
    finally:
        stop.set()
        reloading.join()


def test_outage_is_said_though_the_configuration_is_read_again_all_the_time(tmp_path: Path) -> None:
    with World("alpha", "beta") as world:
        config = world.write_config(tmp_path, defaults={"reserve_max_staleness": 6})
        with ReservdProcess(config) as daemon, reloaded(daemon, 1.0):
            world.amounts["alpha"] = "not a number"
            wait_until(lambda: world.kinds("alpha") == ["unknown"], "the outage to be reported")
            assert world.kinds("beta") == []
            wait_until(lambda: daemon.log().count("config.reloaded") > 1, "several reloads")


def test_source_that_asked_to_be_left_alone_is_left_alone_however_often_the_configuration_is_read_again(
    tmp_path: Path,
) -> None:
    with World("alpha") as world:
        config = world.write_config(tmp_path, defaults={"reserve_max_staleness": 600})
        with ReservdProcess(config) as daemon:

            def told(name: str, **labels: str) -> float:
                return sample(daemon.address, name, **labels) or 0.0

            def open_circuits() -> list[float]:
                return [told("reservd_source_circuit_open", source=source) for source in ("treasury", "nav")]

            world.refusal = Answer(429, {"Retry-After": "3600"})
            wait_until(lambda: open_circuits() == [1, 1], "the circuits of both sources to open")
            asked = world.asked
            for reloads in range(1, 4):
                daemon.send(signal.SIGHUP)
                wait_until(lambda count=reloads: daemon.log().count("config.reloaded") == count, "the reload")
                cycles = told("reservd_cycle_duration_seconds_count", interval="0.1")
                wait_until(
                    lambda before=cycles: told("reservd_cycle_duration_seconds_count", interval="0.1") > before + 1,
                    "another cycle after the reload",
                )
                wait_until(lambda: open_circuits() == [1, 1], "the metric to show that both are still paused")
            assert world.asked == asked
            world.refusal = None
            config.write_text(config.read_text().replace("/balances", "/balances?key=another"))
            daemon.send(signal.SIGHUP)
            wait_until(lambda: world.asked > asked, "the source with changed options to be read")
            wait_until(
                lambda: open_circuits() == [0, 1],
                "the metric to show that only the source with unchanged options is paused",
            )


def test_incident_of_a_mode_that_is_taken_out_is_told_and_ends_when_the_mode_returns(tmp_path: Path) -> None:
    with World("alpha", "beta") as world, ReservdProcess(world.write_config(tmp_path)) as daemon:
        world.set("alpha", "low")
        wait_until(lambda: world.kinds("alpha") == ["low"], "the alarm")
        incident = world.events[0]["data"]["incident_id"]
        file = tmp_path / "modes" / "alpha.yaml"
        keys = file.read_text()
        file.unlink()
        daemon.send(signal.SIGHUP)
        wait_until(lambda: "mode.left_in_incident" in daemon.log(), "the log to name the incident")
        (line,) = [line for line in daemon.log().splitlines() if "mode.left_in_incident" in line]
        assert '"mode": "alpha"' in line
        assert incident in line
        world.set("alpha", "adequate")
        file.write_text(keys)
        wait_until(lambda: "config.reloaded" in daemon.log(), "the reload")
        daemon.send(signal.SIGHUP)
        wait_until(lambda: world.kinds("alpha") == ["low", "adequate"], "the recovery")
        assert world.events[-1]["data"]["incident_id"] == incident
        assert daemon.log().count("mode.left_in_incident") == 1


async def test_daemon_goes_on_as_before_when_a_defect_keeps_it_from_taking_up_a_configuration(tmp_path: Path) -> None:
    with World("alpha") as world:
        file = world.write_config(tmp_path, f"sqlite:///{tmp_path}/store.db")

        def load() -> Config:
            # A sink without settings, which no file can cause.
            config = load_config(file)
            return replace(config, event_sinks={"password": config.event_sinks["ops"]})

        daemon = Daemon(load_config(file), ["127.0.0.1:0"], load=load)
        running = asyncio.create_task(daemon.run())
        await until(lambda: daemon.readiness.ready, "the first cycle")
        manager = daemon.manager
        with capture_logs() as logs, pytest.raises(KeyError):
            await daemon.reload()
        (refused,) = [line for line in logs if line["event"] == "config.refused"]
        assert refused["problems"][0].startswith("a bug in reservd: KeyError at reservd.delivery.pipeline:")
        assert "password" not in str(refused)
        world.set("alpha", "low")
        await until(lambda: world.kinds("alpha") == ["low"], "the alarm")
        assert daemon.manager is manager
        address = daemon.addresses[0]
        await asyncio.to_thread(
            wait_until,
            lambda: sample(address, "reservd_config_last_reload_successful") == 0,
            "the metric to show that the reload failed",
        )
        daemon.stop()
        await running


async def test_configuration_can_be_read_again_after_a_try_that_hung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reservd.config.reload._READ_SECONDS", 0.2)
    hung = threading.Event()
    with World("alpha") as world:
        file = world.write_config(tmp_path, f"sqlite:///{tmp_path}/store.db")

    def load() -> Config:
        hung.wait()
        return load_config(file)

    daemon = Daemon(load_config(file), ["127.0.0.1:0"], load=load)
    with pytest.raises(ConfigError, match=r"could not be read within 0\.2 s"):
        await daemon.reload()
    monkeypatch.setattr("reservd.config.reload._READ_SECONDS", 60.0)
    hung.set()
    await daemon.reload()
    await daemon._web.close()


def test_every_signal_counts_and_none_is_heaped_up(tmp_path: Path) -> None:
    with World("alpha") as world, ReservdProcess(world.write_config(tmp_path)) as daemon:
        for _ in range(20):
            daemon.send(signal.SIGHUP)
        (tmp_path / "modes" / "beta.yaml").write_text("share_class: 5")
        daemon.send(signal.SIGHUP)
        wait_until(lambda: "config.refused" in daemon.log(), "the last reload to be refused")
        assert daemon.log().count("config.reloaded") < 20
