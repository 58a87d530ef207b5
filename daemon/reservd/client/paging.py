"""Iterates over lists that come in pages."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

ItemT_co = TypeVar("ItemT_co", covariant=True)


class Page(Protocol[ItemT_co]):
    """One page of a list."""

    @property
    def items(self) -> Sequence[ItemT_co]:
        """The items on the page."""

    @property
    def next_cursor(self) -> Any:
        """The cursor of the next page; None on the last page."""


def walk_pages(fetch: Callable[..., Page[ItemT_co]], *args: Any, **filters: Any) -> Iterator[ItemT_co]:
    """Yield all items of a list, page by page."""
    page = fetch(*args, **filters)
    yield from page.items
    while page.next_cursor is not None:
        page = fetch(*args, **filters, cursor=page.next_cursor)
        yield from page.items


async def walk_pages_async(
    fetch: Callable[..., Awaitable[Page[ItemT_co]]], *args: Any, **filters: Any
) -> AsyncIterator[ItemT_co]:
    """Yield all items of a list whose pages are awaited."""
    page = await fetch(*args, **filters)
    for item in page.items:
        yield item
    while page.next_cursor is not None:
        page = await fetch(*args, **filters, cursor=page.next_cursor)
        for item in page.items:
            yield item
