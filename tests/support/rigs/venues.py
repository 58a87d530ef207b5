"""Sources that query services over HTTP."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from reservd_http_json.balances import HttpJsonBalanceSource
from reservd_http_json.equity import HttpJsonEquitySource
from reservd_prometheus.balances import PrometheusBalanceSource
from reservd_prometheus.equity import PrometheusEquitySource
from support.rigs.rig import HttpRig, TellingRig, as_json


class HttpJson(HttpRig, TellingRig):
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
        """There is no server behind the front: it gives the answer itself."""
        await super().heal()
        self.tells(str(self.amount))

    def tells(self, number: str | None, off: timedelta = timedelta()) -> None:
        self.front.answers(200, self._page(f'"free": {as_json(number)}, ', off))

    def _page(self, told: str, off: timedelta = timedelta()) -> str:
        return f'{{{told}"at": "{(datetime.now(UTC) + off).isoformat()}"}}'

    def tells_zero_once(self) -> None:
        """The true amount is dated later, since one with an earlier time would not be believed."""
        self.tells(str(self.amount), timedelta(seconds=1))
        self.front.answers_once(200, self._page('"free": 0, '))

    def lacks_the_asset(self) -> None:
        self.front.answers(200, self._page(""))


class OfPrometheus(HttpRig, TellingRig):
    FAULTS = (
        *HttpRig.FAULTS, "tells NaN", "tells text", "lacks the asset", "tells two series", "tells an old number",
        "tells a number from the future",
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

    def tells(self, number: str | None, off: timedelta = timedelta()) -> None:
        self.front.answers(200, self._page(str(number), off=off))

    def _page(self, *values: str, off: timedelta = timedelta()) -> str:
        at = (datetime.now(UTC) + off).timestamp()
        result = [{"metric": {}, "value": [at, value]} for value in values]
        told = {"status": "success", "data": {"resultType": "vector", "result": result}}
        return json.dumps(told)

    def tells_zero_once(self) -> None:
        """The number only, not its time, which is queried separately."""
        self.front.answers_once(200, self._page("0"), asked="query=reserve")

    def lacks_the_asset(self) -> None:
        self.front.answers(200, self._page())

    def tells_two_series(self) -> None:
        self.front.answers(200, self._page("5", "500"))
