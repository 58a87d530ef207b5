"""The tables as the newest migration leaves them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text, text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Moment(TypeDecorator[datetime]):
    """An aware time as whole microseconds since 1970: exact and sortable on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Return the value to store."""
        del dialect
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the time."""
        del dialect
        return None if value is None else _EPOCH + value * _MICROSECOND


class Money(TypeDecorator[Decimal]):
    """An amount as its decimal digits: exact on every database. The database never adds or compares amounts."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Return the value to store."""
        del dialect
        return None if value is None else format(value, "f")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Return the amount."""
        del dialect
        return None if value is None else Decimal(value)


metadata = MetaData()

owner = Table(
    "owner",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False, comment="Counts the owners; a write with an older one is refused."),
    Column("holder", String(200), comment="Who it is; none when the last one left."),
    Column("heartbeat", BigInteger, nullable=False, comment="Counts the owner's writes."),
)

mode_states = Table(
    "mode_states",
    metadata,
    Column("mode", String(100), primary_key=True),
    Column("state", Text, nullable=False, comment="KeptState as JSON."),
)

events = Table(
    "events",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False, comment="Counts all events, in order."),
    Column("id", String(64), nullable=False, unique=True),
    Column("mode", String(100), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("type", String(64), nullable=False),
    Column("reminder", Boolean, nullable=False),
    Column("decided_at", Moment, nullable=False),
    Column("event", Text, nullable=False, comment="ReserveEvent as JSON."),
    Column("explanation", Text, comment="Explanation as JSON: what the check was made of that led to the event."),
    Index("events_by_mode", "mode", "position"),
    Index("events_by_time", "decided_at"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("sink", String(100), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("mode", String(100), nullable=False),
    Column("state", String(16), nullable=False, comment="A DeliveryState."),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("tried_at", Moment, comment="The last attempt."),
    Column("reason", String(32), comment="Why the last attempt failed: a FailureReason."),
    Column("detail", Text),
    Index(
        "deliveries_pending",
        "sink",
        "mode",
        "position",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "deliveries_dead",
        "position",
        sqlite_where=text("state = 'dead'"),
        postgresql_where=text("state = 'dead'"),
    ),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("mode", String(100), primary_key=True),
    Column("taken_at", Moment, primary_key=True),
    Column("status", String(16), nullable=False, comment="The confirmed one."),
    Column("snapshot", Text, nullable=False, comment="ReserveSnapshot as JSON."),
    Index("snapshots_by_time", "taken_at"),
)

silences = Table(
    "silences",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("mode", String(100), nullable=False),
    Column("begins_at", Moment, nullable=False),
    Column("ends_at", Moment, nullable=False),
    Column("reason", Text, nullable=False),
    Column("made_by", String(200), nullable=False),
    Index("silences_by_end", "ends_at"),
)

redeliveries = Table(
    "redeliveries",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("sink", String(100), nullable=False),
    Column("asked_at", Moment, nullable=False),
    Column("asked_by", String(200), nullable=False),
)

holds = Table(
    "holds",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("position", BigInteger, nullable=False, unique=True, comment="Counts all holds, in order of decision."),
    Column("mode", String(100), nullable=False),
    Column("account_group", String(200), nullable=False, comment="The accounts that it is paid from."),
    Column("currency", String(100), nullable=False),
    Column("amount", Money, nullable=False),
    Column("from_reserve", Money, nullable=False),
    Column("unwound", Money, nullable=False),
    Column("speed", String(16), nullable=False, comment="A WithdrawalSpeed."),
    Column("key", String(200), nullable=False, comment="The caller's idempotency key."),
    Column("request_hash", String(64), nullable=False, comment="Of what was asked for under the key."),
    Column("decided_at", Moment, nullable=False),
    Column("overdue_at", Moment, nullable=False),
    Column("expected_at", Moment, comment="When all of it should be there."),
    Column("snapshot_at", Moment, comment="Of the snapshot that it was decided on; see snapshots."),
    Column("arrived", Money, nullable=False, comment="What is there of the part that is unwound."),
    Column("state", String(16), nullable=False, comment="A HoldState."),
    Column("unwinding", String(16), nullable=False, comment="An Unwinding."),
    Column("ended_at", Moment, comment="When it was settled or cancelled; none while it is open."),
    Column("paid_at", Moment),
    Column("block", BigInteger, comment="That the payment is in."),
    Index("holds_by_key", "key", "mode", unique=True),
    Index("holds_by_mode", "mode", "position"),
    Index("holds_by_end", "ended_at"),
    Index("holds_by_time", "decided_at"),
)

hold_levels = Table(
    "hold_levels",
    metadata,
    Column("account_group", String(200), primary_key=True),
    Column("balance", Money, nullable=False, comment="Of the last reading from which arrivals were counted."),
    Column("observed_at", Moment, nullable=False),
    Column("block", BigInteger),
)

account_groups = Table(
    "account_groups",
    metadata,
    Column("account_group", String(200), primary_key=True, comment="As holds name it."),
    Column("accounts", Text, nullable=False, comment="What accounts they are: AccountKeys as JSON."),
)

replenishments = Table(
    "replenishments",
    metadata,
    Column("id", String(64), primary_key=True, comment="What its strategy was asked under."),
    Column("mode", String(100), nullable=False),
    Column("state", String(16), nullable=False, comment="A ReplenishmentState."),
    Column("requested_at", Moment, nullable=False),
    Column("ended_at", Moment, comment="None while money may still come."),
    Column("record", Text, nullable=False, comment="Replenishment as JSON."),
    Index("replenishments_by_mode", "mode", "requested_at"),
    Index("replenishments_by_time", "requested_at"),
    Index("replenishments_by_end", "ended_at"),
)

replenishment_changes = Table(
    "replenishment_changes",
    metadata,
    Column("mode", String(100), primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False, comment="Counts the mode's changes."),
    Column("replenishment_id", String(64), nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("change", Text, nullable=False, comment="ReplenishmentEvent as JSON."),
    Index("replenishment_changes_by_id", "replenishment_id"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", String(64), primary_key=True, comment="Of a new request for a refill, the id that it gets."),
    Column("subject", String(16), nullable=False, comment="An OrderSubject."),
    Column("action", String(16), nullable=False, comment="An OrderAction."),
    Column("target", String(100), nullable=False, comment="An id; the mode of a new request."),
    Column("reason", Text, nullable=False),
    Column("asked_at", Moment, nullable=False),
    Column("asked_by", String(200), nullable=False),
    Column("amount", Money, comment="Of a new request."),
    Column("block", BigInteger, comment="That a payment is in."),
    Column("paid_at", Moment, comment="When a payment took effect."),
    Column("answered_at", Moment, comment="When the owner saw to it; none while it waits."),
    Column("refusal", Text, comment="Why it was not carried out; none when it was."),
    Index("orders_by_target", "target", "asked_at"),
    Index("orders_by_answer", "answered_at"),
)
