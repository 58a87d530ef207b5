"""A lock beside a SQLite store, which shows at once that the owner's process has died."""

import contextlib
import fcntl
import os
from pathlib import Path

from reservd.errors import StoreError

_FILE_MODE = 0o600


class ProcessLock:
    """Proves on one machine that the process that owned a SQLite store has ended.

    Before an owner takes the store, it locks a file that is named for its epoch. The kernel drops the lock when the
    process ends, but not while it is suspended. The previous owner's file stays until the store is taken, as the proof
    for every further attempt.

    Args:
        store: The SQLite file; None on PostgreSQL, where nothing is locked and nothing can be proven.
    """

    def __init__(self, store: Path | None) -> None:
        self._store = store
        self._held: tuple[int, Path] | None = None

    def hold(self, epoch: int) -> bool:
        """Lock the file of an epoch. Return False when another process holds the lock.

        Raises:
            StoreError: If no file can be locked there: the disk is full, read-only or gone.
        """
        if self._store is None:
            return True
        path = self._path(self._store, epoch)
        try:
            self._store.parent.mkdir(parents=True, exist_ok=True)
            descriptor = _lock(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error
        if descriptor is None:
            return False
        self.release()
        self._held = descriptor, path
        return True

    def settle(self, epoch: int) -> None:
        """Remove the previous owner's file: the store has been taken for this epoch."""
        if self._store is not None:
            _remove(self._path(self._store, epoch - 1))

    def is_orphaned(self, epoch: int) -> bool:
        """Return whether the owner of that epoch locked its file and no longer holds the lock."""
        if self._store is None:
            return False
        try:
            descriptor = _lock(self._path(self._store, epoch), os.O_RDONLY)
        except OSError:
            return False
        if descriptor is None:
            return False
        os.close(descriptor)
        return True

    def release(self) -> None:
        """Drop the lock."""
        if self._held is not None:
            descriptor, path = self._held
            self._held = None
            _remove(path)
            os.close(descriptor)

    @staticmethod
    def _path(store: Path, epoch: int) -> Path:
        return store.with_name(f"{store.name}-owner-{epoch}")


def _lock(path: Path, flags: int) -> int | None:
    """Return a descriptor that holds the lock; None when another process holds it."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, _FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # a file that is left behind does not affect later epochs
        path.unlink(missing_ok=True)
