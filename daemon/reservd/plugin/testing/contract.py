"""The contract of every plugin, and of every call of one."""

import asyncio
import re
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from pydantic import ValidationError

from reservd.errors import CallError
from reservd.plugin.blocking import noting_what_blocks
from reservd.plugin.composition import Composite, Readers
from reservd.plugin.guard import deadline_of
from reservd.plugin.host import KINDS, PluginHost
from reservd.plugin.interfaces import Plugin

_PROMPT_SECONDS = 5

T = TypeVar("T")


class PluginContract:
    """The contract of every plugin class."""

    plugin_class: ClassVar[type[Plugin[Any]]]
    """The class under test."""

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        """Return options with which the plugin works here. Override this."""
        raise NotImplementedError(f"{type(self).__name__} must override the fixture 'options'")

    @pytest.fixture
    def readers(self) -> Readers:
        """Return the reader of the instances that the options name. Override this for a `Composite`."""
        return Readers()

    @pytest.fixture
    def plugin(self, options: dict[str, Any], readers: Readers, tmp_path: Path) -> Any:
        """Return the instance, built and connected as in the daemon, but not opened."""
        plugin = self._build(options, tmp_path)
        if isinstance(plugin, Composite):
            plugin.connect(readers)
        return plugin

    def test_name_is_one_lower_case_word(self) -> None:
        """Entry point, extra and PLUGIN_NAME are the same word."""
        name = self.plugin_class.PLUGIN_NAME
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), f"PLUGIN_NAME must be one lower-case word, got {name!r}"

    def test_host_finds_the_class_by_its_entry_point(self) -> None:
        """The hook registers the class under an entry point of its name."""
        kind = next(kind for kind, base in KINDS.items() if issubclass(self.plugin_class, base))
        found = PluginHost().plugin_class(kind, self.plugin_class.PLUGIN_NAME)
        assert found is self.plugin_class, f"reservd_register_{kind}() must return {self.plugin_class.__name__}"

    def test_config_refuses_unknown_options(self, options: dict[str, Any], tmp_path: Path) -> None:
        """A misspelt option is an error, not a default."""
        with pytest.raises(ValidationError, match="no_such_option"):
            self._build({**options, "no_such_option": 1}, tmp_path)

    def test_building_needs_no_running_loop(self, options: dict[str, Any], tmp_path: Path) -> None:
        """`reservd check-config` builds plugins without ever opening them."""
        plugin = self._build(options, tmp_path)
        assert plugin.name == "example", "the instance must keep the name it is given"
        assert isinstance(plugin.config, self.plugin_class.Config), "the instance must keep its options"

    @pytest.mark.asyncio
    async def test_opens_and_closes_twice(self, plugin: Plugin[Any]) -> None:
        """The daemon opens a plugin again after a failure or a close."""
        for _ in range(2):
            async with plugin as opened:
                assert opened is plugin, "__aenter__ must return the plugin"

    @pytest.mark.asyncio
    async def test_close_does_nothing_when_not_open(self, plugin: Plugin[Any]) -> None:
        """Closing never raises if the plugin is closed already."""
        await plugin.__aexit__(None, None, None)

    def _build(self, options: dict[str, Any], directory: Path) -> Plugin[Any]:
        config = self.plugin_class.Config.model_validate(options, context={"directory": directory, "environ": {}})
        return self.plugin_class("example", config)


async def in_time(plugin: Plugin[Any], call: Coroutine[Any, Any, T]) -> T:
    """Return what a call of the plugin returns; fail when the daemon would not have waited for it."""
    seconds = deadline_of(plugin.config)
    task = asyncio.create_task(call)
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        task.cancel()
    assert done, f"a call must end within its timeout, {seconds:g} s"
    return task.result()


async def check_cancellable(call: Coroutine[Any, Any, Any]) -> None:
    """Fail when a call continues after it was cancelled."""
    task = asyncio.create_task(call)
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=_PROMPT_SECONDS)
    assert done, f"a cancelled call must end within {_PROMPT_SECONDS} s"
    if not task.cancelled() and (error := task.exception()) is not None:
        assert isinstance(error, CallError), f"a cancelled call must not fail with {type(error).__name__}"


async def check_never_blocks(call: Coroutine[Any, Any, Any]) -> None:
    """Fail when a call blocks the event loop."""
    with noting_what_blocks() as found:
        await call
    assert not found, f"must not block the event loop, use asyncio.sleep() or asyncio.to_thread(): {found[0]}"
