"""Dependencies of the API's operations: the daemon, the caller, and the caller's permissions."""

import contextlib
import json
from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer

from reservd.web.access.control import Verdict
from reservd.web.access.principal import Principal
from reservd.web.backend import Backend, Duty
from reservd.web.problems import ProblemError
from reservd.wire.problems import ProblemKind

_bearer = HTTPBearer(auto_error=False, description="A token that `reservd token` made.")


async def get_backend(request: Request) -> Backend:
    """Return the daemon behind the site."""
    backend: Backend = request.app.state.backend
    return backend


BackendOf = Annotated[Backend, Depends(get_backend)]


async def get_duty(backend: BackendOf) -> Duty:
    """Return what the daemon does as the owner of the store. Refuse the request while it is not the owner."""
    duty = backend.duty()
    if duty is None:
        raise ProblemError(ProblemKind.STANDBY, backend.readiness().text, {"retry-after": "5"})
    return duty


DutyOf = Annotated[Duty, Depends(get_duty)]


async def let_read(request: Request, backend: BackendOf, _: Annotated[object, Security(_bearer)]) -> None:
    """Refuse an unknown caller unless reads are open."""
    if not backend.access.open_reads:
        _principal(request, backend)


async def let_write(request: Request, backend: BackendOf, _: Annotated[object, Security(_bearer)]) -> Principal:
    """Return the caller, who must be known. What the caller may do depends on the mode."""
    return _principal(request, backend)


Caller = Annotated[Principal, Depends(let_write)]


async def refuse_repeated_keys(request: Request) -> None:
    """Refuse a body with a repeated key: it is ambiguous which value is meant."""
    if request.method == "POST":
        with contextlib.suppress(ValueError, RecursionError):  # of what is no JSON FastAPI says so
            json.loads(await request.body(), object_pairs_hook=_require_once)


def _require_once(pairs: Sequence[tuple[str, object]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise RequestValidationError([{"loc": ("body",), "msg": "a key must be given only once"}])


def require_mode(caller: Principal, mode: str) -> None:
    """Refuse a caller that may not act for a mode."""
    if not caller.may_write(mode):
        raise ProblemError(ProblemKind.FORBIDDEN, f"{caller.role} '{caller.name}' may not act for mode '{mode}'")


def require_mode_exists(duty: Duty, mode: str) -> None:
    """Refuse a mode that is not watched."""
    if mode not in duty.manager.reserve_configs:
        raise ProblemError(ProblemKind.NOT_FOUND, f"mode '{mode}' is not configured")


def _principal(request: Request, backend: Backend) -> Principal:
    verdict: Verdict = request.state.verdict
    if verdict.principal is None:
        headers = {"www-authenticate": backend.access.challenge}
        raise ProblemError(ProblemKind.UNAUTHORIZED, "a bearer token is required", headers)
    return verdict.principal
