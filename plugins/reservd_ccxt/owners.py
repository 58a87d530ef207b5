"""Whose a key is, where its exchange tells: the id of the account, a sub-account's own where it is one."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from reservd_ccxt.catalogue import family_of

_MAX_CHARACTERS = 100


class Owner(NamedTuple):
    """How an exchange tells.

    Attributes:
        method: ccxt's method that asks; it takes nothing.
        path: Where the id is in the answer.
    """

    method: str
    path: tuple[str | int, ...]

    def read(self, answer: Any) -> str | None:
        """Return the account's id; None when the answer does not hold one."""
        for step in self.path:
            try:
                answer = answer[step]
            except (LookupError, TypeError):
                return None
        if isinstance(answer, bool) or not isinstance(answer, int | str):
            return None
        text = str(answer)
        return text if 0 < len(text) <= _MAX_CHARACTERS and text.isalnum() and text != "0" else None


_OWNERS: Mapping[str, Owner] = {
    "binance": Owner("privateGetAccount", ("uid",)),
    "bybit": Owner("privateGetV5UserQueryApi", ("result", "userID")),
    "okx": Owner("privateGetAccountConfig", ("data", 0, "uid")),
}


def owner_call(exchange_id: str) -> Owner | None:
    """Return how an exchange tells whose a key is; None where it does not, or nobody knows how."""
    return _OWNERS.get(family_of(exchange_id))
