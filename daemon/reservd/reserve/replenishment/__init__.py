"""Requests for refills: when one is made, for how much, what becomes of it, and whether the money has arrived."""

from reservd.reserve.replenishment.models import (
    Acceptance,
    AcceptanceStatus,
    Inaction,
    Progress,
    ProgressStatus,
    RefillPolicy,
    ReplenishmentOutcome,
    ReplenishmentRequest,
    Urgency,
)

__all__ = [
    "Acceptance",
    "AcceptanceStatus",
    "Inaction",
    "Progress",
    "ProgressStatus",
    "RefillPolicy",
    "ReplenishmentOutcome",
    "ReplenishmentRequest",
    "Urgency",
]
