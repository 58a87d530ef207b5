import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import ValidationError

from reservd.plugin import DeliveryError, FailureReason
from reservd.plugin.examples import example_event
from reservd.plugin.testing import EventSinkContract
from reservd_redis.sink import RedisSink
from support.broker import deliver_in_time
from support.polling import until
from support.readme import documented_program
from support.tls import TlsListener, make_certificate
from support.valkey import ValkeyServer

R = FailureReason


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    with ValkeyServer() as running:
        yield running


@pytest.fixture
def guarded() -> Iterator[ValkeyServer]:
    """A server with the password `right-one`, and the user `reader`, who may only read."""
    with ValkeyServer("--requirepass", "right-one", "--user", "reader", "on", ">right-one", "~*", "+@read") as running:
        yield running


@pytest.fixture
def options(server: ValkeyServer) -> dict[str, Any]:
    return {"url": server.url, "timeout": 5}


class TestRedisSink(EventSinkContract):
    plugin_class = RedisSink

    @pytest.fixture
    def options(self, server: ValkeyServer) -> dict[str, Any]:
        return {"url": server.url}


def entries(server: ValkeyServer, stream: str = "reservd:events") -> list[dict[str, str]]:
    """Return what an independent consumer reads from a stream."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return [fields for _, fields in client.xrange(stream)]


def ids(server: ValkeyServer, stream: str = "reservd:events") -> list[str]:
    return [fields["id"] for fields in entries(server, stream)]


async def deliver(sink: Any, event_id: str = "evt-1") -> None:
    async with sink:
        await sink.deliver(example_event(event_id=event_id))


async def failure_of(sink: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as failure:
        await deliver(sink)
    for hidden in ("redis://", "127.0.0.1", "wrong-one", "right-one"):
        assert hidden not in repr(failure.value)
    return failure.value


async def test_event_arrives_as_documented(build: Any, server: ValkeyServer, options: Any) -> None:
    event = example_event()
    async with build(RedisSink, options) as sink:
        await sink.deliver(event)
    (fields,) = entries(server)
    assert list(fields) == ["id", "type", "mode", "sequence", "event"]
    assert (fields["id"], fields["type"]) == ("evt-1", "reservd.reserve_low.v1")
    assert (fields["mode"], fields["sequence"]) == ("demo", "1")
    assert fields["event"] == event.to_json().decode()
    assert json.loads(fields["event"])["data"]["reserve_balance"] == "40000.25"


@asynccontextmanager
async def documented_consumer(server: ValkeyServer) -> AsyncIterator[asyncio.StreamReader]:
    """Run the consumer of the README; yield what it prints."""
    program = documented_program("redis").replace("redis://redis.example.com:6379/0", server.url)
    reader = await asyncio.create_subprocess_exec(sys.executable, "-uc", program, stdout=asyncio.subprocess.PIPE)
    assert reader.stdout is not None
    try:
        yield reader.stdout
    finally:
        with suppress(ProcessLookupError):
            reader.kill()
        await reader.communicate()


async def test_documented_consumer_gets_the_event(build: Any, server: ValkeyServer, options: Any) -> None:
    await deliver(build(RedisSink, options))
    async with documented_consumer(server) as printed:
        assert await asyncio.wait_for(printed.readline(), 30) == b"reserve_low demo 40000.25\n"


async def test_documented_consumer_gets_what_it_had_read_when_it_died(
    build: Any, server: ValkeyServer, options: Any
) -> None:
    """An event that was read and not acknowledged is not lost, and one that was trimmed since stops nothing."""
    await deliver(build(RedisSink, options), "evt-trimmed")
    await deliver(build(RedisSink, options))
    with redis.Redis.from_url(server.url, decode_responses=True, protocol=2) as client:
        client.xgroup_create("reservd:events", "unwinder", id="0")
        ((_, read),) = client.xreadgroup("unwinder", "worker-1", {"reservd:events": ">"})
        client.xdel("reservd:events", read[0][0])
        async with documented_consumer(server) as printed:
            assert await asyncio.wait_for(printed.readline(), 30) == b"reserve_low demo 40000.25\n"
            await until(lambda: client.xpending("reservd:events", "unwinder")["pending"] == 0)


async def test_documented_consumer_gets_the_event_when_nothing_happened_for_long(
    build: Any, server: ValkeyServer, options: Any
) -> None:
    """The library's own deadline for an answer is not longer than the consumer waits for events."""
    async with documented_consumer(server) as printed:
        with redis.Redis.from_url(server.url) as client:
            # It has asked for what it had read, then in vain for more, and asks again; or it has ended.
            await until(
                lambda: (
                    printed.at_eof() or client.info("commandstats").get("cmdstat_xreadgroup", {}).get("calls", 0) > 2
                )
            )
        await deliver(build(RedisSink, options))
        assert await asyncio.wait_for(printed.readline(), 30) == b"reserve_low demo 40000.25\n"


