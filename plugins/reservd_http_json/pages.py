"""Answers in several pages."""

import asyncio
from typing import Any, NamedTuple

from yarl import URL

from reservd.plugin import FailureReason, SourceError
from reservd.plugin.http import MAX_RESPONSE_BYTES, Response
from reservd_http_json.endpoint import Endpoint, parse
from reservd_http_json.values import JsonPath, ValueProblem, cursor_at


class Page(NamedTuple):
    """One page."""

    document: Any
    response: Response


class Pager:
    """Requests one page after another, until one has no next.

    Args:
        endpoint: The endpoint of the first page.
        next_path: Path to the next page; without it there is one page.
        parameter: The query parameter for a cursor; without it, `next_path` leads to a URL.
        max_pages: The largest number of pages.
        timeout_seconds: For all pages together.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        next_path: JsonPath | None,
        parameter: str | None,
        max_pages: int,
        timeout_seconds: float,
    ) -> None:
        self._endpoint = endpoint
        self._next_path = next_path
        self._parameter = parameter
        self._max_pages = max_pages
        self._timeout_seconds = timeout_seconds

    async def fetch(self) -> list[Page]:
        """Return all pages.

        Raises:
            SourceError: If one did not come, there are too many, or they are too large.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._fetch()
        except TimeoutError:
            raise SourceError(FailureReason.TIMEOUT, f"not all pages within {self._timeout_seconds:g} s") from None

    async def _fetch(self) -> list[Page]:
        pages: list[Page] = []
        size = 0
        url: str | None = self._endpoint.url
        while url is not None:
            if len(pages) == self._max_pages:
                raise SourceError(FailureReason.INVALID_DATA, f"there are more than {self._max_pages} pages")
            response = await self._endpoint.ask(url)
            size += len(response.body)
            if size > MAX_RESPONSE_BYTES:
                raise SourceError(FailureReason.INVALID_DATA, f"the pages are larger than {MAX_RESPONSE_BYTES} bytes")
            pages.append(Page(parse(response), response))
            url = self._next(pages[-1].document, url)
        return pages

    def _next(self, page: Any, url: str) -> str | None:
        if self._next_path is None:
            return None
        try:
            cursor = cursor_at([page], self._next_path)
        except ValueProblem as problem:
            raise SourceError(FailureReason.INVALID_DATA, f"next: {problem}") from None
        if cursor is None:
            return None
        here = URL(url)
        if self._parameter is not None:
            return str(here.update_query({self._parameter: cursor}))
        try:
            there = here.join(URL(cursor))
            same = there.origin() == here.origin()
        except ValueError:  # whose text may contain the URL
            raise SourceError(FailureReason.INVALID_DATA, "next: must be a URL") from None
        if not same:
            # The credentials would be sent there.
            raise SourceError(FailureReason.INVALID_DATA, "next: must be a URL of the same scheme, host and port")
        return str(there)
