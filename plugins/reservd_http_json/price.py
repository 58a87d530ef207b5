"""Prices from a JSON endpoint."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Self
from urllib.parse import quote as percent_encoded

from pydantic import AfterValidator, model_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import FailureReason, Price, PriceSource, SourceError, Url
from reservd_http_json.endpoint import Endpoint, JsonEndpointConfig, Name, parse
from reservd_http_json.template import placeholder_of, template_of
from reservd_http_json.values import JsonPath, ValueProblem, instant_at, number_at

_PLACEHOLDER = placeholder_of("base", "quote")


class HttpJsonPriceConfig(JsonEndpointConfig):
    """Options of the `http_json` price source."""

    url: Annotated[Url, AfterValidator(template_of("base", "quote"))]
    """The URL to request; `{base}` and `{quote}` in it are replaced. It is a secret and never shown."""
    base: Name | None = None
    """The asset that the URL prices; needed if the URL does not contain `{base}`."""
    quote: Name | None = None
    """The asset that it is priced in; needed if the URL does not contain `{quote}`."""
    value: JsonPath
    """Path to the price: units of the quote per unit of the base."""
    observed_at: JsonPath | None = None
    """Path to the time of the price; by default the time of the request, minus the answer's age in a cache."""

    @model_validator(mode="after")
    def _tells_pairs_apart(self) -> Self:
        url = self.url.get_secret_value()
        for name, fixed in (("base", self.base), ("quote", self.quote)):
            if fixed is None and f"{{{name}}}" not in url:
                rule = "url must hold {placeholder}, or {name} must be given: it would answer for any asset"
                raise PydanticCustomError("pair", rule, {"placeholder": f"{{{name}}}", "name": name})
        return self


class HttpJsonPriceSource(PriceSource[HttpJsonPriceConfig]):
    """Reads a price with one request."""

    PLUGIN_NAME = "http_json"
    Config = HttpJsonPriceConfig

    def __init__(self, name: str, config: HttpJsonPriceConfig) -> None:
        super().__init__(name, config)
        self._endpoint = Endpoint(config)

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self._endpoint.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close every connection."""
        await self._endpoint.__aexit__()

    async def fetch_price(self, base: str, quote: str) -> Price:
        """Return the price that the endpoint reports.

        Raises:
            SourceError: If the source is for another pair, no JSON came, or a value in it is invalid.
        """
        if self.config.base not in {None, base} or self.config.quote not in {None, quote}:
            pair = f"{self.config.base or '*'}/{self.config.quote or '*'}"
            raise SourceError(FailureReason.INVALID_DATA, f"has the price of {pair} only, not of {base}/{quote}")
        asked = {"base": percent_encoded(base, safe=""), "quote": percent_encoded(quote, safe="")}
        url = _PLACEHOLDER.sub(lambda match: asked[match[1]], self._endpoint.url)
        # Taken before the request: the answer may be as old as this, and must not look newer.
        asked_at = datetime.now(UTC)
        response = await self._endpoint.ask(url)
        pages = [parse(response)]
        path = self.config.observed_at
        try:
            value = _above_zero(pages, self.config.value)
            return Price(base, quote, value, instant_at(pages, path) if path else response.true_at(asked_at))
        except ValueProblem as problem:
            raise SourceError(FailureReason.INVALID_DATA, str(problem)) from None


def _above_zero(pages: Sequence[Any], path: str) -> Decimal:
    value = number_at(pages, path)
    if value <= 0:
        raise ValueProblem(f"{path} must be above 0")
    return value
