"""The URLs of databases that can be read."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, SecretStr, ValidationInfo
from pydantic_core import PydanticCustomError
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from reservd.plugin import Secret

POSTGRESQL = "postgresql+psycopg"
SQLITE = "sqlite+pysqlite"


def _check(secret: SecretStr, info: ValidationInfo) -> SecretStr:
    """Return the URL with its driver; a relative SQLite path starts at the configuration file's folder."""
    try:
        url = make_url(secret.get_secret_value())
    except (ArgumentError, ValueError):  # whose text may contain the URL
        raise PydanticCustomError("sql_url", "must be a SQLAlchemy URL such as postgresql://host/database") from None
    match url.drivername:
        case "postgresql" | "postgresql+psycopg":
            if find_spec("psycopg") is None:
                raise PydanticCustomError("driver", "needs the Python package 'psycopg': pip install 'reservd[sql]'")
            url = url.set(drivername=POSTGRESQL)
        case "sqlite" | "sqlite+aiosqlite" | "sqlite+pysqlite":
            url = _file_url(url, (info.context or {}).get("directory", Path()))
        case _:
            raise PydanticCustomError("sql_url", "must be a postgresql:// or sqlite:// URL")
    return SecretStr(url.render_as_string(hide_password=False))


def _file_url(url: URL, directory: Path) -> URL:
    path = url.database or ""
    if path in {"", ":memory:"} or path.startswith("file:") or url.host or url.query:
        rule = "must name a database file, as sqlite:///relative.db or sqlite:////absolute.db, and nothing else"
        raise PydanticCustomError("sql_url", rule)
    return URL.create(SQLITE, database=str(directory / path))


DatabaseUrl = Annotated[Secret, AfterValidator(_check)]
"""The SQLAlchemy URL of a PostgreSQL or SQLite database. It is a secret, because it contains a password."""
