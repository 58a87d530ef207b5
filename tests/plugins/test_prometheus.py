"""The `prometheus` sources, on a real Prometheus that scrapes a small exporter."""

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from pydantic import ValidationError

from reservd.plugin import Account, FailureReason, SourceError
from reservd.plugin.testing import BalanceSourceContract, EquitySourceContract
from reservd_prometheus.balances import PrometheusBalanceSource
from reservd_prometheus.equity import PrometheusEquitySource
from support.prometheus import Prometheus, require_prometheus

R = FailureReason
FREE = {"asset": "USDT", "query": "free"}


class Ledger(Collector):
    """The exporter's metrics: one gauge per account, some with a time of their own."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        free = GaugeMetricFamily("ledger_free", "Free balance.", labels=["account", "coin"])
        free.add_metric(["ops", "USDT"], 40000.25)
        free.add_metric(["desk", "USDT"], -3)
        free.add_metric(["desk", "ETH"], 1.5)
        free.add_metric(["broken", "USDT"], float("nan"))
        free.add_metric(["endless", "USDT"], float("inf"))
        yield free
        late = GaugeMetricFamily("ledger_late", "Told with the time at which it was true, a minute ago.")
        late.add_metric([], 7, timestamp=int(time.time()) - 60)
        yield late
        nav = GaugeMetricFamily("strategy_nav", "Total equity.", labels=["strategy", "currency"])
        nav.add_metric(["demo", "USDT"], 1_000_000.125)
        nav.add_metric(["a.b-c_1", "ETH"], 5)
        yield nav
        updated = GaugeMetricFamily("ledger_updated_timestamp_seconds", "When the ledger was read.")
        updated.add_metric([], 1_772_366_400.25)
        yield updated


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A Prometheus that has scraped the ledger."""
    require_prometheus()
    registry = CollectorRegistry()
    registry.register(Ledger())
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        # The scrape timeout equals the interval: a slower scrape would make every number stale.
        with Prometheus([f"127.0.0.1:{server.server_port}"], scrape_interval_seconds=5) as prometheus:
            prometheus.wait_for("ledger_late")
            prometheus.wait_for("strategy_nav")
            yield prometheus.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class TestPrometheusBalanceSource(BalanceSourceContract):
    plugin_class = PrometheusBalanceSource

    @pytest.fixture
    def options(self, url: str) -> dict[str, Any]:
        ops = {"asset": "USDT", "query": 'ledger_free{account="ops"}'}
        return {"url": url, "accounts": {"ops": ops, "gone": {"asset": "USDT", "query": "no_such_metric"}}}


class TestPrometheusEquitySource(EquitySourceContract):
    plugin_class = PrometheusEquitySource

    @pytest.fixture
    def options(self, url: str) -> dict[str, Any]:
        return {"url": url, "query": 'strategy_nav{strategy="{mode}",currency="{currency}"}'}


class TestPrometheusEquitySourceByShareClass(EquitySourceContract):
    plugin_class = PrometheusEquitySource

    @pytest.fixture
    def options(self, url: str) -> dict[str, Any]:
        return {"url": url, "query": 'sum(strategy_nav{currency="{currency}"})'}


async def read(build: Any, url: str, *queries: str, **options: Any) -> Any:
    """Read accounts named a0, a1, … with these queries."""
    accounts = {f"a{index}": {"asset": "USDT", "query": query} for index, query in enumerate(queries)}
    async with build(PrometheusBalanceSource, {"url": url, "accounts": accounts, **options}) as source:
        return await source.fetch_balances()


async def equity(build: Any, mode: str = "demo", currency: str = "USDT", **options: Any) -> Any:
    async with build(PrometheusEquitySource, options) as source:
        return await source.fetch_equity(mode, currency)


async def test_balance_is_the_sample_as_prometheus_writes_it(build: Any, url: str) -> None:
    reading = await read(build, url, 'ledger_free{account="ops"}', 'ledger_free{account="desk",coin="USDT"}')
    assert [balance.amount for balance in reading.balances] == [Decimal("40000.25"), Decimal(-3)]
    assert [balance.locked for balance in reading.balances] == [None, None]
    assert not reading.failures


