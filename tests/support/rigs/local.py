"""A source that runs a program."""

from datetime import UTC, datetime, timedelta
from typing import Any, Self

from reservd_command.balances import CommandBalanceSource
from reservd_command.equity import CommandEquitySource
from support import programs
from support.rigs.rig import HTML, TellingRig, as_json


class Command(TellingRig):
    FAULTS = (
        "hangs", "answers slowly", "fails", "is missing", "answers HTML", "answers nothing", "breaks off",
        "answers the wrong type", "tells NaN", "tells null", "tells text", "lacks the asset", "tells an old number",
        "tells a number from the future",
    )  # fmt: skip

    async def __aenter__(self) -> Self:
        await self.heal()
        return await super().__aenter__()

    @property
    def _command(self) -> list[str]:
        return [str(self.folder / "program")]

    def make(self) -> Any:
        return self.build(CommandBalanceSource, command=self._command, accounts={"main": {"assets": ["USDC"]}})

    def make_equity(self) -> Any:
        return self.build(CommandEquitySource, command=self._command)

    async def heal(self) -> None:
        self.tells(str(self.amount))

    def _runs(self, script: str) -> None:
        programs.sh(self.folder, script)

    def _says(self, text: str) -> None:
        (self.folder / "answer").write_text(text)
        self._runs(f"cat {self.folder}/answer")

    def tells(self, number: str | None, off: timedelta = timedelta()) -> None:
        told = f'{as_json(number)}, "observed_at": "{(datetime.now(UTC) + off).isoformat()}"'
        if self.of_equity:
            self._says(f'{{"currency": "USDC", "equity": {told}}}')
        else:
            self._says(f'{{"balances": [{{"account": "main", "asset": "USDC", "amount": {told}}}]}}')

    def hangs(self) -> None:
        self._runs("exec sleep 60")

    def answers_slowly(self) -> None:
        self._runs(f"sleep {5 * self.timeout_seconds}; cat {self.folder}/answer")

    def breaks_off(self) -> None:
        self._runs(f"head -c 20 {self.folder}/answer")

    def fails(self) -> None:
        self._runs(f"cat {self.folder}/answer; exit 3")

    def is_missing(self) -> None:
        (self.folder / "program").unlink()

    def answers_HTML(self) -> None:  # noqa: N802  # the fault's name
        self._says(HTML)

    def answers_nothing(self) -> None:
        self._runs("exit 0")

    def answers_the_wrong_type(self) -> None:
        self._says("[7]")

    def tells_zero_once(self) -> None:
        """The second reading reports the true amount again."""
        self.tells("0")
        (self.folder / "zero").write_text((self.folder / "answer").read_text())
        self.tells(str(self.amount))
        self._runs(f"cat {self.folder}/zero 2>/dev/null && rm {self.folder}/zero || cat {self.folder}/answer")

    def lacks_the_asset(self) -> None:
        self._says('{"balances": []}')
