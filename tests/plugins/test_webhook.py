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

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
R = FailureReason


@pytest.fixture
def options(receiver: Any) -> dict[str, Any]:
    return {"url": receiver.url, "secret": SECRET, "timeout": 5}


class TestWebhookSink(EventSinkContract):
    plugin_class = WebhookSink

    @pytest.fixture
    def options(self, receiver: Any) -> dict[str, Any]:
        return {"url": receiver.url, "secret": SECRET}


class TestWebhookReplenisher(ReplenisherContract):
    plugin_class = WebhookReplenisher

    @pytest.fixture
    def options(self, receiver: Any) -> dict[str, Any]:
        receiver.says('{"status": "accepted", "reference": "unwind-7"}')
        return {"url": receiver.url, "secret": SECRET}


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


async def test_id_stays_when_an_event_is_sent_again(build: Any, receiver: Any, options: Any) -> None:
    for _ in range(2):
        await deliver(build(WebhookSink, options))
    assert [request.headers["webhook-id"] for request in receiver.requests] == ["evt-1", "evt-1"]


@pytest.mark.parametrize(
    ("status", "reason", "retryable"),
    [
        (400, R.REJECTED, False),
        (401, R.REJECTED, False),
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


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_is_refused(build: Any, receiver: Any, options: Any, status: int) -> None:
    """A redirect could carry the event, and its signature, to anybody."""
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
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/?key=hidden-key"
        error = await failure_of(build(WebhookSink, {**options, "url": url}))
    assert (error.reason, error.retryable) == (R.UNREACHABLE, True)


async def test_delivery_fails_when_the_answer_is_too_large(build: Any, receiver: Any, options: Any) -> None:
    receiver.says(b"x" * 100_000)
    assert (await failure_of(build(WebhookSink, options))).reason is R.INVALID_DATA


async def test_delivery_ends_when_cancelled_while_the_receiver_hangs(build: Any, receiver: Any, options: Any) -> None:
    receiver.behaviour = "hang"
    task = asyncio.create_task(deliver(build(WebhookSink, options)))
    await receiver.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


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
    await deliver(build(WebhookSink, {"url": receiver.url, "secret_file": "signing-key"}))
    Webhook(SECRET).verify(receiver.requests[0].body, receiver.requests[0].headers)


@pytest.mark.parametrize("left_out", ["secret", "url"])
def test_config_is_refused_when_a_required_option_is_missing(build: Any, options: Any, left_out: str) -> None:
    del options[left_out]
    with pytest.raises(ValidationError, match=left_out):
        build(WebhookReplenisher, options)
