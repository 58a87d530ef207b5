import asyncio
import base64
import json
import socket
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from reservd.plugin import Acceptance, AcceptanceStatus, DeliveryError, FailureReason
from reservd.plugin.examples import example_event, example_request
from reservd.plugin.testing import EventSinkContract, ReplenisherContract
from reservd_webhook.replenisher import WebhookReplenisher
from reservd_webhook.sink import WebhookSink
from reservd_webhook.targets import is_public
from support.ports import kept_port

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OLD, OLDER = ("whsec_" + base64.b64encode(byte * 32).decode() for byte in (b"o", b"r"))
HERE = {"allow_private_hosts": ["127.0.0.1"]}
R = FailureReason


@pytest.fixture
def options(receiver: Any) -> dict[str, Any]:
    return {"url": receiver.url, "secret": SECRET, "timeout": 5, **HERE}


class TestWebhookSink(EventSinkContract):
    plugin_class = WebhookSink

    @pytest.fixture
    def options(self, receiver: Any) -> dict[str, Any]:
        return {"url": receiver.url, "secret": SECRET, **HERE}


class TestWebhookReplenisher(ReplenisherContract):
    plugin_class = WebhookReplenisher

    @pytest.fixture
    def options(self, receiver: Any) -> dict[str, Any]:
        receiver.says('{"status": "accepted", "reference": "unwind-7"}')
        return {"url": receiver.url, "secret": SECRET, **HERE}


async def deliver(sink: Any) -> None:
    async with sink:
        await sink.deliver(example_event())


async def ask(replenisher: Any) -> Acceptance:
    async with replenisher:
        answer: Acceptance = await replenisher.request(example_request())
        return answer


async def failure_of(sink: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as failure:
        await deliver(sink)
    for hidden in ("hidden-key", "http://", SECRET):
        assert hidden not in repr(failure.value)
        assert hidden not in str(failure.value)
    return failure.value


async def test_event_arrives_signed(build: Any, receiver: Any, options: Any) -> None:
    await deliver(build(WebhookSink, {**options, "headers": {"X-Gateway": "pass"}}))
    (request,) = receiver.requests
    assert (request.method, request.path) == ("POST", "/hook?key=hidden-key")
    assert request.headers["Content-Type"] == "application/cloudevents+json"
    assert request.headers["X-Gateway"] == "pass"
    assert request.headers["webhook-id"] == "evt-1"
    assert Webhook(SECRET).verify(request.body, request.headers)["data"]["reserve_balance"] == "40000.25"


async def test_signature_fails_when_key_or_body_is_another(build: Any, receiver: Any, options: Any) -> None:
    await deliver(build(WebhookSink, options))
    (request,) = receiver.requests
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"x" * 32).decode()).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body.replace(b"40000.25", b"90000.25"), request.headers)


async def test_receivers_of_every_secret_verify_when_it_is_changed(build: Any, receiver: Any, options: Any) -> None:
    """The key can be rotated without an interruption, while some receivers still have the old one."""
    await deliver(build(WebhookSink, {**options, "previous_secrets": [OLD, "${OLDER}"]}, {"OLDER": OLDER}))
    (request,) = receiver.requests
    signatures = request.headers["webhook-signature"].split(" ")
    assert [signature.partition(",")[0] for signature in signatures] == ["v1", "v1", "v1"]
    for secret in (SECRET, OLD, OLDER):
        assert Webhook(secret).verify(request.body, request.headers)["id"] == "evt-1"


async def test_old_secret_verifies_no_more_when_it_is_left_out(build: Any, receiver: Any, options: Any) -> None:
    await deliver(build(WebhookSink, options))
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(receiver.requests[0].body, receiver.requests[0].headers)


@pytest.mark.parametrize("secrets", [["hunter2"], [OLD, ""], [OLD] * 5, OLD])
def test_previous_secrets_are_refused_without_showing_them_when_they_are_no_keys(
    build: Any, options: Any, secrets: Any
) -> None:
    with pytest.raises(ValidationError, match="previous_secrets") as failure:
        build(WebhookSink, {**options, "previous_secrets": secrets})
    assert "hunter2" not in str(failure.value)
    assert OLD not in str(failure.value)


