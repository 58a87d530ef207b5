"""Builds ccxt's object for one exchange so that it keeps numbers exact, follows no redirects and bounds answers."""

import importlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp.connector import Connection

from reservd.plugin import FailureReason
from reservd_ccxt.catalogue import family_of
from reservd_ccxt.config import ExchangeConfig
from reservd_ccxt.errors import AnswerTooLargeError, ExchangeError, NoJsonError, RedirectRefusedError
from reservd_ccxt.pace import Pace

_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_TOO_MANY_REQUESTS = {418, 429}  # Binance sends 418 to clients that continue after 429
_REDIRECTS = {301, 302, 303, 307, 308}  # those that aiohttp follows
_OPTION_OF = {"apiKey": "api_key", "secret": "secret", "password": "password", "uid": "uid"}

# Requests that ccxt makes by itself and that are not needed here.
_LEAN: Mapping[str, Mapping[str, Any]] = {"binance": {"fetchMargins": False}}


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not valid JSON")


# Created once: `json.loads` would create one for each answer.
_DECODER = json.JSONDecoder(parse_float=str, parse_constant=_refuse_constant)

_quiet = logging.getLogger("reservd_ccxt.exchange")
_quiet.setLevel(logging.WARNING)  # below that, ccxt logs requests with their headers, which contain the key


@dataclass(frozen=True)
class Settings:
    """The settings that all sources of one key must share; price sources have no key, and share that."""

    exchange: str
    credentials: Mapping[str, str] = field(repr=False)
    urls: Mapping[str, str] = field(repr=False)
    sandbox: bool
    options: Mapping[str, Any]
    rate_limit_ms: int | None
    account_id: str | None

    @classmethod
    def of(cls, config: ExchangeConfig) -> "Settings":
        """Return the settings of a source."""
        secrets = {name: getattr(config, option, None) for name, option in _OPTION_OF.items()}
        return cls(
            exchange=config.exchange,
            credentials={name: secret.get_secret_value() for name, secret in secrets.items() if secret is not None},
            urls={key: url.get_secret_value() for key, url in config.urls.items()},
            sandbox=config.sandbox,
            options=config.options,
            rate_limit_ms=config.rate_limit_ms,
            account_id=getattr(config, "account_id", None),
        )


class _Answer(aiohttp.ClientResponse):
    """An answer of bounded size, which follows no redirect."""

    async def start(self, connection: Connection) -> Self:
        """Read the head.

        A redirect refused here costs other requests nothing: a trace of aiohttp would be called at each step of all.
        """
        await super().start(connection)
        if self.status in _REDIRECTS:
            raise RedirectRefusedError
        return self

    async def text(self, encoding: str | None = None, errors: str = "strict") -> str:
        """Return the body; ccxt reads it by this method."""
        body = bytearray()
        while part := await self.content.readany():
            body += part
            if len(body) > _MAX_ANSWER_BYTES:
                raise AnswerTooLargeError
        return body.decode(encoding or "utf-8", errors)


def open_session() -> aiohttp.ClientSession:
    """Return the connection pool of one exchange. Needs a running loop."""
    return aiohttp.ClientSession(response_class=_Answer, cookie_jar=aiohttp.DummyCookieJar())


def import_exchange(exchange_id: str) -> tuple[Any, Any]:
    """Return ccxt's class of an exchange, the streaming one if there is one, and the module of its errors.

    Imports all of ccxt, which takes seconds and cannot be done in parts: do not call it in the event loop's thread.
    """
    streaming = importlib.import_module("ccxt.pro")
    polling = importlib.import_module("ccxt.async_support")
    errors = importlib.import_module("ccxt.base.errors")
    return getattr(streaming, exchange_id, None) or getattr(polling, exchange_id), errors


