"""Series that exist from the start at 0, since `rate()` misses the first increment of a new series."""

import itertools
from collections.abc import Iterable, Mapping

from prometheus_client.metrics import MetricWrapperBase


class Presets:
    """Metric families whose first label names something from the configuration.

    Args:
        label: That label.
        families: Each with the closed set of values of its second label; empty if it has none.

    Attributes:
        names: The configured names.
    """

    def __init__(self, label: str, families: Mapping[MetricWrapperBase, Iterable[object]]) -> None:
        self._label = label
        self._families = families
        self.names: frozenset[str] = frozenset()

    def configure(self, names: Iterable[str]) -> None:
        """Replace the known names. Series of new names start at 0; series of removed names are dropped.

        Args:
            names: The configured names.
        """
        known = frozenset(names)
        for family, words in self._families.items():
            for gone in self.names - known:
                family.remove_by_labels({self._label: gone})
            for values in itertools.product(sorted(known), words) if words else zip(sorted(known)):
                family.labels(*values)
        self.names = known
