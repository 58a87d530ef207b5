"""Figures of benchmarks, printed side by side with a baseline of the same run."""

from collections.abc import Callable, Sequence


def best(rounds: int, measure: Callable[[], float]) -> float:
    """Return the median of some rounds, after one that does not count."""
    measure()
    return sorted(measure() for _ in range(rounds))[rounds // 2]


def report(title: str, rows: Sequence[tuple[str, float, str, float | None, str]], scale: float = 1.0) -> None:
    """Print one row a figure: what, how much, its ratio to a baseline, a remark.

    Args:
        title: What was measured.
        rows: Name, figure, unit, the baseline in the unit of `figure * scale` (None: no ratio), remark.
        scale: Turns a figure back into the baseline's unit.
    """
    print(f"\n{title}")
    for name, figure, unit, base, remark in rows:
        ratio = f"{figure * scale / base:6.2f}x" if base else "       "
        print(f"  {name:<34}{figure:>12.3f} {unit:<6}{ratio}  {remark}")
