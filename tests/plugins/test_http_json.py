import json
from base64 import b64encode
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reservd.plugin import Account, FailureReason, SourceError
from reservd.plugin.testing import BalanceSourceContract, EquitySourceContract
from reservd_http_json.balances import HttpJsonBalanceSource
from reservd_http_json.equity import HttpJsonEquitySource
from reservd_http_json.values import ValueProblem, instant_at, number_at

R = FailureReason
ONE = {"asset": "USDT", "amount": "$.free"}


class TestHttpJsonBalanceSource(BalanceSourceContract):
    plugin_class = HttpJsonBalanceSource

    @pytest.fixture
    def options(self, receiver: Any) -> dict[str, Any]:
        receiver.says('{"free": 1.5, "ops": {"free": "-3"}}')
        missing = {"account": "gone", "asset": "USDT", "amount": "$.gone"}
        return {
            "url": receiver.url,
            "balances": [ONE, {"account": "ops", "asset": "USDT", "amount": "$.ops.free"}, missing],
        }


class TestHttpJsonEquitySource(EquitySourceContract):
    plugin_class = HttpJsonEquitySource

    @pytest.fixture
    def options(self, receiver: Any) -> dict[str, Any]:
        receiver.says('{"nav": "1000000.01"}')
        return {"url": f"{receiver.base}/nav/{{mode}}", "equity": "$.nav"}


class TestHttpJsonEquitySourceByShareClass(EquitySourceContract):
    plugin_class = HttpJsonEquitySource

    @pytest.fixture
    def options(self, receiver: Any) -> dict[str, Any]:
        receiver.says('{"nav": 5}')
        return {"url": f"{receiver.base}/nav/{{currency}}", "equity": "$.nav"}


async def read(source: Any) -> Any:
    async with source:
        return await source.fetch_balances()


async def equity(source: Any, mode: str = "basis", currency: str = "USDT") -> Any:
    async with source:
        return await source.fetch_equity(mode, currency)


async def test_amount_is_exact_when_json_holds_a_number(build: Any, receiver: Any) -> None:
    receiver.says('{"free": 0.1000000000000000055511151231257827, "held": "2e-3"}')
    reading = await read(build(HttpJsonBalanceSource, {"url": receiver.url, "balances": [{**ONE, "locked": "$.held"}]}))
    (balance,) = reading.balances
    assert balance.amount == Decimal("0.1000000000000000055511151231257827")
    assert balance.locked == Decimal("0.002")


async def test_balances_come_from_one_request(build: Any, receiver: Any) -> None:
    receiver.says('[{"coin": "USDT", "free": 5}, {"coin": "ETH", "free": "1.25"}]')
    entries = [{"account": coin, "asset": coin, "amount": f"$[?@.coin=='{coin}'].free"} for coin in ("USDT", "ETH")]
    reading = await read(build(HttpJsonBalanceSource, {"url": receiver.url, "balances": entries}))
    assert {balance.asset: balance.amount for balance in reading.balances} == {"USDT": 5, "ETH": Decimal("1.25")}
    assert [request.method for request in receiver.requests] == ["GET"]


@pytest.mark.parametrize(
    "free",
    [
        "null", "true", "false", '""', '"n/a"', '"1,000"', '"NaN"', '"Infinity"',
        "[]", "[1]", '{"x": 1}', "1e61", '"1e-61"',
    ],
)  # fmt: skip
async def test_balance_is_a_failure_when_it_is_no_number(build: Any, receiver: Any, free: str) -> None:
    receiver.says(f'{{"free": {free}, "other": 7}}')
    entries = [ONE, {"asset": "ETH", "amount": "$.other"}]
    reading = await read(build(HttpJsonBalanceSource, {"url": receiver.url, "balances": entries}))
    assert [(balance.asset, balance.amount) for balance in reading.balances] == [("ETH", Decimal(7))]
    (failure,) = reading.failures
    assert (failure.account, failure.asset, failure.reason) == ("main", "USDT", R.INVALID_DATA)
    assert failure.detail.startswith("USDT: $.free must be a number, got ")


@pytest.mark.parametrize(("answer", "matched"), [("{}", "nothing"), ("[]", "nothing"), ('"x"', "nothing")])
async def test_balance_is_a_failure_when_nothing_is_there(build: Any, receiver: Any, answer: str, matched: str) -> None:
    receiver.says(answer)
    reading = await read(build(HttpJsonBalanceSource, {"url": receiver.url, "balances": [ONE]}))
    assert not reading.balances
    assert reading.failures[0].detail == f"USDT: $.free must match one value, matched {matched}"


