"""Reads an EVM chain through the endpoints that the options name."""

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from reservd.errors import FailureReason, SourceError
from reservd.plugin.evm.calls import Query
from reservd.plugin.evm.endpoints import Endpoint, EndpointPool, read_preferred
from reservd.plugin.evm.multicall import Multicall
from reservd.plugin.evm.node import NodeReader, Terms
from reservd.plugin.evm.options import BlockTag, EvmConfig
from reservd.plugin.evm.quorum import read_agreed
from reservd.plugin.evm.reading import Step, Work
from reservd.plugin.evm.results import Results
from reservd.plugin.evm.rpc import RpcClient
from reservd.plugin.http import HttpClient


class EvmClient:
    """Reads a chain, each reading at one block and from any working endpoint. An async context manager."""

    def __init__(self, source: str, config: EvmConfig) -> None:
        """Create a client.

        Args:
            source: The name of the source that uses it, for logs.
            config: Its options.
        """
        self._source = source
        self._config = config
        self._http = HttpClient(timeout_seconds=config.seconds_per_endpoint)
        self._pool: EndpointPool | None = None

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self._http.__aenter__()
        self._pool = self._make_pool()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the probes, and close the connection pool."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()
        await self._http.__aexit__(kind, error, trace)

    @property
    def health(self) -> Mapping[str, bool]:
        """The health of each endpoint when it was last asked, by its name or its place in the list."""
        return dict.fromkeys(self._config.labels, True) if self._pool is None else self._pool.health

    async def read(self, queries: Iterable[Query], *steps: Step) -> Results:
        """Return the results of calls, all at the block that the options name.

        Args:
            queries: The first calls. Equal calls are made once.
            steps: The following calls: each step gets the results so far and returns the calls that follow from them. A
                step runs for every endpoint that is tried, and again when a reorganisation replaced the block, so it
                must not keep state.

        Returns:
            The outcome of each call, failed ones included.

        Raises:
            SourceError: If no endpoint, or too few for the quorum, can be reached, is on the right chain and up to
                date, and answers from one block; if they disagree; or what a step raised.
        """
        results = await self.read_at([self._config.block], queries, *steps)
        return results[self._config.block]

    async def read_at(
        self, tags: Sequence[BlockTag], queries: Iterable[Query], *steps: Step
    ) -> Mapping[BlockTag, Results]:
        """Return the results of calls at several blocks, which are read in the same requests.

        Args:
            tags: The blocks, the newest first.
            queries: As in `read`.
            steps: As in `read`. They run for each block.

        Raises:
            SourceError: As in `read`.
        """
        pool, config = self._pool, self._config
        if pool is None:
            raise SourceError(FailureReason.INTERNAL, "the source is not open")
        work = Work(tuple(tags), tuple(dict.fromkeys(queries)), steps)
        pool.probe(config.quorum, work)
        if config.quorum > 1:
            found = await read_agreed(pool, work, config.quorum, config.quorum_max_lag)
        else:
            found = await read_preferred(pool, work)
        if found.refusal is not None:
            raise found.refusal
        return found.results

    def _make_pool(self) -> EndpointPool:
        config = self._config
        multicall = None if config.multicall is None else Multicall(config.multicall, config.multicall_size)
        terms = Terms(config.chain_id, config.max_block_age, multicall)
        endpoints = []
        for label, endpoint in zip(config.labels, config.endpoints, strict=True):
            rpc = RpcClient(self._http, endpoint.url, batch_size=config.batch_size, concurrency=config.concurrency)
            endpoints.append(Endpoint(label, NodeReader(rpc, terms)))
        return EndpointPool(
            self._source,
            endpoints,
            seconds_per_endpoint=config.seconds_per_endpoint,
            probe_interval=config.probe_interval,
        )
