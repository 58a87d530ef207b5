import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from reservd.errors import CallError
from reservd.plugin import CloudEvent, DeliveryError, FailureReason
from reservd.plugin.examples import example_event
from reservd.plugin.guard import GuardedPlugin
from reservd.plugin.testing import EventSinkContract
from reservd_command.sink import CommandSink
from support import programs
from support.polling import wait_until

R = FailureReason


class TestCommandSink(EventSinkContract):
    plugin_class = CommandSink

    @pytest.fixture
    def options(self, tmp_path: Path) -> dict[str, Any]:
        return {"command": [programs.sh(tmp_path, "cat >/dev/null")]}


async def deliver(sink: Any, event: CloudEvent | None = None) -> None:
    async with sink:
        await sink.deliver(event or example_event())


async def refused(sink: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as failure:
        await deliver(sink)
    return failure.value


@pytest.fixture(autouse=True)
def _no_child_is_left() -> Any:
    before = set(psutil.Process().children())  # processes that serve many tests, such as a database
    yield
    wait_until(lambda: set(psutil.Process().children()) <= before, "the end of all programs, zombies included")


async def test_program_finds_the_event_on_standard_input(build: Any, tmp_path: Path) -> None:
    event = example_event()
    await deliver(build(CommandSink, {"command": [programs.sh(tmp_path, f"cat > {tmp_path}/stdin")]}), event)
    assert CloudEvent.model_validate_json((tmp_path / "stdin").read_bytes()) == event


async def test_program_finds_a_small_environment(build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hidden")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
    monkeypatch.setenv("TZ", "UTC")
    command = [programs.python(tmp_path, f"import os, json; json.dump(dict(os.environ), open('{tmp_path}/env', 'w'))")]
    await deliver(build(CommandSink, {"command": command, "environment": {"TOKEN": "${T}"}}, environ={"T": "t0k3n"}))
    found = json.loads((tmp_path / "env").read_text())
    told = {"RESERVD_EVENT_ID": "evt-1", "RESERVD_EVENT_TYPE": "reserve_low", "RESERVD_MODE": "demo"}
    assert {name: found[name] for name in found if name.startswith("RESERVD_")} == told
    assert (found["TOKEN"], found["TZ"], found["PATH"]) == ("t0k3n", "UTC", os.environ["PATH"])
    assert not {"DATABASE_PASSWORD", "CREDENTIALS_DIRECTORY"} & set(found)


async def test_arguments_are_passed_as_they_are(build: Any, tmp_path: Path) -> None:
    arguments = ["$(touch pwned)", "; exit 1", "*", "", "a b", "{mode}"]
    script = programs.python(tmp_path, f"import sys, json; json.dump(sys.argv[1:], open('{tmp_path}/argv', 'w'))")
    await deliver(build(CommandSink, {"command": [script, *arguments], "directory": "."}))
    assert json.loads((tmp_path / "argv").read_text()) == arguments
    assert not (tmp_path / "pwned").exists()


async def test_program_is_found_in_the_path_of_its_environment(build: Any, tmp_path: Path) -> None:
    programs.sh(tmp_path, f"/bin/pwd > {tmp_path}/where", name="page-somebody")
    (tmp_path / "work").mkdir()
    options = {"command": ["page-somebody"], "environment": {"PATH": str(tmp_path)}, "directory": "work"}
    await deliver(build(CommandSink, options))
    assert (tmp_path / "where").read_text() == f"{tmp_path}/work\n"


@pytest.mark.parametrize(
    ("ending", "retryable", "detail"),
    [
        ("exit 1", True, "exit code 1"),
        ("exit 64", False, "exit code 64"),
        ("exit 65", False, "exit code 65"),
        ("exit 75", True, "exit code 75"),
        ("exit 78", False, "exit code 78"),
        ("exit 127", True, "exit code 127"),
        ("kill -9 $$", True, "ended by signal 9"),
        ("kill -15 $$", True, "ended by signal 15"),
        ("echo one >&2; printf 'two\\t\\033[1mbold' >&2; echo >&2; exit 3", True, "exit code 3: two  [1mbold"),
        ("yes | head -c 10000 | tr -d '\\n' >&2; exit 3", True, "exit code 3"),
        ("yes | head -c 5000 >&2; echo last >&2; exit 3", True, "exit code 3: last"),
        ("printf '\\377' >&2; exit 3", True, "exit code 3: \ufffd"),
    ],
)
async def test_delivery_fails_as_the_program_ends(
    build: Any, tmp_path: Path, ending: str, retryable: bool, detail: str
) -> None:
    error = await refused(build(CommandSink, {"command": [programs.sh(tmp_path, ending)]}))
    assert (error.reason, error.retryable, error.detail) == (R.REJECTED, retryable, detail)


async def test_failure_hides_the_secrets_that_the_program_complains_with(build: Any, tmp_path: Path) -> None:
    """With the host, which writes all failures."""
    script = programs.sh(tmp_path, 'echo "denied: $TOKEN" >&2; exit 1')
    sink = build(CommandSink, {"command": [script], "environment": {"TOKEN": "hidden-token"}})
    with pytest.raises(CallError) as failure:
        await GuardedPlugin(sink).call(lambda: sink.deliver(example_event()))
    assert failure.value.detail == "exit code 1: denied: **********"
    assert "hidden-token" not in repr(sink.config)


async def end_as_it_hangs(build: Any, script: str, pid_file: Path) -> None:
    """Have a hanging program killed once it has written down the process whose end is to be observed."""
    seconds = 0.5
    while True:
        error = await refused(build(CommandSink, {"command": [script], "timeout": seconds}))
        assert (error.reason, error.retryable, error.detail) == (R.TIMEOUT, True, f"still running after {seconds:g} s")
        if programs.has_begun(pid_file):
            return
        seconds *= 2


@pytest.mark.parametrize(
    "body",
    ["exec sleep 1000", "trap '' TERM INT HUP; while :; do sleep 1; done", "exec >&- 2>&- <&-; sleep 1000"],
)
async def test_program_is_ended_when_it_hangs(build: Any, tmp_path: Path, body: str) -> None:
    script = programs.sh(tmp_path, f"echo $$ > {tmp_path}/pid\n{body}")
    await end_as_it_hangs(build, script, tmp_path / "pid")
    programs.wait_until_gone(tmp_path / "pid")


async def test_grandchild_is_ended_when_the_program_hangs(build: Any, tmp_path: Path) -> None:
    script = programs.sh(tmp_path, f"sleep 1000 & echo $! > {tmp_path}/pid\nwait")
    await end_as_it_hangs(build, script, tmp_path / "pid")
    programs.wait_until_gone(tmp_path / "pid")


async def test_grandchild_is_ended_when_the_program_leaves_it_behind(build: Any, tmp_path: Path) -> None:
    """It holds standard error open, which must not delay the answer either."""
    await deliver(build(CommandSink, {"command": [programs.sh(tmp_path, f"sleep 1000 & echo $! > {tmp_path}/pid")]}))
    programs.wait_until_gone(tmp_path / "pid")


async def test_event_is_taken_when_a_grandchild_leaves_the_group(build: Any, tmp_path: Path) -> None:
    """A program may start a process that outlives it, whose open pipes must not delay the answer."""
    body = f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000' &\nwhile [ ! -s {tmp_path}/pid ]; do :; done"
    await deliver(build(CommandSink, {"command": [programs.sh(tmp_path, body)]}))
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


async def test_program_is_ended_when_the_delivery_is_cancelled(build: Any, tmp_path: Path) -> None:
    script = programs.sh(tmp_path, f"sleep 1000 & echo $! > {tmp_path}/pid\nwait")
    sink = build(CommandSink, {"command": [script]})
    delivery = asyncio.create_task(deliver(sink))
    while not programs.has_begun(tmp_path / "pid"):
        await asyncio.sleep(0.01)
    delivery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivery
    programs.wait_until_gone(tmp_path / "pid")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_event_is_taken_when_the_program_writes_a_lot(build: Any, tmp_path: Path, stream: str) -> None:
    body = f"import sys\nfor _ in range(500): sys.{stream}.write('x' * 100_000 + '\\n')"
    await deliver(build(CommandSink, {"command": [programs.python(tmp_path, body)]}))


async def test_event_is_taken_when_the_program_does_not_read_it(build: Any, tmp_path: Path) -> None:
    event = example_event()
    long = event.model_copy(update={"data": event.data.model_copy(update={"reason": "x" * 1_000_000})})
    await deliver(build(CommandSink, {"command": [programs.sh(tmp_path, "exec 0<&-; sleep 0.1")]}), long)


async def test_event_is_read_whole_when_it_is_larger_than_a_pipe(build: Any, tmp_path: Path) -> None:
    event = example_event()
    long = event.model_copy(update={"data": event.data.model_copy(update={"reason": "x" * 1_000_000})})
    await deliver(build(CommandSink, {"command": [programs.sh(tmp_path, f"cat > {tmp_path}/stdin")]}), long)
    assert (tmp_path / "stdin").read_bytes() == long.to_json()


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("missing", "no such file or directory"),
        ("plain", "permission denied"),
        ("folder", "permission denied"),
        ("nonsense", "exec format error"),
    ],
)
async def test_delivery_may_be_tried_again_when_the_program_cannot_be_started(
    build: Any, tmp_path: Path, name: str, detail: str
) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "nonsense").write_bytes(b"\0\1\2")
    (tmp_path / "nonsense").chmod(0o755)
    error = await refused(build(CommandSink, {"command": [f"{tmp_path}/{name}"]}))
    assert (error.reason, error.retryable, error.detail) == (R.UNREACHABLE, True, f"{tmp_path}/{name}: {detail}")


