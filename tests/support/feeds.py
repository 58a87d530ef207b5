"""Chainlink's feeds on a test's own node."""

import time
from decimal import Decimal
from typing import Any

from support.chain import Anvil
from support.solidity import compiled, transact


class Feed:
    """A feed, without an answer at first.

    Attributes:
        address: The feed's address.
    """

    def __init__(self, chain: Anvil, description: str = "ETH / USD", decimals: int = 8) -> None:
        """Deploy a feed."""
        self.chain = chain
        self.address = chain.deploy(compiled("Feeds.sol", "Feed"), description, decimals)
        self._decimals = decimals

    def answers(self, value: object) -> None:
        """Give it a new answer, in whole units, dated with the next block."""
        transact(self.chain, self.address, "answer(int256)", self._units(value))

    def answered(self, value: object, *, ago: int = 0, started_ago: int = 0, **fields: int) -> None:
        """Give it a round, with arbitrary fields.

        Args:
            value: The answer, in whole units.
            ago: Seconds between the answer and the next block.
            started_ago: Seconds between the start of the round and the next block.
            fields: `id`, `updated_at`, `started_at`, `answered_in`, where they differ from those of a correct round.
        """
        # No earlier than the machine's time: the node continues from here, and its blocks must have their true age.
        now = max(self.now() + 1, int(time.time()))
        self.chain.rpc("evm_setNextBlockTimestamp", now)
        number = fields.get("id", 1)
        transact(
            self.chain,
            self.address,
            "setRound(uint80,int256,uint256,uint256,uint80)",
            number,
            self._units(value),
            fields.get("started_at", now - started_ago),
            fields.get("updated_at", now - ago),
            fields.get("answered_in", number),
        )

    def now(self) -> int:
        """Return the time of the latest block."""
        block: dict[str, Any] = self.chain.rpc("eth_getBlockByNumber", "latest", False)
        return int(block["timestamp"], 16)

    def options(self, heartbeat: int = 3600, **more: object) -> dict[str, object]:
        """Return the options for it."""
        return {"address": self.address, "heartbeat": heartbeat, **more}

    def _units(self, value: object) -> int:
        return int(Decimal(str(value)).scaleb(self._decimals))