@pytest.mark.parametrize("field", ["amount", "locked"])
async def test_balance_is_a_failure_when_a_path_matches_several(build: Any, receiver: Any, field: str) -> None:
    receiver.says('{"free": 1, "all": [1, 1]}')
    entries = [{**ONE, field: "$.all[*]"}]
    reading = await read(build(HttpJsonBalanceSource, {"url": receiver.url, "balances": entries}))
    assert not reading.balances
    assert reading.failures[0].detail == "USDT: $.all[*] must match one value, matched several"


@pytest.mark.parametrize(
    "answer", ["", "no", '{"free": NaN}', '{"free": 1', b"\xff", '{"free": 1e999999999}', "[" * 100_000]
)
async def test_source_fails_when_the_answer_is_no_json(build: Any, receiver: Any, answer: str | bytes) -> None:
    receiver.says(answer)
    with pytest.raises(SourceError) as failure:
        await read(build(HttpJsonBalanceSource, {"url": receiver.url, "balances": [ONE]}))
    assert failure.value.reason is R.INVALID_DATA


async def test_failure_is_invalid_data_when_a_path_is_lost_in_depth(build: Any, receiver: Any) -> None:
    receiver.says('{"a":' * 500 + "1" + "}" * 500)
    reading = await read(build(HttpJsonBalanceSource, {"url": receiver.url, "balances": [{**ONE, "amount": "$..b"}]}))
    assert reading.failures[0].reason is R.INVALID_DATA


@pytest.mark.parametrize(
    ("status", "reason"), [(302, R.REJECTED), (401, R.REJECTED), (429, R.RATE_LIMITED), (500, R.REJECTED)]
)
async def test_source_fails_with_its_reason_when_refused(build: Any, receiver: Any, status: int, reason: R) -> None:
    receiver.says('{"free": 1}', status, Location="/elsewhere")
    source = build(HttpJsonBalanceSource, {"url": receiver.url, "balances": [ONE]})
    with pytest.raises(SourceError) as failure:
        await read(source)
    assert (failure.value.reason, failure.value.detail) == (reason, f"HTTP {status}")
    assert "hidden-key" not in f"{failure.value!r}{source.config!r}"
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(("behaviour", "reason"), [("hang", R.TIMEOUT), ("hang_up", R.UNREACHABLE)])
async def test_source_fails_when_no_whole_answer_comes(build: Any, receiver: Any, behaviour: str, reason: R) -> None:
    receiver.behaviour = behaviour
    options = {"url": receiver.url, "balances": [ONE], "timeout": 0.5 if behaviour == "hang" else 30}
    with pytest.raises(SourceError) as failure:
        await read(build(HttpJsonBalanceSource, options))
    assert failure.value.reason is reason


