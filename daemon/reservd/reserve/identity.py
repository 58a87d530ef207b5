"""Identifies money by chain or venue, address and asset, whatever it is called."""

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from reservd.reserve.readings import Account

_NAME_LENGTH = 32
_CASELESS = "eip155:"
"""Prefixes of venues whose addresses are case-insensitive."""


class AccountKey(NamedTuple):
    """The identity of money.

    Attributes:
        venue: The chain or the exchange.
        address: The address on it.
        asset: The asset's identity there; its name if no source reports one.
    """

    venue: str
    address: str
    asset: str


def name_accounts(keys: Iterable[AccountKey]) -> str:
    """Return the name of a set of accounts: the same for the same money, whatever its names and whoever counts it."""
    return sha256(json.dumps(sorted(set(keys))).encode()).hexdigest()[:_NAME_LENGTH]


class Identities:
    """Decides which money is the same.

    An asset is known by its identity at the venue, or by its name if its source reports none. A name without identity
    means what another source of the same address calls so: a wallet that is read from a node and from a database is one
    wallet. If two of those mean different assets by it, it is known by its name.

    Args:
        accounts: All accounts.
    """

    def __init__(self, accounts: Iterable[Account]) -> None:
        told: dict[tuple[str, str, str], set[str]] = {}
        for account in accounts:
            for name, identity in account.asset_ids.items():
                place = account.venue, _same_case(account.address, account), name
                told.setdefault(place, set()).add(_same_case(identity, account))
        self._known = {place: next(iter(identities)) for place, identities in told.items() if len(identities) == 1}

    def key(self, account: Account, asset: str) -> AccountKey:
        """Return the identity of an asset of an account, given its name there."""
        address, identity = _same_case(account.address, account), account.asset_ids.get(asset)
        if identity is None:
            return AccountKey(account.venue, address, self._known.get((account.venue, address, asset), asset))
        return AccountKey(account.venue, address, _same_case(identity, account))


def _same_case(text: str, account: Account) -> str:
    return text.lower() if account.venue.startswith(_CASELESS) else text
