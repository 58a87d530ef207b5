"""Alerts in a real Alertmanager, and in receivers that imitate one that misbehaves."""

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from pydantic import ValidationError

import reservd
from reservd.plugin import CloudEvent, DeliveryError, EventType, FailureReason, ReserveStatus
from reservd.plugin.examples import example_event
from reservd.plugin.http import HttpClient
from reservd.plugin.testing import EventSinkContract
from reservd_alertmanager.alerts import AlertName
from reservd_alertmanager.board import AlertKey
from reservd_alertmanager.peer import Peer
from reservd_alertmanager.sink import AlertmanagerSink
from support.alertmanager import Alertmanager, require_amtool
from support.polling import until
from support.ports import kept_port

R = FailureReason
README = Path(reservd.__file__).parents[2] / "plugins" / "reservd_alertmanager" / "README.md"
OFTEN = {"resend": 0.1}
STORY = {"low": "adequate", "critical": "low", "unknown": "low", "adequate": "low"}


@pytest.fixture(scope="module")
def quiet_alertmanager() -> Iterator[Alertmanager]:
    """An Alertmanager whose notifications are not received, for tests of its API alone."""
    with Alertmanager("http://127.0.0.1:1/") as running:
        yield running


@pytest.fixture
def alertmanager(receiver: Any) -> Iterator[Alertmanager]:
    """An Alertmanager that notifies `receiver`."""
    with Alertmanager(receiver.url) as running:
        yield running


@pytest.fixture
def nobody() -> Iterator[str]:
    """A URL without a server."""
    with kept_port() as port:
        yield f"http://127.0.0.1:{port}/?key=hidden-key"


class TestAlertmanagerSink(EventSinkContract):
    plugin_class = AlertmanagerSink

    @pytest.fixture
    def options(self, quiet_alertmanager: Alertmanager) -> dict[str, Any]:
        return {"urls": [quiet_alertmanager.url]}


def event_of(kind: str, sequence: int = 1, mode: str = "demo", *, previous: str = "", **changes: Any) -> CloudEvent:
    """Return an event of this kind, after the status that usually precedes it."""
    event = example_event(EventType(f"reserve_{kind}"), f"evt-{mode}-{sequence}")
    usual: dict[str, Any] = {
        "strategy_mode": mode,
        "sequence": sequence,
        "previous_status": ReserveStatus(previous or STORY[kind]),
    }
    data = event.data.model_copy(update=usual | changes)
    return event.model_copy(update={"data": data, "subject": mode, "sequence": str(sequence), "time": data.timestamp})


def posted(receiver: Any) -> list[dict[str, Any]]:
    """Return the alerts of all POSTs to a receiver that imitates an Alertmanager, in order."""
    return [alert for request in receiver.requests for alert in json.loads(request.body)]


def heard(receiver: Any) -> set[tuple[str, str]]:
    """Return what Alertmanager has notified so far: (firing or resolved, alert)."""
    notified = [alert for request in receiver.requests for alert in json.loads(request.body)["alerts"]]
    return {(alert["status"], alert["labels"]["alertname"]) for alert in notified}


def resolved(alert: dict[str, Any]) -> bool:
    return datetime.fromisoformat(alert["endsAt"]) <= datetime.now(UTC)


def documented(block: str, beginning: str) -> str:
    """Return the block of the README that begins with this text."""
    found = re.search(rf"```{block}\n({beginning}.*?)```", README.read_text(), flags=re.DOTALL)
    assert found is not None
    return found[1]


async def failure_of(sink: AlertmanagerSink, event: CloudEvent) -> DeliveryError:
    with pytest.raises(DeliveryError) as failure:
        await sink.deliver(event)
    for hidden in ("hidden-key", "http://"):
        assert hidden not in repr(failure.value)
        assert hidden not in str(failure.value)
    return failure.value


