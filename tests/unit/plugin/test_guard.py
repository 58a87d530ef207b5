"""Calls of plugins: a failure of a plugin costs its own call and nothing else."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Self

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from reservd.errors import CallError, DeliveryError, FailureReason, SourceError
from reservd.plugin import BalanceSource, Plugin, Reading, Secret, SourceConfig
from reservd.plugin.guard import DEFAULT_TIMEOUT_SECONDS, GuardedPlugin, retryable

PROMPT_SECONDS = 0.05
"""A timeout that a call which never ends always exceeds."""


class Options(SourceConfig):
    timeout: float = 30.0
    token: Secret = SecretStr("hidden-token")


class Actor(Plugin[Options]):
    """Does what a test says."""

    PLUGIN_NAME = "actor"
    Config = Options

    def __init__(self, timeout_seconds: float = 30.0) -> None:
        super().__init__("actor", Options(timeout=timeout_seconds))
        self.on_open: Callable[[], Coroutine[Any, Any, object]] | None = None
        self.on_close: Callable[[], Coroutine[Any, Any, object]] | None = None
        self.opened = 0
        self.closed = 0

    async def __aenter__(self) -> Self:
        self.opened += 1
        if self.on_open is not None:
            await self.on_open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.closed += 1
        if self.on_close is not None:
            await self.on_close()


class Stubborn:
    """A call that ignores its cancellation and ends when it is released."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.ended = asyncio.Event()
        self.started = 0

    async def __call__(self) -> str:
        self.started += 1
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                continue
        self.ended.set()
        return "late"


def raising(error: BaseException) -> Callable[[], Coroutine[Any, Any, Any]]:
    async def call() -> Any:
        raise error

    return call


async def answer() -> str:
    return "answer"


async def for_ever() -> None:
    await asyncio.Event().wait()


async def failure_of(
    guarded: GuardedPlugin, method: Callable[[], Coroutine[Any, Any, Any]], key: str = ""
) -> CallError:
    with pytest.raises(CallError) as raised:
        await guarded.call(method, key)
    return raised.value


async def test_call_returns_what_the_plugin_returns() -> None:
    plugin = Actor()
    guarded = GuardedPlugin(plugin)
    assert plugin.opened == 0, "nothing is opened before it is needed"
    assert [await guarded.call(answer), await guarded.call(answer)] == ["answer", "answer"]
    assert plugin.opened == 1
    await guarded.close()
    await guarded.close()
    assert plugin.closed == 1


async def test_plugin_is_opened_once_when_calls_come_at_the_same_time() -> None:
    plugin = Actor()
    plugin.on_open = lambda: asyncio.sleep(0)
    guarded = GuardedPlugin(plugin)
    await asyncio.gather(*(guarded.call(answer, str(number)) for number in range(5)))
    assert plugin.opened == 1


async def test_plugin_is_opened_again_when_it_is_called_after_a_close() -> None:
    plugin = Actor()
    guarded = GuardedPlugin(plugin)
    await guarded.call(answer)
    await guarded.close()
    assert await guarded.call(answer) == "answer"
    assert plugin.opened == 2


class Unheard(BaseException):
    """As some libraries raise it, past `except Exception`."""


