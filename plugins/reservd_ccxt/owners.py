"""The owner of a key, if its exchange reports it: the id of the account, for a sub-account its own."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from reservd_ccxt.catalogue import family_of

_MAX_CHARACTERS = 100


class Owner(NamedTuple):
    """How an exchange reports it.

    Attributes:
        method: ccxt's method for it; it takes no arguments.
        path: The place of the id in the answer.
    """

    method: str
    path: tuple[str | int, ...]

    def read(self, answer: Any) -> str | None:
        """Return the account's id; None if the answer does not contain one."""
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
    """Return how an exchange reports a key's owner; None if it does not, or that is unknown."""
    return _OWNERS.get(family_of(exchange_id))
