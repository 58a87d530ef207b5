"""The options of the `erc4626` sources."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import PluginConfig
from reservd.plugin.evm import Address, EvmConfig


class Erc4626Account(PluginConfig):
    """One holder in one vault."""

    vault: Address
    """The vault's address."""
    holder: Address
    """The address that owns the shares and, in an ERC-7540 vault, controls the requests."""
    asset: str
    """The vault's asset by the name that modes use, such as USDC."""
    token: Address | None = None
    """The token that the vault's `asset()` must be; not checked when left out."""


class Erc4626Position(Erc4626Account):
    """One holder in one vault, with the requests on their way in or out."""

    asynchronous: frozenset[Literal["deposit", "redeem"]] = frozenset()
    """What an ERC-7540 vault does by requests; none for a plain ERC-4626 vault."""
    request_ids: Annotated[frozenset[Annotated[int, Field(ge=0, lt=2**256)]], Field(min_length=1)] = frozenset({0})
    """The requests that may be pending; 0 is all of a holder's, in vaults without request numbers."""


def _each_once(accounts: Mapping[str, Erc4626Account]) -> Mapping[str, Erc4626Account]:
    """Refuse two names of one holder in one vault: the money would count twice."""
    first: dict[tuple[str, str], str] = {}
    for name, account in accounts.items():
        twin = first.setdefault((account.vault, account.holder), name)
        if twin != name:
            raise PydanticCustomError(
                "twins",
                "must not name the same holder of the same vault twice: '{twin}' and '{name}'",
                {"twin": twin, "name": name},
            )
    return accounts


Liquidity = Literal["each", "idle", "largest"]
"""How a vault pays several holders: each its own amount, or together at most the tokens that the vault holds, or
together at most the largest single amount."""


class Erc4626Config(EvmConfig):
    """Options of the `erc4626` balance source."""

    accounts: Annotated[dict[str, Erc4626Account], Field(min_length=1), AfterValidator(_each_once)]
    """The accounts by name, each one holder in one vault; the vault's liquidity is assigned in this order."""
    liquidity: dict[Address, Liquidity] = Field(default_factory=dict)
    """How vaults with several holders pay them together: `each`, `idle` or `largest`, by the vault's address."""

    @model_validator(mode="after")
    def _shared_vaults_are_explained(self) -> Self:
        for vault, names in self.holders.items():
            if len(names) > 1 and vault not in self.liquidity:
                raise PydanticCustomError(
                    "liquidity",
                    "liquidity must say how vault {vault} pays {names} together: each, idle or largest",
                    {"vault": vault, "names": " and ".join(f"'{name}'" for name in names)},
                )
        return self

    @property
    def holders(self) -> Mapping[str, Sequence[str]]:
        """The names of each vault's accounts, in order."""
        found: dict[str, list[str]] = {}
        for name, account in self.accounts.items():
            found.setdefault(account.vault, []).append(name)
        return found


class Erc4626EquityConfig(EvmConfig):
    """Options of the `erc4626` equity source."""

    positions: Annotated[dict[str, Erc4626Position], Field(min_length=1), AfterValidator(_each_once)]
    """The positions by name, each one holder in one vault."""
