"""Who is let in: tokens and passwords, and how often somebody may be wrong."""

import time
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from reservd.web.access.limiter import FailureLimiter
from reservd.web.access.principal import Principal
from reservd.web.access.tokens import TokenBook
from reservd.web.access.users import UserBook

log = structlog.get_logger(__name__)


class Verdict(NamedTuple):
    """What is known of a caller.

    Attributes:
        principal: Who it is; None when it did not say, or was wrong.
        wrong: Whether it said something that is not right.
        wait_seconds: How long its address has to wait before it is listened to again.
    """

    principal: Principal | None
    wrong: bool = False
    wait_seconds: float = 0.0


class AccessControl:
    """Looks at the `Authorization` header of requests.

    Args:
        tokens: The tokens of the API; None: nobody has one.
        users: The users of the whole server; None: it asks for none.
        open_reads: Whether what only reads the API needs no credentials.
    """

    def __init__(
        self, tokens: TokenBook | None = None, users: UserBook | None = None, *, open_reads: bool = True
    ) -> None:
        self._tokens = tokens
        self._users = users
        self._limiter = FailureLimiter()
        self.open_reads = open_reads

    @property
    def gated(self) -> bool:
        """Whether every page needs credentials."""
        return self._users is not None

    @property
    def challenge(self) -> str:
        """What a refusal asks for, as a `WWW-Authenticate` header."""
        return 'Basic realm="reservd", charset="UTF-8"' if self.gated else 'Bearer realm="reservd"'

    async def look(self, authorization: str | None, address: str) -> Verdict:
        """Return who calls.

        Args:
            authorization: The header; None when there is none.
            address: Where the call comes from.
        """
        if authorization is None:
            return Verdict(None)
        now = time.monotonic()
        wait = self._limiter.wait_seconds(address, now)
        if wait:
            return Verdict(None, wrong=True, wait_seconds=wait)
        scheme, _, credentials = authorization.partition(" ")
        principal = await self._find(scheme.lower(), credentials.strip())
        if principal is not None:
            return Verdict(principal)
        self._limiter.failed(address, now)
        log.warning("audit.refused", address=address, reason="credentials are not right")
        return Verdict(None, wrong=True)

    async def _find(self, scheme: str, credentials: str) -> Principal | None:
        if scheme == "bearer" and self._tokens is not None:
            return self._tokens.find(credentials, datetime.now(UTC))
        if scheme == "basic" and self._users is not None:
            return await self._users.find(credentials)
        return None
