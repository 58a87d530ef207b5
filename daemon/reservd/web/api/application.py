"""The FastAPI application: the API and its OpenAPI document."""

from fastapi import APIRouter, Depends, FastAPI

from reservd._version import __version__
from reservd.web.access.middleware import MAX_BODY_BYTES
from reservd.web.api import events, modes, replenishments, withdrawals
from reservd.web.api.dependencies import refuse_repeated_keys
from reservd.web.problems import describe_problems, install_problems
from reservd.wire.problems import Problem, ProblemKind

OPENAPI_PATH = "/api/v1/openapi.json"
_DESCRIPTION = """\
The liquid part of each strategy's equity, the events about it, and the withdrawals and refills that depend on it.

Amounts are decimal strings of whole units, never floats. Errors are RFC 9457 problem details."""


def make_application() -> FastAPI:
    """Return the application with its API and nothing else."""
    app = FastAPI(
        title="reservd",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url=OPENAPI_PATH,
        docs_url=None,  # they load their scripts from elsewhere
        redoc_url=None,
        max_body_size=MAX_BODY_BYTES,
    )
    install_problems(app)
    api = APIRouter(
        prefix="/api/v1",
        dependencies=[Depends(refuse_repeated_keys)],
        responses=describe_problems(ProblemKind.INVALID, ProblemKind.TOO_LARGE, ProblemKind.TOO_MANY_FAILURES),
    )
    parts = (withdrawals.of_modes, withdrawals.router, replenishments.of_modes, replenishments.router)
    for router in (modes.router, events.router, *parts):
        api.include_router(router)
    app.include_router(api)
    make_document = app.openapi

    def openapi() -> dict[str, object]:
        document = make_document()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= schema.pop("$defs", {})
            schemas["Problem"] = schema
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI documents it
    return app
