"""A file of lines that several processes append to and rotate, and that survives a power failure."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_FILE_MODE = 0o640
_FOLDER_MODE = 0o750
_MAX_TRIES = 100
"""Each is used up by a rotation, usually that of another process."""


class LineFile(NamedTuple):
    """The file for lines. It is reopened for each line, so it may be moved or removed any time.

    Attributes:
        path: The file; `<path>.1` is the one before it, `<path>.2` the one before that.
        max_bytes: The file is rotated before a line would make it longer; 0 for never.
        keep: How many old files are kept.
        sync: Whether an appended line is on the disk, and not only in the system's memory.
    """

    path: Path
    max_bytes: int
    keep: int
    sync: bool

    def append(self, line: bytes) -> None:
        """Append `line`, which ends in a line break.

        Raises:
            OSError: If it could not be appended as a whole. The partial line is cut off; if even that
                fails, the next line starts on a new one.
        """
        _make_folder(self.path.parent, sync=self.sync)
        for _ in range(_MAX_TRIES):
            with _locked(self.path) as descriptor:
                if not _is_at(self.path, descriptor):
                    continue  # moved away while this waited for the lock
                size = os.fstat(descriptor).st_size
                if self.max_bytes and size and size + len(line) > self.max_bytes:
                    _rotate(self.path, descriptor, self.keep)
                    continue
                self._write(descriptor, size, line)
                return
        raise OSError(errno.EAGAIN, "moved away again and again")

    def _write(self, descriptor: int, size: int, line: bytes) -> None:
        sync = self.sync and stat.S_ISREG(os.fstat(descriptor).st_mode)
        if sync and not size:
            _sync_folder(Path(os.path.realpath(self.path)).parent)  # the file may be new, or its name
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line  # a line that was cut short stays one broken line
        try:
            _write_whole(descriptor, line, sync=sync)
        except OSError:
            _take_back(descriptor, size, line)
            raise


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Open the file, created if missing, and wait for its lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _rotate(path: Path, descriptor: int, keep: int) -> None:
    """Move each old file one number up, over the last one if all exist, and the file to number 1."""
    path = Path(os.path.realpath(path))  # otherwise a link would move, and the file stay
    with _opened(path.parent) as folder:
        # The file's own lock is not enough: if another process moves it away, the next one may be locked and full too.
        fcntl.flock(folder, fcntl.LOCK_EX)
        if not _is_at(path, descriptor):
            return
        files = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, keep + 1))]
        free = next((number for number, each in enumerate(files) if not os.path.lexists(each)), keep)
        for number in range(free, 0, -1):
            with suppress(FileNotFoundError):  # moved away just now
                files[number - 1].replace(files[number])


def _write_whole(descriptor: int, line: bytes, *, sync: bool) -> None:
    # One call: lines of processes that append without the lock do not mix with it.
    written = os.write(descriptor, line)
    if written != len(line):
        raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes were written")
    if sync:
        os.fdatasync(descriptor)


def _take_back(descriptor: int, size: int, line: bytes) -> None:
    """Cut off the written part of `line`, unless a process without the lock has appended to it."""
    with suppress(OSError):
        if line.startswith(os.pread(descriptor, len(line) + 1, size)):
            os.ftruncate(descriptor, size)


def _make_folder(folder: Path, *, sync: bool) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent, sync=sync)
    folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    if sync:
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    with _opened(folder) as descriptor:
        os.fsync(descriptor)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
