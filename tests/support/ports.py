"""Ports of 127.0.0.1 whose numbers tests need before a server listens there.

with kept_port() as port:
    ...  # connections are refused, unless the test starts a server on it
"""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager


class KeptPort:
    """A port that is reserved until it is closed.

    The kernel does not give it to anyone who asks for any free port, as tests in other processes often do. A server
    that is told its number may listen there, stop and start again: it shares the port with this socket, which does not
    listen (SO_REUSEADDR; see socket(7)).

    Attributes:
        number: The number of the port.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Release it."""
        self._socket.close()


@contextmanager
def kept_port() -> Iterator[int]:
    """Reserve a port for the duration of the context; yields its number."""
    with closing(KeptPort()) as port:
        yield port.number