@pytest.mark.parametrize(
    ("error", "reason", "detail"),
    [
        (KeyError("available"), FailureReason.INTERNAL, "KeyError"),
        (SystemExit(3), FailureReason.INTERNAL, "SystemExit"),
        (KeyboardInterrupt(), FailureReason.INTERNAL, "KeyboardInterrupt"),
        (GeneratorExit(), FailureReason.INTERNAL, "GeneratorExit"),
        (Unheard(), FailureReason.INTERNAL, "Unheard"),
        (BaseExceptionGroup("several", [SystemExit(), ValueError()]), FailureReason.INTERNAL, "BaseExceptionGroup"),
        (asyncio.CancelledError(), FailureReason.INTERNAL, "the plugin cancelled its own call"),
        (TimeoutError(), FailureReason.TIMEOUT, "the plugin gave up waiting"),
        (SourceError(FailureReason.RATE_LIMITED, "slow down"), FailureReason.RATE_LIMITED, "slow down"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_call_fails_with_a_closed_reason_when_the_plugin_raises(
    error: BaseException, reason: FailureReason, detail: str
) -> None:
    guarded = GuardedPlugin(Actor())
    with capture_logs():
        failure = await failure_of(guarded, raising(error))
    assert (failure.reason, failure.detail) == (reason, detail)
    assert await guarded.call(answer) == "answer", "and the next one is not affected"


@pytest.mark.parametrize("rubbish", [None, 5, "text", object()])
async def test_call_fails_when_the_method_is_not_async(rubbish: Any) -> None:
    with capture_logs():
        failure = await failure_of(GuardedPlugin(Actor()), lambda: rubbish)
    assert (failure.reason, failure.detail) == (FailureReason.INTERNAL, "TypeError")


async def test_call_is_given_up_when_it_hangs() -> None:
    guarded = GuardedPlugin(Actor(PROMPT_SECONDS))
    failure = await failure_of(guarded, for_ever)
    assert (failure.reason, failure.detail) == (FailureReason.TIMEOUT, f"no answer within {PROMPT_SECONDS} s")
    assert await guarded.call(answer) == "answer"


async def test_call_is_left_behind_when_it_swallows_its_cancellation() -> None:
    """No second call is started beside it, calls with another key continue, and all is as before once it ends."""
    guarded = GuardedPlugin(Actor(PROMPT_SECONDS))
    stubborn = Stubborn()
    assert (await failure_of(guarded, stubborn)).reason is FailureReason.TIMEOUT
    for _ in range(3):
        failure = await failure_of(guarded, stubborn)
        assert failure.detail == "the previous call has still not ended"
    assert await guarded.call(answer, "another key") == "answer"
    stubborn.let_go.set()
    await stubborn.ended.wait()
    assert stubborn.started == 1
    assert await guarded.call(answer) == "answer"


async def test_call_is_left_behind_when_its_caller_is_cancelled() -> None:
    guarded = GuardedPlugin(Actor())
    stubborn = Stubborn()
    caller = asyncio.create_task(guarded.call(stubborn))
    while not stubborn.started:
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert (await failure_of(guarded, answer)).detail == "the previous call has still not ended"
    stubborn.let_go.set()
    await stubborn.ended.wait()
    assert await guarded.call(answer) == "answer"


async def test_nothing_is_reported_when_a_call_left_behind_fails_at_last() -> None:
    """The event loop would print the exception of a forgotten task."""
    guarded = GuardedPlugin(Actor(PROMPT_SECONDS))
    ended = asyncio.Event()
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def fail_late() -> None:
        try:
            await for_ever()
        except asyncio.CancelledError:
            raise RuntimeError("while being cancelled") from None
        finally:
            ended.set()

    with capture_logs():
        assert (await failure_of(guarded, fail_late)).reason is FailureReason.TIMEOUT
        await ended.wait()
        await asyncio.sleep(0)
    assert complaints == []


async def test_opening_is_tried_again_when_it_failed() -> None:
    plugin = Actor()
    plugin.on_open = raising(OSError("no route"))
    guarded = GuardedPlugin(plugin)
    with capture_logs():
        assert (await failure_of(guarded, answer)).detail == "OSError"
        assert (await failure_of(guarded, answer)).detail == "OSError"
    plugin.on_open = None
    assert await guarded.call(answer) == "answer"
    assert plugin.opened == 3


async def test_opening_is_given_up_when_it_hangs() -> None:
    plugin = Actor(PROMPT_SECONDS)
    plugin.on_open = for_ever
    guarded = GuardedPlugin(plugin)
    assert (await failure_of(guarded, answer)).reason is FailureReason.TIMEOUT
    plugin.on_open = None
    assert await guarded.call(answer) == "answer"


async def test_close_does_nothing_when_nothing_was_opened() -> None:
    plugin = Actor()
    await GuardedPlugin(plugin).close()
    assert plugin.closed == 0


@pytest.mark.parametrize(
    ("on_close", "reason"),
    [(raising(OSError()), "internal"), (raising(SystemExit()), "internal"), (for_ever, "timeout")],
)
async def test_close_never_raises(on_close: Callable[[], Coroutine[Any, Any, object]], reason: str) -> None:
    plugin = Actor()
    plugin.on_close = on_close
    guarded = GuardedPlugin(plugin)
    await guarded.call(answer)
    with capture_logs() as logs:
        await guarded.close()
    (line,) = [line for line in logs if line["event"] == "plugin.close_failed"]
    assert (line["plugin"], line["reason"]) == ("actor", reason)


def broke(logs: Any) -> list[str]:
    return [line["error"] for line in logs if line["event"] == "plugin.broke"]


async def test_traceback_is_logged_once_when_a_plugin_breaks_every_cycle() -> None:
    guarded = GuardedPlugin(Actor())
    with capture_logs() as logs:
        for _ in range(5):
            await failure_of(guarded, raising(KeyError("available")))
    assert broke(logs) == ["KeyError"]
    assert "Traceback (most recent call last)" in logs[0]["exception"]
    assert "KeyError: 'available'" in logs[0]["exception"]


async def test_traceback_is_logged_again_when_the_plugin_was_well_in_between() -> None:
    guarded = GuardedPlugin(Actor())
    with capture_logs() as logs:
        await failure_of(guarded, raising(KeyError()))
        await guarded.call(answer)
        await failure_of(guarded, raising(KeyError()))
    assert broke(logs) == ["KeyError", "KeyError"]


async def test_traceback_of_each_kind_is_logged_once_when_they_alternate() -> None:
    guarded = GuardedPlugin(Actor())
    with capture_logs() as logs:
        for _ in range(3):
            await failure_of(guarded, raising(KeyError()))
            await failure_of(guarded, raising(ValueError()))
    assert broke(logs) == ["KeyError", "ValueError"]


async def test_traceback_is_logged_once_when_one_mode_breaks_and_another_does_not() -> None:
    """A successful call of another mode must not reset what is known of the failing one."""
    guarded = GuardedPlugin(Actor())
    with capture_logs() as logs:
        for _ in range(3):
            await failure_of(guarded, raising(KeyError()), "broken mode")
            await guarded.call(answer, "good mode")
            await failure_of(guarded, raising(SourceError(FailureReason.TIMEOUT)), "slow mode")
    assert broke(logs) == ["KeyError"]


async def test_no_secret_is_shown_when_an_exception_holds_it() -> None:
    guarded = GuardedPlugin(Actor())
    with capture_logs() as logs:
        failure = await failure_of(guarded, raising(RuntimeError("GET /?key=hidden-token failed")))
    assert "hidden-token" not in f"{logs}{failure}"
    assert "RuntimeError: GET /?key=********** failed" in logs[0]["exception"]


async def test_no_secret_is_shown_when_a_failure_holds_it() -> None:
    """The plugin's own text is shown without the secrets in it."""
    said = DeliveryError(FailureReason.REJECTED, "hidden-token is not known", retryable=False)
    failure = await failure_of(GuardedPlugin(Actor()), raising(said))
    assert str(failure) == "rejected: ********** is not known"
    assert not retryable(failure)


@pytest.mark.parametrize(("said", "told"), [(60, 60.0), (None, None), ("soon", None)])
async def test_failure_tells_how_long_the_other_side_wants_to_be_left_alone(said: Any, told: float | None) -> None:
    error = SourceError(FailureReason.RATE_LIMITED, retry_after_seconds=said)
    assert (await failure_of(GuardedPlugin(Actor()), raising(error))).retry_after_seconds == told


def test_failure_is_worth_another_try_unless_the_plugin_says_otherwise() -> None:
    assert retryable(CallError(FailureReason.TIMEOUT))
    assert retryable(DeliveryError(FailureReason.REJECTED))
    assert not retryable(DeliveryError(FailureReason.REJECTED, retryable=False))


class Prism(Actor, BalanceSource[Options]):
    """Has endpoints, and raises when asked for them if the test says so."""

    broken = False

    async def fetch_balances(self) -> Reading:
        return Reading([])

    @property
    def endpoints(self) -> dict[str, bool]:
        if self.broken:
            raise KeyError("hidden-token")
        return {"own-node": True, "https://node/hidden-token": False}


async def test_endpoints_are_told_without_secrets() -> None:
    assert GuardedPlugin(Prism()).endpoints() == {"own-node": True, "2": False}
    assert GuardedPlugin(Actor()).endpoints() == {}


async def test_source_has_no_endpoints_when_it_breaks_on_them_and_the_traceback_is_told_once() -> None:
    source = Prism()
    source.broken = True
    guarded = GuardedPlugin(source)
    with capture_logs() as logs:
        assert [guarded.endpoints() for _ in range(3)] == [{}] * 3
    assert [log["event"] for log in logs] == ["plugin.broke"]
    assert "hidden-token" not in str(logs)
    source.broken = False
    assert guarded.endpoints()


def test_deadline_is_the_usual_one_when_a_plugin_leaves_its_own_open() -> None:
    actor = Actor()
    actor.config = Options.model_construct(timeout=None)
    assert GuardedPlugin(actor).timeout_seconds == DEFAULT_TIMEOUT_SECONDS


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "soon", [10]])
def test_plugin_is_refused_when_its_deadline_is_none(timeout: object) -> None:
    actor = Actor()
    actor.config = Options.model_construct(timeout=timeout)
    with pytest.raises(ValueError, match="the option timeout must be seconds above 0, got"):
        GuardedPlugin(actor)
