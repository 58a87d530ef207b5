"""A terminal in which a program runs, as a person uses it.

with Terminal("status", "--watch") as terminal:
    terminal.wait_for("3 modes")
    assert terminal.interrupt() == 0
"""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
from contextlib import ExitStack
from typing import Self

from support.daemon import PROGRAM
from support.polling import wait_until

LEAVES_SCREEN = "\x1b[?1049l"
"""The control sequence that restores the screen from before the program."""
_PATIENCE_SECONDS = 60.0


class Terminal:
    """`reservd` in a terminal of its own; a context manager that ends it if necessary."""

    def __init__(self, *arguments: object, columns: int = 80, lines: int = 24) -> None:
        """Prepare it.

        Args:
            arguments: Of the command line.
            columns: The width of the terminal.
            lines: Its height.
        """
        self._command = [str(PROGRAM), *map(str, arguments)]
        self._size = struct.pack("HHHH", lines, columns, 0, 0)
        self._written = bytearray()
        self._process: subprocess.Popen[bytes]
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            reader, inside = pty.openpty()
            starting.callback(os.close, reader)
            fcntl.ioctl(inside, termios.TIOCSWINSZ, self._size)
            environ = {**os.environ, "TERM": "xterm-256color"}
            for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
                environ.pop(name, None)
            try:
                self._process = subprocess.Popen(
                    self._command, stdin=inside, stdout=inside, stderr=inside, env=environ, start_new_session=True
                )
            finally:
                os.close(inside)
            reading = threading.Thread(target=self._read, args=(reader,), daemon=True)
            reading.start()
            starting.callback(reading.join, _PATIENCE_SECONDS)
            starting.callback(self.end, signal.SIGKILL)
            self._resources = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    @property
    def text(self) -> str:
        """All output so far, with control sequences."""
        return self._written.decode(errors="replace")

    def wait_for(self, text: str, after: int = 0) -> int:
        """Wait until a text appears after a position, and return the position behind it."""
        wait_until(lambda: text in self.text[after:], f"{text!r} in the terminal, which shows {self.text[after:]!r}")
        return self.text.index(text, after) + len(text)

    def interrupt(self) -> int:
        """Do what Ctrl-C does, and return the exit code."""
        return self.end(signal.SIGINT)

    def end(self, number: signal.Signals) -> int:
        """Send a signal, unless it has ended, and return the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait until it ends by itself, and return the exit code."""
        return self._process.wait(_PATIENCE_SECONDS)

    def _read(self, reader: int) -> None:
        while True:
            try:
                part = os.read(reader, 64 * 1024)
            except OSError:  # how a terminal reports that the program has closed it
                return
            if not part:
                return
            self._written += part
