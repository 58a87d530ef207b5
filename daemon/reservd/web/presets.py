"""Series that exist from the start at 0, since `rate()` misses the first increment of a new series."""

import itertools
from collections.abc import Iterable, Mapping

from prometheus_client.metrics import MetricWrapperBase


class Presets:
    """The families whose first label names something that is configured.

    Args:
        label: That label.
        families: With the closed set of the values of their second label; empty where they have none.

    Attributes:
        names: What is configured.
    """

    def __init__(self, label: str, families: Mapping[MetricWrapperBase, Iterable[object]]) -> None:
        self._label = label
        self._families = families
        self.names: frozenset[str] = frozenset()

    def configure(self, names: Iterable[str]) -> None:
        """Know these from now on, instead of those that are known: what is new begins at 0, what is gone is left out.

        Args:
            names: What is configured.
        """
        known = frozenset(names)
        for family, words in self._families.items():
            for gone in self.names - known:
                family.remove_by_labels({self._label: gone})
            for values in itertools.product(sorted(known), words) if words else zip(sorted(known)):
                family.labels(*values)
        self.names = known
