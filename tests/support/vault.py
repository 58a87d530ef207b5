"""Vaults on a test's own node: OpenZeppelin's ERC-4626, one with little liquidity, one of ERC-7540."""

from support.chain import Anvil
from support.solidity import compiled, transact

ONE = 10**6
"""The unit of the vaults' token, which has 6 decimals."""


class Vault:
    """A vault and its token.

    Attributes:
        address: The vault's address.
        token: The address of its asset.
    """

    def __init__(self, chain: Anvil, contract: str = "PlainVault", *, token: str | None = None) -> None:
        """Deploy a contract of `Vaults.sol`, with a new token unless one is given."""
        self.chain = chain
        self.token = token or chain.deploy_token(decimals=6, symbol="USDC")
        self.address = chain.deploy(compiled("Vaults.sol", contract), self.token)

    def fund(self, holder: str, units: int) -> None:
        """Give a holder tokens that the vault may take."""
        self.chain.transfer(self.token, holder, units)
        transact(self.chain, self.token, "approve(address,uint256)", self.address, units, sender=holder)

    def deposit(self, holder: str, units: int) -> None:
        """Give a holder tokens and deposit them at once."""
        self.fund(holder, units)
        self.does("deposit(uint256,address)", units, holder, sender=holder)

    def earns(self, units: int) -> None:
        """Increase the value of its shares."""
        self.chain.transfer(self.token, self.address, units)

    def does(self, function: str, *arguments: object, sender: str | None = None) -> None:
        """Send a transaction to the vault."""
        transact(self.chain, self.address, function, *arguments, sender=sender)