async def test_request_carries_token_and_headers(build: Any, receiver: Any, tmp_path: Any) -> None:
    receiver.says('{"free": 1}')
    (tmp_path / "token").write_text("s3cret\n")
    options = {"url": receiver.url, "balances": [ONE], "token_file": "token", "headers": {"X-Key": "${KEY}"}}
    source = build(HttpJsonBalanceSource, options, environ={"KEY": "from-environment"})
    await read(source)
    sent = receiver.requests[0].headers
    assert (sent["Authorization"], sent["X-Key"]) == ("Bearer s3cret", "from-environment")
    assert sent["Accept"] == "application/json"
    assert "s3cret" not in repr(source.config)
    assert "from-environment" not in repr(source.config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"balances": []}, "balances"),
        ({"balances": [ONE, ONE]}, "must have main's USDT once"),
        (
            {"balances": [{**ONE, "address": "a"}, {**ONE, "asset": "ETH", "address": "b"}]},
            "one address for account main",
        ),
        ({"balances": [{**ONE, "amount": "free"}]}, r"must be a JSONPath such as \$.data.free: it must start with \$"),
        ({"balances": [{**ONE, "amount": ""}]}, "must be a JSONPath"),
        ({"balances": [{**ONE, "amount": "$.a["}]}, "it ends too early"),
        ({"balances": [{**ONE, "amount": "$.a ]"}]}, "it is wrong at character 5"),
        ({"balances": [{**ONE, "amount": "$[1:2:3:4]"}]}, "it is wrong at character 8"),
        ({"balances": [{**ONE, "amount": "$[?nope(@)]"}]}, "it is wrong at character 4"),
        ({"body": "{"}, "must be JSON text"),
        ({"body": '{"mode": {mode}}'}, "placeholders between quotes only"),
        ({"username": "jo"}, "must be given both or not at all"),
        ({"password": "x"}, "must be given both or not at all"),
        ({"username": "j:o", "password": "x"}, "must hold no colon"),
        ({"username": "jo", "password": "x", "token": "y"}, "only one of username, token"),
        ({"next_parameter": "cursor"}, "next must be given with next_parameter"),
        ({"next": "cursor"}, "must be a JSONPath"),
        ({"max_pages": 0}, "max_pages"),
        ({"observed_at": "time"}, "must be a JSONPath"),
        ({"url": "ftp://host/x"}, "must be an http:// or https:// URL"),
        ({"token": "x", "headers": {"authorization": "y"}}, "only one of username, token"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_config_is_refused_with_the_rule_it_breaks(build: Any, changes: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(HttpJsonBalanceSource, {"url": "http://127.0.0.1/", "balances": [ONE], **changes})


def test_accounts_are_known_by_venue_and_address(build: Any) -> None:
    entries = [ONE, {**ONE, "asset": "ETH", "address": "sub-1"}, {**ONE, "account": "ops"}]
    options = {"url": "http://127.0.0.1/", "balances": entries}
    assert build(HttpJsonBalanceSource, options, name="desk").accounts == {
        "main": Account("main", "desk", "sub-1", frozenset({"USDT", "ETH"})),
        "ops": Account("ops", "desk", "ops", frozenset({"USDT"})),
    }
    assert build(HttpJsonBalanceSource, {**options, "venue": "bank"}, name="desk").accounts["ops"].venue == "bank"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2024-05-06T07:08:09Z", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("2024-05-06T09:08:09.25+02:00", datetime(2024, 5, 6, 7, 8, 9, 250_000, tzinfo=UTC)),
        (1_714_979_289, datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("1714979289", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        (1_714_979_289_250, datetime(2024, 5, 6, 7, 8, 9, 250_000, tzinfo=UTC)),
        (Decimal("1714979289.25"), datetime(2024, 5, 6, 7, 8, 9, 250_000, tzinfo=UTC)),
    ],
)
def test_instant_is_read_in_its_usual_spellings(said: Any, meant: datetime) -> None:
    assert instant_at([{"at": said}], "$.at") == meant


@pytest.mark.parametrize(
    "said",
    [
        "2024-05-06T07:08:09",
        "2024-05-06",
        "20240506",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:00:00-12:00",
        "soon",
        "",
        0,
        12,
        -1_714_979_289,
        1_714_979_289_250_000,
        True,
        None,
    ],
)
def test_instant_is_refused_when_it_leaves_room_for_doubt(said: Any) -> None:
    with pytest.raises(ValueProblem, match=r"\$.at must be"):
        instant_at([{"at": said}], "$.at")


async def test_balances_are_as_old_as_the_answer_says(build: Any, receiver: Any) -> None:
    receiver.says('{"free": 1, "ts": 1714979289}')
    options = {"url": receiver.url, "balances": [ONE], "observed_at": "$.ts"}
    reading = await read(build(HttpJsonBalanceSource, options))
    assert reading.balances[0].observed_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


async def test_balances_are_as_old_as_the_request_when_the_answer_says_nothing(build: Any, receiver: Any) -> None:
    receiver.says('{"free": 1}')
    before = datetime.now(UTC)
    reading = await read(build(HttpJsonBalanceSource, {"url": receiver.url, "balances": [ONE]}))
    assert timedelta(0) <= reading.balances[0].observed_at - before < timedelta(minutes=1)


async def test_source_fails_when_the_time_of_the_answer_is_no_time(build: Any, receiver: Any) -> None:
    receiver.says('{"free": 1, "ts": "yesterday"}')
    options = {"url": receiver.url, "balances": [ONE], "observed_at": "$.ts"}
    with pytest.raises(SourceError, match="observed_at") as failure:
        await read(build(HttpJsonBalanceSource, options))
    assert failure.value.reason is R.INVALID_DATA


async def test_url_holds_mode_and_currency_percent_encoded(build: Any, receiver: Any) -> None:
    receiver.says('{"nav": 7}')
    source = build(HttpJsonEquitySource, {"url": f"{receiver.base}/{{mode}}/nav?in={{currency}}", "equity": "$.nav"})
    assert not source.by_share_class
    await equity(source, "a/b c?d&e%", "USD+T/&=")
    assert receiver.requests[0].path == "/a%2Fb%20c%3Fd&e%25/nav?in=USD%2BT/%26%3D"


@pytest.mark.parametrize(("url", "shared"), [("/nav", True), ("/nav/{currency}", True), ("/nav/{mode}", False)])
def test_equity_is_shared_when_the_url_has_no_mode(build: Any, url: str, shared: bool) -> None:
    assert build(HttpJsonEquitySource, {"url": f"http://127.0.0.1{url}", "equity": "$"}).by_share_class is shared


@pytest.mark.parametrize("url", ["http://127.0.0.1/{moed}", "http://127.0.0.1/{", "http://{mode}.example/"])
def test_url_is_refused_without_showing_it_when_a_placeholder_is_unknown(build: Any, url: str) -> None:
    with pytest.raises(ValidationError, match=r"must hold .*\{mode\} and \{currency\}") as failure:
        build(HttpJsonEquitySource, {"url": url, "equity": "$"})
    assert "127.0.0.1" not in str(failure.value)
    assert "{{" not in str(failure.value)


async def test_equity_has_all_that_the_answer_says(build: Any, receiver: Any) -> None:
    receiver.says('{"nav": "12.5", "ccy": "USDT", "ts": 1714979289, "whole": false}')
    paths = {"equity": "$.nav", "currency": "$.ccy", "observed_at": "$.ts", "complete": "$.whole"}
    got = await equity(build(HttpJsonEquitySource, {"url": receiver.url, **paths}))
    assert (got.amount, got.currency, got.complete) == (Decimal("12.5"), "USDT", False)
    assert got.observed_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize("net", [True, False])
async def test_equity_is_net_of_withdrawals_when_the_option_says_so(build: Any, receiver: Any, net: bool) -> None:
    receiver.says("1")
    settings = {"url": receiver.url, "equity": "$", "net_of_withdrawals": net}
    assert (await equity(build(HttpJsonEquitySource, settings))).net_of_withdrawals is net


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"nav": None}, r"\$.nav must be a number, got null"),
        ({"nav": []}, r"\$.nav must be a number, got a list"),
        ({"ccy": "usdt"}, r"\$.ccy must be USDT, got 'usdt'"),
        ({"ccy": 5}, r"\$.ccy must be text, got a number"),
        ({"whole": "true"}, r"\$.whole must be true or false, got text"),
        ({"whole": 1}, r"\$.whole must be true or false, got a number"),
        ({"ts": {}}, r"\$.ts must be ISO 8601 text"),
    ],
)
async def test_equity_fails_when_a_value_cannot_be_believed(
    build: Any, receiver: Any, change: Any, detail: str
) -> None:
    receiver.says(json.dumps({"nav": 1, "ccy": "USDT", "whole": True, "ts": 1_714_979_289, **change}))
    paths = {"equity": "$.nav", "currency": "$.ccy", "observed_at": "$.ts", "complete": "$.whole"}
    with pytest.raises(SourceError, match=detail) as failure:
        await equity(build(HttpJsonEquitySource, {"url": receiver.url, **paths}))
    assert failure.value.reason is R.INVALID_DATA


