"""Bearer tokens: the file of their hashes, and how new ones are made.

A token is 256 random bits, so one round of SHA-256 protects it well: it cannot be guessed.
"""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from reservd.config.document import read_document
from reservd.config.mode import Name
from reservd.config.problems import explain
from reservd.errors import ConfigError
from reservd.web.access.principal import Principal, Role

log = structlog.get_logger(__name__)

PREFIX = "rsv_"
"""Lets people and secret scanners recognise a token."""
_RANDOM_BYTES = 32
_MAX_LENGTH = 200
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class TokenEntry(BaseModel):
    """One token, without the token."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: Name
    """The name of its owner in the audit log."""
    role: Role
    modes: Annotated[tuple[Name, ...], Field(max_length=1000)] = ()
    """The modes that a `strategy` acts for."""
    sha256: _Digest
    """The SHA-256 of the token, in hexadecimal."""
    expires: AwareDatetime | None = None
    """When the token expires."""

    @model_validator(mode="after")
    def _names_its_modes(self) -> "TokenEntry":
        if self.role is Role.STRATEGY and not self.modes:
            raise PydanticCustomError("modes", "must name the modes of a strategy")
        if self.role is not Role.STRATEGY and self.modes:
            raise PydanticCustomError("modes", "must name modes only for a strategy")
        return self


class TokensFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    tokens: Annotated[tuple[TokenEntry, ...], Field(max_length=1000)]


class _Stamp(NamedTuple):
    changed_ns: int
    size: int


class TokenBook:
    """The tokens of a file, which is read again whenever it changes, so that a removed token is refused at once.

    If the file can no longer be read or becomes invalid, the previous tokens stay valid, and the error is logged.

    Args:
        path: The file.

    Raises:
        ConfigError: If the file is invalid at the start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._entries = read_tokens(path)

    def find(self, token: str, now: datetime) -> Principal | None:
        """Return the owner of a token; None when the token is unknown or has expired.

        Every entry is compared in constant time, so that the response does not show how close a guess was.
        """
        self._renew()
        if len(token) > _MAX_LENGTH:
            return None
        digest = hash_token(token)
        found: Principal | None = None
        for entry in self._entries:
            if hmac.compare_digest(entry.sha256, digest):
                found = Principal(entry.name, entry.role, frozenset(entry.modes), entry.expires)
        if found is not None and found.expires is not None and now >= found.expires:
            return None
        return found

    def _renew(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._entries = read_tokens(self._path)
        except ConfigError as error:
            log.error("tokens.unreadable", error=str(error))  # noqa: TRY400  # it says where and what
        else:
            log.info("tokens.read", tokens=len(self._entries))


def read_tokens(path: Path) -> tuple[TokenEntry, ...]:
    """Return the entries of a token file.

    Raises:
        ConfigError: With every error in it, one line each.
    """
    document = read_document(path)
    problems = list(document.problems)
    entries: tuple[TokenEntry, ...] = ()
    try:
        entries = TokensFile.model_validate(document.values).tokens
    except ValidationError as error:
        problems += explain(error, TokensFile, document)
    if problems:
        raise ConfigError(problems)
    return entries


def make_token() -> str:
    """Return a new random token."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def hash_token(token: str) -> str:
    """Return the hash of a token, as the file stores it."""
    return hashlib.sha256(token.encode()).hexdigest()


def describe_token(token: str, name: str, role: Role, modes: tuple[str, ...], expires: datetime | None) -> str:
    """Return the line to add to the file, under `tokens:`.

    Raises:
        ValidationError: If the values contradict each other.
    """
    entry = TokenEntry(name=name, role=role, modes=modes, sha256=hash_token(token), expires=expires)
    parts = [f"name: {entry.name}", f"role: {entry.role}"]
    if entry.modes:
        parts.append(f"modes: [{', '.join(entry.modes)}]")
    parts.append(f'sha256: "{entry.sha256}"')
    if entry.expires is not None:
        parts.append(f'expires: "{entry.expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"')
    return f"  - {{{', '.join(parts)}}}"


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _Stamp(found.st_mtime_ns, found.st_size)
