"""Calls to an Aave v3 pool, and its answers in shapes that all its versions share."""

from collections.abc import Iterator
from typing import NamedTuple

from reservd.plugin.evm import Call, Function, Results, invalid
from reservd_aave_v3.config import AaveV3PoolConfig

ZERO_ADDRESS = "0x" + 40 * "0"

_RESERVE_DATA = Function(
    "getReserveData",
    ("address",),
    # The configuration, indices and rates, time and id, the five addresses, and the amounts owed to others.
    (*["uint256"], *["uint128"] * 5, "uint40", "uint16", *["address"] * 4, *["uint128"] * 3),
)
_USER_CONFIGURATION = Function("getUserConfiguration", ("address",))
_ADDRESSES_PROVIDER = Function("ADDRESSES_PROVIDER", returns=("address",))
_PRICE_ORACLE = Function("getPriceOracle", returns=("address",))
_ASSET_PRICE = Function("getAssetPrice", ("address",))
_SOURCE_OF_ASSET = Function("getSourceOfAsset", ("address",), returns=("address",))

_BORROWING = int("01" * 128, 2)


class Reserve(NamedTuple):
    """One reserve of the pool.

    Attributes:
        id: Its number in the bit maps of accounts and e-mode categories.
        token: The underlying token.
        decimals: Of the underlying token, and of its aToken and debt tokens.
        threshold: The liquidation threshold outside e-mode, in basis points.
        category: Its only e-mode category, before v3.2; 0 is none.
        pays: Whether it is active and not paused. A frozen reserve pays too.
        a_token: What suppliers hold.
        debt_tokens: What borrowers owe.
    """

    id: int
    token: str
    decimals: int
    threshold: int
    category: int
    pays: bool
    a_token: str
    debt_tokens: tuple[str, ...]


class UserConfiguration(NamedTuple):
    """The bit map of one account: two bits per reserve."""

    bits: int

    def is_collateral(self, reserve: Reserve) -> bool:
        """Whether what the account supplied to the reserve secures its debt."""
        return bool(self.bits >> (2 * reserve.id + 1) & 1)

    def owes_beyond(self, reserves: list[Reserve]) -> bool:
        """Whether the account has debt in other reserves than these."""
        counted = sum(1 << (2 * reserve.id) for reserve in reserves)
        return bool(self.bits & _BORROWING & ~counted)


class Pool:
    """The pool in the options."""

    def __init__(self, config: AaveV3PoolConfig) -> None:
        self.address = config.pool
        self._tokens = config.reserves

    def reserve_call(self, asset: str) -> Call:
        """Return the call for a reserve's data."""
        return _RESERVE_DATA.on(self.address, self._tokens[asset])

    def user_call(self, account: str) -> Call:
        """Return the call for an account's bit map."""
        return _USER_CONFIGURATION.on(self.address, account)

    def provider_call(self) -> Call:
        """Return the call for the provider of the market's addresses."""
        return _ADDRESSES_PROVIDER.on(self.address)

    def oracle_calls(self, results: Results) -> Iterator[Call]:
        """Yield the call for the address of the market's price oracle."""
        yield _PRICE_ORACLE.on(results.address(self.provider_call()))

    def price_call(self, results: Results, token: str) -> Call:
        """Return the call for the price of a whole token in the market's base currency."""
        oracle = _PRICE_ORACLE.on(results.address(self.provider_call()))
        return _ASSET_PRICE.on(results.address(oracle), token)

    def source_call(self, results: Results, token: str) -> Call:
        """Return the call for the contract that the oracle takes a price from."""
        oracle = _PRICE_ORACLE.on(results.address(self.provider_call()))
        return _SOURCE_OF_ASSET.on(results.address(oracle), token)

    def reserve(self, results: Results, asset: str) -> Reserve:
        """Return a reserve.

        Raises:
            SourceError: If it is unknown, or not listed in the pool.
        """
        values = results.values(self.reserve_call(asset))
        configuration, number, addresses = values[0], values[7], values[8:11]
        if addresses[0] == ZERO_ADDRESS:
            raise invalid(f"the pool has no reserve of {self._tokens[asset]}")
        return Reserve(
            id=number,
            token=self._tokens[asset],
            decimals=configuration >> 48 & 0xFF,
            threshold=configuration >> 16 & 0xFFFF,
            category=configuration >> 168 & 0xFF,
            pays=configuration >> 56 & 1 == 1 and configuration >> 60 & 1 == 0,
            a_token=addresses[0],
            # Since v3.2 there is no stable debt; its address may be zero.
            debt_tokens=tuple(each for each in addresses[1:] if each != ZERO_ADDRESS),
        )

    def user(self, results: Results, account: str) -> UserConfiguration:
        """Return an account's bit map."""
        return UserConfiguration(results.number(self.user_call(account)))

    def price(self, results: Results, token: str) -> int:
        """Return what a whole token is worth, in the smallest unit of the market's base currency.

        Raises:
            SourceError: If the price is unknown, or 0.
        """
        price = results.number(self.price_call(results, token))
        if price == 0:
            raise invalid("getAssetPrice(): the oracle has no price")
        return price