async def test_event_is_added_once_when_delivered_again(build: Any, server: ValkeyServer, options: Any) -> None:
    for event_id in ("evt-1", "evt-1", "evt-2", "evt-1"):
        await deliver(build(RedisSink, options), event_id)
    assert ids(server) == ["evt-1", "evt-2"]


async def test_event_is_added_once_when_delivered_many_times_at_once(
    build: Any, server: ValkeyServer, options: Any
) -> None:
    async with build(RedisSink, options) as sink:
        await asyncio.gather(*(sink.deliver(example_event(event_id=f"evt-{n % 5}")) for n in range(50)))
    assert sorted(ids(server)) == [f"evt-{n}" for n in range(5)]


async def test_event_is_added_again_when_it_was_forgotten(build: Any, server: ValkeyServer, options: Any) -> None:
    await deliver(build(RedisSink, {**options, "deduplicate_for": 7200}))
    with redis.Redis.from_url(server.url) as client:
        assert 0 < client.ttl("reservd:events:seen:evt-1") <= 7200
        client.delete("reservd:events:seen:evt-1")
    await deliver(build(RedisSink, options))
    assert ids(server) == ["evt-1", "evt-1"]


async def test_event_is_not_lost_when_the_server_refuses_to_add_it(
    build: Any, server: ValkeyServer, options: Any
) -> None:
    """An event that was not added must not be marked as added."""
    with redis.Redis.from_url(server.url) as client:
        client.set("reservd:events", "no stream")
        error = await failure_of(build(RedisSink, options))
        assert (error.reason, error.retryable, error.detail) == (R.REJECTED, True, "the server answered WRONGTYPE")
        client.delete("reservd:events")
    await deliver(build(RedisSink, options))
    assert ids(server) == ["evt-1"]


async def test_stream_is_trimmed_when_it_is_long(build: Any, server: ValkeyServer, options: Any) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("stream-node-max-entries", 10)
    async with build(RedisSink, {**options, "max_length": 20}) as sink:
        for number in range(60):
            await sink.deliver(example_event(event_id=f"evt-{number}"))
    kept = ids(server)
    assert 20 <= len(kept) <= 30
    assert kept[-1] == "evt-59"


async def test_stream_option_says_where_events_go(build: Any, server: ValkeyServer, options: Any) -> None:
    await deliver(build(RedisSink, {**options, "stream": "events/{mode}"}))
    assert ids(server, "events/demo") == ["evt-1"]


