"""Events in a topic."""

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
        """Send what is left and close; brokers that do not answer in time are left to themselves."""
        await self._producers.close()

    async def deliver(self, event: CloudEvent) -> None:
        """Produce the event; return once all in-sync replicas of its partition have it.

        Raises:
            DeliveryError: If they did not say so. Retryable unless the event is too large: brokers
                come back, topics get made and permissions get mended.
        """
        headers = [("content-type", CONTENT_TYPE.encode()), ("ce_id", event.id.encode())]
        try:
            async with self._producers.producer() as producer:
                key = event.subject.encode()
                await producer.send_and_wait(self.config.topic, event.to_json(), key=key, headers=headers)
        except (errors.KafkaError, OSError) as error:
            raise _failure(error) from None
        except (LookupError, ValueError) as error:  # such as a refusal to sign in that it does not expect
            detail = f"the library could not read what a broker answered: {type(error).__name__}"
            raise DeliveryError(FailureReason.INVALID_DATA, detail) from None


def _failure(error: errors.KafkaError | OSError) -> DeliveryError:
    """Return what went wrong in words of our own: the library's hold addresses."""
    match error:
        case errors.KafkaTimeoutError() | errors.RequestTimedOutError() | TimeoutError():
            return DeliveryError(FailureReason.TIMEOUT, "no broker acknowledged it in time")
        case errors.UnknownTopicOrPartitionError():
            return DeliveryError(FailureReason.REJECTED, "no broker knows the topic, or none could be asked")
        case errors.MessageSizeTooLargeError() | errors.RecordListTooLargeError():
            return DeliveryError(FailureReason.REJECTED, "larger than the brokers take", retryable=False)
        case errors.BrokerResponseError():
            return DeliveryError(FailureReason.REJECTED, f"the broker answered {error.message}")
    return DeliveryError(FailureReason.UNREACHABLE, "no broker could be reached, or none let us in")
