"""The results of calls at one block."""

from collections.abc import Iterable, Mapping
from typing import Any

from reservd.errors import SourceError
from reservd.plugin.evm.answers import invalid
from reservd.plugin.evm.blocks import Block
from reservd.plugin.evm.calls import Call, ContractError, Ether, Outcome, Query

_NOT_ASKED = invalid("it was not asked for")


class Results:
    """The results of calls, all at one block.

    Attributes:
        block: The block.
    """

    def __init__(self, block: Block, outcomes: Mapping[Query, Outcome]) -> None:
        self.block = block
        self._outcomes = outcomes

    def outcome(self, query: Query) -> Outcome:
        """Return the outcome of a call. A call that was not made counts as failed."""
        return self._outcomes.get(query, _NOT_ASKED)

    def values(self, call: Call) -> tuple[Any, ...]:
        """Return the values that a call returned: addresses in lower case, numbers as `int`.

        Raises:
            SourceError: If it was reverted, not answered, or returned something else.
        """
        outcome = self.outcome(call)
        if isinstance(outcome, SourceError):
            raise SourceError(outcome.reason, f"{call.function.name}(): {outcome.detail}")
        return outcome

    def number(self, call: Call) -> int:
        """Return the only number that a call returned. Raises the errors of `values`."""
        return int(self.values(call)[0])

    def address(self, call: Call) -> str:
        """Return the only address that a call returned. Raises the errors of `values`."""
        return str(self.values(call)[0])

    def wei(self, ether: Ether) -> int:
        """Return an ether balance in wei. Raises the errors of `values`."""
        outcome = self.outcome(ether)
        if isinstance(outcome, SourceError):
            raise outcome
        return int(outcome[0])

    def reverted(self, call: Call) -> bool:
        """Return whether the contract itself reverted the call, or has no such function; no other failure counts."""
        outcome = self.outcome(call)
        return isinstance(outcome, ContractError) and outcome.reverted

    def lacking(self, queries: Iterable[Query]) -> list[Query]:
        """Return those of the queries that were not made, each once."""
        return [query for query in dict.fromkeys(queries) if query not in self._outcomes]

    def failures(self) -> list[SourceError]:
        """Return the errors of failed calls."""
        return [outcome for outcome in self._outcomes.values() if isinstance(outcome, SourceError)]

    def count(self) -> int:
        """Return the number of calls that returned a value that may change."""
        return sum(
            not isinstance(outcome, SourceError) for query, outcome in self._outcomes.items() if not query.constant
        )

    def items(self) -> Iterable[tuple[Query, Outcome]]:
        """Return all queries with their outcomes."""
        return self._outcomes.items()
