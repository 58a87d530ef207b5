"""The `chainlink` price source."""

import asyncio

from reservd.plugin import FailureReason, Price, PriceSource, SourceError
from reservd.plugin.evm import EvmPlugin, Results, invalid
from reservd_chainlink.config import ChainlinkConfig
from reservd_chainlink.feeds import answer_of, check_sequencer, feed_calls, sequencer_call
from reservd_chainlink.routes import follow


class ChainlinkPriceSource(EvmPlugin[ChainlinkConfig], PriceSource[ChainlinkConfig]):
    """Reads all feeds at one block, once for all callers at the same time."""

    PLUGIN_NAME = "chainlink"
    Config = ChainlinkConfig

    def __init__(self, name: str, config: ChainlinkConfig) -> None:
        super().__init__(name, config)
        self._routes = config.routes
        self._calls = [call for feed in config.feeds.values() for call in feed_calls(feed)]
        if config.sequencer is not None:
            self._calls.append(sequencer_call(config.sequencer))
        self._reading: asyncio.Task[Results] | None = None

    async def __aexit__(self, *exc_info: object) -> None:
        """Cancel a running reading and close the connection pool."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        await super().__aexit__(*exc_info)

    async def fetch_price(self, base: str, quote: str) -> Price:
        """Return the price of a pair at the node's block. It is of the block's time, like a balance.

        Raises:
            SourceError: If the pair is not configured, a feed on its route could not be read or is
                invalid, or the sequencer has not been up for long enough.
        """
        steps = self._routes.get(f"{base}/{quote}")
        if steps is None:
            raise SourceError(FailureReason.INVALID_DATA, f"neither feeds nor pairs have {base}/{quote}")
        results = await self._read()
        if self.config.sequencer is not None:
            check_sequencer(self.config.sequencer, results)
        feeds = {step.feed: self.config.feeds[step.feed] for step in steps}
        slack = self.config.heartbeat_slack
        answers = {name: answer_of(name, feed, results, slack) for name, feed in feeds.items()}
        try:
            return Price(base, quote, follow(steps, answers), results.block.time)
        except ValueError as error:
            raise invalid(f"{base}/{quote}: {error}") from None

    async def _read(self) -> Results:
        if self._reading is None:
            self._reading = asyncio.create_task(self.client.read(self._calls))
            self._reading.add_done_callback(self._ended)
        # If a caller gives up, the reading continues for the others.
        return await asyncio.shield(self._reading)

    def _ended(self, reading: asyncio.Task[Results]) -> None:
        self._reading = None
        if not reading.cancelled():
            reading.exception()  # retrieved, whether or not a caller still waits
