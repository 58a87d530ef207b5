"""What every reading asks for, worked out once from the options."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from reservd_evm.config import BlockTag, EvmConfig
from reservd_evm.multicall import Chunk, plan_chunks
from reservd_evm.queries import Query, plan_queries

_NATIVE_DECIMALS = 18


class ReadingPlan(NamedTuple):
    """What every reading asks for.

    Attributes:
        chain_id: The chain that the node must be on.
        max_block_age: Seconds since its latest block, above which a node counts as standing still.
        tags: The blocks that balances are read at, the newest first.
        queries: The balances.
        chunks: The same balances, as calls of Multicall3.
        tokens: The address of each asset that is a token.
        decimals: The decimals that need not be read.
    """

    chain_id: int
    max_block_age: float
    tags: tuple[BlockTag, ...]
    queries: Sequence[Query]
    chunks: Sequence[Chunk]
    tokens: Mapping[str, str]
    decimals: Mapping[str, int]

    @classmethod
    def of(cls, config: EvmConfig) -> Self:
        """Return the plan of these options. Encodes all calls: about 0.2 ms a balance."""
        queries = plan_queries(config)
        return cls(
            chain_id=config.chain_id,
            max_block_age=config.max_block_age,
            tags=config.tags,
            queries=queries,
            chunks=plan_chunks(queries, config.multicall_size),
            tokens={name: asset.token for name, asset in config.assets.items() if asset.token is not None},
            decimals={
                name: _NATIVE_DECIMALS if asset.decimals is None else asset.decimals
                for name, asset in config.assets.items()
                if asset.native or asset.decimals is not None
            },
        )
