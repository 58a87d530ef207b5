"""The base of plugins that read an EVM chain: opens and closes an `EvmClient`."""

from collections.abc import Mapping
from typing import Generic, Self, TypeVar

from reservd.plugin.evm.client import EvmClient
from reservd.plugin.evm.options import EvmConfig
from reservd.plugin.interfaces import Source

EvmConfigT = TypeVar("EvmConfigT", bound=EvmConfig)


class EvmPlugin(Source[EvmConfigT], Generic[EvmConfigT]):
    """The connection of a source. Combine it with `BalanceSource` or another source class.

    Attributes:
        client: Reads the chain.
    """

    def __init__(self, name: str, config: EvmConfigT) -> None:
        super().__init__(name, config)
        self.client = EvmClient(name, config)

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection pool."""
        await self.client.__aexit__(None, None, None)

    @property
    def endpoints(self) -> Mapping[str, bool]:
        """The health of each endpoint when it was last asked, by its name or its place in the list."""
        return self.client.health
