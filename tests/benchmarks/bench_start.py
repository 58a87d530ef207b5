"""The cost of starting the daemon of `make run`, and of the command line's help."""

import subprocess
import sys
import time
from pathlib import Path

import psutil

from support.bench import Figure, median, report
from support.daemon import PROGRAM, ReservdProcess

DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"
ROUNDS = 5


def _run(*command: object) -> float:
    started = time.monotonic()
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    return (time.monotonic() - started) * 1e3


def bench_start() -> None:
    """Time and memory."""
    memory: list[float] = []

    def ready() -> float:
        started = time.monotonic()
        with ReservdProcess(DEMO) as daemon:
            took = (time.monotonic() - started) * 1e3
            memory.append(psutil.Process(daemon._process.pid).memory_info().rss / 1e6)
        return took

    base = median(ROUNDS, lambda: _run(sys.executable, "-c", "pass"))
    helping = median(ROUNDS, lambda: _run(PROGRAM, "--help"))
    first = median(ROUNDS, ready)
    report(
        "Starting",
        [
            Figure("python -c pass", base, "ms", base),
            Figure("reservd --help", helping, "ms", base),
            Figure("make run's daemon, to its first snapshot", first, "ms", base),
            Figure("make run's daemon, resident memory", sorted(memory)[len(memory) // 2], "MB"),
        ],
    )
