"""TLS for tests: a certificate for 127.0.0.1, and a TLS listener in front of a server without TLS."""

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from support.require import missing


class Certificate(NamedTuple):
    """A self-signed certificate and its key, as PEM files."""

    certificate: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """Write a certificate for 127.0.0.1 to a folder."""
    program = shutil.which("openssl") or missing("openssl", how="make setup-system installs it")
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    command = [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return made


class TlsListener:
    """Accepts TLS connections and passes their content on unencrypted; an async context manager."""

    def __init__(self, port: int, behind_port: int, certificate: Certificate) -> None:
        """Prepare it.

        Args:
            port: The port on 127.0.0.1 at which it listens; 0 for any free one.
            behind_port: The port of the server behind it.
            certificate: Its certificate.
        """
        self._port = port
        self._behind_port = behind_port
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate.certificate, certificate.key)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self._context)
        return self

    @property
    def port(self) -> int:
        """The port at which it listens."""
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self._behind_port)
        await asyncio.gather(_pass_on(reader, behind_writer), _pass_on(behind_reader, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while part := await reader.read(64 * 1024):
            writer.write(part)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
