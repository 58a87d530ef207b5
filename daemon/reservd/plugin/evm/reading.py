"""One reading from one endpoint, step by step."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from reservd.errors import FailureReason, SourceError
from reservd.plugin.evm.blocks import Block
from reservd.plugin.evm.calls import ContractError, Query
from reservd.plugin.evm.options import BlockTag
from reservd.plugin.evm.results import Results

_OF_THE_ENDPOINT = frozenset({FailureReason.TIMEOUT, FailureReason.UNREACHABLE, FailureReason.RATE_LIMITED})
"""Failures of a single call that another endpoint may not have."""

Step = Callable[[Results], Iterable[Query]]
"""Returns the next queries from the results so far. It runs for every endpoint and block, so it must not keep state."""


class Work(NamedTuple):
    """What a reading asks for.

    Attributes:
        tags: The blocks to read, the newest first.
        queries: The first queries.
        steps: The following steps, in order.
    """

    tags: tuple[BlockTag, ...]
    queries: tuple[Query, ...]
    steps: tuple[Step, ...] = ()


class Heads(NamedTuple):
    """The blocks that a node names.

    Attributes:
        latest: Its latest block.
        tagged: The blocks to read, the newest first.
    """

    latest: Block
    tagged: Mapping[BlockTag, Block]


class NodeReading(NamedTuple):
    """The results of one endpoint in one reading.

    Attributes:
        results: The results at each block, the newest first.
        refusal: The error of a step that could not continue with the results so far; None if all did.
    """

    results: Mapping[BlockTag, Results]
    refusal: SourceError | None = None

    @property
    def numbers(self) -> int:
        """The number of calls that returned a value that may change."""
        return sum(results.count() for results in self.results.values())

    @property
    def failure(self) -> SourceError | None:
        """Why another endpoint may be able to read more; None when this one did everything that is possible.

        A contract refuses a call on every node. When nothing at all could be read, the node is the more likely cause,
        for example because it dropped the state of that block.
        """
        failures = [failure for results in self.results.values() for failure in results.failures()]
        own = next((failure for failure in failures if failure.reason in _OF_THE_ENDPOINT), None)
        if own is None and not self.numbers:
            return next((failure for failure in failures if not isinstance(failure, ContractError)), None)
        return own
