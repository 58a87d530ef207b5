import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.api import StreamConfig
from pydantic import ValidationError

from reservd.delivery.envelope import wrap_change
from reservd.plugin import DeliveryError, FailureReason, ReplenishmentMessage
from reservd.plugin.examples import example_event, example_request
from reservd.plugin.testing import EventSinkContract
from reservd.reserve.replenishment.event import tell_change
from reservd.reserve.replenishment.states import Replenishment
from reservd_nats.sink import NatsSink
from reservd_nats.subject import subject_of
from support.broker import deliver_in_time
from support.nats import NatsServer, operator_mode
from support.readme import documented_program
from support.tls import make_certificate

R = FailureReason
STREAM = StreamConfig(name="RESERVD", subjects=["reservd.events.>"])


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer() as running:
        yield running


@pytest.fixture
async def stream(server: NatsServer) -> None:
    async with jetstream(server.url) as js:
        await js.add_stream(STREAM)


@pytest.fixture
def options(server: NatsServer) -> dict[str, Any]:
    return {"servers": [server.url], "timeout": 5}


class TestNatsSink(EventSinkContract):
    plugin_class = NatsSink

    @pytest.fixture
    def options(self, server: NatsServer, stream: None) -> dict[str, Any]:
        return {"servers": [server.url]}


@asynccontextmanager
async def jetstream(url: str, **sign_in: Any) -> AsyncIterator[Any]:
    client = await nats.connect(url, **sign_in)
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def stored(url: str, **sign_in: Any) -> list[Any]:
    """Return the whole stream, as an independent consumer reads it."""
    async with jetstream(url, **sign_in) as js:
        count = (await js.stream_info("RESERVD")).state.messages
        subscription = await js.subscribe("reservd.events.>", ordered_consumer=True)
        return [await subscription.next_msg(timeout=60) for _ in range(count)]


async def deliver(sink: Any, event_id: str = "evt-1") -> None:
    async with sink:
        await sink.deliver(example_event(event_id=event_id))


def example_change() -> ReplenishmentMessage:
    """A change of a request for a refill."""
    now = datetime.now(UTC)
    record = Replenishment(request=example_request(), changed_at=now, deadline=now)
    return wrap_change(tell_change(record, None, "evt-0", 1))


async def failure_of(sink: Any, *secrets: str) -> DeliveryError:
    with pytest.raises(DeliveryError) as failure:
        await deliver(sink)
    for hidden in ("nats://", "127.0.0.1", *secrets):
        assert hidden not in repr(failure.value)
    return failure.value


async def test_event_arrives_as_documented(build: Any, server: NatsServer, stream: None, options: Any) -> None:
    event = example_event()
    async with build(NatsSink, options) as sink:
        await sink.deliver(event)
    (message,) = await stored(server.url)
    assert message.subject == "reservd.events.demo"
    assert message.headers == {"Nats-Msg-Id": "evt-1", "Content-Type": "application/cloudevents+json"}
    assert message.data == event.to_json()
    assert json.loads(message.data)["data"]["reserve_balance"] == "40000.25"


async def test_documented_consumer_gets_the_event(build: Any, server: NatsServer, stream: None, options: Any) -> None:
    async with build(NatsSink, options) as sink:
        await sink.deliver_replenishment(example_change())
        await sink.deliver(example_event())
    program = documented_program("nats").replace("nats://nats-1.example.com:4222", server.url)
    reader = await asyncio.create_subprocess_exec(sys.executable, "-uc", program, stdout=asyncio.subprocess.PIPE)
    assert reader.stdout is not None
    try:
        assert await asyncio.wait_for(reader.stdout.readline(), 30) == b"reserve_low demo 40000.25\n"
    finally:
        reader.kill()
        await reader.communicate()


async def test_event_is_stored_once_when_delivered_again(
    build: Any, server: NatsServer, stream: None, options: Any
) -> None:
    for event_id in ("evt-1", "evt-1", "evt-2", "evt-1"):
        await deliver(build(NatsSink, options), event_id)
    assert [message.headers["Nats-Msg-Id"] for message in await stored(server.url)] == ["evt-1", "evt-2"]


