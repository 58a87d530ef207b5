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
    """The operations of a daemon. Amounts are `Decimal`, in whole units of the mode's share class.

    Lists are paged, newest first: pass the `next_cursor` of one page as `cursor` of the next, or use `walk`. Every
    write may be sent again when no response came: nothing is done twice.
    """

    @operation
    def list_modes(
        self, *, status: ReserveStatus | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Call[ModePage]:
        """Return the modes that are watched, sorted by name."""
        return Call("GET", "/modes", ModePage, query={"status": status, "limit": limit, "cursor": cursor})

    @operation
    def get_mode(self, mode: str) -> Call[ModeDetail]:
        """Return the state of one mode, and its policy."""
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
        """Return events of reserves, reminders included, or changes of requests for refills if that type is given.

        A standby answers too.
        """
        query = {"mode": mode, "type": event_type, "limit": limit, "cursor": cursor}
        return Call("GET", "/events", EventPage, query=query)

    @operation
    def get_event(self, event_id: str) -> Call[EventDetail]:
        """Return one event of any type, its deliveries, and the check that led to it."""
        return Call("GET", "/events/{event_id}", EventDetail, {"event_id": event_id})

    @operation
    def get_withdrawal_speed(self, mode: str, amount: Decimal | None = None) -> Call[SpeedView]:
        """Return how fast the mode would pay an amount now, or without one, the best speed. Nothing is held."""
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
        """Request a decision on how a withdrawal is paid. The part that the reserve pays is held for it.

        Args:
            mode: The mode whose reserve pays.
            amount: Above 0.
            idempotency_key: Identifies this withdrawal: once it is accepted, the same key gives the same answer,
                however often it is sent. A refused withdrawal is decided again.
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
        """Report that the payment was sent."""
        return Call("POST", "/withdrawals/{withdrawal_id}/paying", WithdrawalView, {"withdrawal_id": withdrawal_id})

    @operation
    def settle_withdrawal(
        self, withdrawal_id: str, *, block: int | None = None, paid_at: datetime | None = None
    ) -> Call[WithdrawalView]:
        """Report that the client was paid: older readings still include the money, later ones do not.

        Args:
            withdrawal_id: The withdrawal.
            block: The block of the payment, if all accounts of the mode are on one chain. Either this or `paid_at` is
                needed.
            paid_at: When the payment took effect, aware.
        """
        path, parts = "/withdrawals/{withdrawal_id}/settle", {"withdrawal_id": withdrawal_id}
        return Call("POST", path, WithdrawalView, parts, body={"block": block, "paid_at": _instant(paid_at)})

    @operation
    def cancel_withdrawal(self, withdrawal_id: str) -> Call[WithdrawalView]:
        """Report that nothing was or will be paid: the held amount is available again."""
        return Call("POST", "/withdrawals/{withdrawal_id}/cancel", WithdrawalView, {"withdrawal_id": withdrawal_id})

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
        """Request a refill from the mode's strategy, once per key.

        Args:
            mode: The mode whose reserve is to be refilled.
            amount: Above 0.
            idempotency_key: Identifies this request: once it is made, the same key returns the same request. A refused
                request is decided again.
            reason: The reason for people, in one line.
        """
        order = {"amount": _text(amount), "reason": reason}
        path, parts = "/modes/{mode}/replenishments", {"mode": mode}
        return Call("POST", path, Replenishment, parts, body=order, idempotency_key=idempotency_key)

    @operation
    def get_replenishment(self, replenishment_id: str) -> Call[ReplenishmentDetail]:
        """Return one request for a refill and its changes."""
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
        """Report that the strategy accepts the request.

        Args:
            replenishment_id: The request.
            reason: A remark for people, in one line.
            reference: The strategy's own id of the work.
            expected_by: When the money should have arrived, aware.
            exclusive: Refuse if it has been accepted already. Its acceptor may ask again under the same
                `reference`.
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
        """Report that the strategy is working on the request; see `accept_replenishment`."""
        told = {"reason": reason, "reference": reference, "expected_by": _instant(expected_by)}
        return _tell("progress", replenishment_id, told)

    @operation
    def settle_replenishment(self, replenishment_id: str, *, reason: str | None = None) -> Call[Replenishment]:
        """Report that the money was sent. It counts once the reserve shows it."""
        return _tell("settle", replenishment_id, {"reason": reason})

    @operation
    def fail_replenishment(self, replenishment_id: str, *, reason: str | None = None) -> Call[Replenishment]:
        """Report that the strategy failed to carry out the request."""
        return _tell("fail", replenishment_id, {"reason": reason})

    @operation
    def reject_replenishment(self, replenishment_id: str, *, reason: str | None = None) -> Call[Replenishment]:
        """Report that the strategy rejects the request, or that it is not approved."""
        return _tell("reject", replenishment_id, {"reason": reason})

    @operation
    def approve_replenishment(self, replenishment_id: str, *, reason: str | None = None) -> Call[Replenishment]:
        """Approve a request that awaits approval. For treasury and admin."""
        return _tell("approve", replenishment_id, {"reason": reason})

    @operation
    def cancel_replenishment(self, replenishment_id: str, *, reason: str | None = None) -> Call[Replenishment]:
        """Cancel a request. A strategy that has it may still act on it. For treasury and admin."""
        return _tell("cancel", replenishment_id, {"reason": reason})


def _tell(what: str, replenishment_id: str, told: Mapping[str, object]) -> Call[Replenishment]:
    path = f"/replenishments/{{replenishment_id}}/{what}"
    return Call("POST", path, Replenishment, {"replenishment_id": replenishment_id}, body=told)


def _text(amount: Decimal) -> str:
    """Return an amount in the form of the API. A float is refused, because it has lost digits."""
    return format(check_amount(amount), "f")


def _instant(when: datetime | None) -> str | None:
    if when is None:
        return None
    if when.tzinfo is None:
        raise ValueError(f"a time must have a time zone, got {when}")
    return when.isoformat()
