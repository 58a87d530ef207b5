"""The page that is kept ready for scrapers."""

import zlib
from collections.abc import AsyncIterator

import pytest

from reservd.web.metrics import Metrics, News, Series
from reservd.web.page import MetricsPage
from support.polling import until


class Renderer:
    """Renders the number of pages so far; raises if the test says so."""

    def __init__(self) -> None:
        self.metrics = Metrics(Series({}))
        self.count = 0
        self.broken = False

    def render(self, news: News) -> bytes:
        broken = self.broken  # read before the counter for which a test waits
        self.count += 1
        if broken:
            raise RuntimeError("cannot render")
        return str(self.count).encode()


@pytest.fixture
def renderer() -> Renderer:
    return Renderer()


@pytest.fixture
async def page(renderer: Renderer) -> AsyncIterator[MetricsPage]:
    page = MetricsPage(renderer.metrics.take, renderer.render)
    await page.start()
    yield page
    await page.close()


async def test_page_is_there_before_the_first_cycle(page: MetricsPage) -> None:
    assert page.serve().plain == b"1"
    assert zlib.decompress(page.serve().gzipped, 31) == b"1"


async def test_page_is_rendered_again_when_a_cycle_has_finished(page: MetricsPage) -> None:
    page.cycle_finished(30.0, 0.1)
    await until(lambda: page.serve().plain == b"2")
    assert zlib.decompress(page.serve().gzipped, 31) == b"2"


async def test_many_changes_make_one_page(page: MetricsPage, renderer: Renderer) -> None:
    """They wait for the end of the second or of the cycle."""
    for _ in range(100):
        page.delivered("ops", 0.1, None)
    page.cycle_finished(30.0, 0.1)
    await until(lambda: renderer.count > 1)
    await until(lambda: not page._changed.is_set())
    assert renderer.count == 2


async def test_old_page_stays_when_rendering_fails_and_the_next_change_mends_it(
    page: MetricsPage, renderer: Renderer
) -> None:
    renderer.broken = True
    page.cycle_finished(30.0, 0.1)
    await until(lambda: renderer.count == 2)
    assert page.serve().plain == b"1"
    renderer.broken = False
    page.cycle_finished(30.0, 0.1)
    await until(lambda: page.serve().plain == b"3")
