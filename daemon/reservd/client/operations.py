"""Every operation of the API except the stream, described once for both clients."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from reservd.client.calls import Call, operation
from reservd.reserve.amounts import check_amount
from reservd.reserve.holds import HoldState
from reservd.reserve.models import ReserveStatus
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState
from reservd.wire.events import AnyEventType, EventDetail, EventPage
from reservd.wire.modes import ModeDetail, ModePage
from reservd.wire.replenishments import ReplenishmentDetail, ReplenishmentPage
from reservd.wire.withdrawals import SpeedView, WithdrawalPage, WithdrawalView


class Operations:
    """What a daemon can be asked for. Amounts are `Decimal`, of whole units of the mode's share class.

    Lists come in pages, newest first: give the `next_cursor` of one as `cursor` of the next, or let `walk` do so.
    Every write may be sent again when its answer did not come: nothing is done twice.
    """

    # How the reserves stand

    @operation
    def list_modes(
        self, *, status: ReserveStatus | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Call[ModePage]:
        """Return the modes that are watched, by name."""
        return Call("GET", "/modes", ModePage, query={"status": status, "limit": limit, "cursor": cursor})

    @operation
    def get_mode(self, mode: str) -> Call[ModeDetail]:
        """Return how one mode stands, and its policy."""
        return Call("GET", "/modes/{mode}", ModeDetail, {"mode": mode})

    @operation
    def list_events(
        self,
        *,
        mode: str | None = None,
        event_type: AnyEventType | None = None,
        limit: int | None = None,
        cursor: int | None = None,
    ) -> Call[EventPage]:
        """Return events of reserves, reminders included; changes of requests for refills where that type is asked for.

        A daemon that stands by answers too.
        """
        query = {"mode": mode, "type": event_type, "limit": limit, "cursor": cursor}
        return Call("GET", "/events", EventPage, query=query)

    @operation
    def get_event(self, event_id: str) -> Call[EventDetail]:
        """Return one event of any type, what became of it at each sink, and what led to it."""
        return Call("GET", "/events/{event_id}", EventDetail, {"event_id": event_id})

    # Withdrawals

    @operation
    def get_withdrawal_speed(self, mode: str, amount: Decimal | None = None) -> Call[SpeedView]:
        """Return how fast the mode would pay now: an amount, or at best. Nothing is held for it."""
        query = {"amount": None if amount is None else _text(amount)}
        return Call("GET", "/modes/{mode}/withdrawal-speed", SpeedView, {"mode": mode}, query)

    @operation
    def list_withdrawals(
        self, mode: str, *, state: HoldState | None = None, limit: int | None = None, cursor: int | None = None
    ) -> Call[WithdrawalPage]:
        """Return the mode's accepted withdrawals."""
        query = {"state": state, "limit": limit, "cursor": cursor}
        return Call("GET", "/modes/{mode}/withdrawals", WithdrawalPage, {"mode": mode}, query)

    @operation
    def process_withdrawal(self, mode: str, amount: Decimal, idempotency_key: str) -> Call[WithdrawalView]:
        """Have it decided how a withdrawal is paid, and what the reserve pays held for it.

        Args:
            mode: Whose reserve pays.
            amount: Above 0.
            idempotency_key: Names this withdrawal: once it is accepted, the same key gives the same answer, however
                often it is sent. What was refused is decided again.
        """
        order = {"amount": _text(amount)}
        path, parts = "/modes/{mode}/withdrawals", {"mode": mode}
        return Call("POST", path, WithdrawalView, parts, body=order, idempotency_key=idempotency_key)

    @operation
    def get_withdrawal(self, withdrawal_id: str) -> Call[WithdrawalView]:
        """Return one accepted withdrawal."""
        return Call("GET", "/withdrawals/{withdrawal_id}", WithdrawalView, {"withdrawal_id": withdrawal_id})

    @operation
    def mark_paying(self, withdrawal_id: str) -> Call[WithdrawalView]:
        """Tell that the payment was sent."""
        return Call("POST", "/withdrawals/{withdrawal_id}/paying", WithdrawalView, {"withdrawal_id": withdrawal_id})

    @operation
    def settle_withdrawal(
        self, withdrawal_id: str, *, block: int | None = None, paid_at: datetime | None = None
    ) -> Call[WithdrawalView]:
        """Tell that the client was paid: readings that are older still show the money, later ones do not.

        Args:
            withdrawal_id: Which.
            block: The block that the payment is in, where all accounts of the mode are on one chain; this or `paid_at`
                is needed.
            paid_at: When it took effect, aware.
        """
        path, parts = "/withdrawals/{withdrawal_id}/settle", {"withdrawal_id": withdrawal_id}
        return Call("POST", path, WithdrawalView, parts, body={"block": block, "paid_at": _instant(paid_at)})

    @operation
    def cancel_withdrawal(self, withdrawal_id: str) -> Call[WithdrawalView]:
        """Tell that nothing was paid and nothing will be: what was held is free again."""
        return Call("POST", "/withdrawals/{withdrawal_id}/cancel", WithdrawalView, {"withdrawal_id": withdrawal_id})

    # Refills

    @operation
    def list_replenishments(
        self,
        mode: str,
        *,
        state: ReplenishmentState | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Call[ReplenishmentPage]:
        """Return the mode's requests for refills."""
        query = {"state": state, "limit": limit, "cursor": cursor}
        return Call("GET", "/modes/{mode}/replenishments", ReplenishmentPage, {"mode": mode}, query)

    @operation
    def request_replenishment(
        self, mode: str, amount: Decimal, idempotency_key: str, *, reason: str | None = None
    ) -> Call[Replenishment]:
        """Have the mode's strategy asked for a refill, once under a key.

        Args:
            mode: Whose reserve is to be refilled.
            amount: Above 0.
            idempotency_key: Names this request: once it is made, the same key gives the same one. What was refused is
                decided anew.
            reason: Why, in one line for people.
        """
        order = {"amount": _text(amount), "reason": reason}
        path, parts = "/modes/{mode}/replenishments", {"mode": mode}
        return Call("POST", path, Replenishment, parts, body=order, idempotency_key=idempotency_key)

    @operation
    def get_replenishment(self, replenishment_id: str) -> Call[ReplenishmentDetail]:
        """Return one request for a refill, and what became of it."""
        parts = {"replenishment_id": replenishment_id}
        return Call("GET", "/replenishments/{replenishment_id}", ReplenishmentDetail, parts)

    @operation
    def accept_replenishment(
        self,
        replenishment_id: str,
        *,
        reason: str | None = None,
        reference: str | None = None,
        expected_by: datetime | None = None,
        exclusive: bool | None = None,
    ) -> Call[Replenishment]:
        """Tell that the strategy does it.

        Args:
            replenishment_id: Which.
            reason: In one line for people.
            reference: The strategy's own id of the work.
            expected_by: When the money should have arrived, aware.
            exclusive: Be refused unless nobody has it yet; the taker may ask again under the same `reference`.
        """
        told = {
            "reason": reason,
            "reference": reference,
            "expected_by": _instant(expected_by),
            "exclusive": exclusive,
        }
        return _tell("accept", replenishment_id, told)

    @operation
    def progress_replenishment(
        self,
        replenishment_id: str,
        *,
        reason: str | None = None,
        reference: str | None = None,
        expected_by: datetime | None = None,
    ) -> Call[Replenishment]:
        """Tell that the strategy is working on it; see `accept_replenishment`."""
        told = {"reason": reason, "reference": reference, "expected_by": _instant(expected_by)}
        return _tell("progress", replenishment_id, told)

    @operation
    def settle_replenishment(self, replenishment_id: str, *, reason: str | None = None) -> Call[Replenishment]:
        """Tell that the money has left; the reserve believes it when it sees it."""
        return _tell("settle", replenishment_id, {"reason": reason})

    @operation
    def fail_replenishment(self, replenishment_id: str, *, reason: str | None = None) -> Call[Replenishment]:
        """Tell that the strategy could not do it."""
        return _tell("fail", replenishment_id, {"reason": reason})

    @operation
    def reject_replenishment(self, replenishment_id: str, *, reason: str | None = None) -> Call[Replenishment]:
        """Tell that the strategy will not do it, or that it is not approved."""
        return _tell("reject", replenishment_id, {"reason": reason})

    @operation
    def approve_replenishment(self, replenishment_id: str, *, reason: str | None = None) -> Call[Replenishment]:
        """Approve a request that waits for it. For treasury and admin."""
        return _tell("approve", replenishment_id, {"reason": reason})

    @operation
    def cancel_replenishment(self, replenishment_id: str, *, reason: str | None = None) -> Call[Replenishment]:
        """Give a request up; a strategy that has it may still act on it. For treasury and admin."""
        return _tell("cancel", replenishment_id, {"reason": reason})


def _tell(what: str, replenishment_id: str, told: Mapping[str, object]) -> Call[Replenishment]:
    path = f"/replenishments/{{replenishment_id}}/{what}"
    return Call("POST", path, Replenishment, {"replenishment_id": replenishment_id}, body=told)


def _text(amount: Decimal) -> str:
    """Return an amount as the API takes it; a float is refused, for it has lost digits."""
    return format(check_amount(amount), "f")


def _instant(when: datetime | None) -> str | None:
    if when is None:
        return None
    if when.tzinfo is None:
        raise ValueError(f"a time must be aware, got {when}")
    return when.isoformat()
