import asyncio
import json
import logging
import re
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from apprise import NotifyBase
from apprise.manager_plugins import NotificationManager
from pydantic import ValidationError

import reservd
from reservd.plugin import CloudEvent, DeliveryError, EventType, FailureReason
from reservd.plugin.examples import example_event
from reservd.plugin.redact import Redactor
from reservd.plugin.testing import EventSinkContract
from reservd_apprise.message import FIELDS, write_message
from reservd_apprise.service import Service
from reservd_apprise.sink import AppriseSink
from support.ports import kept_port

R = FailureReason

# One of the library's many services imports a module that was removed in Python 3.13.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@dataclass
class Inboxes:
    """An HTTP server with an inbox per path, which gives the answers that a test sets."""

    port: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    hanging: set[str] = field(default_factory=set)
    received: list[tuple[str, str]] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, inbox: str, schema: str = "json") -> str:
        return f"{schema}://ops:hidden-password@127.0.0.1:{self.port}/{inbox}"

    def of(self, inbox: str) -> list[str]:
        return [body for name, body in self.received if name == inbox]

    async def handle(self, request: web.Request) -> web.Response:
        inbox = request.match_info["inbox"]
        self.received.append((inbox, await request.text()))
        if inbox in self.hanging:
            await self.released.wait()
            self.answered.set()
        status = self.statuses.get(inbox, 200)
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})


@pytest.fixture
async def inboxes() -> AsyncIterator[Inboxes]:
    inboxes = Inboxes()
    app = web.Application()
    app.router.add_route("*", "/{inbox}", inboxes.handle)
    async with TestServer(app) as server:
        assert server.port is not None
        inboxes.port = server.port
        yield inboxes
        inboxes.released.set()


class TestAppriseSink(EventSinkContract):
    plugin_class = AppriseSink

    @pytest.fixture
    def options(self, inboxes: Inboxes) -> dict[str, Any]:
        return {"urls": [inboxes.url("a"), inboxes.url("b", "xml")]}


class Kept(logging.Handler):
    """Records what reaches the root logger, as the daemon's own handler would write it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()}")


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Log everything, and yield the lines."""
    root, kept = logging.getLogger(), Kept()
    before = root.level
    root.addHandler(kept)
    root.setLevel(logging.DEBUG)
    yield kept.lines
    root.removeHandler(kept)
    root.setLevel(before)


class BrokenService(NotifyBase):
    """A service of the library with a defect."""

    service_name = "Broken"
    protocol = "brokentest"

    def send(self, **_: Any) -> bool:
        raise LookupError("hidden-password")

    @property
    def url_identifier(self) -> tuple[str, ...]:
        return (self.protocol,)

    def url(self, *_: Any, **__: Any) -> str:
        return "brokentest://localhost/"


async def refused(sink: AppriseSink, event: CloudEvent | None = None) -> DeliveryError:
    with pytest.raises(DeliveryError) as failure:
        await sink.deliver(event or example_event())
    return failure.value


async def test_message_says_what_people_need(build: Any, inboxes: Inboxes) -> None:
    async with build(AppriseSink, {"urls": [inboxes.url("a")]}) as sink:
        await sink.deliver(example_event())
    (got,) = map(json.loads, inboxes.of("a"))
    assert (got["title"], got["type"]) == ("demo: reserve low", "warning")
    assert got["message"].splitlines() == [
        "Mode: demo",
        "Status: low (before: none)",
        "Coverage: 80 %",
        "Shortfall: 9,999.75 USDT",
        "Reason: an example",
        "Incident: inc-1",
    ]


@pytest.mark.parametrize("schema", ["json", "xml", "form"])
async def test_every_service_is_told_when_there_are_several(build: Any, inboxes: Inboxes, schema: str) -> None:
    async with build(AppriseSink, {"urls": [inboxes.url("a"), inboxes.url("b", schema)]}) as sink:
        await sink.deliver(example_event())
    assert sorted(name for name, _ in inboxes.received) == ["a", "b"]
    assert "9,999.75" in inboxes.of("b")[0].replace("%2C", ",")


@pytest.mark.parametrize(
    ("status", "reason"),
    [(500, R.REJECTED), (401, R.REJECTED), (429, R.RATE_LIMITED), (302, R.REJECTED)],
)
async def test_delivery_may_be_tried_again_when_refused(
    build: Any, inboxes: Inboxes, status: int, reason: FailureReason
) -> None:
    inboxes.statuses["a"] = status
    async with build(AppriseSink, {"urls": [inboxes.url("a")]}) as sink:
        error = await refused(sink)
    assert (error.reason, error.retryable) == (reason, True)
    assert error.detail == f"urls[0] (JSON): HTTP {status}"


