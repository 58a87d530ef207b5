"""A minimal receiver in a process of its own, so that a benchmark does not measure it.

It answers every POST with 200. When it ends it writes a line for each to standard output: the time of its first byte,
in seconds of the machine's monotonic clock.
"""

import asyncio
import signal
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

_arrivals: list[float] = []
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._buffer = bytearray()
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._buffer:
            self._began = time.monotonic()
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._buffer) < end + 4 + length:
                return
            del self._buffer[: end + 4 + length]
            self._transport.write(_ANSWER)
            _arrivals.append(self._began)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


class Counter:
    """The receiver; a context manager.

    Attributes:
        url: The URL at which it listens.
    """

    url: str

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}/events"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self.stop()

    def stop(self) -> list[float]:
        """Stop it and return the time at which each message began to arrive."""
        self._process.terminate()
        return [float(line) for line in self._process.communicate()[0].split()]


def _end(*_: object) -> None:
    print(*_arrivals, sep="\n", flush=True)
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    asyncio.run(_serve())
