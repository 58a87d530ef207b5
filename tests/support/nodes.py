"""Several nodes of one chain, as if from several providers."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.chain import Anvil


@contextmanager
def nodes_like(chain: Anvil, count: int) -> Iterator[list[Anvil]]:
    """Start more nodes with the blocks and the state of a node, which is restarted for this."""
    chain.stop()
    with ExitStack() as running:
        nodes = [Anvil() for _ in range(count)]
        for node in nodes:
            shutil.copy(Path(chain._directory.name) / "state.json", node._directory.name)
            running.enter_context(node)
        chain.start()
        yield nodes
