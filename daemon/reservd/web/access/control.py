"""Admits callers by token or password, and limits failed attempts."""

import asyncio
import time
from datetime import UTC, datetime
from typing import NamedTuple
from weakref import WeakValueDictionary

import structlog

from reservd.web.access.limiter import FailureLimiter
from reservd.web.access.principal import Principal
from reservd.web.access.tokens import TokenBook
from reservd.web.access.users import UserBook

log = structlog.get_logger(__name__)


class Verdict(NamedTuple):
    """The result of looking at a caller's credentials.

    Attributes:
        principal: The caller; None without credentials, or if they are wrong.
        wrong: Whether the credentials are wrong.
        wait_seconds: How long the address must wait before its credentials are checked again.
    """

    principal: Principal | None
    wrong: bool = False
    wait_seconds: float = 0.0


class AccessControl:
    """Checks the `Authorization` header of requests.

    Args:
        tokens: The tokens of the API; None if there are none.
        users: The users of the whole server; None if it requires no password.
        open_reads: Whether reading the API needs no credentials.
    """

    def __init__(
        self, tokens: TokenBook | None = None, users: UserBook | None = None, *, open_reads: bool = True
    ) -> None:
        self._tokens = tokens
        self._users = users
        self._limiter = FailureLimiter()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.open_reads = open_reads

    @property
    def gated(self) -> bool:
        """Whether every page needs credentials."""
        return self._users is not None

    @property
    def challenge(self) -> str:
        """The `WWW-Authenticate` header of a refusal."""
        return 'Basic realm="reservd", charset="UTF-8"' if self.gated else 'Bearer realm="reservd"'

    async def look(self, authorization: str | None, address: str) -> Verdict:
        """Check a caller's credentials.

        Args:
            authorization: The header; None if it is missing.
            address: The caller's address.
        """
        if authorization is None:
            return Verdict(None)
        # One at a time per address: a password takes a while to check, and many guesses sent at once would all be
        # checked before the first failure was counted.
        async with self._turns.setdefault(address, asyncio.Lock()):
            now = time.monotonic()
            wait = self._limiter.wait_seconds(address, now)
            if wait:
                return Verdict(None, wrong=True, wait_seconds=wait)
            principal = await self._find(authorization)
            if principal is not None:
                return Verdict(principal)
            self._limiter.failed(address, now)
        log.warning("audit.refused", address=address, reason="credentials are not right")
        return Verdict(None, wrong=True)

    async def still_admits(self, authorization: str | None) -> bool:
        """Return whether a caller that was admitted earlier would be admitted now: tokens expire and are revoked.

        Args:
            authorization: The header of the admitted request; None if it was missing.
        """
        return authorization is None or await self._find(authorization) is not None

    async def _find(self, authorization: str) -> Principal | None:
        scheme, _, credentials = authorization.partition(" ")
        scheme, credentials = scheme.lower(), credentials.strip()
        if scheme == "bearer" and self._tokens is not None:
            return self._tokens.find(credentials, datetime.now(UTC))
        if scheme == "basic" and self._users is not None:
            return await self._users.find(credentials)
        return None
