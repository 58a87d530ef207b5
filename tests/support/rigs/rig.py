"""One source and its faults."""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from reservd import ReserveStatus
from support.front import Front
from support.rigs.servers import AMOUNTS, Servers

PATIENT_SECONDS, IMPATIENT_SECONDS = 10.0, 0.2
"""The timeout of a source. For faults that take time, each check costs this much, and the source is read again after it
has recovered: however busy the machine is, one of many readings is in time.
"""
TEXT = "n/a"
HTML = "<html><body>We will be back soon.</body></html>"

Break = Callable[[], Awaitable[None] | None]


def as_json(number: str | None) -> str:
    """Return a number of a `TellingRig` as it is written in JSON, including NaN, which many servers send."""
    return json.dumps(number) if number in {None, TEXT} else str(number)


class Rig:
    """A source, its faults, and their removal; an async context manager."""

    FAULTS: tuple[str, ...]
    TAKES_TIME = frozenset({"hangs", "answers slowly", "is locked"})
    """The faults that only delay a reading."""

    def __init__(
        self, servers: Servers, begin: ReserveStatus, folder: Path, fault: str = "", *, of_equity: bool = False
    ) -> None:
        self.servers, self.begin, self.folder, self.of_equity = servers, begin, folder, of_equity
        self.timeout_seconds = IMPATIENT_SECONDS if fault in self.TAKES_TIME else PATIENT_SECONDS
        self.amount = AMOUNTS[begin]
        self.source: Any

    async def __aenter__(self) -> Self:
        self.source = self.make_equity() if self.of_equity else self.make()
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def make(self) -> Any:
        """Return the balance source."""
        raise NotImplementedError

    def make_equity(self) -> Any:
        """Return the equity source that reads the same server."""
        raise NotImplementedError

    def build(self, cls: Any, **options: Any) -> Any:
        context = {"directory": self.folder, "environ": {}}
        return cls("bank", cls.Config.model_validate({"timeout": self.timeout_seconds, **options}, context=context))

    def breaks(self, fault: str) -> Break:
        """Return the function that causes a fault."""
        return getattr(self, fault.replace(" ", "_"))

    async def heal(self) -> None:
        """Remove every fault."""

    def tells_zero_once(self) -> None:
        """Report an amount of zero in the next reading only."""
        raise NotImplementedError

    def was_read(self) -> None:
        """Called after each reading."""


class TellingRig(Rig):
    """A source of one number, which may be replaced."""

    def tells(self, number: str | None, off: timedelta = timedelta()) -> None:
        """Report this from now on.

        Args:
            number: Its text, or a text that is no number; None is null.
            off: The offset of its time from now.
        """
        raise NotImplementedError

    def tells_NaN(self) -> None:  # noqa: N802  # the fault's name
        self.tells("NaN")

    def tells_null(self) -> None:
        self.tells(None)

    def tells_text(self) -> None:
        self.tells(TEXT)

    def tells_zero(self) -> None:
        self.tells("0")

    def tells_a_negative_number(self) -> None:
        self.tells("-5")

    def tells_an_old_number(self) -> None:
        self.tells("5", timedelta(hours=-1))

    def tells_a_number_from_the_future(self) -> None:
        self.tells("5", timedelta(hours=1))


class HttpRig(Rig):
    """A source that uses HTTP, through the front."""

    FAULTS = (
        "hangs", "refuses", "answers slowly", "breaks off", "answers 500", "answers 503", "answers 429",
        "answers HTML", "answers nothing", "answers the wrong type",
    )  # fmt: skip

    async def __aenter__(self) -> Self:
        self.front = await Front(await self.target()).__aenter__()
        return await super().__aenter__()

    async def __aexit__(self, *_: object) -> None:
        await self.front.__aexit__(None, None, None)

    async def target(self) -> str:
        """Return the URL of the real server."""
        raise NotImplementedError

    async def heal(self) -> None:
        await self.front.heal()

    def hangs(self) -> None:
        self.front.hangs()

    async def refuses(self) -> None:
        await self.front.refuses()

    def answers_slowly(self) -> None:
        self.front.delays(5 * self.timeout_seconds)

    def breaks_off(self) -> None:
        self.front.hangs_up()

    def answers_500(self) -> None:
        self.front.answers(500, HTML)

    def answers_503(self) -> None:
        self.front.answers(503)

    def answers_429(self) -> None:
        self.front.answers(429, Retry_After="1")

    def answers_HTML(self) -> None:  # noqa: N802  # the fault's name
        self.front.answers(200, HTML, Content_Type="text/html")

    def answers_nothing(self) -> None:
        self.front.answers(200)

    def answers_the_wrong_type(self) -> None:
        self.front.answers(200, '"all is well"', Content_Type="application/json")
