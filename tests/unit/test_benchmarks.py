"""The list of benchmarks is complete."""

import re
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_readme_lists_every_benchmark_with_what_it_is_compared_with() -> None:
    rows = re.findall(
        r"^\| `(bench_\w+\.py)` \| (.+) \| (.+) \|$", (BENCHMARKS / "README.md").read_text(), re.MULTILINE
    )
    assert sorted(name for name, _, _ in rows) == sorted(path.name for path in BENCHMARKS.glob("bench_*.py"))
