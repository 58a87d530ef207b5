"""The `http_json` price source against a server on loopback."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from reservd.plugin import FailureReason, Price, SourceError
from reservd.plugin.testing import PriceSourceContract
from reservd_http_json.price import HttpJsonPriceSource

Build = Callable[..., Any]


def options(receiver: Any, **more: Any) -> dict[str, Any]:
    return {"url": f"{receiver.base}/v1/{{base}}/{{quote}}?key=hidden-key", "value": "$.price", "timeout": 5, **more}


class TestHttpJsonPriceSource(PriceSourceContract):
    plugin_class = HttpJsonPriceSource

    @pytest.fixture
    def options(self, receiver: Any) -> dict[str, Any]:
        receiver.says('{"price": "3000.5"}')
        return options(receiver)


async def price_of(build: Build, settings: dict[str, Any], base: str = "ETH", quote: str = "USDT") -> Price:
    async with build(HttpJsonPriceSource, settings) as source:
        price: Price = await source.fetch_price(base, quote)
    return price


async def failure_of(build: Build, settings: dict[str, Any], base: str = "ETH", quote: str = "USDT") -> SourceError:
    with pytest.raises(SourceError) as failure:
        await price_of(build, settings, base, quote)
    assert "hidden-key" not in str(failure.value)
    return failure.value


@pytest.mark.parametrize("number", ["3000.123456789012345678", '"3000.123456789012345678"'])
async def test_price_is_the_exact_number_at_the_path(build: Build, receiver: Any, number: str) -> None:
    receiver.says(f'{{"price": {number}, "as_of": 1772366400}}')
    price = await price_of(build, options(receiver, observed_at="$.as_of"))
    assert price.value == Decimal("3000.123456789012345678")
    assert price.observed_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


async def test_price_is_of_the_request_when_no_time_is_configured(build: Build, receiver: Any) -> None:
    receiver.says('{"price": 1}')
    before = datetime.now(UTC)
    assert before <= (await price_of(build, options(receiver))).observed_at <= datetime.now(UTC)


async def test_pair_is_percent_encoded_in_the_url(build: Build, receiver: Any) -> None:
    receiver.says('{"price": 1}')
    await price_of(build, options(receiver), "a/b c", "{base}")
    assert receiver.requests[0].path == "/v1/a%2Fb%20c/%7Bbase%7D?key=hidden-key"


async def test_source_of_one_pair_answers_for_no_other(build: Build, receiver: Any) -> None:
    """Otherwise the price of ether could be used for bitcoin."""
    receiver.says('{"price": 3000}')
    settings = options(receiver, url=receiver.url, base="ETH", quote="USDT")
    assert (await price_of(build, settings)).value == 3000
    error = await failure_of(build, settings, "BTC")
    assert (error.reason, error.detail) == (
        FailureReason.INVALID_DATA,
        "has the price of ETH/USDT only, not of BTC/USDT",
    )
    settings = options(receiver, url=f"{receiver.base}/{{base}}", quote="USDT")
    assert (await failure_of(build, settings, quote="EUR")).detail == "has the price of */USDT only, not of ETH/EUR"


async def test_body_is_posted_as_it_is_when_there_is_one(build: Build, receiver: Any) -> None:
    receiver.says('{"price": 3000}')
    await price_of(build, options(receiver, body='{"of": "ETH"}'))
    assert (receiver.requests[0].method, receiver.requests[0].body) == ("POST", b'{"of": "ETH"}')


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('{"price": 0}', "must be above 0"),
        ('{"price": "-3000"}', "must be above 0"),
        ('{"price": null}', "must be a number, got null"),
        ('{"price": true}', "must be a number, got true"),
        ('{"price": "high"}', "must be a number, got text"),
        ('{"price": 1e99}', "out of range"),
        ("{}", "must match one value"),
        ('{"price": NaN}', ""),
        ("<html>maintenance</html>", ""),
        ("", ""),
    ],
)
async def test_price_fails_when_the_answer_cannot_be_believed(build: Build, receiver: Any, body: str, why: str) -> None:
    receiver.says(body)
    error = await failure_of(build, options(receiver))
    assert error.reason is FailureReason.INVALID_DATA
    assert why in error.detail


async def test_price_fails_when_its_time_is_none(build: Build, receiver: Any) -> None:
    receiver.says('{"price": 1, "as_of": "noon"}')
    assert "$.as_of must be ISO 8601" in (await failure_of(build, options(receiver, observed_at="$.as_of"))).detail


@pytest.mark.parametrize(
    ("status", "reason"),
    [(500, FailureReason.REJECTED), (404, FailureReason.REJECTED), (429, FailureReason.RATE_LIMITED)],
)
async def test_price_fails_when_the_endpoint_refuses(
    build: Build, receiver: Any, status: int, reason: FailureReason
) -> None:
    receiver.says('{"price": 1}', status)
    assert (await failure_of(build, options(receiver))).reason is reason


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"url": "http://127.0.0.1/ETH"}, "url must hold {base}, or base must be given"),
        ({"url": "http://127.0.0.1/ETH", "base": "ETH"}, "url must hold {quote}, or quote must be given"),
        ({"url": "http://127.0.0.1/{base}/{mode}", "quote": "USDT"}, "no braces but {base} and {quote}"),
        ({"url": "http://{base}.example.com/{quote}"}, "after the host only"),
        ({"value": "price"}, "must be a JSONPath"),
    ],
)
def test_options_are_refused_when_they_do_not_hold(build: Build, change: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValidationError) as failure:
        build(HttpJsonPriceSource, {"url": "http://127.0.0.1/{base}/{quote}", "value": "$.price", **change})
    assert rule in str(failure.value)
