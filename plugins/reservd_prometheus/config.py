"""The options of both `prometheus` sources."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import PluginConfig, Url
from reservd.plugin.endpoint import EndpointConfig

Name = Annotated[str, Field(min_length=1)]

_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")
"""In PromQL, braces contain matchers, and in its regular expressions numbers: never a bare word."""


def _check_template(query: str) -> str:
    for word in _PLACEHOLDER.findall(query):
        if word not in {"mode", "currency"}:
            rule = "must hold no placeholders but {mode} and {currency}, got '{word}'"
            raise PydanticCustomError("placeholder", rule, {"word": word})
    return query


def _check_plain(query: str) -> str:
    if _PLACEHOLDER.search(query):
        raise PydanticCustomError("placeholder", "must hold no placeholders: balances are not queried by mode")
    return query


Query = Annotated[Name, AfterValidator(_check_plain)]
"""A PromQL expression."""

QueryTemplate = Annotated[Name, AfterValidator(_check_template)]
"""A PromQL expression in which `{mode}` and `{currency}` are replaced by the requested ones."""


class PrometheusServerConfig(EndpointConfig):
    """Options that both sources share."""

    url: Url
    """The server, such as `http://prometheus:9090`; `/api/v1/query` is added. It is a secret and never shown."""


class PrometheusAccount(PluginConfig):
    """One account, and the query for its balance."""

    asset: Name
    """The asset, as the modes spell it."""
    query: Query
    """PromQL that returns one sample: the amount payable now, in whole units; negative is debt."""
    observed_at: Query | None = None
    """PromQL that returns one sample: the time of the number, in Unix time; `timestamp(query)` when left out."""
    address: Name | None = None
    """The account's own id at the venue, which identifies its money; its name when left out."""


class PrometheusBalanceConfig(PrometheusServerConfig):
    """Options of the `prometheus` balance source."""

    venue: Name | None = None
    """What the accounts belong to; the same for all sources of one venue. The instance's name when left out."""
    accounts: Annotated[dict[Name, PrometheusAccount], Field(min_length=1)]
    """The accounts by name."""

    @field_validator("accounts")
    @classmethod
    def _each_balance_once(cls, accounts: dict[str, PrometheusAccount]) -> dict[str, PrometheusAccount]:
        first: dict[tuple[str, str], str] = {}
        for name, account in accounts.items():
            twin = first.setdefault((account.query, account.asset), name)
            if twin != name:
                rule = "must not count the same money twice: '{twin}' and '{name}' have the same query and asset"
                raise PydanticCustomError("twins", rule, {"twin": twin, "name": name})
        return accounts


class PrometheusEquityConfig(PrometheusServerConfig):
    """Options of the `prometheus` equity source."""

    query: QueryTemplate
    """PromQL that returns one sample: total equity in whole units; `{mode}` and `{currency}` are replaced."""
    observed_at: QueryTemplate | None = None
    """PromQL that returns one sample: the time of the number, in Unix time; `timestamp(query)` when left out."""
    currency: Name | None = None
    """The currency of the number: a mode with another share class gets no answer."""
    net_of_withdrawals: bool = False
    """Whether accepted, unpaid withdrawals are already subtracted from the number."""
