"""Pending writes are bounded, keep related records together, and are split into short transactions."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservd.delivery import batch as batches
from reservd.delivery.batch import Batch, Decided
from reservd.plugin.examples import example_event, example_request
from reservd.reserve.kept import KeptState, keep
from reservd.reserve.models import EventType, ReserveStatus
from reservd.reserve.replenishment.event import ReplenishmentChange, tell_change
from reservd.reserve.replenishment.states import Replenishment
from reservd.reserve.state import Instant
from reservd.store.history import KeptSnapshot
from reservd.store.outbox import OutboxEvent, Outcome
from reservd.wire.events import DeliveryState
from support.decisions import decided
from support.reserve import make_policy, make_snapshot

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


STATE = keep(decided(1)[0].step.state, Instant(NOW, 0.0))


def state(sequence: int) -> KeptState:
    return STATE._replace(sequence=sequence)


def event(position: int, mode: str = "a", kind: EventType = EventType.LOW, *, reminder: bool = False) -> Decided:
    changed = {"id": f"e{position}", "strategy_mode": mode, "sequence": position, "reminder": reminder}
    told = example_event(kind).data.model_copy(update=changed)
    return Decided(OutboxEvent(position, told, {"ops": DeliveryState.PENDING}), state(position))


def refill(position: int, refill_id: str = "r", arrived: int = 0) -> Decided:
    request = example_request().model_copy(update={"id": refill_id})
    record = Replenishment(request=request, changed_at=NOW, deadline=NOW, arrived=Decimal(arrived))
    told = tell_change(record, None, f"c{position}", position)
    return Decided(OutboxEvent(position, told, {}), change=ReplenishmentChange(record, told))


def outcome(position: int, attempts: int = 1, sink: str = "ops") -> Outcome:
    return Outcome(sink, position, DeliveryState.PENDING, attempts, NOW)


def positions(batch: Batch) -> list[int]:
    return [each.outbox.position for each in batch.events]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory holds ten of each kind, and a transaction stores three."""
    for name in ("MAX_EVENTS", "MAX_OUTCOMES", "MAX_SNAPSHOTS"):
        monkeypatch.setattr(batches, name, 10)
    for name in ("MAX_EVENTS_A_WRITE", "MAX_OUTCOMES_A_WRITE", "MAX_ROWS_A_WRITE"):
        monkeypatch.setattr(batches, name, 3)


@pytest.mark.usefixtures("small")
def test_reminders_go_first_and_changes_of_a_status_last_when_there_are_too_many() -> None:
    batch = Batch()
    warnings = range(9, 13)
    for position in range(1, 17):
        if position % 4 == 0:
            batch.add(event(position, reminder=True))
        elif position in warnings:
            batch.add(event(position, kind=EventType.RUNWAY_LOW))
        else:
            batch.add(event(position))
    gone = [each.outbox.position for each in batch.bound().events]
    assert gone == [4, 8, 9, 10, 12, 16], "four reminders, then the two oldest warnings"
    assert positions(batch) == [1, 2, 3, 5, 6, 7, 11, 13, 14, 15]
    for position in range(17, 23):
        batch.add(event(position))
    assert [each.outbox.position for each in batch.bound().events] == [1, 2, 3, 5, 6, 11]


@pytest.mark.usefixtures("small")
def test_state_that_an_event_left_is_kept_when_the_event_is_not() -> None:
    """A restart must know that the mode was low, even if the event is lost."""
    batch = Batch()
    batch.add(event(1, "a"))
    batch.add(event(2, "b"))
    batch.add(event(3, "b", reminder=True))
    for position in range(4, 14):
        batch.add(event(position, "c"))
    batch.bound()
    assert batch.newest_states() == {"a": state(1), "b": state(3), "c": state(13)}


@pytest.mark.usefixtures("small")
def test_request_for_a_refill_is_kept_as_it_is_when_its_event_is_not() -> None:
    batch = Batch()
    batch.add(refill(1, "gone", arrived=1))
    batch.add(refill(2, "gone", arrived=2))
    for position in range(3, 13):
        batch.add(event(position))
    assert len(batch.bound().events) == 2
    assert batch.records["gone"].arrived == 2


