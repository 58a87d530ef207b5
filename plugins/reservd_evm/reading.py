"""What one endpoint says in one reading."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from reservd.plugin import FailureReason, SourceError
from reservd_evm.answers import Outcome
from reservd_evm.blocks import Block
from reservd_evm.config import BlockTag
from reservd_evm.queries import Query

_OF_THE_ENDPOINT = frozenset({FailureReason.TIMEOUT, FailureReason.UNREACHABLE, FailureReason.RATE_LIMITED})
"""Failures of a single balance that another endpoint need not share."""


class Heads(NamedTuple):
    """The blocks that a node names.

    Attributes:
        latest: Its latest block.
        tagged: The blocks that balances are read at, the newest first.
    """

    latest: Block
    tagged: Mapping[BlockTag, Block]


class Sighting(NamedTuple):
    """One balance as it may be believed.

    Attributes:
        units: In the asset's smallest unit, or why they are not known.
        block: The block that they were read at.
        observed_at: Until when they are known to be there: the time of the newest block that was read.
    """

    units: Outcome
    block: Block
    observed_at: datetime


class NodeReading(NamedTuple):
    """All balances at one block, or at two.

    Attributes:
        blocks: The block of each tag, the newest first.
        units: What was found at each, in the smallest unit of each asset, or why it was not.
        decimals: The decimals of each asset, or why they are not known.
    """

    blocks: Mapping[BlockTag, Block]
    units: Mapping[BlockTag, Mapping[Query, Outcome]]
    decimals: Mapping[str, Outcome]

    def believed(self, query: Query) -> Sighting:
        """Return the lower of the balances at the newer and the older block.

        A drop so counts from the newer block, a rise only from the older one. Where both hold
        the same the newer one is named. One that failed leaves the balance unknown: the other
        alone may be too high.
        """
        observed_at = next(iter(self.blocks.values())).time
        numbers: list[tuple[int, Block]] = []
        for tag, block in self.blocks.items():
            units = self.units[tag][query]
            if isinstance(units, SourceError):
                return Sighting(units, block, observed_at)
            numbers.append((units, block))
        return Sighting(*min(numbers, key=lambda number: number[0]), observed_at)

    @property
    def numbers(self) -> int:
        """Return how many balances were read."""
        return sum(not isinstance(outcome, SourceError) for outcome in self._outcomes())

    @property
    def failure(self) -> SourceError | None:
        """Return why another endpoint may be able to read more; None when this one did what can be done.

        What a contract itself refuses, it refuses everywhere. When nothing at all could be
        read, it is rather the node: one that dropped the state of that block, for example.
        """
        failures = [outcome for outcome in self._outcomes() if isinstance(outcome, SourceError)]
        failures += [outcome for outcome in self.decimals.values() if isinstance(outcome, SourceError)]
        own = next((failure for failure in failures if failure.reason in _OF_THE_ENDPOINT), None)
        if own is None and failures and not self.numbers:
            return failures[0]
        return own

    def _outcomes(self) -> Iterator[Outcome]:
        for found in self.units.values():
            yield from found.values()
