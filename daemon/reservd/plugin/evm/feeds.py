"""Price feeds with Chainlink's aggregator interface: the latest round, and whether it can be trusted."""

from datetime import UTC, datetime

from reservd.plugin.evm.answers import invalid
from reservd.plugin.evm.calls import Function
from reservd.plugin.evm.results import Results

LATEST_ROUND = Function("latestRoundData", returns=("uint80", "int256", "uint256", "uint256", "uint80"))
"""The round's id, its answer, its start, the time of the answer, and the round of the answer."""


def fresh_answer(address: str, results: Results, *, heartbeat: float, slack: float) -> int:
    """Return the answer of a feed's latest round, in the feed's smallest unit.

    Args:
        address: The feed's address.
        results: Include its `LATEST_ROUND`.
        heartbeat: Seconds within which the feed promises a new answer.
        slack: Seconds by which an answer may be late, because a transaction takes time.

    Raises:
        SourceError: If it could not be read; if the round is incomplete, of an earlier round or later than its block;
            or if the answer is older than promised or not above 0.
    """
    round_id, answer, _, updated_at, answered_in = results.values(LATEST_ROUND.on(address))
    if not updated_at:
        raise invalid("latestRoundData(): the round is not complete")
    if answered_in < round_id:
        raise invalid("latestRoundData(): the answer is of an earlier round")
    seconds = seconds_since(updated_at, results)
    if seconds < 0:
        raise invalid("latestRoundData(): the answer is of a time after its block")
    if seconds > heartbeat + slack:
        at = datetime.fromtimestamp(updated_at, UTC).isoformat()
        raise invalid(f"latestRoundData(): the answer is of {at}, older than the heartbeat of {heartbeat:g} s")
    if answer <= 0:
        raise invalid("latestRoundData(): the answer is not above 0")
    return int(answer)


def seconds_since(moment: int, results: Results) -> int:
    """Return how many seconds before the block something happened, by the block's own clock."""
    return int(results.block.time.timestamp()) - moment