async def test_id_stays_when_an_event_is_sent_again(build: Any, receiver: Any, options: Any) -> None:
    for _ in range(2):
        await deliver(build(WebhookSink, options))
    assert [request.headers["webhook-id"] for request in receiver.requests] == ["evt-1", "evt-1"]


@pytest.mark.parametrize(
    ("status", "reason", "retryable"),
    [
        (400, R.REJECTED, False),
        (401, R.REJECTED, True),
        (408, R.REJECTED, True),
        (410, R.REJECTED, False),
        (429, R.RATE_LIMITED, True),
        (500, R.REJECTED, True),
        (503, R.REJECTED, True),
    ],
)
async def test_delivery_fails_with_its_reason_when_refused(
    build: Any, receiver: Any, options: Any, status: int, reason: R, retryable: bool
) -> None:
    receiver.says("no", status)
    error = await failure_of(build(WebhookSink, options))
    assert (error.reason, error.retryable, error.detail) == (reason, retryable, f"HTTP {status}")


@pytest.mark.parametrize("call", [deliver, ask])
@pytest.mark.parametrize(("status", "said", "seconds"), [(503, "120", 120), (429, "7", 7), (500, "later", None)])
async def test_failure_says_when_to_come_back_when_the_receiver_does(
    build: Any, receiver: Any, options: Any, call: Any, status: int, said: str, seconds: float | None
) -> None:
    receiver.says("", status, Retry_After=said)
    plugin = build(WebhookSink if call is deliver else WebhookReplenisher, options)
    with pytest.raises(DeliveryError) as failure:
        await call(plugin)
    assert (failure.value.retryable, failure.value.retry_after_seconds) == (True, seconds)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_is_refused(build: Any, receiver: Any, options: Any, status: int) -> None:
    """A redirect could pass the event and its signature on to anybody."""
    receiver.says("", status, Location=f"{receiver.base}/elsewhere")
    error = await failure_of(build(WebhookSink, options))
    assert (error.reason, error.retryable) == (R.REJECTED, False)
    assert len(receiver.requests) == 1


async def test_delivery_times_out_when_the_receiver_hangs(build: Any, receiver: Any, options: Any) -> None:
    receiver.behaviour = "hang"
    error = await failure_of(build(WebhookSink, {**options, "timeout": 0.2}))
    assert (error.reason, error.retryable) == (R.TIMEOUT, True)


async def test_delivery_may_be_tried_again_when_the_receiver_hangs_up(build: Any, receiver: Any, options: Any) -> None:
    receiver.behaviour = "hang_up"
    error = await failure_of(build(WebhookSink, options))
    assert (error.reason, error.retryable) == (R.UNREACHABLE, True)


async def test_delivery_may_be_tried_again_when_nobody_listens(build: Any, options: Any) -> None:
    with kept_port() as port:
        url = f"http://127.0.0.1:{port}/?key=hidden-key"
        error = await failure_of(build(WebhookSink, {**options, "url": url}))
    assert (error.reason, error.retryable) == (R.UNREACHABLE, True)


@pytest.mark.parametrize("body", [b"x" * 10_000_000, b"\xff", b"<html>"], ids=["too large", "no text", "no JSON"])
async def test_event_is_taken_by_a_2xx_whatever_the_answer_says(
    build: Any, receiver: Any, options: Any, body: bytes
) -> None:
    receiver.says(body, 202)
    await deliver(build(WebhookSink, options))
    assert len(receiver.requests) == 1


async def test_event_is_not_taken_by_a_large_answer_when_that_is_no_2xx(
    build: Any, receiver: Any, options: Any
) -> None:
    receiver.says(b"x" * 100_000, 500)
    error = await failure_of(build(WebhookSink, options))
    assert (error.reason, error.retryable) == (R.REJECTED, True)


