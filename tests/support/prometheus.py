"""A real Prometheus for tests that scrapes the given targets.

    with Prometheus([daemon.address], rules=[RULES]) as prometheus:
        prometheus.wait_for('up{job="reservd"} == 1')
        balances = prometheus.query("reservd_reserve_balance")

All calls block: make them through `asyncio.to_thread` where the scraped server runs in the test's own loop.
"""

import json
import math
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from support.polling import wait_until
from support.require import missing

_TIMEOUT_SECONDS = 60.0
_LISTENING = re.compile(r'msg="Listening on" address=(\S+)')


def require_prometheus() -> str:
    """Return the path of Prometheus; skip the test, or fail it, where it is not installed."""
    return shutil.which("prometheus") or missing("prometheus", how="make setup-system installs it")


def require_promtool() -> str:
    """Return the path of promtool; skip the test, or fail it, where it is not installed."""
    return shutil.which("promtool") or missing("promtool", how="make setup-system installs it")


class QueryError(Exception):
    """Prometheus refused a query; the text says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One element of a query's result.

    Attributes:
        labels: Name and value of each label, `__name__` included; empty for a scalar.
        value: May be NaN.
    """

    labels: dict[str, str]
    value: float


class Prometheus:
    """A Prometheus on 127.0.0.1 with the job name `reservd`; a context manager that starts and stops it.

    Attributes:
        url: The URL at which it listens, once it is started.
    """

    url: str

    def __init__(
        self, targets: Sequence[str], rules: Sequence[Path] = (), *, scrape_interval_seconds: float = 0.2
    ) -> None:
        """Prepare it.

        Args:
            targets: The targets to scrape, each `host:port`, at the path `/metrics`.
            rules: Rule files, evaluated at the scrape interval.
            scrape_interval_seconds: The scrape interval.
        """
        self._targets = list(targets)
        self._rules = [str(rule.resolve()) for rule in rules]
        self._interval = f"{scrape_interval_seconds * 1000:.0f}ms"
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            directory = Path(starting.enter_context(tempfile.TemporaryDirectory(prefix="reservd-prometheus-")))
            log = directory / "log"
            process = self._start(require_prometheus(), directory, log)
            starting.callback(_stop, process)
            wait_until(
                lambda: process.poll() is not None or _LISTENING.search(log.read_text()) is not None,
                "Prometheus to listen",
                timeout_seconds=_TIMEOUT_SECONDS,
            )
            listening = _LISTENING.search(log.read_text())
            if listening is None:
                raise RuntimeError(f"Prometheus did not start: {log.read_text()}")
            self.url = f"http://{listening[1]}"
            wait_until(self._ready, "Prometheus to be ready", timeout_seconds=_TIMEOUT_SECONDS)
            self._resources = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def query(self, expression: str) -> list[Sample]:
        """Return the current result of an expression.

        Raises:
            QueryError: If Prometheus does not understand it.
        """
        body = urllib.parse.urlencode({"query": expression}).encode()
        try:
            data = self._call("/api/v1/query", body)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise QueryError(f"{expression}: {json.load(error)['error']}") from None
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(each["metric"], float(each["value"][1])) for each in data["result"]]

    def wait_for(self, expression: str) -> list[Sample]:
        """Return the result of an expression as soon as there is one other than NaN.

        Raises:
            TimeoutError: If there is none in time.
            QueryError: If Prometheus does not understand it.
        """
        found: list[Sample] = []

        def gives() -> bool:
            found[:] = [sample for sample in self.query(expression) if not math.isnan(sample.value)]
            return bool(found)

        wait_until(gives, f"{expression} to give data", timeout_seconds=_TIMEOUT_SECONDS)
        return found

    def told(self) -> set[str]:
        """Return the names of all metrics of the targets, including those without series."""
        return set(self._call("/api/v1/metadata")["data"])

    def firing(self) -> set[str]:
        """Return the names of the firing alerts."""
        alerts = self._call("/api/v1/alerts")["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def _start(self, program: str, directory: Path, log: Path) -> subprocess.Popen[bytes]:
        config = directory / "prometheus.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": self._interval, "evaluation_interval": self._interval},
                    "rule_files": self._rules,
                    "scrape_configs": [{"job_name": "reservd", "static_configs": [{"targets": self._targets}]}],
                }
            )
        )
        command = [program, f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}"]
        command += ["--web.listen-address=127.0.0.1:0"]
        with log.open("wb") as output:
            return subprocess.Popen(command, stdout=output, stderr=output)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=_TIMEOUT_SECONDS):
                return True
        except OSError:
            return False

    def _call(self, path: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", body, timeout=_TIMEOUT_SECONDS) as answer:
            return json.load(answer)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
