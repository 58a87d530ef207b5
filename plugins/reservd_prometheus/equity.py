"""Total equity from a Prometheus server."""

import re
from typing import Self

from reservd.plugin import Equity, EquitySource, FailureReason, SourceError
from reservd_prometheus.config import PrometheusEquityConfig
from reservd_prometheus.server import PrometheusServer

_MODE = "{mode}"
_CURRENCY = "{currency}"
_SAFE = re.compile(r"[A-Za-z0-9_.-]+")
"""The characters of a mode or a currency: none that ends a quoted label value."""


class PrometheusEquitySource(EquitySource[PrometheusEquityConfig]):
    """Reads total equity with one query."""

    PLUGIN_NAME = "prometheus"
    Config = PrometheusEquityConfig

    def __init__(self, name: str, config: PrometheusEquityConfig) -> None:
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
    def by_share_class(self) -> bool:
        """Whether neither query contains a mode."""
        return _MODE not in f"{self.config.query}{self.config.observed_at}"

    async def fetch_equity(self, mode: str, currency: str) -> Equity:
        """Return the result of the query.

        Raises:
            SourceError: If it returns no sample, several, or no number; or the number is in another currency.
        """
        if self.config.currency not in {None, currency}:
            raise SourceError(
                FailureReason.INVALID_DATA, f"equity is counted in {self.config.currency}, not {currency}"
            )
        for name in (mode, currency):
            if not _SAFE.fullmatch(name):
                raise SourceError(
                    FailureReason.INTERNAL, "a mode and a currency must be letters, digits, '_', '.', '-'"
                )

        def asked_for(template: str) -> str:
            return template.replace(_MODE, mode).replace(_CURRENCY, currency)

        observed_at = self.config.observed_at
        measured = await self._server.measure(
            asked_for(self.config.query), None if observed_at is None else asked_for(observed_at)
        )
        return Equity(
            measured.amount, currency, measured.observed_at, net_of_withdrawals=self.config.net_of_withdrawals
        )
