"""Reads one amount from a text file."""

from collections.abc import Mapping
from datetime import UTC, datetime

from reservd.plugin import (
    Account,
    Balance,
    BalanceSource,
    ConfigPath,
    FailureReason,
    PluginConfig,
    Reading,
    SourceError,
    parse_amount,
)


class TideConfig(PluginConfig):
    """Options of the `tide` balance source."""

    path: ConfigPath
    """The file; it holds one number."""
    asset: str
    """What the number is counted in."""


class TideSource(BalanceSource[TideConfig]):
    """Tells the number in a file."""

    PLUGIN_NAME = "tide"
    Config = TideConfig

    @property
    def accounts(self) -> Mapping[str, Account]:
        """The file is the one account."""
        return {"main": Account("main", "file", str(self.config.path), frozenset({self.config.asset}))}

    async def fetch_balances(self) -> Reading:
        """Read the file.

        Raises:
            SourceError: If it cannot be read or holds no number.
        """
        try:
            amount = parse_amount(self.config.path.read_text().strip())
        except OSError as error:
            raise SourceError(FailureReason.UNREACHABLE, error.strerror or "cannot be read") from None
        except ValueError as error:
            raise SourceError(FailureReason.INVALID_DATA, str(error)) from None
        return Reading([Balance("main", self.config.asset, amount, datetime.now(UTC))])