async def test_delivery_may_be_tried_again_when_the_directory_is_missing(build: Any, tmp_path: Path) -> None:
    error = await refused(build(CommandSink, {"command": ["true"], "directory": "gone"}))
    assert (error.reason, error.detail) == (R.UNREACHABLE, f"{tmp_path}/gone: no such file or directory")


async def test_programs_run_beside_each_other(build: Any, tmp_path: Path) -> None:
    """Each waits until the other has begun."""
    body = f"touch {tmp_path}/$RESERVD_EVENT_ID\nwhile [ ! -e {tmp_path}/a ] || [ ! -e {tmp_path}/b ]; do :; done"
    async with build(CommandSink, {"command": [programs.sh(tmp_path, body)]}) as sink:
        await asyncio.gather(*(sink.deliver(example_event(event_id=name)) for name in ("a", "b")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"command": []}, "command"),
        ({"command": [""]}, "must begin with an absolute path or a name in PATH"),
        ({"command": ["./page"]}, "must begin with an absolute path or a name in PATH, got ./page"),
        ({"command": ["bin/page"]}, "must begin with an absolute path or a name in PATH"),
        ({"command": ["true", "a\0b"]}, "must not hold a NUL byte"),
        ({"command": "true"}, "command"),
        ({"environment": {"A": "a\0hidden"}}, "must not hold a NUL byte"),
        ({"environment": {"A=B": "hidden"}}, "environment"),
        ({"environment": {"RESERVD_MODE": "hidden"}}, "must not hold RESERVD_MODE"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_config_is_refused_with_the_rule_it_breaks(build: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as failure:
        build(CommandSink, {"command": ["true"], **changes})
    assert "hidden" not in str(failure.value)
