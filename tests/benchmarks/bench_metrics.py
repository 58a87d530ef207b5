"""The metrics page of 10,000 modes, beside `prometheus_client` rendering the same series."""

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from reservd import ReserveManager
from reservd.web.metrics import Metrics
from reservd.web.mode_gauges import _FAMILIES
from reservd.web.page import MetricsPage
from reservd.web.server import WebServer
from reservd.web.site import make_site
from support.bench import Figure, median, report
from support.fleet import Fleet

ROUNDS = 5


_SCRAPE = """
import gzip, sys, time, urllib.request
times = {True: [], False: []}
for number in range(12):
    zipped = bool(number % 2)
    headers = {"Accept-Encoding": "gzip"} if zipped else {}
    started = time.monotonic()
    with urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=headers), timeout=60) as answer:
        body = answer.read()
    times[zipped].append((time.monotonic() - started) * 1e3)
    time.sleep(0.2)
size = len(gzip.decompress(body))
print(sorted(times[False])[3], sorted(times[True])[3], size)
"""


class SameSeries:
    """As many gauges with as many labels, collected anew on every scrape."""

    def __init__(self, modes: int) -> None:
        self.modes = modes

    def collect(self) -> Any:
        """Yield the families."""
        for name, text, extras in _FAMILIES:
            labels = ["mode", "share_class", *(["kind"] if extras[0] else [])]
            family = GaugeMetricFamily(name, text, labels=labels)
            for extra in extras:
                for mode in range(self.modes):
                    family.add_metric([f"mode_{mode}", "USDT", *([extra] if extra else [])], 60012.345678)
            yield family


def bench_metrics_page_of_ten_thousand_modes() -> None:
    """CPU to keep the page current, time to serve it, and how long the event loop stood still."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    fleet = Fleet()
    with asyncio.Runner() as runner:
        metrics = Metrics(dict.fromkeys(fleet.modes, "USDT"), {30.0}, fleet.balance_sources)
        page = MetricsPage(metrics.take, metrics.render)
        manager = ReserveManager(fleet.equity_sources, fleet.balance_sources, observers=[metrics])
        for mode, config in fleet.modes.items():
            manager.set_reserve_config(mode, config)

        def cycle(change: Callable[[], None]) -> None:
            change()
            runner.run(manager.check_all_reserves())  # type: ignore[arg-type]

        def keep(change: Callable[[], None]) -> float:
            cycle(change)
            changes = metrics.take()
            started = time.process_time()
            page._make(changes)
            return (time.process_time() - started) * 1e3

        registry = CollectorRegistry()
        registry.register(SameSeries(len(fleet.modes)))  # type: ignore[arg-type]

        def theirs() -> float:
            started = time.process_time()
            generate_latest(registry)
            return (time.process_time() - started) * 1e3

        cycle(fleet.change_all)
        gc.collect()
        gc.freeze()
        base = median(ROUNDS, theirs)
        full = median(ROUNDS, lambda: keep(fleet.change_all))
        some = median(ROUNDS, lambda: keep(fleet.change_some))
        plain, zipped, stall, size = runner.run(_serve(fleet, manager, page))
        gc.unfreeze()
    report(
        f"The metrics page of {len(fleet.modes):,} modes ({size / 1e6:.0f} MB)",
        [
            Figure("prometheus_client.generate_latest, plain", base, "ms CPU", base),
            Figure("every mode new, plain and gzipped", full, "ms CPU", base, goal=0.2),
            Figure("one mode in a hundred new", some, "ms CPU", base, goal=0.2),
            Figure("served plain", plain, "ms"),
            Figure("served gzipped", zipped, "ms"),
            Figure("longest stall while scraped and checking", stall, "ms", goal=50),
        ],
    )


async def _serve(fleet: Fleet, manager: ReserveManager, page: MetricsPage) -> tuple[float, float, float, int]:
    """Return the milliseconds of a plain and a gzipped scrape, the longest stall meanwhile, and the page's size."""
    manager.add_observer(page)
    web = WebServer(make_site(page, healthy=lambda: True, ready=lambda: True), ["127.0.0.1:0"])
    await page.start()
    await web.start()
    stalls: list[float] = []

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            stalls.append((time.monotonic() - before - 0.001) * 1e3)

    # Another process scrapes, as Prometheus does: its own work must not stand in this loop's way.
    scraper = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SCRAPE, f"http://{web.addresses[0]}/metrics", stdout=asyncio.subprocess.PIPE
    )
    scraping = asyncio.create_task(scraper.communicate())
    while not scraping.done():
        fleet.change_all()
        ticking = asyncio.create_task(tick())
        await manager._run_cycle(30.0)
        await asyncio.sleep(0.5)
        ticking.cancel()
    answer, _ = await scraping
    await page.close()
    await web.close()
    plain, gzipped, size = answer.split()
    return float(plain), float(gzipped), max(stalls), int(size)
