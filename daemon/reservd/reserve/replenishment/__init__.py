"""Requests for refills: when and for how much they are made, their states, and whether the money has arrived."""

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
