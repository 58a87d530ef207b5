"""The cost of importing each plugin alone, compared with what all plugins share."""

import subprocess
import sys
from importlib.metadata import entry_points

from support.bench import Figure, report

ROUNDS = 3
_PROGRAM = """
import importlib, sys, time
import psutil
import reservd.plugin
before, began = psutil.Process().memory_info().rss, time.process_time()
for hook in vars(importlib.import_module(sys.argv[1])).values():
    if getattr(hook, "__module__", "") == sys.argv[1] and callable(hook):
        hook()
print(time.process_time() - began, psutil.Process().memory_info().rss - before)
"""


def bench_each_plugin_alone() -> None:
    """CPU and memory that the first use of a plugin adds to a process that has `reservd.plugin`."""
    base, _ = _cost("", "-c", "import time; import reservd.plugin; print(time.process_time(), 0)")
    figures = [Figure("reservd.plugin and Python itself, CPU", base * 1e3, "ms", base * 1e3)]
    for point in sorted(entry_points(group="reservd"), key=lambda point: point.name):
        seconds, more = _cost(point.value, "-c", _PROGRAM)
        figures.append(Figure(f"{point.name}, CPU", seconds * 1e3, "ms", base * 1e3, note=f"{more / 1e6:.1f} MB"))
    report("Importing each plugin alone", figures)


def _cost(module: str, *program: str) -> tuple[float, float]:
    found = []
    for _ in range(ROUNDS):
        told = subprocess.run([sys.executable, *program, module], check=True, capture_output=True, text=True).stdout
        seconds, more = map(float, told.split())
        found.append((seconds, more))
    return min(found)