async def test_alert_shows_what_the_event_says(build: Any, quiet_alertmanager: Alertmanager) -> None:
    options = {
        "urls": [quiet_alertmanager.url],
        "labels": {"team": "treasury"},
        "generator_url": "https://reservd.example.com/",
    }
    started = datetime.now(UTC)
    async with build(AlertmanagerSink, options) as sink:
        await sink.deliver(event_of("low", mode="shown"))
        (alert,) = (alert for alert in quiet_alertmanager.alerts() if alert["labels"]["mode"] == "shown")
    assert alert["labels"] == {
        "alertname": "ReserveLow",
        "mode": "shown",
        "share_class": "USDT",
        "severity": "warning",
        "team": "treasury",
    }
    assert alert["annotations"] == {
        "summary": "Reserve of shown is low",
        "description": "an example",
        "incident_id": "inc-1",
        "reserve_balance": "40000.25",
        "target_reserve": "50000",
        "utilization": "0.800005",
        "shortfall": "9999.75",
        "total_equity": "1000000",
    }
    assert alert["generatorURL"] == "https://reservd.example.com/"
    assert abs(datetime.fromisoformat(alert["startsAt"]) - started) < timedelta(minutes=1)
    assert abs(datetime.fromisoformat(alert["endsAt"]) - started - timedelta(hours=4)) < timedelta(minutes=1)


async def test_receivers_hear_of_a_low_reserve_and_of_its_recovery(
    build: Any, alertmanager: Alertmanager, receiver: Any
) -> None:
    async with build(AlertmanagerSink, {"urls": [alertmanager.url]}) as sink:
        await sink.deliver(event_of("low", 1))
        await until(lambda: ("firing", "ReserveLow") in heard(receiver), "the notification of low")
        await sink.deliver(event_of("adequate", 2))
        await until(lambda: ("resolved", "ReserveLow") in heard(receiver), "the notification of the recovery")
        assert alertmanager.firing() == []
    assert heard(receiver) == {("firing", "ReserveLow"), ("resolved", "ReserveLow")}


async def test_one_severity_fires_at_a_time_and_unknown_ends_none(
    build: Any, alertmanager: Alertmanager, receiver: Any
) -> None:
    async with build(AlertmanagerSink, {"urls": [alertmanager.url]}) as sink:

        async def check(sequence: int, kind: str, previous: str, *firing: str) -> None:
            await sink.deliver(event_of(kind, sequence, previous=previous))
            await until(lambda: alertmanager.firing() == list(firing), f"{firing}, got {alertmanager.firing()}")

        await check(1, "low", "adequate", "ReserveLow")
        await until(lambda: ("firing", "ReserveLow") in heard(receiver), "the notification of low")
        await check(2, "critical", "low", "ReserveCritical")
        await check(3, "unknown", "critical", "ReserveCritical", "ReserveUnknown")
        await check(4, "critical", "unknown", "ReserveCritical")
        await check(5, "low", "critical", "ReserveLow")
        await check(6, "unknown", "low", "ReserveLow", "ReserveUnknown")
        await until(lambda: ("firing", "ReserveUnknown") in heard(receiver), "the notification of unknown")
        await check(7, "adequate", "unknown")
        both = {("resolved", "ReserveLow"), ("resolved", "ReserveUnknown")}
        await until(lambda: both <= heard(receiver), "the notification of the recovery")


async def test_receivers_hear_that_low_is_over_when_critical_inhibited_it(build: Any, receiver: Any) -> None:
    """Alertmanager notifies nothing that is inhibited, not even its end: a page would stay open forever."""
    rules = yaml.safe_load(documented("yaml", "route:"))["inhibit_rules"]
    with Alertmanager(receiver.url, inhibit_rules=rules) as alertmanager:
        options = {"urls": [alertmanager.url], **OFTEN, "resolved_for": 30}
        async with build(AlertmanagerSink, options) as sink:
            await sink.deliver(event_of("low", 1))
            await until(lambda: ("firing", "ReserveLow") in heard(receiver), "the notification of low")
            await sink.deliver(event_of("critical", 2))
            await until(lambda: ("firing", "ReserveCritical") in heard(receiver), "the notification of critical")
            await sink.deliver(event_of("adequate", 3))
            both = {("resolved", "ReserveLow"), ("resolved", "ReserveCritical")}
            await until(lambda: both <= heard(receiver), "both notifications")


