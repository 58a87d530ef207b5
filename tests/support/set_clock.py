"""A wall clock that a test sets, for daemons in processes of their own. The monotonic clock is not affected.

with SetClock(tmp_path / "clock") as clock:
    daemon = nursery.start(config, clock=clock)
    clock.set(hours=-3)
"""

import datetime as dt
import importlib
import mmap
import pkgutil
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Self

_OFFSET = struct.Struct("d")
_GOES_BY_IT = ("reservd", "apscheduler")
_PLUGINS = ("reservd_http_json", "reservd_webhook")


class SetClock:
    """The error of a clock; a context manager.

    Attributes:
        path: The file that holds it, which daemons read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(_OFFSET.pack(0.0))

    def __enter__(self) -> Self:
        self._file = self.path.open("r+b")
        self._memory = mmap.mmap(self._file.fileno(), _OFFSET.size)
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.close()
        self._file.close()

    def set(self, *, hours: float) -> None:
        """Set the clock ahead by this many hours; behind if below 0."""
        _OFFSET.pack_into(self._memory, 0, dt.timedelta(hours=hours).total_seconds())


def install(path: Path) -> None:
    """Make the code of this process, and its scheduler, use the clock of that file from now on."""
    with path.open("rb") as file:
        memory = mmap.mmap(file.fileno(), _OFFSET.size, access=mmap.ACCESS_READ)

    def offset() -> float:
        seconds: float = _OFFSET.unpack_from(memory)[0]
        return seconds

    for package in _PLUGINS:
        for found in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            importlib.import_module(found.name)  # modules that are imported later would use the machine's clock
    shifted = _shifted(offset)
    for name, module in list(sys.modules.items()):
        if name.startswith(_GOES_BY_IT) and isinstance(module, ModuleType):
            for key, value in list(vars(module).items()):
                if value is dt.datetime:
                    setattr(module, key, shifted)
    tell = time.time
    time.time = lambda: tell() + offset()


def _shifted(offset: Callable[[], float]) -> type[dt.datetime]:
    class Meta(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, dt.datetime)

    class Shifted(dt.datetime, metaclass=Meta):
        @classmethod
        def now(cls, tz: Any = None) -> dt.datetime:  # type: ignore[override]  # it returns a plain one
            return dt.datetime.now(tz) + dt.timedelta(seconds=offset())

    return Shifted
