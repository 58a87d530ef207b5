"""The keys in use: one `SharedExchange` for all sources of one key, or of none, closed with the last of them.

Also the owners of the keys: two keys of one account are the same money.
"""

from collections.abc import Iterator

from reservd.plugin import FailureReason
from reservd_ccxt.catalogue import family_of
from reservd_ccxt.client import Settings
from reservd_ccxt.errors import ExchangeError
from reservd_ccxt.exchange import SharedExchange

_in_use: dict[tuple[str, str], SharedExchange] = {}
_holders: dict[tuple[str, str], SharedExchange] = {}
"""The first key that was found to be of an account, by family and the account's id."""


def acquire(settings: Settings, timeout_seconds: float) -> SharedExchange:
    """Return what the sources of a key share. Needs a running loop; makes no request.

    Raises:
        ExchangeError: If another source uses the key differently.
    """
    key = _key(settings)
    shared = _in_use.get(key)
    if shared is None:
        if any(_is_named_otherwise(other, settings) for other in _relatives(settings)):
            detail = f"{settings.exchange}: another source uses this key with another account_id"
            raise ExchangeError(FailureReason.REJECTED, detail)
        shared = _in_use[key] = SharedExchange(settings, timeout_seconds)
    elif shared.settings != settings:
        of = "key with other credentials," if settings.credentials else "exchange with other"
        detail = f"another source uses this {of} urls, sandbox, options, rate_limit_ms or account_id"
        raise ExchangeError(FailureReason.REJECTED, f"{settings.exchange}: {detail}")
    shared.users += 1
    return shared


async def release(shared: SharedExchange) -> None:
    """Give back what was acquired; the last source closes it."""
    shared.users -= 1
    if shared.users == 0:
        del _in_use[_key(shared.settings)]
        for account in [account for account, holder in _holders.items() if holder is shared]:
            del _holders[account]
        await shared.close()


async def check_owner(shared: SharedExchange) -> bool:
    """Refuse a key of an account that another key already counts, unless the configuration says so.

    No request is made if nothing depends on it: without `account_id`, and without another key of the exchange.

    Returns:
        Whether the account is known; false if the exchange does not report it and the configuration does not name it.

    Raises:
        ExchangeError: If the key is of another account than configured, another key in use is of the same
            account and not both have an `account_id`, or the exchange cannot be read.
    """
    named = shared.settings.account_id
    if named is None and not _has_company(shared):
        return True
    owner = await shared.owner()
    if owner is None:
        return named is not None
    if named is not None and named != owner:
        raise _refused(shared, f"account_id is {named}, and the key is of account {owner}")
    holder = _holders.setdefault((family_of(shared.id), owner), shared)
    if not _is_of_key(holder, shared.settings) and None in {named, holder.settings.account_id}:
        raise _refused(shared, f"another key is of the same account: set account_id to {owner} for all of its keys")
    return True


def _has_company(shared: SharedExchange) -> bool:
    """Whether another key of the exchange is in use, under any of its ids."""
    return any(not _is_of_key(other, shared.settings) for other in _relatives(shared.settings))


def _is_named_otherwise(shared: SharedExchange, settings: Settings) -> bool:
    return _is_of_key(shared, settings) and shared.settings.account_id != settings.account_id


def _relatives(settings: Settings) -> Iterator[SharedExchange]:
    """Yield the keys of the exchange that are in use, under any of its ids."""
    family = family_of(settings.exchange)
    return (other for other in _in_use.values() if other.settings.credentials and family_of(other.id) == family)


def _is_of_key(shared: SharedExchange, settings: Settings) -> bool:
    return shared.settings.credentials.get("apiKey") == settings.credentials.get("apiKey")


def _refused(shared: SharedExchange, why: str) -> ExchangeError:
    return ExchangeError(FailureReason.REJECTED, f"{shared.id}: {why}")


def _key(settings: Settings) -> tuple[str, str]:
    return settings.exchange, settings.credentials.get("apiKey", "")
