"""Identifies money by chain or venue, address and asset, whatever it is called."""

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from reservd.reserve.readings import Account

_NAME_LENGTH = 32
_CASELESS = "eip155:"
"""Venues, by the beginning of their names, whose addresses mean the same in capitals."""


class AccountKey(NamedTuple):
    """What makes money the same money.

    Attributes:
        venue: The chain or the exchange.
        address: The address on it.
        asset: The asset's identity there; its name where nobody tells of one.
    """

    venue: str
    address: str
    asset: str


def name_accounts(keys: Iterable[AccountKey]) -> str:
    """Return the name of some accounts together: the same for the same money, under whatever names and whoever's."""
    return sha256(json.dumps(sorted(set(keys))).encode()).hexdigest()[:_NAME_LENGTH]


class Identities:
    """Tells what money is the same.

    An asset is known by its identity at the venue, and by its name where its source tells of none. A name without
    identity means what another source of the same address calls so: a wallet that is read from a node and from a
    database is one wallet. Where two of those mean different assets by it, it is known by its name.

    Args:
        accounts: All that there are.
    """

    def __init__(self, accounts: Iterable[Account]) -> None:
        told: dict[tuple[str, str, str], set[str]] = {}
        for account in accounts:
            for name, identity in account.asset_ids.items():
                place = account.venue, _same_case(account.address, account), name
                told.setdefault(place, set()).add(_same_case(identity, account))
        self._known = {place: next(iter(identities)) for place, identities in told.items() if len(identities) == 1}

    def key(self, account: Account, asset: str) -> AccountKey:
        """Return what makes an asset of an account the same money as another, given its name there."""
        address, identity = _same_case(account.address, account), account.asset_ids.get(asset)
        if identity is None:
            return AccountKey(account.venue, address, self._known.get((account.venue, address, asset), asset))
        return AccountKey(account.venue, address, _same_case(identity, account))


def _same_case(text: str, account: Account) -> str:
    return text.lower() if account.venue.startswith(_CASELESS) else text
