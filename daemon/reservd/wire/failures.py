"""Names the failures of HTTP calls without their URL, which may hold a secret."""

import os
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MAX_DIGITS = 9


def parse_retry_after(value: str) -> float | None:
    """Return the seconds that a `Retry-After` header asks to wait, given as a number or a date (RFC 9110)."""
    if value.strip().isdecimal():
        return float(value.strip()[:_MAX_DIGITS])
    try:
        date = parsedate_to_datetime(value)
        return max(0.0, (date.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def os_error(error: Exception) -> Exception:
    """Return the cause of an aiohttp error."""
    cause: Exception = getattr(error, "os_error", error)
    return cause


def name_failure(error: Exception) -> str:
    """Return what went wrong, without the URL that aiohttp includes in its messages."""
    cause = getattr(error, "certificate_error", os_error(error))
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {cause.verify_message}"
    if isinstance(cause, socket.gaierror | ssl.SSLError):  # their numbers are not the system's
        return (cause.strerror or "TLS failed").lower()
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno).lower()  # its own strerror holds the URL or the address
    words = type(error).__name__.removeprefix("Client")
    return "".join(f" {c.lower()}" if c.isupper() else c for c in words).strip()
