"""The keys in use: one `SharedExchange` for all sources of one key, or of none, closed with the last of them."""

from reservd.plugin import FailureReason
from reservd_ccxt.client import Settings
from reservd_ccxt.errors import ExchangeError
from reservd_ccxt.exchange import SharedExchange

_in_use: dict[tuple[str, str], SharedExchange] = {}


def acquire(settings: Settings, timeout_seconds: float) -> SharedExchange:
    """Return what is shared by the sources of a key. Needs a running loop; asks nothing.

    Raises:
        ExchangeError: If another source uses the key in another way.
    """
    key = _key(settings)
    shared = _in_use.get(key)
    if shared is None:
        shared = _in_use[key] = SharedExchange(settings, timeout_seconds)
    elif shared.settings != settings:
        of = "key with other credentials," if settings.credentials else "exchange with other"
        detail = f"another source uses this {of} urls, sandbox, options or rate_limit_ms"
        raise ExchangeError(FailureReason.REJECTED, f"{settings.exchange}: {detail}")
    shared.users += 1
    return shared


async def release(shared: SharedExchange) -> None:
    """Give back what was acquired; the last one closes it."""
    shared.users -= 1
    if shared.users == 0:
        del _in_use[_key(shared.settings)]
        await shared.close()


def _key(settings: Settings) -> tuple[str, str]:
    return settings.exchange, settings.credentials.get("apiKey", "")
