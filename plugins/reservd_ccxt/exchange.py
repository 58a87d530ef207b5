"""One key of one exchange: what all sources of the key share, mainly limiter, nonce and clock."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, NamedTuple, TypeVar, cast

import aiohttp
import structlog

from reservd.plugin import FailureReason
from reservd.plugin.http import parse_retry_after
from reservd_ccxt.catalogue import family_of
from reservd_ccxt.client import Settings, build, import_exchange, open_session
from reservd_ccxt.coins import Coins, read_coins
from reservd_ccxt.errors import READING_ERRORS, ExchangeError, from_ccxt, is_clock_error
from reservd_ccxt.owners import owner_call
from reservd_ccxt.permissions import CHECKS, Permissions
from reservd_ccxt.streams import BalanceStreams

log = structlog.get_logger(__name__)
T = TypeVar("T")

_FACTS_MAX_AGE_SECONDS = 3600.0
_MAX_PAUSE_SECONDS = 3600.0
_SKEW_WORTH_TELLING_MS = 1000


class Facts(NamedTuple):
    """What rarely changes: read once and again at intervals.

    Attributes:
        permissions: The key's permissions; None if the exchange does not report them.
        coins: The coins that the exchange lists.
        known_at: The loop's time of the request.
    """

    permissions: Permissions | None
    coins: Coins
    known_at: float


class SharedExchange:
    """ccxt's object for one key. Nothing is imported or requested before `facts`.

    Requests are sent one after another: exchanges refuse a nonce that a later one has overtaken.
    """

    def __init__(self, settings: Settings, timeout_seconds: float) -> None:
        self.settings = settings
        self.id = settings.exchange
        self.users = 0
        self.streams = BalanceStreams(self._follow)
        self._timeout_seconds = timeout_seconds
        self._session: aiohttp.ClientSession | None = None
        self._ccxt: Any = None
        self._errors: Any = None
        self._opening: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._resting_until = 0.0
        self._facts: Facts | None = None
        self._learning: asyncio.Task[Facts] | None = None
        self._clock_is_measured = False
        self._owner: tuple[str | None] | None = None
        self._out_of_date = False

    async def facts(self, refresh_seconds: float) -> Facts:
        """Return the facts once they are known. If older than `refresh_seconds`, they are read again in the background.

        If a caller gives up, the work continues: importing and reading may take longer than one deadline.

        Raises:
            ExchangeError: If nothing could be read, or not for an hour.
        """
        known = self._facts
        age = _FACTS_MAX_AGE_SECONDS if known is None else asyncio.get_running_loop().time() - known.known_at
        asking = self._begin_learning() if age >= refresh_seconds else self._learning
        if known is None or (age >= _FACTS_MAX_AGE_SECONDS and asking is not None):
            return await asyncio.shield(cast("asyncio.Task[Facts]", asking))
        return known

    async def facts_of_now(self) -> Facts:
        """Return the facts after reading them again.

        Raises:
            ExchangeError: If they cannot be read.
        """
        return await asyncio.shield(self._begin_learning())

    async def ready(self) -> None:
        """Wait until ccxt's object can be used: `facts` does so too.

        Raises:
            ExchangeError: If the options do not fit the exchange.
        """
        if self._ccxt is None:
            if self._opening is None:
                self._opening = asyncio.create_task(self._open())
                self._opening.add_done_callback(self._opened)
            # Importing may take longer than one deadline: the work continues.
            await asyncio.shield(self._opening)

    async def owner(self) -> str | None:
        """Return the id of the key's account; None if the exchange does not report it. Read once.

        Raises:
            ExchangeError: If it cannot be read.
        """
        if self._owner is None:
            call = owner_call(self.id)
            self._owner = (None if call is None else call.read(await self._if_told(call.method)),)
        return self._owner[0]

    async def call(self, method: str, *arguments: Any) -> Any:
        """Return the result of a method of ccxt.

        After an error that a wrong clock may cause, the clock is measured and the call repeated once.

        Raises:
            ExchangeError: If it fails, or the exchange's `Retry-After` has not passed.
        """
        async with self._turn:
            self._rest()
            return await self._told(self._ask(method, *arguments))

    async def close(self) -> None:
        """Close every connection."""
        self.streams.close()
        if work := {task for task in (self._learning, self._opening) if task is not None}:
            for task in work:
                task.cancel()
            await asyncio.wait(work)
        if self._ccxt is not None:
            await self._ccxt.close()
        if self._session is not None:
            await self._session.close()

    @property
    def has_stream(self) -> bool:
        """Whether the exchange has a stream of balances. Known once the facts are."""
        return self._ccxt is not None and self._ccxt.has.get("watchBalance") is True

    def _begin_learning(self) -> asyncio.Task[Facts]:
        """Read the facts, or continue to."""
        if self._learning is None:
            self._learning = asyncio.create_task(self._learn())
            self._learning.add_done_callback(self._learned)
        return self._learning

    async def _learn(self) -> Facts:
        await self.ready()
        if not self._clock_is_measured:
            await self._told(self._measure_clock())
            self._clock_is_measured = True
        permissions = await self._read_permissions()
        coins = await self._read_coins()
        return Facts(permissions, coins, asyncio.get_running_loop().time())

    def _learned(self, task: asyncio.Task[Facts]) -> None:
        """Keep the facts. A failure is logged here if it is new and no caller waits for it."""
        self._learning = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._facts = task.result()
        elif isinstance(error, ExchangeError) and self._facts is not None and not self._out_of_date:
            log.warning("facts.not_refreshed", exchange=self.id, reason=str(error.reason), detail=error.detail)
        self._out_of_date = error is not None

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening = None
        if not task.cancelled():
            task.exception()  # retrieved, whether or not a caller still waits

    async def _open(self) -> None:
        exchange_class, self._errors = await asyncio.to_thread(import_exchange, self.id)
        if self._session is None:
            self._session = open_session()
        self._ccxt = build(exchange_class, self._errors, self.settings, self._session, self._timeout_seconds)

    async def _ask(self, method: str, *arguments: Any) -> Any:
        ask = getattr(self._ccxt, method)
        try:
            return await ask(*arguments)
        except self._errors.BaseError as error:
            if not (is_clock_error(error) and await self._measure_clock()):
                raise
        return await ask(*arguments)

    async def _told(self, work: Coroutine[Any, Any, T]) -> T:
        """Return ccxt's result; its errors become one of the closed reasons."""
        self._ccxt.last_response_headers = None
        try:
            return await work
        except (self._errors.BaseError, *READING_ERRORS) as error:
            failure = from_ccxt(error, self.id)
            failure.retry_after_seconds = self._asked_pause()
            if failure.reason is FailureReason.RATE_LIMITED:
                pause = min(failure.retry_after_seconds or 0.0, _MAX_PAUSE_SECONDS)
                self._resting_until = asyncio.get_running_loop().time() + pause
            raise failure from None

    async def _measure_clock(self) -> bool:
        """Measure the offset of the exchange's clock, for later requests; false if ccxt cannot."""
        if not (self._ccxt.has.get("fetchTime") and "timeDifference" in self._ccxt.options):
            return False
        ahead_ms = -await self._ccxt.load_time_difference()
        if abs(ahead_ms) >= _SKEW_WORTH_TELLING_MS:
            log.warning("clock.skewed", exchange=self.id, ahead_ms=ahead_ms)
        return True

    async def _read_permissions(self) -> Permissions | None:
        check = CHECKS.get(family_of(self.id))
        return None if check is None else check.parse(await self._if_told(check.method))

    async def _if_told(self, method: str) -> Any:
        """Return the result of a method of ccxt; None if the exchange, or the key, does not have it."""
        try:
            return await self.call(method)
        except ExchangeError as error:
            if error.kinds & {"NotSupported", "PermissionDenied"}:  # a sandbox, or a key without this permission
                return None
            raise

    async def _read_coins(self) -> Coins:
        currencies = await self.call("fetch_currencies") if self._ccxt.has.get("fetchCurrencies") is True else {}
        if currencies:
            if self._ccxt.markets is None:
                # Coins are enough to read balances: all markets are megabytes, and take a second of the loop's time.
                self._ccxt.set_markets([], currencies)
            return read_coins(currencies)
        await self.call("load_markets")
        return read_coins(self._ccxt.currencies)

    async def _follow(self, params: Mapping[str, Any]) -> None:
        """Return when the exchange reports a change of a balance."""
        await self._told(self._ccxt.watch_balance(dict(params)))

    def _rest(self) -> None:
        remaining = self._resting_until - asyncio.get_running_loop().time()
        if remaining > 0:
            detail = f"{self.id}: asked for a pause of {remaining:.0f} s more"
            failure = ExchangeError(FailureReason.RATE_LIMITED, detail)
            failure.retry_after_seconds = remaining
            raise failure

    def _asked_pause(self) -> float | None:
        """Return the seconds in the last answer's `Retry-After`; clients that ignore it are banned."""
        headers: Mapping[str, str] = self._ccxt.last_response_headers or {}
        return parse_retry_after(next((value for name, value in headers.items() if name.lower() == "retry-after"), ""))
