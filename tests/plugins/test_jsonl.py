import asyncio
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.formats.json import JSONFormat

from reservd.plugin import DeliveryError, FailureReason
from reservd.plugin.examples import example_event
from reservd.plugin.testing import EventSinkContract
from reservd_jsonl.sink import JsonLinesSink


class TestJsonLinesSink(EventSinkContract):
    plugin_class = JsonLinesSink

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"path": "events/reserve.jsonl"}


def read_events(path: Path) -> list[BaseCloudEvent]:
    return [JSONFormat().read(None, line) for line in path.read_bytes().splitlines()]


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size`, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_line_is_a_cloud_event_when_read_by_another_library(build: Any, tmp_path: Path) -> None:
    async with build(JsonLinesSink, {"path": "e.jsonl"}) as sink:
        await sink.deliver(example_event())
    (event,) = read_events(tmp_path / "e.jsonl")
    assert (event.get_id(), event.get_type()) == ("evt-1", "reservd.reserve_low.v1")
    assert (event.get_source(), event.get_subject()) == ("/reservd/modes/demo", "demo")
    assert event.get_data()["reserve_balance"] == "40000.25"  # type: ignore[index,call-overload]


async def test_lines_do_not_mix_when_several_writers_append(build: Any, tmp_path: Path) -> None:
    ids = [f"evt-{number}" for number in range(40)]
    sinks = [build(JsonLinesSink, {"path": "e.jsonl"}) for _ in range(4)]
    for sink in sinks:
        await sink.__aenter__()
    await asyncio.gather(*(sinks[n % 4].deliver(example_event(event_id=i)) for n, i in enumerate(ids)))
    for sink in sinks:
        await sink.__aexit__(None, None, None)
    assert sorted(event.get_id() for event in read_events(tmp_path / "e.jsonl")) == sorted(ids)


async def test_file_is_not_for_everybody_when_it_is_made(build: Any, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with build(JsonLinesSink, {"path": "new/e.jsonl"}) as sink:
            await sink.deliver(example_event())
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new/e.jsonl").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o750


async def test_file_is_made_again_when_it_was_moved_away(build: Any, tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    async with build(JsonLinesSink, {"path": "e.jsonl"}) as sink:
        await sink.deliver(example_event(event_id="evt-1"))
        path.rename(tmp_path / "old.jsonl")
        await sink.deliver(example_event(event_id="evt-2"))
    assert [event.get_id() for event in read_events(path)] == ["evt-2"]


async def test_delivery_may_be_tried_again_when_the_disk_is_full(build: Any) -> None:
    async with build(JsonLinesSink, {"path": "/dev/full"}) as sink:
        with pytest.raises(DeliveryError, match="no space left on device") as failure:
            await sink.deliver(example_event())
    assert (failure.value.reason, failure.value.retryable) == (FailureReason.REJECTED, True)


@pytest.mark.parametrize("path", ["folder", "file/e.jsonl"])
async def test_delivery_may_be_tried_again_when_the_file_cannot_be_opened(
    build: Any, tmp_path: Path, path: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    async with build(JsonLinesSink, {"path": path}) as sink:
        with pytest.raises(DeliveryError) as failure:
            await sink.deliver(example_event())
    assert (failure.value.reason, failure.value.retryable) == (FailureReason.REJECTED, True)


async def test_next_line_is_whole_when_one_was_cut_short(build: Any, tmp_path: Path) -> None:
    """The disk fills up within a line, and has space again later."""
    path = tmp_path / "e.jsonl"
    async with build(JsonLinesSink, {"path": "e.jsonl"}) as sink:
        await sink.deliver(example_event(event_id="evt-1"))
        with file_size_limit(path.stat().st_size + 50), pytest.raises(DeliveryError, match="only 50 of"):
            await sink.deliver(example_event(event_id="evt-2"))
        await sink.deliver(example_event(event_id="evt-2"))
    first, broken, again = path.read_bytes().splitlines()
    assert len(broken) == 50
    assert [JSONFormat().read(None, line).get_id() for line in (first, again)] == ["evt-1", "evt-2"]


async def test_delivery_fails_when_the_sink_is_not_open(build: Any) -> None:
    with pytest.raises(DeliveryError, match="not open"):
        await build(JsonLinesSink, {"path": "e.jsonl"}).deliver(example_event())
