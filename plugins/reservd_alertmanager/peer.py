"""One Alertmanager, and the alerts that it has not accepted yet."""

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
"""Alerts per POST: about 200 KB, which gateways accept."""


class Peer:
    """Sends alerts to one Alertmanager, one POST after another, so that no old state overtakes a newer one.

    Only the names of waiting alerts are kept; the alerts are looked up when they are sent. However long the other side
    is away, there is one entry per alert, and it gets the latest.
    """

    def __init__(
        self, name: str, client: HttpClient, url: str, body_of: Callable[[AlertKey], Mapping[str, Any] | None]
    ) -> None:
        """Prepare one, with an event loop running.

        Args:
            name: Its name in logs and errors; shows no URL.
            client: Opened and closed by others.
            url: The endpoint of its API for alerts.
            body_of: Returns an alert in the API's form; None if it need not be sent any more.
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
        """The alerts that it has not accepted in their current state."""
        return {*self._waiting, *self._sending}

    def submit(self, keys: Iterable[AlertKey]) -> "asyncio.Future[HttpError | None]":
        """Send alerts as soon as possible, together with others that wait.

        Returns:
            None once all are accepted, or the failure. The future is shared with others who wait: never cancel it.
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
        """Send what waits now, and return why not all was accepted.

        A failure that may be temporary ends it, because the rest would fail as well.
        """
        self._sending, self._waiting = list(self._waiting), {}
        failure: HttpError | None = None
        for start in range(0, len(self._sending), MAX_BATCH):
            batch = self._sending[start : start + MAX_BATCH]
            # Whoever changes one of them after this point submits it again.
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
        except Exception as error:  # noqa: BLE001  # no error may end the sending of alerts for good
            return HttpError(FailureReason.INTERNAL, type(error).__name__, retryable=True)
        return None

    def _tell(self, failure: HttpError | None) -> None:
        """Log that it fails, or has recovered, when that changes."""
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
