"""The daemon as a process: start, health and stop."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from support.daemon import ReservdProcess
from support.polling import wait_until

PROGRAM = Path(sys.executable).with_name("reservd")
_PATIENCE_SECONDS = 60

CONFIG = """\
modes: m.yaml
balance_sources:
  wallet: {plugin: static, options: {balances: [{asset: USDT, amount: 110}]}}
equity_sources:
  nav: {plugin: static, options: {amount: 1000}}
event_sinks:
  journal: {plugin: jsonl, options: {path: events.jsonl}}
"""
MODE = """\
mode: m
share_class: USDT
reserve_ratio: 0.1
reserve_monitoring_interval: 0.2
reserve_balance_sources: [wallet]
reserve_equity_source: nav
reserve_event_sinks: [journal]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "m.yaml").write_text(MODE)
    (tmp_path / "reservd.yaml").write_text(CONFIG)
    return tmp_path / "reservd.yaml"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_daemon_serves_and_stops_cleanly_when_told_to(config: Path, number: signal.Signals) -> None:
    with ReservdProcess(config) as daemon:
        assert "reservd is healthy" in daemon.get("/-/healthy")
        assert "reservd is ready" in daemon.get("/-/ready")
        assert "/metrics" in daemon.get("/")
        balance = 'reservd_reserve_balance{mode="m",share_class="USDT"} 110'
        wait_until(lambda: balance in daemon.get("/metrics"), "the readings to be shown")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            daemon.get("/nothing")
        assert daemon.stop(number) == 0
        assert "daemon.stopped" in daemon.log()
        assert "Traceback" not in daemon.log()


def test_daemon_stops_when_a_venue_hangs_and_a_scraper_holds_on(config: Path) -> None:
    """A venue accepts connections and never answers, and a scraper never reads: SIGTERM still ends the daemon."""
    # With a short interval the first cycle would soon give up on the venue, and the daemon would be ready.
    config.with_name("m.yaml").write_text(MODE.replace("interval: 0.2", "interval: 600"))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        config.write_text(
            textwrap.dedent(f"""\
                modes: m.yaml
                balance_sources:
                  wallet:
                    plugin: http_json
                    options:
                      url: http://127.0.0.1:{silent.getsockname()[1]}/
                      timeout: 600
                      balances: [{{asset: USDT, amount: $.usdt}}]
                equity_sources:
                  nav: {{plugin: static, options: {{amount: 1000}}}}
                event_sinks:
                  journal: {{plugin: jsonl, options: {{path: events.jsonl}}}}
                """)
        )
        command = [PROGRAM, "run", "--config", config, "--web.listen-address", "127.0.0.1:0"]
        log = config.with_name("log")
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            wait_until(
                lambda: "/metrics" in log.read_text() and "web.listening" in log.read_text(), "the daemon to listen"
            )
            address = log.read_text().split("http://")[1].split("/")[0]
            with pytest.raises(urllib.error.HTTPError, match="503"):
                urllib.request.urlopen(f"http://{address}/-/ready", timeout=_PATIENCE_SECONDS)
            host, _, port = address.partition(":")
            with socket.create_connection((host, int(port)), timeout=_PATIENCE_SECONDS) as scraper:
                scraper.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                process.terminate()
                assert process.wait(_PATIENCE_SECONDS) == 0
        finally:
            process.kill()
            process.wait()
    assert "Traceback" not in log.read_text()


def test_daemon_stops_when_a_thread_of_it_hangs(config: Path, tmp_path: Path) -> None:
    """Another program locks the sink's file forever: the waiting thread ends with the process."""
    (tmp_path / "m.yaml").write_text(MODE.replace("reserve_ratio: 0.1", "reserve_ratio: 0.2"))
    with (tmp_path / "events.jsonl").open("w") as book:
        fcntl.flock(book, fcntl.LOCK_EX)
        with ReservdProcess(config) as daemon:
            metric = 'reservd_deliveries_pending{sink="journal"} 1'
            wait_until(lambda: metric in daemon.get("/metrics"), "a delivery that does not end")
            assert daemon.stop() == 0
            assert "daemon.stopped" in daemon.log()


def test_systemd_hears_when_the_daemon_is_ready_alive_and_stopping(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(_PATIENCE_SECONDS)
        environment = {**os.environ, "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "200000"}
        command = [PROGRAM, "run", "--config", config, "--web.listen-address", "127.0.0.1:0"]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        try:
            heard: list[bytes] = []
            while heard.count(b"WATCHDOG=1") < 3 or b"READY=1" not in heard:
                heard.append(systemd.recv(100))
            process.terminate()
            while b"STOPPING=1" not in heard:
                heard.append(systemd.recv(100))
            assert process.wait(_PATIENCE_SECONDS) == 0
        finally:
            process.kill()
            process.wait()


def test_daemon_says_so_in_one_line_when_its_address_is_taken(config: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [PROGRAM, "run", "--config", config, "--web.listen-address", address]
        found = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS)
    assert found.returncode == 1
    assert found.stderr.splitlines() == [f"reservd: cannot listen on {address}: Address already in use"]


def test_events_are_on_disk_when_the_daemon_stops_right_after_them(config: Path) -> None:
    """Events decided before SIGTERM are still delivered."""
    config.write_text(CONFIG.replace("amount: 110", "amount: 40"))
    # On a busy machine, a first cycle of a short interval may end without a reading.
    config.with_name("m.yaml").write_text(MODE.replace("interval: 0.2", "interval: 60"))
    with ReservdProcess(config) as daemon:
        daemon.stop()
    assert '"type":"reservd.reserve_critical.v1"' in config.with_name("events.jsonl").read_text()
