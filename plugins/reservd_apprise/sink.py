"""Events as messages to people."""

import asyncio
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from reservd.plugin import CloudEvent, DeliveryError, EventSink, FailureReason, Seconds, Secret, SourceConfig
from reservd_apprise.message import Message, Template, write_message
from reservd_apprise.service import Refusal, Service, load_service

_MAX_URLS = 20
"""Each has its own thread."""
_SHARE_OF_TIMEOUT = 0.9
"""The host gives up at the timeout itself: the rest is for reporting which service hangs."""
_BODY = """\
Mode: {mode}
Status: {status} (before: {previous_status})
Coverage: {coverage}
Shortfall: {shortfall}
Reason: {reason}
Incident: {incident}"""


def _loadable(url: SecretStr) -> SecretStr:
    if load_service(url.get_secret_value()) is None:
        raise PydanticCustomError(
            "apprise_url",
            "must be the complete URL of a service that apprise knows and has the packages for, "
            "such as slack://token_a/token_b/token_c",
        )
    return url


class AppriseConfig(SourceConfig):
    """Options of the `apprise` sink."""

    urls: Annotated[tuple[Annotated[Secret, AfterValidator(_loadable)], ...], Field(min_length=1, max_length=_MAX_URLS)]
    """The apprise URLs of the services. They are secrets and never shown."""
    title: Template = "{headline}"
    """Template of the title; may be empty."""
    body: Annotated[Template, Field(pattern=r"\S")] = _BODY
    """Template of the text."""
    timeout: Seconds = 30.0
    """Seconds that a whole delivery may take; some services need a pause of several seconds between two messages."""


class AppriseSink(EventSink[AppriseConfig]):
    """Sends each event to all services at the same time, once to each."""

    PLUGIN_NAME = "apprise"
    Config = AppriseConfig

    def __init__(self, name: str, config: AppriseConfig) -> None:
        super().__init__(name, config)
        urls = [url.get_secret_value() for url in config.urls]
        self._services = [Service(f"urls[{index}]", url) for index, url in enumerate(urls)]

    async def __aenter__(self) -> Self:
        """Prepare the threads."""
        for service in self._services:
            service.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Send no more."""
        for service in self._services:
            service.close()

    async def deliver(self, event: CloudEvent) -> None:
        """Notify all services; return once each has accepted the event.

        A retry skips those that have accepted it. Once all have, the event is forgotten: if it then comes again,
        an operator wants it sent once more.

        Raises:
            DeliveryError: If one did not accept it; retryable, because apprise does not tell permanent refusals
                from temporary ones.
        """
        message = write_message(event.data, self.config.title, self.config.body)
        outcomes = await asyncio.gather(*(self._send(service, event.id, message) for service in self._services))
        refusals = [
            (service.place, refusal) for service, refusal in zip(self._services, outcomes, strict=True) if refusal
        ]
        if refusals:
            detail = "; ".join(f"{place}: {refusal.detail}" for place, refusal in refusals)
            raise DeliveryError(refusals[0][1].reason, detail)
        for service in self._services:
            service.forget(event.id)

    async def _send(self, service: Service, event_id: str, message: Message) -> Refusal | None:
        seconds = self.config.timeout * _SHARE_OF_TIMEOUT
        try:
            async with asyncio.timeout(seconds):
                return await service.send(event_id, message)
        except TimeoutError:
            return Refusal(FailureReason.TIMEOUT, f"no answer within {seconds:g} s")
