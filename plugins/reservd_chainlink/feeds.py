"""The calls to a feed, and the checks of its answer."""

from collections.abc import Iterator
from decimal import Decimal

from reservd.plugin import SourceError
from reservd.plugin.evm import (
    LATEST_ROUND,
    Call,
    Function,
    Results,
    fresh_answer,
    invalid,
    seconds_since,
    whole_units,
)
from reservd_chainlink.config import ChainlinkFeed, ChainlinkSequencer

_DECIMALS = Function("decimals", returns=("uint8",))
"""Unlike a token's, they may change with the contract behind the proxy: read together with each answer."""
_DESCRIPTION = Function("description", returns=("string",))
_UP = 0
_MAX_SHOWN = 40


def feed_calls(feed: ChainlinkFeed) -> Iterator[Call]:
    """Yield the calls for a feed's answer."""
    yield LATEST_ROUND.on(feed.address)
    yield _DECIMALS.on(feed.address)
    yield _DESCRIPTION.on(feed.address)


def sequencer_call(sequencer: ChainlinkSequencer) -> Call:
    """Return the call for the state of a sequencer."""
    return LATEST_ROUND.on(sequencer.address)


def answer_of(name: str, feed: ChainlinkFeed, results: Results, slack_seconds: float) -> Decimal:
    """Return a feed's answer, in whole units.

    Args:
        name: The feed's pair.
        feed: Its address and its promises.
        results: Of its `feed_calls`.
        slack_seconds: How much later than its heartbeat an answer may come.

    Raises:
        SourceError: If it could not be read, is another feed than configured, or its answer is invalid.
    """
    try:
        _check_description(name, feed, results)
        return _believed(feed, results, slack_seconds)
    except SourceError as error:
        raise SourceError(error.reason, f"{name}: {error.detail}") from None


def check_sequencer(sequencer: ChainlinkSequencer, results: Results) -> None:
    """Refuse prices while the sequencer is down, and for a while after: they could not be updated.

    Raises:
        SourceError: If it is down, came back recently, or cannot be read.
    """
    try:
        _, answer, started_at, _, _ = results.values(sequencer_call(sequencer))
    except SourceError as error:
        raise SourceError(error.reason, f"sequencer: {error.detail}") from None
    if answer != _UP:
        raise invalid("sequencer: it is down")
    seconds = seconds_since(started_at, results)
    if not started_at or seconds < 0:
        raise invalid("sequencer: the feed does not report since when it is up")
    if seconds <= sequencer.grace_period:
        raise invalid(f"sequencer: it is up for {seconds} s only, grace_period is {sequencer.grace_period:g}")


def _check_description(name: str, feed: ChainlinkFeed, results: Results) -> None:
    """Refuse another feed: a wrong address would use the price of another asset for everything."""
    (description,) = results.values(_DESCRIPTION.on(feed.address))
    if _letters(description) != _letters(feed.description or name):
        raise invalid(f"description(): the feed calls itself {str(description)[:_MAX_SHOWN]!r}")


def _believed(feed: ChainlinkFeed, results: Results, slack_seconds: float) -> Decimal:
    answer = fresh_answer(feed.address, results, heartbeat=feed.heartbeat, slack=slack_seconds)
    price = whole_units(answer, results.number(_DECIMALS.on(feed.address)))
    if feed.minimum is not None and price < feed.minimum:
        raise invalid(f"latestRoundData(): the answer {price:f} is below the minimum of {feed.minimum:f}")
    if feed.maximum is not None and price > feed.maximum:
        raise invalid(f"latestRoundData(): the answer {price:f} is above the maximum of {feed.maximum:f}")
    return price


def _letters(text: str) -> str:
    return "".join(text.split()).casefold()
