"""One notification service behind an apprise URL: its thread, and the events that it has accepted."""

import asyncio
import logging
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat

from reservd.plugin import FailureReason
from reservd_apprise.message import Message

_MAX_TAKEN = 1000
"""Events that one service has accepted and another has not."""
_MAX_LINES = 20
_HTTP_STATUS = re.compile(r"error=([1-5]\d\d)\b")
_NO_CONNECTION = re.compile(r"connection error|timeout occurred|socket", re.IGNORECASE)
_TOO_MANY_REQUESTS = "429"


class _Overheard(logging.Handler):
    """Keeps what the library logs during a send, its only explanation of a refusal."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._here = threading.local()

    @contextmanager
    def lines(self) -> Iterator[list[str]]:
        """Yield a list that collects what this thread's sends log."""
        lines: list[str] = []
        self._here.lines = lines
        try:
            yield lines
        finally:
            del self._here.lines

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line, if this thread is sending."""
        lines = getattr(self._here, "lines", None)
        if lines is not None and len(lines) < _MAX_LINES:
            lines.append(record.getMessage())


_overheard = _Overheard()
# The library logs hosts, and at debug level URLs, tokens and messages; so do the libraries that it uses.
_library = logging.getLogger("apprise")
_library.addHandler(_overheard)
_library.setLevel(logging.WARNING)
_library.propagate = False
for _name in ("urllib3", "oauthlib", "requests_oauthlib"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class Refusal(NamedTuple):
    """Why a service refused a message. The detail contains no text from the library or the service."""

    reason: FailureReason
    detail: str


def load_service(url: str) -> NotifyBase | None:
    """Return the service that an apprise URL names, or None if apprise refuses the URL. No I/O."""
    # A redirect would turn the POST into a GET of another page, whose 200 would count as accepted.
    return Apprise.instantiate(url, asset=AppriseAsset(app_id="reservd", app_desc="reservd", http_redirects=False))


class Service:
    """Sends messages to one service, one after another, each event until it is accepted, and then no more.

    The library cannot interrupt a send. One that outlasts its caller continues in its thread, and its result
    still counts: nothing else is sent meanwhile, and a message that was accepted late is not sent again.
    """

    def __init__(self, place: str, url: str) -> None:
        """Prepare.

        Args:
            place: Its name in errors, such as `urls[0]`.
            url: Of a service that apprise supports.
        """
        service = load_service(url)
        if service is None:
            raise ValueError(f"{place} is not a URL that apprise accepts")
        self._service = service
        self.place = f"{place} ({service.service_name})"
        self._taken: dict[str, None] = {}
        self._send: Future[Refusal | None] | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._turn = asyncio.Lock()

    def open(self) -> None:
        """Prepare a thread; it starts with the first message."""
        self._turn = asyncio.Lock()
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reservd-apprise")

    def close(self) -> None:
        """Send no more; a message that is being sent may or may not arrive."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)

    async def send(self, event_id: str, message: Message) -> Refusal | None:
        """Return None if the service has accepted the event, now or before; otherwise the refusal."""
        async with self._turn:
            if self._threads is None:
                return Refusal(FailureReason.INTERNAL, "the sink is not open")
            if self._send is not None and not self._send.done():
                return Refusal(FailureReason.TIMEOUT, "a message from before is still on its way")
            if event_id in self._taken:
                return None
            self._send = self._threads.submit(self._hand_over, event_id, message)
            return await asyncio.wrap_future(self._send)

    def forget(self, event_id: str) -> None:
        """Accept the event again: if it comes again, an operator wants it sent once more."""
        self._taken.pop(event_id, None)

    def _hand_over(self, event_id: str, message: Message) -> Refusal | None:
        with _overheard.lines() as lines:
            try:
                taken = self._service.notify(
                    body=message.body,
                    title=message.title,
                    notify_type=message.notify_type,
                    body_format=NotifyFormat.TEXT,
                )
            except Exception as error:  # noqa: BLE001  # a hundred services, each with its own errors
                return Refusal(FailureReason.INTERNAL, type(error).__name__)
        if not taken:
            return _refusal(lines)
        while len(self._taken) >= _MAX_TAKEN:
            del self._taken[next(iter(self._taken))]
        self._taken[event_id] = None
        return None


def _refusal(lines: list[str]) -> Refusal:
    text = "\n".join(lines)
    if statuses := _HTTP_STATUS.findall(text):
        limited = statuses[-1] == _TOO_MANY_REQUESTS
        return Refusal(FailureReason.RATE_LIMITED if limited else FailureReason.REJECTED, f"HTTP {statuses[-1]}")
    if _NO_CONNECTION.search(text):
        return Refusal(FailureReason.UNREACHABLE, "no connection, or no answer on it")
    return Refusal(FailureReason.REJECTED, "not taken")
