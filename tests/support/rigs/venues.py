"""Sources that ask services over HTTP."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from reservd_http_json.balances import HttpJsonBalanceSource
from reservd_http_json.equity import HttpJsonEquitySource
from reservd_prometheus.balances import PrometheusBalanceSource
from reservd_prometheus.equity import PrometheusEquitySource
from support.rigs.rig import HttpRig


class HttpJson(HttpRig):
    FAULTS = (
        *HttpRig.FAULTS, "tells NaN", "tells null", "tells text", "lacks the asset", "tells an old number",
        "tells a number from the future",
    )  # fmt: skip

    async def target(self) -> str:
        return ""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self.heal()
        return self

    def make(self) -> Any:
        entry = {"asset": "USDC", "amount": "$.free"}
        return self.build(HttpJsonBalanceSource, url=self.front.url, balances=[entry], observed_at="$.at")

    def make_equity(self) -> Any:
        return self.build(HttpJsonEquitySource, url=self.front.url, equity="$.free", observed_at="$.at")

    async def heal(self) -> None:
        """There is no server behind it: what a venue says is all there is."""
        await super().heal()
        self._tells_truth()

    def _tells_truth(self, off: timedelta = timedelta()) -> None:
        self._tells(json.dumps(str(self.amount)), off)

    def _tells(self, free: str | None, off: timedelta = timedelta()) -> None:
        self.front.answers(200, self._page(free, off))

    def _page(self, free: str | None, off: timedelta = timedelta()) -> str:
        at = (datetime.now(UTC) + off).isoformat()
        told = f'"free": {free}, ' if free is not None else ""
        return f'{{{told}"at": "{at}"}}'

    def tells_zero_once(self) -> None:
        """And then the truth of a later moment: of an earlier one it would not be believed any more."""
        self._tells_truth(timedelta(seconds=1))
        self.front.answers_once(200, self._page("0"))

    def tells_NaN(self) -> None:  # noqa: N802  # the fault's name
        self._tells("NaN")

    def tells_null(self) -> None:
        self._tells("null")

    def tells_text(self) -> None:
        self._tells('"n/a"')

    def lacks_the_asset(self) -> None:
        self._tells(None)

    def tells_an_old_number(self) -> None:
        self._tells("5", timedelta(hours=-1))

    def tells_a_number_from_the_future(self) -> None:
        self._tells("5", timedelta(hours=1))


class OfPrometheus(HttpRig):
    FAULTS = (
        *HttpRig.FAULTS, "tells NaN", "tells text", "lacks the asset", "tells two series", "tells an old sample",
        "tells a sample from the future",
    )  # fmt: skip

    async def target(self) -> str:
        gauges = await asyncio.to_thread(lambda: self.servers.gauges)
        return gauges.url

    def make(self) -> Any:
        entry = {"asset": "USDC", "query": self._query}
        return self.build(PrometheusBalanceSource, url=self.front.url, accounts={"main": entry})

    def make_equity(self) -> Any:
        return self.build(PrometheusEquitySource, url=self.front.url, query=self._query)

    @property
    def _query(self) -> str:
        return f'reserve{{of="{self.begin}"}}'

    def _tells(self, *values: str, off: timedelta = timedelta()) -> None:
        self.front.answers(200, self._page(*values, off=off))

    def _page(self, *values: str, off: timedelta = timedelta()) -> str:
        at = (datetime.now(UTC) + off).timestamp()
        result = [{"metric": {}, "value": [at, value]} for value in values]
        told = {"status": "success", "data": {"resultType": "vector", "result": result}}
        return json.dumps(told)

    def tells_zero_once(self) -> None:
        """The number, that is, and not its time, which is asked for too."""
        self.front.answers_once(200, self._page("0"), asked="query=reserve")

    def tells_NaN(self) -> None:  # noqa: N802  # the fault's name
        self._tells("NaN")

    def lacks_the_asset(self) -> None:
        self._tells()

    def tells_text(self) -> None:
        self._tells("n/a")

    def tells_two_series(self) -> None:
        self._tells("5", "500")

    def tells_an_old_sample(self) -> None:
        self._tells("5", off=timedelta(hours=-1))

    def tells_a_sample_from_the_future(self) -> None:
        self._tells("5", off=timedelta(hours=1))
