"""A real Alertmanager for tests, which notifies a webhook at once.

    with Alertmanager(webhook_url) as alertmanager:
        ...  # POST alerts to alertmanager.url
        assert alertmanager.alerts() == []

Starting and stopping blocks for a fraction of a second, so it may be done in async tests too.
"""

import json
import re
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from support.polling import wait_until
from support.ports import KeptPort
from support.require import missing

_TIMEOUT_SECONDS = 60.0
_LISTENING = re.compile(r'msg="Listening on" address=(\S+)')


def require_alertmanager() -> str:
    """Return the path of Alertmanager; skip the test, or fail it, where it is not installed."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    return program or missing("prometheus-alertmanager", how="make setup-system installs it")


def require_amtool() -> str:
    """Return the path of amtool; skip the test, or fail it, where it is not installed."""
    return shutil.which("amtool") or missing("amtool", how="make setup-system installs it")


class Alertmanager:
    """An Alertmanager on 127.0.0.1, without a cluster; a context manager that starts and stops it.

    It keeps its port over a restart but loses its alerts, as Alertmanagers do.

    Attributes:
        url: The URL at which it listens.
    """

    def __init__(
        self, webhook_url: str, *, route_prefix: str = "/", inhibit_rules: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Prepare it.

        Args:
            webhook_url: Receives all notifications, those of resolved alerts included.
            route_prefix: The path prefix of its API.
            inhibit_rules: As in its configuration.
        """
        self._webhook_url = webhook_url
        self._inhibit_rules = list(inhibit_rules)
        self._prefix = route_prefix
        self._port = KeptPort()
        self.url = f"http://127.0.0.1:{self._port.number}{route_prefix.rstrip('/')}"
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = tempfile.TemporaryDirectory(prefix="reservd-alertmanager-")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._port.close()
        self._directory.cleanup()

    def start(self) -> None:
        """Start it with an empty storage."""
        directory = Path(self._directory.name)
        shutil.rmtree(directory / "data", ignore_errors=True)
        config, log = directory / "alertmanager.yaml", directory / "log"
        config.write_text(yaml.safe_dump(self._config()))
        command = [require_alertmanager(), f"--config.file={config}", f"--storage.path={directory / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{self._port.number}", "--cluster.listen-address="]
        command += [f"--web.route-prefix={self._prefix}", "--log.level=debug"]
        with log.open("wb") as output:
            process = self._process = subprocess.Popen(command, stdout=output, stderr=output)
        wait_until(
            lambda: process.poll() is not None or _LISTENING.search(log.read_text()) is not None,
            "Alertmanager to listen",
            timeout_seconds=_TIMEOUT_SECONDS,
        )
        if process.poll() is not None:
            raise RuntimeError(f"Alertmanager did not start: {log.read_text()}")
        wait_until(self._ready, "Alertmanager to be ready", timeout_seconds=_TIMEOUT_SECONDS)

    def stop(self) -> None:
        """Stop it, if it is running."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def alerts(self) -> list[dict[str, Any]]:
        """Return the firing alerts by name."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=_TIMEOUT_SECONDS) as answer:
            alerts: list[dict[str, Any]] = json.load(answer)
        return sorted(alerts, key=lambda alert: str(alert["labels"]["alertname"]))

    def firing(self) -> list[str]:
        """Return the names of the firing alerts."""
        return [alert["labels"]["alertname"] for alert in self.alerts()]

    def _config(self) -> dict[str, Any]:
        route = {"receiver": "test", "group_by": ["alertname", "mode"], "group_wait": "0s", "group_interval": "100ms"}
        webhook = {"url": self._webhook_url, "send_resolved": True}
        return {
            "global": {"resolve_timeout": "1s"},
            "route": {**route, "repeat_interval": "1h"},
            "receivers": [{"name": "test", "webhook_configs": [webhook]}],
            "inhibit_rules": self._inhibit_rules,
        }

    def _ready(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/-/ready", timeout=_TIMEOUT_SECONDS):
            return True
        return False
