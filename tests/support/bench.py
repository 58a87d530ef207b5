"""Figures of benchmarks, printed beside a baseline of the same run."""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """One line of a report.

    Attributes:
        name: What was measured.
        value: The result, in `unit`.
        unit: Such as "ms".
        baseline: What `value` is compared with, in the same unit; None if there is none.
        goal: The maximum of the ratio to the baseline, or of the value if there is no baseline.
        note: For the reader.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    goal: float | None = None
    note: str = ""

    @property
    def line(self) -> str:
        """The line as printed."""
        ratio = None if self.baseline is None else self.value / self.baseline
        verdict = ""
        if self.goal is not None:
            held = (self.value if ratio is None else ratio) <= self.goal
            of = f" {self.unit}" if ratio is None else "x"
            verdict = f"goal {self.goal:g}{of}: {'met' if held else 'MISSED'}"
        compared = "" if ratio is None else f"{ratio:.3f}x"
        remarks = "; ".join(filter(None, (verdict, self.note)))
        return f"  {self.name:<44}{self.value:>12,.2f} {self.unit:<9}{compared:>9}  {remarks}".rstrip()


def median(rounds: int, measure: Callable[[], float]) -> float:
    """Return the median of some rounds, after one that is not counted."""
    measure()
    return sorted(measure() for _ in range(rounds))[rounds // 2]


def best_of(rounds: int, **measures: Callable[[], float]) -> dict[str, float]:
    """Return the minimum of each measure over some rounds.

    The minimum is closest to the cost of the work itself, since other load only adds to it. Measures take turns, so
    that a slow minute of the machine affects all of them.
    """
    found = [{name: measure() for name, measure in measures.items()} for _ in range(rounds)]
    return {name: min(each[name] for each in found) for name in measures}


def report(title: str, figures: Sequence[Figure]) -> None:
    """Print figures, each with its ratio to its baseline."""
    print(f"\n{title}", *(figure.line for figure in figures), sep="\n")
