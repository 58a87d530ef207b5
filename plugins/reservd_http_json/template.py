"""URLs with placeholders, such as `{mode}`."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from pydantic import SecretStr
from pydantic_core import PydanticCustomError


def placeholder_of(*names: str) -> re.Pattern[str]:
    """Return a pattern that matches `{name}` for each of the names; its first group is the name."""
    return re.compile(rf"\{{({'|'.join(names)})\}}")


def template_of(*names: str) -> Callable[[SecretStr], SecretStr]:
    """Return a validator of URLs that may hold these placeholders, after the host, and no other braces."""
    placeholder, shown = placeholder_of(*names), " and ".join(f"{{{name}}}" for name in names)

    def check(url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        if re.search(r"[{}]", placeholder.sub("", text)):
            raise PydanticCustomError("url_template", "must hold no braces but {shown}", {"shown": shown})
        if placeholder.search(urlsplit(text).netloc):
            raise PydanticCustomError("url_template", "must hold {shown} after the host only", {"shown": shown})
        return url

    return check
