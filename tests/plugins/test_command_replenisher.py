"""The `command` replenisher, with real programs."""

import json
from pathlib import Path
from typing import Any

import pytest

from reservd.errors import DeliveryError, FailureReason
from reservd.plugin import AcceptanceStatus
from reservd.plugin.examples import example_request
from reservd.plugin.testing import ReplenisherContract
from reservd_command.replenisher import CommandReplenisher, CommandReplenisherConfig


def answering(folder: Path, script: str, **options: Any) -> CommandReplenisher:
    program = folder / "unwind"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return CommandReplenisher("unwinder", CommandReplenisherConfig(command=[str(program)], **options))


class TestCommandReplenisher(ReplenisherContract):
    plugin_class = CommandReplenisher

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"command": ["/bin/sh", "-c", 'cat >/dev/null; echo \'{"status": "accepted", "reference": "u-1"}\'']}


async def test_program_is_told_what_is_asked_and_its_answer_is_understood(tmp_path: Path) -> None:
    script = (
        f'cat > {tmp_path}/got; echo "$RESERVD_REQUEST_ID $RESERVD_MODE $RESERVD_URGENCY" > {tmp_path}/told\n'
        'echo \'{"status": "rejected", "reason": "nothing to unwind", "reference": null}\''
    )
    answer = await answering(tmp_path, script).request(example_request())
    assert (answer.status, answer.reason) == (AcceptanceStatus.REJECTED, "nothing to unwind")
    assert (tmp_path / "told").read_text() == "req-1 demo fast\n"
    assert json.loads((tmp_path / "got").read_text())["amount"] == "14999.75"


async def test_answer_comes_later_when_the_program_says_nothing(tmp_path: Path) -> None:
    answer = await answering(tmp_path, "exit 0").request(example_request())
    assert answer.status is AcceptanceStatus.PENDING


@pytest.mark.parametrize(
    ("script", "seconds", "reason", "retryable"),
    [
        ("echo broken >&2; exit 1", 60, FailureReason.REJECTED, True),
        ("exit 65", 60, FailureReason.REJECTED, False),
        ("sleep 60", 1, FailureReason.TIMEOUT, True),
        ("echo yes", 60, FailureReason.INVALID_DATA, True),
        ("echo '[]'", 60, FailureReason.INVALID_DATA, True),
        ('echo \'{"status": "perhaps"}\'', 60, FailureReason.INVALID_DATA, True),
    ],
)
async def test_request_fails_with_its_reason(
    tmp_path: Path, script: str, seconds: float, reason: FailureReason, retryable: bool
) -> None:
    with pytest.raises(DeliveryError) as caught:
        await answering(tmp_path, script, timeout=seconds).request(example_request())
    assert (caught.value.reason, caught.value.retryable) == (reason, retryable)
