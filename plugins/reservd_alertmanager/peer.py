"""One Alertmanager, and what it has yet to be told."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from reservd.plugin import FailureReason
from reservd.plugin.http import HttpClient, HttpError
from reservd_alertmanager.board import AlertKey

log = structlog.get_logger(__name__)

MAX_BATCH = 256
"""Alerts in one POST: some 200 KB, which gateways let through."""


class Peer:
    """Tells one Alertmanager, one POST after the other, so that what was overtakes nothing that is.

    What is to be sent is kept as the names of alerts and looked up when it is sent: however long the other side is
    away, there is one entry an alert, and it hears the latest.
    """

    def __init__(
        self, name: str, client: HttpClient, url: str, body_of: Callable[[AlertKey], Mapping[str, Any] | None]
    ) -> None:
        """Prepare one, with an event loop running.

        Args:
            name: What logs and errors call it; shows no URL.
            client: Opened and closed by others.
            url: Its API's endpoint for alerts.
            body_of: Gives an alert as the API wants it; None when there is nothing to tell of it any more.
        """
        self.name = name
        self._waiting: dict[AlertKey, None] = {}
        self._sending: list[AlertKey] = []
        self._client = client
        self._url = url
        self._body_of = body_of
        self._wanted = asyncio.Event()
        self._outcome = self._new_outcome()
        self._failing = False

    @property
    def unsent(self) -> set[AlertKey]:
        """The alerts that it has not taken as they are now."""
        return {*self._waiting, *self._sending}

    def submit(self, keys: Iterable[AlertKey]) -> "asyncio.Future[HttpError | None]":
        """Have alerts sent as soon as may be, together with what else waits.

        Returns:
            None once they are all taken, or why they were not. Shared with others who wait: never cancel it.
        """
        self._waiting.update(dict.fromkeys(keys))
        self._wanted.set()
        return self._outcome

    async def run(self) -> None:
        """Send what is submitted, until cancelled."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                outcome, self._outcome = self._outcome, self._new_outcome()
                failure: HttpError | None = _closed()
                try:
                    failure = await self._send_waiting()
                finally:
                    outcome.set_result(failure)
                self._tell(failure)
        finally:
            self._outcome.set_result(_closed())

    async def _send_waiting(self) -> HttpError | None:
        """Send what waits now, and return why not all was taken.

        A failure that may pass ends it, because what is left would fail as well.
        """
        self._sending, self._waiting = list(self._waiting), {}
        failure: HttpError | None = None
        for start in range(0, len(self._sending), MAX_BATCH):
            batch = self._sending[start : start + MAX_BATCH]
            # Whoever changes one of them from here on submits it again.
            failed = await self._post(batch)
            if failed is None:
                continue
            failure = failed
            self._waiting.update(dict.fromkeys(self._sending[start:] if failed.retryable else batch))
            if failed.retryable:
                break
        self._sending = []
        return failure

    async def _post(self, keys: Iterable[AlertKey]) -> HttpError | None:
        try:
            bodies = [body for key in keys if (body := self._body_of(key)) is not None]
            if bodies:
                await self._client.post(self._url, json.dumps(bodies).encode())
        except HttpError as error:
            return None if error.taken else error
        except Exception as error:  # noqa: BLE001  # whatever breaks must not end the sending of alerts for good
            return HttpError(FailureReason.INTERNAL, type(error).__name__, retryable=True)
        return None

    def _tell(self, failure: HttpError | None) -> None:
        """Log that it fails, or is well again, when that changes."""
        if failure is not None and not self._failing:
            log.warning("alertmanager.failed", peer=self.name, reason=str(failure.reason), detail=failure.detail)
        elif failure is None and self._failing:
            log.info("alertmanager.recovered", peer=self.name)
        self._failing = failure is not None

    @staticmethod
    def _new_outcome() -> "asyncio.Future[HttpError | None]":
        return asyncio.get_running_loop().create_future()


def _closed() -> HttpError:
    return HttpError(FailureReason.UNREACHABLE, "the sink was closed", retryable=True)
