"""The metrics page of 10,000 modes, compared with `prometheus_client` for the same series; the daemon serving it."""

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from reservd import ReserveManager
from reservd.app import Daemon
from reservd.config.load import Config
from reservd.config.settings import Settings
from reservd.duty import settle
from reservd.web.metrics import Metrics, Series
from reservd.web.page import MetricsPage
from support.bench import Figure, best_of, report
from support.fleet import Fleet

ROUNDS = 5
SCRAPES = 30

_SCRAPE = """
import http.client, sys, time

host, scrapes = sys.argv[1], int(sys.argv[2])
times = {"identity": [], "gzip": []}
for number in range(scrapes):
    coding = ("identity", "gzip")[number % 2]
    connection = http.client.HTTPConnection(host, timeout=60)
    started = time.monotonic()
    connection.request("GET", "/metrics", headers={"Accept-Encoding": coding})
    answer = connection.getresponse()
    body = answer.read()
    times[coding].append((time.monotonic() - started) * 1e3)
    assert answer.status == 200 and answer.headers.get("Content-Encoding", "identity") == coding
    connection.close()
    time.sleep(0.13)
for coding in times:
    print(sorted(times[coding])[len(times[coding]) // 2])
"""
"""Prints the median milliseconds of a plain and of a gzipped scrape, in a process of its own like Prometheus."""


class Serving(NamedTuple):
    """The times of scraping a working daemon, in milliseconds."""

    plain: float
    gzipped: float
    stalls: list[float]
    cycles: int


class _Parsed(Collector):
    """The samples of a page, rendered by `prometheus_client`."""

    def __init__(self, page: bytes) -> None:
        self._families = list(text_string_to_metric_families(page.decode()))
        self.samples = sum(len(family.samples) for family in self._families)

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def bench_metrics_page_of_ten_thousand_modes() -> None:
    """CPU to keep the page current, including gzip."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    fleet = Fleet()
    with asyncio.Runner() as runner:
        metrics = Metrics(
            Series(dict.fromkeys(fleet.modes, "USDT"), {30.0}, (*fleet.balance_sources, *fleet.equity_sources))
        )
        page = MetricsPage(metrics.take, metrics.render)
        manager = ReserveManager(fleet.equity_sources, fleet.balance_sources, observers=[metrics])
        for mode, config in fleet.modes.items():
            manager.set_reserve_config(mode, config)

        def keep(change: Callable[[], None]) -> float:
            change()
            runner.run(manager._cycles.run(30.0))
            started = time.process_time()
            page._make(metrics.take())
            return (time.process_time() - started) * 1e3

        keep(fleet.change_all)
        parsed = _Parsed(metrics.render(metrics.take()))
        registry = CollectorRegistry()
        registry.register(parsed)

        def theirs() -> float:
            started = time.process_time()
            generate_latest(registry)
            return (time.process_time() - started) * 1e3

        settle()
        cost = best_of(
            ROUNDS,
            theirs=theirs,
            all=lambda: keep(fleet.change_all),
            some=lambda: keep(fleet.change_some),
        )
        gc.unfreeze()
    report(
        f"The metrics page of {len(fleet.modes):,} modes, {parsed.samples:,} series: CPU to make it after a cycle",
        [
            Figure("prometheus_client.generate_latest, not gzipped", cost["theirs"], "ms"),
            Figure("every mode new, plain and gzipped", cost["all"], "ms", cost["theirs"], 0.2),
            Figure("one mode in a hundred new", cost["some"], "ms", cost["theirs"], 0.2),
        ],
    )


def bench_serving_ten_thousand_modes(tmp_path: Path) -> None:
    """Time of a scrape, and the longest stall of the daemon's event loop, while every mode changes each second."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    fleet = Fleet(interval_seconds=1)
    found = asyncio.run(_serve(fleet, tmp_path))
    gc.unfreeze()
    stalls = sorted(found.stalls)
    report(
        f"The daemon with {len(fleet.modes):,} modes, {found.cycles} cycles with every reading new, {SCRAPES} scrapes",
        [
            Figure("a scrape, plain", found.plain, "ms"),
            Figure("a scrape, gzipped", found.gzipped, "ms"),
            Figure("longest stall of the event loop", stalls[-1], "ms", goal=50),
            Figure("99th percentile of stalls", stalls[len(stalls) * 99 // 100], "ms"),
        ],
    )


async def _serve(fleet: Fleet, folder: Path) -> Serving:
    settings = Settings(modes=("*.yaml",))
    config = Config(settings, folder, fleet.modes, fleet.balance_sources, fleet.equity_sources, {}, {})
    daemon = Daemon(config, ["127.0.0.1:0"])
    # As many as there may be cycles: preparing readings is the venues' work, and not measured.
    fleet.renew(20)
    running = asyncio.create_task(daemon.run())
    while daemon.manager is None or not daemon.manager.ready:  # there is no other signal
        await asyncio.sleep(0.01)
    reads = fleet.reads
    stalls: list[float] = []
    ticking = asyncio.create_task(_tick(stalls))
    scraper = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SCRAPE, daemon.addresses[0], str(SCRAPES), stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await scraper.communicate()
    ticking.cancel()
    cycles = (fleet.reads - reads) // (len(fleet.balance_sources) + len(fleet.equity_sources))
    daemon.stop()
    await running
    plain, gzipped = map(float, answer.split())
    return Serving(plain, gzipped, stalls, cycles)


async def _tick(stalls: list[float]) -> None:
    """Record by how many milliseconds each millisecond of sleep was late."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.001)
        stalls.append((time.monotonic() - before - 0.001) * 1e3)