async def test_delivery_ends_when_cancelled_while_the_receiver_hangs(build: Any, receiver: Any, options: Any) -> None:
    receiver.behaviour = "hang"
    task = asyncio.create_task(deliver(build(WebhookSink, options)))
    await receiver.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Resolve every name to an address."""

    def lead_to(address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET

        def answer(host: str, port: int, *_: object, **__: object) -> list[Any]:
            return [(family, socket.SOCK_STREAM, 6, "", (address, port, 0, 0)[: 4 if ":" in address else 2])]

        monkeypatch.setattr(socket, "getaddrinfo", answer)

    return lead_to


def named(options: Any, **more: Any) -> dict[str, Any]:
    """Return options with a name in the URL instead of the address, and nothing allowed."""
    url = options["url"].replace("127.0.0.1", "hook.example")
    return {**options, "url": url, "allow_private_hosts": [], **more}


async def test_event_is_not_sent_when_a_name_leads_to_a_private_address(
    build: Any, receiver: Any, options: Any, names: Any
) -> None:
    """The address of the connection counts, whatever the name resolved to before."""
    names("127.0.0.1")
    error = await failure_of(build(WebhookSink, named(options)))
    assert (error.reason, error.retryable) == (R.REJECTED, False)
    assert error.detail == "hook.example has no public address; allow_private_hosts must list it if that is meant"
    assert receiver.requests == []


async def test_request_is_not_sent_when_a_name_leads_to_a_private_address(
    build: Any, receiver: Any, options: Any, names: Any
) -> None:
    names("127.0.0.1")
    with pytest.raises(DeliveryError, match="allow_private_hosts must list it") as failure:
        await ask(build(WebhookReplenisher, named(options)))
    assert (failure.value.reason, failure.value.retryable) == (R.REJECTED, False)
    assert receiver.requests == []


async def test_event_is_sent_when_a_name_with_a_private_address_is_allowed(
    build: Any, receiver: Any, options: Any, names: Any
) -> None:
    names("127.0.0.1")
    await deliver(build(WebhookSink, named(options, allow_private_hosts=["Hook.Example."])))
    assert len(receiver.requests) == 1


PRIVATE = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:93.184.215.14",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "2001:db8::1",
    "2002:a00:1::",
    "fc00::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PRIVATE)
async def test_address_is_refused_when_it_is_not_public(build: Any, options: Any, names: Any, address: str) -> None:
    names(address)
    assert (await failure_of(build(WebhookSink, named(options)))).reason is R.REJECTED


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_address_is_taken_when_it_is_public(address: str) -> None:
    assert is_public(address)


def test_address_is_not_public_when_it_is_none() -> None:
    assert not is_public("hook.example")


@pytest.mark.parametrize("host", [*PRIVATE, "localhost", "LOCALHOST.", "hook.localhost"])
def test_config_is_refused_when_the_url_is_certainly_private(build: Any, options: Any, host: str) -> None:
    url = f"http://[{host}]:9000/" if ":" in host else f"http://{host}:9000/"
    with pytest.raises(ValidationError, match=r"allow_private_hosts\n  must list .*, where url leads to") as failure:
        build(WebhookSink, {**options, "url": url, "allow_private_hosts": ["other.example"]})
    assert "9000" not in str(failure.value)
    allowed = build(WebhookSink, {**options, "url": url, "allow_private_hosts": [host]})
    assert len(allowed.config.allow_private_hosts) == 1


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "017700000001"])
async def test_event_is_not_sent_when_an_address_is_spelled_as_a_number(
    build: Any, receiver: Any, options: Any, host: str
) -> None:
    url = receiver.url.replace("127.0.0.1", host)
    error = await failure_of(build(WebhookSink, {**options, "url": url, "allow_private_hosts": []}))
    assert (error.reason, error.retryable) == (R.REJECTED, False)
    assert receiver.requests == []


@pytest.mark.parametrize("host", ["http://localhost", "localhost:9000", "127.0.0.1/8", "a b", "", "[::1]:80", "*"])
def test_allowed_host_is_refused_when_it_is_more_than_a_host(build: Any, options: Any, host: str) -> None:
    with pytest.raises(ValidationError, match="must be a host name or an IP address"):
        build(WebhookSink, {**options, "allow_private_hosts": ["127.0.0.1", host]})


async def test_request_arrives_signed(build: Any, receiver: Any, options: Any) -> None:
    receiver.says('{"status": "accepted"}')
    await ask(build(WebhookReplenisher, options))
    (request,) = receiver.requests
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["webhook-id"] == "req-1"
    body = Webhook(SECRET).verify(request.body, request.headers)
    assert (body["id"], body["amount"], body["urgency"]) == ("req-1", "14999.75", "fast")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("", AcceptanceStatus.PENDING),
        (" \n", AcceptanceStatus.PENDING),
        ('{"status": "pending"}', AcceptanceStatus.PENDING),
        ('{"status": "rejected", "reference": null, "reason": null, "expected_by": null}', AcceptanceStatus.REJECTED),
        ('{"status": "accepted", "more": [1.5]}', AcceptanceStatus.ACCEPTED),
    ],
)
async def test_acceptance_is_what_the_strategy_says(
    build: Any, receiver: Any, options: Any, answer: str, status: AcceptanceStatus
) -> None:
    receiver.says(answer, 202)
    assert await ask(build(WebhookReplenisher, options)) == Acceptance(status=status)


async def test_acceptance_carries_reference_reason_and_time(build: Any, receiver: Any, options: Any) -> None:
    said = {"status": "accepted", "reference": "u-7", "reason": "queued", "expected_by": "2030-01-02T03:04:05Z"}
    receiver.says(json.dumps(said))
    answer = await ask(build(WebhookReplenisher, options))
    assert (answer.reference, answer.reason) == ("u-7", "queued")
    assert answer.expected_by == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "answer",
    [
        "ok",
        "[]",
        "{}",
        '"accepted"',
        '{"status": "perhaps"}',
        '{"status": "accepted", "expected_by": "2030-01-02T03:04:05"}',
        b"\xff",
        b"x" * 100_000,
        '{"status": "accepted", "eta": NaN}',
    ],
)
async def test_request_may_be_sent_again_when_the_answer_is_unreadable(
    build: Any, receiver: Any, options: Any, answer: str | bytes
) -> None:
    """The strategy may have acted; under the same id it acts once."""
    receiver.says(answer)
    with pytest.raises(DeliveryError) as failure:
        await ask(build(WebhookReplenisher, options))
    assert (failure.value.reason, failure.value.retryable) == (R.INVALID_DATA, True)
    assert "perhaps" not in failure.value.detail


async def test_request_is_not_sent_again_when_refused(build: Any, receiver: Any, options: Any) -> None:
    receiver.says("", 410)
    with pytest.raises(DeliveryError) as failure:
        await ask(build(WebhookReplenisher, options))
    assert (failure.value.reason, failure.value.retryable) == (R.REJECTED, False)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "hunter2", "whsec_c2hvcnQ=", "whsec_" + "é" * 40, SECRET + "===", "-_" * 20]
)
def test_secret_is_refused_without_showing_it_when_it_is_no_key(build: Any, options: Any, secret: str) -> None:
    with pytest.raises(ValidationError, match="24 to 64 bytes in base64") as failure:
        build(WebhookSink, {**options, "secret": secret})
    shown = str(failure.value).replace("must be whsec_", "")
    assert not secret or secret not in shown


@pytest.mark.parametrize("secret", [SECRET, SECRET.removeprefix("whsec_"), SECRET.rstrip("=")])
async def test_secret_is_taken_in_each_of_its_spellings(build: Any, receiver: Any, options: Any, secret: str) -> None:
    await deliver(build(WebhookSink, {**options, "secret": secret}))
    Webhook(SECRET).verify(receiver.requests[0].body, receiver.requests[0].headers)


async def test_secret_comes_from_a_file(build: Any, receiver: Any, tmp_path: Any) -> None:
    (tmp_path / "signing-key").write_text(SECRET + "\n")
    await deliver(build(WebhookSink, {"url": receiver.url, "secret_file": "signing-key", **HERE}))
    Webhook(SECRET).verify(receiver.requests[0].body, receiver.requests[0].headers)


@pytest.mark.parametrize("left_out", ["secret", "url"])
def test_config_is_refused_when_a_required_option_is_missing(build: Any, options: Any, left_out: str) -> None:
    del options[left_out]
    with pytest.raises(ValidationError, match=left_out):
        build(WebhookReplenisher, options)