async def test_events_of_many_modes_arrive_when_delivered_at_once(
    build: Any, server: NatsServer, stream: None, options: Any
) -> None:
    async with build(NatsSink, options) as sink:
        await asyncio.gather(*(sink.deliver(example_event(event_id=f"evt-{n}")) for n in range(20)))
    assert len(await stored(server.url)) == 20


@pytest.mark.parametrize(
    ("template", "mode", "subject"),
    [
        ("reservd.events.{mode}", "pure_lending", "reservd.events.pure_lending"),
        ("{mode}.{type}", "a.b", "a_b.reserve_low"),
        ("x-{type}", "m", "x-reserve_low"),
        ("{mode}", "* > é\r\nPUB", "_______PUB"),
    ],
)
def test_subject_is_safe_whatever_the_mode(template: str, mode: str, subject: str) -> None:
    assert subject_of(template, mode, "reserve_low") == subject


@pytest.mark.parametrize(
    "template", ["", "a..b", ".a", "a.", "a b", "a.*", "a.>", "$JS.{mode}", "{modes}", "a\r\nb", "{mode}.{}"]
)
def test_config_is_refused_when_the_subject_cannot_be_published_to(build: Any, template: str) -> None:
    with pytest.raises(ValidationError, match="must be tokens between dots"):
        build(NatsSink, {"servers": ["nats://broker.example"], "subject": template})


async def test_subject_option_says_where_events_go(build: Any, server: NatsServer, stream: None, options: Any) -> None:
    await deliver(build(NatsSink, {**options, "subject": "reservd.events.{type}.{mode}"}))
    assert [message.subject for message in await stored(server.url)] == ["reservd.events.reserve_low.demo"]


async def test_delivery_may_be_tried_again_when_no_stream_takes_the_subject(
    build: Any, server: NatsServer, options: Any
) -> None:
    async with build(NatsSink, options) as sink:
        with pytest.raises(DeliveryError, match=r"no stream accepts the subject reservd\.events\.demo") as failure:
            await sink.deliver(example_event())
        assert (failure.value.reason, failure.value.retryable) == (R.REJECTED, True)
        async with jetstream(server.url) as js:
            await js.add_stream(STREAM)
        await sink.deliver(example_event())
    assert len(await stored(server.url)) == 1


async def test_delivery_may_be_tried_again_when_another_stream_takes_the_subject(
    build: Any, server: NatsServer, stream: None, options: Any
) -> None:
    error = await failure_of(build(NatsSink, {**options, "stream": "OTHER"}))
    assert (error.reason, error.retryable) == (R.REJECTED, True)
    assert "another stream" in error.detail
    await deliver(build(NatsSink, {**options, "stream": "RESERVD"}))
    assert len(await stored(server.url)) == 1


async def test_delivery_is_given_up_when_the_stream_finds_it_too_large(
    build: Any, server: NatsServer, options: Any
) -> None:
    async with jetstream(server.url) as js:
        await js.add_stream(STREAM, max_msg_size=100)
    error = await failure_of(build(NatsSink, options))
    assert (error.reason, error.retryable) == (R.REJECTED, False)


async def test_delivery_is_given_up_when_the_server_finds_it_too_large(build: Any, options: Any) -> None:
    with NatsServer("max_payload: 100") as server:
        error = await failure_of(build(NatsSink, {**options, "servers": [server.url]}))
    assert (error.reason, error.retryable) == (R.REJECTED, False)


