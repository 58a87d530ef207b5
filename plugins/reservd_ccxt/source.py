"""The `ccxt` balance source: free balances of one key's accounts on one exchange."""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Self

import structlog

from reservd.plugin import Account, AccountFailure, Balance, BalanceSource, FailureReason, Reading, SourceError
from reservd_ccxt.balances import is_whole, to_balance
from reservd_ccxt.catalogue import family_of, lean_parameters
from reservd_ccxt.client import Settings
from reservd_ccxt.coins import Coins
from reservd_ccxt.config import CcxtAccount, CcxtConfig
from reservd_ccxt.errors import ExchangeError
from reservd_ccxt.exchange import Facts, SharedExchange
from reservd_ccxt.owners import owner_call
from reservd_ccxt.permissions import Permissions, refusal
from reservd_ccxt.registry import acquire, check_owner, release
from reservd_ccxt.wallets import Wallet, wallet_of

log = structlog.get_logger(__name__)


class CcxtSource(BalanceSource[CcxtConfig]):
    """Reads the accounts of one key, one request per account and reading."""

    PLUGIN_NAME = "ccxt"
    Config = CcxtConfig

    def __init__(self, name: str, config: CcxtConfig) -> None:
        super().__init__(name, config)
        self._log = log.bind(source=name, exchange=config.exchange)
        self._shared: SharedExchange | None = None
        self._suspended: frozenset[str] = frozenset()
        self._told: str | None = None
        self._judged: Facts | None = None
        self._is_identified = True
        self._named: dict[str, frozenset[str]] = {}
        self._wallets: dict[str, Wallet] = {
            account: wallet_of(config.exchange, options.request(), config.options)
            for account, options in config.accounts.items()
        }

    async def __aenter__(self) -> Self:
        """Join the sources of the key. The first reading makes the first request."""
        if self._shared is None:
            self._shared = acquire(Settings.of(self.config), self.config.timeout)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Leave the key; its last source closes its connections."""
        shared, self._shared = self._shared, None
        self._told = self._judged = None
        self._named.clear()
        if shared is not None:
            await release(shared)

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the accounts; the address is the wallet, and the account's id or its stand-in."""
        exchange = family_of(self.config.exchange)
        return {
            name: Account(
                name, exchange, self._address(name), frozenset(account.assets), stand_in=self._stand_in(name, exchange)
            )
            for name, account in self.config.accounts.items()
        }

    async def fetch_balances(self) -> Reading:
        """Return the free balances, one per account and configured asset.

        Raises:
            SourceError: If no account could be read, the key has more permissions than allowed, or it is of an
                account that another key counts.
        """
        shared = self._open()
        facts = await shared.facts(self.config.refresh_interval)
        if facts is not self._judged:
            self._check_key(facts.permissions)
            self._tell_suspensions(facts.coins)
            self._judged = facts
        self._note_owner(is_known=await check_owner(shared))
        results: list[Balance | AccountFailure] = []
        errors: list[ExchangeError] = []
        for name, account in self.config.accounts.items():
            try:
                results += await self._read(shared, name, account, facts.coins)
            except ExchangeError as error:
                errors.append(error)
                results.append(AccountFailure(name, error.reason, error.detail))
        if len(errors) == len(self.config.accounts):
            raise errors[0]
        return Reading(
            balances=[result for result in results if isinstance(result, Balance)],
            failures=[result for result in results if isinstance(result, AccountFailure)],
        )

    def changes(self) -> AsyncIterator[None] | None:
        """Return the exchange's balance stream, if the option `watch` is set."""
        return self._changes() if self.config.watch else None

    async def _changes(self) -> AsyncIterator[None]:
        shared = self._open()
        self._check_key((await shared.facts(self.config.refresh_interval)).permissions)
        if not shared.has_stream:
            self._log.warning("stream.not_offered")
            return
        async for _ in shared.streams.listen([account.request() for account in self.config.accounts.values()]):
            yield None

    def _open(self) -> SharedExchange:
        if self._shared is None:
            raise SourceError(FailureReason.INTERNAL, "the source is not open")
        return self._shared

    async def _read(
        self, shared: SharedExchange, name: str, account: CcxtAccount, coins: Coins
    ) -> Iterator[Balance | AccountFailure]:
        # Taken before the request: ccxt's own time, if any, is that of the last change, not of the answer.
        asked_at = datetime.now(UTC)
        answer = await shared.call("fetch_balance", self._request(account))
        if not is_whole(shared.id, self._wallets[name].name, answer):
            raise ExchangeError(FailureReason.INVALID_DATA, f"{shared.id}: the answer is not a list of balances")
        named = frozenset(account.assets) & answer["free"].keys()
        if self._named.get(name, named) - named:
            # Absent is zero only for coins that exist: read the list again before an absent coin counts as 0.
            coins = (await shared.facts_of_now()).coins
        self._named[name] = named
        return (to_balance(name, asset, answer, coins, asked_at) for asset in dict.fromkeys(account.assets))

    def _request(self, account: CcxtAccount) -> Mapping[str, Any]:
        if account.params or self.config.options:
            return account.request()
        return {**account.request(), **lean_parameters(self.config.exchange, account.type)}

    def _check_key(self, permissions: Permissions | None) -> None:
        """Refuse a key with too many permissions, and log its permissions at each change.

        Raises:
            SourceError: If the key may trade or withdraw, and no option allows that.
        """
        config = self.config
        if permissions is None:
            self._tell(
                "key.not_checked", "the exchange does not report what the key may do: make sure it can only read"
            )
            return
        refused = refusal(
            permissions, allow_trading=config.allow_trading_key, allow_withdrawing=config.allow_withdrawing_key
        )
        if refused:
            self._tell("key.refused", refused)
            raise SourceError(FailureReason.REJECTED, refused)
        if permissions.withdraw or permissions.trade:
            may = "withdraw" if permissions.withdraw else "trade or move money"
            self._tell("key.allowed", f"the key may {may}, which an option allows")

    def _note_owner(self, *, is_known: bool) -> None:
        if self._is_identified and not is_known:
            detail = "another key may be of the same account, whose money would count twice: set account_id"
            self._log.warning("account.not_identified", detail=detail)
        self._is_identified = is_known

    def _tell(self, event: str, why: str) -> None:
        if self._told != why:
            self._told = why
            self._log.warning(event, detail=why)

    def _tell_suspensions(self, coins: Coins) -> None:
        """Log the coins whose withdrawals were suspended or resumed."""
        assets = {asset for account in self.config.accounts.values() for asset in account.assets}
        suspended = frozenset(asset for asset in assets if coins.get(asset, False))
        for asset in sorted(suspended - self._suspended):
            self._log.warning("withdrawals.suspended", asset=asset, detail="counts as 0 while it lasts")
        for asset in sorted(self._suspended - suspended):
            self._log.info("withdrawals.resumed", asset=asset)
        self._suspended = suspended

    def _address(self, name: str) -> str:
        wallet, own, account_id = self._wallets[name].name, self.config.accounts[name].wallet, self.config.account_id
        # The key itself must not be shown.
        key = account_id if account_id is not None else _fingerprint(self.config.api_key.get_secret_value())
        return ":".join((wallet, key, *([own] if own is not None else ())))

    def _stand_in(self, name: str, exchange: str) -> str:
        """Return a part of the address for accounts that may be the same money as another."""
        config, wallet = self.config, self._wallets[name]
        # If the exchange reports owners, two keys of one account are refused when they are read.
        is_owner_known = config.account_id is not None or owner_call(exchange) is not None
        is_wallet_known = wallet.is_sure or config.accounts[name].wallet is not None
        if is_owner_known and is_wallet_known:
            return ""
        return _fingerprint([config.api_key.get_secret_value(), {} if is_wallet_known else wallet.others])


def _fingerprint(what: object) -> str:
    return hashlib.blake2b(json.dumps(what, sort_keys=True).encode(), digest_size=8).hexdigest()