async def test_alert_is_there_again_when_alertmanager_has_lost_it(
    build: Any, alertmanager: Alertmanager, receiver: Any
) -> None:
    async with build(AlertmanagerSink, {"urls": [alertmanager.url], **OFTEN}) as sink:
        await sink.deliver(event_of("critical"))
        (before,) = alertmanager.alerts()
        alertmanager.stop()
        receiver.requests.clear()
        alertmanager.start()
        await until(lambda: alertmanager.firing() == ["ReserveCritical"], "the alert to fire again")
        await until(lambda: ("firing", "ReserveCritical") in heard(receiver), "the notification to be repeated")
    (again,) = alertmanager.alerts()
    assert again["startsAt"] == before["startsAt"]


async def test_alert_goes_on_when_the_daemon_is_gone(build: Any, quiet_alertmanager: Alertmanager) -> None:
    """Missing data never resolves an alert, nor does a daemon that died."""
    async with build(AlertmanagerSink, {"urls": [quiet_alertmanager.url]}) as sink:
        await sink.deliver(event_of("low", mode="orphan"))
    (alert,) = (alert for alert in quiet_alertmanager.alerts() if alert["labels"]["mode"] == "orphan")
    assert alert["status"]["state"] in {"active", "unprocessed"}


async def test_event_is_taken_when_one_of_the_peers_takes_it(
    build: Any, quiet_alertmanager: Alertmanager, nobody: str
) -> None:
    for urls in ([nobody, quiet_alertmanager.url], [quiet_alertmanager.url, nobody]):
        async with build(AlertmanagerSink, {"urls": urls}) as sink:
            await sink.deliver(event_of("low"))


async def test_event_is_taken_at_once_when_a_peer_hangs(
    build: Any, quiet_alertmanager: Alertmanager, receiver: Any
) -> None:
    """The timeout of a delivery applies to each peer, and the delivery need not wait for the slowest."""
    receiver.behaviour = "hang"
    async with build(AlertmanagerSink, {"urls": [receiver.url, quiet_alertmanager.url], "timeout": 3600}) as sink:
        await sink.deliver(event_of("low"))
        await sink.deliver(event_of("critical", 2))


async def test_lost_resolve_is_sent_again_when_the_peer_is_back(
    build: Any, quiet_alertmanager: Alertmanager, receiver: Any
) -> None:
    options = {"urls": [quiet_alertmanager.url, receiver.url], **OFTEN, "resolved_for": 0.001}
    async with build(AlertmanagerSink, options) as sink:
        await sink.deliver(event_of("low", 1))
        await until(lambda: bool(receiver.requests), "the alert to arrive")
        receiver.says("", 503)
        await sink.deliver(event_of("adequate", 2))
        missed = len(receiver.requests)
        await until(lambda: len(receiver.requests) >= missed + 3, "the resolve to be tried again")
        receiver.requests.clear()
        receiver.says("")
        await until(lambda: bool(receiver.requests), "the resolve to be accepted")
        assert {(alert["labels"]["alertname"], resolved(alert)) for alert in posted(receiver)} == {("ReserveLow", True)}


async def test_resolve_is_sent_again_for_a_while_and_then_no_more(build: Any, receiver: Any) -> None:
    async with build(AlertmanagerSink, {"urls": [receiver.url], "resend": 0.02}) as sink:
        await sink.deliver(event_of("low", 1))
        await sink.deliver(event_of("adequate", 2))
        await until(lambda: sum(map(resolved, posted(receiver))) > 3, "the resolve to be repeated")
        assert len({alert["endsAt"] for alert in posted(receiver) if resolved(alert)}) == 1
        sink.config = sink.config.model_copy(update={"resolved_for": 0.001})  # from here on the while is over
        await until(lambda: sink._board.kept() == [], "the resolve to be forgotten")
        receiver.requests.clear()
        await sink.deliver(event_of("low", 1, "other"))
        await until(lambda: len(receiver.requests) >= 3, "the other alert to be repeated")
    assert {alert["labels"]["mode"] for alert in posted(receiver)} == {"other"}


