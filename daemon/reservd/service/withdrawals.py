"""How fast clients may be paid."""

from reservd.monitor.manager import ReserveManager
from reservd.reserve.withdrawal import WithdrawalSpeed, withdrawal_speed


class WithdrawalManager:
    """Tells the speed of withdrawals from the snapshots a reserve manager has; asks no venue.

    Args:
        reserve_manager: Watches the modes.
    """

    def __init__(self, reserve_manager: ReserveManager) -> None:
        self.reserve_manager = reserve_manager

    async def get_withdrawal_speed(self, strategy_mode: str) -> WithdrawalSpeed:
        """Return how fast a mode may pay now: by the worse of its newest and its confirmed status.

        A mode that is not watched, was not checked yet, or is unknown pays slowly.
        """
        if strategy_mode not in self.reserve_manager.reserve_configs:
            return WithdrawalSpeed.SLOW
        latest = self.reserve_manager.latest_snapshot(strategy_mode)
        if latest is None:
            return WithdrawalSpeed.SLOW
        return withdrawal_speed(latest.status, self.reserve_manager.status(strategy_mode))
