"""One reading from one endpoint, step by step."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from reservd.errors import FailureReason, SourceError
from reservd.plugin.evm.blocks import Block
from reservd.plugin.evm.calls import ContractError, Query
from reservd.plugin.evm.options import BlockTag
from reservd.plugin.evm.results import Results

_OF_THE_ENDPOINT = frozenset({FailureReason.TIMEOUT, FailureReason.UNREACHABLE, FailureReason.RATE_LIMITED})
"""Failures of a single call that another endpoint need not share."""

Step = Callable[[Results], Iterable[Query]]
"""Gives what to ask next, by what was found so far. Called for every endpoint and every block: it must keep nothing."""


class Work(NamedTuple):
    """What a reading asks for.

    Attributes:
        tags: The blocks it is asked at, the newest first.
        queries: What is asked first.
        steps: What is asked then, one after another.
    """

    tags: tuple[BlockTag, ...]
    queries: tuple[Query, ...]
    steps: tuple[Step, ...] = ()


class Heads(NamedTuple):
    """The blocks that a node names.

    Attributes:
        latest: Its latest block.
        tagged: The blocks that are read, the newest first.
    """

    latest: Block
    tagged: Mapping[BlockTag, Block]


class NodeReading(NamedTuple):
    """What one endpoint says in one reading.

    Attributes:
        results: What was found at each block, the newest first.
        refusal: Why a step gave nothing more to ask, by what was found so far; None when all did.
    """

    results: Mapping[BlockTag, Results]
    refusal: SourceError | None = None

    @property
    def numbers(self) -> int:
        """Return how many calls told what may have changed."""
        return sum(results.count() for results in self.results.values())

    @property
    def failure(self) -> SourceError | None:
        """Return why another endpoint may be able to read more; None when this one did what can be done.

        What a contract itself refuses, it refuses everywhere. When nothing at all could be
        read, it is rather the node: one that dropped the state of that block, for example.
        """
        failures = [failure for results in self.results.values() for failure in results.failures()]
        own = next((failure for failure in failures if failure.reason in _OF_THE_ENDPOINT), None)
        if own is None and not self.numbers:
            return next((failure for failure in failures if not isinstance(failure, ContractError)), None)
        return own