async def test_delivery_may_be_tried_again_when_no_peer_is_there(build: Any, nobody: str, receiver: Any) -> None:
    receiver.says("", 503, Retry_After="30")
    async with build(AlertmanagerSink, {"urls": [receiver.url, nobody]}) as sink:
        error = await failure_of(sink, event_of("low"))
    assert (error.retryable, error.retry_after_seconds) == (True, None)
    assert sorted(error.detail.split("; ")) == ["HTTP 503", "connection refused"]


@pytest.mark.parametrize(
    ("status", "reason", "retryable", "after"),
    [
        (400, R.REJECTED, False, None),
        (401, R.REJECTED, True, None),
        (302, R.REJECTED, False, None),
        (429, R.RATE_LIMITED, True, 30),
        (503, R.REJECTED, True, 30),
    ],
)
async def test_delivery_fails_with_its_reason_when_every_peer_refuses(
    build: Any, receiver: Any, status: int, reason: R, retryable: bool, after: float | None
) -> None:
    receiver.says("", status, **({"Retry_After": str(after)} if after else {}))
    async with build(AlertmanagerSink, {"urls": [receiver.url, receiver.url]}) as sink:
        error = await failure_of(sink, event_of("low"))
    assert (error.reason, error.retryable, error.retry_after_seconds) == (reason, retryable, after)
    assert error.detail == f"HTTP {status}; HTTP {status}"


async def test_event_is_taken_by_a_2xx_however_long_the_answer_is(build: Any, receiver: Any) -> None:
    receiver.says(b"x" * 100_000)
    async with build(AlertmanagerSink, {"urls": [receiver.url]}) as sink:
        await sink.deliver(example_event())
    assert posted(receiver)


async def test_delivery_times_out_when_the_only_peer_hangs(build: Any, receiver: Any) -> None:
    receiver.behaviour = "hang"
    async with build(AlertmanagerSink, {"urls": [receiver.url], "timeout": 0.1}) as sink:
        error = await failure_of(sink, event_of("low"))
    assert (error.reason, error.retryable) == (R.TIMEOUT, True)


async def test_alert_comes_when_the_peer_is_back_though_its_delivery_failed(build: Any, receiver: Any) -> None:
    """Also if the delivery has become a dead letter."""
    receiver.says("", 400)
    async with build(AlertmanagerSink, {"urls": [receiver.url], **OFTEN}) as sink:
        await failure_of(sink, event_of("critical"))
        receiver.requests.clear()
        receiver.says("")
        await until(lambda: bool(receiver.requests), "the alert to arrive")
    assert posted(receiver)[0]["labels"]["alertname"] == "ReserveCritical"


async def test_failing_peer_is_logged_once_and_its_recovery_too(build: Any, receiver: Any) -> None:
    receiver.says("", 503)
    with structlog.testing.capture_logs() as lines:
        async with build(AlertmanagerSink, {"urls": [receiver.url], **OFTEN}, name="pager") as sink:
            await failure_of(sink, event_of("low"))
            await until(lambda: len(receiver.requests) >= 4, "another attempt")
            receiver.says("")
            await until(lambda: len(lines) > 1, "the peer to work again")
    assert lines == [
        {"event": "alertmanager.failed", "peer": "pager 1", "reason": "rejected", "detail": "HTTP 503"}
        | {"log_level": "warning"},
        {"event": "alertmanager.recovered", "peer": "pager 1", "log_level": "info"},
    ]


async def test_old_event_does_not_bring_back_an_old_state(build: Any, quiet_alertmanager: Alertmanager) -> None:
    async with build(AlertmanagerSink, {"urls": [quiet_alertmanager.url], **OFTEN}) as sink:
        await sink.deliver(event_of("low", 1, "redelivered"))
        await sink.deliver(event_of("adequate", 2, "redelivered"))
        await sink.deliver(event_of("low", 1, "redelivered"))
        await until(
            lambda: "redelivered" not in {alert["labels"]["mode"] for alert in quiet_alertmanager.alerts()},
            "the alert to be resolved",
        )


async def test_alerts_of_an_old_state_never_come_after_those_of_a_new_one(build: Any, receiver: Any) -> None:
    """Deliveries and repetitions to a peer are sent one after the other."""
    async with build(AlertmanagerSink, {"urls": [receiver.url], "resend": 0.001}) as sink:
        for sequence in range(1, 101):
            await sink.deliver(event_of("low" if sequence % 2 else "adequate", sequence))
            last = json.loads(receiver.requests[-1].body)
            assert {resolved(alert) for alert in last} == {sequence % 2 == 0}


