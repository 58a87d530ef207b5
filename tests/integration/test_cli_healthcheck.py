"""`reservd healthcheck` against real servers: healthy, unhealthy, silent, absent."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from support.commands import Command
from support.tls import Certificate, make_certificate


@contextlib.contextmanager
def serving(status: int, token: str = "", certificate: Certificate | None = None) -> Iterator[int]:
    """Answer `/-/healthy` with a status, and everything else with 404; yields the port.

    Args:
        status: The status.
        token: Without this token the answer is 401.
        certificate: The certificate, for TLS.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            good = not token or self.headers["Authorization"] == f"Bearer {token}"
            self.send_response((status if self.path == "/-/healthy" else 404) if good else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate.certificate, certificate.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def configure(tmp_path: Path) -> Path:
    """A configuration that contains little more than the listen address."""
    return tmp_path / "reservd.yaml"


def write(path: Path, address: str) -> None:
    """Write the listen address. Modes and secrets of plugins are not read."""
    sink = 'event_sinks: {ops: {plugin: webhook, options: {url: "${NOT_SET}"}}}\n'
    path.write_text(f'modes: nowhere/*.yaml\nweb: {{listen_address: ["{address}", "127.0.0.1:1"]}}\n{sink}')


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", ""])
def test_healthcheck_asks_where_the_daemon_listens(command: Command, configure: Path, host: str) -> None:
    with serving(200) as port:
        write(configure, f"{host}:{port}")
        result = command("healthcheck")
    asked = host if host == "localhost" else "127.0.0.1"
    assert (result.code, result.out, result.err) == (0, f"{asked}:{port} is healthy\n", "")


def test_healthcheck_asks_the_loopback_of_ipv6_when_the_daemon_listens_on_all(
    command: Command, configure: Path
) -> None:
    write(configure, "[::]:1")
    assert command("healthcheck").err.startswith("reservd: [::1]:1 is not healthy: unreachable: ")


def test_healthcheck_ends_with_1_when_the_daemon_says_that_it_is_not_well(command: Command, configure: Path) -> None:
    with serving(503) as port:
        write(configure, f"127.0.0.1:{port}")
        result = command("healthcheck")
    assert (result.code, result.out) == (1, "")
    assert result.err == f"reservd: 127.0.0.1:{port} is not healthy: rejected: HTTP 503\n"


def test_healthcheck_ends_with_1_when_nothing_answers(command: Command, configure: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        write(configure, f"127.0.0.1:{silent.getsockname()[1]}")
        result = command("healthcheck")
    assert (result.code, result.out) == (1, "")
    assert result.err.endswith(" is not healthy: timeout: no answer within 3 s\n")


def test_healthcheck_wants_a_url_when_the_port_is_not_known(command: Command, configure: Path) -> None:
    write(configure, "127.0.0.1:0")
    result = command("healthcheck")
    assert (result.code, result.out) == (1, "")
    assert result.err.endswith("makes the daemon listen on any free port: give its URL by --url\n")


def test_healthcheck_needs_no_configuration_when_it_has_a_url(command: Command) -> None:
    with serving(200) as port:
        result = command("healthcheck", "--url", f"http://someone:secret@127.0.0.1:{port}/")
    assert (result.code, result.out) == (0, f"127.0.0.1:{port} is healthy\n")


@pytest.mark.parametrize(
    "url", ["127.0.0.1:9847", "ftp://127.0.0.1", "http://", "http://x:0", "http://x:99999", "http://[x"]
)
@pytest.mark.parametrize("words", [["healthcheck"], ["status"], ["withdrawals", "quote", "alpha", "5"]], ids=" ".join)
def test_what_is_no_url_is_wrong_usage(command: Command, words: list[str], url: str) -> None:
    result = command(*words, "--url", url)
    assert (result.code, result.out) == (2, "")
    assert "must be a URL such as http://127.0.0.1:9847" in result.err


def test_healthcheck_believes_the_authority_that_is_named(command: Command, tmp_path: Path) -> None:
    own = make_certificate(tmp_path)
    with serving(200, certificate=own) as port:
        url = f"https://127.0.0.1:{port}"
        unbelieved = command("healthcheck", "--url", url)
        believed = command("healthcheck", "--url", url, "--ca-file", str(own.certificate))
        nothing = command("healthcheck", "--url", url, "--ca-file", str(own.key))
    assert (unbelieved.code, believed.code, nothing.code) == (1, 0, 1)
    assert "certificate" in unbelieved.err
    assert believed.out == f"127.0.0.1:{port} is healthy\n"
    assert nothing.err.startswith(f"ca_file: {own.key}: must hold certificates in PEM")


def test_healthcheck_shows_its_token_where_the_whole_server_needs_one(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("rsv_one\n")
    with serving(200, token="rsv_one") as port:
        url = f"http://127.0.0.1:{port}"
        without = command("healthcheck", "--url", url)
        known = command("healthcheck", "--url", url, "--token-file", str(file))
        file.write_text("rsv_another\n")
        wrong = command("healthcheck", "--url", url, "--token-file", str(file))
    assert (without.code, known.code, wrong.code) == (1, 0, 1)
    assert without.err.startswith(f"reservd: 127.0.0.1:{port} needs a token: give it by --token-file")
    assert wrong.err == f"reservd: 127.0.0.1:{port} is not healthy: rejected: HTTP 401\n"