def build(
    exchange_class: Any, errors: Any, settings: Settings, session: aiohttp.ClientSession, timeout_seconds: float
) -> Any:
    """Return ccxt's object. Makes no request.

    Raises:
        ExchangeError: If the exchange has no sandbox, needs more credentials, or lacks a configured URL key.
    """
    exchange = exchange_class(
        {
            **settings.credentials,
            "number": str,  # ccxt computes with text; it supports neither Decimal nor more than 17 digits of a float
            "enableRateLimit": True,
            "enableLastHttpResponse": False,  # otherwise the largest answer stays in memory
            "timeout": round(timeout_seconds * 1000),
            "options": {**_LEAN.get(family_of(settings.exchange), {}), **settings.options},
            "ssl_context": True,  # unused, the session has one; None makes ccxt load certificates on the loop
            "logger": _quiet,
            "timeout_on_exit": 0,  # the session is closed by its opener
            **({} if settings.rate_limit_ms is None else {"rateLimit": settings.rate_limit_ms}),
        }
    )
    lacking = [_OPTION_OF.get(name, name) for name in _lacking_credentials(exchange)]
    if lacking and settings.credentials:
        raise _unusable(settings, f"needs {', '.join(lacking)}")
    if settings.sandbox:
        if not exchange.urls.get("test"):
            raise _unusable(settings, "has no sandbox")
        exchange.set_sandbox_mode(True)
    if settings.urls:
        exchange.urls["api"] = _rewritten(exchange.urls["api"], settings)
    exchange.throttle = Pace(exchange.rateLimit).wait
    exchange.on_rest_response = _heeding_limits(exchange, errors)
    exchange.on_json_response = parse_exactly
    exchange.fetch = _only_json(exchange, errors)
    exchange.own_session, exchange.session = False, session
    return exchange


def parse_exactly(text: str) -> Any:
    """Return the JSON document; numbers with a fraction stay text, whole ones are exact anyway.

    Raises:
        ValueError: If it is not JSON, or contains NaN or an infinity.
    """
    return _DECODER.decode(text)


def _heeding_limits(exchange: Any, errors: Any) -> Any:
    """Return `exchange.on_rest_response` with a check of the status first: some exchanges' parsers ignore it."""
    plain = exchange.on_rest_response

    def on_rest_response(code: int, reason: str, url: str, method: str, headers: Any, *rest: Any) -> Any:
        exchange.last_response_headers = headers  # read for `Retry-After`; ccxt stores them too late
        if code in _TOO_MANY_REQUESTS:
            raise errors.RateLimitExceeded(f"{exchange.id} {code} ")
        return plain(code, reason, url, method, headers, *rest)

    return on_rest_response


def _only_json(exchange: Any, errors: Any) -> Any:
    """Return `exchange.fetch` that refuses all but JSON: ccxt reads an HTML page with status 200 as no balances."""
    fetch = exchange.fetch

    async def fetch_json(url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        answer = await fetch(url, method, headers, body)
        if not isinstance(answer, dict | list):
            raise errors.BadResponse(exchange.id) from NoJsonError()
        return answer

    return fetch_json


def _lacking_credentials(exchange: Any) -> list[str]:
    return [name for name, needed in exchange.requiredCredentials.items() if needed and not getattr(exchange, name)]


def _rewritten(urls: Any, settings: Settings) -> Any:
    """Return ccxt's API URLs with the configured hosts."""
    known = urls.keys() if isinstance(urls, dict) else set()
    unknown = sorted(settings.urls.keys() - known - {"default"})
    if unknown:
        raise _unusable(settings, f"has no URL {', '.join(unknown)} (it has {', '.join(sorted({*known, 'default'}))})")
    default = settings.urls.get("default", "")
    if not isinstance(urls, dict):
        return _moved(urls, default)
    return {key: _moved(node, settings.urls.get(key, default)) for key, node in urls.items()}


def _moved(node: Any, target: str) -> Any:
    """Return a URL, or each of a tree of them, with the target's scheme, host and leading path before its own path."""
    if isinstance(node, dict):
        return {key: _moved(part, target) for key, part in node.items()}
    if not isinstance(node, str) or not target:
        return node
    old, new = urlsplit(node), urlsplit(target)
    scheme = new.scheme.replace("http", "ws") if old.scheme.startswith("ws") else new.scheme
    return f"{scheme}://{new.netloc}{new.path.rstrip('/')}{old.path}"


def _unusable(settings: Settings, why: str) -> ExchangeError:
    return ExchangeError(FailureReason.REJECTED, f"{settings.exchange} {why}")