async def test_start_lets_open_incidents_fire_and_resolves_what_has_just_ended(
    build: Any, quiet_alertmanager: Alertmanager, receiver: Any
) -> None:
    """The daemon before this one let two alerts fire, and stopped before one was resolved."""
    before = datetime.now(UTC) - timedelta(minutes=1)
    async with build(AlertmanagerSink, {"urls": [quiet_alertmanager.url]}) as sink:
        for mode in ("open", "over"):
            await sink.deliver(event_of("low", 1, mode, timestamp=before))
    latest = [event_of("low", 2, "open", previous="low", reminder=True), event_of("adequate", 2, "over")]
    latest.append(event_of("adequate", 9, "long_over", timestamp=datetime.now(UTC) - timedelta(days=1)))
    async with build(AlertmanagerSink, {"urls": [receiver.url, quiet_alertmanager.url], **OFTEN}) as sink:
        await sink.resume(latest)
        await until(lambda: len(receiver.requests) >= 3, "the alerts to be repeated")
        await until(
            lambda: {alert["labels"]["mode"] for alert in quiet_alertmanager.alerts()} & {"open", "over"} == {"open"},
            "one to fire, the other to be resolved",
        )
        await sink.deliver(event_of("low", 1, "over", timestamp=before))
    assert {(alert["labels"]["mode"], resolved(alert)) for alert in posted(receiver)} == {
        ("open", False),
        ("over", True),
    }
    (alert,) = (alert for alert in quiet_alertmanager.alerts() if alert["labels"]["mode"] == "open")
    assert abs(datetime.fromisoformat(alert["startsAt"]) - before) < timedelta(seconds=1), "it has begun before"


async def test_start_fails_and_goes_on_in_the_background_when_no_peer_is_there(build: Any, receiver: Any) -> None:
    receiver.says("", 503)
    async with build(AlertmanagerSink, {"urls": [receiver.url], **OFTEN}) as sink:
        with pytest.raises(DeliveryError):
            await sink.resume([event_of("low")])
        receiver.requests.clear()
        receiver.says("")
        await until(lambda: bool(receiver.requests), "the alert to arrive")


async def test_start_asks_nothing_when_there_is_nothing_to_tell(build: Any, receiver: Any) -> None:
    async with build(AlertmanagerSink, {"urls": [receiver.url]}) as sink:
        await sink.resume([])
        await sink.deliver(event_of("adequate", previous="adequate"))
    assert receiver.requests == []


async def test_sending_goes_on_when_one_round_breaks(receiver: Any) -> None:
    """A defect costs one round of repetitions, not all later ones."""
    defects: list[Exception] = [KeyError("labels")]

    def body_of(key: AlertKey) -> dict[str, str]:
        if defects:
            raise defects.pop()
        return {"mode": key.mode}

    async with HttpClient(timeout_seconds=5) as client:
        peer = Peer("pager 1", client, receiver.url, body_of)
        sending = asyncio.create_task(peer.run())
        failure = await peer.submit([AlertKey("demo", AlertName.LOW)])
        assert failure is not None
        assert (failure.reason, failure.detail) == (R.INTERNAL, "KeyError")
        assert await peer.submit([]) is None
        sending.cancel()
    assert posted(receiver) == [{"mode": "demo"}]


async def test_many_modes_share_posts_of_bounded_size(build: Any, receiver: Any) -> None:
    modes = [f"mode_{number}" for number in range(600)]
    async with build(AlertmanagerSink, {"urls": [receiver.url]}) as sink:
        await asyncio.gather(*(sink.deliver(event_of("low", mode=mode)) for mode in modes))
    sizes = [len(json.loads(request.body)) for request in receiver.requests]
    assert len(sizes) < 10
    assert max(sizes) == 256
    assert {alert["labels"]["mode"] for alert in posted(receiver)} == set(modes)


