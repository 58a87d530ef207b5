"""Refills: decided after each check, sent to strategies, and followed until the money has arrived."""

from reservd.service.replenishment.caller import ReplenishmentObserver
from reservd.service.replenishment.desk import RefillDesk
from reservd.service.replenishment.service import ReplenishmentService

__all__ = [
    "RefillDesk",
    "ReplenishmentObserver",
    "ReplenishmentService",
]
