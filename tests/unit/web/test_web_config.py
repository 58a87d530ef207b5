"""The web config file of the Prometheus exporters: real TLS, client certificates, passwords."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import bcrypt
import pytest

from reservd.errors import ConfigError
from reservd.store.database import Database, parse_url
from reservd.web.access.control import AccessControl
from reservd.web.access.users import UserBook
from reservd.web.backend import Backend, Readiness
from reservd.web.metrics import Metrics, Series
from reservd.web.page import MetricsPage
from reservd.web.server import WebServer
from reservd.web.site import make_site
from reservd.web.stream import EventStream
from reservd.web.web_config import TlsFiles, read_web_config
from support.tls import Certificate, make_certificate

_TLS = "tls_server_config: {cert_file: certificate.pem, key_file: key.pem}\n"
_HASHED = bcrypt.hashpw(b"right", b"$2b$04$XRpwUuYPlYKQkMLhwuJl8.").decode()


async def reload_nothing() -> None:
    """Do nothing: there is no file."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def serve(certificate: Certificate, text: str) -> AsyncIterator[str]:
    """Serve the site with a web config file beside a certificate."""
    path = certificate.certificate.with_name("web.yaml")
    path.write_text(text)
    shell = read_web_config(path)
    metrics = Metrics(Series({"m": "USDT"}))
    page = MetricsPage(metrics.take, metrics.render)
    await page.start()
    database = Database(parse_url("sqlite:///nothing.db", Path("/dev/null")))
    backend = Backend(
        page=page,
        healthy=lambda: True,
        readiness=lambda: Readiness(ready=True, text="as it is"),
        reload=reload_nothing,
        duty=lambda: None,
        database=database,
        stream=EventStream(database),
        access=AccessControl(users=UserBook(shell.users) if shell.users else None),
        headers=shell.headers,
    )
    tls = TlsFiles(shell.tls_server_config) if shell.tls_server_config is not None else None
    server = WebServer(make_site(backend), ["127.0.0.1:0"], tls)
    await server.start()
    try:
        yield f"{server.scheme}://{server.addresses[0]}"
    finally:
        await server.close()
        await page.close()
        await database.close()


async def test_pages_come_over_tls_when_the_file_names_a_certificate(certificate: Certificate) -> None:
    text = _TLS + "http_server_config: {headers: {Strict-Transport-Security: max-age=60}}\n"
    trust = ssl.create_default_context(cafile=str(certificate.certificate))
    async with serve(certificate, text) as url, aiohttp.ClientSession() as client:
        assert url.startswith("https://")
        async with client.get(f"{url}/metrics", ssl=trust) as answer:
            assert answer.status == 200
            assert answer.headers["Strict-Transport-Security"] == "max-age=60"
        with pytest.raises(aiohttp.ClientError):
            await client.get(f"{url.replace('https', 'http')}/metrics")


async def test_client_is_let_in_only_with_a_certificate_when_one_is_required(certificate: Certificate) -> None:
    text = _TLS.replace("}", ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: certificate.pem}")
    trust = ssl.create_default_context(cafile=str(certificate.certificate))
    async with serve(certificate, text) as url, aiohttp.ClientSession() as client:
        with pytest.raises((aiohttp.ClientError, OSError)):
            await client.get(f"{url}/metrics", ssl=trust)
        trust.load_cert_chain(certificate.certificate, certificate.key)
        async with client.get(f"{url}/metrics", ssl=trust) as answer:
            assert answer.status == 200


async def test_every_page_needs_a_password_when_the_file_names_users(certificate: Certificate) -> None:
    text = f"basic_auth_users: {{prometheus: '{_HASHED}'}}\n"
    async with serve(certificate, text) as url, aiohttp.ClientSession(url) as client:
        for path in ("/metrics", "/-/healthy", "/", "/api/v1/events"):
            async with client.get(path) as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"].startswith("Basic")
        for login, status in (("prometheus:right", 200), ("prometheus:wrong", 401), ("nobody:right", 401)):
            name, _, password = login.partition(":")
            for _ in range(2):
                headers = {"Authorization": aiohttp.encode_basic_auth(name, password)}
                async with client.get("/metrics", headers=headers) as answer:
                    assert answer.status == status, login
        async with client.get("/metrics", headers={"Authorization": "Basic %%%"}) as answer:
            assert answer.status == 401


def test_renewed_certificate_is_shown_and_a_broken_one_is_not(tmp_path: Path) -> None:
    made = make_certificate(tmp_path)
    path = tmp_path / "web.yaml"
    path.write_text(_TLS)
    config = read_web_config(path).tls_server_config
    assert config is not None
    files = TlsFiles(config)
    assert not files.renew()
    make_certificate(tmp_path)
    assert files.renew()
    made.key.write_text("broken")
    with pytest.raises(ConfigError, match="must be a certificate and its key as PEM"):
        files.renew()
    assert not files.renew()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("basic_auth_users: {a: plain}", "must be a bcrypt hash"),
        ("basic_auth_users: {a: $2y$10$cut}", "must be a bcrypt hash"),
        (f"basic_auth_users: {{a: $2y$10${'a' * 53}}}", "must be a bcrypt hash"),
        (f"basic_auth_users: {{a: {_HASHED}.}}", "must be a bcrypt hash"),
        ("tls_server_config: {cert_file: a}", "key_file"),
        (_TLS.replace("}", ", client_auth_type: RequestClientCert}"), "client_auth_type"),
        (_TLS.replace("}", ", client_auth_type: RequireAndVerifyClientCert}"), "must give client_ca_file"),
        ("tls: {}", "unknown key"),
    ],
)
def test_web_config_is_refused_with_place_and_reason_when_it_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as refused:
        read_web_config(path)
    assert str(refused.value).startswith(f"{path}:1:")
    assert "plain" not in str(refused.value)