async def test_events_arrive_again_when_the_server_is_back(
    build: Any, server: ValkeyServer, options: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with build(RedisSink, options) as sink:
        await sink.deliver(example_event(event_id="before"))
        server.stop()
        for _ in range(2):
            with pytest.raises(DeliveryError) as failure:
                await sink.deliver(example_event(event_id="meanwhile"))
            assert (failure.value.reason, failure.value.retryable) == (R.UNREACHABLE, True)
        server.start()
        await sink.deliver(example_event(event_id="meanwhile"))
        await sink.deliver(example_event(event_id="before"))
    assert ids(server) == ["before", "meanwhile"]
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


async def test_delivery_succeeds_when_the_server_was_restarted_meanwhile(
    build: Any, server: ValkeyServer, options: Any
) -> None:
    async with build(RedisSink, options) as sink:
        await sink.deliver(example_event(event_id="before"))
        server.stop()
        server.start()
        await sink.deliver(example_event(event_id="after"))
    assert ids(server) == ["before", "after"]


async def test_delivery_times_out_when_the_server_hangs(build: Any, server: ValkeyServer, options: Any) -> None:
    async with build(RedisSink, {**options, "timeout": 2}) as sink:
        await deliver_in_time(sink, "evt-1")
        server.pause()
        for _ in range(2):  # on its current connection, and on a new one
            with pytest.raises(DeliveryError) as failure:
                await sink.deliver(example_event(event_id="evt-2"))
            assert (failure.value.reason, failure.value.retryable) == (R.TIMEOUT, True)
        server.resume()
        await deliver_in_time(sink, "evt-2")
    assert ids(server) == ["evt-1", "evt-2"]


async def test_sink_goes_on_when_a_delivery_was_cancelled(build: Any, server: ValkeyServer, options: Any) -> None:
    async with build(RedisSink, options) as sink:
        await sink.deliver(example_event())
        server.pause()
        for _ in range(6):  # more than there are connections
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(sink.deliver(example_event(event_id="evt-2")), 0.1)
        server.resume()
        await sink.deliver(example_event(event_id="evt-2"))
        await sink.deliver(example_event(event_id="evt-3"))
    assert ids(server) == ["evt-1", "evt-2", "evt-3"]


async def test_sink_closes_when_the_server_hangs(build: Any, server: ValkeyServer, options: Any) -> None:
    async with build(RedisSink, options) as sink:
        await sink.deliver(example_event())
        server.pause()
    server.resume()


async def test_delivery_may_be_tried_again_when_the_server_is_a_replica(
    build: Any, server: ValkeyServer, options: Any
) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        async with build(RedisSink, options) as sink:
            with pytest.raises(DeliveryError, match="replica") as failure:
                await sink.deliver(example_event())
            assert (failure.value.reason, failure.value.retryable) == (R.REJECTED, True)
            client.execute_command("REPLICAOF", "NO", "ONE")
            await sink.deliver(example_event())
    assert ids(server) == ["evt-1"]


async def test_delivery_may_be_tried_again_when_the_server_is_out_of_memory(
    build: Any, server: ValkeyServer, options: Any
) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
        error = await failure_of(build(RedisSink, options))
        client.config_set("maxmemory", 0)
    assert (error.reason, error.retryable) == (R.REJECTED, True)
    await deliver(build(RedisSink, options))
    assert ids(server) == ["evt-1"]


@pytest.mark.parametrize("sign_in", ["", ":wrong-one@", "nobody:wrong-one@"])
async def test_delivery_fails_without_the_secret_when_it_is_wrong(
    build: Any, guarded: ValkeyServer, sign_in: str
) -> None:
    error = await failure_of(build(RedisSink, {"url": guarded.url.replace("//", f"//{sign_in}"), "timeout": 5}))
    assert (error.reason, error.retryable) == (R.REJECTED, True)
    assert "user name or password" in error.detail


async def test_delivery_fails_when_the_user_may_not_write(build: Any, guarded: ValkeyServer) -> None:
    error = await failure_of(build(RedisSink, {"url": guarded.url.replace("//", "//reader:right-one@"), "timeout": 5}))
    assert (error.reason, error.retryable, error.detail) == (R.REJECTED, True, "the user may not do this")


async def test_event_arrives_when_the_user_may_do_what_is_documented(build: Any) -> None:
    leave = ["~reservd:events*", "+eval", "+get", "+xadd", "+set"]
    with ValkeyServer("--user", "reservd", "on", ">right-one", *leave) as server:
        await deliver(build(RedisSink, {"url": server.url.replace("//", "//reservd:right-one@"), "timeout": 5}))
        assert ids(server) == ["evt-1"]


async def test_event_arrives_when_the_url_comes_from_a_file(build: Any, guarded: ValkeyServer, tmp_path: Path) -> None:
    (tmp_path / "redis-url").write_text(guarded.url.replace("//", "//:right-one@") + "\n")
    await deliver(build(RedisSink, {"url_file": "redis-url"}))


async def test_event_arrives_by_tls_when_the_certificate_is_known(
    build: Any, server: ValkeyServer, tmp_path: Path
) -> None:
    async with TlsListener(0, server.port, make_certificate(tmp_path)) as listener:
        options = {"url": f"rediss://127.0.0.1:{listener.port}", "timeout": 5}
        assert (await failure_of(build(RedisSink, options))).reason is R.UNREACHABLE
        assert (await failure_of(build(RedisSink, {**options, "ca_file": "none.pem"}))).reason is R.UNREACHABLE
        await deliver(build(RedisSink, {**options, "ca_file": "certificate.pem"}))
    assert ids(server) == ["evt-1"]


async def test_delivery_fails_when_the_sink_is_not_open(build: Any, options: Any) -> None:
    with pytest.raises(DeliveryError, match="not open"):
        await build(RedisSink, options).deliver(example_event())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"url": "http://pass-word@broker.example"}, "must be a redis:// or rediss:// URL"),
        ({"url": "redis://"}, "must be a redis:// or rediss:// URL"),
        ({"url": "redis://[::1"}, "must be a redis:// or rediss:// URL"),
        ({"url": "redis://broker.example/pass-word"}, "must be a redis:// or rediss:// URL"),
        ({"url": "redis://broker.example/0?password=pass-word"}, "must be a redis:// or rediss:// URL"),
        ({"stream": ""}, "must be a key"),
        ({"stream": "{modes}"}, "must be a key"),
        ({"max_length": 0}, "max_length"),
        ({"deduplicate_for": 0}, "deduplicate_for"),
        ({"ca_file": "ca.pem"}, "ca_file needs a rediss:// URL"),
    ],
)
def test_config_is_refused_when_options_do_not_fit(build: Any, wrong: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as failure:
        build(RedisSink, {"url": "redis://broker.example/0", **wrong})
    assert "pass-word" not in str(failure.value)