async def test_body_is_posted_as_it_is_written(build: Any, receiver: Any) -> None:
    receiver.says('{"free": 1}')
    body = '{"query": "{ vault { free } }", "limit": 1.10, "key": "${KEY}"}'
    source = build(
        HttpJsonBalanceSource, {"url": receiver.url, "balances": [ONE], "body": body}, environ={"KEY": "s3cret"}
    )
    await read(source)
    (sent,) = receiver.requests
    assert (sent.method, sent.headers["Content-Type"]) == ("POST", "application/json")
    assert sent.body == b'{"query": "{ vault { free } }", "limit": 1.10, "key": "s3cret"}'
    assert "s3cret" not in repr(source.config)


async def test_body_holds_mode_and_currency_escaped(build: Any, receiver: Any) -> None:
    receiver.says('{"nav": 7}')
    options = {"url": receiver.url, "equity": "$.nav", "body": '{"of": ["{mode}/{currency}"]}'}
    source = build(HttpJsonEquitySource, options)
    assert not source.by_share_class
    await equity(source, 'a"b\\', "{mode}")
    assert json.loads(receiver.requests[0].body) == {"of": ['a"b\\/{mode}']}


async def test_request_carries_basic_authentication(build: Any, receiver: Any, tmp_path: Any) -> None:
    receiver.says('{"free": 1}')
    (tmp_path / "password").write_text("p:w\n")
    options = {"url": receiver.url, "balances": [ONE], "username": "jo", "password_file": "password"}
    await read(build(HttpJsonBalanceSource, options))
    assert receiver.requests[0].headers["Authorization"] == f"Basic {b64encode(b'jo:p:w').decode()}"


