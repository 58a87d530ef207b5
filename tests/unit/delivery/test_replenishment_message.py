"""Messages about requests for refills match their published schema, and have a source and a sequence of their own."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from importlib.resources import files

from jsonschema import Draft202012Validator

from reservd.delivery.envelope import wrap, wrap_change
from reservd.delivery.event_schema import REPLENISHMENT_TYPE, message_schema
from reservd.delivery.scope import SinkScope
from reservd.plugin.examples import example_event, example_request
from reservd.reserve.models import EventType, ReserveStatus
from reservd.reserve.replenishment import Urgency
from reservd.reserve.replenishment.event import ReplenishmentEvent, tell_change
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState


def example_change(urgency: Urgency = Urgency.FAST) -> ReplenishmentEvent:
    now = datetime.now(UTC)
    request = example_request().model_copy(update={"urgency": urgency})
    record = Replenishment(request=request, changed_at=now, deadline=now, arrived=Decimal("0.5"))
    return tell_change(record, None, "evt-7", 3)


def test_message_fits_its_published_schema() -> None:
    text = files("reservd.delivery").joinpath("schemas", f"{REPLENISHMENT_TYPE}.json").read_text()
    schema = Draft202012Validator(json.loads(text))
    sent = json.loads(wrap_change(example_change()).to_json())
    schema.validate(sent)
    assert (sent["type"], sent["data"]["arrived"]) == (REPLENISHMENT_TYPE, "0.5")
    assert "epoch" not in sent, "no owner, no epoch"
    sent = json.loads(wrap_change(example_change(), 3).to_json())
    schema.validate(sent)
    assert sent["epoch"] == 3
    schema_of_all = Draft202012Validator(message_schema())
    schema_of_all.validate(sent)
    assert not schema_of_all.is_valid(sent | {"source": "/reservd/modes/demo"})
    assert not schema_of_all.is_valid(sent | {"type": "reservd.reserve_low.v1"})


def test_message_has_another_source_than_the_modes_reserve_events() -> None:
    change, event = wrap_change(example_change()), wrap(example_event().data)
    assert change.source == "/reservd/modes/demo/replenishments"
    assert event.source == "/reservd/modes/demo"
    assert (change.subject, change.sequence) == (event.subject, "3")


def test_sink_hears_of_changes_as_its_scope_says() -> None:
    fast, emergency = example_change(), example_change(Urgency.EMERGENCY)
    assert not SinkScope().wants_change(fast), "it does not support them"
    assert SinkScope(replenishments=True).wants_change(fast)
    assert not SinkScope(modes=("other",), replenishments=True).wants_change(fast)
    assert not SinkScope(events=frozenset({EventType.LOW}), replenishments=True).wants_change(emergency)
    severe = SinkScope(minimum_severity=ReserveStatus.CRITICAL, replenishments=True)
    assert (severe.wants_change(fast), severe.wants_change(emergency)) == (False, True)
    assert ReplenishmentState.REQUESTED is fast.state
