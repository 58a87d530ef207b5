"""Servers that all tests of a module share, started when one needs them."""

from functools import cached_property
from typing import Any

from reservd import ReserveStatus
from support.aave import AaveMarket
from support.chain import Anvil, require_anvil
from support.feeds import Feed
from support.gauges import Gauges
from support.postgres import Postgres
from support.vault import Vault

AMOUNTS = {ReserveStatus.ADEQUATE: 110, ReserveStatus.LOW: 74}
HOLDERS = {
    ReserveStatus.ADEQUATE: "0x00000000000000000000000000000000000000a1",
    ReserveStatus.LOW: "0x00000000000000000000000000000000000000b2",
}
UNIT = 10**6
READER = "reader"
"""A role of the database without permissions of its own."""


class Servers:
    """Servers shared by all tests of a module, started when first needed."""

    def __init__(self) -> None:
        self._opened: list[Any] = []

    @cached_property
    def chain(self) -> Anvil:
        """A node with Multicall3."""
        require_anvil()
        chain = self._open(Anvil())
        chain.install_multicall()
        return chain

    @cached_property
    def token(self) -> str:
        """A token that the wallets hold."""
        token = self.chain.deploy_token(decimals=6)
        for status, amount in AMOUNTS.items():
            self.chain.transfer(token, HOLDERS[status], amount * UNIT)
        return token

    @cached_property
    def vault(self) -> Vault:
        """A vault with deposits of the wallets."""
        vault = Vault(self.chain)
        for status, amount in AMOUNTS.items():
            vault.deposit(HOLDERS[status], amount * UNIT)
        return vault

    @cached_property
    def market(self) -> tuple[AaveMarket, str]:
        """A market, and the reserve that the wallets have supplied."""
        market = AaveMarket(self.chain)
        usdc = market.list_reserve("USDC", decimals=6, price=10**8)
        for status, amount in AMOUNTS.items():
            market.supply(HOLDERS[status], usdc, amount * UNIT)
        return market, usdc

    @cached_property
    def feed(self) -> Feed:
        """A feed of the price of ether, without an answer at first."""
        return Feed(self.chain, "ETH / USDC")

    @cached_property
    def gauges(self) -> Gauges:
        """A Prometheus with a gauge per status."""
        return self._open(Gauges({str(status): amount for status, amount in AMOUNTS.items()}))

    @cached_property
    def postgres(self) -> Postgres:
        """A PostgreSQL server with the role `READER`."""
        server: Postgres = self._open(Postgres())
        server.execute("postgres", f"CREATE ROLE {READER} LOGIN")
        return server

    def _open(self, opened: Any) -> Any:
        self._opened.append(opened)
        return opened.__enter__()

    def close(self) -> None:
        """Stop them."""
        for opened in reversed(self._opened):
            opened.__exit__(None, None, None)
