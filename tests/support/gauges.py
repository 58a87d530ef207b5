"""A real Prometheus that scrapes a small exporter of gauges."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from support.prometheus import Prometheus, require_prometheus


class Gauges(Collector):
    """Serves `reserve{of=…}`; a context manager that starts the exporter and the Prometheus.

    Attributes:
        url: The URL of the Prometheus.
    """

    def __init__(self, values: Mapping[str, float]) -> None:
        self._values = values
        self._resources = ExitStack()
        self.url = ""

    def __enter__(self) -> Self:
        require_prometheus()
        registry = CollectorRegistry()
        registry.register(self)
        with ExitStack() as starting:
            server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
            starting.callback(thread.join)
            starting.callback(server.server_close)
            starting.callback(server.shutdown)
            prometheus = starting.enter_context(Prometheus([f"127.0.0.1:{server.server_port}"]))
            prometheus.wait_for("reserve")
            self.url = prometheus.url
            self._resources = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield all of them."""
        gauge = GaugeMetricFamily("reserve", "What can be paid out.", labels=["of"])
        for of, value in self._values.items():
            gauge.add_metric([of], value)
        yield gauge
