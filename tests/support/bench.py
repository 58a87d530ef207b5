"""Figures of benchmarks, printed beside a baseline of the same run."""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """One line of a report.

    Attributes:
        name: What was measured.
        value: How much, in `unit`.
        unit: Such as "ms".
        baseline: What `value` is compared with, in the same unit; None when with nothing.
        goal: What the ratio to the baseline should stay under or at; without a baseline, the value.
        note: For people.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    goal: float | None = None
    note: str = ""

    @property
    def line(self) -> str:
        """The line as it is printed."""
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
    """Return the median of some rounds, after one that does not count."""
    measure()
    return sorted(measure() for _ in range(rounds))[rounds // 2]


def best_of(rounds: int, **measures: Callable[[], float]) -> dict[str, float]:
    """Return the least figure of each measure out of some rounds.

    The least is what the work itself takes: whatever else the machine does only adds to it. Measures
    take turns, so that a slow minute of the machine hits all of them.
    """
    found = [{name: measure() for name, measure in measures.items()} for _ in range(rounds)]
    return {name: min(each[name] for each in found) for name in measures}


def report(title: str, figures: Sequence[Figure]) -> None:
    """Print figures, each with its ratio to its baseline."""
    print(f"\n{title}", *(figure.line for figure in figures), sep="\n")
