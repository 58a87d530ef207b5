import asyncio
import os
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.formats.json import JSONFormat
from pydantic import ValidationError

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


def ids_in(path: Path) -> list[str]:
    return [event.get_id() for event in read_events(path)]


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Limit the size of files of this process, like a full disk."""
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
    """The disk becomes full within a line, and has space again later."""
    path = tmp_path / "e.jsonl"
    async with build(JsonLinesSink, {"path": "e.jsonl"}) as sink:
        await sink.deliver(example_event(event_id="evt-1"))
        with file_size_limit(path.stat().st_size + 50), pytest.raises(DeliveryError, match="only 50 of"):
            await sink.deliver(example_event(event_id="evt-2"))
        await sink.deliver(example_event(event_id="evt-2"))
    assert ids_in(path) == ["evt-1", "evt-2"]


async def test_next_line_is_whole_when_a_broken_one_was_left(build: Any, tmp_path: Path) -> None:
    """The power failed within a line."""
    path = tmp_path / "e.jsonl"
    path.write_bytes(b'{"half": ')
    async with build(JsonLinesSink, {"path": "e.jsonl"}) as sink:
        await sink.deliver(example_event())
    broken, line = path.read_bytes().splitlines()
    assert (broken, JSONFormat().read(None, line).get_id()) == (b'{"half": ', "evt-1")


async def test_nothing_of_a_line_stays_when_the_broken_one_before_it_did(build: Any, tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(b'{"half": ')
    async with build(JsonLinesSink, {"path": "e.jsonl"}) as sink:
        with file_size_limit(20), pytest.raises(DeliveryError, match="only 11 of"):
            await sink.deliver(example_event())
    assert path.read_bytes() == b'{"half": '


@pytest.mark.parametrize("sync", [True, False])
async def test_file_becomes_an_old_one_when_it_gets_too_long(build: Any, tmp_path: Path, sync: bool) -> None:
    size = len(example_event().to_json()) + 1
    options = {"path": "new/e.jsonl", "max_bytes": 2 * size, "keep": 2, "sync": sync}
    async with build(JsonLinesSink, options) as sink:
        for number in range(1, 10):
            await sink.deliver(example_event(event_id=f"evt-{number}"))
    assert names_in(tmp_path / "new") == ["e.jsonl", "e.jsonl.1", "e.jsonl.2"]
    assert ids_in(tmp_path / "new/e.jsonl") == ["evt-9"]
    assert ids_in(tmp_path / "new/e.jsonl.1") == ["evt-7", "evt-8"]
    assert ids_in(tmp_path / "new/e.jsonl.2") == ["evt-5", "evt-6"]


async def test_no_old_file_is_removed_when_a_number_is_free(build: Any, tmp_path: Path) -> None:
    """As after an interrupted rotation, or after a file was moved away."""
    for number in (1, 3):
        (tmp_path / f"e.jsonl.{number}").write_text(f"{number}\n")
    (tmp_path / "e.jsonl").write_text("0\n")
    async with build(JsonLinesSink, {"path": "e.jsonl", "max_bytes": 10, "keep": 3}) as sink:
        await sink.deliver(example_event())
    assert [(tmp_path / f"e.jsonl.{number}").read_text() for number in (1, 2, 3)] == ["0\n", "1\n", "3\n"]


async def test_file_grows_when_it_is_never_rotated(build: Any, tmp_path: Path) -> None:
    async with build(JsonLinesSink, {"path": "e.jsonl", "max_bytes": 0}) as sink:
        for _ in range(3):
            await sink.deliver(example_event())
    assert names_in(tmp_path) == ["e.jsonl"]


async def test_line_stands_alone_when_it_is_longer_than_a_file_may_get(build: Any, tmp_path: Path) -> None:
    async with build(JsonLinesSink, {"path": "e.jsonl", "max_bytes": 1}) as sink:
        for number in range(3):
            await sink.deliver(example_event(event_id=f"evt-{number}"))
    assert [ids_in(tmp_path / f"e.jsonl{end}") for end in ("", ".1", ".2")] == [["evt-2"], ["evt-1"], ["evt-0"]]


async def test_file_and_not_its_link_is_rotated_when_the_path_is_one(build: Any, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "e.jsonl").symlink_to("disk/events")
    async with build(JsonLinesSink, {"path": "e.jsonl", "max_bytes": 1}) as sink:
        for number in range(2):
            await sink.deliver(example_event(event_id=f"evt-{number}"))
    assert (tmp_path / "e.jsonl").is_symlink()
    assert [ids_in(tmp_path / "disk" / name) for name in ("events", "events.1")] == [["evt-1"], ["evt-0"]]


async def test_delivery_may_be_tried_again_when_the_file_cannot_be_rotated(build: Any, tmp_path: Path) -> None:
    (tmp_path / "e.jsonl.1").mkdir()
    async with build(JsonLinesSink, {"path": "e.jsonl", "max_bytes": 1, "keep": 1}) as sink:
        await sink.deliver(example_event(event_id="evt-1"))
        with pytest.raises(DeliveryError) as failure:
            await sink.deliver(example_event(event_id="evt-2"))
        assert (failure.value.reason, failure.value.retryable) == (FailureReason.REJECTED, True)
        assert ids_in(tmp_path / "e.jsonl") == ["evt-1"]
        (tmp_path / "e.jsonl.1").rmdir()
        await sink.deliver(example_event(event_id="evt-2"))
    assert [ids_in(tmp_path / f"e.jsonl{end}") for end in ("", ".1")] == [["evt-2"], ["evt-1"]]


WRITER = """
import sys
from pathlib import Path
from reservd_jsonl.file import LineFile

path, name = sys.argv[1:]
file = LineFile(Path(path), max_bytes=2000, keep=1000, sync=False)
for number in range(300):
    file.append(f"{name} {number} {'x' * (number % 90)}\\n".encode())
"""


def test_no_line_is_lost_or_torn_when_several_processes_rotate_and_another_moves_files_away(tmp_path: Path) -> None:
    """Four daemons use one file, beside an external log rotation."""
    path = tmp_path / "e.log"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(n)]) for n in range(4)]
    moved = 0
    while any(writer.poll() is None for writer in writers):
        with suppress(FileNotFoundError):
            if moved < 15:
                path.rename(tmp_path / f"moved-{moved}.log")
                moved += 1
        time.sleep(0.002)
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    files = [each.read_text() for each in tmp_path.iterdir()]
    assert max(map(len, files)) <= 2000
    assert moved
    assert "e.log.1" in names_in(tmp_path)
    expected = [f"{name} {number} {'x' * (number % 90)}" for name in range(4) for number in range(300)]
    assert sorted(line for text in files for line in text.splitlines()) == sorted(expected)


@pytest.mark.parametrize("changes", [{"max_bytes": -1}, {"max_bytes": None}, {"keep": 0}, {"sync": "perhaps"}])
def test_config_is_refused_when_an_option_makes_no_sense(build: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(changes))):
        build(JsonLinesSink, {"path": "e.jsonl", **changes})


async def test_delivery_fails_when_the_sink_is_not_open(build: Any) -> None:
    with pytest.raises(DeliveryError, match="not open"):
        await build(JsonLinesSink, {"path": "e.jsonl"}).deliver(example_event())
