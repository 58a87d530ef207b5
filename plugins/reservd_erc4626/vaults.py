"""Calls to a vault that do not depend on the holder of its shares."""

from collections.abc import Iterable, Iterator

from reservd.plugin import SourceError
from reservd.plugin.evm import DECIMALS, Call, Function, Results, invalid
from reservd_erc4626.config import Erc4626Account

MAX_WITHDRAW = Function("maxWithdraw", ("address",))
CONVERT_TO_ASSETS = Function("convertToAssets", ("uint256",))
_ASSET = Function("asset", returns=("address",))
_LIMIT = 2**255
"""Vaults return 2^256 - 1 for "no limit", which is not an amount."""


def asset_calls(account: Erc4626Account) -> Iterator[Call]:
    """Yield the calls for the vault's token, and for its decimals if the token is configured."""
    yield _ASSET.on(account.vault)
    if account.token is not None:
        yield DECIMALS.on(account.token)


def decimals_calls(results: Results, accounts: Iterable[Erc4626Account]) -> Iterator[Call]:
    """Yield the calls for the decimals of the vaults' tokens; a vault whose token is unknown has none."""
    for account in accounts:
        try:
            yield DECIMALS.on(token_of(results, account))
        except SourceError:
            continue  # the same failure is reported with the amount


def decimals(results: Results, account: Erc4626Account) -> int:
    """Return the decimals of the vault's token.

    Raises:
        SourceError: If they are unknown, or the token is another than configured.
    """
    return results.number(DECIMALS.on(token_of(results, account)))


def units(results: Results, *calls: Call) -> int:
    """Return the sum of amounts that the vault reported, in the smallest unit.

    Raises:
        SourceError: If one is unknown, or not an amount.
    """
    total = sum(results.number(call) for call in calls)
    if total >= _LIMIT:
        names = ", ".join(f"{call.function.name}()" for call in calls)
        raise invalid(f"{names}: the vault sets no limit, so this is no amount")
    return total


def token_of(results: Results, account: Erc4626Account) -> str:
    """Return the address of the vault's token.

    Raises:
        SourceError: If it is unknown, or another than configured.
    """
    token = results.address(_ASSET.on(account.vault))
    if account.token not in {None, token}:
        raise invalid(f"asset(): the vault's token is {token}, not {account.token}")
    return token
