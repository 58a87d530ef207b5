"""Explains a mode's status: where each amount came from, how old it is, and how much of it counts."""

from reservd._version import __version__
from reservd.monitor.watches.holds import Holds, owed_of
from reservd.monitor.watches.sharing import read_account
from reservd.monitor.watches.watch import ModeWatch
from reservd.reserve.amounts import multiply
from reservd.reserve.explanation import EquityInput, Explanation, believable_components
from reservd.reserve.models import ReserveStatus
from reservd.reserve.readings import Equity
from reservd.reserve.reasons import why_found
from reservd.reserve.sharing import own_part


def explain(watch: ModeWatch, configuration: str, holds: Holds | None = None) -> Explanation | None:
    """Return what a mode's last check was based on; None before the first, and if it was not made from readings.

    Args:
        watch: The mode's watch.
        configuration: The hash of everything that is configured for it.
        holds: The holds of accepted withdrawals.
    """
    snapshot, readings = watch.latest, watch.readings
    if snapshot is None or readings is None or readings.now.wall != snapshot.timestamp:
        return None
    policy, state, equity = watch.config.policy, watch.state, readings.equity
    if not snapshot.accounts:
        found = [read_account([holding], readings.balances) for holding in watch.holdings]
        # It shares none, so all of each account counts.
        accounts = tuple([own_part(reading.at(readings.now.wall, policy)) for reading in found])
        snapshot = snapshot._replace(accounts=accounts)
    target = snapshot.target_reserve
    return Explanation(
        snapshot=snapshot,
        why=why_found(snapshot, policy),
        confirmed=state.confirmed or ReserveStatus.UNKNOWN,
        good_at=state.good.timestamp if state.good is not None else None,
        equity=EquityInput(
            watch.equity[0], equity.amount, equity.observed_at, components=believable_components(equity.components)
        )
        if isinstance(equity, Equity)
        else EquityInput(watch.equity[0], problem=str(equity)),
        owed=owed_of(watch.mode, equity, holds),
        low_threshold=policy.low_threshold,
        critical_threshold=policy.critical_threshold,
        low_below=multiply(policy.low_threshold, target) if target is not None else None,
        critical_below=multiply(policy.critical_threshold, target) if target is not None else None,
        version=__version__,
        configuration=configuration,
    )
