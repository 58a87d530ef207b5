"""Why a mode stands as it does: where each amount came from, how old it is, and how much of it counts."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from reservd.monitor.sharing import read_account
from reservd.monitor.watch import ModeWatch
from reservd.reserve.amounts import multiply
from reservd.reserve.models import ReserveSnapshot, ReserveStatus
from reservd.reserve.readings import Component, Equity
from reservd.reserve.reasons import why_found
from reservd.reserve.sharing import own_part


class Explanation(NamedTuple):
    """What the last check of a mode was made of.

    Attributes:
        snapshot: What it found, with all `accounts`, also where none is shared.
        confirmed: What the tracker confirmed; UNKNOWN before anything was.
        why: Why the snapshot speaks for its status.
        equity_source: Where the equity is read.
        equity_observed_at: When the equity was true at its source; None when it could not be read.
        equity_problem: Why it could not be read; empty when it could.
        equity_components: What it is made of, where the source tells.
        low_below: Below this the reserve is low; None without a target.
        critical_below: Below this it is critical.
    """

    snapshot: ReserveSnapshot
    confirmed: ReserveStatus
    why: str
    equity_source: str
    equity_observed_at: datetime | None
    equity_problem: str
    equity_components: Mapping[str, Decimal | Component]
    low_below: Decimal | None
    critical_below: Decimal | None


def explain(watch: ModeWatch) -> Explanation | None:
    """Return what the last check of a mode was made of; None before the first."""
    snapshot, readings = watch.latest, watch.readings
    if snapshot is None or readings is None:
        return None
    policy, equity = watch.config.policy, readings.equity
    if not snapshot.accounts:
        found = [read_account([holding], readings.balances) for holding in watch.holdings]
        # It shares none: all counts.
        accounts = tuple([own_part(reading.at(readings.now.wall, policy)) for reading in found])
        snapshot = snapshot._replace(accounts=accounts)
    target = snapshot.target_reserve
    return Explanation(
        snapshot,
        watch.state.confirmed or ReserveStatus.UNKNOWN,
        why_found(snapshot, policy),
        watch.equity[0],
        equity.observed_at if isinstance(equity, Equity) else None,
        "" if isinstance(equity, Equity) else str(equity),
        equity.components if isinstance(equity, Equity) else {},
        multiply(policy.low_threshold, target) if target is not None else None,
        multiply(policy.critical_threshold, target) if target is not None else None,
    )
