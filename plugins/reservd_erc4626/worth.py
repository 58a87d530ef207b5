"""The worth of a position: its shares at the vault's own price, and its pending and claimable requests."""

from collections.abc import Iterator

from reservd.plugin.evm import BALANCE_OF, Call, Function, Results
from reservd_erc4626.config import Erc4626Position
from reservd_erc4626.vaults import CONVERT_TO_ASSETS, MAX_WITHDRAW, asset_calls, units

_SHARE = Function("share", returns=("address",))
_MAX_MINT = Function("maxMint", ("address",))
_PENDING_DEPOSIT = Function("pendingDepositRequest", ("uint256", "address"))
_PENDING_REDEEM = Function("pendingRedeemRequest", ("uint256", "address"))


def opening_calls(position: Erc4626Position) -> Iterator[Call]:
    """Yield the calls that need no previous results."""
    yield from asset_calls(position)
    yield _SHARE.on(position.vault) if position.asynchronous else BALANCE_OF.on(position.vault, position.holder)
    yield from _shares_in_requests(position)
    yield from _assets_in_requests(position)


def share_call(results: Results, position: Erc4626Position) -> Call:
    """Return the call for the holder's shares: in an ERC-7540 vault they may be a separate token (ERC-7575)."""
    token = results.address(_SHARE.on(position.vault)) if position.asynchronous else position.vault
    return BALANCE_OF.on(token, position.holder)


def conversion_call(results: Results, position: Erc4626Position) -> Call:
    """Return the call for the worth of all shares: held, waiting for redemption, and claimable after a deposit."""
    calls = [share_call(results, position), *_shares_in_requests(position)]
    return CONVERT_TO_ASSETS.on(position.vault, units(results, *calls))


def worth(results: Results, position: Erc4626Position) -> int:
    """Return the worth of the position, in the smallest unit of the vault's token."""
    calls = [conversion_call(results, position), *_assets_in_requests(position)]
    return units(results, *calls)


def _shares_in_requests(position: Erc4626Position) -> Iterator[Call]:
    if "redeem" in position.asynchronous:
        for number in sorted(position.request_ids):
            yield _PENDING_REDEEM.on(position.vault, number, position.holder)
    if "deposit" in position.asynchronous:
        # Claimable after a deposit: the price is fixed, so it already is shares.
        yield _MAX_MINT.on(position.vault, position.holder)


def _assets_in_requests(position: Erc4626Position) -> Iterator[Call]:
    if "deposit" in position.asynchronous:
        for number in sorted(position.request_ids):
            yield _PENDING_DEPOSIT.on(position.vault, number, position.holder)
    if "redeem" in position.asynchronous:
        # Claimable after a redemption: the price is fixed, so it already is assets.
        yield MAX_WITHDRAW.on(position.vault, position.holder)
