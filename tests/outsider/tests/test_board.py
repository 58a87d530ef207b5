"""The board fulfils the contract of event sinks, and shows the latest status only."""

from pathlib import Path
from typing import Any

import pytest
from reservd_example.board import BoardConfig, BoardSink

from reservd.plugin import DeliveryError, EventType, FailureReason
from reservd.plugin.testing import EventSinkContract, example_event


class TestBoardSink(EventSinkContract):
    plugin_class = BoardSink

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"board": "board"}


def read(board: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in board.iterdir()}


async def test_board_shows_the_latest_status(tmp_path: Path) -> None:
    async with BoardSink("board", BoardConfig(board=tmp_path)) as sink:
        await sink.deliver(example_event(EventType.LOW))
        await sink.deliver(example_event(EventType.CRITICAL))
    shown = read(tmp_path)
    assert list(shown) == [f"{example_event().subject}.txt"]
    assert " critical: " in shown[f"{example_event().subject}.txt"]


async def test_delivery_fails_when_the_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DeliveryError) as raised:
        await BoardSink("board", BoardConfig(board=tmp_path / "taken")).deliver(example_event())
    assert raised.value.reason is FailureReason.UNREACHABLE
    assert raised.value.retryable
