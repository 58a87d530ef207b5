"""Total equity from a JSON endpoint."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator

from reservd.plugin import Equity, EquitySource, FailureReason, SourceError, Url
from reservd_http_json.endpoint import Endpoint, JsonEndpointConfig, parse
from reservd_http_json.template import template_of
from reservd_http_json.values import JsonPath, ValueProblem, flag_at, instant_at, number_at, text_at

_MODE = "{mode}"
_MAX_SHOWN = 20


class HttpJsonEquityConfig(JsonEndpointConfig):
    """Options of the `http_json` equity source."""

    url: Annotated[Url, AfterValidator(template_of("mode", "currency"))]
    """The URL to request; `{mode}` and `{currency}` in it are replaced. It is a secret and never shown."""
    equity: JsonPath
    """Path to the total equity, in whole units of the currency."""
    currency: JsonPath | None = None
    """Path to the currency of the number, which must be the requested one."""
    observed_at: JsonPath | None = None
    """Path to the time of the number; by default the time of the request, minus the answer's age in a cache."""
    complete: JsonPath | None = None
    """Path to `true` if nothing is missing from the number; incomplete equity counts as unknown."""
    net_of_withdrawals: bool = False
    """Whether accepted, unpaid withdrawals are already subtracted from the number."""


class HttpJsonEquitySource(EquitySource[HttpJsonEquityConfig]):
    """Reads total equity with one request."""

    PLUGIN_NAME = "http_json"
    Config = HttpJsonEquityConfig

    def __init__(self, name: str, config: HttpJsonEquityConfig) -> None:
        super().__init__(name, config)
        self._endpoint = Endpoint(config)

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self._endpoint.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close every connection."""
        await self._endpoint.__aexit__()

    @property
    def by_share_class(self) -> bool:
        """Whether neither URL nor body contains a mode."""
        asked = (self.config.url, self.config.body)
        return not any(_MODE in text.get_secret_value() for text in asked if text is not None)

    async def fetch_equity(self, mode: str, currency: str) -> Equity:
        """Return the equity that the endpoint reports.

        Raises:
            SourceError: If no JSON came, or a value in it is invalid.
        """
        # Taken before the request: the answer may be as old as this, and must not look newer.
        asked_at = datetime.now(UTC)
        response = await self._endpoint.fetch({"mode": mode, "currency": currency})
        document = parse(response)
        try:
            return self._equity([document], currency, response.true_at(asked_at))
        except ValueProblem as problem:
            raise SourceError(FailureReason.INVALID_DATA, str(problem)) from None

    def _equity(self, pages: Sequence[Any], currency: str, true_at: datetime) -> Equity:
        paths = self.config
        if paths.currency and (got := text_at(pages, paths.currency)) != currency:
            raise ValueProblem(f"{paths.currency} must be {currency}, got {got[:_MAX_SHOWN]!r}")
        return Equity(
            number_at(pages, paths.equity),
            currency,
            instant_at(pages, paths.observed_at) if paths.observed_at else true_at,
            complete=flag_at(pages, paths.complete) if paths.complete else True,
            net_of_withdrawals=paths.net_of_withdrawals,
        )