async def test_service_that_took_the_event_is_not_told_twice_when_another_failed(build: Any, inboxes: Inboxes) -> None:
    inboxes.statuses["b"] = 500
    async with build(AppriseSink, {"urls": [inboxes.url("a"), inboxes.url("b")]}) as sink:
        error = await refused(sink)
        assert error.detail == "urls[1] (JSON): HTTP 500"
        inboxes.statuses["b"] = 200
        await sink.deliver(example_event())
    assert (len(inboxes.of("a")), len(inboxes.of("b"))) == (1, 2)


async def test_service_is_told_again_when_all_had_taken_the_event(build: Any, inboxes: Inboxes) -> None:
    """The event was redelivered on request, as the daemon repeats no successful delivery."""
    async with build(AppriseSink, {"urls": [inboxes.url("a")]}) as sink:
        for _ in range(2):
            await sink.deliver(example_event())
    assert len(inboxes.of("a")) == 2


async def test_other_services_are_told_when_one_hangs(build: Any, inboxes: Inboxes) -> None:
    """The event loop is not blocked either: the receiving server runs in it."""
    inboxes.hanging.add("b")
    async with build(AppriseSink, {"urls": [inboxes.url("a"), inboxes.url("b")], "timeout": 4}) as sink:
        error = await refused(sink)
    assert (error.reason, error.retryable) == (R.TIMEOUT, True)
    assert error.detail == "urls[1] (JSON): no answer within 3.6 s"
    assert len(inboxes.of("a")) == 1


async def test_event_is_not_sent_again_when_it_was_taken_late(build: Any, inboxes: Inboxes) -> None:
    inboxes.hanging.add("a")
    async with build(AppriseSink, {"urls": [inboxes.url("a")], "timeout": 0.5}) as sink:
        await refused(sink)
        error = await refused(sink)
        assert (error.reason, error.detail) == (
            R.TIMEOUT,
            "urls[0] (JSON): a message from before is still on its way",
        )
        inboxes.released.set()
        while (await asyncio.gather(sink.deliver(example_event()), return_exceptions=True))[0] is not None:
            await asyncio.sleep(0.01)
    assert len(inboxes.of("a")) == 1


async def test_event_is_sent_again_when_it_was_refused_late(build: Any, inboxes: Inboxes) -> None:
    inboxes.hanging.add("a")
    inboxes.statuses["a"] = 503
    async with build(AppriseSink, {"urls": [inboxes.url("a")], "timeout": 0.5}) as sink:
        await refused(sink)
        sink.config = sink.config.model_copy(update={"timeout": 60.0})  # from here on the service answers
        inboxes.released.set()
        while "on its way" in (error := await refused(sink)).detail:
            await asyncio.sleep(0.01)
        assert error.detail == "urls[0] (JSON): HTTP 503"
    assert len(inboxes.of("a")) == 2


async def test_events_take_turns_when_several_come_at_once(build: Any, inboxes: Inboxes) -> None:
    async with build(AppriseSink, {"urls": [inboxes.url("a")]}) as sink:
        await asyncio.gather(*(sink.deliver(example_event(event_id=f"evt-{n}")) for n in range(5)))
    assert len(inboxes.of("a")) == 5


async def test_delivery_fails_without_a_secret_when_nobody_listens(build: Any) -> None:
    with kept_port() as port:
        url = f"json://ops:hidden-password@127.0.0.1:{port}/hidden-path"
        async with build(AppriseSink, {"urls": [url]}) as sink:
            error = await refused(sink)
    assert (error.reason, error.retryable) == (R.UNREACHABLE, True)
    assert error.detail == "urls[0] (JSON): no connection, or no answer on it"
    assert Redactor(sink.config)("hidden-password") == "**********"


async def test_delivery_fails_with_the_name_of_the_error_when_the_library_breaks(build: Any) -> None:
    NotificationManager().add(BrokenService, force=True)
    async with build(AppriseSink, {"urls": ["brokentest://localhost"]}) as sink:
        error = await refused(sink)
    assert (error.reason, error.retryable, error.detail) == (R.INTERNAL, True, "urls[0] (Broken): LookupError")


async def test_delivery_fails_when_the_sink_is_not_open(build: Any, inboxes: Inboxes) -> None:
    assert (await refused(build(AppriseSink, {"urls": [inboxes.url("a")]}))).reason is R.INTERNAL


async def test_nothing_is_logged_by_the_library(build: Any, inboxes: Inboxes, logged: list[str]) -> None:
    """Its log lines contain hosts, and at debug level URLs and tokens; those of its HTTP client contain paths."""
    inboxes.statuses["b"] = 500
    async with build(AppriseSink, {"urls": [inboxes.url("a"), inboxes.url("b")]}) as sink:
        await refused(sink)
    assert [line for line in logged if line.startswith(("apprise", "urllib3"))] == []


