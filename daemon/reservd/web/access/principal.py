"""The caller, and what the caller may do."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    """What a caller is there for. Each may read."""

    READ = "read"
    STRATEGY = "strategy"
    """Withdrawals and replenishments of the modes that its token names."""
    TREASURY = "treasury"
    """The same of every mode, and approvals."""
    ADMIN = "admin"
    """All there is."""


class Principal(NamedTuple):
    """A caller that is known.

    Attributes:
        name: Who it is, for the audit log.
        role: What it is there for.
        modes: The modes of a strategy; empty for the other roles.
        expires: Until when its token is good; None for ever.
    """

    name: str
    role: Role
    modes: frozenset[str] = frozenset()
    expires: datetime | None = None

    def may_write(self, mode: str) -> bool:
        """Whether it may act for a mode."""
        if self.role is Role.STRATEGY:
            return mode in self.modes
        return self.role in {Role.TREASURY, Role.ADMIN}

    def may_operate(self) -> bool:
        """Whether it may do what concerns the daemon as a whole."""
        return self.role is Role.ADMIN

    def may_approve(self) -> bool:
        """Whether it may approve what a strategy must not approve for itself."""
        return self.role in {Role.TREASURY, Role.ADMIN}
