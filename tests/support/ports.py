"""Ports of 127.0.0.1 whose numbers tests must know before anybody listens there.

with kept_port() as port:
    ...  # nobody answers there, unless the test starts a server on it
"""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager


class KeptPort:
    """A port that is nobody else's until it is closed.

    The kernel gives it to nobody who asks for any that is free, as tests in other processes do all the time. A
    server that is told its number may listen there, go away and come back: servers share a port with who does not
    listen (SO_REUSEADDR; see socket(7)).

    Attributes:
        number: Which it is.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Give it up."""
        self._socket.close()


@contextmanager
def kept_port() -> Iterator[int]:
    """Keep a port meanwhile; gives its number."""
    with closing(KeptPort()) as port:
        yield port.number