@pytest.mark.usefixtures("small")
def test_outcomes_and_snapshots_are_bounded_and_the_newest_stay() -> None:
    batch = Batch()
    for position in range(1, 21):
        batch.settle(outcome(position))
        batch.snapshots.append(snapshot(position))
    dropped = batch.bound()
    assert dropped.numbers == {"events": 0, "outcomes": 10, "snapshots": 10}
    assert [each.position for each in batch.outcomes.values()] == list(range(11, 21))
    assert batch.snapshots == [snapshot(number) for number in range(11, 21)]
    assert not batch.bound()


def snapshot(number: int) -> KeptSnapshot:
    found = make_snapshot(make_policy(), Decimal(110))
    return KeptSnapshot(ReserveStatus.ADEQUATE, found._replace(timestamp=NOW + timedelta(seconds=number)))


def test_only_the_newest_of_a_deliverys_tries_is_held() -> None:
    """As for a sink that fails every second for a day."""
    batch = Batch()
    for attempts in range(1, 1000):
        batch.settle(outcome(7, attempts))
    batch.settle(outcome(7, 1, "desk"))
    assert list(batch.outcomes.values()) == [outcome(7, 999), outcome(7, 1, "desk")]


@pytest.mark.usefixtures("small")
def test_change_of_a_refill_is_never_written_without_the_event_that_tells_it() -> None:
    batch = Batch()
    for position in range(1, 4):
        batch.add(event(position))
    batch.add(refill(4))
    batch.records["r"] = refill(4, arrived=5).change.record  # type: ignore[union-attr]
    now, later = batch.cut()
    assert positions(now) == [1, 2, 3]
    assert not now.records
    assert all(each.change is None for each in now.events)
    assert positions(later) == [4]
    assert later.events[0].change is not None
    assert later.records["r"].arrived == 5


def test_older_record_of_a_refill_gives_way_when_what_could_not_be_written_is_put_back() -> None:
    older = Batch(records={"r": refill(1, arrived=1).change.record})  # type: ignore[union-attr]
    newer = Batch()
    newer.add(refill(2, arrived=2))
    assert older.followed_by(newer).records == {}


@pytest.mark.usefixtures("small")
def test_checkpoint_of_many_modes_is_written_in_short_steps() -> None:
    batch = Batch(states={f"m{n}": state(n) for n in range(8)}, snapshots=[snapshot(n) for n in range(5)])
    sizes = []
    while batch:
        now, batch = batch.cut()
        sizes.append((len(now.states), len(now.snapshots)))
    assert sizes == [(3, 3), (3, 2), (2, 0)]


STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=40)


@given(STEPS)
def test_nothing_is_written_before_what_led_to_it_however_a_batch_is_cut(steps: list[tuple[str, bool, bool]]) -> None:
    """Everything is written in the end, in order."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MAX_EVENTS_A_WRITE", "MAX_OUTCOMES_A_WRITE", "MAX_ROWS_A_WRITE"):
            patch.setattr(batches, name, 2)
        batch = Batch()
        newest: dict[str, int] = {}
        for position, (mode, settles, checkpoint) in enumerate(steps, start=1):
            batch.add(event(position, mode))
            newest[mode] = position
            if settles:
                batch.settle(outcome(position))
            if checkpoint:
                batch.states[mode] = state(position)
        settled = len(batch.outcomes)
        written = Batch()
        while batch:
            now, batch = batch.cut()
            written = written.followed_by(now)
            last = max(positions(written), default=0)
            assert all(each.position <= last for each in written.outcomes.values())
            for mode, kept in now.newest_states().items():
                assert kept.sequence <= max(
                    each.outbox.position for each in written.events if each.outbox.event.strategy_mode == mode
                )
    assert positions(written) == list(range(1, len(steps) + 1))
    assert len(written.outcomes) == settled
    assert {mode: kept.sequence for mode, kept in written.newest_states().items()} == newest
