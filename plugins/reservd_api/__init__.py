"""Lets strategies fetch requests for refills from the daemon's own API."""

from typing import Any

from reservd.plugin import Replenisher, hookimpl
from reservd_api.replenisher import ApiReplenisher


@hookimpl
def reservd_register_replenishers() -> list[type[Replenisher[Any]]]:
    """Register the `api` replenisher."""
    return [ApiReplenisher]