async def test_balance_is_as_old_as_its_sample_when_the_query_selects_one(build: Any, url: str) -> None:
    """An instant query returns the time of the evaluation, which would hide that the sample is a minute old."""
    for query in ("ledger_late", "(ledger_late)", "ledger_late # its own time"):
        (balance,) = (await read(build, url, query)).balances
        assert timedelta(seconds=59) < datetime.now(UTC) - balance.observed_at < timedelta(seconds=180)


async def test_balance_looks_new_when_it_is_computed(build: Any, url: str) -> None:
    """A limitation in the README: Prometheus dates a computed number with the time of the evaluation."""
    (balance,) = (await read(build, url, "sum(ledger_late)")).balances
    assert datetime.now(UTC) - balance.observed_at < timedelta(seconds=30)


async def test_balance_is_as_old_as_the_query_for_its_age_says(build: Any, url: str) -> None:
    account = {"asset": "USDT", "query": "sum(ledger_late)", "observed_at": "ledger_updated_timestamp_seconds"}
    reading = await read(build, url, accounts={"main": account})
    assert reading.balances[0].observed_at == datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    assert reading.balances[0].amount == 7


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("no_such_metric", "observed_at: no sample"),
        ('ledger_free{account="desk"}', "observed_at: must give one sample, gave 2"),
        ('ledger_free{account="broken"}', "query: must give a finite number"),
        ('ledger_free{account="endless"}', "query: must give a finite number"),
        ("vector(1) / 0", "query: must give a finite number"),
        ("vector(1e70)", "query: must give a finite number"),
    ],
)
async def test_balance_is_a_failure_when_the_query_does_not_give_one_number(
    build: Any, url: str, query: str, detail: str
) -> None:
    reading = await read(build, url, query, 'ledger_free{account="ops"}')
    assert [balance.account for balance in reading.balances] == ["a1"]
    (failure,) = reading.failures
    assert (failure.account, failure.asset, failure.reason) == ("a0", "USDT", R.INVALID_DATA)
    assert failure.detail.startswith(detail)


@pytest.mark.parametrize(
    ("query", "observed_at", "detail"),
    [
        ("no_such_metric", "vector(time())", "query: no sample"),
        ("ledger_free", "vector(time())", "query: must give one sample, gave 5"),
        ("ledger_late", "no_such_metric", "observed_at: no sample"),
        ("ledger_late", "vector(12)", "observed_at: must give a Unix time in seconds"),
        ("ledger_late", "vector(time()) * 1000", "observed_at: must give a Unix time in seconds"),
        ("ledger_late", "vector(NaN)", "observed_at: must give a finite number"),
        ("time()", "vector(time())", "query: must give an instant vector, gave a scalar"),
        ("ledger_late[1m]", "vector(time())", "query: must give an instant vector, gave a matrix"),
        ('"5"', "vector(time())", "query: must give an instant vector, gave a string"),
    ],
)
async def test_source_fails_when_number_or_age_cannot_be_told(
    build: Any, url: str, query: str, observed_at: str, detail: str
) -> None:
    account = {"asset": "USDT", "query": query, "observed_at": observed_at}
    with pytest.raises(SourceError) as failure:
        await read(build, url, accounts={"main": account})
    assert (failure.value.reason, failure.value.detail[: len(detail)]) == (R.INVALID_DATA, detail)


async def test_account_fails_alone_when_its_query_is_no_promql(build: Any, url: str) -> None:
    reading = await read(build, url, "sum(", "ledger_late")
    assert [(failure.account, failure.reason) for failure in reading.failures] == [("a0", R.REJECTED)]
    assert reading.failures[0].detail == "HTTP 400"


async def test_equity_is_asked_for_mode_and_currency(build: Any, url: str) -> None:
    query = 'strategy_nav{strategy="{mode}",currency="{currency}"}'
    assert (await equity(build, url=url, query=query)).amount == Decimal("1000000.125")
    got = await equity(build, "a.b-c_1", "ETH", url=url, query=query)
    assert (got.amount, got.currency, got.complete) == (5, "ETH", True)


