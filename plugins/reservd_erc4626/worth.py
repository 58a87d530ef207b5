"""What a position is worth: its shares at the vault's own price, and its requests that are on their way."""

from collections.abc import Iterator

from reservd.plugin.evm import BALANCE_OF, Call, Function, Results
from reservd_erc4626.config import Erc4626Position
from reservd_erc4626.vaults import CONVERT_TO_ASSETS, MAX_WITHDRAW, asset_calls, units

_SHARE = Function("share", returns=("address",))
_MAX_MINT = Function("maxMint", ("address",))
_PENDING_DEPOSIT = Function("pendingDepositRequest", ("uint256", "address"))
_PENDING_REDEEM = Function("pendingRedeemRequest", ("uint256", "address"))


def opening_calls(position: Erc4626Position) -> Iterator[Call]:
    """Give what can be asked without knowing anything of the vault."""
    yield from asset_calls(position)
    yield _SHARE.on(position.vault) if position.asynchronous else BALANCE_OF.on(position.vault, position.holder)
    yield from _shares_in_requests(position)
    yield from _assets_in_requests(position)


def share_call(results: Results, position: Erc4626Position) -> Call:
    """Return what tells the holder's shares: an ERC-7540 vault may keep them in a token of their own (ERC-7575)."""
    token = results.address(_SHARE.on(position.vault)) if position.asynchronous else position.vault
    return BALANCE_OF.on(token, position.holder)


def conversion_call(results: Results, position: Erc4626Position) -> Call:
    """Return what tells the worth of all shares: held, in requests to redeem, and to be claimed after a deposit."""
    calls = [share_call(results, position), *_shares_in_requests(position)]
    return CONVERT_TO_ASSETS.on(position.vault, units(results, *calls))


def worth(results: Results, position: Erc4626Position) -> int:
    """Return what the position is worth, in the smallest unit of the vault's token."""
    calls = [conversion_call(results, position), *_assets_in_requests(position)]
    return units(results, *calls)


def _shares_in_requests(position: Erc4626Position) -> Iterator[Call]:
    if "redeem" in position.asynchronous:
        for number in sorted(position.request_ids):
            yield _PENDING_REDEEM.on(position.vault, number, position.holder)
    if "deposit" in position.asynchronous:
        # What is claimable after a deposit: its price is fixed, so it is shares by now.
        yield _MAX_MINT.on(position.vault, position.holder)


def _assets_in_requests(position: Erc4626Position) -> Iterator[Call]:
    if "deposit" in position.asynchronous:
        for number in sorted(position.request_ids):
            yield _PENDING_DEPOSIT.on(position.vault, number, position.holder)
    if "redeem" in position.asynchronous:
        # What is claimable after a redemption: its price is fixed, so it is assets by now.
        yield MAX_WITHDRAW.on(position.vault, position.holder)