"""One balance on one of the pages."""


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_number_is_finite_or_a_problem_whatever_the_answer(document: Any) -> None:
    """An answer can cause neither another exception nor an invalid number."""
    for path in ("$", "$.a", "$[0]", "$..a", "$[?@ > 1]"):
        with suppress(ValueProblem):
            assert number_at([document], path).is_finite()


async def test_host_is_told_how_long_the_endpoint_wants_to_be_left_alone(build: Any, receiver: Any) -> None:
    receiver.says("", 429, Retry_After="60")
    with pytest.raises(SourceError) as failure:
        await read(build(HttpJsonBalanceSource, {"url": receiver.url, "balances": [ONE]}))
    assert (failure.value.reason, failure.value.retry_after_seconds) == (R.RATE_LIMITED, 60)
    assert failure.value.detail == "HTTP 429, asked for a pause of 60 s"
    with pytest.raises(SourceError) as failure:
        await equity(build(HttpJsonEquitySource, {"url": receiver.url, "equity": "$.nav"}))
    assert failure.value.retry_after_seconds == 60


def test_time_is_unix_time_when_its_digits_would_be_a_date_too() -> None:
    """Python parses these digits as 1801-01-23 23:00, and one in two hundred Unix times as such a date."""
    said, meant = "1801012312300", datetime(2027, 1, 27, 1, 11, 52, 300_000, tzinfo=UTC)
    assert datetime.fromisoformat(said).year == 1801
    assert instant_at([{"at": said}], "$.at") == instant_at([{"at": int(said)}], "$.at") == meant


@pytest.mark.parametrize(
    ("age", "seconds"), [("3600", 3600), (" 7 ", 7), ("-5", 0), ("soon", 0), ("9" * 40, 999_999_999)]
)
async def test_answer_out_of_a_cache_is_as_old_as_the_cache_says(
    build: Any, receiver: Any, age: str, seconds: int
) -> None:
    """Otherwise it would count as new for as long as it is cached."""
    receiver.says('{"free": 5}', Age=age)
    (balance,) = (await read(build(HttpJsonBalanceSource, {"url": receiver.url, "balances": [ONE]}))).balances
    told = await equity(build(HttpJsonEquitySource, {"url": receiver.url, "equity": "$.free"}))
    for at in (balance.observed_at, told.observed_at):
        assert timedelta(0) <= datetime.now(UTC) - at - timedelta(seconds=seconds) < timedelta(seconds=60)
    assert {request.headers["Cache-Control"] for request in receiver.requests} == {"no-cache"}


async def test_time_that_an_answer_tells_counts_when_it_is_out_of_a_cache(build: Any, receiver: Any) -> None:
    receiver.says('{"free": 5, "at": "2024-05-06T07:08:09Z"}', Age="3600")
    source = build(HttpJsonBalanceSource, {"url": receiver.url, "balances": [ONE], "observed_at": "$.at"})
    (balance,) = (await read(source)).balances
    assert balance.observed_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


async def test_what_is_locked_is_not_known_when_no_path_tells_it(build: Any, receiver: Any) -> None:
    receiver.says('{"free": 5, "locked": 7}')
    (balance,) = (await read(build(HttpJsonBalanceSource, {"url": receiver.url, "balances": [ONE]}))).balances
    assert balance.locked is None


@pytest.mark.parametrize("document", ["[", "", "all is well", '{"free": 5}', "[5]", "5"])
def test_text_is_no_document_that_is_yet_to_be_parsed(document: str) -> None:
    """A nested document has another author than the answer itself."""
    with pytest.raises(ValueProblem, match="matched nothing"):
        number_at([document], "$.free")
    with pytest.raises(ValueProblem, match="matched nothing"):
        number_at([document], "$[0]")


def test_whole_document_is_the_number_when_it_is_one() -> None:
    assert number_at(["5"], "$") == number_at([5], "$") == 5