async def test_nothing_is_sent_any_more_when_the_sink_is_closed(build: Any, receiver: Any) -> None:
    sink = build(AlertmanagerSink, {"urls": [receiver.url], "resend": 0.01})
    async with sink:
        await sink.deliver(event_of("low"))
        tasks = list(sink._tasks)
    assert all(task.done() for task in tasks)
    with pytest.raises(DeliveryError, match="not open") as failure:
        await sink.deliver(event_of("critical", 2))
    assert failure.value.reason is R.INTERNAL
    receiver.requests.clear()
    async with sink:
        await until(
            lambda: {alert["labels"]["alertname"] for alert in posted(receiver)} == {"ReserveLow", "ReserveCritical"},
            "what was received meanwhile to be sent",
        )
    assert {alert["labels"]["alertname"]: resolved(alert) for alert in posted(receiver)} == {
        "ReserveLow": True,
        "ReserveCritical": False,
    }


async def test_delivery_ends_when_the_sink_is_closed_meanwhile(build: Any, receiver: Any) -> None:
    receiver.behaviour = "hang"
    sink = build(AlertmanagerSink, {"urls": [receiver.url]})
    async with sink:
        waiting = [asyncio.create_task(sink.deliver(event_of("low")))]
        await receiver.arrived.wait()
        waiting.append(asyncio.create_task(sink.deliver(event_of("critical", 2))))
        await asyncio.sleep(0)
    for failure in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(failure, DeliveryError)
        assert failure.retryable


async def test_alerts_go_behind_the_route_prefix_with_headers(build: Any, receiver: Any) -> None:
    options = {"urls": [f"{receiver.base}/am/?key=hidden-key"], "headers": {"X-Gateway": "${PASS}"}}
    async with build(AlertmanagerSink, options, {"PASS": "pass"}) as sink:
        await sink.deliver(event_of("low"))
    (request,) = receiver.requests
    assert (request.method, request.path) == ("POST", "/am/api/v2/alerts?key=hidden-key")
    assert (request.headers["Content-Type"], request.headers["X-Gateway"]) == ("application/json", "pass")


async def test_alertmanager_takes_alerts_behind_its_route_prefix(build: Any) -> None:
    with Alertmanager("http://127.0.0.1:1/", route_prefix="/alerts") as alertmanager:
        async with build(AlertmanagerSink, {"urls": [f"{alertmanager.url}/"]}) as sink:
            await sink.deliver(event_of("low"))
        assert alertmanager.firing() == ["ReserveLow"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"urls": []}, "at least 1 item"),
        ({"urls": ["http://a.example"] * 11}, "at most 10 items"),
        ({"urls": ["ftp://a.example"]}, "must be an http:// or https:// URL"),
        ({"labels": {"mode": "x"}}, "must not be mode: the sink sets that itself"),
        ({"labels": {"my-team": "x"}}, "should match pattern"),
        ({"labels": {"team": ""}}, "at least 1 character"),
        ({"generator_url": "status"}, "valid URL"),
        ({"expires": 100}, r"must be at least twice resend \(60 s\)"),
        ({"resend": 0}, "greater than 0"),
        ({"resolved_for": -1}, "greater than 0"),
    ],
)
def test_config_is_refused_when_it_cannot_work(build: Any, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        build(AlertmanagerSink, {"urls": ["http://a.example"], **changes})


async def test_documented_message_is_the_one_that_is_sent(build: Any, receiver: Any) -> None:
    head, _, body = documented("http", "POST ").partition("\n\n")
    options = {
        "urls": [receiver.base],
        "labels": {"team": "treasury"},
        "generator_url": "https://reservd.example.com/",
    }
    async with build(AlertmanagerSink, options) as sink:
        await sink.deliver(event_of("low"))
    (request,) = receiver.requests
    assert head.splitlines()[0] == f"{request.method} {request.path} HTTP/1.1"
    (sent,), (shown,) = json.loads(request.body), json.loads(body)
    assert list(sent) == list(shown)
    for part in ("labels", "annotations"):
        assert list(sent[part]) == list(shown[part])


def test_documented_configuration_is_one_that_alertmanager_takes(tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yaml").write_text(documented("yaml", "route:"))
    checked = subprocess.run(
        [require_amtool(), "check-config", tmp_path / "alertmanager.yaml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
