"""Every error that reservd raises, and the closed set of reasons for which a call to the outside can fail."""

from collections.abc import Sequence
from enum import StrEnum


class FailureReason(StrEnum):
    """Why a call to the outside failed: the closed set that logs, metrics and events share."""

    TIMEOUT = "timeout"
    """No complete answer before the deadline."""
    UNREACHABLE = "unreachable"
    """No connection, or it broke: name not resolved, connection refused or reset, TLS failed."""
    REJECTED = "rejected"
    """The other side answered that it will not: a 4xx or 5xx status, an error result."""
    RATE_LIMITED = "rate_limited"
    """The other side asked to be called less often."""
    INVALID_DATA = "invalid_data"
    """The answer came and cannot be believed: wrong type, missing asset, NaN, too large."""
    INTERNAL = "internal"
    """A defect of the plugin or of reservd itself."""


class ReservdError(Exception):
    """Base of every error that reservd raises on purpose."""


class ConfigError(ReservdError):
    """A configuration that cannot be used.

    Attributes:
        problems: One line a problem: where, which key, what must hold, what was got.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class PluginError(ReservdError):
    """A plugin that is not installed, cannot be imported, or does not keep the contract."""


class ReserveUnknownError(ReservdError):
    """A reserve was asked for that no conclusive reading tells."""


class StoreError(ReservdError):
    """The store could not be read or written: it is locked, full, read-only or gone."""


class TooManyWaitError(StoreError):
    """More waits for the store than memory should hold: nothing was decided."""


class SchemaError(StoreError):
    """A newer reservd wrote the store: to go on would spoil it."""


class OwnershipLostError(ReservdError):
    """Another daemon owns the store now: what this one wanted to write was refused."""


class WithdrawalConflictError(ReservdError):
    """Another withdrawal was asked for under a key that is taken: nothing was decided."""


class WithdrawalStateError(ReservdError):
    """A withdrawal cannot go there from where it is: one that was cancelled is not settled."""


class UnknownWithdrawalError(ReservdError):
    """There is no withdrawal of that id."""


class ReplenishmentStateError(ReservdError):
    """A request for a refill cannot go there from where it is: one that was rejected is not settled."""


class UnknownReplenishmentError(ReservdError):
    """There is no request for a refill of that id."""


class RefillRefusedError(ReservdError):
    """No refill is asked for: the message ends with the reason, one of `Inaction`."""


class ApiError(ReservdError):
    """A daemon did not do what its API was asked for.

    Attributes:
        kind: A word of the closed set of problems, such as `conflict`; of `FailureReason` where the answer did
            not come, or cannot be believed.
        detail: One line for people.
        status: Of the HTTP answer; None when there was none.
    """

    def __init__(self, kind: str, detail: str, status: int | None = None) -> None:
        self.kind = kind
        self.detail = detail
        self.status = status
        super().__init__(f"{kind}: {detail}")


class ApiUnavailableError(ApiError):
    """Nothing is certain, and the same may be asked again: no answer, a standby, a store that is gone.

    Attributes:
        retry_after_seconds: How long the daemon asked to be left alone; None when it did not say.
    """

    def __init__(
        self, kind: str, detail: str, status: int | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(kind, detail, status)
        self.retry_after_seconds = retry_after_seconds


class ApiRefusedError(ApiError):
    """The daemon will not, and would not when asked again.

    Attributes:
        reason: A word of a closed set: which limit a withdrawal is over, or why no refill is asked for; None
            where `kind` says it all.
    """

    def __init__(self, kind: str, detail: str, status: int | None = None, reason: str | None = None) -> None:
        super().__init__(kind, detail if reason is None else f"{detail} ({reason})", status)
        self.detail = detail
        self.reason = reason


class ApiDeniedError(ApiRefusedError):
    """The token is missing or wrong, or its role does not allow it."""


class ApiNotFoundError(ApiRefusedError):
    """There is no such mode, event, withdrawal or replenishment."""


class CallError(ReservdError):
    """A call to the outside failed.

    Attributes:
        reason: Which of the closed set of reasons.
        detail: One line for people. Never holds a secret.
        retry_after_seconds: How long the other side asked to be left alone; None when it did not say.
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

    `DeliveryError(reason, retryable)` does where there is nothing to say besides.

    Attributes:
        retryable: Whether the same thing, sent again later, may be taken.
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
