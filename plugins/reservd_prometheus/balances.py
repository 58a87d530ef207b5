"""Balances from a Prometheus server."""

import asyncio
from collections.abc import Mapping
from typing import Self

from reservd.plugin import Account, AccountFailure, Balance, BalanceSource, Reading, SourceError
from reservd_prometheus.config import PrometheusBalanceConfig
from reservd_prometheus.server import PrometheusServer


class PrometheusBalanceSource(BalanceSource[PrometheusBalanceConfig]):
    """Reads each account with its own query, all at the same time."""

    PLUGIN_NAME = "prometheus"
    Config = PrometheusBalanceConfig

    def __init__(self, name: str, config: PrometheusBalanceConfig) -> None:
        super().__init__(name, config)
        self._server = PrometheusServer(config)

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close every connection."""
        await self._server.__aexit__()

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the configured accounts, each with its one asset."""
        venue = self.config.venue or self.name
        return {
            name: Account(name, venue, account.address or name, frozenset({account.asset}))
            for name, account in self.config.accounts.items()
        }

    async def fetch_balances(self) -> Reading:
        """Return the balance of each account, or why there is none.

        Raises:
            SourceError: If no account could be read.
        """
        accounts = self.config.accounts
        answers = dict(zip(accounts, await asyncio.gather(*map(self._fetch, accounts)), strict=True))
        errors = {name: answer for name, answer in answers.items() if isinstance(answer, SourceError)}
        if len(errors) == len(answers):
            raise next(iter(errors.values()))
        return Reading(
            balances=[answer for answer in answers.values() if isinstance(answer, Balance)],
            failures=[
                AccountFailure(name, error.reason, error.detail, asset=accounts[name].asset)
                for name, error in errors.items()
            ],
        )

    async def _fetch(self, name: str) -> Balance | SourceError:
        account = self.config.accounts[name]
        try:
            measured = await self._server.measure(account.query, account.observed_at)
        except SourceError as error:
            return error
        return Balance(name, account.asset, measured.amount, measured.observed_at, locked=None)