async def test_memory_of_what_was_taken_is_bounded(inboxes: Inboxes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reservd_apprise.service._MAX_TAKEN", 2)
    service = Service("urls[0]", inboxes.url("a"))
    service.open()
    message = write_message(example_event().data, "t", "b")
    for number in range(3):
        assert await service.send(f"evt-{number}", message) is None
    assert list(service._taken) == ["evt-1", "evt-2"]
    service.close()


def test_threads_are_none_until_something_is_sent(build: Any, inboxes: Inboxes) -> None:
    before = set(threading.enumerate())  # some of other tests may not have ended yet
    build(AppriseSink, {"urls": [inboxes.url("a")]})
    begun = set(threading.enumerate()) - before
    assert not [thread for thread in begun if thread.name.startswith("reservd-apprise")]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "failure"),
        ({"event_type": EventType.LOW}, "warning"),
        ({"event_type": EventType.UNKNOWN}, "warning"),
        ({"event_type": EventType.ADEQUATE}, "success"),
        ({"reminder": True}, "failure"),
        ({"superseded": True}, "info"),
        ({"superseded": True, "reminder": True}, "info"),
    ],
)
def test_type_follows_the_status(changes: dict[str, Any], expected: str) -> None:
    event = example_event(EventType.CRITICAL).data.model_copy(update=changes)
    assert write_message(event, "", "x").notify_type.value == expected


@pytest.mark.parametrize(
    ("changes", "template", "words"),
    [
        ({"reminder": True}, "{headline}", "demo: reserve low (reminder)"),
        ({"superseded": True}, "{headline}", "demo: reserve low (superseded)"),
        ({"utilization": Decimal("0.99999")}, "{coverage}", "99.99 %"),
        ({"utilization": Decimal("12.3456")}, "{coverage}", "1,234 %"),
        ({"utilization": Decimal("1e30")}, "{coverage}", f"100{',000' * 10} %"),
        ({"utilization": Decimal(0)}, "{coverage}", "0 %"),
        ({"utilization": None}, "{coverage}", "no target"),
        ({"utilization": None, "target_reserve": None}, "{coverage}", "unknown"),
        ({"reserve_balance": Decimal("-0.500")}, "{balance}", "-0.5 USDT"),
        ({"reserve_balance": Decimal("1E+6")}, "{balance}", "1,000,000 USDT"),
        ({"shortfall": None}, "{shortfall}", "unknown"),
        ({"reason": "a {mode} in braces"}, "{{{reason}}}", "{a {mode} in braces}"),
    ],
)
def test_template_says_what_the_event_says(changes: dict[str, Any], template: str, words: str) -> None:
    event = example_event().data.model_copy(update=changes)
    assert write_message(event, "", template).body == words


@pytest.mark.parametrize("name", FIELDS)
def test_field_is_never_empty_when_the_event_says_little(name: str) -> None:
    unknown = example_event(EventType.UNKNOWN).data
    bare = unknown.model_copy(update={"id": "", "currency": "", "reason": "", "incident_id": None})
    assert FIELDS[name](bare)


def test_every_field_is_documented() -> None:
    readme = Path(reservd.__file__).parents[2] / "plugins/reservd_apprise/README.md"
    table = readme.read_text().partition("| field |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `\{(\w+)\}`", table, flags=re.MULTILINE) == list(FIELDS)


@pytest.mark.parametrize("url", ["secret-thing", "slack://secret-thing", "foo://secret-thing/x", "json://", ""])
def test_url_is_refused_without_showing_it_when_apprise_does_not_take_it(
    build: Any, logged: list[str], url: str
) -> None:
    with pytest.raises(ValidationError, match="must be the complete URL of a service") as failure:
        build(AppriseSink, {"urls": ["json://127.0.0.1/", url]})
    assert "urls.1" in str(failure.value)
    assert "secret-thing" not in f"{failure.value}{logged}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"urls": []}, "urls"),
        ({"urls": ["json://127.0.0.1/"] * 21}, "urls"),
        ({"title": "{moed}"}, r"must hold no braces but {headline}, {mode}, "),
        ({"title": "{mode.__class__}"}, "must hold no braces but"),
        ({"title": "{mode[0]}"}, "must hold no braces but"),
        ({"title": "{mode!r}"}, "must hold no braces but"),
        ({"title": "{mode:>900000000}"}, "must hold no braces but"),
        ({"title": "{}"}, "must hold no braces but"),
        ({"body": "{mode"}, "must have its braces in pairs"),
        ({"body": " \n"}, "body"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_config_is_refused_with_the_rule_it_breaks(build: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(AppriseSink, {"urls": ["json://127.0.0.1/"], **changes})


def test_urls_are_never_shown(build: Any) -> None:
    sink = build(AppriseSink, {"urls": ["json://${KEY}@127.0.0.1/"]}, environ={"KEY": "hidden"})
    assert "hidden" not in repr(sink.config)
