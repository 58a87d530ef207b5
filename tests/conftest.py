"""Fixtures that all tests share."""

from collections.abc import AsyncIterator, Iterator

import pytest

from support.chain import Anvil, require_anvil
from support.proxy import RpcProxy


@pytest.fixture
def chain() -> Iterator[Anvil]:
    """A fresh Ethereum node, stopped after the test."""
    require_anvil()
    with Anvil() as node:
        yield node


@pytest.fixture
async def proxy(chain: Anvil) -> AsyncIterator[RpcProxy]:
    """What stands before the node of `chain`, counts requests and misbehaves when told to."""
    async with RpcProxy(chain.url) as running:
        yield running
