"""Removes secrets from plugins' texts: the message of an exception often holds the URL that was called."""

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, SecretStr

_MIN_LENGTH = 4
"""A shorter text is no secret, and would match everywhere."""
_HIDDEN = "**********"


class Redactor:
    """Hides the secrets of one plugin instance wherever they appear."""

    def __init__(self, config: object) -> None:
        """Collect the secrets to hide.

        Args:
            config: The instance's options. Every `Secret` or `Url` in them is a secret, and so is each part of a URL
                except its scheme and host.
        """
        found = {part for secret in _secrets(config) for part in _parts(secret) if len(part) >= _MIN_LENGTH}
        longest_first = sorted(found, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if found else None

    def __call__(self, text: str) -> str:
        """Return the text with every secret in it replaced by asterisks."""
        return self._pattern.sub(_HIDDEN, text) if self._pattern is not None else text


def _secrets(value: object) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            for name in type(value).model_fields:
                yield from _secrets(getattr(value, name))
        case Mapping():
            for part in value.values():
                yield from _secrets(part)
        case list() | tuple() | set() | frozenset():
            for part in value:
                yield from _secrets(part)


def _parts(secret: str) -> Iterator[str]:
    yield secret
    if "://" in secret:
        for part in filter(None, _parts_of_url(secret)):
            yield part
            yield unquote(part)


def _parts_of_url(text: str) -> Sequence[str | None]:
    try:
        url = urlsplit(text)
    except ValueError:  # for example because of a bracket in a password: then the host is hidden, too
        return re.split("[/@:?&=#]+", text.partition("://")[2])
    values = [value for _, value in parse_qsl(url.query)]
    return [url.username, url.password, url.path, url.query, *url.path.split("/"), *values]
