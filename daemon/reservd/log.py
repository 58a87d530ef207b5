"""Structured logs to standard error: events with dotted names in the past tense, and key-values."""

import logging
import sys
import time
import traceback
from typing import Literal

import structlog

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["console", "json"]

log = structlog.get_logger(__name__)

_TELL_AGAIN_SECONDS = 300.0


def plain_traceback(error: BaseException) -> str:
    """Return the traceback of an error, to be logged as `exception`.

    In a program that does not configure structlog, `exc_info` would log local variables, which contain secrets.
    """
    return "".join(traceback.format_exception(error)).rstrip()


def place_of(error: BaseException) -> str:
    """Return the module and line in which an error was raised, reservd's own if there are any; without values."""
    frames = list(traceback.walk_tb(error.__traceback__))
    names = [(str(frame.f_globals.get("__name__")), line) for frame, line in frames]
    own = [each for each in names if each[0].partition(".")[0].partition("_")[0] == "reservd"]
    module, line = (own or names or [("nowhere", 0)])[-1]
    return f"{module}:{line}"


class DefectLog:
    """Logs defects in something that is tried again and again.

    Each defect once; again if its type or place changes, or when it lasts for long.

    Args:
        event: The log event.
    """

    def __init__(self, event: str) -> None:
        self._event = event
        self._told: dict[str, float] = {}

    def tell(self, error: Exception, **told: object) -> None:
        """Log a defect.

        Args:
            error: The exception.
            told: Key-values of the log line.
        """
        what, now = f"{type(error).__name__} at {place_of(error)}", time.monotonic()
        self._told = {each: at for each, at in self._told.items() if now - at < _TELL_AGAIN_SECONDS}
        if what not in self._told:
            self._told[what] = now
            log.error(self._event, **told, exception=plain_traceback(error))


def configure_logging(level: LogLevel = "info", log_format: LogFormat | None = None) -> None:
    """Send all logs, those of the libraries included, to standard error.

    Args:
        level: The lowest level that is logged.
        log_format: `console` for people, `json` for machines; when None, `console` if standard error is a terminal.
    """
    if log_format is None:
        log_format = "console" if sys.stderr.isatty() else "json"
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    # Tracebacks are plain in both formats: richer ones show local variables, which contain secrets.
    if log_format == "json":
        final: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        final = [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=False,  # a reload may change the level, which a cached logger would not notice
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Their routine lines repeat every cycle; reservd counts and logs what matters in them.
    for noisy in ("apscheduler", "asyncio", "aiohttp.access", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    for chatty in ("uvicorn", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
