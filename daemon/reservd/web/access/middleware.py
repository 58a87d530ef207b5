"""Authenticates every request before it reaches a page, and logs what it changed."""

import math
from collections.abc import Mapping

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reservd.web.access.control import AccessControl, Verdict
from reservd.web.problems import problem_response
from reservd.wire.problems import ProblemKind

log = structlog.get_logger(__name__)

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_SHOWN = 200
_MAX_DIGITS = 20
MAX_BODY_BYTES = 64 * 1024
"""A request that announces a longer body is not read at all."""
_SERVER_ERROR = 500
_CLIENT_ERROR = 400


class AccessMiddleware:
    """Stores the caller in `scope["state"]["verdict"]`, refuses wrong credentials, and logs every write.

    Wrong credentials are refused even where none are needed, so that an expired token is noticed before it is needed.
    """

    def __init__(self, app: ASGIApp, control: AccessControl, headers: Mapping[str, str]) -> None:
        """Wrap an application.

        Args:
            app: The application.
            control: Checks callers.
            headers: Added to every response that does not set them itself.
        """
        self._app = app
        self._control = control
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        address = scope["client"][0] if scope.get("client") else ""
        verdict = await self._control.look(headers.get("authorization"), address)
        scope.setdefault("state", {})["verdict"] = verdict
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                found = MutableHeaders(raw=message["headers"])
                for name, value in self._headers.items():
                    found.setdefault(name, value)
            await send(message)

        try:
            refusal = self._refuse(verdict) or _refuse_size(headers)
            if refusal is not None:
                await refusal(scope, receive, watched)
            else:
                await self._app(scope, receive, watched)
        finally:
            if scope["method"] not in _SAFE:
                _audit(scope, headers, verdict, address, status)

    def _refuse(self, verdict: Verdict) -> ASGIApp | None:
        if verdict.wait_seconds:
            seconds = str(math.ceil(verdict.wait_seconds))
            return problem_response(
                ProblemKind.TOO_MANY_FAILURES, "too many failed attempts from this address", {"retry-after": seconds}
            )
        if verdict.wrong or (self._control.gated and verdict.principal is None):
            detail = "the credentials are wrong or have expired" if verdict.wrong else "credentials are required"
            return problem_response(ProblemKind.UNAUTHORIZED, detail, {"www-authenticate": self._control.challenge})
        return None


def _refuse_size(headers: Headers) -> ASGIApp | None:
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length[:_MAX_DIGITS]) > MAX_BODY_BYTES:
        return problem_response(ProblemKind.TOO_LARGE, f"must be at most {MAX_BODY_BYTES:,} bytes")
    return None


def _audit(scope: Scope, headers: Headers, verdict: Verdict, address: str, status: int) -> None:
    outcome = "done" if 0 < status < _CLIENT_ERROR else "refused" if 0 < status < _SERVER_ERROR else "failed"
    log.info(
        "audit.written",
        who=verdict.principal.name if verdict.principal is not None else None,
        role=str(verdict.principal.role) if verdict.principal is not None else None,
        what=f"{scope['method']} {scope['path']}"[:_MAX_SHOWN],
        key=headers.get("idempotency-key", "")[:_MAX_SHOWN] or None,
        address=address,
        outcome=outcome,
        status=status,
    )
