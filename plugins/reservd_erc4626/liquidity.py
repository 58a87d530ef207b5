"""What vaults can pay, counted once over all holders.

`maxWithdraw` answers for one holder as if nobody else withdrew. ERC-4626 has no call for what a vault can pay to all of
them, so the options say what limits it.
"""

from collections.abc import Iterator, Sequence

from reservd.plugin import SourceError
from reservd.plugin.evm import BALANCE_OF, Call, Results
from reservd_erc4626.config import Erc4626Config
from reservd_erc4626.vaults import MAX_WITHDRAW, token_of, units

Payable = int | SourceError
"""What an account can withdraw, in the smallest unit of its vault's token, or why that is unknown."""


def idle_calls(config: Erc4626Config, results: Results) -> Iterator[Call]:
    """Yield the calls for the tokens that vaults hold, if those limit what they can pay."""
    for vault, names in config.holders.items():
        if config.liquidity.get(vault) == "idle":
            try:
                yield _idle_call(config, results, names)
            except SourceError:
                continue  # the same failure is reported with the amounts


def payables(config: Erc4626Config, results: Results) -> dict[str, Payable]:
    """Return what each account can withdraw when those before it withdraw too."""
    found: dict[str, Payable] = {}
    for vault, names in config.holders.items():
        told = [_told(config, results, name) for name in names]
        match config.liquidity.get(vault, "each"):
            case "idle":
                shares = _split(told, _idle(config, results, names))
            case "largest":
                shares = _split(told, _largest(told))
            case _:
                shares = told
        found |= dict(zip(names, shares, strict=True))
    return found


def _told(config: Erc4626Config, results: Results, name: str) -> Payable:
    account = config.accounts[name]
    try:
        return units(results, MAX_WITHDRAW.on(account.vault, account.holder))
    except SourceError as error:
        return error


def _split(told: Sequence[Payable], left: Payable) -> list[Payable]:
    """Return what is left for each. After an unknown amount, it is unknown what is left."""
    shares: list[Payable] = []
    for amount in told:
        if isinstance(amount, SourceError):
            shares.append(amount)
            left = SourceError(amount.reason, f"the amount of an earlier account is not known: {amount.detail}")
        elif isinstance(left, SourceError):
            shares.append(left)
        else:
            shares.append(min(amount, left))
            left -= min(amount, left)
    return shares


def _idle_call(config: Erc4626Config, results: Results, names: Sequence[str]) -> Call:
    account = config.accounts[names[0]]
    return BALANCE_OF.on(token_of(results, account), account.vault)


def _idle(config: Erc4626Config, results: Results, names: Sequence[str]) -> Payable:
    try:
        return results.number(_idle_call(config, results, names))
    except SourceError as error:
        return error


def _largest(told: Sequence[Payable]) -> Payable:
    """Return the largest amount; unknown if one amount is, which may be larger."""
    amounts = [amount for amount in told if not isinstance(amount, SourceError)]
    failures = [amount for amount in told if isinstance(amount, SourceError)]
    if failures:
        return SourceError(failures[0].reason, f"the answer for another holder is not known: {failures[0].detail}")
    return max(amounts)