async def test_equity_is_net_of_withdrawals_when_the_option_says_so(build: Any, url: str) -> None:
    query = "sum(strategy_nav)"
    assert not (await equity(build, url=url, query=query)).net_of_withdrawals
    assert (await equity(build, url=url, query=query, net_of_withdrawals=True)).net_of_withdrawals


async def test_equity_is_as_old_as_the_query_for_its_age_says(build: Any, url: str) -> None:
    updated = 'ledger_updated_timestamp_seconds unless on() absent(strategy_nav{strategy="{mode}"})'
    got = await equity(build, url=url, query="sum(strategy_nav)", observed_at=updated)
    assert got.observed_at == datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize("mode", ['x"} or vector(1) #', "a\nb", "ü", "", "a b"])
async def test_equity_fails_unasked_when_a_name_could_change_the_query(build: Any, receiver: Any, mode: str) -> None:
    with pytest.raises(SourceError) as failure:
        await equity(build, mode, url=receiver.url, query='nav{mode="{mode}"}')
    assert failure.value.reason is R.INTERNAL
    assert not receiver.requests


async def test_equity_fails_when_it_is_counted_in_another_currency(build: Any, receiver: Any) -> None:
    with pytest.raises(SourceError, match="counted in ETH, not USDT") as failure:
        async with build(PrometheusEquitySource, {"url": receiver.url, "query": "nav", "currency": "ETH"}) as source:
            await source.fetch_equity("demo", "USDT")
    assert failure.value.reason is R.INVALID_DATA


@pytest.mark.parametrize(
    ("options", "shared"),
    [
        ({"query": "nav"}, True),
        ({"query": 'nav{c="{currency}"}'}, True),
        ({"query": 'nav{m="{mode}"}'}, False),
        ({"query": "nav", "observed_at": 'at{m="{mode}"}'}, False),
    ],
)
def test_equity_is_shared_when_no_query_has_a_mode(build: Any, options: Any, shared: bool) -> None:
    assert build(PrometheusEquitySource, {"url": "http://127.0.0.1/", **options}).by_share_class is shared


def answer(*samples: Any, kind: str = "vector", **more: Any) -> str:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": list(samples)}, **more})


@dataclass
class Asked:
    """A request for an instant query."""

    path: str
    parameters: dict[str, str] = field(default_factory=dict)


def asked(receiver: Any) -> list[Asked]:
    parts = [urlsplit(request.path) for request in receiver.requests]
    return [Asked(part.path, {name: value[0] for name, value in parse_qs(part.query).items()}) for part in parts]


async def test_number_is_asked_for_at_the_moment_of_its_age(build: Any, receiver: Any) -> None:
    """Otherwise a sample that arrives in between would give its age to an older number."""
    receiver.says(answer({"metric": {}, "value": [1772366400.125, "1772366400"]}))
    await read(build, f"{receiver.base}/prom/?tenant=a", "free")
    first, second = asked(receiver)
    assert first == Asked("/prom/api/v1/query", {"tenant": "a", "query": "timestamp((free\n))"})
    assert second == Asked("/prom/api/v1/query", {"tenant": "a", "query": "free", "time": "1772366400.125"})


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[]",
        '{"status": "error", "errorType": "timeout"}',
        answer({"metric": {}, "histogram": [1772366400, {}]}),
        answer({"metric": {}, "value": [1772366400, 5]}),
        answer({"metric": {}, "value": [True, "5"]}),
        answer({"metric": {}, "value": [1772366400, "1,5"]}),
        answer({"metric": {}, "value": [1772366400, "1772366400"]}, warnings=["a store did not answer"]),
        answer({"metric": {}, "value": [1772366400, "1772366400"]}, isPartial=True),
    ],
)
async def test_source_fails_when_the_answer_cannot_be_believed(build: Any, receiver: Any, body: str) -> None:
    receiver.says(body)
    with pytest.raises(SourceError) as failure:
        await read(build, receiver.url, "free")
    assert failure.value.reason is R.INVALID_DATA


@pytest.mark.parametrize(("status", "reason"), [(302, R.REJECTED), (401, R.REJECTED), (429, R.RATE_LIMITED)])
async def test_source_fails_with_its_reason_when_refused(build: Any, receiver: Any, status: int, reason: R) -> None:
    receiver.says("hidden-key", status)
    with pytest.raises(SourceError) as failure:
        await read(build, receiver.url, "free")
    assert (failure.value.reason, failure.value.detail) == (reason, f"HTTP {status}")


