"""Prices of Chainlink's feeds on an EVM chain."""

from typing import Any

from reservd.plugin import PriceSource, hookimpl
from reservd_chainlink.source import ChainlinkPriceSource


@hookimpl
def reservd_register_price_sources() -> list[type[PriceSource[Any]]]:
    """Register the `chainlink` price source."""
    return [ChainlinkPriceSource]
