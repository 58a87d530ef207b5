"""Several endpoints in order of preference: which is called, which has failed, and when others are probed."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

import structlog

from reservd.errors import FailureReason, SourceError
from reservd.plugin.evm.blocks import ReorgError
from reservd.plugin.evm.node import NodeReader
from reservd.plugin.evm.reading import NodeReading, Work

T = TypeVar("T")

_LONGEST_REST_SECONDS = 300.0
"""The longest time that an endpoint is left alone, whatever wait it asked for."""


class Endpoint:
    """One endpoint and its state.

    Attributes:
        label: Its name for people. Never its URL, which may hold a key.
        reader: Reads from it.
        failure: Why it is asked last; None while it is up.
        probe: The task that probes it in the background, or did so last.
        probe_at: When to probe it, on the loop's clock, unless a reading asks it earlier.
    """

    def __init__(self, label: str, reader: NodeReader) -> None:
        self.label = label
        self.reader = reader
        self.failure: SourceError | None = None
        self.probe: asyncio.Task[None] | None = None
        self.probe_at = 0.0


class EndpointPool:
    """Tracks the endpoints' state, and gives each its own deadline."""

    def __init__(
        self, source: str, endpoints: Sequence[Endpoint], *, seconds_per_endpoint: float, probe_interval: float
    ) -> None:
        """Create a pool.

        Args:
            source: The name of the source, for logs.
            endpoints: The preferred one first.
            seconds_per_endpoint: How long each may take.
            probe_interval: Seconds between two probes of an endpoint that failed, or that no reading needs.
        """
        self._endpoints = endpoints
        self._has_choice = len(endpoints) > 1
        self._seconds = seconds_per_endpoint
        self._probe_interval = probe_interval
        self._serving: tuple[str, ...] = ()
        self._log = structlog.get_logger(__name__).bind(source=source)
        for endpoint in endpoints:
            self._put_off(endpoint)

    @property
    def health(self) -> dict[str, bool]:
        """The health of each endpoint when it was last asked, by its label."""
        return {endpoint.label: endpoint.failure is None for endpoint in self._endpoints}

    def ranked(self) -> list[Endpoint]:
        """Return all endpoints in the order to ask them: the preferred one first, failed ones last."""
        return sorted(self._endpoints, key=lambda endpoint: endpoint.failure is not None)

    def deadline(self) -> float:
        """Return the deadline of an endpoint that is asked now, on the loop's clock."""
        return asyncio.get_running_loop().time() + self._seconds

    async def ask(self, endpoint: Endpoint, call: Callable[[NodeReader], Awaitable[T]], deadline: float) -> T:
        """Return an endpoint's answer. An endpoint that fails is asked last from then on.

        Raises:
            SourceError: If it fails, or does not answer by the deadline.
        """
        if endpoint.probe not in {None, asyncio.current_task()}:
            endpoint.probe.cancel()  # otherwise both would change what is known of the node at the same time
        self._put_off(endpoint)
        try:
            async with asyncio.timeout_at(deadline):
                return await call(endpoint.reader)
        except TimeoutError:
            error = SourceError(FailureReason.TIMEOUT, f"no answer within {self._seconds:g} s")
        except ReorgError:
            raise
        except SourceError as failure:
            error = failure
        endpoint.reader.forget()
        self.put_last(endpoint, error)
        raise error

    def put_last(self, endpoint: Endpoint, failure: SourceError) -> None:
        """Ask an endpoint last from now on, until a probe or a reading of it succeeds."""
        if endpoint.failure is None and self._has_choice:
            self._log.warning(
                "endpoint.failed", endpoint=endpoint.label, reason=str(failure.reason), detail=failure.detail
            )
        endpoint.failure = failure
        self._put_off(endpoint, failure.retry_after_seconds or 0)

    def serve_from(self, endpoints: Collection[Endpoint]) -> None:
        """Record which endpoints' answers are used from now on."""
        for endpoint in endpoints:
            self._restore(endpoint)
        labels = tuple(endpoint.label for endpoint in endpoints)
        if labels != self._serving and self._has_choice:
            self._serving = labels
            self._log.info("endpoint.chosen", endpoints=labels)

    def probe(self, needed: int, work: Work) -> None:
        """Probe endpoints that no reading has asked for a while, in the background, so that no reading waits for them.

        Args:
            needed: How many endpoints the reading asks anyway.
            work: What the reading asks for.
        """
        now = asyncio.get_running_loop().time()
        for endpoint in self.ranked()[needed:]:
            idle = endpoint.probe is None or endpoint.probe.done()
            if endpoint.probe_at <= now and idle:
                endpoint.probe = asyncio.create_task(self._probe(endpoint, work))

    async def close(self) -> None:
        """Stop the probes."""
        probes = [endpoint.probe for endpoint in self._endpoints if endpoint.probe is not None]
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)

    async def _probe(self, endpoint: Endpoint, work: Work) -> None:
        """Probe an endpoint: whether it is still up, or, if it failed, whether it can read everything again."""
        try:
            if endpoint.failure is None:
                await self.ask(endpoint, lambda reader: reader.fetch_heads(work.tags), self.deadline())
                return
            reading = await self.ask(endpoint, lambda reader: reader.read(work), self.deadline())
        except SourceError:
            return
        if reading.failure is None:
            self._restore(endpoint)
        else:
            self.put_last(endpoint, reading.failure)

    def _put_off(self, endpoint: Endpoint, asked_seconds: float = 0) -> None:
        pause = max(self._probe_interval, min(asked_seconds, _LONGEST_REST_SECONDS))
        endpoint.probe_at = asyncio.get_running_loop().time() + pause

    def _restore(self, endpoint: Endpoint) -> None:
        if endpoint.failure is not None and self._has_choice:
            self._log.info("endpoint.recovered", endpoint=endpoint.label)
        endpoint.failure = None


async def read_preferred(pool: EndpointPool, work: Work) -> NodeReading:
    """Return the reading of the first endpoint that can read everything.

    If none can, return the reading with the most values.

    Raises:
        SourceError: If no endpoint can read anything.
    """
    partial: list[NodeReading] = []
    failures: dict[str, SourceError] = {}
    for endpoint in pool.ranked():
        try:
            reading = await pool.ask(endpoint, lambda reader: reader.read(work), pool.deadline())
        except SourceError as error:
            failures[endpoint.label] = error
            continue
        if reading.failure is None:
            pool.serve_from([endpoint])
            return reading
        pool.put_last(endpoint, reading.failure)
        partial.append(reading)
    if partial:
        return max(partial, key=lambda reading: reading.numbers)
    raise summarize(failures)


def summarize(failures: Mapping[str, SourceError]) -> SourceError:
    """Combine the failures of several endpoints into one: the first one's reason, and the details of all.

    It asks for a wait only if all of them did.
    """
    first, *others = failures.values()
    if not others:
        return first
    details = "; ".join(f"endpoint {label}: {failure}" for label, failure in failures.items())
    waits = [failure.retry_after_seconds for failure in failures.values() if failure.retry_after_seconds is not None]
    return SourceError(first.reason, details, retry_after_seconds=min(waits) if len(waits) == len(failures) else None)
