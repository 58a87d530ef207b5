"""Balances from a JSON endpoint."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import (
    Account,
    AccountFailure,
    Balance,
    BalanceSource,
    FailureReason,
    PluginConfig,
    Reading,
    SourceError,
)
from reservd_http_json.endpoint import Endpoint, JsonEndpointConfig, Name
from reservd_http_json.pages import Pager
from reservd_http_json.values import JsonPath, ValueProblem, instant_at, number_at


class HttpJsonBalance(PluginConfig):
    """The place of one account's balance of one asset in the answer."""

    account: Name = "main"
    """The account's name."""
    address: Name | None = None
    """The account's own id at the venue, which identifies its money; its name when left out."""
    asset: Name
    """The asset, as the modes spell it."""
    amount: JsonPath
    """Path to the amount payable now, in whole units."""
    locked: JsonPath | None = None
    """Path to the amount held but not payable now, in whole units; unknown when left out."""


class HttpJsonBalanceConfig(JsonEndpointConfig):
    """Options of the `http_json` balance source."""

    venue: Name | None = None
    """What the accounts belong to; the same for all sources of one venue. The instance's name when left out."""
    observed_at: JsonPath | None = None
    """Path to the time of the balances; by default the time of the request, minus the answer's age in a cache."""
    next: JsonPath | None = None
    """Path to the next page's URL or cursor; missing or null on the last page. One page when left out."""
    next_parameter: Name | None = None
    """The query parameter for the cursor; without it, `next` leads to a URL of the same origin."""
    max_pages: Annotated[int, Field(ge=1, le=1000)] = 20
    """The largest number of pages; with more, the reading fails."""
    balances: Annotated[tuple[HttpJsonBalance, ...], Field(min_length=1)]
    """One entry per account and asset."""

    @model_validator(mode="after")
    def _paged(self) -> Self:
        if self.next is None and self.next_parameter is not None:
            raise PydanticCustomError("pages", "next must be given with next_parameter")
        return self

    @field_validator("balances")
    @classmethod
    def _agree(cls, balances: tuple[HttpJsonBalance, ...]) -> tuple[HttpJsonBalance, ...]:
        seen: set[tuple[str, str]] = set()
        addresses: dict[str, str] = {}
        for entry in balances:
            names = {"account": entry.account, "asset": entry.asset}
            if (entry.account, entry.asset) in seen:
                raise PydanticCustomError("twice", "must have {account}'s {asset} once", names)
            seen.add((entry.account, entry.asset))
            if entry.address is not None and addresses.setdefault(entry.account, entry.address) != entry.address:
                raise PydanticCustomError("addresses", "must have one address for account {account}", names)
        return balances


class HttpJsonBalanceSource(BalanceSource[HttpJsonBalanceConfig]):
    """Reads all its balances from one answer, or from the pages of one."""

    PLUGIN_NAME = "http_json"
    Config = HttpJsonBalanceConfig

    def __init__(self, name: str, config: HttpJsonBalanceConfig) -> None:
        super().__init__(name, config)
        self._endpoint = Endpoint(config)
        self._pager = Pager(
            self._endpoint,
            next_path=config.next,
            parameter=config.next_parameter,
            max_pages=config.max_pages,
            timeout_seconds=config.timeout,
        )

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self._endpoint.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close every connection."""
        await self._endpoint.__aexit__()

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the accounts that the entries name."""
        venue = self.config.venue or self.name
        assets: dict[str, set[str]] = {}
        addresses: dict[str, str] = {}
        for entry in self.config.balances:
            assets.setdefault(entry.account, set()).add(entry.asset)
            if entry.address is not None:
                addresses[entry.account] = entry.address
        return {name: Account(name, venue, addresses.get(name, name), frozenset(held)) for name, held in assets.items()}

    async def fetch_balances(self) -> Reading:
        """Return a balance, or the failure `invalid_data`, for each configured entry.

        Raises:
            SourceError: If no JSON came, or its time is invalid.
        """
        # Taken before the request: the answer may be as old as this, and must not look newer.
        asked_at = datetime.now(UTC)
        found = await self._pager.fetch()
        pages, path = [page.document for page in found], self.config.observed_at
        try:
            observed_at = min(
                instant_at([page.document], path) if path else page.response.true_at(asked_at) for page in found
            )
        except ValueProblem as problem:
            raise SourceError(FailureReason.INVALID_DATA, f"observed_at: {problem}") from None
        balances: list[Balance] = []
        failures: list[AccountFailure] = []
        for entry in self.config.balances:
            try:
                balances.append(_balance(entry, pages, observed_at))
            except ValueProblem as problem:
                detail = f"{entry.asset}: {problem}"
                failures.append(AccountFailure(entry.account, FailureReason.INVALID_DATA, detail, asset=entry.asset))
        return Reading(balances, failures)


def _balance(entry: HttpJsonBalance, pages: Sequence[Any], observed_at: datetime) -> Balance:
    amount = number_at(pages, entry.amount)
    locked = number_at(pages, entry.locked) if entry.locked else None
    return Balance(entry.account, entry.asset, amount, observed_at, locked=locked)
