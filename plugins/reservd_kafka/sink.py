"""Sends events to a topic."""

from typing import Self

from aiokafka import errors

from reservd.plugin import CloudEvent, DeliveryError, EventSink, FailureReason
from reservd_kafka.config import KafkaConfig
from reservd_kafka.producer import Producers

CONTENT_TYPE = "application/cloudevents+json"


class KafkaSink(EventSink[KafkaConfig]):
    """Produces each event, keyed by its mode; it is delivered when all in-sync replicas have it."""

    PLUGIN_NAME = "kafka"
    Config = KafkaConfig

    def __init__(self, name: str, config: KafkaConfig) -> None:
        super().__init__(name, config)
        self._producers = Producers(config)

    async def __aenter__(self) -> Self:
        """Connect with the first event, not now."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Send what is left and close; do not wait for brokers that do not answer in time."""
        await self._producers.close()

    async def deliver(self, event: CloudEvent) -> None:
        """Produce the event; return once all in-sync replicas of its partition have it.

        Raises:
            DeliveryError: If they did not confirm it. Retryable unless the event is too large: brokers
                come back, topics are created and permissions corrected.
        """
        headers = [("content-type", CONTENT_TYPE.encode()), ("ce_id", event.id.encode())]
        try:
            async with self._producers.producer() as producer:
                key = event.subject.encode()
                await producer.send_and_wait(self.config.topic, event.to_json(), key=key, headers=headers)
        except (errors.KafkaError, OSError) as error:
            raise _failure(error) from None
        except (LookupError, ValueError) as error:  # such as a refused sign-in that the library cannot parse
            detail = f"the library could not read what a broker answered: {type(error).__name__}"
            raise DeliveryError(FailureReason.INVALID_DATA, detail) from None


def _failure(error: errors.KafkaError | OSError) -> DeliveryError:
    """Return the failure in our own words: the library's contain addresses."""
    match error:
        case errors.KafkaTimeoutError() | errors.RequestTimedOutError() | TimeoutError():
            return DeliveryError(FailureReason.TIMEOUT, "no broker acknowledged it in time")
        case errors.UnknownTopicOrPartitionError():
            return DeliveryError(FailureReason.REJECTED, "no broker knows the topic, or none could be asked")
        case errors.MessageSizeTooLargeError() | errors.RecordListTooLargeError():
            return DeliveryError(FailureReason.REJECTED, "larger than the brokers accept", retryable=False)
        case errors.BrokerResponseError():
            return DeliveryError(FailureReason.REJECTED, f"the broker answered {error.message}")
    return DeliveryError(FailureReason.UNREACHABLE, "no broker could be reached, or none accepted the credentials")