async def test_events_arrive_again_when_the_server_is_back(
    build: Any, server: NatsServer, stream: None, options: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with build(NatsSink, options) as sink:
        await sink.deliver(example_event(event_id="before"))
        server.stop()
        for _ in range(2):
            with pytest.raises(DeliveryError) as failure:
                await sink.deliver(example_event(event_id="meanwhile"))
            assert (failure.value.reason, failure.value.retryable) == (R.UNREACHABLE, True)
        server.start()
        await sink.deliver(example_event(event_id="meanwhile"))
    assert [message.headers["Nats-Msg-Id"] for message in await stored(server.url)] == ["before", "meanwhile"]
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


async def test_delivery_fails_at_once_when_the_connection_is_lost_while_it_waits(
    build: Any, server: NatsServer, stream: None, options: Any
) -> None:
    """Without help, the library would wait for its timeout."""
    async with build(NatsSink, {**options, "timeout": 3600}) as sink:
        await sink.deliver(example_event())
        server.pause()
        waiting = asyncio.create_task(sink.deliver(example_event(event_id="evt-2")))
        await asyncio.sleep(0)
        server.stop()
        with pytest.raises(DeliveryError) as failure:
            await waiting
    assert (failure.value.reason, failure.value.retryable) == (R.UNREACHABLE, True)


async def test_delivery_times_out_when_the_server_hangs(
    build: Any, server: NatsServer, stream: None, options: Any
) -> None:
    async with build(NatsSink, {**options, "timeout": 2}) as sink:
        await deliver_in_time(sink, "evt-1")
        server.pause()
        for _ in range(2):  # on its current connection, and on one that it cannot make
            with pytest.raises(DeliveryError) as failure:
                await sink.deliver(example_event(event_id="evt-2"))
            assert (failure.value.reason, failure.value.retryable) == (R.TIMEOUT, True)
        server.resume()
        await deliver_in_time(sink, "evt-2")


async def test_sink_goes_on_when_a_delivery_was_cancelled(
    build: Any, server: NatsServer, stream: None, options: Any
) -> None:
    async with build(NatsSink, options) as sink:
        await sink.deliver(example_event())
        server.pause()
        for _ in range(2):  # while it publishes, and while it connects
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(sink.deliver(example_event(event_id="evt-2")), 0.2)
        server.resume()
        await sink.deliver(example_event(event_id="evt-2"))
    assert [message.headers["Nats-Msg-Id"] for message in await stored(server.url)] == ["evt-1", "evt-2"]


async def test_sink_closes_when_the_server_hangs(build: Any, server: NatsServer, stream: None, options: Any) -> None:
    async with build(NatsSink, options) as sink:
        await sink.deliver(example_event())
        server.pause()
    server.resume()


@pytest.mark.parametrize("settings", ['user: "reservd", password: "right-one"', 'token: "right-one"'])
async def test_delivery_fails_without_the_secret_when_it_is_wrong(build: Any, options: Any, settings: str) -> None:
    with NatsServer(f"authorization {{ {settings} }}") as server:
        at = server.url.removeprefix("nats://")
        wrong: list[dict[str, Any]] = [
            {"user": "reservd", "password": "wrong-one"},
            {"token": "wrong-one"},
            {"servers": [f"nats://reservd:wrong-one@{at}"]},
            {},
        ]
        for sign_in in wrong:
            error = await failure_of(build(NatsSink, {**options, "servers": [server.url], **sign_in}), "wrong-one")
            assert (error.reason, error.retryable) == (R.REJECTED, True)
            assert "credentials" in error.detail


@pytest.mark.parametrize(
    ("settings", "sign_in"),
    [
        ('user: "reservd", password: "right-one"', {"user": "reservd", "password_file": "secret"}),
        ('token: "right-one"', {"token_file": "secret"}),
    ],
)
async def test_event_arrives_when_the_credentials_are_right(
    build: Any, options: Any, tmp_path: Path, settings: str, sign_in: Mapping[str, str]
) -> None:
    (tmp_path / "secret").write_text("right-one\n")
    theirs = {"user": "reservd", "password": "right-one"} if "user" in sign_in else {"token": "right-one"}
    with NatsServer(f"authorization {{ {settings} }}") as server:
        async with jetstream(server.url, **theirs) as js:
            await js.add_stream(STREAM)
        await deliver(build(NatsSink, {**options, "servers": [server.url], **sign_in}))
        assert len(await stored(server.url, **theirs)) == 1


async def test_delivery_fails_at_once_when_the_user_may_not_publish(build: Any, options: Any) -> None:
    """The server does not answer a publisher without permission."""
    settings = 'authorization { users: [{ user: u, password: "right-one", permissions: { publish: ["other"] } }] }'
    with NatsServer(settings) as server:
        sign_in = {"servers": [server.url], "user": "u", "password": "right-one", "timeout": 3600}
        error = await failure_of(build(NatsSink, {**options, **sign_in}), "right-one")
    assert (error.reason, error.retryable) == (R.REJECTED, True)
    assert "may not publish" in error.detail


async def test_event_arrives_when_the_user_may_do_what_is_documented(build: Any, options: Any) -> None:
    leave = 'permissions: { publish: ["reservd.events.>"], subscribe: ["_INBOX.>"] }'
    users = f'{{ user: reservd, password: "right-one", {leave} }}, {{ user: all, password: "right-one" }}'
    with NatsServer(f"authorization {{ users: [{users}] }}") as server:
        async with jetstream(server.url, user="all", password="right-one") as js:
            await js.add_stream(STREAM)
        sign_in = {"servers": [server.url], "user": "reservd", "password": "right-one"}
        await deliver(build(NatsSink, {**options, **sign_in}))
        assert len(await stored(server.url, user="all", password="right-one")) == 1


async def test_event_arrives_when_signed_in_by_a_creds_file(build: Any, options: Any, tmp_path: Path) -> None:
    settings, creds = operator_mode()
    (tmp_path / "reservd.creds").write_text(creds)
    with NatsServer(settings) as server:
        theirs = {"user_credentials": str(tmp_path / "reservd.creds")}
        async with jetstream(server.url, **theirs) as js:
            await js.add_stream(STREAM)
        await deliver(build(NatsSink, {**options, "servers": [server.url], "credentials_file": "reservd.creds"}))
        assert len(await stored(server.url, **theirs)) == 1


async def test_delivery_fails_without_the_secret_when_the_creds_file_is_damaged(build: Any, options: Any) -> None:
    settings, creds = operator_mode()
    begin, mark, seed = creds.partition("-----BEGIN USER NKEY SEED-----\n")
    with NatsServer(settings) as server:
        damaged = {"servers": [server.url], "credentials": f"{begin}{mark}X{seed[1:]}"}
        error = await failure_of(build(NatsSink, {**options, **damaged}), seed[1:40])
    assert (error.reason, error.retryable) == (R.REJECTED, True)


@pytest.mark.parametrize("tls_first", [False, True])
async def test_event_arrives_by_tls_when_the_certificate_is_known(
    build: Any, options: Any, tmp_path: Path, tls_first: bool
) -> None:
    certificate, key = make_certificate(tmp_path)
    settings = f'tls {{ cert_file: "{certificate}", key_file: "{key}", handshake_first: {str(tls_first).lower()} }}'
    with NatsServer(settings) as server:
        secure = {"servers": [server.url.replace("nats://", "tls://")], "tls_first": tls_first, "timeout": 10}
        error = await failure_of(build(NatsSink, {**options, **secure}))
        assert error.reason is R.UNREACHABLE
        assert "certificate" in error.detail.lower() or "tls" in error.detail.lower()
        known = {**options, **secure, "ca_file": "certificate.pem"}
        assert "no stream" in (await failure_of(build(NatsSink, known))).detail


async def test_delivery_fails_when_the_authorities_cannot_be_read(build: Any, options: Any) -> None:
    error = await failure_of(build(NatsSink, {**options, "ca_file": "no-such-file.pem"}))
    assert (error.reason, error.detail) == (R.UNREACHABLE, "ca_file: no such file or directory")


async def test_event_arrives_when_the_first_server_is_down(
    build: Any, server: NatsServer, stream: None, options: Any
) -> None:
    await deliver(build(NatsSink, {**options, "servers": ["nats://127.0.0.1:1", server.url]}))
    assert len(await stored(server.url)) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"servers": []}, "at least 1 item"),
        ({"servers": ["http://pass-word@broker.example"]}, "must be a nats:// or tls:// URL"),
        ({"servers": ["nats://a b"]}, "must be a nats:// or tls:// URL"),
        ({"servers": ["nats://[::1"]}, "must be a nats:// or tls:// URL"),
        ({"user": "reservd"}, "user and password must be given together"),
        ({"token": "t", "user": "u", "password": "p"}, "only one of"),
        ({"credentials": "pass-word"}, "must be what a .creds file holds"),
        ({"stream": "a.b"}, "stream"),
    ],
)
def test_config_is_refused_when_options_do_not_fit(build: Any, wrong: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as failure:
        build(NatsSink, {"servers": ["nats://broker.example"], **wrong})
    assert "pass-word" not in str(failure.value)
