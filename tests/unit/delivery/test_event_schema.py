"""The published JSON Schemas match the messages that are sent, which are valid CloudEvents for other libraries too."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from reservd.delivery.envelope import wrap
from reservd.delivery.event_schema import (
    REPLENISHMENT_TYPE,
    event_schema,
    message_schema,
    message_type,
    replenishment_schema,
)
from reservd.plugin import CloudEvent
from reservd.plugin.examples import example_event
from reservd.reserve.amounts import MAX_MAGNITUDE
from reservd.reserve.models import EventType, ReserveEvent, ReserveStatus
from support.reserve import DEBT_NOT_READ, NOT_READ, Watched

PUBLISHED = {
    path.name: json.loads(path.read_text()) for path in files("reservd.delivery").joinpath("schemas").iterdir()
}
AMOUNTS = ["reserve_balance", "target_reserve", "utilization", "total_equity", "shortfall"]

moments = FormatChecker(formats=())


@moments.checks("date-time", raises=ValueError)
def is_moment(value: object) -> bool:
    """Whether it is a time according to RFC 3339, which the package itself does not check."""
    return not isinstance(value, str) or (value[10] == "T" and datetime.fromisoformat(value).tzinfo is not None)


def published(kind: EventType) -> Draft202012Validator:
    return Draft202012Validator(PUBLISHED[f"{message_type(kind)}.json"], format_checker=moments)


def parse(event: ReserveEvent) -> Any:
    """Return the message as a consumer reads it."""
    return json.loads(wrap(event).to_json())


def test_published_schemas_are_what_the_code_generates() -> None:
    """`make schemas` writes them."""
    generated = {f"{message_type(kind)}.json": event_schema(kind) for kind in EventType}
    assert generated | {f"{REPLENISHMENT_TYPE}.json": replenishment_schema()} == PUBLISHED


@pytest.mark.parametrize("schema", [message_schema(), *map(event_schema, EventType)], ids=lambda each: each["title"])
def test_schema_is_one(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("kind", EventType)
def test_schema_explains_every_field_and_knows_every_field_that_is_sent(kind: EventType) -> None:
    schema = event_schema(kind)
    envelope, data = schema["properties"], schema["$defs"]["ReserveEvent"]["properties"]
    sent = json.loads(wrap(example_event(kind).data, epoch=3).to_json())
    assert list(envelope) == list(sent)
    assert list(data) == list(sent["data"])
    named_by_cloudevents = {"specversion", "time", "datacontenttype", "data"}
    unexplained = {name for part in (envelope, data) for name, each in part.items() if "description" not in each}
    assert unexplained <= named_by_cloudevents


@pytest.mark.parametrize("kind", EventType)
def test_example_is_good_for_its_own_schema_and_for_no_other(kind: EventType) -> None:
    message = json.loads(example_event(kind).to_json())
    assert [each for each in EventType if published(each).is_valid(message)] == [kind]
    jsonschema.validate(message, message_schema(), Draft202012Validator)


@pytest.mark.parametrize("field", AMOUNTS)
@pytest.mark.parametrize("value", [40000.25, 40000, "4E+4", "4e4", "NaN", "Infinity", "", ".5", "5.", "+5", "1,000"])
def test_schema_takes_no_amount_but_a_plain_decimal_string(field: str, value: object) -> None:
    message = json.loads(example_event().to_json())
    assert published(EventType.LOW).is_valid(message)
    message["data"][field] = value
    assert not published(EventType.LOW).is_valid(message)


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"type": "reservd.reserve_low.v2"},
        {"source": "/elsewhere"},
        {"sequence": 7},
        {"sequence": "seven"},
        {"time": "2026-03-01 12:00"},
        {"time": "2026-03-01T12:00:00"},
        {"specversion": "0.3"},
        {"subject": None},
    ],
)
def test_schema_refuses_an_envelope_that_is_never_sent(change: dict[str, object]) -> None:
    message = json.loads(example_event().to_json())
    assert not published(EventType.LOW).is_valid(message | change)


def test_schema_takes_fields_that_it_does_not_know() -> None:
    """A consumer that validates must accept what a later reservd adds."""
    message = json.loads(example_event().to_json())
    assert published(EventType.LOW).is_valid(message | {"dataschema": "x", "data": message["data"] | {"new": 1}})


amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**59), max_value=10**59, places=None) | (
    st.builds(lambda digits, exponent: Decimal(digits).scaleb(exponent), st.integers(-9, 9), st.integers(-60, 59))
)
times = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # as the strategy wants them


@st.composite
def reserve_events(draw: st.DrawFn) -> ReserveEvent:
    """Any possible event."""
    status = draw(st.sampled_from(ReserveStatus))
    return ReserveEvent(
        event_type=EventType.of(status),
        strategy_mode=draw(st.text(min_size=1, alphabet="abc_-.9")),
        timestamp=draw(times),
        id=draw(st.uuids().map(str)),
        sequence=draw(st.integers(0, 2**53)),
        incident_id=draw(st.none() | st.uuids().map(str)),
        status=status,
        previous_status=draw(st.none() | st.sampled_from(ReserveStatus)),
        currency="USDT",
        observed_at=draw(st.none() | times),
        reason=draw(st.text(max_size=20)),
        reminder=draw(st.booleans()),
        superseded=draw(st.booleans()),
        **{name: draw(st.none() | amounts) for name in AMOUNTS},  # type: ignore[arg-type]
    )


@given(reserve_events())
def test_any_event_is_good_and_reads_back_as_it_was(event: ReserveEvent) -> None:
    message = parse(event)
    published(event.event_type).validate(message)
    assert CloudEvent.model_validate(message).data == event


Look = tuple[str, object, tuple[Any, ...], int]
"""An amount, the equity, what else is missing, and the seconds since the last check."""

looks: st.SearchStrategy[Look] = st.tuples(
    st.sampled_from(["110", "101.5", "74", "49", "0", "-5", f"1E{MAX_MAGNITUDE - 1}", "0.000000000000000001"]),
    st.sampled_from([None, 0, 1000, "1E+5", -10]),
    st.sampled_from([(), (NOT_READ,), (DEBT_NOT_READ,)]),
    st.sampled_from([1, 30, 400]),
)


@given(st.lists(looks, max_size=15))
def test_whatever_a_mode_goes_through_its_events_are_good(history: list[Look]) -> None:
    mode = Watched()
    for amount, equity, missing, after in history:
        mode.look(Decimal(amount), equity=equity, missing=missing, after=after)
    for event in mode.events:
        published(event.event_type).validate(parse(event))


def test_documented_message_is_good_and_has_what_is_sent() -> None:
    text = files("reservd.delivery").joinpath("README.md").read_text()
    shown = json.loads(text.partition("```json\n")[2].partition("```")[0])
    published(EventType.LOW).validate(shown)
    sent = json.loads(wrap(example_event().data, epoch=3).to_json())
    assert (list(shown), list(shown["data"])) == (list(sent), list(sent["data"]))


@pytest.mark.parametrize("kind", EventType)
def test_message_is_a_cloudevent_to_the_reference_sdk(kind: EventType) -> None:
    event = example_event(kind).data.model_copy(update={"sequence": 7})
    body = wrap(event).to_json()
    read = JSONFormat().read(None, body)
    assert read.get_specversion() == "1.0"
    assert read.get_id() == event.id
    assert read.get_source() == "/reservd/modes/demo"
    assert read.get_type() == f"reservd.{kind}.v1"
    assert read.get_subject() == "demo"
    assert read.get_time() == event.timestamp
    assert read.get_datacontenttype() == "application/json"
    assert read.get_extension("sequence") == "7"
    assert ReserveEvent.model_validate(read.get_data()) == event


def test_message_is_structured_json_to_the_http_binding_of_the_reference_sdk() -> None:
    sent = HTTPMessage({"content-type": "application/cloudevents+json"}, example_event().to_json())
    read = from_http(sent, JSONFormat())
    assert read.get_extension("sequence") == "1"
    assert read.get_data() == json.loads(sent.body)["data"]
    # The SDK writes the same message.
    assert json.loads(JSONFormat().write(read)) == json.loads(sent.body)
