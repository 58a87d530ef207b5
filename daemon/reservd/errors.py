"""The errors that reservd raises, and the closed set of reasons for which a call to the outside can fail."""

from collections.abc import Sequence
from enum import StrEnum


class FailureReason(StrEnum):
    """Why a call to the outside failed: the closed set that logs, metrics and events share."""

    TIMEOUT = "timeout"
    """No complete answer before the deadline."""
    UNREACHABLE = "unreachable"
    """No connection, or it broke: name not resolved, connection refused or reset, TLS failed."""
    REJECTED = "rejected"
    """The other side refused: a 4xx or 5xx status, an error result."""
    RATE_LIMITED = "rate_limited"
    """The other side asked to be called less often."""
    INVALID_DATA = "invalid_data"
    """The answer is not credible: wrong type, missing asset, NaN, too large."""
    INTERNAL = "internal"
    """A defect of the plugin or of reservd itself."""


class ReservdError(Exception):
    """Base of every error that reservd raises on purpose."""


class ConfigError(ReservdError):
    """A configuration that cannot be used.

    Attributes:
        problems: One line per problem: where, which key, what must hold, what was found.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class PluginError(ReservdError):
    """A plugin is not installed, cannot be imported, or breaks the contract."""


class ExtraMissingError(PluginError):
    """A plugin needs libraries that are not installed; its extra brings them."""


class ReserveUnknownError(ReservdError):
    """The amount of a reserve was requested, but no conclusive reading shows it."""


class StoreError(ReservdError):
    """The store could not be read or written: it is locked, full, read-only or gone."""


class TooManyWaitError(StoreError):
    """Too many callers wait for the store; nothing was decided."""


class SchemaError(StoreError):
    """A newer reservd wrote the store; this one would corrupt it."""


class OwnershipLostError(ReservdError):
    """Another daemon owns the store now; a write of this one was refused."""


class WithdrawalConflictError(ReservdError):
    """The key already belongs to another withdrawal; nothing was decided."""


class WithdrawalStateError(ReservdError):
    """The withdrawal's state does not allow the change: a cancelled withdrawal cannot settle."""


class UnknownWithdrawalError(ReservdError):
    """There is no withdrawal with that id."""


class ReplenishmentStateError(ReservdError):
    """The request's state does not allow the change: a rejected request for a refill cannot settle."""


class UnknownReplenishmentError(ReservdError):
    """There is no request for a refill with that id."""


class RefillRefusedError(ReservdError):
    """No refill is requested; the message ends with the reason, one of `Inaction`."""


class ApiError(ReservdError):
    """A daemon did not do what was asked through its API.

    Attributes:
        kind: One of the closed set of problems, such as `conflict`; one of `FailureReason` if the answer did not come,
            or is not credible.
        detail: One line for people.
        status: The HTTP status; None without an answer.
    """

    def __init__(self, kind: str, detail: str, status: int | None = None) -> None:
        self.kind = kind
        self.detail = detail
        self.status = status
        super().__init__(f"{kind}: {detail}")


class ApiUnavailableError(ApiError):
    """The outcome is unknown and the call may be repeated: no answer, a standby, a store that is gone.

    Attributes:
        retry_after_seconds: How long the daemon asked to wait; None if it did not say.
    """

    def __init__(
        self, kind: str, detail: str, status: int | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(kind, detail, status)
        self.retry_after_seconds = retry_after_seconds


class ApiRefusedError(ApiError):
    """The daemon refused, and would refuse again.

    Attributes:
        reason: One of a closed set: which limit a withdrawal exceeds, or why no refill is requested; None if `kind`
            says everything.
    """

    def __init__(self, kind: str, detail: str, status: int | None = None, reason: str | None = None) -> None:
        super().__init__(kind, detail if reason is None else f"{detail} ({reason})", status)
        self.detail = detail
        self.reason = reason


class ApiDeniedError(ApiRefusedError):
    """The token is missing or wrong, or its role does not allow the call."""


class ApiNotFoundError(ApiRefusedError):
    """There is no such mode, event, withdrawal or replenishment."""


class CallError(ReservdError):
    """A call to the outside failed.

    Attributes:
        reason: One of the closed set of reasons.
        detail: One line for people. Never contains a secret.
        retry_after_seconds: How long the other side asked to wait; None if it did not say.
    """

    def __init__(self, reason: FailureReason, detail: str = "", *, retry_after_seconds: float | None = None) -> None:
        self.reason = FailureReason(reason)
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"{self.reason}: {detail}" if detail else str(self.reason))


class SourceError(CallError):
    """A whole source could not be read."""


class DeliveryError(CallError):
    """A sink or a replenisher did not take what it was given.

    `DeliveryError(reason, retryable)` is enough when there is nothing to add.

    Attributes:
        retryable: Whether a later attempt may succeed.
    """

    def __init__(
        self,
        reason: FailureReason,
        detail: str | bool = "",
        *,
        retryable: bool = True,
        retry_after_seconds: float | None = None,
    ) -> None:
        if isinstance(detail, bool):
            retryable, detail = detail, ""
        super().__init__(reason, detail, retry_after_seconds=retry_after_seconds)
        self.retryable = retryable
