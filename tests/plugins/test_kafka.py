import asyncio
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from pydantic import ValidationError

from reservd.plugin import DeliveryError, FailureReason
from reservd.plugin.examples import example_event
from reservd.plugin.testing import EventSinkContract
from reservd_kafka.sink import KafkaSink
from support.broker import deliver_in_time
from support.kafka import KafkaBroker
from support.ports import kept_port
from support.readme import documented_program
from support.tls import TlsListener, make_certificate

R = FailureReason
LATE = {R.TIMEOUT, R.UNREACHABLE}
"""What a delivery may fail with on a busy machine; the latter while it connects."""


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    with KafkaBroker() as running:
        yield running


@pytest.fixture
def options(broker: KafkaBroker) -> dict[str, Any]:
    return {"bootstrap_servers": [broker.address], "timeout": 5}


class TestKafkaSink(EventSinkContract):
    plugin_class = KafkaSink

    @pytest.fixture
    def options(self, broker: KafkaBroker) -> dict[str, Any]:
        return {"bootstrap_servers": [broker.address]}


async def consumed(broker: KafkaBroker, count: int, topic: str = "reservd-events") -> list[Any]:
    """Return the first records that an independent consumer of the topic receives."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker.address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        return [await asyncio.wait_for(consumer.getone(), 30) for _ in range(count)]
    finally:
        await consumer.stop()


async def until_consumed(broker: KafkaBroker, event_id: str) -> None:
    """Wait until an independent consumer has received this event, whatever came before it."""
    consumer = AIOKafkaConsumer("reservd-events", bootstrap_servers=broker.address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(60):
            while ids([await consumer.getone()]) != [event_id]:
                pass
    finally:
        await consumer.stop()


def ids(records: list[Any]) -> list[str]:
    return [dict(record.headers)["ce_id"].decode() for record in records]


async def deliver(sink: Any, event_id: str = "evt-1") -> None:
    async with sink:
        await sink.deliver(example_event(event_id=event_id))


async def failure_of(sink: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as failure:
        await deliver(sink)
    for hidden in ("127.0.0.1", "wrong-one"):
        assert hidden not in repr(failure.value)
    return failure.value


async def test_event_arrives_as_documented(build: Any, broker: KafkaBroker, options: Any) -> None:
    event = example_event()
    async with build(KafkaSink, options) as sink:
        await sink.deliver(event)
    (record,) = await consumed(broker, 1)
    assert record.key == b"demo"
    assert record.headers == (("content-type", b"application/cloudevents+json"), ("ce_id", b"evt-1"))
    assert record.value == event.to_json()
    assert json.loads(record.value)["data"]["reserve_balance"] == "40000.25"


async def test_documented_consumer_gets_the_event(build: Any, broker: KafkaBroker, options: Any) -> None:
    await deliver(build(KafkaSink, options))
    program = documented_program("kafka").replace("kafka-1.example.com:9092", broker.address)
    reader = await asyncio.create_subprocess_exec(sys.executable, "-uc", program, stdout=asyncio.subprocess.PIPE)
    assert reader.stdout is not None
    try:
        assert await asyncio.wait_for(reader.stdout.readline(), 30) == b"reserve_low demo 40000.25\n"
    finally:
        reader.kill()
        await reader.communicate()


async def test_events_of_a_mode_arrive_in_order_and_in_one_partition(
    build: Any, broker: KafkaBroker, options: Any
) -> None:
    async with build(KafkaSink, options) as sink:
        for number in range(20):
            await sink.deliver(example_event(event_id=f"evt-{number}"))
    records = await consumed(broker, 20)
    assert ids(records) == [f"evt-{number}" for number in range(20)]
    assert len({record.partition for record in records}) == 1


async def test_events_of_many_modes_arrive_when_delivered_at_once(
    build: Any, broker: KafkaBroker, options: Any
) -> None:
    events = [
        example_event(event_id=f"evt-{number}").model_copy(update={"subject": f"mode-{number}"}) for number in range(20)
    ]
    async with build(KafkaSink, options) as sink:
        await asyncio.gather(*(sink.deliver(event) for event in events))
    records = await consumed(broker, 20)
    assert sorted(ids(records)) == sorted(event.id for event in events)
    assert {record.key.decode() for record in records} == {event.subject for event in events}


async def test_topic_option_says_where_events_go(build: Any, broker: KafkaBroker, options: Any) -> None:
    await deliver(build(KafkaSink, {**options, "topic": "treasury.reserves"}))
    assert ids(await consumed(broker, 1, "treasury.reserves")) == ["evt-1"]


async def test_events_arrive_again_when_the_broker_is_back(
    build: Any, broker: KafkaBroker, options: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with build(KafkaSink, {**options, "timeout": 3}) as sink:
        await deliver_in_time(sink, "before", repeat_on=LATE)
        broker.stop()
        for _ in range(2):  # with its current producer, and with one that it cannot start
            with pytest.raises(DeliveryError) as failure:
                await sink.deliver(example_event(event_id="meanwhile"))
            assert (failure.value.reason, failure.value.retryable) == (R.UNREACHABLE, True)
        broker.start()
        await deliver_in_time(sink, "meanwhile", repeat_on=LATE)
        assert ids(await consumed(broker, 1)) == ["meanwhile"]
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


async def test_delivery_succeeds_when_the_broker_was_restarted_meanwhile(
    build: Any, broker: KafkaBroker, options: Any
) -> None:
    async with build(KafkaSink, options) as sink:
        await sink.deliver(example_event(event_id="before"))
        broker.stop()
        broker.start()
        await deliver(build(KafkaSink, options), "topic is made again")
        await sink.deliver(example_event(event_id="after"))
        assert ids(await consumed(broker, 2)) == ["topic is made again", "after"]


async def test_delivery_times_out_when_the_broker_hangs(build: Any, broker: KafkaBroker, options: Any) -> None:
    async with build(KafkaSink, {**options, "timeout": 3}) as sink:
        await deliver_in_time(sink, "evt-1", repeat_on=LATE)
        broker.pause()
        with pytest.raises(DeliveryError) as failure:
            await sink.deliver(example_event(event_id="evt-2"))
        assert (failure.value.reason, failure.value.retryable) == (R.TIMEOUT, True)
        with pytest.raises(DeliveryError) as failure:
            await sink.deliver(example_event(event_id="evt-2"))
        assert (failure.value.reason, failure.value.retryable) == (R.UNREACHABLE, True)
        broker.resume()
        await deliver_in_time(sink, "evt-3", repeat_on=LATE)


async def test_sink_goes_on_when_a_delivery_was_cancelled(build: Any, broker: KafkaBroker, options: Any) -> None:
    async with build(KafkaSink, options) as sink:
        await sink.deliver(example_event())
        broker.pause()
        for _ in range(3):  # while it sends, and while another producer starts
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(sink.deliver(example_event(event_id="evt-2")), 0.1)
        broker.resume()
        await sink.deliver(example_event(event_id="evt-3"))
    await until_consumed(broker, "evt-3")


async def test_delivery_goes_on_when_another_mode_gave_up(build: Any, broker: KafkaBroker, options: Any) -> None:
    """Replacing the producer must not affect deliveries that are in progress for other modes."""
    async with build(KafkaSink, options) as sink:
        await sink.deliver(example_event())
        broker.pause()
        waiting, cancelled = (asyncio.create_task(sink.deliver(example_event(event_id=f"evt-{n}"))) for n in (2, 3))
        await asyncio.wait({waiting, cancelled}, timeout=0.1)
        cancelled.cancel()
        await asyncio.wait({cancelled})
        broker.resume()
        await waiting
    await until_consumed(broker, "evt-2")


async def test_sink_closes_and_opens_again_when_the_broker_hangs(build: Any, broker: KafkaBroker, options: Any) -> None:
    sink = build(KafkaSink, {**options, "timeout": 3})
    async with sink:
        await deliver_in_time(sink, "evt-1", repeat_on=LATE)
        broker.pause()
        delivery = asyncio.create_task(sink.deliver(example_event(event_id="evt-2")))
        await asyncio.wait({delivery}, timeout=0.1)
        delivery.cancel()
    broker.resume()
    async with sink:
        await deliver_in_time(sink, "evt-3", repeat_on=LATE)


async def test_delivery_may_be_tried_again_when_nobody_listens(build: Any) -> None:
    with kept_port() as port:
        error = await failure_of(build(KafkaSink, {"bootstrap_servers": [f"127.0.0.1:{port}"], "timeout": 5}))
    assert (error.reason, error.retryable) == (R.UNREACHABLE, True)


async def test_delivery_is_given_up_when_it_is_too_large(build: Any, options: Any) -> None:
    event = example_event()
    large = event.model_copy(update={"data": event.data.model_copy(update={"reason": "x" * 2_000_000})})
    async with build(KafkaSink, options) as sink:
        with pytest.raises(DeliveryError) as failure:
            await sink.deliver(large)
    assert (failure.value.reason, failure.value.retryable) == (R.REJECTED, False)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_delivery_fails_without_the_secret_when_it_is_wrong(build: Any, mechanism: str) -> None:
    with KafkaBroker(authentication=True) as broker:
        sign_in = {"username": "reservd", "password": "wrong-one", "sasl_mechanism": mechanism}
        error = await failure_of(build(KafkaSink, {"bootstrap_servers": [broker.address], "timeout": 5, **sign_in}))
    assert error.reason in {R.UNREACHABLE, R.INVALID_DATA}
    assert error.retryable


async def test_event_arrives_by_tls_when_the_certificate_is_known(build: Any, tmp_path: Path) -> None:
    with kept_port() as port, KafkaBroker(advertised_port=port) as broker:
        async with TlsListener(port, broker.port, make_certificate(tmp_path)):
            options = {"bootstrap_servers": [f"127.0.0.1:{port}"], "tls": True, "timeout": 5}
            assert (await failure_of(build(KafkaSink, options))).reason is R.UNREACHABLE
            unreadable = await failure_of(build(KafkaSink, {**options, "ca_file": "none.pem"}))
            assert (unreadable.reason, unreadable.detail) == (R.UNREACHABLE, "ca_file: no such file or directory")
            await deliver(build(KafkaSink, {**options, "ca_file": "certificate.pem"}))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bootstrap_servers": []}, "at least 1 item"),
        ({"bootstrap_servers": ["broker.example"]}, "bootstrap_servers"),
        ({"bootstrap_servers": ["kafka://broker.example:9092"]}, "bootstrap_servers"),
        ({"topic": "a b"}, "topic"),
        ({"username": "reservd"}, "username and password must be given together"),
        ({"password": "pass-word"}, "username and password must be given together"),
        ({"ca_file": "ca.pem"}, "ca_file needs tls"),
        ({"sasl_mechanism": "GSSAPI"}, "sasl_mechanism"),
    ],
)
def test_config_is_refused_when_options_do_not_fit(build: Any, wrong: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as failure:
        build(KafkaSink, {"bootstrap_servers": ["broker.example:9092"], **wrong})
    assert "pass-word" not in str(failure.value)
