"""A real NATS server with JetStream for tests.

with NatsServer() as server:
    client = await nats.connect(server.url)
"""

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import nkeys

from support.broker import Broker
from support.require import missing

_PROGRAM = Path(sys.executable).with_name("nats-server")


class NatsServer(Broker):
    """A NATS server on 127.0.0.1; its streams are kept over a restart.

    Attributes:
        url: The URL for clients.
    """

    def __init__(self, settings: str = "") -> None:
        """Prepare it.

        Args:
            settings: More of its configuration file, such as permissions.
        """
        if not _PROGRAM.exists():
            missing("nats-server", how="make test installs it")
        super().__init__()
        self.url = f"nats://{self.address}"
        (self.folder / "nats.conf").write_text(settings)

    def command(self) -> Sequence[str]:
        """Return the program and its arguments."""
        streams = ["-js", "-sd", str(self.folder)]
        return [str(_PROGRAM), "-a", "127.0.0.1", "-p", str(self.port), *streams, "-c", str(self.folder / "nats.conf")]


def operator_mode() -> tuple[str, str]:
    """Return settings of a server that trusts an operator, and the .creds file of a user (NATS's ADR-14)."""
    operator = _key("operator", nkeys.PREFIX_BYTE_OPERATOR)
    system, account = _key("system", nkeys.PREFIX_BYTE_ACCOUNT), _key("account", nkeys.PREFIX_BYTE_ACCOUNT)
    user = _key("user", nkeys.PREFIX_BYTE_USER)
    limits = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1}
    streams = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
    trusted = _token(operator, operator, {"type": "operator", "system_account": _name(system)})
    accounts = {
        _name(system): _token(operator, system, {"type": "account", "limits": limits}),
        _name(account): _token(operator, account, {"type": "account", "limits": {**limits, **streams}}),
    }
    preload = ", ".join(f"{name}: {token}" for name, token in accounts.items())
    settings = f"operator: {trusted}\nsystem_account: {_name(system)}\n"
    settings += f"resolver: MEMORY\nresolver_preload: {{ {preload} }}\n"
    signed_in = _token(account, user, {"type": "user", "subs": -1, "data": -1, "payload": -1})
    creds = f"-----BEGIN NATS USER JWT-----\n{signed_in}\n------END NATS USER JWT------\n\n"
    creds += f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    return settings, creds


def _key(name: str, kind: int) -> nkeys.KeyPair:
    return nkeys.from_seed(nkeys.encode_seed(sha256(name.encode()).digest(), kind))


def _name(key: nkeys.KeyPair) -> str:
    return str(key.public_key.decode())


def _token(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, claims: Mapping[str, object]) -> str:
    """Return a JWT, signed as NATS requires."""
    header = {"typ": "JWT", "alg": "ed25519-nkey"}
    content = {"jti": "1", "iat": 0, "iss": _name(issuer), "sub": _name(subject), "nats": {**claims, "version": 2}}
    signed = ".".join(_encoded(json.dumps(part).encode()) for part in (header, content))
    return f"{signed}.{_encoded(issuer.sign(signed.encode()))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
