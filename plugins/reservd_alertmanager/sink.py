"""Reserve events as alerts in Alertmanager."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from reservd.plugin import CloudEvent, DeliveryError, EventSink, FailureReason
from reservd.plugin.http import HttpClient, HttpError
from reservd_alertmanager.alerts import to_api
from reservd_alertmanager.board import AlertBoard, AlertKey
from reservd_alertmanager.config import AlertmanagerConfig
from reservd_alertmanager.peer import Peer

_API = "/api/v2/alerts"
_MAX_ANSWER_BYTES = 64 * 1024


class AlertmanagerSink(EventSink[AlertmanagerConfig]):
    """Fires alerts in every Alertmanager of a cluster, sends them again while they fire, and resolves them.

    Alertmanagers do not share alerts, and lose them when they restart: so each gets all of them, repeatedly.
    An event counts as delivered when one of them accepted it.
    """

    PLUGIN_NAME = "alertmanager"
    Config = AlertmanagerConfig

    def __init__(self, name: str, config: AlertmanagerConfig) -> None:
        super().__init__(name, config)
        self._board = AlertBoard()
        self._client = HttpClient(
            timeout_seconds=config.timeout,
            max_response_bytes=_MAX_ANSWER_BYTES,
            headers={header: value.get_secret_value() for header, value in config.headers.items()},
        )
        self._peers: list[Peer] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start sending. Alerts from before a close may be outdated: nothing is sent before `resume`, or an event."""
        await self._client.__aenter__()
        self._peers = [
            Peer(f"{self.name} {number}", self._client, _endpoint(url.get_secret_value()), self._body_of)
            for number, url in enumerate(self.config.urls, start=1)
        ]
        self._tasks = [asyncio.create_task(peer.run()) for peer in self._peers]
        self._tasks.append(asyncio.create_task(self._send_again()))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop sending. Firing alerts continue until they expire, or until this is opened again."""
        tasks, self._tasks, self._peers = self._tasks, [], []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.__aexit__(None, None, None)

    async def deliver(self, event: CloudEvent) -> None:
        """Fire the event's alert, and resolve those that it ends.

        An event that is older than the last of its mode changes nothing, and counts as delivered.

        Raises:
            DeliveryError: If no Alertmanager accepted it. It is still sent again, until one does.
        """
        await self._send(self._board.take(event.data, datetime.now(UTC)))

    async def resume(self, latest: Sequence[CloudEvent]) -> None:
        """Continue the alerts of the last events, and resolve again those that ended a short while ago.

        Raises:
            DeliveryError: As `deliver` does.
        """
        keys = [key for event in latest for key in self._board.take(event.data, event.data.timestamp)]
        self._forget()
        await self._send([key for key in keys if self._board.get(key) is not None])

    async def _send(self, keys: Sequence[AlertKey]) -> None:
        """Send alerts to every Alertmanager; return as soon as one has accepted them."""
        if not self._peers:
            raise DeliveryError(FailureReason.INTERNAL, "the sink is not open")
        if not keys:
            return
        failures: list[HttpError] = []
        for outcome in asyncio.as_completed([peer.submit(keys) for peer in self._peers]):
            failure = await outcome
            if failure is None:
                return
            failures.append(failure)
        raise _all_failed(failures)

    async def _send_again(self) -> None:
        while True:
            await asyncio.sleep(self.config.resend)
            # This process may have been suspended for a while, and its alerts be outdated.
            if await self.may_send():
                self._send_all()

    def _send_all(self) -> None:
        self._forget()
        for peer in self._peers:
            peer.submit(self._board.kept())

    def _forget(self) -> None:
        self._board.forget(
            datetime.now(UTC),
            timedelta(seconds=self.config.resolved_for),
            expires=timedelta(seconds=self.config.expires),
            unsent={key for peer in self._peers for key in peer.unsent},
        )

    def _body_of(self, key: AlertKey) -> Mapping[str, Any] | None:
        alert = self._board.get(key)
        if alert is None:
            return None
        url = self.config.generator_url
        return to_api(
            alert,
            expires_at=datetime.now(UTC) + timedelta(seconds=self.config.expires),
            labels=self.config.labels,
            generator_url=str(url) if url is not None else None,
        )


def _endpoint(url: str) -> str:
    """Return an Alertmanager's endpoint for alerts: after its route prefix, with any query for a gateway."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + _API))


def _all_failed(failures: Sequence[HttpError]) -> DeliveryError:
    """Return the failures of all as one: retryable if one of them is, and at the earliest requested time."""
    first = next((failure for failure in failures if failure.retryable), failures[0])
    waits = [failure.retry_after_seconds for failure in failures if failure.retry_after_seconds is not None]
    return DeliveryError(
        first.reason,
        "; ".join(failure.detail for failure in failures),
        retryable=first.retryable,
        retry_after_seconds=min(waits) if len(waits) == len(failures) else None,
    )
