"""The caller, and what the caller may do."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    """The role of a caller. Every role may read."""

    READ = "read"
    STRATEGY = "strategy"
    """Withdrawals and replenishments of the modes that its token names."""
    TREASURY = "treasury"
    """The same for every mode, and approvals."""
    ADMIN = "admin"
    """Everything."""


class Principal(NamedTuple):
    """A known caller.

    Attributes:
        name: The caller's name, for the audit log.
        role: The caller's role.
        modes: The modes of a strategy; empty for the other roles.
        expires: When the token expires; None if it never does.
    """

    name: str
    role: Role
    modes: frozenset[str] = frozenset()
    expires: datetime | None = None

    def may_write(self, mode: str) -> bool:
        """Return whether the caller may act for a mode."""
        if self.role is Role.STRATEGY:
            return mode in self.modes
        return self.role in {Role.TREASURY, Role.ADMIN}

    def may_operate(self) -> bool:
        """Whether the caller may operate the daemon as a whole."""
        return self.role is Role.ADMIN

    def may_approve(self) -> bool:
        """Whether the caller may approve what a strategy must not approve for itself."""
        return self.role in {Role.TREASURY, Role.ADMIN}