async def test_source_fails_in_time_when_the_server_hangs(build: Any, receiver: Any) -> None:
    """Before the timeout of the whole reading, so that other accounts are still reported."""
    receiver.behaviour = "hang"
    async with asyncio.timeout(20):
        with pytest.raises(SourceError) as failure:
            await read(build, receiver.url, "free", timeout=0.5)
    assert failure.value.reason is R.TIMEOUT


@pytest.mark.parametrize(
    ("options", "authorization"),
    [
        ({"token": "s3cret"}, "Bearer s3cret"),
        ({"username": "jo", "password_file": "password"}, f"Basic {b64encode(b'jo:p:w').decode()}"),
        ({"headers": {"Authorization": "Custom ${KEY}"}}, "Custom from-environment"),
    ],
)
async def test_request_is_authorized(
    build: Any, receiver: Any, tmp_path: Any, options: Any, authorization: str
) -> None:
    (tmp_path / "password").write_text("p:w\n")
    receiver.says(answer({"metric": {}, "value": [1772366400, "1772366400"]}))
    source = build(
        PrometheusBalanceSource,
        {"url": receiver.url, "accounts": {"main": FREE}, **options},
        environ={"KEY": "from-environment"},
    )
    async with source:
        await source.fetch_balances()
    assert {request.headers["Authorization"] for request in receiver.requests} == {authorization}
    assert not any(secret in repr(source.config) for secret in ("s3cret", "p:w", "from-environment"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accounts": {}}, "accounts"),
        ({"accounts": {"a": FREE, "b": FREE}}, "'a' and 'b' have the same query and asset"),
        ({"accounts": {"a": {**FREE, "query": 'free{m="{mode}"}'}}}, "must hold no placeholders: balances"),
        ({"accounts": {"a": {**FREE, "query": ""}}}, "query"),
        ({"username": "jo"}, "must be given both or not at all"),
        ({"password": "x"}, "must be given both or not at all"),
        ({"username": "j:o", "password": "x"}, "must hold no colon"),
        ({"username": "jo", "password": "x", "token": "y"}, "only one of username, token"),
        ({"token": "x", "headers": {"authorization": "y"}}, "only one of username, token"),
        ({"url": "prometheus:9090"}, "must be an http:// or https:// URL"),
    ],
)
def test_config_is_refused_with_the_rule_it_breaks(build: Any, changes: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(PrometheusBalanceSource, {"url": "http://127.0.0.1/", "accounts": {"main": FREE}, **changes})


def test_equity_query_is_refused_when_a_placeholder_is_unknown(build: Any) -> None:
    with pytest.raises(ValidationError, match=r"no placeholders but \{mode\} and \{currency\}, got 'moed'"):
        build(PrometheusEquitySource, {"url": "http://127.0.0.1/", "query": 'nav{mode="{moed}"}'})
    build(PrometheusEquitySource, {"url": "http://127.0.0.1/", "query": 'nav{mode="{mode}",id=~"[0-9]{3}"}'})


def test_accounts_are_known_by_venue_and_address(build: Any) -> None:
    accounts = {"main": FREE, "ops": {**FREE, "query": "other", "address": "sub-1"}}
    options = {"url": "http://127.0.0.1/", "accounts": accounts}
    assert build(PrometheusBalanceSource, options, name="desk").accounts == {
        "main": Account("main", "desk", "main", frozenset({"USDT"})),
        "ops": Account("ops", "desk", "sub-1", frozenset({"USDT"})),
    }
    assert build(PrometheusBalanceSource, {**options, "venue": "bank"}, name="desk").accounts["ops"].venue == "bank"


async def test_host_is_told_how_long_the_server_wants_to_be_left_alone(build: Any, receiver: Any) -> None:
    receiver.says("", 503, Retry_After="60")
    with pytest.raises(SourceError) as failure:
        await read(build, receiver.base, "up", "down")
    assert (failure.value.reason, failure.value.retry_after_seconds) == (R.REJECTED, 60)
